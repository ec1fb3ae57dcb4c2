package fetcher

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// format is how an archive is written. Its name says it, as with Mesos.
type format int

const (
	plain format = iota // no archive
	tarPlain
	tarGzip
	tarBzip2
	tarXz
	tarZstd
	zipped
	gzipped // one file
)

const (
	// MaxPathBytes bounds the path of what is fetched, and the target of a link in an archive: PATH_MAX of Linux.
	MaxPathBytes = 4096
	// MaxZstdMemory bounds what a zstd stream may have a reader keep: what its own program allows, 128 MiB.
	MaxZstdMemory = 128 << 20
	// MaxXzDictionary is the same for xz: what its own program uses at most unless it is told to, 64 MiB (xz -9).
	MaxXzDictionary = 64 << 20
	// MaxZipDirectory bounds the list of the entries of a zip file, which is read as a whole.
	MaxZipDirectory = 64 << 20
)

// known is an ending of a name by which an archive is known.
type known struct {
	ending string
	format format
}

func knownEndings() []known {
	return []known{
		{".tar", tarPlain},
		{".tgz", tarGzip},
		{".tar.gz", tarGzip},
		{".tbz2", tarBzip2},
		{".tar.bz2", tarBzip2},
		{".txz", tarXz},
		{".tar.xz", tarXz},
		{".tzst", tarZstd},
		{".tar.zst", tarZstd},
		{".zip", zipped},
		{".gz", gzipped},
	}
}

// CheckArchive says why a file of this URL or path would not be unpacked, nil if it would.
func CheckArchive(address string) error {
	parsed, err := url.Parse(address)
	if err != nil {
		return errors.New("it is not a URI")
	}
	if formatOf(path.Base(parsed.Path)) != plain {
		return nil
	}
	var endings []string
	for _, one := range knownEndings() {
		endings = append(endings, one.ending)
	}
	return fmt.Errorf("%q is no archive that can be unpacked: those end with %s", path.Base(parsed.Path), strings.Join(endings, ", "))
}

func formatOf(name string) format {
	name = strings.ToLower(name)
	for _, one := range knownEndings() {
		if strings.HasSuffix(name, one.ending) {
			return one.format
		}
	}
	return plain
}

// unpack unpacks an archive into the sandbox or, with an output file, into the folder of that name's place.
func (t target) unpack(ctx context.Context, source *os.File, w wanted) error {
	u := &unpacker{target: t, ctx: ctx, under: filepath.Dir(w.output), bytesLeft: t.options.MaxBytes, entriesLeft: t.options.MaxEntries}
	if err := t.folders(u.under); err != nil {
		return err
	}
	var err error
	switch w.format {
	case zipped:
		err = u.zip(source)
	case gzipped:
		var r *gunzip
		if r, err = newGunzip(bufio.NewReader(source)); err == nil {
			w.output = withoutSuffix(w.output, ".gz")
			err = t.place(ctx, r, w)
		}
	default:
		err = u.compressedTar(source, w.format)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("unpack: the archive is not complete")
	}
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// withoutSuffix cuts the suffix off a path, if a name is left then.
func withoutSuffix(path, suffix string) string {
	if at := len(path) - len(suffix); at > 0 && strings.EqualFold(path[at:], suffix) && path[at-1] != '/' {
		return path[:at]
	}
	return path
}

// unpacker unpacks one archive.
type unpacker struct {
	target
	ctx         context.Context
	under       string // the folder in the sandbox
	bytesLeft   int64
	entriesLeft int
}

func (u *unpacker) compressedTar(source io.Reader, as format) error {
	buffered := bufio.NewReaderSize(source, 64<<10)
	switch as {
	case tarGzip:
		r, err := newGunzip(buffered)
		if err != nil {
			return err
		}
		return u.tar(r)
	case tarBzip2:
		return u.tar(bzip2.NewReader(buffered))
	case tarXz:
		r, err := xz.NewReader(buffered, MaxXzDictionary)
		if err == nil {
			err = u.tar(r)
		}
		if errors.Is(err, xz.ErrMemlimit) {
			return fmt.Errorf("it wants a dictionary of more than the allowed %d bytes", MaxXzDictionary)
		}
		return err
	case tarZstd:
		r, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxZstdMemory))
		if err != nil {
			return err
		}
		defer r.Close()
		return u.tar(r)
	}
	return u.tar(buffered)
}

// gunzip reads what gzip wrote, several streams after each other too, and like it passes over what follows and is none.
type gunzip struct {
	*gzip.Reader
	source *bufio.Reader
	over   bool
}

func newGunzip(source *bufio.Reader) (*gunzip, error) {
	r, err := gzip.NewReader(source)
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	return &gunzip{Reader: r, source: source}, nil
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.over {
		return 0, io.EOF
	}
	n, err := g.Reader.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	switch next := g.Reset(g.source); {
	case errors.Is(next, gzip.ErrHeader), errors.Is(next, io.EOF), errors.Is(next, io.ErrUnexpectedEOF):
		g.over = true
		return n, io.EOF
	case next != nil:
		return n, next
	}
	g.Multistream(false)
	return n, nil
}

func (u *unpacker) tar(source io.Reader) error {
	// What is skipped counts too: headers and entries that are nothing.
	limited := &io.LimitedReader{R: &endingReader{u.ctx, source}, N: 2*u.options.MaxBytes + 1}
	reader := tar.NewReader(limited)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			// Whether what was read is right is told by a checksum at the end.
			if _, err = io.Copy(io.Discard, limited); err == nil && limited.N > 0 {
				return nil
			}
		}
		if limited.N <= 0 {
			err = tooLarge(u.options.MaxBytes)
		}
		if err != nil {
			return err
		}
		if err := u.tarEntry(header, reader); err != nil {
			return fmt.Errorf("entry %.256q: %w", header.Name, err)
		}
	}
}

func (u *unpacker) tarEntry(header *tar.Header, content io.Reader) error {
	mode := fs.FileMode(header.Mode) & fs.ModePerm
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return u.file(header.Name, mode, content)
	case tar.TypeDir:
		return u.folder(header.Name, mode)
	case tar.TypeSymlink:
		return u.symlink(header.Name, header.Linkname)
	case tar.TypeLink:
		return u.hardLink(header.Name, header.Linkname)
	case tar.TypeXGlobalHeader:
		return nil // a remark, as git's archives have it
	}
	return fmt.Errorf("it is of type %q: only files, folders and links are unpacked", header.Typeflag)
}

func (u *unpacker) zip(source *os.File) error {
	info, err := source.Stat()
	if err != nil {
		return err
	}
	bounded := &boundedReader{source: source, left: MaxZipDirectory}
	reader, err := zip.NewReader(bounded, info.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // each name is looked at here
		return err
	}
	bounded.left = math.MaxInt64
	for _, entry := range reader.File {
		if err := u.zipEntry(entry); err != nil {
			return fmt.Errorf("entry %.256q: %w", entry.Name, err)
		}
	}
	return nil
}

// boundedReader reads only so much.
type boundedReader struct {
	source io.ReaderAt
	left   int64
}

func (r *boundedReader) ReadAt(p []byte, at int64) (int, error) {
	if r.left -= int64(len(p)); r.left < 0 {
		return 0, fmt.Errorf("the list of its entries has more than the allowed %d bytes", MaxZipDirectory)
	}
	return r.source.ReadAt(p, at)
}

func (u *unpacker) zipEntry(entry *zip.File) error {
	mode := entry.Mode()
	if mode.IsDir() {
		return u.folder(strings.TrimSuffix(entry.Name, "/"), mode.Perm())
	}
	if !mode.IsRegular() && mode.Type() != fs.ModeSymlink {
		return fmt.Errorf("it is of type %s: only files, folders and links are unpacked", mode.Type())
	}
	const encrypted = 1 // APPNOTE.TXT, 4.4.4
	if entry.Flags&encrypted != 0 {
		return errors.New("it is encrypted")
	}
	content, err := entry.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	if mode.IsRegular() {
		return u.file(entry.Name, mode.Perm(), content)
	}
	link, err := io.ReadAll(io.LimitReader(content, MaxPathBytes+1))
	if err != nil {
		return err
	}
	return u.symlink(entry.Name, string(link))
}

// locate gives an entry's name its place in the sandbox, with the folders above it, and counts it.
func (u *unpacker) locate(name string) (string, error) {
	if u.entriesLeft--; u.entriesLeft < 0 {
		return "", fmt.Errorf("the archive has more than the allowed %d entries", u.options.MaxEntries)
	}
	if u.ctx.Err() != nil {
		return "", context.Cause(u.ctx)
	}
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) {
		return "", errors.New("its name leads out of the archive")
	}
	local = filepath.Join(u.under, local)
	if len(local) > MaxPathBytes {
		return "", fmt.Errorf("its path has %d bytes: allowed are %d", len(local), MaxPathBytes)
	}
	return local, u.folders(filepath.Dir(local))
}

func (u *unpacker) file(name string, mode fs.FileMode, content io.Reader) error {
	at, err := u.locate(name)
	if err != nil {
		return err
	}
	n, err := u.write(u.ctx, at, mode, content, u.bytesLeft)
	u.bytesLeft -= n
	return err
}

func (u *unpacker) folder(name string, mode fs.FileMode) error {
	at, err := u.locate(name)
	if err != nil {
		return err
	}
	if err := u.folders(at); err != nil {
		return err
	}
	if at == u.under {
		return nil // the sandbox has its own mode
	}
	return u.root.Chmod(at, mode|0o700) // or nothing could be written into it
}

func (u *unpacker) symlink(name, to string) error {
	at, err := u.locate(name)
	if err != nil {
		return err
	}
	below, err := filepath.Rel(u.under, filepath.Dir(at))
	if err != nil {
		return err
	}
	if to == "" || len(to) > MaxPathBytes || filepath.IsAbs(to) || !filepath.IsLocal(filepath.Join(below, to)) || climbsLater(to) {
		return fmt.Errorf("its link to %.256q leads out of the archive", to)
	}
	if err := u.clear(at); err != nil {
		return err
	}
	if err := u.root.Symlink(to, at); err != nil {
		return err
	}
	return u.own(at)
}

// climbsLater reports whether a path goes up after it went down: through another link that may lead anywhere, so that
// nobody can tell from the path alone where it ends.
func climbsLater(path string) bool {
	down := false
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." && down {
			return true
		}
		down = down || part != ".." && part != "." && part != ""
	}
	return false
}

func (u *unpacker) hardLink(name, to string) error {
	at, err := u.locate(name)
	if err != nil {
		return err
	}
	local := filepath.FromSlash(to)
	if !filepath.IsLocal(local) {
		return fmt.Errorf("its link to %.256q leads out of the archive", to)
	}
	local = filepath.Join(u.under, local)
	// A symbolic link would mean something else in another folder.
	if info, err := u.root.Lstat(local); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("its link to %.256q leads to no file of the archive", to)
	}
	if err := u.clear(at); err != nil {
		return err
	}
	return u.root.Link(local, at)
}
