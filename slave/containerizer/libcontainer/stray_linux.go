//go:build cgo

package libcontainer

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// A further command is started by a process that forks another one, which forks the
// command's: all are children of the host (CLONE_PARENT). If one of the first two is
// killed, as root in the container can do and the end of the container does, libcontainer
// gives up before it has heard of the others, and never waits for them. Nobody else can,
// and as long as their remains are there the kernel does not let go of PID 1 of the
// container (zap_pid_ns_processes in kernel/pid_namespace.c): it would never end.

// strayPeriod is how often the host looks for such remains while it waits for a
// container's end, and the least time for which something is one.
const strayPeriod = 100 * time.Millisecond

// strayName is how the names begin of libcontainer's processes before they execute anything.
const strayName = "runc:["

// waitInit waits for the end of the container's first process.
func (c *container) waitInit() *os.ProcessState {
	over := make(chan struct{})
	look := time.AfterFunc(strayPeriod, func() { reapUntil(over) })
	state, _ := c.init.Wait()
	look.Stop()
	close(over)
	return state
}

func reapUntil(over <-chan struct{}) {
	tick := time.NewTicker(strayPeriod)
	defer tick.Stop()
	for seen := reapStrays(nil); ; seen = reapStrays(seen) {
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

// reapStrays waits for those of this process's children that are strays, and were
// already when seen was returned. It returns those that are strays now: another start
// may have them for a moment, and waits for them itself.
func reapStrays(seen map[int]bool) map[int]bool {
	strays := map[int]bool{}
	for pid, state := range entering() {
		if state != 'Z' {
			continue
		}
		strays[pid] = true
		if seen[pid] {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
	return strays
}

// killEntering kills those of libcontainer's processes that enter the container: one that
// is stopped there, as its root can do, is waited for as long as the container lives.
func (c *container) killEntering() {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.init.Pid))
	if err != nil {
		return // the container ends, and they with it
	}
	for pid := range entering() {
		if into, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid_for_children", pid)); err == nil && into == own {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// entering lists those of libcontainer's processes that are children of this one, each with the letter of its state.
func entering() map[int]byte {
	found := map[int]byte{}
	for _, pid := range containerizer.Children() {
		// proc(5): pid (name) state …; a name may have parentheses of its own.
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, name, _ := bytes.Cut(stat, []byte("("))
		if end := bytes.LastIndex(name, []byte(") ")); end >= 0 && bytes.HasPrefix(name, []byte(strayName)) {
			found[pid] = name[end+2]
		}
	}
	return found
}
