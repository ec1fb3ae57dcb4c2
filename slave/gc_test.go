package slave

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoa-project/stoa/slave/checkpoint"
)

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
