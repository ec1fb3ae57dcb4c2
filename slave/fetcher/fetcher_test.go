package fetcher

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline is how long a test waits for what must happen.
const deadline = time.Minute

// rig is a fetcher with a sandbox to fill and a server to ask.
type rig struct {
	t       *testing.T
	sandbox string
	fetcher *Fetcher
	server  *httptest.Server
	disk    int64 // of the sandbox; 0: not limited
}

func newRig(t *testing.T, o Options, serve http.HandlerFunc) *rig {
	t.Helper()
	base := t.TempDir()
	r := &rig{t: t, sandbox: filepath.Join(base, "sandbox")}
	if err := os.Mkdir(r.sandbox, 0o755); err != nil {
		t.Fatal(err)
	}
	if o.Directory == "" {
		o.Directory = filepath.Join(base, "store")
	}
	if serve != nil {
		r.server = httptest.NewServer(serve)
		t.Cleanup(r.server.Close)
	}
	r.fetcher = New(o)
	t.Cleanup(r.fetcher.client.CloseIdleConnections)
	return r
}

func plainURI(value string) *mesos.CommandInfo_URI {
	return &mesos.CommandInfo_URI{Value: &value, Extract: proto.Bool(false)}
}

func archiveURI(value string) *mesos.CommandInfo_URI { return &mesos.CommandInfo_URI{Value: &value} }

func (r *rig) fetch(uris ...*mesos.CommandInfo_URI) error {
	return r.fetcher.Fetch(r.t.Context(), Request{Sandbox: r.sandbox, URIs: uris, DiskBytes: r.disk})
}

// must fetches what works.
func (r *rig) must(uris ...*mesos.CommandInfo_URI) {
	r.t.Helper()
	if err := r.fetch(uris...); err != nil {
		r.t.Fatal(err)
	}
}

// refused fetches what must not work, and wants the error to name the URI and what.
func (r *rig) refused(uri *mesos.CommandInfo_URI, what string) {
	r.t.Helper()
	err := r.fetch(uri)
	var failed *Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "\n") {
		r.t.Errorf("%s: got %v, want one line with %q", uri.GetValue(), err, what)
	}
}

// has compares a file of the sandbox.
func (r *rig) has(name, content string) {
	r.t.Helper()
	if got, err := os.ReadFile(filepath.Join(r.sandbox, name)); err != nil || string(got) != content {
		r.t.Errorf("%s: got %.80q, %v, want %.80q", name, got, err, content)
	}
}

func (r *rig) stored() int {
	entries, err := os.ReadDir(r.fetcher.options.Directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	return len(entries)
}

// offer is what Request.Files is.
type offer = func(ctx context.Context, sum string, most int64, to io.WriterAt, expect func(int64)) error

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func tempFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func sum(content string) string {
	hash := sha256.Sum256([]byte(content))
	return hex.EncodeToString(hash[:])
}

func TestFilesComeUnderTheirNameOrTheOneThatIsAskedFor(t *testing.T) {
	r := newRig(t, Options{}, answer("from the server"))
	local := tempFile(t, "a file%20.txt", "from the machine")
	renamed := plainURI(r.server.URL + "/x/b.txt?version=2")
	renamed.OutputFile, renamed.Executable = proto.String("bin/deep/tool"), proto.Bool(true)
	r.must(plainURI(local), plainURI(r.server.URL+"/x/b.txt"), renamed, plainURI("file://"+tempFile(t, "c.txt", "c")))
	r.has("a file%20.txt", "from the machine")
	r.has("b.txt", "from the server")
	r.has("bin/deep/tool", "from the server")
	r.has("c.txt", "c")
	for name, want := range map[string]fs.FileMode{"b.txt": 0o644, "bin/deep/tool": 0o755, "bin/deep": 0o755 | fs.ModeDir} {
		if info, err := os.Stat(filepath.Join(r.sandbox, name)); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if n := r.stored(); n != 0 {
		t.Errorf("%d downloads are left that nobody asked to keep", n)
	}
}

func TestWhatMakesNoSenseIsRefusedWithTheURI(t *testing.T) {
	r := newRig(t, Options{}, nil)
	output := func(name string) *mesos.CommandInfo_URI {
		uri := plainURI("/etc/hostname")
		uri.OutputFile = &name
		return uri
	}
	for _, test := range []struct {
		uri  *mesos.CommandInfo_URI
		want string
	}{
		{plainURI("ftp://host/x"), `scheme "ftp"`},
		{plainURI("hdfs://host/x"), `scheme "hdfs"`},
		{plainURI("relative/x"), "absolute"},
		{plainURI("http:///x"), "no server"},
		{plainURI("http://host/"), "output_file"},
		{plainURI("http://host/.."), "output_file"},
		{plainURI("file://elsewhere/x"), `host "elsewhere"`},
		{plainURI("/etc/hostname#sha256=abc"), "64 hexadecimal digits"},
		{plainURI("/no/such/file"), "no such file"},
		{plainURI("/etc"), "it must be a file, and is a folder"},
		{plainURI("/dev/zero"), "it must be a file, and is a device"},
		{output("../x"), `"../x"`},
		{output("/x"), `"/x"`},
		{output("a/../../x"), `"a/../../x"`},
		{output("."), `"."`},
	} {
		r.refused(test.uri, test.want)
	}
	if entries, err := os.ReadDir(filepath.Dir(r.sandbox)); err != nil || len(entries) != 1 {
		t.Errorf("beside the sandbox there is %v, %v", entries, err)
	}
	if err := r.fetcher.Fetch(t.Context(), Request{Sandbox: r.sandbox, URIs: make([]*mesos.CommandInfo_URI, MaxURIs+1)}); err == nil {
		t.Error("too many URIs were accepted")
	}
}

func TestAServersRefusalIsToldWithItsStatus(t *testing.T) {
	r := newRig(t, Options{}, http.NotFound)
	r.refused(plainURI(r.server.URL+"/x"), "/x: the server answered 404 Not Found")
	r.refused(plainURI("http://127.0.0.1:1/x"), "connection refused")
	r.refused(plainURI(strings.Replace(r.server.URL, "http://", "http://user:secret@", 1)+"/x"), "user:xxxxx@")
}

// The words of a status line are the server's, and may be anything.
func TestWhatAServerSaysIsToldInOneShortLine(t *testing.T) {
	for _, said := range []string{
		"HTTP/1.1 503 \x1b[31mred" + strings.Repeat("x", 1<<20) + "\r\n\r\n", "HTTP/1.1 302 \r\nLocation: http://%zz" + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		strings.Repeat("no HTTP\x1b", 1<<17) + "\r\n",
	} {
		r := newRig(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, said) // the fetcher may have hung up
		})
		err := r.fetch(plainURI(r.server.URL + "/x"))
		if err == nil || len(err.Error()) > 2*MaxCauseBytes || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("got %.300q", fmt.Sprint(err))
		}
	}
}

func TestADownloadThatBreaksOffFails(t *testing.T) {
	r := newRig(t, Options{}, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/parts" {
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
	})
	r.refused(plainURI(r.server.URL+"/x"), "broke off after 4 of 100 bytes")
	r.refused(plainURI(r.server.URL+"/parts"), "broke off after 4 bytes")
	if n := r.stored(); n != 0 {
		t.Errorf("%d downloads are left", n)
	}
}

func TestASilentServerIsNotWaitedFor(t *testing.T) {
	r := newRig(t, Options{StallTimeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "some")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	r.refused(plainURI(r.server.URL+"/x"), "silent for 50ms")
}

func TestASlowServerIsWaitedForAsLongAsItSendsSomething(t *testing.T) {
	const stall = 200 * time.Millisecond
	r := newRig(t, Options{StallTimeout: stall}, func(w http.ResponseWriter, _ *http.Request) {
		for range 6 {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			<-time.After(stall / 4) // slowness is the point
		}
	})
	r.must(plainURI(r.server.URL + "/x"))
	r.has("x", "xxxxxx")
}

// Those who wait for a place behind slow downloads hear nothing of the server, and are not to blame it.
func TestWhoWaitsForAPlaceAtAServerIsNotSilent(t *testing.T) {
	const stall = 200 * time.Millisecond
	var slow atomic.Int32
	all := make(chan struct{})
	r := newRig(t, Options{StallTimeout: stall}, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/quick" {
			return
		}
		if slow.Add(1) == connsPerServer {
			close(all)
		}
		for range 8 {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			<-time.After(stall / 4) // slowness is the point
		}
	})
	var group sync.WaitGroup
	defer group.Wait()
	for i := range connsPerServer {
		group.Go(func() {
			if err := r.fetch(plainURI(fmt.Sprint(r.server.URL, "/slow", i))); err != nil {
				t.Error(err)
			}
		})
	}
	<-all
	r.must(plainURI(r.server.URL + "/quick"))
}

func TestRedirectsAreFollowedButNotForEverAndNotAway(t *testing.T) {
	r := newRig(t, Options{}, func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/once":
			http.Redirect(w, q, "/there", http.StatusFound)
		case "/there":
			fmt.Fprint(w, "here")
		case "/loop":
			http.Redirect(w, q, "/loop", http.StatusFound)
		case "/file":
			http.Redirect(w, q, "file:///etc/passwd", http.StatusFound)
		}
	})
	r.must(plainURI(r.server.URL + "/once"))
	r.has("once", "here")
	r.refused(plainURI(r.server.URL+"/loop"), "more than 10 redirects")
	r.refused(plainURI(r.server.URL+"/file"), `scheme "file"`)
}

func TestAnAuthorityOfOnesOwnIsEnoughForHTTPS(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/down" {
			http.Redirect(w, q, "http://127.0.0.1:1/x", http.StatusFound)
			return
		}
		fmt.Fprint(w, "secret")
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the client that does not trust it
	secure.StartTLS()
	defer secure.Close()
	stranger := newRig(t, Options{}, nil)
	stranger.refused(plainURI(secure.URL+"/x"), "certificate")
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	r := newRig(t, Options{Roots: roots}, nil)
	r.must(plainURI(secure.URL + "/x"))
	r.has("x", "secret")
	r.refused(plainURI(secure.URL+"/down"), "from https to http")
}

func TestAChecksumIsHeld(t *testing.T) {
	r := newRig(t, Options{}, answer("content"))
	local := tempFile(t, "local", "content")
	for _, uri := range []string{r.server.URL + "/x", local, "file://" + local} {
		r.must(plainURI(uri + "#sha256=" + strings.ToUpper(sum("content"))))
		r.refused(plainURI(uri+"#sha256="+sum("other")), "its sha256 is "+sum("content"))
	}
	r.has("x", "content")
}

func TestWhoAsksAtTheSameTimeSharesADownload(t *testing.T) {
	var asked atomic.Int32
	proceed := make(chan struct{})
	r := newRig(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-proceed
		fmt.Fprint(w, "content")
	})
	const many = 20
	var all sync.WaitGroup
	failed := make(chan error, many)
	for i := range many {
		uri := plainURI(r.server.URL + "/x")
		uri.OutputFile = proto.String(fmt.Sprint("x", i))
		all.Go(func() { failed <- r.fetch(uri) })
	}
	for end := time.Now().Add(deadline); ; {
		r.fetcher.store.mu.Lock()
		e := r.fetcher.store.entries[Request{}.key(r.server.URL+"/x")]
		joined := e != nil && e.users == many
		r.fetcher.store.mu.Unlock()
		if joined {
			break
		}
		if time.Now().After(end) {
			t.Fatal("not everybody has joined")
		}
		<-time.After(time.Millisecond)
	}
	close(proceed)
	all.Wait()
	for i := range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
		r.has(fmt.Sprint("x", i), "content")
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
	if n := r.stored(); n != 0 {
		t.Errorf("%d downloads are left", n)
	}
}

func TestTheCacheKeepsWhatIsAskedForAsFarAsItsRoomGoes(t *testing.T) {
	var asked atomic.Int32
	r := newRig(t, Options{CacheBytes: 25}, func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, "ten bytes!")
		if q.URL.Path == "/large" {
			fmt.Fprint(w, "and twenty more of it")
		}
	})
	get := func(name string, want int32) {
		t.Helper()
		uri := plainURI(r.server.URL + "/" + name)
		uri.Cache = proto.Bool(true)
		r.must(uri)
		if n := asked.Load(); n != want {
			t.Errorf("%s: the server was asked %d times, want %d", name, n, want)
		}
	}
	get("a", 1)
	get("a", 1)
	get("b", 2)
	get("a", 2)
	get("c", 3) // b, the least recently used, makes room
	get("a", 3)
	get("b", 4)
	get("large", 5) // than all there is room for: it takes nobody's place
	get("b", 5)
	get("large", 6)
	if n := r.stored(); n != 2 {
		t.Errorf("%d downloads are kept, want 2", n)
	}
	again := newRig(t, r.fetcher.options, nil) // the slave's next life
	again.refused(plainURI("http://127.0.0.1:1/x"), "refused")
	if n := again.stored(); n != 0 {
		t.Errorf("%d downloads of an earlier life are left", n)
	}
}

// Nomad gave a task what had been fetched for another: CVE-2022-24686.
func TestTheCacheIsDroppedButForWhatIsInUse(t *testing.T) {
	r := newRig(t, Options{}, nil)
	get := func(key string) func() {
		file, done, err := r.fetcher.store.get(t.Context(), key, true, "", math.MaxInt64, func(context.Context, *content) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		return done
	}
	get("kept")()
	done := get("in use")
	r.fetcher.DropCache()
	if n := r.stored(); n != 1 {
		t.Errorf("%d downloads are kept, want 1", n)
	}
	done()
	r.fetcher.DropCache()
	if n := r.stored(); n != 0 {
		t.Errorf("%d downloads are kept, want none", n)
	}
}

func TestWhoDoesNotAskForTheCacheGetsWhatTheServerHasNow(t *testing.T) {
	var asked atomic.Int32
	r := newRig(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "version ", asked.Add(1)) })
	for _, step := range []struct {
		cache bool
		want  string
	}{{true, "version 1"}, {true, "version 1"}, {false, "version 2"}, {true, "version 2"}, {false, "version 3"}} {
		uri := plainURI(r.server.URL + "/x")
		uri.Cache = proto.Bool(step.cache)
		r.must(uri)
		r.has("x", step.want)
	}
	if n := r.stored(); n != 1 {
		t.Errorf("%d downloads are kept, want 1", n)
	}
}

func TestCVE_2022_24686_AWrongDownloadReachesNobodyElse(t *testing.T) {
	var asked atomic.Int32
	r := newRig(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			fmt.Fprint(w, "wrong")
			return
		}
		fmt.Fprint(w, "right")
	})
	uri := plainURI(r.server.URL + "/x#sha256=" + sum("right"))
	uri.Cache = proto.Bool(true)
	r.refused(uri, "its sha256 is "+sum("wrong"))
	if _, err := os.Stat(filepath.Join(r.sandbox, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the wrong file arrived: %v", err)
	}
	r.must(uri)
	r.has("x", "right")
}

// What one may fetch is not for another who asks for it by less than that: without the password, or as another principal or user.
func TestADownloadIsSharedOnlyWithWhoHasTheSameCredentials(t *testing.T) {
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	r := newRig(t, Options{}, func(w http.ResponseWriter, request *http.Request) {
		asked.Add(1)
		if name, password, _ := request.BasicAuth(); request.URL.Path == "/secret" && name+":"+password != "ann:right" {
			http.Error(w, "not for you", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "content for ", asked.Load())
	})
	open := r.server.URL + "/open"
	as := func(principal, user, uri string) error {
		wish := plainURI(uri)
		wish.Cache, wish.OutputFile = proto.Bool(true), proto.String("x")
		return r.fetcher.Fetch(t.Context(), Request{Sandbox: r.sandbox, Principal: principal, User: user, URIs: []*mesos.CommandInfo_URI{wish}})
	}
	for i, test := range []struct {
		principal, user string
		want            int
	}{{"ann", "", 1}, {"ann", "", 1}, {"eve", "", 2}, {"", "", 3}, {"ann", self.Username, 4}, {"eve", "", 2}, {"ann", "", 1}} {
		if err := as(test.principal, test.user, open); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(r.sandbox, "x")); err != nil || string(got) != fmt.Sprint("content for ", test.want) {
			t.Errorf("%d: %q as %q got %q, %v, want the %d. answer", i, test.principal, test.user, got, err, test.want)
		}
	}

	address := strings.TrimPrefix(r.server.URL, "http://")
	if err := as("ann", "", "http://ann:right@"+address+"/secret"); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"http://" + address + "/secret", "http://ann@" + address + "/secret", "http://ann:wrong@" + address + "/secret"} {
		if err := as("ann", "", uri); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("%s: got %v, want the server's refusal", uri, err)
		}
	}
}

// The checksum of another's file is no secret: master and tasks show it. It is not enough to get the file.
func TestAFileOfASchedulerIsNotForWhoKnowsItsChecksum(t *testing.T) {
	r := newRig(t, Options{}, nil)
	as := func(principal string, files offer) error {
		uri := plainURI(mesos.FrameworkFileScheme + ":///x#sha256=" + sum("content"))
		return r.fetcher.Fetch(t.Context(), Request{Sandbox: r.sandbox, Principal: principal, URIs: []*mesos.CommandInfo_URI{uri}, Files: files})
	}
	has := func(_ context.Context, _ string, _ int64, to io.WriterAt, _ func(int64)) error {
		_, err := to.WriteAt([]byte("content"), 0)
		return err
	}
	hasNot := func(context.Context, string, int64, io.WriterAt, func(int64)) error {
		return errors.New("no such file")
	}
	for i, test := range []struct {
		principal string
		files     offer
		gets      bool
	}{{"ann", has, true}, {"eve", hasNot, false}, {"", hasNot, false}, {"ann", hasNot, true}} {
		if err := as(test.principal, test.files); (err == nil) != test.gets {
			t.Errorf("%d: %q got %v", i, test.principal, err)
		}
	}
}

func TestAFetchEndsWithItsContext(t *testing.T) {
	begun := make(chan struct{})
	r := newRig(t, Options{}, func(_ http.ResponseWriter, q *http.Request) {
		close(begun)
		<-q.Context().Done()
	})
	failed := make(chan error, 1)
	ctx, cancel := contextWithCancel(t)
	go func() {
		failed <- r.fetcher.Fetch(ctx, Request{Sandbox: r.sandbox, URIs: []*mesos.CommandInfo_URI{plainURI(r.server.URL + "/x")}})
	}()
	<-begun
	cancel()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("it succeeded")
		}
	case <-time.After(deadline):
		t.Error("it goes on")
	}
}

func TestTheSlavesOwnFilesAreNobodysBusiness(t *testing.T) {
	own := t.TempDir()
	key := filepath.Join(own, "key")
	if err := os.WriteFile(key, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "innocent")
	if err := os.Symlink(key, link); err != nil {
		t.Fatal(err)
	}
	single := tempFile(t, "slave.toml", "secret")
	r := newRig(t, Options{Forbidden: []string{own, single}}, nil)
	r.refused(plainURI(single), "permission denied")
	for _, path := range []string{key, link, own + "/../" + filepath.Base(own) + "/key", "file://" + link} {
		r.refused(plainURI(path), "permission denied")
	}
	beside := own + "-public"
	if err := os.WriteFile(beside, []byte("public"), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(beside)
	r.must(plainURI(beside))
}

func TestAUserReadsOnlyWhatHeMayAndOwnsWhatComes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	r := newRig(t, Options{}, nil)
	if err := os.Chmod(filepath.Dir(filepath.Dir(r.sandbox)), 0o755); err != nil {
		t.Fatal(err)
	}
	mine := tempFile(t, "mine", "mine")
	public := tempFile(t, "public", "public")
	for path, mode := range map[string]fs.FileMode{mine: 0o600, public: 0o604, filepath.Dir(mine): 0o755, filepath.Dir(public): 0o755, filepath.Dir(filepath.Dir(mine)): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user, path string) error {
		return r.fetcher.Fetch(t.Context(), Request{Sandbox: r.sandbox, User: user, URIs: []*mesos.CommandInfo_URI{plainURI(path)}})
	}
	if err := as("nobody", mine); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a file of root: got %v", err)
	}
	if err := as("nobody", public); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(r.sandbox, "public")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 65534 {
		t.Errorf("its owner: %v, %v", info, err)
	}
	if err := as("root", mine); err != nil {
		t.Errorf("root, afterwards: %v", err)
	}
	if err := as("no-such-user", public); err == nil || !strings.Contains(err.Error(), `"no-such-user"`) {
		t.Errorf("got %v", err)
	}
}
