package process

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/terminal"
)

// further is a command beside the container's own.
type further struct {
	keeper   keeper
	pid      int
	terminal *os.File
	taken    bool          // killed with its container; of the container's mutex
	done     chan struct{} // closed when it has ended
	owner    *container
}

// Exec runs a further command in the container's sandbox. It ends with the container.
func (c *container) Exec(exec containerizer.Exec, stdio containerizer.Stdio) (containerizer.Process, error) {
	if err := exec.Check(); err != nil {
		return nil, err
	}
	as, err := credential(c.spec)
	if err != nil {
		return nil, err
	}
	f := &further{owner: c, done: make(chan struct{})}
	if exec.Terminal {
		theirs, ours, err := terminal.New()
		if err != nil {
			return nil, err
		}
		defer theirs.Close()
		f.terminal = ours
		_ = terminal.Resize(ours, exec.Rows, exec.Columns)
		stdio = containerizer.Stdio{Stdin: theirs, Stdout: theirs, Stderr: theirs}
	}
	err = c.begin(f, c.spec.With(exec), stdio, as)
	if err != nil {
		if f.terminal != nil {
			f.terminal.Close()
		}
		return nil, err
	}
	return f, nil
}

// begin starts the command unless the container is ending.
func (c *container) begin(f *further, spec containerizer.Spec, stdio containerizer.Stdio, as *syscall.Credential) (err error) {
	c.further.Lock()
	defer c.further.Unlock()
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return os.ErrProcessDone
	}
	ctx, cancel := context.WithTimeout(context.Background(), containerizer.ExecTimeout)
	defer cancel()
	if f.keeper, f.pid, err = keep(ctx, c.family, spec, stdio, as); err != nil {
		return err
	}
	if c.others == nil {
		c.others = map[*further]bool{}
	}
	c.others[f] = true
	return nil
}

// takeOthers ends the commands that were started beside the container's own.
func (c *container) takeOthers() {
	c.further.Lock()
	var all []*further
	for f := range c.others {
		f.taken = true
		_ = f.keeper.kill() // or it has ended already
		all = append(all, f)
	}
	c.further.Unlock()
	for _, f := range all {
		<-f.done
	}
}

func (f *further) PID() int { return f.pid }

func (f *further) Terminal() *os.File { return f.terminal }

func (f *further) Wait() (syscall.WaitStatus, error) {
	status, _, _, err := f.keeper.wait()
	f.owner.further.Lock()
	delete(f.owner.others, f)
	taken := f.taken
	f.owner.further.Unlock()
	close(f.done)
	if taken {
		return 0, containerizer.ErrTaken
	}
	return status, err
}

func (f *further) Signal(signal syscall.Signal) error {
	err := f.keeper.signal(signal)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

func (f *further) Kill() error { return f.keeper.kill() }
