package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/slave/api"
	"github.com/stoa-project/stoa/slave/core"
)

// A task goes on while its folder is copied, and gives its files whatever names it likes.
func TestAFolderIsDownloadedWithAllThatCanBeHad(t *testing.T) {
	work := t.TempDir()
	place := sandbox.Place{SlaveID: "S1", FrameworkID: "F1", ExecutorID: "e1", ContainerID: "c1"}
	folder := filepath.Join(work, place.Path("out"))
	long := strings.Repeat("l\tng/", 60)
	contents := map[string]string{
		"plain": "a", "by\xffte\nnl": "b", "fold\xfeer/in\xfd": "c", "pct%2e%00%": "d", "qu?hash#amp&plus+": "e", `"quo": ted`: "f", long + "file": "g",
	}
	for name, content := range contents {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	gone := filepath.Join(folder, "gone")
	if err := os.WriteFile(gone, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	slave := api.New(api.Options{View: func() *core.View { return nil }, WorkDir: work})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/download") && strings.HasSuffix(r.FormValue("path"), "/gone") {
			_ = os.Remove(gone) // after it was listed
		}
		slave.ServeHTTP(w, r)
	}))
	defer s.Close()
	place.Slave = s.URL

	leftOut := map[string]string{}
	d := downloader{place: place, skipped: func(name, reason string) { leftOut[name] = reason }}
	to := filepath.Join(t.TempDir(), "copy")
	if err := d.get(t.Context(), "out", to); err != nil {
		t.Fatal(err)
	}
	for name, want := range contents {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	want := map[string]string{"out/gone": "it is gone", "out/pipe": "it is neither a file nor a folder"}
	if !maps.Equal(leftOut, want) || d.count != len(contents) {
		t.Errorf("%d files, and left out %v; want %d, and %v", d.count, leftOut, len(contents), want)
	}
	if _, err := os.Lstat(filepath.Join(to, "gone")); err == nil {
		t.Error("there is an empty file in place of one that was gone")
	}
	if err := d.get(t.Context(), "out/"+long+"file", filepath.Join(to, "single")); err != nil {
		t.Errorf("a file with a long path: %v", err)
	}
	for name, reason := range map[string]string{"out/pipe": "out/pipe: it is neither", "out/plain/x": "no such file"} {
		err := d.get(t.Context(), name, filepath.Join(to, "refused"))
		if err == nil || !strings.HasPrefix(err.Error(), reason) {
			t.Errorf("%s: got %v, want %s", name, err, reason)
		}
	}
}
