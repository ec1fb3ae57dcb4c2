package sandbox_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/api"
	"github.com/stoa-project/stoa/slave/core"
)

// busySlave is a real slave's API with many sandboxes, which counts what it is asked.
type busySlave struct {
	*testing.T
	work              string
	url               string
	downloads, asked  atomic.Int64
	changesAreRefused atomic.Bool
}

func newBusySlave(t *testing.T, executors int) *busySlave {
	t.Helper()
	s := &busySlave{T: t, work: t.TempDir()}
	framework := core.FrameworkView{Info: &mesos.FrameworkInfo{Id: mesos.NewFrameworkID("F1")}}
	for i := range executors {
		id := fmt.Sprint("e", i)
		framework.Executors = append(framework.Executors, core.ExecutorView{
			Info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String(id)}}, ContainerID: "c",
		})
		if err := os.MkdirAll(filepath.Join(s.work, s.place(i).Path("")), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("c", filepath.Join(s.work, filepath.Dir(s.place(i).Path("")), "latest")); err != nil {
			t.Fatal(err)
		}
	}
	view := &core.View{SlaveID: "S1", Frameworks: []core.FrameworkView{framework}}
	handler := api.New(api.Options{View: func() *core.View { return view }, WorkDir: s.work})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/files/changed" {
			s.asked.Add(1)
			if s.changesAreRefused.Load() {
				http.NotFound(w, r)
				return
			}
		} else {
			s.downloads.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// place is that of a container; follow is by the latest.
func (s *busySlave) place(i int) sandbox.Place {
	return sandbox.Place{Slave: s.url, SlaveID: "S1", FrameworkID: "F1", ExecutorID: fmt.Sprint("e", i), ContainerID: "c"}
}

func (s *busySlave) write(i int, text string) {
	s.Helper()
	file, err := os.OpenFile(filepath.Join(s.work, s.place(i).Path("stdout")), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err == nil {
		_, err = file.WriteString(text)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		s.Error(err)
	}
}

// sink is what is read of one task.
type sink struct {
	mu   sync.Mutex
	text strings.Builder
}

func (k *sink) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.Write(p)
}

func (k *sink) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.String()
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come that ", what)
		}
	}
}

func TestManyQuietTasksCostASlaveOneQuestionAtATime(t *testing.T) {
	const tasks = 50
	for name, refused := range map[string]bool{"a slave that tells changes": false, "a slave that does not": true} {
		t.Run(name, func(t *testing.T) {
			s := newBusySlave(t, tasks)
			s.changesAreRefused.Store(refused)
			watch := sandbox.NewWatch(t.Context(), sandbox.Client{})
			var sinks [tasks]sink
			var following sync.WaitGroup
			ended := make(chan struct{})
			for i := range tasks {
				s.write(i, "begun\n")
				place := s.place(i)
				place.ContainerID = ""
				following.Go(func() {
					if _, err := watch.Follow(t.Context(), &sinks[i], place, "stdout", ended); err != nil {
						t.Error(err)
					}
				})
			}
			eventually(t, "all is read", func() bool {
				for i := range sinks {
					if sinks[i].String() != "begun\n" {
						return false
					}
				}
				return true
			})
			s.write(7, "more\n")
			eventually(t, "what is new is read", func() bool { return sinks[7].String() == "begun\nmore\n" })
			// They come to rest: then questions go on, and nothing is read until there is something.
			rounds := func(n int64) {
				before := s.asked.Load()
				eventually(t, "it is asked", func() bool { return s.asked.Load() >= before+n })
			}
			rounds(6)
			before := s.downloads.Load()
			rounds(3)
			if read := s.downloads.Load() - before; read > 0 && !refused {
				t.Errorf("%d files were read of which nothing is new", read)
			}
			s.write(9, "later\n")
			eventually(t, "what is new after a rest is read", func() bool { return sinks[9].String() == "begun\nlater\n" })
			s.write(8, "last\n")
			close(ended)
			following.Wait()
			if got := sinks[8].String(); got != "begun\nlast\n" {
				t.Errorf("%q was read in the end", got)
			}
		})
	}
}
