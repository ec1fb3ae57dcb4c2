//go:build linux && cgo

package libcontainer

import (
	"strings"
	"testing"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
)

// A further command is held by all that holds the container's own: what tells them apart is their process id alone.
func TestAFurtherCommandIsIsolatedAsItsContainerIs(t *testing.T) {
	for _, user := range []string{"", "nobody"} {
		t.Run("user "+user, func(t *testing.T) {
			w, c := inside(t)
			const look = `cat /proc/self/cgroup; ls -l /proc/self/ns | sed 's/.*-> //' | grep -v '^total'
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status; grep -v rlim /proc/self/limits; sed 's/^[0-9]* [0-9]* //' /proc/self/mountinfo
touch /etc/x 2>&1; echo 1 2>&1 > /proc/sys/kernel/panic; mknod n c 1 3 2>&1; echo $$ > /dev/null; pwd; id`
			spec := w.Spec("main", "("+look+") > /tmp/own 2>&1; sleep 1000")
			spec.User, spec.PIDs, spec.MemoryBytes = user, 50, 64<<20
			container := containertest.Start(t, c, spec)
			containertest.Poll(t, "the container's own command has looked", containertest.Deadline, func() bool {
				out, _ := containertest.Beside(t, container, containerizer.Exec{Args: []string{"pgrep", "-x", "sleep"}})
				return out != ""
			})
			own, _ := containertest.Beside(t, container, containerizer.Exec{Args: []string{"cat", "/tmp/own"}})
			further, _ := containertest.Beside(t, container, containerizer.Exec{Args: []string{"sh", "-c", "(" + look + ") 2>&1"}})
			if own != further {
				t.Errorf("what it is held by differs:\n%s\nand of the container's own command:\n%s", further, own)
			}
			if !strings.Contains(own, "NoNewPrivs:\t1") || !strings.Contains(own, "Read-only file system") {
				t.Errorf("it does not look at anything: %s", own)
			}
			if err := container.Kill(); err != nil {
				t.Fatal(err)
			}
			containertest.Await(t, container)
		})
	}
}
