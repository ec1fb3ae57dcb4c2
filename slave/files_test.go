package slave

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoa-project/stoa/proto/wire"
)

// correspondent answers a courier's questions as it is told, each once.
type correspondent struct {
	mu      sync.Mutex
	courier *courier
	answer  func(*wire.ReadFile) *wire.FileChunk
	open    int // questions whose answer has not been taken
	most    int
}

func (c *correspondent) ask(m *wire.ReadFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.GetTaken() != 0 {
		c.open--
	}
	if m.GetId() == 0 {
		return
	}
	c.open++
	c.most = max(c.most, c.open)
	if a := c.answer(m); a != nil {
		a.Id = m.GetId()
		go c.courier.deliver(a)
	}
}

func TestACourierFetchesAFileByItsWindow(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), wire.MaxFileChunk)
	for _, size := range []int{0, 1, wire.MaxFileChunk, wire.MaxFileChunk + 1, len(content)} {
		synctest.Test(t, func(t *testing.T) {
			c := newCourier()
			peer := &correspondent{courier: c, answer: func(q *wire.ReadFile) *wire.FileChunk {
				end := min(int64(size), q.GetOffset()+int64(q.GetLength()))
				return &wire.FileChunk{Data: content[min(q.GetOffset(), end):end], Size: int64(size)}
			}}
			c.connected(peer.ask)
			path := filepath.Join(t.TempDir(), "f")
			file, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			var told []int64
			if err := c.fetch(t.Context(), "F", "sum", 1<<40, file, func(size int64) { told = append(told, size) }); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(told, []int64{int64(size)}) {
				t.Errorf("of %d bytes the sizes %v were told, want one", size, told)
			}
			synctest.Wait()
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content[:size]) {
				t.Errorf("%d bytes came, %v; want %d", len(got), err, size)
			}
			if peer.open != 0 || peer.most > FileWindow {
				t.Errorf("of %d bytes %d answers were not taken, and %d questions were open at a time", size, peer.open, peer.most)
			}
			if len(c.transfers) != 0 || len(c.all) != 0 {
				t.Errorf("the courier remembers %d questions and %d files", len(c.transfers), len(c.all))
			}
		})
	}
}

func TestWhatIsWrongWithAFileIsTold(t *testing.T) {
	chunk := func(bytes int, size int64) *wire.FileChunk {
		return &wire.FileChunk{Data: make([]byte, bytes), Size: size}
	}
	for name, test := range map[string]struct {
		answer func(*wire.ReadFile) *wire.FileChunk
		to     string
		want   string
	}{
		"the scheduler's reason": {func(*wire.ReadFile) *wire.FileChunk { return &wire.FileChunk{Failure: "no such file"} }, "", "no such file"},
		"too large":              {func(*wire.ReadFile) *wire.FileChunk { return chunk(wire.MaxFileChunk, 1<<30) }, "", "larger than the allowed 1048576 bytes"},
		"less than there is":     {func(*wire.ReadFile) *wire.FileChunk { return chunk(5, 7) }, "", "5 bytes of it came in place of those at 0 of 7"},
		"more than there is":     {func(*wire.ReadFile) *wire.FileChunk { return chunk(9, 7) }, "", "9 bytes of it came"},
		"another size": {func(q *wire.ReadFile) *wire.FileChunk {
			return chunk(wire.MaxFileChunk, 3*wire.MaxFileChunk+q.GetOffset())
		}, "", "its size has changed while it was sent"},
		"a full disk": {func(*wire.ReadFile) *wire.FileChunk { return chunk(7, 7) }, "/dev/full", "no space left on device"},
		"silence":     {func(*wire.ReadFile) *wire.FileChunk { return nil }, "", "sent nothing for 1m0s"},
		"a scheduler that stays away": {func(*wire.ReadFile) *wire.FileChunk {
			return &wire.FileChunk{Failure: "the framework's scheduler is away", Later: true}
		}, "", "sent nothing for 1m0s: the framework's scheduler is away"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCourier()
				c.connected((&correspondent{courier: c, answer: test.answer}).ask)
				path := test.to
				if path == "" {
					path = filepath.Join(t.TempDir(), "f")
				}
				file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
				if err != nil {
					t.Skip(err)
				}
				defer file.Close()
				if err := c.fetch(t.Context(), "F", "sum", 1<<20, file, nothing); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				} else if test.to != "" && !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("%v is no ENOSPC", err)
				}
				synctest.Wait()
			})
		})
	}
}

func TestAFileThatNobodyWantsAnyMoreIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCourier() // without a session
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.fetch(ctx, "F", "sum", 1, nil, nothing) }()
		time.Sleep(time.Second)
		reason := errors.New("its task was killed")
		cancel(reason)
		if err := <-ended; !errors.Is(err, reason) {
			t.Errorf("got %v", err)
		}
	})
}

func nothing(int64) {}
