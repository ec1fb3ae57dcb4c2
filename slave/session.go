package slave

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/slave/core"
)

// session is the slave's end of a connection with one master, host or executor: the actor that the peer speaks with
// after its first message. It passes on what it hears and what the core says, and ends when the peer does, or alone
// when it panics.
type session struct {
	number core.Session
	slave  actor.PID
	peer   actor.PID
	atDoor bool // peer is whoever is "master" at an address; the one who answers will be the peer
}

// say asks a session to send a message to its peer.
type say struct{ message proto.Message }

// hangUp asks a session to end when it has sent what it was given before.
type hangUp struct{}

// heard tells the slave what a session's peer said.
type heard struct {
	session core.Session
	message proto.Message
}

// over tells the slave that a session's peer is gone.
type over struct {
	session core.Session
	reason  string
}

// Receive handles one message.
func (s *session) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Link(s.peer)
	case say:
		ctx.Send(s.peer, m.message)
	case hangUp:
		ctx.Stop(ctx.Self())
	case proto.Message:
		if s.follow(ctx); ctx.Sender().Is(s.peer) {
			ctx.Send(s.slave, heard{s.number, m})
		}
	case actor.Exited:
		if m.PID.Is(s.peer) {
			ctx.Send(s.slave, over{s.number, describeExit(m)})
			ctx.Stop(ctx.Self())
		}
	}
}

// follow goes on with whoever answered: a master's door hands a slave over to an actor that is there for it alone.
func (s *session) follow(ctx actor.Context) {
	if !s.atDoor || ctx.SenderRole() != RoleMaster {
		return
	}
	s.atDoor = false
	ctx.Unlink(s.peer)
	s.peer = ctx.Sender()
	ctx.Link(s.peer)
}

// describeExit says in a line why a peer is gone.
func describeExit(e actor.Exited) string {
	if e.Err != nil {
		return fmt.Sprintf("%v: %v", e.Reason, e.Err)
	}
	return e.Reason.String()
}
