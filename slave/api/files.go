package api

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os/user"
	"path"
	"slices"
	"strconv"
	"syscall"
	"unicode/utf8"
)

const (
	// MaxReadLength is how much /files/read returns at most, in bytes. Whoever wants more asks again or downloads.
	MaxReadLength = 1 << 20
	// MaxListedEntries is how many entries of a folder /files/browse lists at most. If there are more, the header
	// X-Stoa-Truncated is set.
	MaxListedEntries = 10_000
	// truncatedHeader tells that a list is not complete.
	truncatedHeader = "X-Stoa-Truncated"
)

// fileInfo is an entry of a folder in Mesos's form. A name that is not UTF-8 is shown with replacement characters, and once
// more as it is, percent-encoded.
type fileInfo struct {
	Path        string `json:"path"`
	PathEscaped string `json:"path_escaped,omitempty"`

	Size  int64   `json:"size"`
	Mtime float64 `json:"mtime"` // seconds since 1970
	Mode  string  `json:"mode"`  // as ls writes it
	Nlink uint64  `json:"nlink"`
	UID   string  `json:"uid"` // name, or number if it has none
	GID   string  `json:"gid"`
}

// browse lists a folder, sorted by name. Links are shown as links, not followed.
func (f *files) browse(w http.ResponseWriter, r *http.Request) error {
	text := r.FormValue("path")
	folder, info, err := f.open(text)
	if err != nil {
		return err
	}
	defer folder.Close()
	if !info.IsDir() {
		return badRequest("path %.256q: it is a file: read or download it", text)
	}
	entries, err := folder.ReadDir(MaxListedEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return explain(text, err)
	}
	if len(entries) > MaxListedEntries {
		entries = entries[:MaxListedEntries]
		w.Header().Set(truncatedHeader, strconv.Itoa(MaxListedEntries))
	}
	names := owners{}
	list := []fileInfo{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // gone since
		}
		list = append(list, names.describe(path.Join(text, entry.Name()), info))
	}
	slices.SortFunc(list, func(a, b fileInfo) int { return cmp.Compare(a.Path, b.Path) })
	writeJSON(w, list)
	return nil
}

// owners remembers names of users and groups for the time of a request.
type owners map[string]string

func (o owners) describe(path string, info fs.FileInfo) fileInfo {
	f := fileInfo{
		Path: path, Size: info.Size(), Mtime: float64(info.ModTime().UnixNano()) / 1e9, Mode: modeString(info.Mode()), Nlink: 1,
	}
	if !utf8.ValidString(path) {
		f.PathEscaped = url.PathEscape(path)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Nlink = uint64(stat.Nlink) //nolint:unconvert // its type differs between systems
		f.UID, f.GID = o.user(stat.Uid), o.group(stat.Gid)
	}
	return f
}

func (o owners) user(id uint32) string {
	number := strconv.FormatUint(uint64(id), 10)
	if name, ok := o["u"+number]; ok {
		return name
	}
	name := number
	if u, err := user.LookupId(number); err == nil {
		name = u.Username
	}
	o["u"+number] = name
	return name
}

func (o owners) group(id uint32) string {
	number := strconv.FormatUint(uint64(id), 10)
	if name, ok := o["g"+number]; ok {
		return name
	}
	name := number
	if g, err := user.LookupGroupId(number); err == nil {
		name = g.Name
	}
	o["g"+number] = name
	return name
}

// modeString writes a mode as ls does: "-rw-r--r--".
func modeString(mode fs.FileMode) string {
	kind := byte('-')
	switch mode.Type() {
	case fs.ModeDir:
		kind = 'd'
	case fs.ModeSymlink:
		kind = 'l'
	case fs.ModeNamedPipe:
		kind = 'p'
	case fs.ModeSocket:
		kind = 's'
	case fs.ModeDevice:
		kind = 'b'
	case fs.ModeDevice | fs.ModeCharDevice:
		kind = 'c'
	}
	text := []byte(mode.Perm().String())
	text[0] = kind
	special := func(bit fs.FileMode, at int, letter byte) {
		if mode&bit == 0 {
			return
		}
		if text[at] != 'x' {
			letter -= 'a' - 'A'
		}
		text[at] = letter
	}
	special(fs.ModeSetuid, 3, 's')
	special(fs.ModeSetgid, 6, 's')
	special(fs.ModeSticky, 9, 't')
	return string(text)
}

// content is a part of a file in Mesos's form.
type content struct {
	Data   string `json:"data"`
	Offset int64  `json:"offset"`
}

// read returns a part of a file, at most MaxReadLength. JSON holds text only: bytes that are not UTF-8 are replaced, so
// who needs every byte downloads. A character is not torn in two, so that a reader who goes on at offset + bytes gets
// all of a UTF-8 file right.
func (f *files) read(w http.ResponseWriter, r *http.Request) error {
	text := r.FormValue("path")
	offset, err := number(r, "offset", -1)
	if err != nil {
		return err
	}
	length, err := number(r, "length", MaxReadLength)
	if err != nil {
		return err
	}
	file, info, err := f.open(text)
	if err != nil {
		return err
	}
	defer file.Close()
	switch {
	case info.IsDir():
		return badRequest("path %.256q: it is a folder: browse it", text)
	case offset == -1:
		writeJSON(w, content{Offset: info.Size()})
		return nil
	case length == -1:
		length = MaxReadLength
	}
	data := make([]byte, max(0, min(length, MaxReadLength, info.Size()-offset)))
	n, err := file.ReadAt(data, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return explain(text, err)
	}
	writeJSON(w, content{Data: string(wholeCharacters(data[:n])), Offset: offset})
	return nil
}

// number is a parameter that is a whole number of at least -1.
func number(r *http.Request, name string, byDefault int64) (int64, error) {
	text := r.FormValue(name)
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < -1 {
		return 0, badRequest("%s %q: it must be a number of at least -1", name, text)
	}
	return n, nil
}

// wholeCharacters cuts off the beginning of a character at the end of data, if something is before it.
func wholeCharacters(data []byte) []byte {
	for i := len(data) - 1; i > 0 && i >= len(data)-utf8.UTFMax; i-- {
		if utf8.RuneStart(data[i]) {
			if !utf8.FullRune(data[i:]) {
				return data[:i]
			}
			break
		}
	}
	return data
}

// download serves a file as it is, or the ranges of it that are asked for.
func (f *files) download(w http.ResponseWriter, r *http.Request) error {
	text := r.FormValue("path")
	p, err := f.parse(text)
	if err != nil {
		return err
	}
	sandbox, err := f.openSandbox(text, p)
	if err != nil {
		return err
	}
	defer sandbox.Close()
	file, info, err := openIn(sandbox, text, p)
	if err != nil {
		return err
	}
	defer file.Close()
	if info.IsDir() {
		return badRequest("path %.256q: it is a folder: browse it", text)
	}
	if err := identify(w, r, text, sandbox, p, file, info); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	http.ServeContent(w, r, "", info.ModTime(), file)
	return nil
}
