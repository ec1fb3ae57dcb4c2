package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/proto/mesos"
)

// server serves one real file, as a slave would: what f does instead, if anything, comes first.
func server(t *testing.T, file string, f func(w http.ResponseWriter, r *http.Request) bool) sandbox.Place {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f == nil || !f(w, r) {
			http.ServeFile(w, r, file)
		}
	}))
	t.Cleanup(s.Close)
	return sandbox.Place{Slave: s.URL, SlaveID: "S1", FrameworkID: "F 1", ExecutorID: "e&1"}
}

func tempFile(t *testing.T, content string) string {
	t.Helper()
	path := t.TempDir() + "/stdout"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func appendTo(t *testing.T, path, content string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(content)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPathsAndURLs(t *testing.T) {
	p := sandbox.Place{Slave: "http://h:5051", SlaveID: "S1", FrameworkID: "F 1", ExecutorID: "e&1"}
	if got, want := p.URL("stdout"), "http://h:5051/files/download?path=%2Fslaves%2FS1%2Fframeworks%2FF+1%2Fexecutors%2Fe%261%2Fruns%2Flatest%2Fstdout"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p.ContainerID = "C"
	if got, want := p.Path("a/b"), "/slaves/S1/frameworks/F 1/executors/e&1/runs/C/a/b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for want, address := range map[string]*mesos.Address{
		"http://10.0.0.1:5051": {Ip: proto.String("10.0.0.1"), Hostname: proto.String("h"), Port: proto.Int32(5051)},
		"http://[::1]:5051":    {Ip: proto.String("::1"), Port: proto.Int32(5051)},
		"http://h:80":          {Hostname: proto.String("h"), Port: proto.Int32(80)},
		"":                     nil,
	} {
		if got := sandbox.SlaveURL(&mesos.Offer{Url: &mesos.URL{Scheme: proto.String("http"), Address: address}}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCopyReadsFromAnOffsetToTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		offset  int64
		want    string
	}{
		"all":             {"a\x00\xffb", 0, "a\x00\xffb"},
		"a part":          {"hello", 2, "llo"},
		"nothing new":     {"hello", 5, ""},
		"behind the end":  {"hello", 9, ""},
		"an empty file":   {"", 0, ""},
		"several buffers": {strings.Repeat("0123456789", 20_000), 7, strings.Repeat("0123456789", 20_000)[7:]},
	} {
		t.Run(name, func(t *testing.T) {
			for _, ranges := range []bool{true, false} {
				place := server(t, tempFile(t, c.content), func(_ http.ResponseWriter, r *http.Request) bool {
					if !ranges {
						r.Header.Del("Range") // a proxy that knows none
					}
					return false
				})
				var b bytes.Buffer
				n, err := sandbox.Client{}.Copy(t.Context(), &b, place, "stdout", c.offset)
				if err != nil || b.String() != c.want || n != int64(len(c.want)) {
					t.Errorf("ranges %v: %d bytes %.40q, error %v; want %.40q", ranges, n, b.String(), err, c.want)
				}
			}
		})
	}
}

func TestErrorsSayWhatTheSlaveSaid(t *testing.T) {
	place := server(t, "", func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "no such executor", http.StatusNotFound)
		return true
	})
	_, err := sandbox.Client{}.Copy(t.Context(), &bytes.Buffer{}, place, "stdout", 0)
	if !errors.Is(err, sandbox.ErrNotFound) || !strings.Contains(err.Error(), "no such executor") {
		t.Errorf("error %v", err)
	}
	place = server(t, "", func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Range", "bytes 0-3/4")
		w.WriteHeader(http.StatusPartialContent)
		return true
	})
	if _, err := (sandbox.Client{}).Copy(t.Context(), &bytes.Buffer{}, place, "stdout", 2); err == nil || !strings.Contains(err.Error(), "asked for bytes from 2") {
		t.Errorf("a wrong range gives %v", err)
	}
}

func TestASlaveThatFallsSilentIsNotWaitedFor(t *testing.T) {
	stop := make(chan struct{})
	place := server(t, "", func(w http.ResponseWriter, r *http.Request) bool {
		fmt.Fprint(w, "some")
		w.(http.Flusher).Flush()
		select {
		case <-stop:
		case <-r.Context().Done():
		}
		return true
	})
	defer close(stop)
	var b bytes.Buffer
	n, err := sandbox.Client{Stall: 50 * time.Millisecond}.Copy(t.Context(), &b, place, "stdout", 0)
	if n != 4 || b.String() != "some" || err == nil || !strings.Contains(err.Error(), "was silent for 50ms") {
		t.Errorf("%d bytes, error %v", n, err)
	}
}

// cutShort sends the first half of what a file has from the asked offset on, and breaks the connection.
func cutShort(w http.ResponseWriter, r *http.Request, file string) {
	content, _ := os.ReadFile(file) // a missing file has nothing
	var from int
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
	w.Header().Set("Content-Length", "1000000")
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-999999/1000000", from))
	w.WriteHeader(http.StatusPartialContent)
	if rest := content[min(from, len(content)):]; len(rest) > 0 {
		w.Write(rest[:(len(rest)+1)/2])
	}
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestTheLastReadIsTriedAgainWhereItWasCut(t *testing.T) {
	const content = "0123456789"
	file := tempFile(t, content)
	var requests atomic.Int64
	place := server(t, file, func(w http.ResponseWriter, r *http.Request) bool {
		if requests.Add(1) <= 2 {
			cutShort(w, r, file)
		}
		return false
	})
	ended := make(chan struct{})
	close(ended)
	var got bytes.Buffer
	if n, err := (sandbox.Client{}).Follow(t.Context(), &got, place, "stdout", ended); err != nil || got.String() != content || n != int64(len(content)) {
		t.Errorf("%d bytes %q, error %v", n, got.String(), err)
	}
}

func TestFollowGivesEachByteOnceWhateverTheNetworkDoes(t *testing.T) {
	file := tempFile(t, "")
	var requests atomic.Int64
	place := server(t, file, func(w http.ResponseWriter, r *http.Request) bool {
		switch n := requests.Add(1); {
		case n == 1: // not there yet
			http.NotFound(w, r)
			return true
		case n%3 == 0:
			cutShort(w, r, file)
		}
		return false
	})
	ended, done := make(chan struct{}), make(chan struct{})
	var got bytes.Buffer
	go func() {
		defer close(done)
		if n, err := (sandbox.Client{}).Follow(t.Context(), &got, place, "stdout", ended); err != nil || n != int64(got.Len()) {
			t.Errorf("%d bytes, error %v", n, err)
		}
	}()
	var want strings.Builder
	for i := range 2000 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		appendTo(t, file, line)
	}
	close(ended)
	<-done
	if got.String() != want.String() {
		t.Errorf("%d bytes, want %d; requests %d", got.Len(), want.Len(), requests.Load())
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	place := server(t, tempFile(t, "a"), func(http.ResponseWriter, *http.Request) bool { cancel(enough); return false })
	if _, err := (sandbox.Client{}).Follow(ctx, &bytes.Buffer{}, place, "stdout", make(chan struct{})); !errors.Is(err, enough) {
		t.Errorf("error %v, want the cause", err)
	}
}
