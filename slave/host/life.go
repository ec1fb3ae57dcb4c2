package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/containerizer"
)

// means are what all containers of a host share.
type means struct {
	containerizer containerizer.Containerizer
	workDir       string
	user          string        // the host's own
	starts        chan struct{} // a place for each container that may be starting
	buffers       *buffers
	pipes         pipes
	directOutput  bool
	rotation      Rotation
	cfs           bool // cpus are a ceiling, too
	passed        func(point string)
}

// pass tells whoever wants to know that the host has come to a point: it hears or says m, or has done something.
func (m *means) pass(what string, message proto.Message) {
	if m.passed == nil {
		return
	}
	if message != nil {
		what += " " + string(message.ProtoReflect().Descriptor().Name())
	}
	m.passed(what)
}

// life is one container from the blocking side: begin, then end. The actor that owns it may fail and another take
// over: kill and end may be called by anybody, at any time, more than once.
type life struct {
	means     *means
	id        *mesos.ContainerID
	directory string               // its sandbox
	start     *wire.StartContainer // nil after begin: much of it is of no use any more, and the host has many

	ctx    context.Context // of begin
	cancel context.CancelFunc

	mu                    sync.Mutex
	killed                bool
	resized               *containerizer.Limits   // what was asked for while it was being started
	container             containerizer.Container // nil: it does not run yet, or never did
	input                 *os.File                // of a command whose stdin stays open; nil: there is none, or not any more
	attached              bool                    // somebody writes into it
	diskUsed, diskAllowed int64                   // bytes, when its sandbox had outgrown its limit; 0: it had not
	diskUnlinked          int64                   // of diskUsed: of files without a name

	watch     context.Context    // of the looks at its sandbox
	unwatch   context.CancelFunc // ends them
	watched   bool               // there are any
	watching  sync.WaitGroup
	diskLimit atomic.Int64 // of the sandbox, in bytes; 0: none

	begun    chan struct{} // closed when begin has returned
	command  string        // for messages
	record   string        // path of the exit record; empty: there is no place for one
	stdio    *stdio
	startErr error

	once sync.Once
	exit *wire.ContainerExit // set by end
}

func newLife(m *means, start *wire.StartContainer) *life {
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{
		means: m, id: start.GetContainerId(), directory: start.GetDirectory(), start: start,
		ctx: ctx, cancel: cancel, begun: make(chan struct{}), startErr: errors.New("its start failed"),
	}
	l.watch, l.unwatch = context.WithCancel(context.Background())
	l.diskLimit.Store(mesos.SandboxBytes(start.GetResources()))
	return l
}

var errKilled = errors.New("killed while it was being started")

// begin makes the container and returns the process id of its command. It must be called once. Whether it succeeds or
// not, end has to be called after it.
func (l *life) begin() (pid int, err error) {
	defer close(l.begun)
	defer l.cancel()
	l.startErr = l.run()
	l.start = nil
	if l.startErr != nil {
		return 0, l.startErr
	}
	return l.container.PID(), nil
}

func (l *life) run() error {
	record, err := ExitPath(l.means.workDir, l.directory)
	if err != nil {
		return err
	}
	scratch := filepath.Dir(record)
	if err := checkpoint.MakeBesideRemoval(func() error { return makeRecordFolder(scratch) }); err != nil {
		return fmt.Errorf("make a folder for the exit record: %w", err)
	}
	l.record = record
	l.means.pass("made the folder of the exit record", nil)
	spec, err := specFor(l.start, surroundings{user: l.means.user, work: l.means.workDir, binary: l.means.containerizer.Binary(), cfs: l.means.cfs})
	if err != nil {
		return err
	}
	if err := withinOwn(spec.Rlimits); err != nil {
		return err
	}
	l.command = l.start.GetCommand().GetValue()
	select {
	case l.means.starts <- struct{}{}:
		defer func() { <-l.means.starts }()
	case <-l.ctx.Done():
		return errKilled
	}
	streams, err := openStdio(spec.Sandbox, scratch, l.start.GetStdin(), l.start.GetOpenStdin(), l.means)
	if err != nil {
		return err
	}
	container, err := l.means.containerizer.Start(l.ctx, spec, streams.ends)
	if err != nil {
		streams.abandon()
		return err
	}
	streams.release()
	streams.drain()
	l.stdio = streams
	l.admit(container)
	return nil
}

// admit makes the container known to kill, or kills it if that came first.
func (l *life) admit(container containerizer.Container) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.container, l.input = container, l.stdio.input
	if l.killed {
		_ = container.Kill() // Wait says what is left
	} else if l.resized != nil {
		_ = container.Resize(*l.resized) // or it has ended already
	}
	l.maybeWatchDisk()
}

// kill ends the container by force, however far it is.
func (l *life) kill() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = true
	if l.container == nil {
		l.cancel()
		return nil
	}
	return l.container.Kill()
}

// resize gives the container the limits that go with resources, now or as soon as it runs.
func (l *life) resize(m *wire.ResizeExecutor) error {
	wanted := &wire.StartContainer{Resources: m.GetResources(), Limits: m.GetLimits()}
	var spec containerizer.Spec
	if err := setLimits(&spec, wanted, l.means.cfs); err != nil {
		return err
	}
	l.diskLimit.Store(mesos.SandboxBytes(m.GetResources()))
	l.mu.Lock()
	defer l.mu.Unlock()
	limits := containerizer.Limits{MilliCPUs: spec.MilliCPUs, MilliCPULimit: spec.MilliCPULimit, MemoryBytes: spec.MemoryBytes}
	if l.container == nil {
		l.resized = &limits
		return nil
	}
	l.maybeWatchDisk()
	if err := l.container.Resize(limits); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// signal sends a signal to the container's command. One that does not run yet, or any more, gets none.
func (l *life) signal(signal syscall.Signal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.container == nil {
		return nil
	}
	if err := l.container.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// end waits until the container is gone, its output is in its sandbox and its exit is recorded, and says how it ended.
// The error says what could not be cleaned up or recorded; the exit is right even then.
func (l *life) end() (exit *wire.ContainerExit, err error) {
	<-l.begun
	l.once.Do(func() { err = l.conclude() })
	return l.exit, err
}

func (l *life) conclude() error {
	// Should what follows fail, this is the truth: nobody knows.
	l.exit = &wire.ContainerExit{Cause: wire.ContainerExit_KILLED, Message: "its end could not be observed"}
	defer l.unwatchDisk()
	e := ending{command: l.command, startErr: l.startErr, now: time.Now()}
	var failed []error
	if l.startErr == nil {
		exit, err := l.container.Wait()
		if err != nil {
			failed = append(failed, fmt.Errorf("container %s left something behind: %w", l.id.GetValue(), err))
		}
		e.exit = exit
		l.endInput()
		if err := l.stdio.finish(); err != nil {
			e.lost, e.lostBytes = err.Error(), l.stdio.lostBytes()
			failed = append(failed, err)
		}
	}
	l.mu.Lock()
	e.killed, e.diskUsed, e.diskUnlinked, e.diskLimit = l.killed, l.diskUsed, l.diskUnlinked, l.diskAllowed
	l.mu.Unlock()
	l.exit = exitOf(e)
	if l.record != "" {
		l.means.pass("records the exit", nil)
		failed = append(failed, writeExit(l.record, l.exit))
		l.means.pass("recorded the exit", nil)
	}
	return errors.Join(failed...)
}
