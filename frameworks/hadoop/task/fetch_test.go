package task

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/proto"
)

func part(body string) *taskpb.Part {
	return &taskpb.Part{Bytes: int64(len(body)), Crc32C: Checksum(0, []byte(body))}
}

func testFetcher(t *testing.T) Fetcher {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return Fetcher{Client: client, Tries: 3, Backoff: time.Millisecond, Stall: 200 * time.Millisecond}
}

func TestFetchingEndsWithTheRightBytesOrAnError(t *testing.T) {
	const body = "the bytes that were announced"
	tests := []struct {
		name   string
		answer func(try int, w http.ResponseWriter)
		tries  int
		want   string // "" is success
	}{
		{"at once", func(_ int, w http.ResponseWriter) { fmt.Fprint(w, body) }, 1, ""},
		{"after an error of the slave", func(try int, w http.ResponseWriter) {
			if try == 1 {
				w.WriteHeader(503)
				return
			}
			fmt.Fprint(w, body)
		}, 2, ""},
		{"after a damaged answer", func(try int, w http.ResponseWriter) {
			if try == 1 {
				fmt.Fprint(w, strings.ToUpper(body))
				return
			}
			fmt.Fprint(w, body)
		}, 2, ""},
		{"after a connection that broke", func(try int, w http.ResponseWriter) {
			if try == 1 {
				fmt.Fprint(w, body[:5])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, body)
		}, 2, ""},
		{"never, as it is always damaged", func(_ int, w http.ResponseWriter) { fmt.Fprint(w, strings.ToUpper(body)) }, 3, "checksum is"},
		{"never, as it is too short", func(_ int, w http.ResponseWriter) { fmt.Fprint(w, body[1:]) }, 3, "want 29 bytes"},
		{"never, as it is too long", func(_ int, w http.ResponseWriter) { fmt.Fprint(w, body, "x") }, 3, "longer than the 29 bytes"},
		{"never and at once, as it is missing", func(_ int, w http.ResponseWriter) { http.Error(w, "gone away", 404) }, 1, "404 Not Found: gone away"},
	}
	for _, test := range tests {
		for _, how := range []string{"memory", "file"} {
			t.Run(test.name+" into "+how, func(t *testing.T) {
				var tries atomic.Int32
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					test.answer(int(tries.Add(1)), w)
				}))
				defer server.Close()
				var got []byte
				var err error
				if how == "memory" {
					got = make([]byte, len(body))
					err = testFetcher(t).ToMemory(context.Background(), server.URL, part(body), got)
				} else {
					path := filepath.Join(t.TempDir(), "out")
					err = testFetcher(t).ToFile(context.Background(), server.URL, part(body), path)
					got, _ = os.ReadFile(path)
				}
				if int(tries.Load()) != test.tries {
					t.Errorf("%d tries, want %d", tries.Load(), test.tries)
				}
				if test.want == "" && (err != nil || string(got) != body) {
					t.Errorf("got %q, %v", got, err)
				}
				var fetch *FetchError
				if test.want != "" && (!errors.As(err, &fetch) || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("got %v, want %q", err, test.want)
				}
			})
		}
	}
}

func TestASlaveThatFallsSilentIsNotWaitedFor(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "a")
		w.(http.Flusher).Flush()
		<-release
	}))
	defer server.Close()
	defer close(release)
	fetcher := testFetcher(t)
	fetcher.Tries = 1
	if err := fetcher.ToMemory(context.Background(), server.URL, part("abc"), make([]byte, 3)); err == nil || !strings.Contains(err.Error(), "no byte came for 200ms") {
		t.Errorf("got %v", err)
	}
}

func TestAFullDiskIsNoFaultOfTheNetwork(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "abc") }))
	defer server.Close()
	err := testFetcher(t).ToFile(context.Background(), server.URL, part("abc"), "/dev/full")
	var fetch *FetchError
	if err == nil || errors.As(err, &fetch) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}

func TestTheTailOfAFile(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string]string{"long": "0123456789", "short": "9", "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	fetcher := testFetcher(t)
	fetcher.Stall = 0 // the default: nothing stalls here, but the machine may be busy
	for name, want := range map[string]string{"long": "6789", "short": "9", "empty": ""} {
		if got, err := fetcher.Tail(context.Background(), server.URL+"/"+name, 4); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestAReduceSaysWhichMapOutputItCouldNotFetch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/here" {
			fmt.Fprint(w, "\x01\x00k")
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	dead := httptest.NewServer(nil)
	dead.Close()
	env := testEnv(t)
	url := func(m int, u string) *taskpb.MapOutput {
		return &taskpb.MapOutput{Map: int32(m), Url: u, Part: part("\x01\x00k")}
	}
	status, stderr := program(t, "reduce", env, &taskpb.ReduceTask{
		Attempt: &taskpb.Attempt{TaskId: "reduce-00000-0"}, Reducer: "cat",
		Inputs: []*taskpb.MapOutput{url(0, server.URL+"/here"), url(1, server.URL+"/lost"), url(2, dead.URL+"/here"), url(3, server.URL+"/here")},
	})
	if status != ExitOutputLost || !strings.Contains(stderr, "hadoop task reduce-00000-0: the output of map 1 could not be fetched: ") || !strings.Contains(stderr, "and that of 1 more") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	body, err := os.ReadFile(filepath.Join(env.Sandbox, LostOutputsFile))
	if err != nil {
		t.Fatal(err)
	}
	var lost taskpb.LostOutputs
	if err := proto.Unmarshal(body, &lost); err != nil {
		t.Fatal(err)
	}
	if l := lost.GetLost(); len(l) != 2 || l[0].GetMap() != 1 || l[0].GetUrl() != server.URL+"/lost" || l[1].GetMap() != 2 {
		t.Errorf("lost: %v", l)
	}
}
