//go:build linux && cgo

package libcontainer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stoa-project/stoa/slave/containerizer/containertest"
)

// What libcontainer remembers of a container is in memory, in no place of the machine, and where the kernel has no such
// file system, it is on the disk.
func TestWhatIsRememberedOfAContainerIsInMemory(t *testing.T) {
	containertest.Root(t)
	for _, where := range []string{"memory", "disk"} {
		t.Run(where, func(t *testing.T) {
			w := containertest.New(t)
			c := open(t, w, "host")
			onDisk := filepath.Join(w.State, "host", "containers")
			if where == "disk" {
				c.dir.memory.Close()
				c.dir.memory = nil
				if err := os.Mkdir(onDisk, 0o711); err != nil {
					t.Fatal(err)
				}
			}
			container := containertest.Start(t, c, w.Spec("one", "sleep 1000"))
			if _, err := os.Stat(filepath.Join(c.dir.containers(), "one", "state.json")); err != nil {
				t.Error(err)
			}
			_, err := os.Stat(filepath.Join(onDisk, "one", "state.json"))
			if where == "memory" && !errors.Is(err, fs.ErrNotExist) || where == "disk" && err != nil {
				t.Errorf("on the disk: %v", err)
			}
			if err := container.Kill(); err != nil {
				t.Fatal(err)
			}
			containertest.Await(t, container)
			if left, err := os.ReadDir(c.dir.containers()); err != nil || len(left) > 0 {
				t.Errorf("after its end %v is left, %v", left, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
