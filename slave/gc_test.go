package slave

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/fetcher"
)

// TestTheFetchersCacheGoesWhenTheDiskIsFull has a file in the cache that a scheduler has sent.
func TestTheFetchersCacheGoesWhenTheDiskIsFull(t *testing.T) {
	for name, test := range map[string]struct {
		headroom float64
		kept     int
	}{"there is room": {0, 1}, "there is none": {1, 0}} {
		synctest.Test(t, func(t *testing.T) {
			workDir, content := t.TempDir(), "content"
			f := fetcher.New(FetcherOptions(workDir, nil))
			sum := sha256.Sum256([]byte(content))
			if err := f.Fetch(t.Context(), fetcher.Request{
				Sandbox: t.TempDir(),
				URIs:    []*mesos.CommandInfo_URI{{Value: proto.String(fmt.Sprintf("%s:///x#sha256=%x", mesos.FrameworkFileScheme, sum))}},
				Files: func(_ context.Context, _ string, _ int64, to io.WriterAt, _ func(int64)) error {
					_, err := to.WriteAt([]byte(content), 0)
					return err
				},
			}); err != nil {
				t.Fatal(err)
			}
			s := newStory(t, func(c *Config) { c.WorkDir, c.Fetcher, c.GCDiskHeadroom = workDir, f, test.headroom })
			s.registerHost()
			synctest.Wait()
			if kept, err := os.ReadDir(filepath.Join(workDir, fetcherFolder)); err != nil || len(kept) != test.kept {
				t.Errorf("%s: %d are kept, want %d: %v", name, len(kept), test.kept, err)
			}
		})
	}
}

// TestWhatEarlierLivesLeftIsSwept has a slave begin in the work_dir of one that was killed.
func TestWhatEarlierLivesLeftIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		workDir := t.TempDir()
		secret, err := checkpoint.WriteHostSecret(workDir, "old-H1", []byte("secret"))
		if err != nil {
			t.Fatal(err)
		}
		var sandboxes []string
		for container, age := range map[string]time.Duration{"C1": 5 * time.Hour, "C2": time.Hour} {
			path, err := checkpoint.MakeSandbox(workDir, checkpoint.Run{SlaveID: "S", FrameworkID: "F", ExecutorID: "E", ContainerID: container}, "")
			if err != nil {
				t.Fatal(err)
			}
			at := time.Now().Add(-age)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			sandboxes = append(sandboxes, path)
		}
		s := newStory(t, func(c *Config) { c.WorkDir, c.GCDelay = workDir, 10*time.Hour })
		s.registerHost()
		synctest.Wait()
		time.Sleep(time.Second)
		if _, err := os.Stat(secret); !os.IsNotExist(err) {
			t.Errorf("the secret of a host that nobody knows is there: %v", err)
		}
		gc := s.slave.View().GC
		if !gc.Measured || gc.Use <= 0 || gc.Use > 1 || len(gc.Sandboxes) == 0 && gc.MaxAge() > 5*time.Hour {
			t.Errorf("got %+v", gc)
		}
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		for _, path := range sandboxes {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("%s is there after 10 hours: %v", path, err)
			}
		}
		if _, err := os.Stat(filepath.Join(workDir, "slaves", "S", "frameworks")); !os.IsNotExist(err) {
			t.Errorf("empty folders stay: %v", err)
		}
	})
}
