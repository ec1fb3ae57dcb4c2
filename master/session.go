package master

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// SessionWindow is how many messages of one peer may wait for the core at a time. A longer one counts as one for every
	// WindowBytes: a call that declines hundreds of offers is as much work as hundreds of calls.
	SessionWindow = 64

	// WindowBytes is how long a message may be that counts as one.
	WindowBytes = 256

	// SessionBacklog is how many more messages of one peer wait in its session; beyond them the session ends.
	SessionBacklog = 100_000

	// SessionBacklogBytes is how large these may be together, in bytes as they are sent.
	SessionBacklogBytes = 64 << 20

	// DefaultCallsPerSecond is how many calls of one scheduler are heard in a second; what it says beyond that waits in its
	// session. A scheduler needs three for a task: ACCEPT, and ACKNOWLEDGE of its start and its end.
	DefaultCallsPerSecond = 40_000

	// subscribeCalls is how many calls a SUBSCRIBE counts as: all that the framework was offered is taken back, and all slaves
	// are looked at for it again.
	subscribeCalls = 1000

	// MaxListed is how many offers of one DECLINE, and tasks of one RECONCILE, the core hears of at a time. What is more comes
	// as calls of its own: a step of the core is to be short.
	MaxListed = 100

	// limitedCalls is how many calls of a scheduler that has to wait for more are passed on together: what others wait for
	// behind them.
	limitedCalls = 16

	// complainInterval is how often the log says that a scheduler calls too often.
	complainInterval = time.Minute
)

// session is the actor that a slave or a scheduler talks to.
type session struct {
	number core.Session
	peer   actor.PID
	master actor.PID

	room    int // how many messages the master takes now; below 0 if the last one counted as more than there was room for
	backlog []waiting
	bytes   int  // of all in the backlog
	gone    bool // the peer is; what it said before is still passed on

	limits     *callLimits
	calls      *rate.Limiter // nil: it is no scheduler, or may call as often as it likes
	complained time.Time
	turn       turn
	reader     reader // of a slave's session
	lender     lender // of a framework's
}

// waiting is a message that waits to be heard.
type waiting struct {
	message proto.Message
	bytes   int
}

// weight is how many messages it counts as.
func (w waiting) weight() int { return 1 + w.bytes/WindowBytes }

// callLimits is what all sessions share.
type callLimits struct {
	perSecond int // of one scheduler; 0: any number
	published *Published
}

// subscribe is how many calls a SUBSCRIBE counts as.
func (l *callLimits) subscribe() int { return min(subscribeCalls, l.perSecond) }

// burst is how many calls of a scheduler that has been silent are heard at once: those of a tenth of a second. One that comes
// again and again in new sessions gets no more by it.
func (l *callLimits) burst() int { return max(l.perSecond/10, l.subscribe()) }

// What a session and its master say to each other.
type (
	// heard is a message of the peer.
	heard struct {
		session core.Session
		message proto.Message
		weight  int
	}
	// say is a message to the peer.
	say struct{ message proto.Message }
	// hangUp ends the session, behind what is to be said.
	hangUp struct{ reason string }
	// credit tells a session that so many of its messages have been handled, by their weight.
	credit int
)

func newSession(number core.Session, peer, master actor.PID, limits *callLimits) func() actor.Actor {
	return func() actor.Actor {
		return &session{number: number, peer: peer, master: master, room: SessionWindow, limits: limits}
	}
}

// Receive handles one message.
func (s *session) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(proto.Message); ok && !ctx.Sender().Is(s.peer) {
		ctx.Log().Warn().Stringer("sender", ctx.Sender()).Stringer("peer", s.peer).Msgf("dropped %T: only the peer of this session may send it", m)
		return
	}
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Link(s.peer)
	case actor.Stopping:
	case actor.Exited:
		s.exited(ctx, m)
	case say:
		s.say(ctx, m.message)
	case hangUp:
		ctx.Stop(ctx.Self())
	case credit:
		s.room += int(m)
		s.passOn(ctx)
	case *masterpb.Call:
		ctx.Forward(s.master) // A scheduler may ask like an operator.
	case *wire.ReadFile:
		s.readFile(ctx, m)
	case *wire.FileChunk:
		s.returned(ctx, m)
	case introduced:
		s.introduced(ctx, m)
	case readFile:
		s.lend(ctx, ctx.Sender(), m.question)
	case fileChunk:
		ctx.Send(s.peer, m.answer)
	case takenFile:
		s.dealtWith(ctx, ctx.Sender(), m.id)
	case actor.Wake:
		s.passOn(ctx)
	case *schedulerpb.Call:
		if s.calls == nil && s.limits.perSecond > 0 {
			s.calls = rate.NewLimiter(rate.Limit(s.limits.perSecond), s.limits.burst())
		}
		s.hear(ctx, m)
	case proto.Message:
		s.hear(ctx, m)
	default:
		panic(fmt.Sprintf("master: a %T for a session", m))
	}
}

// say tells the peer something, and lets others have the processor if that is much: it is encoded here.
func (s *session) say(ctx actor.Context, m proto.Message) {
	if e, ok := m.(*schedulerpb.Event); !ok || e.GetType() != schedulerpb.Event_OFFERS {
		ctx.Send(s.peer, m)
		return
	}
	begin := time.Now()
	ctx.Send(s.peer, m)
	s.turn.took(time.Since(begin))
}

// hear takes a message of the peer. One that has said too much already is told so, and its session ends.
func (s *session) hear(ctx actor.Context, m proto.Message) {
	if list := parts(m); list != nil {
		for _, part := range list {
			s.keep(part)
		}
	} else {
		s.keep(m)
	}
	s.passOn(ctx)
	if len(s.backlog) <= SessionBacklog && s.bytes <= SessionBacklogBytes {
		return
	}
	why := fmt.Sprintf("%d messages of %d bytes wait to be heard, more than %d or %d bytes: the session ends",
		len(s.backlog), s.bytes, SessionBacklog, SessionBacklogBytes)
	if s.calls != nil {
		why = fmt.Sprintf("this scheduler calls more often than the %d times per second that each may, and %s", s.limits.perSecond, why)
		ctx.Send(s.peer, &schedulerpb.Event{Type: schedulerpb.Event_ERROR.Enum(), Error: &schedulerpb.Event_Error{Message: &why}})
	}
	ctx.Log().Warn().Stringer("peer", s.peer).Msg(why)
	ctx.Stop(ctx.Self())
}

func (s *session) keep(m proto.Message) {
	w := waiting{m, proto.Size(m)}
	s.backlog = append(s.backlog, w)
	s.bytes += w.bytes
}

// parts returns calls that together say what a call says of more than MaxListed; nil for any other message.
func parts(m proto.Message) []proto.Message {
	call, _ := m.(*schedulerpb.Call)
	var list []proto.Message
	switch {
	case call.GetType() == schedulerpb.Call_DECLINE && len(call.GetDecline().GetOfferIds()) > MaxListed:
		for ids := range slices.Chunk(call.GetDecline().GetOfferIds(), MaxListed) {
			list = append(list, &schedulerpb.Call{
				FrameworkId: call.FrameworkId, Type: call.Type, Decline: &schedulerpb.Call_Decline{OfferIds: ids, Filters: call.Decline.Filters},
			})
		}
	case call.GetType() == schedulerpb.Call_RECONCILE && len(call.GetReconcile().GetTasks()) > MaxListed:
		for tasks := range slices.Chunk(call.GetReconcile().GetTasks(), MaxListed) {
			list = append(list, &schedulerpb.Call{FrameworkId: call.FrameworkId, Type: call.Type, Reconcile: &schedulerpb.Call_Reconcile{Tasks: tasks}})
		}
	}
	return list
}

// price is how many calls a message counts as against what a scheduler may call.
func (s *session) price(m proto.Message) int {
	if call, ok := m.(*schedulerpb.Call); ok && call.GetType() == schedulerpb.Call_SUBSCRIBE {
		return s.limits.subscribe()
	}
	return 1
}

// allowed returns how many of the first n that wait may be passed on now. If that is not all, the session is woken for
// more.
func (s *session) allowed(ctx actor.Context, n int) int {
	if s.calls == nil || n == 0 {
		return n
	}
	now := ctx.Now()
	tokens, m, spent := int(s.calls.TokensAt(now)), 0, 0
	for m < n && spent+s.price(s.backlog[m].message) <= tokens {
		spent += s.price(s.backlog[m].message)
		m++
	}
	s.calls.AllowN(now, spent)
	if m == n {
		return n
	}
	more := max(min(limitedCalls, n-m), s.price(s.backlog[m].message)-tokens+spent)
	ctx.WakeAt(now.Add(time.Duration(float64(time.Second) * float64(more) / float64(s.limits.perSecond))))
	if now.Sub(s.complained) >= complainInterval {
		s.complained = now
		ctx.Log().Warn().Stringer("peer", s.peer).Msgf("this scheduler calls more often than the %d times per second that each may (--framework_calls_per_second): what is beyond waits", s.limits.perSecond)
	}
	s.limits.published.delay()
	return m
}

// exited is the end of the peer, or of another session that files go to or come from.
func (s *session) exited(ctx actor.Context, m actor.Exited) {
	ctx.Log().Debug().Msgf("%v has gone: %v", m.PID, m.Reason)
	if !m.PID.Is(s.peer) {
		s.routeGone(ctx, m.PID)
		s.slaveGone(ctx, m.PID)
		return
	}
	s.gone = true
	s.passOn(ctx)
}

// passOn gives the master as much as it takes, and in the end the end.
func (s *session) passOn(ctx actor.Context) {
	n, room := 0, s.room
	for n < len(s.backlog) && room > 0 {
		room -= s.backlog[n].weight()
		n++
	}
	n = s.allowed(ctx, n)
	for i, w := range s.backlog[:n] {
		ctx.Send(s.master, heard{s.number, w.message, w.weight()})
		s.bytes -= w.bytes
		s.room -= w.weight()
		s.backlog[i] = waiting{} // What follows may keep its place in memory for long.
	}
	s.backlog = s.backlog[n:]
	if len(s.backlog) > 0 {
		return
	}
	s.backlog = nil
	if s.gone {
		ctx.Stop(ctx.Self())
	}
}
