//go:build linux && cgo

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/reaper"
	"github.com/stoa-project/stoa/slave/disk"
)

// missingLife is what this system lacks to hold processes together: nothing.
var missingLife []string

// wake is how often a reaper is woken, that may have been stopped, until it has executed its command.
const wake = 100 * time.Millisecond

// reaped is a command under a reaper of its own.
type reaped struct {
	control *reaper.Control
	process *exec.Cmd
	command int // its pid, and the id of its process group
	family  *family
	forced  atomic.Bool // the reaper itself was killed
}

// keep starts a reaper and has it execute the command, unless ctx ends before.
func keep(ctx context.Context, family *family, spec containerizer.Spec, stdio containerizer.Stdio, as *syscall.Credential) (keeper, int, error) {
	step := func(name string, err error) error {
		return &containerizer.StartError{ID: spec.ID, Step: name, Err: err}
	}
	control, theirs, err := reaper.New()
	if err != nil {
		return nil, 0, step("making the control socket", err)
	}
	defer theirs.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", // also where the binary was replaced, or is sealed in memory
		Args: reaper.Argv(),
		Env:  []string{fmt.Sprintf("%s=%d", reaper.Variable, reaper.ControlFD)},
		Dir:  spec.Sandbox,
		// A reaper that is stopped does not see that its host has died.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: as, Pdeathsig: syscall.SIGCONT},
	}
	withStdio(cmd, stdio)
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	if err := family.start(cmd); err != nil {
		control.Close()
		return nil, 0, step("starting its reaper in "+spec.Sandbox, err)
	}
	theirs.Close() // or the reaper's own death would not end the conversation
	one := &reaped{control: control, process: cmd, family: family}
	// A command may have stopped its reaper before that could say a word.
	stop := context.AfterFunc(ctx, func() {
		control.Close() // which a reaper takes for the end of its host
		time.AfterFunc(containerizer.ObeyTimeout, func() { _ = cmd.Process.Kill() })
	})
	defer stop()
	executed := make(chan struct{})
	defer close(executed)
	stopped := time.AfterFunc(wake, func() { wakeUntil(cmd.Process, executed) })
	defer stopped.Stop()
	pid, err := one.execute(spec)
	if err != nil {
		control.Close()
		_ = family.wait(cmd) // its status repeats what err says
		if errors.Is(err, reaper.ErrGone) {
			family.endOrphans()
			if ctx.Err() != nil {
				err = step("executing its command", context.Cause(ctx))
			}
		}
		return nil, 0, err
	}
	one.command = pid
	return one, pid, nil
}

// wakeUntil wakes a process again and again.
func wakeUntil(process *os.Process, over <-chan struct{}) {
	tick := time.NewTicker(wake)
	defer tick.Stop()
	for {
		_ = process.Signal(syscall.SIGCONT)
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

func (r *reaped) execute(spec containerizer.Spec) (int, error) {
	err := r.control.Launch(spec)
	if errors.Is(err, syscall.E2BIG) {
		return 0, executeError(spec, err)
	}
	// Any other failure to launch means that the reaper ended: Started says so too.
	pid, err := r.control.Started()
	if err != nil {
		return 0, executeError(spec, err)
	}
	return pid, nil
}

func (r *reaped) wait() (syscall.WaitStatus, time.Duration, int64, error) {
	end, err := r.control.Wait()
	r.control.Close()
	waited := r.family.wait(r.process)
	if err == nil {
		return end.Status, end.CPU, end.PeakBytes, nil
	}
	// The reaper was killed: by root, or by its user, which may be the command.
	_ = syscall.Kill(-r.command, syscall.SIGKILL) // what is left of the command's own group
	r.family.endOrphans()
	if r.forced.Load() {
		err = nil
	}
	var status *exec.ExitError
	if errors.As(waited, &status) {
		return status.Sys().(syscall.WaitStatus), 0, 0, err
	}
	return 0, 0, 0, err
}

func (r *reaped) signal(signal syscall.Signal) error { return r.control.Signal(signal) }

func (r *reaped) processes() []int { return disk.Descendants(r.process.Process.Pid) }

func (r *reaped) kill() error {
	err := r.control.Kill()
	_ = r.process.Process.Signal(syscall.SIGCONT) // without effect on what has ended
	time.AfterFunc(containerizer.ObeyTimeout, func() {
		if r.process.Process.Kill() == nil {
			r.forced.Store(true)
		}
	})
	return err
}
