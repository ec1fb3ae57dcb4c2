// Package host is the parent of a slave's containers: a process of its own beside the slave, which may die and come
// back in a new version while the host's containers run on.
//
//	slave ◀──▶ host ─┬─ container                     one per container
//	                 └─ command executor ──▶ slave    one per task without an executor of its own
//
// The host is an actor, and so is each container. An executor is one of two things: a framework's own runs in a
// container; the built-in command executor is an actor in the host (made by Config.CommandExecutor) that has the host
// start one container for its task. Either way the slave hears ExecutorStarted, and in the end ExecutorEnded: by then
// every process of it is gone, its output is in its sandbox and its exit record is on the disk, in that order.
//
// # Output
//
// A container's stdout and stderr are pipes that the host drains into files of the sandbox (stdio.go). A command that
// writes faster than the disk is slowed down. When the container is gone what is left in the pipes is taken and they
// are closed, whoever else still holds them.
//
// # The exit record
//
// The sandbox belongs to the task, so the record of its end does not lie in it: ExitPath says where.
//
// # The lifeline
//
// The host registers with its slave and stays linked to it. When the slave has been away for the recovery timeout, the
// host kills its containers, waits for their end, removes what it made for them and ends. So does Terminate.
package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
)

const (
	// DefaultParallelStarts is how many containers may be starting at the same time. More make none of them faster:
	// their namespaces and mounts are made under locks of the kernel.
	DefaultParallelStarts = 8
	// DefaultRegisterTimeout bounds a new host's search for the slave that started it and listens already.
	DefaultRegisterTimeout = 3 * time.Second
	// RetryInterval is the wait between two attempts to reach the slave.
	RetryInterval = 100 * time.Millisecond
)

// Config is what a host is born with. Zero values of the last group stand for defaults.
type Config struct {
	ID            string // as the slave named this host
	SlaveAddress  string // "host:port"
	WorkDir       string // the slave's: sandboxes lie below it
	Containerizer containerizer.Containerizer
	// CommandExecutor makes a command executor, which speaks to slave and has host start its container.
	CommandExecutor func(launch *wire.LaunchExecutor, slave, host actor.PID) func() actor.Actor
	// Done is called once, when the host has ended everything. The error says why it ended, nil if it was told to by
	// Terminate; and what it could not clean up.
	Done func(error)

	RecoveryTimeout time.Duration // how long the slave may be away; 0: no time at all
	RegisterTimeout time.Duration
	ParallelStarts  int
	// DirectOutput has commands write into the sandbox's files themselves. It is for containerizers that run no
	// processes, in fake time: a pipe is waited for in real time.
	DirectOutput bool
	// CFS makes the cpus of a container a ceiling as well, not only its share (Mesos: --cgroups_enable_cfs).
	CFS bool
	// Logs bounds the files of commands' output.
	Logs Rotation
	// Passed, if there is one, is called at each point of the host's life: before it hears a message about an executor,
	// before it says one, and before and after an exit record is written. It is for tests, which die there.
	Passed func(point string)
}

// Terminate, sent to a host, ends it and everything in it.
type Terminate struct{}

// New makes hosts: root actors of a host process.
func New(config Config) func() actor.Actor {
	config.RegisterTimeout = cmp.Or(config.RegisterTimeout, DefaultRegisterTimeout)
	config.ParallelStarts = cmp.Or(config.ParallelStarts, DefaultParallelStarts)
	if config.Done == nil {
		config.Done = func(error) {}
	}
	return func() actor.Actor {
		return &host{
			config: config,
			means: &means{
				containerizer: config.Containerizer,
				workDir:       config.WorkDir,
				user:          ownUser(),
				starts:        make(chan struct{}, config.ParallelStarts),
				buffers:       &buffers{},
				directOutput:  config.DirectOutput,
				cfs:           config.CFS,
				rotation:      config.Logs,
				passed:        config.Passed,
			},
			executors: make(map[string]*executor),
			children:  make(map[actor.PID]*executor),
			execs:     make(map[actor.PID]bool),
		}
	}
}

// ownUser is the name of the user that the host runs as; empty if it has none.
func ownUser() string {
	self, err := user.Current()
	if err != nil {
		return ""
	}
	return self.Username
}

// host is the root of a host process.
type host struct {
	config Config
	means  *means

	session    actor.PID // of the slave, which registered this host; zero: none
	registered bool      // at least once
	awaySince  time.Time // when the search for the slave began
	unsent     []proto.Message
	executors  map[string]*executor // by container id
	children   map[actor.PID]*executor
	execs      map[actor.PID]bool // further commands in containers

	ending    bool
	endReason error // why; nil: as it was told
	closing   bool  // the containerizer
}

type (
	swept  struct{ err error }
	retry  struct{}
	closed struct{ err error }
	// rescued is the end of a container whose actor had failed.
	rescued struct {
		id string
		gone
	}
)

// Receive implements actor.Actor.
func (h *host) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(proto.Message); ok {
		h.means.pass("hears", m)
	}
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Async(func(life context.Context) any { return swept{h.config.Containerizer.Sweep(life)} })
	case swept:
		if m.err != nil {
			ctx.Log().Warn().Err(m.err).Msg("what an earlier host left could not be removed")
		}
		h.awaySince = ctx.Now()
		h.register(ctx)
	case retry:
		if h.session.IsZero() && !h.ending {
			h.register(ctx)
		}
	case *wire.HostRegistered:
		h.becomeRegistered(ctx)
	case *wire.Refused:
		h.refused(ctx, m)
	case *wire.LaunchExecutor, *wire.ResizeExecutor, *wire.KillExecutor:
		h.fromSlave(ctx, m)
	case *wire.StartContainer, *wire.SignalContainer, *wire.KillContainer:
		h.fromExecutor(ctx, m.(containerMessage))
	case *wire.StartExec:
		h.startExec(ctx, m)
	case *wire.GetStatistics:
		h.statistics(ctx, m)
	case measured:
		ctx.ReplyTo(m.asked, m.answer)
	case *wire.ContainerStarted:
		h.containerStarted(ctx, m)
	case *wire.ContainerExited:
		h.containerExited(ctx, m.GetContainerId().GetValue(), m.GetExit())
	case rescued:
		if m.err != nil {
			ctx.Log().Warn().Err(m.err).Str("container", m.id).Msg("a container did not end cleanly")
		}
		h.containerExited(ctx, m.id, m.exit)
	case actor.Exited:
		h.exited(ctx, m)
	case Terminate:
		h.end(ctx, nil)
	case closed:
		h.done(ctx, m.err)
	}
}

// slave is whoever is the slave at the moment.
func (h *host) slave() actor.PID { return actor.At(h.config.SlaveAddress, "slave") }

func (h *host) register(ctx actor.Context) {
	h.means.pass("says", &wire.RegisterHost{})
	ctx.Link(h.slave()) // first: a slave that appears in between would be linked, but not spoken to
	ctx.Send(h.slave(), &wire.RegisterHost{
		HostId: h.config.ID, Pid: uint32(os.Getpid()), Isolation: h.config.Containerizer.Name(),
	})
}

func (h *host) becomeRegistered(ctx actor.Context) {
	if !h.session.IsZero() || h.ending {
		return
	}
	h.session, h.registered = ctx.Sender(), true
	ctx.Link(h.session)
	ctx.Log().Info().Stringer("slave", h.session).Msg("registered")
	for _, m := range h.unsent {
		ctx.Send(h.session, m)
	}
	h.unsent = nil
}

func (h *host) refused(ctx actor.Context, m *wire.Refused) {
	if h.session.IsZero() {
		h.end(ctx, fmt.Errorf("the slave at %s refused this host: %s", h.config.SlaveAddress, m.GetReason()))
		return
	}
	ctx.Log().Warn().Str("reason", m.GetReason()).Msg("the slave refused a message")
}

// fromSlave does what only the slave that registered this host may ask for.
func (h *host) fromSlave(ctx actor.Context, message any) {
	if h.session.IsZero() || !ctx.Sender().Is(h.session) {
		ctx.Log().Warn().Stringer("sender", ctx.Sender()).Msgf("dropped %T: only this host's slave may send it", message)
		return
	}
	switch m := message.(type) {
	case *wire.LaunchExecutor:
		h.launch(ctx, m)
	case *wire.ResizeExecutor:
		if e := h.executors[m.GetContainerId().GetValue()]; e != nil && e.custom && !e.container.IsZero() && e.exit == nil {
			ctx.Send(e.container, m)
		}
	case *wire.KillExecutor:
		h.killExecutor(ctx, m.GetContainerId().GetValue())
	}
}

// tell sends m to the slave, now or when it is back.
func (h *host) tell(ctx actor.Context, m proto.Message) {
	h.means.pass("says", m)
	if h.session.IsZero() {
		h.unsent = append(h.unsent, m) // two for each executor, at most
		return
	}
	ctx.Send(h.session, m)
}

func (h *host) exited(ctx actor.Context, e actor.Exited) {
	switch {
	case e.PID.Is(h.slave()) || !h.session.IsZero() && e.PID.Is(h.session):
		h.slaveGone(ctx, e)
	default:
		h.childExited(ctx, e)
	}
}

// slaveGone looks for the slave as long as it may be away.
func (h *host) slaveGone(ctx actor.Context, e actor.Exited) {
	if h.ending {
		return
	}
	if !h.session.IsZero() {
		ctx.Unlink(h.slave())
		ctx.Unlink(h.session)
		h.session, h.awaySince = actor.PID{}, ctx.Now()
		ctx.Log().Warn().Stringer("reason", e.Reason).AnErr("error", e.Err).Msg("the slave is gone")
	}
	allowed := h.config.RegisterTimeout
	if h.registered {
		allowed = h.config.RecoveryTimeout
	}
	if ctx.Now().Sub(h.awaySince) >= allowed {
		h.end(ctx, fmt.Errorf("the slave at %s is gone: %v", h.config.SlaveAddress, e.Reason))
		return
	}
	ctx.After(RetryInterval, retry{})
}

// end ends everything, then the host.
func (h *host) end(ctx actor.Context, reason error) {
	if h.ending {
		return
	}
	h.ending, h.endReason = true, reason
	for _, id := range slices.Sorted(maps.Keys(h.executors)) {
		h.killExecutor(ctx, id)
	}
	h.maybeClose(ctx)
}

func (h *host) maybeClose(ctx actor.Context) {
	if !h.ending || h.closing || len(h.executors) > 0 {
		return
	}
	h.closing = true
	ctx.Async(func(context.Context) any { return closed{h.config.Containerizer.Close()} })
}

func (h *host) done(ctx actor.Context, err error) {
	if err != nil {
		err = fmt.Errorf("clean up after the last container: %w", err)
	}
	switch {
	case h.endReason == nil:
		h.config.Done(err)
	case err == nil:
		h.config.Done(h.endReason)
	default:
		h.config.Done(fmt.Errorf("%w; and %w", h.endReason, err))
	}
	ctx.Stop(ctx.Self())
}
