package fetcher

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

func TestTooLargeFilesAreRefused(t *testing.T) {
	r := newRig(t, Options{MaxBytes: 10}, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/unsaid" {
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, "eleven bytes")
	})
	r.refused(plainURI(r.server.URL+"/said"), "larger than the allowed 10 bytes")
	r.refused(plainURI(r.server.URL+"/unsaid"), "larger than the allowed 10 bytes")
	r.refused(plainURI(tempFile(t, "local", "eleven bytes")), "larger than the allowed 10 bytes")
}

func TestASandboxIsNotFilledBeyondItsDisk(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.disk = 250_000 // of which the sandbox itself takes a block
	file := tempFile(t, "f", strings.Repeat("x", 100_000))
	r.must(plainURI(file))
	second, third := plainURI(file), plainURI(file)
	second.OutputFile, third.OutputFile = proto.String("second"), proto.String("third")
	if err := r.fetch(plainURI(file), second, third); err == nil || !strings.Contains(err.Error(), "it has 100000 bytes: the task's disk of 250000 bytes has room for 4") {
		t.Errorf("three times 100,000 bytes: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.sandbox, "third")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what has no room was begun: %v", err)
	}
	r.refused(archiveURI(tempFile(t, "bomb.gz", gz(t, strings.Repeat("\x00", 1<<20)))), "unpack: it has at least 2459")
	if left, err := os.Stat(filepath.Join(r.sandbox, "bomb")); err != nil || left.Size() > r.disk {
		t.Errorf("of the bomb there is %v, %v", left, err)
	}
}

// As the host counts when the task runs.
func TestWhatIsUnpackedCountsInBlocks(t *testing.T) {
	var files, folders []tar.Header
	for i := range 100 {
		files = append(files, tar.Header{Name: fmt.Sprint("f", i)})
		folders = append(folders, tar.Header{Name: fmt.Sprint("d", i, "/"), Typeflag: tar.TypeDir})
	}
	for name, test := range map[string]struct {
		content string
		want    string
	}{
		"files.tar":   {tarOf(t, files...), `unpack: entry "f`},
		"folders.tar": {tarOf(t, folders...), `unpack: entry "d`},
	} {
		r := newRig(t, Options{}, nil)
		own, err := os.Stat(r.sandbox)
		if err != nil {
			t.Fatal(err)
		}
		block := own.Sys().(*syscall.Stat_t).Blocks * 512
		if block == 0 {
			t.Skip("folders take nothing on this file system")
		}
		r.disk = 50 * block
		r.refused(archiveURI(tempFile(t, name, test.content)), test.want)
		if entries, err := os.ReadDir(r.sandbox); err != nil || len(entries) != 50 {
			t.Errorf("%s: %d entries, %v, want those that there is room for, and one more", name, len(entries), err)
		}
		r.disk = 102 * block
		r.must(archiveURI(tempFile(t, name, test.content)))
	}
}

// What does not fit into the disk of who asks for it is not downloaded to its end, whether the server says how large it is or not.
func TestADownloadStopsWhenTheDiskHasNoRoomForIt(t *testing.T) {
	gone := make(chan struct{}, 1)
	r := newRig(t, Options{MaxBytes: 64 << 20, StallTimeout: 10 * time.Second}, func(w http.ResponseWriter, q *http.Request) {
		defer func() { gone <- struct{}{} }()
		if q.URL.Path == "/said" {
			w.Header().Set("Content-Length", "50000000")
		}
		for part := make([]byte, 64<<10); q.Context().Err() == nil; {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	r.disk = 1 << 20
	own := r.disk - 4096
	for name, want := range map[string]string{
		"/said":      fmt.Sprint("it has 50000000 bytes: the task's disk of 1048576 bytes has room for ", own),
		"/said.tgz":  "bytes: the task's disk of 1048576 bytes has room for ",
		"/unsaid.gz": "it has at least 10",
		"/unsaid":    "it has at least 10",
	} {
		r.refused(plainURI(r.server.URL+name), want)
		r.refused(plainURI(r.server.URL+name), "fetch "+r.server.URL+name)
		for range 2 {
			select {
			case <-gone:
			case <-time.After(deadline):
				t.Fatal("the server goes on")
			}
		}
	}
	if entries, err := os.ReadDir(r.sandbox); err != nil || len(entries) != 0 || r.stored() != 0 {
		t.Errorf("there are %v, %v in the sandbox and %d downloads", entries, err, r.stored())
	}
}

// A download is shared by who has room for it, now and later. Who has none is told at once.
func TestWhoHasNoRoomForADownloadLeavesItToOthers(t *testing.T) {
	const size = 1 << 20
	half, proceed := make(chan struct{}), make(chan struct{})
	var asked atomic.Int32
	r := newRig(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = w.Write(make([]byte, size/2)) // or the other half fails
		w.(http.Flusher).Flush()
		close(half)
		<-proceed
		_, _ = w.Write(make([]byte, size/2))
	})
	uri := func(output string) []*mesos.CommandInfo_URI {
		one := plainURI(r.server.URL + "/x")
		one.Cache, one.OutputFile = proto.Bool(true), &output
		return []*mesos.CommandInfo_URI{one}
	}
	with := func(disk int64, output string) error {
		return r.fetcher.Fetch(t.Context(), Request{Sandbox: r.sandbox, URIs: uri(output), DiskBytes: disk})
	}
	large := make(chan error, 1)
	go func() { large <- with(10*size, "large") }()
	<-half
	const refusal = "it has 1048576 bytes: the task's disk of 100000 bytes has room for "
	if err := with(100_000, "small"); err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("while it is under way: %v", err)
	}
	close(proceed)
	if err := <-large; err != nil {
		t.Error(err)
	}
	if err := with(100_000, "small"); err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("when it is kept: %v", err)
	}
	if err := with(0, "unlimited"); err != nil {
		t.Error(err)
	}
	r.has("large", strings.Repeat("\x00", size))
	r.has("unlimited", strings.Repeat("\x00", size))
	if _, err := os.Stat(filepath.Join(r.sandbox, "small")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was begun where it has no room: %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestAFileOfASchedulerThatHasNoRoomIsRefusedOnce(t *testing.T) {
	r := newRig(t, Options{}, nil)
	proceed := make(chan struct{})
	begun := make(chan struct{})
	ask := func(disk int64, output string, files offer) error {
		uri := plainURI(mesos.FrameworkFileScheme + ":///x#sha256=" + sum(strings.Repeat("x", 500_000)))
		uri.OutputFile = &output
		return r.fetcher.Fetch(t.Context(), Request{Sandbox: r.sandbox, DiskBytes: disk, URIs: []*mesos.CommandInfo_URI{uri}, Files: files})
	}
	large := make(chan error, 1)
	go func() {
		large <- ask(0, "large", func(_ context.Context, _ string, _ int64, to io.WriterAt, expect func(int64)) error {
			expect(500_000)
			close(begun)
			<-proceed
			_, err := to.WriteAt([]byte(strings.Repeat("x", 500_000)), 0)
			return err
		})
	}()
	<-begun
	err := ask(100_000, "small", func(context.Context, string, int64, io.WriterAt, func(int64)) error {
		return errors.New("another's scheduler has begun already")
	})
	if err == nil || !strings.Contains(err.Error(), "it has 500000 bytes: the task's disk of 100000 bytes has room for ") {
		t.Errorf("got %v", err)
	}
	close(proceed)
	if err := <-large; err != nil {
		t.Error(err)
	}
}
