package slave

import (
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/core"
)

// exec has a host run an operator's command beside a task's own.
func (s *shell) exec(ctx actor.Context, m *wire.ExecTask) {
	s.pass("hears ExecTask")
	place, err := s.core.Find(m.GetFrameworkId().GetValue(), m.GetTaskId().GetValue())
	host := s.hostAt(place.Host)
	switch {
	case err != nil:
		ctx.Reply(&wire.Refused{Reason: err.Error()})
	case host.IsZero():
		ctx.Reply(&wire.Refused{Reason: "the host process of this slave is away"})
	default:
		operator := ctx.Sender()
		start := &wire.StartExec{ContainerId: mesos.NewContainerID(place.ContainerID), Exec: m}
		note := ctx.Log().Info().Str("task", m.GetTaskId().GetValue()).Stringer("operator", operator)
		if m.GetAttach() {
			note.Msg("an operator types into a task")
		} else {
			note.Strs("command", m.GetArgs()).Msg("an operator's command in a container")
		}
		ctx.Spawn("exec", func() actor.Actor { return &relay{operator: operator, host: host, start: start, pass: s.pass} })
	}
}

// hostAt is who is on the other end of a host's session; nobody if there is none.
func (s *shell) hostAt(session core.Session) actor.PID {
	for caller, n := range s.callers {
		if n == session {
			return caller
		}
	}
	return actor.PID{}
}

// relay stands between an operator and the command that he runs: neither reaches the other's process. It is the
// command's peer; when either of them goes, the other one is told and the relay ends.
type relay struct {
	operator, host actor.PID
	command        actor.PID // zero: not started yet
	start          *wire.StartExec
	pass           func(point string)
}

// Receive implements actor.Actor.
func (r *relay) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Link(r.operator)
		ctx.Link(r.host)
		r.pass("does Send StartExec")
		ctx.Send(r.host, r.start)
	case actor.Stopping:
	case actor.Exited:
		if !m.PID.Is(r.operator) {
			ctx.Send(r.operator, &wire.ExecEnded{Failure: "the host of its container is gone: " + describeExit(m)})
		}
		ctx.Stop(ctx.Self())
	case *wire.ExecStarted:
		r.pass("hears ExecStarted")
		r.command = ctx.Sender()
		ctx.Link(r.command)
		ctx.Unlink(r.host)
		ctx.Send(r.operator, m)
	case *wire.ExecEnded, *wire.Refused: // of the host, the one or the other
		r.pass("hears " + messageName(m.(proto.Message)))
		ctx.Send(r.operator, m)
		ctx.Stop(ctx.Self())
	case proto.Message:
		r.carry(ctx, m)
	}
}

// carry passes on what one end says to the other.
func (r *relay) carry(ctx actor.Context, m proto.Message) {
	switch from := ctx.Sender(); {
	case from.Is(r.operator) && !r.command.IsZero():
		ctx.Send(r.command, m)
	case from.Is(r.command):
		ctx.Send(r.operator, m)
	}
}
