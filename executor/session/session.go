// Package session is an executor's end of its sessions with a slave, for the actors around executor/core: it carries
// out core.Connect, core.Send and core.HangUp, and turns what comes back into events of that core.
//
// A session begins with SUBSCRIBE to whoever is called "slave" at the slave's address. Its answer comes from an actor
// that belongs to this session; all calls then go there, and when it exits the session is over.
package session

import (
	"fmt"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/executor/core"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// Slave is the slave as one executor's actor knows it. New makes one. It belongs to that actor.
type Slave struct {
	entrance actor.PID // whoever is the slave at the moment
	session  core.Session
	open     bool
	peer     actor.PID // who answers in the session; zero: nobody has yet
	former   actor.PID // who answered in the session before
}

// New makes the executor's end of sessions with the slave behind entrance, which is made by actor.At.
func New(entrance actor.PID) Slave { return Slave{entrance: entrance} }

// Connect begins a session and ends the one before.
func (s *Slave) Connect(ctx actor.Context, c core.Connect) {
	s.close(ctx)
	s.session, s.open = c.Session, true
	ctx.Link(s.entrance) // first: a slave that appears in between would be linked, but not spoken to
	ctx.Send(s.entrance, c.Call)
}

// Send says more in a session; what belongs to an older one is dropped.
func (s *Slave) Send(ctx actor.Context, c core.Send) {
	if s.open && c.Session == s.session && !s.peer.IsZero() {
		ctx.Send(s.peer, c.Call)
	}
}

// HangUp ends a session.
func (s *Slave) HangUp(ctx actor.Context, c core.HangUp) {
	if c.Session == s.session {
		s.close(ctx)
	}
}

func (s *Slave) close(ctx actor.Context) {
	if !s.open {
		return
	}
	s.open = false
	ctx.Unlink(s.entrance)
	if !s.peer.IsZero() {
		ctx.Unlink(s.peer)
		s.former, s.peer = s.peer, actor.PID{}
	}
}

// Event says what the actor's message in hand means to its core; nil if it has nothing to do with the slave.
func (s *Slave) Event(ctx actor.Context) core.Event {
	switch m := ctx.Message().(type) {
	case *executorpb.Event:
		if s.hear(ctx) {
			return core.Received{Session: s.session, Event: m}
		}
	case *wire.Refused:
		if s.hear(ctx) {
			return core.Refused{Session: s.session, Reason: m.GetReason()}
		}
	case actor.Exited:
		if s.open && (s.peer.IsZero() && m.PID.Is(s.entrance) || !s.peer.IsZero() && m.PID.Is(s.peer)) {
			session := s.session
			s.close(ctx)
			return core.Closed{Session: session, Reason: describe(m)}
		}
	}
	return nil
}

// hear says whether the sender of the message in hand speaks in the present session. The first one that answers does
// so from then on.
func (s *Slave) hear(ctx actor.Context) bool {
	sender := ctx.Sender()
	switch {
	case !s.open || sender.IsZero() || sender.Is(s.former):
		return false
	case s.peer.IsZero():
		s.peer = sender
		ctx.Link(sender)
		ctx.Unlink(s.entrance)
	}
	return sender.Is(s.peer)
}

func describe(e actor.Exited) string {
	if e.Err != nil && e.Reason != actor.Panicked { // a stack is not for this reader
		return fmt.Sprintf("%v: %v", e.Reason, e.Err)
	}
	return e.Reason.String()
}
