package slave

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/core"
)

const (
	// SessionWindow is how many messages of one peer may wait for the core at a time, so that no peer can fill the
	// slave's mailbox.
	SessionWindow = 64
	// SessionBacklog is how many more messages of one peer wait in its session. A peer that sends more loses it.
	SessionBacklog = 10_000
	// SessionBacklogBytes is how large these may be together, in bytes as they are sent.
	SessionBacklogBytes = 64 << 20
	// SessionMailbox is how many messages wait for a session that had no time yet to look at them. The peer's connection
	// is not read any further then, and whatever else the slave has to say is the end of the session.
	SessionMailbox = 16_384
)

// session is the slave's end of a connection with one master, host or executor: the actor that the peer speaks with
// after its first message. It passes on what it hears and what the core says, tells when the peer is gone, and ends when
// the slave says so, or alone when it panics.
type session struct {
	number core.Session
	slave  actor.PID
	peer   actor.PID
	atDoor bool // peer is whoever is "master" at an address; the one who answers will be the peer

	room    int // how many messages the slave takes now
	backlog []waiting
	bytes   int    // of all in the backlog
	gone    string // why there is nobody to speak with any more; empty: there is
	told    bool   // the slave knows
}

// waiting is a message that waits to be heard.
type waiting struct {
	message proto.Message
	bytes   int
}

// Messages between a session and its slave.
type (
	// say asks a session to send a message to its peer.
	say struct{ message proto.Message }
	// hangUp asks a session to end when it has sent what it was given before.
	hangUp struct{}
	// credit tells a session that so many of its messages have been handled.
	credit int
	// heard tells the slave what a session's peer said.
	heard struct {
		session core.Session
		message proto.Message
	}
	// over tells the slave that a session's peer is gone.
	over struct {
		session core.Session
		reason  string
	}
)

// Receive handles one message.
func (s *session) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		s.room = SessionWindow
		ctx.Link(s.peer)
	case say:
		ctx.Send(s.peer, m.message)
	case hangUp:
		ctx.Stop(ctx.Self())
	case credit:
		s.room += int(m)
		s.passOn(ctx)
	case proto.Message:
		s.hear(ctx, m)
	case actor.Exited:
		if m.PID.Is(s.peer) {
			s.end(ctx, describeExit(m))
		}
	}
}

func (s *session) hear(ctx actor.Context, m proto.Message) {
	s.follow(ctx)
	if !ctx.Sender().Is(s.peer) || s.gone != "" {
		return
	}
	s.backlog = append(s.backlog, waiting{message: m})
	s.passOn(ctx)
	if len(s.backlog) == 0 {
		return
	}
	last := &s.backlog[len(s.backlog)-1]
	last.bytes = proto.Size(m)
	s.bytes += last.bytes
	if len(s.backlog) > SessionBacklog || s.bytes > SessionBacklogBytes {
		s.backlog = nil
		s.end(ctx, fmt.Sprintf("it sends faster than it can be heard: more than %d messages or %d bytes wait", SessionBacklog, SessionBacklogBytes))
	}
}

// follow goes on with whoever answered: a master's door hands a slave over to an actor that is there for it alone.
func (s *session) follow(ctx actor.Context) {
	if !s.atDoor || ctx.SenderRole() != wire.RoleMaster {
		return
	}
	s.atDoor = false
	ctx.Unlink(s.peer)
	s.peer = ctx.Sender()
	ctx.Link(s.peer)
}

// end is the end of the peer, who may have said more before than the slave has heard yet.
func (s *session) end(ctx actor.Context, reason string) {
	s.gone = reason
	s.passOn(ctx)
}

// passOn gives the slave as much as it takes, and in the end the end.
func (s *session) passOn(ctx actor.Context) {
	n := min(s.room, len(s.backlog))
	for i, w := range s.backlog[:n] {
		ctx.Send(s.slave, heard{s.number, w.message})
		s.bytes -= w.bytes
		s.backlog[i] = waiting{} // What follows may keep its place in memory for long.
	}
	s.room -= n
	if s.backlog = s.backlog[n:]; len(s.backlog) > 0 {
		return
	}
	s.backlog = nil
	if s.gone != "" && !s.told {
		s.told = true
		ctx.Send(s.slave, over{s.number, s.gone})
	}
}

// describeExit says in a line why a peer is gone.
func describeExit(e actor.Exited) string {
	if e.Err != nil {
		return fmt.Sprintf("%v: %v", e.Reason, e.Err)
	}
	return e.Reason.String()
}
