//go:build cgo

package process

import (
	"os"
	"os/exec"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// family knows the children of a process that are reapers. The others are orphans: what a
// reaper leaves that was killed comes to the process that adopts
// (PR_SET_CHILD_SUBREAPER), and is no part of any command any more.
type family struct {
	starting sync.RWMutex // held for reading while a child is one that reapers does not have yet
	ending   sync.Mutex   // held while orphans are ended

	mu      sync.Mutex
	reapers map[int]bool // by pid, until they have been waited for
}

// adopt makes this process the parent of whatever its descendants leave.
func adopt() (*family, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	return &family{reapers: map[int]bool{}}, nil
}

// start starts a reaper.
func (f *family) start(cmd *exec.Cmd) error {
	if f == nil {
		return cmd.Start()
	}
	f.starting.RLock()
	defer f.starting.RUnlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reapers[cmd.Process.Pid] = true
	return nil
}

// wait waits for a reaper's end.
func (f *family) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	if f == nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.reapers, cmd.Process.Pid)
	return err
}

// endOrphans kills and reaps all orphans, and what these leave.
func (f *family) endOrphans() {
	if f == nil {
		return
	}
	f.ending.Lock()
	defer f.ending.Unlock()
	for killed := f.killOrphans(); len(killed) > 0; killed = f.killOrphans() {
		for _, pid := range killed {
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
	}
}

// killOrphans kills the orphans that there are and returns them. One that may not be
// killed, as a program that runs as another user, stays.
func (f *family) killOrphans() []int {
	f.starting.Lock()
	defer f.starting.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	var killed []int
	for _, pid := range containerizer.Children() {
		if !f.reapers[pid] && unix.Kill(pid, unix.SIGKILL) == nil {
			killed = append(killed, pid)
		}
	}
	return killed
}
