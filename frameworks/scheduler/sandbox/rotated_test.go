package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/slave/api"
	"github.com/stoa-project/stoa/slave/core"
)

// rotating is a sandbox of a real slave's API whose stdout is rotated by the test.
type rotating struct {
	t      *testing.T
	folder string
	place  sandbox.Place
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	r := &rotating{t: t, place: sandbox.Place{SlaveID: "S1", FrameworkID: "F1", ExecutorID: "e1", ContainerID: "c1"}}
	work := t.TempDir()
	r.folder = filepath.Join(work, r.place.Path(""))
	if err := os.MkdirAll(r.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(api.New(api.Options{View: func() *core.View { return nil }, WorkDir: work}))
	t.Cleanup(s.Close)
	r.place.Slave = s.URL
	r.write("")
	return r
}

func (r *rotating) file(n int) string {
	if n == 0 {
		return filepath.Join(r.folder, "stdout")
	}
	return filepath.Join(r.folder, fmt.Sprint("stdout.", n))
}

func (r *rotating) write(text string) {
	file, err := os.OpenFile(r.file(0), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err == nil {
		_, err = file.WriteString(text)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		r.t.Error(err)
	}
}

// rotate begins a new file and keeps so many old ones.
func (r *rotating) rotate(keep int) {
	for n := keep; n > 0; n-- {
		if err := os.Rename(r.file(n-1), r.file(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			r.t.Error(err)
		}
	}
	r.write("")
}

func TestFollowGivesEachByteOnceAcrossRotations(t *testing.T) {
	for name, every := range map[string]int{"now and then": 400, "all the time": 7} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t)
			ended, done := make(chan struct{}), make(chan struct{})
			var got bytes.Buffer
			go func() {
				defer close(done)
				if n, err := (sandbox.Client{}).Follow(t.Context(), &got, r.place, "stdout", ended); err != nil || n != int64(got.Len()) {
					t.Errorf("%d of %d bytes, error %v", n, got.Len(), err)
				}
			}()
			var want strings.Builder
			for i := range 700 {
				line := fmt.Sprintf("line %d\n", i)
				want.WriteString(line)
				r.write(line)
				if i%every == every-1 {
					r.rotate(300)
				}
				if i%100 == 0 {
					<-time.After(time.Millisecond) // so that the reader is in the middle of it
				}
			}
			close(ended)
			<-done
			if got.String() != want.String() {
				t.Errorf("%d bytes, want %d", got.Len(), want.Len())
			}
		})
	}
}

func TestFollowBeginsWithTheOldestThatIsThere(t *testing.T) {
	r := newRotating(t)
	ended := make(chan struct{})
	close(ended)
	for _, text := range []string{"a\n", "b\n", "c\n"} {
		r.write(text)
		r.rotate(5)
	}
	r.write("d\n")
	var got bytes.Buffer
	if _, err := (sandbox.Client{}).Follow(t.Context(), &got, r.place, "stdout", ended); err != nil || got.String() != "a\nb\nc\nd\n" {
		t.Errorf("%q, error %v", got.String(), err)
	}
}

// A command may make a folder in place of its output, which is rotated like a file.
func TestFollowReadsOnBehindWhatIsNoFile(t *testing.T) {
	r := newRotating(t)
	ended := make(chan struct{})
	close(ended)
	r.write("a\n")
	before, err := sandbox.Client{}.End(t.Context(), r.place, "stdout")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(r.file(0)), os.Mkdir(r.file(0), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"b\n", "c\n"} {
		r.rotate(5)
		r.write(text)
	}
	for name, from := range map[string]sandbox.Position{"from the beginning": {}, "from a file that is gone": before} {
		var got bytes.Buffer
		if _, err := (sandbox.Client{}).FollowFrom(t.Context(), &got, r.place, "stdout", from, ended); !errors.Is(err, sandbox.ErrRotatedAway) || got.String() != "b\nc\n" {
			t.Errorf("%s: %q, error %v", name, got.String(), err)
		}
	}
}

func TestFollowTellsOfWhatWasRemovedTooEarly(t *testing.T) {
	r := newRotating(t)
	ended, done := make(chan struct{}), make(chan error, 1)
	read := make(chan struct{}, 1)
	var got strings.Builder
	w := writerFunc(func(p []byte) (int, error) {
		select {
		case read <- struct{}{}:
		default:
		}
		return got.Write(p)
	})
	r.write("read\n")
	go func() {
		_, err := sandbox.Client{}.Follow(t.Context(), w, r.place, "stdout", ended)
		done <- err
	}()
	<-read
	for _, text := range []string{"a\n", "b\n", "c\n", "d\n"} { // faster than anybody polls
		r.rotate(1)
		r.write(text)
	}
	close(ended)
	if err := <-done; !errors.Is(err, sandbox.ErrRotatedAway) || strings.Contains(err.Error(), "://") {
		t.Errorf("error %v", err)
	}
	if !strings.HasPrefix(got.String(), "read\n") || !strings.HasSuffix(got.String(), "c\nd\n") {
		t.Errorf("got %q", got.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
