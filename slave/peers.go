package slave

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/core"
)

// opened is the first message of a host or an executor: a session begins. One that the same actor had before is over.
func (s *shell) opened(ctx actor.Context, m proto.Message) {
	caller := ctx.Sender()
	if caller.IsZero() {
		return // nobody who could be answered
	}
	if former, ok := s.callers[caller]; ok {
		s.closeSession(ctx, former)
		s.step(ctx, core.SessionClosed{Session: former, Reason: "its peer began another session"})
	}
	n := s.spawnSession(ctx, session{peer: caller})
	s.callers[caller] = n
	s.step(ctx, core.PeerFound{Session: n, Proof: s.Secrets.proof(caller)})
	s.step(ctx, core.Received{Session: n, Message: m})
}

// spawnSession makes the actor of a new session.
func (s *shell) spawnSession(ctx actor.Context, blank session) core.Session {
	s.sessions++
	blank.number, blank.slave = s.sessions, ctx.Self()
	s.peers[s.sessions] = ctx.Spawn("session", func() actor.Actor { return &blank }, actor.MailboxLimit(SessionMailbox))
	return s.sessions
}

// near is where the host reaches this slave.
func (s *shell) near() string {
	return cmp.Or(s.Near, net.JoinHostPort(s.IP, strconv.Itoa(int(s.Info.GetPort()))))
}

// findMaster begins a session with the master's door. Whether anybody is there, it will tell.
func (s *shell) findMaster(ctx actor.Context) {
	s.masterSpoke = false
	s.slave.courier.connected(nil)
	s.master = s.spawnSession(ctx, session{peer: actor.At(s.Master, masterName), atDoor: true})
	s.step(ctx, core.MasterFound{Session: s.master})
}

// masterGone waits a little and looks again, if the slave may look for ever.
func (s *shell) masterGone(ctx actor.Context, reason string) {
	s.master = 0
	s.slave.courier.connected(nil)
	if s.masterSpoke {
		s.masterWait = 0
		s.searching = time.Time{}
	}
	if !s.searching.IsZero() && s.FirstContact > 0 && ctx.Now().Sub(s.searching) >= s.FirstContact {
		s.end(ctx, fmt.Errorf("no master answers at %s: %s: is `stoa master` running there?", s.Master, reason))
		return
	}
	s.masterWait = min(max(2*s.masterWait, MasterRetryFirst), MasterRetryMost)
	// Many slaves lose their master at the same time. They should not come back at the same time.
	ctx.After(s.masterWait+rand.N(s.masterWait/2), findMaster{})
}

func (s *shell) heard(ctx actor.Context, m heard) {
	if _, ok := s.peers[m.session]; !ok {
		return // closed in the meantime
	}
	if m.session == s.master {
		s.masterSpoke = true
	}
	switch message := m.message.(type) {
	case *wire.FileChunk: // of no interest to the core
		s.slave.courier.deliver(message)
	default:
		s.step(ctx, core.Received{Session: m.session, Message: m.message})
	}
	switch m.message.(type) {
	case *wire.SlaveRegistered, *wire.SlaveReregistered:
		s.filesOpen(ctx)
	}
	s.handled[m.session]++
	if pid, ok := s.peers[m.session]; ok && s.handled[m.session] == SessionWindow/2 {
		s.handled[m.session] = 0
		ctx.Send(pid, credit(SessionWindow/2))
	}
}

// over is the end of a session because its peer is gone.
func (s *shell) over(ctx actor.Context, m over) {
	if _, ok := s.peers[m.session]; ok {
		s.endSession(ctx, m.session, m.reason)
	}
}

// childExited notices a session that ended without a word, which is one that panicked, or that this
// actor could not follow.
func (s *shell) childExited(ctx actor.Context, m actor.Exited) {
	for n, pid := range s.peers {
		if pid.Is(m.PID) {
			s.forgetSession(n)
			ctx.Stop(pid) // in vain, unless it was a lost message that ended the link
			s.endSession(ctx, n, describeExit(m))
			return
		}
	}
}

// endSession tells the core of a session's end.
func (s *shell) endSession(ctx actor.Context, n core.Session, reason string) {
	s.closeSession(ctx, n)
	s.step(ctx, core.SessionClosed{Session: n, Reason: reason})
	if n == s.master {
		s.masterGone(ctx, reason)
	}
}

// closeSession ends a session's actor when it has said its last. Its peer sees that by its link.
func (s *shell) closeSession(ctx actor.Context, n core.Session) {
	if pid, ok := s.peers[n]; ok {
		s.forgetSession(n)
		ctx.Send(pid, hangUp{})
	}
}

func (s *shell) forgetSession(n core.Session) {
	delete(s.peers, n)
	delete(s.handled, n)
	for caller, session := range s.callers {
		if session == n {
			delete(s.callers, caller)
		}
	}
}

func (s *shell) send(ctx actor.Context, n core.Session, m proto.Message) {
	if pid, ok := s.peers[n]; ok {
		ctx.Send(pid, say{m})
	}
}
