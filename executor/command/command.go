// Package command is the built-in command executor: it runs tasks that have a command and no executor of their own,
// each under an executor of its own.
//
//	slave ◀── executor calls and events ──▶ command executor ◀── StartContainer, … ContainerExited ──▶ host
//
// It is an actor inside the slave's host, not a process. To the slave it is an executor like any other (executor/core
// keeps its updates until they are acknowledged); to the host it is who starts a container, signals it and hears how
// it ended. The life of its task:
//
//	waiting ──LAUNCH──▶ starting ──ContainerStarted──▶ running ──ContainerExited──▶ over ──acknowledged──▶ gone
//	                  TASK_STARTING                 TASK_RUNNING             FINISHED, FAILED, KILLED
//
// A KILL sends SIGTERM to the command and, after the grace period, SIGKILL to everything in the container; while it is
// still being started, SIGKILL at once. Whatever the command then makes of it, the task is KILLED. The other ends are
// in status.go; what Mesos has no field for travels as labels, see labels.go.
//
// TaskInfo.data is the command's standard input. That is an addition of Stoa's: Mesos's command executor ignores it.
package command

import (
	"math/rand/v2"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/executor/core"
	"github.com/stoa-project/stoa/executor/session"
	"github.com/stoa-project/stoa/proto/wire"
)

// New makes command executors: what a host needs to know of them. The executor speaks to whoever is the slave at
// slave, and has host start its container.
func New(launch *wire.LaunchExecutor, slave, host actor.PID) func() actor.Actor {
	return func() actor.Actor {
		return &shell{launch: launch, host: host, slave: session.New(slave)}
	}
}

// Without is New where some limits are not enforced, by their names: each task is told so when it runs.
func Without(limits ...string) func(launch *wire.LaunchExecutor, slave, host actor.PID) func() actor.Actor {
	return func(launch *wire.LaunchExecutor, slave, host actor.PID) func() actor.Actor {
		return func() actor.Actor {
			return &shell{launch: launch, host: host, slave: session.New(slave), without: limits}
		}
	}
}

// shell is the actor around a commandCore.
type shell struct {
	without []string
	launch  *wire.LaunchExecutor
	host    actor.PID
	slave   session.Slave
	core    *commandCore

	timer    actor.Timer
	deadline time.Time // for which timer is set
}

// wake is the message of the timer.
type wake struct{}

// Receive implements actor.Actor.
func (s *shell) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		s.start(ctx)
	case wake:
		s.deadline = time.Time{}
		s.step(ctx, core.Tick{})
	case *wire.ContainerStarted, *wire.ContainerExited:
		s.step(ctx, m)
	default:
		if event := s.slave.Event(ctx); event != nil {
			s.step(ctx, event)
		}
	}
}

func (s *shell) start(ctx actor.Context) {
	config, err := core.FromEnvironment(func(name string) string {
		switch name {
		case "MESOS_FRAMEWORK_ID":
			return s.launch.GetFramework().GetId().GetValue()
		case "MESOS_EXECUTOR_ID":
			return s.launch.GetExecutor().GetExecutorId().GetValue()
		default:
			return s.launch.GetEnvironment()[name]
		}
	})
	if err != nil {
		panic(err) // our own slave wrote it
	}
	config.Incarnation = rand.Uint64()
	s.core = newCore(s.launch, config)
	s.core.without = s.without
	s.step(ctx, core.Start{})
}

func (s *shell) step(ctx actor.Context, event any) {
	for _, output := range s.core.Step(ctx.Now(), event) {
		s.carryOut(ctx, output)
	}
	s.setTimer(ctx)
}

func (s *shell) carryOut(ctx actor.Context, output any) {
	switch o := output.(type) {
	case core.Connect:
		s.slave.Connect(ctx, o)
	case core.Send:
		s.slave.Send(ctx, o)
	case core.HangUp:
		s.slave.HangUp(ctx, o)
	case finished:
		if o.Err != nil {
			ctx.Log().Warn().Err(o.Err).Msg("the command executor ends")
		}
		ctx.Stop(ctx.Self())
	default: // a message to the host
		ctx.Send(s.host, o)
	}
}

func (s *shell) setTimer(ctx actor.Context) {
	next := s.core.Deadline()
	if next.Equal(s.deadline) {
		return
	}
	s.timer.Cancel()
	s.deadline = next
	if !next.IsZero() {
		s.timer = ctx.After(max(0, next.Sub(ctx.Now())), wake{})
	}
}
