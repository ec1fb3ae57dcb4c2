package executor

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/executor/core"
	"github.com/stoa-project/stoa/executor/session"
)

type (
	do   struct{ f func() }
	wake struct{}
	// stop is the end of Run's context.
	stop struct{}
)

// shell is the actor around the core: it dials, sends, and calls the author.
type shell struct {
	core   *core.Core
	author Executor
	driver *Driver
	slave  session.Slave
	log    zerolog.Logger
	ended  func(error)

	ctx     actor.Context // of the message in hand; nil between messages
	outputs []core.Output // to be carried out, oldest first
	timer   actor.Timer
	wakeAt  time.Time
}

// Receive turns a message into an event, and carries out what comes of it.
func (s *shell) Receive(ctx actor.Context) {
	s.ctx = ctx
	switch m := ctx.Message().(type) {
	case actor.Started:
		s.driver.pid = ctx.Self()
		s.step(core.Start{})
	case wake:
		s.wakeAt = time.Time{}
		s.step(core.Tick{})
	case do:
		m.f()
	case stop:
		s.step(core.Leave{})
	default:
		if event := s.slave.Event(ctx); event != nil {
			s.step(event)
		}
	}
	for len(s.outputs) > 0 {
		output := s.outputs[0]
		s.outputs = s.outputs[1:]
		s.carryOut(output)
	}
	s.schedule()
	s.ctx = nil
}

// step changes the core at once; what comes of it is carried out after what is already waiting. So a handler that calls
// the driver is never called again before it has returned.
func (s *shell) step(e core.Event) {
	s.outputs = append(s.outputs, s.core.Step(s.ctx.Now(), e)...)
}

func (s *shell) schedule() {
	at := s.core.Deadline()
	if at.Equal(s.wakeAt) {
		return
	}
	s.timer.Cancel()
	s.wakeAt = at
	if !at.IsZero() {
		s.timer = s.ctx.After(max(0, at.Sub(s.ctx.Now())), wake{})
	}
}

func (s *shell) carryOut(output core.Output) {
	switch o := output.(type) {
	case core.Connect:
		s.slave.Connect(s.ctx, o)
	case core.Send:
		s.slave.Send(s.ctx, o)
	case core.HangUp:
		s.slave.HangUp(s.ctx, o)
	case core.Ended:
		s.outputs = nil
		s.ended(o.Err)
		s.ctx.Stop(s.ctx.Self())
	default:
		s.tell(o)
	}
}

// tell calls the author.
func (s *shell) tell(output core.Output) {
	switch o := output.(type) {
	case core.Subscribed:
		s.author.Subscribed(s.driver, o.Info, o.Again)
	case core.Launch:
		s.author.Launch(s.driver, o.Task)
	case core.Kill:
		s.author.Kill(s.driver, o.TaskID, o.Policy)
	case core.Heard:
		s.author.Message(s.driver, o.Data)
	case core.Disconnected:
		s.log.Warn().Str("reason", o.Reason).Msg("the slave is away")
		s.author.Disconnected(s.driver, o.Reason)
	case core.Denied:
		s.log.Warn().Str("reason", o.Reason).Msg("the slave did not accept a call")
	case core.Shutdown:
		s.log.Info().Dur("grace", o.Grace).Msg("shutting down")
		s.author.Shutdown(s.driver)
	default:
		panic(fmt.Sprintf("executor: unknown output %T", o))
	}
}
