package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"golang.org/x/sync/semaphore"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// Exec is a command beside a task's own.
type Exec struct {
	// Framework and Task name the task.
	Framework, Task string
	// Attach is no command, but the task's own, whose stdin was kept open: of what follows only Stdin counts.
	Attach bool
	// Args is the command with its arguments, Environment what it has above the task's, as KEY=VALUE.
	Args, Environment []string
	// Stdin is what it reads; nil is nothing.
	Stdin io.Reader
	// Stdout and Stderr take what it writes.
	Stdout, Stderr io.Writer
	// Terminal gives it a terminal of Size; Stderr gets nothing then. Resizes are the sizes that follow.
	Terminal bool
	Size     TerminalSize
	Resizes  <-chan TerminalSize
	// Signals are sent to it.
	Signals <-chan syscall.Signal
}

// TerminalSize is in characters.
type TerminalSize struct{ Rows, Columns uint16 }

// ExecEnd is how such a command ended: by its wait status, or, where it could not be executed, with the reason.
type ExecEnd struct {
	Status syscall.WaitStatus
	Errno  syscall.Errno // of execve; 0: it was executed
}

// Exec runs a command in a task's container, on the slave at the client's address, and returns when it has ended and all
// that it wrote has been written. The command is killed when ctx ends.
func (c *Client) Exec(ctx context.Context, exec Exec) (ExecEnd, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := &execSession{
		exec: exec, slave: actor.At(c.address, slaveName), ctx: ctx, system: c.system,
		room: semaphore.NewWeighted(wire.ExecWindow), ended: make(chan execResult, 1), output: newOutputQueue(),
	}
	defer x.output.close()
	pid := c.system.Spawn("exec", func() actor.Actor { return x })
	defer c.system.Stop(pid)
	select {
	case result := <-x.ended:
		return result.end, result.err
	case <-ctx.Done():
		return ExecEnd{}, context.Cause(ctx)
	}
}

type execResult struct {
	end ExecEnd
	err error
}

// execSession is the actor of one Exec.
type execSession struct {
	exec   Exec
	slave  actor.PID
	ctx    context.Context
	system *actor.System
	peer   actor.PID // of the slave; zero: the command has not started yet
	room   *semaphore.Weighted
	output *outputQueue
	ended  chan execResult
}

// What the goroutines of a session tell it.
type (
	execRead    struct{ message *wire.ExecInput }
	execResized struct{ size TerminalSize }
	execSignal  struct{ signal syscall.Signal }
	execWritten struct {
		bytes int
		err   error
	}
	execOver execResult
)

// Receive implements actor.Actor.
func (x *execSession) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Link(x.slave)
		ctx.Send(x.slave, &wire.ExecTask{
			FrameworkId: mesos.NewFrameworkID(x.exec.Framework), TaskId: mesos.NewTaskID(x.exec.Task), Args: x.exec.Args,
			Environment: x.exec.Environment, Stdin: x.exec.Stdin != nil, Tty: x.exec.Terminal, Size: x.exec.Size.proto(),
			Attach: x.exec.Attach,
		})
	case *wire.Refused:
		x.end(ExecEnd{}, errors.New(m.GetReason()))
	case *wire.ExecStarted:
		x.started(ctx)
	case *wire.ExecOutput:
		x.output.put(m)
	case *wire.ExecTaken:
		x.room.Release(m.GetBytes())
	case *wire.ExecEnded:
		x.over(endOf(m))
	case execWritten:
		if m.err != nil {
			x.end(ExecEnd{}, m.err)
			return
		}
		ctx.Send(x.peer, &wire.ExecTaken{Bytes: int64(m.bytes)})
	case execRead:
		ctx.Send(x.peer, m.message)
	case execResized:
		ctx.Send(x.peer, m.size.proto())
	case execSignal:
		ctx.Send(x.peer, &wire.ExecSignal{Signal: int32(m.signal)})
	case execOver:
		x.end(m.end, m.err)
	case actor.Exited:
		x.over(ExecEnd{}, &actor.ExitError{PID: m.PID, Reason: m.Reason, Err: m.Err})
	}
}

func (s TerminalSize) proto() *wire.ExecResize {
	return &wire.ExecResize{Rows: uint32(s.Rows), Columns: uint32(s.Columns)}
}

func endOf(m *wire.ExecEnded) (ExecEnd, error) {
	end := ExecEnd{Status: syscall.WaitStatus(m.GetWaitStatus()), Errno: syscall.Errno(m.GetExecErrno())}
	if m.GetFailure() != "" && end.Errno == 0 {
		return end, errors.New(m.GetFailure())
	}
	return end, nil
}

// over is the end of a command, which counts when all it wrote is written.
func (x *execSession) over(end ExecEnd, err error) {
	if x.peer.IsZero() {
		x.end(end, err)
		return
	}
	x.output.finish(end, err)
}

func (x *execSession) end(end ExecEnd, err error) {
	select {
	case x.ended <- execResult{end, err}:
	default: // the first one counts
	}
}

// started goes on with whoever stands for the command.
func (x *execSession) started(ctx actor.Context) {
	x.peer = ctx.Sender()
	ctx.Link(x.peer)
	ctx.Unlink(x.slave)
	self := ctx.Self()
	go x.output.run(x.exec.Stdout, x.exec.Stderr,
		func(n int, err error) { x.system.Send(self, execWritten{n, err}) },
		func(end ExecEnd, err error) { x.system.Send(self, execOver{end, err}) })
	if x.exec.Stdin != nil {
		go x.read(func(m *wire.ExecInput) { x.system.Send(self, execRead{m}) })
	}
	go func() {
		for {
			select {
			case size := <-x.exec.Resizes:
				x.system.Send(self, execResized{size})
			case signal := <-x.exec.Signals:
				x.system.Send(self, execSignal{signal})
			case <-x.ctx.Done():
				return
			}
		}
	}()
}

// read sends what is to be read, as far as there is room for it.
func (x *execSession) read(send func(*wire.ExecInput)) {
	for x.room.Acquire(x.ctx, wire.MaxExecChunk) == nil {
		data := make([]byte, wire.MaxExecChunk)
		n, err := x.exec.Stdin.Read(data)
		x.room.Release(int64(wire.MaxExecChunk - n))
		if n > 0 || err != nil {
			send(&wire.ExecInput{Data: data[:n], End: err != nil})
		}
		if err != nil {
			return
		}
	}
}

// outputQueue holds what the command wrote until it is where it belongs: at most wire.ExecWindow bytes.
type outputQueue struct {
	mu      sync.Mutex
	more    *sync.Cond
	waiting []*wire.ExecOutput
	over    bool
	closed  bool
	end     ExecEnd
	err     error
}

func newOutputQueue() *outputQueue {
	q := &outputQueue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *outputQueue) put(m *wire.ExecOutput) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, m)
	q.more.Signal()
}

// finish says that nothing comes any more, and why. The first time counts.
func (q *outputQueue) finish(end ExecEnd, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.over {
		q.over, q.end, q.err = true, end, err
	}
	q.more.Signal()
}

func (q *outputQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Signal()
}

// run writes until all is written.
func (q *outputQueue) run(out, err io.Writer, written func(int, error), over func(ExecEnd, error)) {
	for {
		q.mu.Lock()
		for len(q.waiting) == 0 && !q.over && !q.closed {
			q.more.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		if len(q.waiting) == 0 {
			q.mu.Unlock()
			over(q.end, q.err)
			return
		}
		next := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		to := out
		if next.GetStderr() {
			to = err
		}
		n, failed := to.Write(next.GetData())
		if failed != nil {
			failed = fmt.Errorf("write what the command wrote: %w", failed)
		}
		written(n, failed)
	}
}
