package slave

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/checkpoint"
)

// TestASandboxThatStaysIsTriedAgain has somebody mount something in a sandbox, and unmount it when its time has come already.
func TestASandboxThatStaysIsTriedAgain(t *testing.T) {
	workDir, outside := t.TempDir(), t.TempDir()
	path, err := checkpoint.MakeSandbox(workDir, checkpoint.Run{SlaveID: "S", FrameworkID: "F", ExecutorID: "E", ContainerID: "C"}, "")
	if err != nil {
		t.Fatal(err)
	}
	mnt := filepath.Join(path, "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(outside, mnt, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("mount: %v", err)
	}
	defer unix.Unmount(mnt, unix.MNT_DETACH)
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, func(c *Config) { c.WorkDir, c.GCDelay = workDir, 10*time.Hour })
		s.registerHost()
		time.Sleep(11 * time.Hour)
		synctest.Wait()
		if plan := s.slave.View().GC.Sandboxes; len(plan) != 1 || plan[0].Directory != path {
			t.Errorf("planned is %v, want %s", plan, path)
		}
		if err := unix.Unmount(mnt, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Hour)
		synctest.Wait()
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("it is there: %v", err)
		}
	})
}
