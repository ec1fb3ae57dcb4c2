package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
)

// executor is one executor and its container, which has the same id. It is gone when its actor, if it is one, and its
// container, if it ever had one, are.
type executor struct {
	id        string
	custom    bool      // it runs in the container, and has no actor
	actor     actor.PID // of a command executor that lives
	container actor.PID // of the container's actor, while that lives
	life      *life     // of the container; nil: it has none yet
	exit      *wire.ContainerExit
	killed    bool   // the slave wants its end
	failure   string // what failed in the host itself; empty: nothing
}

// containerMessage is what executors say to the host.
type containerMessage interface {
	GetContainerId() *mesos.ContainerID
}

// launch starts an executor for the slave.
func (h *host) launch(ctx actor.Context, m *wire.LaunchExecutor) {
	id := m.GetContainerId().GetValue()
	if h.executors[id] != nil {
		ctx.Log().Warn().Str("container", id).Msg("the slave launched an executor twice")
		return
	}
	if err := checkLaunch(h.config.WorkDir, m); err != nil {
		h.tell(ctx, &wire.ExecutorEnded{ContainerId: m.GetContainerId(), Exit: &wire.ContainerExit{
			Cause: wire.ContainerExit_LAUNCH_FAILED, Message: err.Error(), FinishedUnixNanos: ctx.Now().UnixNano(),
		}})
		return
	}
	e := &executor{id: id, custom: !m.GetCommandExecutor()}
	h.executors[id] = e
	if e.custom {
		h.startContainer(ctx, e, executorContainer(m))
		return
	}
	e.actor = ctx.Spawn("executor:"+id, h.config.CommandExecutor(m, h.slave(), ctx.Self()))
	h.children[e.actor] = e
	h.tell(ctx, &wire.ExecutorStarted{ContainerId: m.GetContainerId()})
}

// checkLaunch says what a host can't launch whatever is to run in it.
func checkLaunch(workDir string, m *wire.LaunchExecutor) error {
	if id := m.GetContainerId().GetValue(); !containerizer.ValidID(id) {
		return fmt.Errorf("container id %q: it must be a name of at most %d letters, digits, and _ + - .", id, containerizer.MaxIDLength)
	}
	if !m.GetCommandExecutor() {
		if _, err := mesos.AskedPIDs(m.GetExecutor().GetLabels()); err != nil {
			return err
		}
	}
	_, err := ExitPath(workDir, m.GetDirectory())
	return err
}

// fromExecutor does what a command executor asks for its own container.
func (h *host) fromExecutor(ctx actor.Context, m containerMessage) {
	e := h.executors[m.GetContainerId().GetValue()]
	if e == nil || ctx.Sender().IsZero() || !ctx.Sender().Is(e.actor) {
		ctx.Log().Warn().Stringer("sender", ctx.Sender()).Msgf("dropped %T for container %q: it is not the sender's", m, m.GetContainerId().GetValue())
		return
	}
	start, isStart := m.(*wire.StartContainer)
	switch {
	case isStart && e.life == nil:
		h.startContainer(ctx, e, start)
	case isStart:
		ctx.Log().Warn().Str("container", e.id).Msg("an executor asked for its container twice")
	case !e.container.IsZero():
		ctx.Forward(e.container)
	}
}

func (h *host) startContainer(ctx actor.Context, e *executor, start *wire.StartContainer) {
	e.life = newLife(h.means, start)
	owned, self := e.life, ctx.Self()
	e.container = ctx.Spawn("container:"+e.id, func() actor.Actor { return &container{life: owned, host: self} })
	h.children[e.container] = e
}

func (h *host) containerStarted(ctx actor.Context, m *wire.ContainerStarted) {
	e := h.executors[m.GetContainerId().GetValue()]
	switch {
	case e == nil || e.exit != nil:
	case e.custom:
		h.tell(ctx, &wire.ExecutorStarted{ContainerId: m.GetContainerId(), Pid: m.GetPid()})
	case !e.actor.IsZero():
		ctx.Send(e.actor, m)
	}
}

// containerExited is the end of a container, told once.
func (h *host) containerExited(ctx actor.Context, id string, exit *wire.ContainerExit) {
	e := h.executors[id]
	if e == nil || e.exit != nil {
		return
	}
	e.exit = exit
	if !e.actor.IsZero() {
		ctx.Send(e.actor, &wire.ContainerExited{ContainerId: containerID(id), Exit: exit})
	}
	h.maybeGone(ctx, e)
}

// killExecutor ends an executor, its container and all.
func (h *host) killExecutor(ctx actor.Context, id string) {
	e := h.executors[id]
	if e == nil {
		return // its end is on the way to whoever wants it
	}
	e.killed = true
	if !e.actor.IsZero() {
		ctx.Stop(e.actor)
	}
	h.killContainer(ctx, e)
}

func (h *host) killContainer(ctx actor.Context, e *executor) {
	if !e.container.IsZero() && e.exit == nil {
		ctx.Send(e.container, &wire.KillContainer{ContainerId: containerID(e.id)})
	}
}

// childExited is the end of an executor's or a container's actor.
func (h *host) childExited(ctx actor.Context, exited actor.Exited) {
	e := h.children[exited.PID]
	delete(h.children, exited.PID)
	delete(h.execs, exited.PID)
	switch {
	case e == nil || h.executors[e.id] != e:
	case exited.PID.Is(e.actor):
		e.actor = actor.PID{}
		if exited.Reason == actor.Panicked {
			e.failure = "the command executor failed: " + firstLine(exited.Err)
		}
		h.killContainer(ctx, e)
		h.maybeGone(ctx, e)
	case exited.PID.Is(e.container):
		e.container = actor.PID{}
		if e.exit == nil {
			e.failure = "the container's actor failed: " + firstLine(exited.Err)
			h.rescue(ctx, e)
		}
	}
}

// rescue ends a container whose actor has failed.
func (h *host) rescue(ctx actor.Context, e *executor) {
	id, life := e.id, e.life
	ctx.Async(func(context.Context) any {
		killErr := life.kill()
		exit, err := life.end()
		return rescued{id, gone{exit, errors.Join(killErr, err)}}
	})
}

// maybeGone tells the slave of an executor of which nothing is left, and forgets it.
func (h *host) maybeGone(ctx actor.Context, e *executor) {
	if !e.actor.IsZero() || e.life != nil && e.exit == nil {
		return
	}
	delete(h.executors, e.id)
	h.tell(ctx, &wire.ExecutorEnded{ContainerId: containerID(e.id), Exit: executorExit(e.exit, e.killed, e.failure)})
	h.maybeClose(ctx)
}

// firstLine is an error without the stack that a panic has.
func firstLine(err error) string {
	if err == nil {
		return "it ended"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func containerID(id string) *mesos.ContainerID { return mesos.NewContainerID(id) }
