package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/terminal"
)

const (
	// MaxExecs is how many further commands the containers of a host may have at a time.
	MaxExecs = 128
	// drainGrace is how long after a further command's end its output is waited for: what somebody else in the container
	// still holds open may never end.
	drainGrace = time.Second
)

// endOfTransmission is what a terminal takes for the end of input: Ctrl-D.
const endOfTransmission = 4

// startExec begins a further command in a container for whoever of the slave asks for it.
func (h *host) startExec(ctx actor.Context, m *wire.StartExec) {
	refuse := func(format string, args ...any) { ctx.Reply(&wire.Refused{Reason: fmt.Sprintf(format, args...)}) }
	id := m.GetContainerId().GetValue()
	e := h.executors[id]
	switch {
	case !h.isSlaves(ctx.Sender()):
		ctx.Log().Warn().Stringer("sender", ctx.Sender()).Msg("dropped StartExec: only this host's slave may send it")
	case e == nil || e.life == nil:
		refuse("container %s does not run", id)
	case len(h.execs) >= MaxExecs:
		refuse("%d commands beside others run already: allowed are %d", len(h.execs), MaxExecs)
	default:
		peer, life := ctx.Sender(), e.life
		h.execs[ctx.Spawn("exec:"+id, func() actor.Actor { return &execution{peer: peer, life: life, wish: m.GetExec()} })] = true
	}
}

// isSlaves tells whether an actor lives in the process of this host's slave.
func (h *host) isSlaves(pid actor.PID) bool {
	return !h.session.IsZero() && pid.Node == h.session.Node && pid.Incarnation == h.session.Incarnation
}

// execution is the actor of one further command. It carries bytes between its peer and the command, never more at a time
// than wire.ExecWindow each way, and ends the command when the peer is gone.
type execution struct {
	peer actor.PID
	life *life
	wish *wire.ExecTask

	process containerizer.Process // nil: not started yet
	input   *inlet                // nil: it reads nothing
	output  *window
	ended   bool // the command
	killed  bool // nobody wants it any more
	streams int  // of output that have not ended
	result  *wire.ExecEnded
	past    chan struct{} // closed when the command has ended, or nobody will hear of it
}

// What the goroutines of an execution tell it.
type (
	execStarted struct {
		process containerizer.Process
		input   *os.File
		whole   func() // see inlet
		output  []*outlet
		err     error
	}
	execOutput struct {
		data   []byte
		stderr bool
	}
	execStreamEnded struct{}
	execTaken       struct{ bytes int }
	execEnded       struct {
		status syscall.WaitStatus
		err    error
	}
)

// Receive implements actor.Actor.
func (x *execution) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Link(x.peer)
		x.output, x.past = newWindow(wire.ExecWindow), make(chan struct{})
		life, wish := x.life, x.wish
		ctx.Async(func(context.Context) any {
			m := begin(life, wish)
			life.means.pass("began a further command", nil)
			return m
		})
	case execStarted:
		x.started(ctx, m)
	case execOutput:
		ctx.Send(x.peer, &wire.ExecOutput{Data: m.data, Stderr: m.stderr})
	case execTaken:
		ctx.Send(x.peer, &wire.ExecTaken{Bytes: int64(m.bytes)})
	case execStreamEnded:
		x.streams--
		x.maybeDone(ctx)
	case execEnded:
		x.life.means.pass("hears of a further command's end", nil)
		x.ended, x.result = true, endedOf(m.status, m.err)
		close(x.past)
		x.maybeDone(ctx)
	case *wire.ExecInput, *wire.ExecTaken, *wire.ExecResize, *wire.ExecSignal:
		if ctx.Sender().Is(x.peer) {
			x.told(ctx, m)
		}
	case actor.Exited: // the peer's
		x.killed = true
		x.output.close() // nobody takes it
		if x.input != nil {
			x.input.close()
		}
		x.kill(ctx)
	case actor.Stopping:
		x.output.close()
		if x.input != nil {
			x.input.close()
		}
		x.kill(ctx)
		if !x.ended {
			close(x.past)
		}
	}
}

func (x *execution) kill(ctx actor.Context) {
	if x.process == nil || x.ended {
		return
	}
	if err := x.process.Kill(); err != nil {
		ctx.Log().Warn().Err(err).Msg("a further command could not be killed")
	}
}

// told does what the peer says. Output may be waiting for room when the command has ended.
func (x *execution) told(ctx actor.Context, m any) {
	if taken, ok := m.(*wire.ExecTaken); ok {
		x.output.release(int(taken.GetBytes()))
		return
	}
	if x.process == nil || x.ended {
		return
	}
	switch m := m.(type) {
	case *wire.ExecInput:
		if x.input != nil && !x.input.put(m.GetData(), m.GetEnd()) {
			ctx.Log().Warn().Msgf("more than %d bytes of input for a further command, which is ended", wire.ExecWindow)
			x.kill(ctx)
		}
	case *wire.ExecResize:
		if t := x.process.Terminal(); t != nil {
			_ = terminal.Resize(t, uint16(m.GetRows()), uint16(m.GetColumns())) // or it has just ended
		}
	case *wire.ExecSignal:
		if err := x.process.Signal(syscall.Signal(m.GetSignal())); err != nil && !errors.Is(err, os.ErrProcessDone) {
			ctx.Log().Warn().Err(err).Msg("a signal was not delivered")
		}
	}
}

// started begins to carry bytes.
func (x *execution) started(ctx actor.Context, m execStarted) {
	if m.err != nil {
		x.ended, x.result = true, endedOf(0, m.err)
		x.maybeDone(ctx)
		return
	}
	x.process, x.streams = m.process, len(m.output)
	system, self := ctx.System(), ctx.Self()
	if m.input != nil {
		x.input = newInlet(m.input, m.process.Terminal() != nil)
		x.input.whole = m.whole
		go x.input.run(func(n int) { system.Send(self, execTaken{n}) })
	}
	for _, o := range m.output {
		go o.run(x.output, x.past, func(data []byte) { system.Send(self, execOutput{data, o.stderr}) }, func() { system.Send(self, execStreamEnded{}) })
	}
	process := m.process
	go func() {
		status, err := process.Wait()
		system.Send(self, execEnded{status, err})
	}()
	ctx.Send(x.peer, &wire.ExecStarted{Pid: uint32(m.process.PID())})
	if x.killed {
		x.kill(ctx)
	}
}

// maybeDone ends the execution when the command has ended and all its output has been sent.
func (x *execution) maybeDone(ctx actor.Context) {
	if !x.ended || x.streams > 0 {
		return
	}
	ctx.Send(x.peer, x.result)
	ctx.Stop(ctx.Self())
}

// endedOf says how a further command ended.
func endedOf(status syscall.WaitStatus, err error) *wire.ExecEnded {
	var exec *containerizer.ExecError
	switch {
	case err == nil:
		return &wire.ExecEnded{WaitStatus: int32(status)}
	case errors.As(err, &exec):
		return &wire.ExecEnded{ExecErrno: int32(exec.Err), Failure: err.Error()}
	case errors.Is(err, os.ErrProcessDone):
		return &wire.ExecEnded{Failure: "the task's command has ended"}
	default:
		return &wire.ExecEnded{Failure: err.Error()}
	}
}

// exec starts a further command, if the container's own runs.
func (l *life) exec(exec containerizer.Exec, stdio containerizer.Stdio) (containerizer.Process, error) {
	l.mu.Lock()
	container := l.container
	l.mu.Unlock()
	if container == nil {
		return nil, errors.New("the task's command does not run yet")
	}
	return container.Exec(exec, stdio)
}

// begin makes the streams of a further command and starts it.
func begin(l *life, wish *wire.ExecTask) (m execStarted) {
	if wish.GetAttach() {
		return l.attach()
	}
	exec := containerizer.Exec{
		Args: wish.GetArgs(), Env: wish.GetEnvironment(), Terminal: wish.GetTty(),
		Rows: uint16(wish.GetSize().GetRows()), Columns: uint16(wish.GetSize().GetColumns()),
	}
	if exec.Terminal {
		if m.process, m.err = l.exec(exec, containerizer.Stdio{}); m.err == nil {
			terminal := m.process.Terminal()
			m.output = []*outlet{{file: terminal, terminal: true}}
			if wish.GetStdin() {
				m.input = terminal
			}
		}
		return m
	}
	var theirs containerizer.Stdio
	defer func() {
		for _, file := range []*os.File{theirs.Stdin, theirs.Stdout, theirs.Stderr} {
			if file != nil {
				file.Close()
			}
		}
		if m.err != nil {
			for _, o := range m.output {
				o.file.Close()
			}
			if m.input != nil {
				m.input.Close()
			}
		}
	}()
	for _, stream := range []struct {
		end    **os.File
		stderr bool
	}{{&theirs.Stdout, false}, {&theirs.Stderr, true}} {
		var reader int
		if reader, *stream.end, m.err = newPipe(); m.err != nil {
			return m
		}
		m.output = append(m.output, &outlet{file: os.NewFile(uintptr(reader), "pipe"), stderr: stream.stderr})
	}
	if wish.GetStdin() {
		if theirs.Stdin, m.input, m.err = inputPipe(); m.err != nil {
			return m
		}
	}
	m.process, m.err = l.exec(exec, theirs)
	return m
}
