package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/disk"
)

// container is one command. What differs between a command under a reaper and
// one that leads a process group is its keeper.
type container struct {
	spec   containerizer.Spec
	life   containerizer.Life
	family *family
	keeper keeper
	pid    int
	begun  time.Time
	forget func()

	cancel   context.CancelFunc // ends the start
	executed atomic.Bool        // the start is over: keeper may be used from anywhere

	further sync.Mutex
	others  map[*further]bool // commands of Exec that have not ended

	started chan struct{} // closed when its start is over, for better or worse
	watched sync.Once     // by whoever waits first; a start that fails takes it
	exit    containerizer.Exit
	err     error
}

// keeper is the hold on the processes of one container.
type keeper interface {
	// wait returns when all of them have ended.
	wait() (status syscall.WaitStatus, cpu time.Duration, peakBytes int64, err error)
	signal(syscall.Signal) error
	kill() error
	// processes lists the ids of those that are found, the reaper left out.
	processes() []int
}

func (c *container) start(ctx context.Context, stdio containerizer.Stdio) error {
	if err := placeVolumes(c.spec); err != nil {
		return err
	}
	as, err := credential(c.spec)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, containerizer.ExecTimeout)
	defer cancel()
	keeper, pid, err := keep(starting, c.family, c.spec, stdio, as)
	if err != nil {
		return err
	}
	c.keeper, c.pid, c.begun = keeper, pid, time.Now()
	c.executed.Store(true)
	_, killed := c.life.Take(containerizer.Execute)
	if ctx.Err() != nil || killed != nil {
		err := errors.Join(context.Cause(ctx), c.Kill())
		_, _, _, _ = c.keeper.wait()
		return &containerizer.StartError{ID: c.spec.ID, Step: "executing its command", Err: err}
	}
	return nil
}

// watch waits for the end and fills in the exit.
func (c *container) watch() {
	status, cpu, peak, err := c.keeper.wait()
	c.life.MustTake(containerizer.End)
	c.takeOthers()
	c.err = err
	c.exit = containerizer.Exit{
		Status: status, Killed: c.life.Killed(status),
		MemoryPeakBytes: peak, CPUSeconds: cpu.Seconds(),
		Started: c.begun, Finished: time.Now(),
	}
	c.life.MustTake(containerizer.Clean)
	c.forget()
}

func (c *container) ID() string { return c.spec.ID }

func (c *container) PID() int { return c.pid }

func (c *container) Wait() (containerizer.Exit, error) {
	c.watched.Do(c.watch)
	return c.exit, c.err
}

func (c *container) Signal(signal syscall.Signal) error {
	if _, err := c.life.Take(containerizer.Signal); err != nil {
		return os.ErrProcessDone
	}
	return c.keeper.signal(signal)
}

func (c *container) Kill() error {
	before, err := c.life.Take(containerizer.Kill)
	if err != nil {
		panic(err) // a container that is being made or has been can be killed in every state
	}
	c.cancel()
	if before == containerizer.Gone || !c.executed.Load() {
		return nil
	}
	return c.keeper.kill()
}

// Resize does nothing: no limit is enforced.
func (c *container) Resize(containerizer.Limits) error {
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return os.ErrProcessDone
	}
	return nil
}

func (c *container) Stats() (containerizer.Stats, error) {
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return containerizer.Stats{}, os.ErrProcessDone
	}
	return stats(c.pid)
}

// Unlinked looks at the command, those beside it, and what came from them.
func (c *container) Unlinked(ctx context.Context, found *disk.Unlinked) error {
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return os.ErrProcessDone
	}
	keepers := []keeper{c.keeper}
	c.further.Lock()
	for f := range c.others {
		keepers = append(keepers, f.keeper)
	}
	c.further.Unlock()
	var pids []int
	for _, k := range keepers {
		pids = append(pids, k.processes()...)
	}
	return found.Processes(ctx, pids, disk.View{})
}

// executeError gives the error of a failed execve its type.
func executeError(spec containerizer.Spec, err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, exec.ErrNotFound):
		errno = syscall.ENOENT
	case errors.As(err, &errno):
	default:
		return &containerizer.StartError{ID: spec.ID, Step: "executing its command", Err: err}
	}
	return &containerizer.ExecError{Path: spec.Command(), Err: errno}
}
