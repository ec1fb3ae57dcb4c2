package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/core"
)

// world is a work_dir with two sandboxes behind a server, and a secret that lies outside of them.
type world struct {
	*testing.T
	server           *httptest.Server
	workDir, sandbox string
	neighbour        string
}

const secret = "nobody may see this"

func newWorld(t *testing.T) *world {
	w := &world{T: t, workDir: filepath.Join(t.TempDir(), "work")}
	if err := os.Mkdir(w.workDir, 0o755); err != nil {
		t.Fatal(err)
	}
	run := checkpoint.Run{SlaveID: "K-S0", FrameworkID: "F", ExecutorID: "e1", ContainerID: "C1"}
	w.sandbox = w.make(run)
	run.ExecutorID = "e2"
	w.neighbour = w.make(run)
	w.write(w.neighbour+"/private", secret)
	w.write(w.workDir+"/secret", secret)
	w.write(filepath.Dir(w.workDir)+"/secret", secret)
	view := &core.View{SlaveID: "K-S0"}
	w.server = httptest.NewServer(New(Options{View: func() *core.View { return view }, WorkDir: w.workDir, Version: "1.2.3"}))
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) make(run checkpoint.Run) string {
	w.Helper()
	path, err := checkpoint.MakeSandbox(w.workDir, run, "")
	if err != nil {
		w.Fatal(err)
	}
	return path
}

func (w *world) write(path, text string) {
	w.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
}

// reply is what a server answered, without the body.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// get asks with a query as it is, and returns the answer and its body.
func (w *world) get(path, query string, headers ...string) (reply, string) {
	w.Helper()
	request, err := http.NewRequest(http.MethodGet, w.server.URL+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	request.URL.RawQuery = query
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		w.Fatalf("GET %s?%s: %v", path, query, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatalf("GET %s?%s: %v", path, query, err)
	}
	return reply{response.StatusCode, response.Status, response.Header}, string(body)
}

func query(path string, more ...string) string {
	v := url.Values{"path": {path}}
	for i := 0; i < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v.Encode()
}

const virtual = "/frameworks/F/executors/e1/runs/latest"

func TestFilesOfASandboxAreServedUnderAllItsPaths(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/stdout", "hello\n")
	for _, path := range []string{
		virtual + "/stdout",
		virtual + "//./stdout",
		"/frameworks/F/executors/e1/runs/C1/stdout",
		"/slaves/K-S0/frameworks/F/executors/e1/runs/latest/stdout",
		"/slaves/K-S0/frameworks/F/executors/e1/runs/C1/stdout",
		w.sandbox + "/stdout",
		"/" + w.sandbox + "/stdout",
	} {
		for _, prefix := range []string{"", "/slave(1)", "/slave"} {
			if r, body := w.get(prefix+"/files/download", query(path)); r.StatusCode != 200 || body != "hello\n" {
				t.Errorf("download %s: %s: %s", path, r.Status, body)
			}
		}
	}
}

func TestReadGivesPartsAsMesosDoes(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/stdout", "0123456789")
	w.write(w.sandbox+"/empty", "")
	w.write(w.sandbox+"/bytes", "a\xff\xfeb")
	w.write(w.sandbox+"/umlauts", "äöü")
	w.write(w.sandbox+"/large", strings.Repeat("x", MaxReadLength+1))
	tests := []struct {
		name, file string
		parameters []string
		want       content
	}{
		{"offset -1 is the size", "stdout", []string{"offset", "-1"}, content{"", 10}},
		{"no offset is offset -1", "stdout", nil, content{"", 10}},
		{"no length is all", "stdout", []string{"offset", "0"}, content{"0123456789", 0}},
		{"length -1 is all", "stdout", []string{"offset", "2", "length", "-1"}, content{"23456789", 2}},
		{"a part", "stdout", []string{"offset", "2", "length", "3"}, content{"234", 2}},
		{"a part that ends behind the end", "stdout", []string{"offset", "8", "length", "30"}, content{"89", 8}},
		{"nothing behind the end", "stdout", []string{"offset", "80", "length", "30"}, content{"", 80}},
		{"nothing at all", "stdout", []string{"offset", "0", "length", "0"}, content{"", 0}},
		{"an empty file", "empty", []string{"offset", "0"}, content{"", 0}},
		{"bytes that are not UTF-8 are replaced", "bytes", []string{"offset", "0"}, content{"a\ufffd\ufffdb", 0}},
		{"a character is not torn", "umlauts", []string{"offset", "0", "length", "3"}, content{"ä", 0}},
		{"a character that is all there is", "umlauts", []string{"offset", "0", "length", "1"}, content{"\ufffd", 0}},
		{"not more than the limit", "large", []string{"offset", "0", "length", "99999999"}, content{strings.Repeat("x", MaxReadLength), 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, body := w.get("/files/read", query(virtual+"/"+test.file, test.parameters...))
			var got content
			if err := json.Unmarshal([]byte(body), &got); err != nil || r.StatusCode != 200 {
				t.Fatalf("%s, %v: %s", r.Status, err, body)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	for _, bad := range [][]string{{"offset", "-2"}, {"offset", "x"}, {"offset", "0", "length", "-2"}, {"offset", "99999999999999999999"}} {
		if r, body := w.get("/files/read", query(virtual+"/stdout", bad...)); r.StatusCode != 400 || !strings.Contains(body, bad[len(bad)-1]) {
			t.Errorf("%v: %s: %s, want 400 and the value", bad, r.Status, body)
		}
	}
}

func TestDownloadIsExactAndKnowsRanges(t *testing.T) {
	w := newWorld(t)
	bytes := "\x00\xff\xfe<script>\r\n\x80"
	w.write(w.sandbox+"/stdout", bytes)
	if _, body := w.get("/files/download", query(virtual+"/stdout")); body != bytes {
		t.Errorf("got %q, want %q", body, bytes)
	}
	for ranges, want := range map[string]string{"bytes=1-2": "\xff\xfe", "bytes=-1": "\x80", "bytes=3-": bytes[3:]} {
		if r, body := w.get("/files/download", query(virtual+"/stdout"), "Range", ranges); r.StatusCode != 206 || body != want {
			t.Errorf("%s: %s: %q, want %q", ranges, r.Status, body, want)
		}
	}
	if r, _ := w.get("/files/download", query(virtual+"/stdout"), "Range", "bytes=100-"); r.StatusCode != 416 {
		t.Errorf("a range behind the end: %s, want 416", r.Status)
	}
}

func TestAFileMayGrowAndHaveHoles(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/stdout", "one\n")
	file, err := os.OpenFile(w.sandbox+"/stdout", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, body := w.get("/files/download", query(virtual+"/stdout")); body != "one\n" {
		t.Errorf("got %q", body)
	}
	if _, err := file.WriteString("two\n"); err != nil {
		t.Fatal(err)
	}
	if _, body := w.get("/files/download", query(virtual+"/stdout"), "Range", "bytes=4-"); body != "two\n" {
		t.Errorf("what was added is %q", body)
	}

	// A terabyte of nothing, and one byte.
	const size = 1 << 40
	w.write(w.sandbox+"/sparse", "")
	if err := os.Truncate(w.sandbox+"/sparse", size-1); err != nil {
		t.Skipf("the file system has no holes so large: %v", err)
	}
	sparse, err := os.OpenFile(w.sandbox+"/sparse", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if _, err := sparse.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if _, body := w.get("/files/read", query(virtual+"/sparse", "offset", "-1")); body != fmt.Sprintf("{\"data\":\"\",\"offset\":%d}\n", size) {
		t.Errorf("its size: %s", body)
	}
	if _, body := w.get("/files/read", query(virtual+"/sparse", "offset", fmt.Sprint(size-2))); body != fmt.Sprintf("{\"data\":\"\\u0000x\",\"offset\":%d}\n", size-2) {
		t.Errorf("its end: %s", body)
	}
	if _, body := w.get("/files/download", query(virtual+"/sparse"), "Range", "bytes=-2"); body != "\x00x" {
		t.Errorf("its end: %q", body)
	}
}

func TestBrowseListsAFolder(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/stdout", "hello\n")
	w.write(w.sandbox+"/a b&c<", "")
	if err := os.MkdirAll(w.sandbox+"/sub/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", w.sandbox+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.sandbox+"/stdout", 0o644|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	_, body := w.get("/files/browse", query(virtual+"/"))
	var list []fileInfo
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var got []string
	for _, f := range list {
		got = append(got, f.Mode+" "+f.Path)
		if f.UID == "" || f.GID == "" || f.Nlink == 0 || f.Mtime == 0 {
			t.Errorf("incomplete: %+v", f)
		}
	}
	want := []string{"-rw-r--r-- " + virtual + "/a b&c<", "Lrwxrwxrwx " + virtual + "/link", "-rwSr--r-- " + virtual + "/stdout", "drwxr-xr-x " + virtual + "/sub"}
	want[1] = "l" + want[1][1:]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, body := w.get("/files/browse", query(virtual+"/sub/dir")); body != "[]\n" {
		t.Errorf("an empty folder is %q", body)
	}
}

func TestAFolderWithTooManyFilesIsCutAndSaysSo(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/stdout", "")
	for i := range MaxListedEntries {
		if err := os.Link(w.sandbox+"/stdout", fmt.Sprintf("%s/%d", w.sandbox, i)); err != nil {
			t.Fatal(err)
		}
	}
	r, body := w.get("/files/browse", query(virtual))
	var list []fileInfo
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != MaxListedEntries || r.Header.Get(truncatedHeader) == "" {
		t.Errorf("%d entries, %v, %v", len(list), err, r.Header)
	}
}

// Path traversal, in each of the ways it has been done to others: Nomad's logs and files led out of the sandbox.
func TestCVE_2022_24683_AndCVE_2024_1329_NothingLeavesASandbox(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/stdout", "hello\n")
	link := func(to, name string) {
		if err := os.Symlink(to, w.sandbox+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(w.sandbox+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	link("/etc/passwd", "absolute")
	link(w.workDir+"/secret", "work")
	link(w.sandbox+"/stdout", "own-absolute")
	link("../../../e2/runs/latest/private", "neighbour")
	link("../../../e2/runs/latest", "neighbour-folder")
	link("..", "up")
	link("../../../../../../..", "top")
	link("sub/../..", "winding")
	link("/", "root")
	link("/proc/self/root", "proc")
	link("circle", "circle")
	link("loop2", "loop1")
	link("loop1", "loop2")

	raw := func(path string) string { return "path=" + path } // as it stands in the URL
	tests := []struct {
		name, query string
		status      int
	}{
		{"no path", "", 400},
		{"an empty path", raw(""), 400},
		{"a relative path", raw("frameworks/F/executors/e1/runs/latest/stdout"), 400},
		{"the root", raw("/"), 404},
		{"a file of the machine", raw("/etc/passwd"), 404},
		{"a file of the work_dir", query(w.workDir + "/secret"), 404},
		{"the work_dir", query(w.workDir), 404},
		{"a file next to the work_dir", query(w.workDir + "/../secret"), 400},
		{"the folder of all runs", raw("/frameworks/F/executors/e1/runs"), 404},
		{"a folder above", raw("/frameworks/F"), 404},
		{"..", raw(virtual + "/../../../e2/runs/latest/private"), 400},
		{".. in the end", raw(virtual + "/.."), 400},
		{".. that stays inside", raw(virtual + "/sub/../stdout"), 400},
		{".. as an id", raw("/frameworks/../executors/e1/runs/latest/stdout"), 400},
		{"%2e%2e", raw(virtual + "/%2e%2e/%2e%2e/secret"), 400},
		{"%2e%2e%2f", raw(virtual + "/%2e%2e%2f%2e%2e%2fsecret"), 400},
		{"%252e%252e, decoded once", raw(virtual + "/%252e%252e/stdout"), 404},
		{"..%c0%af, an overlong slash", raw(virtual + "/..%c0%afsecret"), 404},
		{"backslashes", raw(virtual + `/..%5c..%5csecret`), 404},
		{"%25252e%25252e, decoded once", raw(virtual + "/%25252e%25252e/secret"), 404},
		{"%u002e, which is no encoding", raw(virtual + "/%u002e%u002e/secret"), 400},
		{"a torn %", raw(virtual + "/%2"), 400},
		{"wide dots", query(virtual + "/\uff0e\uff0e/secret"), 404},
		{"a wide slash", query(virtual + "/..\uff0fsecret"), 404},
		{"dots made of two leaders", query(virtual + "/\u2025/secret"), 404},
		{"a name that turns the text round", query(virtual + "/\u202e/secret"), 404},
		{"bytes that are not UTF-8", raw(virtual + "/%ff%fe%2e%2e"), 404},
		{"a + that is a blank", raw(virtual + "/..+/secret"), 404},
		{"two paths, of which the first counts", raw(virtual + "/..&path=" + virtual + "/stdout"), 400},
		{"NUL", raw(virtual + "/stdout%00.txt"), 400},
		{"NUL in an id", raw("/frameworks/F%00/executors/e1/runs/latest/stdout"), 400},
		{"a slash in an id", raw("/frameworks/F%2f..%2f../executors/e1/runs/latest/stdout"), 400},
		{"an absolute path in the sandbox", raw(virtual + "//etc/passwd"), 404},
		{"a name that is too long", raw(virtual + "/" + strings.Repeat("x", 300)), 404},
		{"a path that is too long", raw(virtual + strings.Repeat("/x", 5000)), 404},
		{"a file as a folder", raw(virtual + "/stdout/x"), 404},
		{"another slave", raw("/slaves/K-S1/frameworks/F/executors/e1/runs/latest/stdout"), 404},
		{"an unknown run", raw("/frameworks/F/executors/e1/runs/C9/stdout"), 404},
		{"an unknown executor", raw("/frameworks/F/executors/e9/runs/latest/stdout"), 404},
		{"a link to a file of the machine", raw(virtual + "/absolute"), 403},
		{"a link to a file of the work_dir", raw(virtual + "/work"), 403},
		{"a link by an absolute path to an own file", raw(virtual + "/own-absolute"), 403},
		{"a link to a neighbour's file", raw(virtual + "/neighbour"), 403},
		{"a link to a neighbour's sandbox", raw(virtual + "/neighbour-folder/private"), 403},
		{"a link up", raw(virtual + "/up"), 403},
		{"through a link up", raw(virtual + "/up/C1/stdout"), 403},
		{"through a link to the work_dir", raw(virtual + "/top/secret"), 403},
		{"through a link that winds", raw(virtual + "/winding/latest/stdout"), 403},
		{"through a link to the root", raw(virtual + "/root/etc/passwd"), 403},
		{"through /proc", raw(virtual + "/proc/etc/passwd"), 403},
		{"a link to itself", raw(virtual + "/circle"), 404},
		{"links in a circle", raw(virtual + "/loop1"), 404},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, endpoint := range []string{"/files/browse", "/files/read", "/files/download"} {
				r, body := w.get(endpoint, test.query)
				if r.StatusCode != test.status {
					t.Errorf("%s: %s: %s, want %d", endpoint, r.Status, body, test.status)
				}
				if strings.Contains(body, secret) || strings.Contains(body, "root:") {
					t.Errorf("%s shows %s", endpoint, body)
				}
				if strings.Count(body, "\n") != 1 {
					t.Errorf("%s: the answer is not one line: %q", endpoint, body)
				}
			}
		})
	}
}

func TestALinkWithinTheSandboxIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/stdout", "hello\n")
	if err := os.Symlink("stdout", w.sandbox+"/link"); err != nil {
		t.Fatal(err)
	}
	if r, body := w.get("/files/download", query(virtual+"/link")); body != "hello\n" {
		t.Errorf("%s: %s", r.Status, body)
	}
}

// TestLogFIFOIsNeverOpened: a task that puts a pipe where its log was would hold a reader for ever (Nomad CVE-2026-6959).
func TestLogFIFOIsNeverOpened(t *testing.T) {
	w := newWorld(t)
	if err := syscall.Mkfifo(w.sandbox+"/stdout", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(w.sandbox+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pipe", w.sandbox+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stdout", "link"} {
		for _, endpoint := range []string{"/files/browse", "/files/read", "/files/download"} {
			if r, body := w.get(endpoint, query(virtual+"/"+name)); r.StatusCode != 400 {
				t.Errorf("%s of %s: %s: %s, want 400", endpoint, name, r.Status, body)
			}
		}
	}
}

// TestCVE_2020_10944: what a task wrote must not run in the browser of who looks at it.
func TestCVE_2020_10944(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/index.html", "<script>alert(1)</script>")
	r, _ := w.get("/files/download", query(virtual+"/index.html"))
	if got := r.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type is %q", got)
	}
	for _, q := range []string{query(virtual + "/index.html"), query("/<script>alert(1)</script>")} {
		for _, endpoint := range []string{"/files/browse", "/files/read", "/files/download"} {
			r, body := w.get(endpoint, q)
			if r.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("%s: headers %v", endpoint, r.Header)
			}
			if strings.Contains(r.Header.Get("Content-Type"), "html") {
				t.Errorf("%s: %v: %s", endpoint, r.Header, body)
			}
		}
	}
}

// A request whose path is missing or no path is answered, and whoever asks next is served.
func TestCVE_2017_7687_AndCVE_2017_9790_ARequestWithoutAPathIsAnswered(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{
		"", "*", "?", "?path=/", "#", "http://", "http:", "://", "//", "///", "/%", "/%zz", "/\x00", "/..", "/../..", "files/read", "\\", "/files/read?%", "/files/read?path=%",
		"/files/browse?path", "/files/download?path=" + strings.Repeat("/..", 1<<10), "/" + strings.Repeat("a", 1<<16),
	} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "CONNECT", "POST", "", "\x00"} {
			conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, target) // it may be refused before all is sent
			answer, err := io.ReadAll(conn)
			conn.Close()
			if refused := strings.HasPrefix(string(answer), "HTTP/1.1 "); !refused || strings.Contains(string(answer), "HTTP/1.1 5") {
				t.Errorf("%q %.80q: answered %.200q, %v", method, target, answer, err)
			}
			if strings.Contains(string(answer), secret) {
				t.Errorf("%q %.80q gives away a secret", method, target)
			}
		}
	}
	if r, body := w.get("/files/browse", query(virtual)); r.StatusCode != 200 {
		t.Errorf("afterwards: %s %s", r.Status, body)
	}
}

func TestAFolderIsNotReadAndAFileNotBrowsed(t *testing.T) {
	w := newWorld(t)
	w.write(w.sandbox+"/stdout", "")
	for endpoint, path := range map[string]string{
		"/files/read": virtual, "/files/download": virtual, "/files/browse": virtual + "/stdout",
	} {
		if r, body := w.get(endpoint, query(path)); r.StatusCode != 400 || !strings.Contains(body, path) {
			t.Errorf("%s: %s: %s", endpoint, r.Status, body)
		}
	}
}

func TestHealthVersionAndMetrics(t *testing.T) {
	w := newWorld(t)
	if r, body := w.get("/health", ""); r.StatusCode != 200 || body != "{\"healthy\":true}\n" {
		t.Errorf("health: %s: %s", r.Status, body)
	}
	if _, body := w.get("/version", ""); body != "{\"version\":\"1.2.3\"}\n" {
		t.Errorf("version: %s", body)
	}
	if _, body := w.get("/slave(1)/metrics", ""); !strings.Contains(body, "\nstoa_slave_registered 0\n") {
		t.Errorf("metrics: %s", body)
	}
	if r, _ := w.get("/etc/passwd", ""); r.StatusCode != 404 {
		t.Errorf("another path: %s", r.Status)
	}
	r, err := http.Post(w.server.URL+"/files/read?"+query(virtual), "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != 405 {
		t.Errorf("POST: %s, want 405", r.Status)
	}
}
