package master

import (
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/wire"
)

// Files of frameworks go from session to session, past the master's own actor, which only says once who may read whose:
//
//	slave ──ReadFile──▶ its session ──────────▶ the framework's session ──ReadFile──▶ scheduler
//	      ◀─FileChunk──             ◀──────────                         ◀─FileChunk──
//
// What a framework has been asked for and no slave has dealt with yet is bounded by FileWindow; other questions wait in
// their order. So whatever the number of slaves and the size of files, a master has at most that many chunks in its hands.

const (
	// FileWindow is how many chunks of one framework may be on their way at a time.
	FileWindow = 64

	// MaxFileReads is how many questions of one slave may be open. It asks for less.
	MaxFileReads = 256
)

// What sessions say to each other about files.
type (
	// introduced tells a slave's session whom it reads a framework's files from, or why it does not.
	introduced struct {
		core.Introduce
		to actor.PID
	}
	// readFile is a slave's question, to a framework's session. The id is the slave's.
	readFile struct{ question *wire.ReadFile }
	// fileChunk is the answer to it.
	fileChunk struct{ answer *wire.FileChunk }
	// takenFile tells that the answer has been dealt with.
	takenFile struct{ id uint64 }
)

// reader is the part of a slave's session that asks for files.
type reader struct {
	routes  map[string]actor.PID        // sessions of frameworks, by framework id
	waiting map[string][]*wire.ReadFile // for a route
	asked   map[uint64]actor.PID        // questions that are open: not answered, or the answer not dealt with
}

// readFile passes a slave's question on.
func (s *session) readFile(ctx actor.Context, m *wire.ReadFile) {
	r := &s.reader
	if to, open := r.asked[m.GetTaken()]; open {
		delete(r.asked, m.GetTaken())
		ctx.Send(to, takenFile{m.GetTaken()})
	}
	if m.GetId() == 0 {
		return
	}
	framework := m.GetFrameworkId().GetValue()
	switch to, known := r.routes[framework]; {
	case len(r.asked)+len(r.waiting[framework]) >= MaxFileReads:
		s.noFile(ctx, m, "too many questions are open", true)
	case known:
		s.passRead(ctx, to, m)
	default:
		if r.waiting == nil {
			r.waiting = map[string][]*wire.ReadFile{}
		}
		r.waiting[framework] = append(r.waiting[framework], m)
		if len(r.waiting[framework]) == 1 {
			s.backlog = append(s.backlog, waiting{message: m}) // the core knows
			s.passOn(ctx)
		}
	}
}

// introduced goes on with the questions that waited for a route.
func (s *session) introduced(ctx actor.Context, m introduced) {
	r := &s.reader
	waiting := r.waiting[m.FrameworkID]
	delete(r.waiting, m.FrameworkID)
	if m.Refusal == "" {
		if r.routes == nil {
			r.routes = map[string]actor.PID{}
		}
		r.routes[m.FrameworkID] = m.to
		ctx.Link(m.to)
	}
	for _, question := range waiting {
		if m.Refusal == "" {
			s.passRead(ctx, m.to, question)
		} else {
			s.noFile(ctx, question, m.Refusal, m.Later)
		}
	}
}

func (s *session) passRead(ctx actor.Context, to actor.PID, m *wire.ReadFile) {
	if s.reader.asked == nil {
		s.reader.asked = map[uint64]actor.PID{}
	}
	s.reader.asked[m.GetId()] = to
	ctx.Send(to, readFile{m})
}

// noFile answers a slave's question without a framework.
func (s *session) noFile(ctx actor.Context, m *wire.ReadFile, reason string, later bool) {
	ctx.Send(s.peer, &wire.FileChunk{Id: m.GetId(), Failure: reason, Later: later})
}

// routeGone answers what a framework's session has left open with its end.
func (s *session) routeGone(ctx actor.Context, gone actor.PID) {
	r := &s.reader
	for framework, to := range r.routes {
		if to.Is(gone) {
			delete(r.routes, framework)
		}
	}
	for id, to := range r.asked {
		if to.Is(gone) {
			delete(r.asked, id)
			ctx.Send(s.peer, &wire.FileChunk{Id: id, Failure: "the framework's scheduler is away", Later: true})
		}
	}
}

// errand is a slave's question in a framework's session.
type errand struct {
	slave actor.PID // its session
	id    uint64    // the slave's
}

// lender is the part of a framework's session that has the scheduler read files.
type lender struct {
	slaves map[actor.PID]bool // sessions that have asked, and are linked to
	queue  []lent             // waits for room in the window, oldest first
	open   map[errand]uint64  // asked of the scheduler and not dealt with by the slave: by which id
	out    map[uint64]errand  // those of them that the scheduler has not answered
	last   uint64
}

type lent struct {
	errand
	question *wire.ReadFile
}

// lend takes a question of a slave's session.
func (s *session) lend(ctx actor.Context, slave actor.PID, m *wire.ReadFile) {
	l := &s.lender
	slave = key(slave)
	if l.slaves == nil {
		l.slaves, l.open, l.out = map[actor.PID]bool{}, map[errand]uint64{}, map[uint64]errand{}
	}
	if !l.slaves[slave] {
		l.slaves[slave] = true
		ctx.Link(slave)
	}
	l.queue = append(l.queue, lent{errand{slave, m.GetId()}, m})
	s.pump(ctx)
}

// pump asks the scheduler as much as the window has room for.
func (s *session) pump(ctx actor.Context) {
	l := &s.lender
	for len(l.queue) > 0 && len(l.open) < FileWindow {
		next := l.queue[0]
		l.queue = l.queue[1:]
		l.last++
		l.open[next.errand], l.out[l.last] = l.last, next.errand
		question := proto.CloneOf(next.question)
		question.Id, question.Taken = l.last, 0
		ctx.Send(s.peer, question)
	}
}

// returned passes the scheduler's answer on to who has asked.
func (s *session) returned(ctx actor.Context, m *wire.FileChunk) {
	e, ok := s.lender.out[m.GetId()]
	if !ok {
		return // nobody waits for it any more
	}
	delete(s.lender.out, m.GetId())
	m.Id = e.id
	ctx.Send(e.slave, fileChunk{m})
}

// dealtWith makes room in the window.
func (s *session) dealtWith(ctx actor.Context, slave actor.PID, id uint64) {
	e := errand{key(slave), id}
	delete(s.lender.out, s.lender.open[e])
	delete(s.lender.open, e)
	s.pump(ctx)
}

// slaveGone forgets what a slave's session has asked for.
func (s *session) slaveGone(ctx actor.Context, slave actor.PID) {
	l := &s.lender
	slave = key(slave)
	delete(l.slaves, slave)
	for e, id := range l.open {
		if e.slave == slave {
			delete(l.open, e)
			delete(l.out, id)
		}
	}
	kept := l.queue[:0]
	for _, waits := range l.queue {
		if waits.slave != slave {
			kept = append(kept, waits)
		}
	}
	l.queue = kept
	s.pump(ctx)
}
