// Package fetcher puts the files that a task asks for into its sandbox before it starts: CommandInfo.uris.
//
//	URI ──▶ source ──────────────────────▶ place in the sandbox
//	        file      read as the task's user      plain: copied under its name
//	        http(s)   store: once per URI,         archive: unpacked (archive.go)
//	                  kept if asked for
//
// # What may be asked for
//
//	file:///path, /path       a file that the task's user may read; nothing of the slave's own
//	stoa-file:///NAME#sha256= a file that the framework's scheduler offers: kept by its checksum, once for all
//	http://…, https://…       up to MaxRedirects redirects, never from https to http
//	…#sha256=HEX              of either: what comes must have this checksum. A server never sees that part.
//
// With extract, what the name says is an archive (.tar, .tgz, .tar.gz, .tbz2, .tar.bz2, .txz, .tar.xz, .tzst, .tar.zst,
// .zip, .gz) is unpacked in place of being copied; other files are just copied. With cache, the download is kept for
// others who ask for the same URI with cache, as far as CacheBytes go; those who ask for it while it is under way or in use share it
// in any case. Others are frameworks of the same principal for tasks of the same user, and a URI is the same with all that is in it,
// name and password too: who could not get a file by himself gets it from nobody else, and what he gets is nobody else's. output_file
// names where it goes, relative to the sandbox.
//
// # What can't happen
//
// Everything is written through an os.Root of the sandbox, so that no name and no link leads out of it; an archive with
// an absolute name, a "..", a link that points out of it, a device, or more than the limits is refused with the name of
// the entry. Setuid and setgid bits are dropped. What is written belongs to the task's user.
package fetcher

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stoa-project/stoa/proto/mesos"
)

const (
	// DefaultCacheBytes is how much is kept of what was fetched with cache: Mesos's 2 GB.
	DefaultCacheBytes = 2 << 30
	// DefaultStallTimeout is how long a server may send nothing: Mesos's 1 min.
	DefaultStallTimeout = time.Minute
	// DefaultMaxBytes bounds one file, and all that comes out of one archive.
	DefaultMaxBytes = 16 << 30
	// DefaultMaxEntries bounds the files, folders and links of one archive.
	DefaultMaxEntries = 1_000_000
	// MaxRedirects is how many redirects are followed for one URI: what browsers follow, more or less.
	MaxRedirects = 10
	// MaxCauseBytes bounds what an Error tells of its cause: it goes into a status, to a master and a scheduler.
	MaxCauseBytes = 2 << 10
	// MaxURIs bounds what one command asks for.
	MaxURIs = 256
)

// Options says how files are fetched. All but Directory may be zero.
type Options struct {
	// Directory is where downloads are kept: the fetcher's own, made when it is first needed and emptied then.
	Directory string
	// Forbidden are folders and files that no file URI may read, whoever asks: the slave's own.
	Forbidden []string
	// Roots are the authorities that servers are checked by; nil is the machine's.
	Roots *x509.CertPool

	CacheBytes   int64 // 0 is DefaultCacheBytes, less keeps nothing
	StallTimeout time.Duration
	MaxBytes     int64
	MaxEntries   int
}

// Fetcher fetches for all tasks of a slave. Its methods may be called by many goroutines at the same time.
type Fetcher struct {
	options Options
	client  *http.Client
	store   *store
}

// New makes a fetcher. Nothing is done on disk before the first download.
func New(o Options) *Fetcher {
	o.CacheBytes = cmp.Or(o.CacheBytes, DefaultCacheBytes)
	o.StallTimeout = cmp.Or(o.StallTimeout, DefaultStallTimeout)
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	o.MaxEntries = cmp.Or(o.MaxEntries, DefaultMaxEntries)
	f := &Fetcher{options: o, client: newClient(o.Roots, o.StallTimeout)}
	f.store = &store{directory: o.Directory, capacity: o.CacheBytes}
	return f
}

// Request is what one command asks for.
type Request struct {
	// Sandbox is the absolute path of a folder that nobody else writes into while it is filled.
	Sandbox string
	// User is who reads files of the machine and owns what is fetched; "" is the slave's own.
	User string
	// Principal is that of the framework: downloads are shared with those who have the same, and the same User.
	Principal string
	URIs      []*mesos.CommandInfo_URI
	// DiskBytes bounds what the sandbox takes with all that is put into it, and what is downloaded for that; 0 does not.
	DiskBytes int64
	// Files gets what the framework's scheduler offers: the content with a checksum, of at most so many bytes. nil: it
	// offers nothing. It calls expect with the size as soon as that is known.
	Files func(ctx context.Context, sha256 string, most int64, to io.WriterAt, expect func(size int64)) error
}

// Error says which URI could not be fetched, and why.
type Error struct {
	URI string // without a password
	Err error
}

// Error has of the cause what people can read: servers and archives have a say in it.
func (e *Error) Error() string { return fmt.Sprintf("fetch %s: %s", e.URI, readable(e.Err.Error())) }

// readable is a text of at most MaxCauseBytes, in one line that does nothing to a terminal.
func readable(text string) string {
	if len(text) > MaxCauseBytes {
		text = text[:MaxCauseBytes] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Fetch fetches everything, one after the other, in order. The error is an *Error for the first that failed; what came
// before it stays in the sandbox.
func (f *Fetcher) Fetch(ctx context.Context, r Request) error {
	if len(r.URIs) == 0 {
		return nil
	}
	if len(r.URIs) > MaxURIs {
		return fmt.Errorf("fetch %d URIs: at most %d are allowed", len(r.URIs), MaxURIs)
	}
	owner, err := identify(r.User)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(r.Sandbox)
	if err != nil {
		return fmt.Errorf("fetch into %s: %w", r.Sandbox, err)
	}
	defer root.Close()
	own, err := root.Stat(".")
	if err != nil {
		return fmt.Errorf("fetch into %s: %w", r.Sandbox, err)
	}
	into := target{root: root, owner: owner, options: &f.options, disk: &disk{limit: cmp.Or(r.DiskBytes, math.MaxInt64)}}
	if err := into.disk.take(own); err != nil {
		return &Error{URI: presentable(r.URIs[0].GetValue()), Err: err}
	}
	for _, uri := range r.URIs {
		wanted, err := understand(uri)
		if err == nil {
			err = f.fetch(ctx, r, into, wanted)
		}
		if err != nil {
			return &Error{URI: presentable(uri.GetValue()), Err: err}
		}
	}
	return nil
}

// DropCache removes what is kept and not in use: for a slave whose disk is full.
func (f *Fetcher) DropCache() { f.store.drop() }

// wanted is a URI that makes sense.
type wanted struct {
	url        *url.URL // without fragment; of a file: only its path
	output     string   // relative and local
	format     format   // to be unpacked as; plain: not at all
	executable bool
	cache      bool
	sha256     string // in lower-case hexadecimal digits, or ""
}

// understand says what a URI means, or what is wrong with it.
func understand(uri *mesos.CommandInfo_URI) (wanted, error) {
	parsed, err := url.Parse(uri.GetValue())
	if err != nil {
		return wanted{}, errors.New("it is not a URI")
	}
	w := wanted{url: parsed, executable: uri.GetExecutable(), cache: uri.GetCache()}
	if w.sha256, err = checksum(parsed.Fragment); err != nil {
		return wanted{}, err
	}
	parsed.Fragment, parsed.RawFragment = "", ""
	switch {
	case parsed.Scheme == "http" || parsed.Scheme == "https":
		if parsed.Host == "" {
			return wanted{}, errors.New("it names no server")
		}
	case parsed.Scheme == "file" && (parsed.Host == "" || parsed.Host == "localhost"), parsed.Scheme == "" && parsed.Host == "":
		if parsed.Scheme == "" { // a path as it is: nothing in it is an escape, or a query
			parsed.Path, _, _ = strings.Cut(uri.GetValue(), "#sha256=")
		}
		if !path.IsAbs(parsed.Path) {
			return wanted{}, errors.New("the path of a file must be absolute")
		}
	case parsed.Scheme == "file":
		return wanted{}, fmt.Errorf("host %q: files are the slave's own machine's, so none or localhost is allowed", parsed.Host)
	case parsed.Scheme == mesos.FrameworkFileScheme && parsed.Host == "":
		if w.sha256 == "" {
			return wanted{}, errors.New("a file of the framework's scheduler must have its checksum: #sha256=HEX")
		}
	default:
		return wanted{}, fmt.Errorf("scheme %q: allowed are file, http, https and %s", parsed.Scheme, mesos.FrameworkFileScheme)
	}
	name := path.Base(parsed.Path)
	if w.output = cmp.Or(uri.GetOutputFile(), name); !filepath.IsLocal(w.output) || filepath.Clean(w.output) == "." {
		return wanted{}, fmt.Errorf("output file %q: it must be a path in the sandbox; name one with output_file", w.output)
	}
	if slices.Contains(outputs(), filepath.Clean(w.output)) {
		return wanted{}, fmt.Errorf("output file %q: the task's own output goes there; name another with output_file", w.output)
	}
	if len(w.output) > MaxPathBytes {
		return wanted{}, fmt.Errorf("output file of %d bytes: allowed are %d", len(w.output), MaxPathBytes)
	}
	if uri.GetExtract() && !w.executable {
		w.format = formatOf(name)
	}
	return w, nil
}

// outputs are the files of a sandbox that are taken for what its command has written.
func outputs() []string { return []string{"stdout", "stderr"} }

const sha256Digits = 64

func checksum(fragment string) (string, error) {
	digits, found := strings.CutPrefix(fragment, "sha256=")
	if !found {
		return "", nil
	}
	digits = strings.ToLower(digits)
	if len(digits) != sha256Digits || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("checksum %q: it must be %d hexadecimal digits", digits, sha256Digits)
	}
	return digits, nil
}

// presentable is a URI as errors show it.
func presentable(text string) string {
	if parsed, err := url.Parse(text); err == nil {
		return parsed.Redacted()
	}
	return fmt.Sprintf("%.256q", text)
}

// fetch gets one file and puts it where it belongs.
func (f *Fetcher) fetch(ctx context.Context, r Request, to target, w wanted) error {
	source, done, err := f.source(ctx, r, to, w)
	var over oversize
	if errors.As(err, &over) {
		return to.disk.refuse(over)
	}
	if err != nil {
		return err
	}
	defer done()
	defer source.Close()
	if w.format == plain {
		info, err := source.Stat()
		if err == nil && info.Size() > to.disk.room() {
			err = to.disk.refuse(oversize{info.Size(), true})
		}
		if err != nil {
			return err
		}
		return to.place(ctx, source, w)
	}
	return to.unpack(ctx, source, w)
}

// key is what a URI's download is shared by. No part has a zero byte.
func (r Request) key(uri string) string {
	return strings.Join([]string{r.Principal, r.User, uri}, "\x00")
}

// source opens what a URI means. The caller closes it and calls done.
func (f *Fetcher) source(ctx context.Context, r Request, to target, w wanted) (source *os.File, done func(), err error) {
	switch w.url.Scheme {
	case "http", "https":
		uri := w.url.String()
		return f.store.get(ctx, r.key(uri), w.cache, w.sha256, to.disk.room(), func(ctx context.Context, to *content) error { return f.download(ctx, uri, to) })
	case mesos.FrameworkFileScheme:
		if r.Files == nil {
			return nil, nil, errors.New("there is no scheduler that offers files")
		}
		return f.offered(ctx, r, w.sha256, to.disk.room())
	}
	source, err = f.openLocal(to.owner, w.url.Path)
	if err == nil && w.sha256 != "" {
		if err = verify(source, w.sha256); err != nil {
			source.Close()
		}
	}
	return source, func() {}, err
}

// offered opens what a framework's scheduler offers. Its content is its name, whichever framework of a principal offers it: but
// what another one fails to send, this one may.
func (f *Fetcher) offered(ctx context.Context, r Request, sum string, room int64) (*os.File, func(), error) {
	for {
		var own atomic.Bool
		source, done, err := f.store.get(ctx, r.key(mesos.FrameworkFileScheme+":"+sum), true, sum, room, func(ctx context.Context, to *content) error {
			own.Store(true)
			return r.Files(ctx, sum, f.options.MaxBytes, to.file, func(size int64) { to.expect(oversize{size, true}) })
		})
		if err == nil || own.Load() || ctx.Err() != nil || errors.As(err, new(oversize)) {
			return source, done, err
		}
	}
}
