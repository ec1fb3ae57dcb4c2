package host

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
)

// container is the actor of one container: it starts it, signals and kills it as it is told, and tells its parent, the
// host, that it started and that it is gone. If it fails, the host takes over its life.
type container struct {
	life  *life
	host  actor.PID
	again actor.Timer // of a change of its limits
}

// ResizeRetry is the time from a limit that could not be lowered, because so much memory is in use, to the next attempt.
const ResizeRetry = 5 * time.Second

// begun is the result of the container's start.
type begun struct {
	pid int
	err error
}

// gone is the container's end.
type gone struct {
	exit *wire.ContainerExit
	err  error // what could not be cleaned up or recorded
}

// Receive implements actor.Actor.
func (c *container) Receive(ctx actor.Context) {
	id := c.life.id
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Async(func(context.Context) any {
			pid, err := c.life.begin()
			return begun{pid, err}
		})
	case begun:
		if m.err == nil {
			ctx.Send(c.host, &wire.ContainerStarted{ContainerId: id, Pid: uint32(m.pid)})
		}
		ctx.Async(func(context.Context) any {
			exit, err := c.life.end()
			return gone{exit, err}
		})
	case gone:
		if m.err != nil {
			ctx.Log().Warn().Err(m.err).Str("container", id.GetValue()).Msg("a container did not end cleanly")
		}
		ctx.Send(c.host, &wire.ContainerExited{ContainerId: id, Exit: m.exit})
		ctx.Stop(ctx.Self())
	case *wire.SignalContainer:
		if err := c.life.signal(syscall.Signal(m.GetSignal())); err != nil {
			ctx.Log().Warn().Err(err).Str("container", id.GetValue()).Msg("a signal was not delivered")
		}
	case *wire.ResizeExecutor:
		c.resize(ctx, m)
	case *wire.KillContainer:
		c.kill(ctx)
	case actor.Stopping: // if it has ended by itself, nothing is left to kill
		c.kill(ctx)
	}
}

// resize changes the container's limits. Memory that it has yet to give back is waited for.
func (c *container) resize(ctx actor.Context, m *wire.ResizeExecutor) {
	c.again.Cancel()
	err := c.life.resize(m)
	if errors.Is(err, containerizer.ErrInUse) {
		c.again = ctx.After(ResizeRetry, m)
	} else if err != nil {
		ctx.Log().Warn().Err(err).Str("container", c.life.id.GetValue()).Msg("the limits of a container did not change")
	}
}

func (c *container) kill(ctx actor.Context) {
	if err := c.life.kill(); err != nil {
		ctx.Log().Warn().Err(err).Str("container", c.life.id.GetValue()).Msg("a container could not be killed")
	}
}
