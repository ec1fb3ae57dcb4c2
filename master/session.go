package master

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

const (
	// SessionWindow is how many messages of one peer may wait for the core at a time.
	SessionWindow = 64

	// SessionBacklog is how many more messages of one peer wait in its session; beyond them the session ends.
	SessionBacklog = 10000
)

// session is the actor that a slave or a scheduler talks to.
type session struct {
	number core.Session
	peer   actor.PID
	master actor.PID

	room    int // how many messages the master takes now
	backlog []proto.Message
	gone    bool // the peer is; what it said before is still passed on
}

// What a session and its master say to each other.
type (
	// heard is a message of the peer.
	heard struct {
		session core.Session
		message proto.Message
	}
	// say is a message to the peer.
	say struct{ message proto.Message }
	// hangUp ends the session, behind what is to be said.
	hangUp struct{ reason string }
	// credit tells a session that so many of its messages have been handled.
	credit int
)

func newSession(number core.Session, peer, master actor.PID) func() actor.Actor {
	return func() actor.Actor {
		return &session{number: number, peer: peer, master: master, room: SessionWindow}
	}
}

// Receive handles one message.
func (s *session) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Link(s.peer)
	case actor.Stopping:
	case actor.Exited:
		ctx.Log().Debug().Msgf("%v has gone: %v", m.PID, m.Reason)
		s.gone = true
		s.passOn(ctx)
	case say:
		ctx.Send(s.peer, m.message)
	case hangUp:
		ctx.Stop(ctx.Self())
	case credit:
		s.room += int(m)
		s.passOn(ctx)
	case *masterpb.Call:
		ctx.Forward(s.master) // A scheduler may ask like an operator.
	case proto.Message:
		s.backlog = append(s.backlog, m)
		s.passOn(ctx)
		if len(s.backlog) > SessionBacklog {
			ctx.Log().Warn().Msgf("%v sends faster than it can be heard: %d messages wait, the session ends", s.peer, len(s.backlog))
			ctx.Stop(ctx.Self())
		}
	default:
		panic(fmt.Sprintf("master: a %T for a session", m))
	}
}

// passOn gives the master as much as it takes, and in the end the end.
func (s *session) passOn(ctx actor.Context) {
	n := min(s.room, len(s.backlog))
	for _, m := range s.backlog[:n] {
		ctx.Send(s.master, heard{s.number, m})
	}
	s.room -= n
	s.backlog = s.backlog[n:]
	if len(s.backlog) > 0 {
		return
	}
	s.backlog = nil
	if s.gone {
		ctx.Stop(ctx.Self())
	}
}
