//go:build cgo

package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"
	"time"

	runc "github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/utils"
	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/reaper"
	"github.com/stoa-project/stoa/slave/containerizer/terminal"
)

// further is a command beside the container's own. A reaper of its own is its parent there, so that whatever comes from it ends
// with it; with the container's reaper, PID 1, the kernel ends them all.
type further struct {
	process  *runc.Process // the reaper
	control  *reaper.Control
	terminal *os.File
	pid      int
}

// Exec runs a further command in the container.
func (c *container) Exec(exec containerizer.Exec, stdio containerizer.Stdio) (containerizer.Process, error) {
	if err := exec.Check(); err != nil {
		return nil, err
	}
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return nil, os.ErrProcessDone
	}
	control, theirs, err := reaper.New()
	if err != nil {
		return nil, c.failed("making the control socket of a further command", err)
	}
	f := &further{control: control}
	late := time.AfterFunc(c.host.execTimeout, c.killEntering)
	err = c.enter(f, exec, stdio, theirs)
	late.Stop()
	theirs.Close()
	if err != nil {
		control.Close()
		if c.life.State() != containerizer.Running {
			return nil, os.ErrProcessDone
		}
		return nil, c.failed("entering it with a further command", err)
	}
	late = time.AfterFunc(c.host.execTimeout, func() {
		_ = f.process.Signal(unix.SIGKILL)
		f.control.Close() // of which a child that is stopped before it executes anything has a copy
	})
	defer late.Stop()
	c.pass(Entered)
	tasks, err := c.cgroup.open()
	if err == nil {
		err = f.launch(c.spec.With(exec), tasks)
		tasks.close()
	} else if c.life.State() != containerizer.Running {
		err = os.ErrProcessDone
	}
	if err != nil {
		f.end()
		return nil, err
	}
	return f, nil
}

// enter starts the reaper in the container's namespaces and, with the second version of cgroups, in its cgroup.
func (c *container) enter(f *further, exec containerizer.Exec, stdio containerizer.Stdio, control *os.File) error {
	made, err := c.load()
	if err != nil {
		return err
	}
	noNewPrivileges := true
	f.process = &runc.Process{
		Args: reaper.Argv(),
		Env:  []string{"PATH=" + path.Dir(BinaryPath), "HOME=/", fmt.Sprintf("%s=%d", reaper.Variable, reaper.ControlFD)},
		UID:  c.known.user.uid, GID: c.known.user.gid, AdditionalGroups: c.known.user.groups,
		Cwd: c.spec.Sandbox, ExtraFiles: []*os.File{control}, NoNewPrivileges: &noNewPrivileges,
	}
	if shield, ok := shieldOf(c.known.user.uid); ok {
		f.process.Capabilities = shielded(c.config.Capabilities, c.known.user.uid, shield)
		f.process.Env = append(f.process.Env, fmt.Sprintf("%s=%d", reaper.ShieldVariable, shield.number))
	}
	if !exec.Terminal {
		if stdio.Stdin != nil {
			f.process.Stdin = stdio.Stdin
		}
		if stdio.Stdout != nil {
			f.process.Stdout = stdio.Stdout
		}
		if stdio.Stderr != nil {
			f.process.Stderr = stdio.Stderr
		}
		return made.Run(f.process)
	}
	ours, theirs, err := utils.NewSockPair("console")
	if err != nil {
		return err
	}
	defer ours.Close()
	f.process.ConsoleSocket, f.process.ConsoleWidth, f.process.ConsoleHeight = theirs, exec.Columns, exec.Rows
	err = made.Run(f.process)
	theirs.Close() // or what is not sent would be waited for
	if err != nil {
		return err
	}
	// The terminal was made among those of the container.
	received, err := receiveDescriptor(ours)
	if err == nil {
		f.terminal, err = terminal.Pollable(received)
		_ = unix.Close(received)
	}
	if err != nil {
		f.end()
	}
	return err
}

// load is what libcontainer remembers of the container.
func (c *container) load() (*runc.Container, error) {
	if c.host.unified {
		return runc.Load(c.host.dir.containers(), c.spec.ID)
	}
	return loadWithoutCgroups(c.host.dir.containers(), c.spec.ID)
}

// receiveDescriptor takes a descriptor that the other end of a socket sends (unix(7), SCM_RIGHTS), along with its name.
func receiveDescriptor(socket *os.File) (int, error) {
	name, rights := make([]byte, unix.PathMax), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), name, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive the terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil {
		return -1, fmt.Errorf("receive the terminal: %w", err)
	}
	for _, m := range messages {
		if descriptors, err := unix.ParseUnixRights(&m); err == nil && len(descriptors) == 1 {
			return descriptors[0], nil
		}
	}
	return -1, errors.New("receive the terminal: none was sent")
}

// launch has the reaper enter the container's cgroup and execute the command.
func (f *further) launch(spec containerizer.Spec, tasks taskFiles) error {
	err := f.control.Launch(spec, tasks...)
	if err == nil || !errors.Is(err, syscall.E2BIG) {
		// Any other failure to launch means that the reaper ended: Started says so too.
		f.pid, err = f.control.Started()
	}
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return &containerizer.ExecError{Path: spec.Command(), Err: errno}
	case errors.Is(err, reaper.ErrGone):
		return containerizer.ErrTaken
	}
	return err
}

// end makes sure that nothing of it is left.
func (f *further) end() {
	f.control.Close()
	_ = f.process.Signal(unix.SIGKILL) // without effect on what has ended
	_, _ = f.process.Wait()
	if f.terminal != nil {
		f.terminal.Close()
	}
}

func (f *further) PID() int { return f.pid }

func (f *further) Terminal() *os.File { return f.terminal }

func (f *further) Wait() (syscall.WaitStatus, error) {
	end, err := f.control.Wait()
	f.control.Close()
	_, _ = f.process.Wait()
	if errors.Is(err, reaper.ErrGone) {
		return 0, containerizer.ErrTaken
	}
	return end.Status, err
}

func (f *further) Signal(signal syscall.Signal) error { return f.control.Signal(signal) }

func (f *further) Kill() error {
	err := f.control.Kill()
	_ = f.process.Signal(unix.SIGCONT) // without effect on what has ended, as the other
	time.AfterFunc(containerizer.ObeyTimeout, func() { _ = f.process.Signal(unix.SIGKILL) })
	return err
}
