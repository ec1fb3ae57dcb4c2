package scheduler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/frameworks/scheduler/core"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// masterName is the name under which a master's actor is registered.
	masterName = "master"
	// formerPeersKept is how many ended sessions are remembered, so that their late words are not taken for a new one's.
	formerPeersKept = 8
)

type (
	do   struct{ f func() }
	wake struct{}
	stop struct{ err error }
)

// shell is the actor around the core: it dials, sends, and calls the author.
type shell struct {
	core    *core.Core
	produce func(*Driver) Scheduler
	author  Scheduler
	driver  *Driver
	options Options
	ended   func(error)

	ctx     actor.Context // of the message in hand; nil between messages
	master  actor.PID
	session core.Session
	peer    actor.PID   // of the session; zero while the master has not answered
	former  []actor.PID // peers of ended sessions
	asks    map[actor.AskID]func(proto.Message, error)
	outputs []core.Output // to be carried out, oldest first
	timer   actor.Timer
	wakeAt  time.Time

	teardown bool // the author wants the framework to be over
}

// Receive turns a message into an event, and carries out what comes of it.
func (s *shell) Receive(ctx actor.Context) {
	s.ctx = ctx
	switch m := ctx.Message().(type) {
	case actor.Started:
		s.driver.pid = ctx.Self()
		s.author = s.produce(s.driver)
		s.step(core.Start{})
	case actor.Exited:
		s.exited(m)
	case actor.Answer:
		s.answered(m)
	case wake:
		s.wakeAt = time.Time{}
		s.step(core.Tick{})
	case do:
		m.f()
	case stop:
		s.step(core.Stop{Err: m.err})
	case *schedulerpb.Event:
		s.heard(ctx.Sender(), m)
	case *wire.Refused:
		s.heard(ctx.Sender(), m)
	case *wire.ReadFile:
		s.readFile(ctx, m)
	case fileRead:
		ctx.Send(m.to, m.answer)
	}
	for len(s.outputs) > 0 {
		out := s.outputs[0]
		s.outputs = s.outputs[1:]
		s.carryOut(out)
	}
	s.schedule()
	s.ctx = nil
}

// step changes the core at once; what comes of it is carried out after what is already waiting. So a handler that calls
// the driver is never called again before it has returned.
func (s *shell) step(e core.Event) {
	s.outputs = append(s.outputs, s.core.Step(s.ctx.Now(), e)...)
}

func (s *shell) schedule() {
	at := s.core.Deadline()
	if at.Equal(s.wakeAt) {
		return
	}
	s.timer.Cancel()
	s.wakeAt = at
	if !at.IsZero() {
		s.timer = s.ctx.After(max(0, at.Sub(s.ctx.Now())), wake{})
	}
}

// heard takes what a peer said. The first word after a dial comes from whoever serves the session from then on. That may be the
// one who served the last: a master does not notice the end of a session in which a call was too large to be sent.
func (s *shell) heard(from actor.PID, message proto.Message) {
	switch {
	case s.peer.IsZero() && s.session != 0 && (!s.isFormer(from) || answersSubscribe(message)):
		s.peer = from
		s.ctx.Link(from)
		s.ctx.Unlink(s.master)
	case !from.Is(s.peer):
		return
	}
	s.step(core.Received{Session: s.session, Message: message})
}

// readFile reads a part of an offered file elsewhere, and answers the master's session that asked for it.
func (s *shell) readFile(ctx actor.Context, m *wire.ReadFile) {
	from, files := ctx.Sender(), s.options.Files
	if s.peer.IsZero() || !from.Is(s.peer) {
		return
	}
	ctx.Async(func(context.Context) any { return fileRead{from, files.read(m)} })
}

func answersSubscribe(message proto.Message) bool {
	event, isEvent := message.(*schedulerpb.Event)
	return isEvent && event.GetType() == schedulerpb.Event_SUBSCRIBED
}

func (s *shell) isFormer(pid actor.PID) bool {
	return slices.ContainsFunc(s.former, pid.Is)
}

func (s *shell) exited(m actor.Exited) {
	waiting := s.peer.IsZero() && m.PID.Is(s.master)
	if !waiting && (s.peer.IsZero() || !m.PID.Is(s.peer)) {
		return
	}
	s.forgetPeer()
	s.step(core.Closed{Session: s.session, Reason: reasonText(m), Refused: waiting && m.Reason == actor.Refused})
}

func (s *shell) forgetPeer() {
	if s.peer.IsZero() {
		return
	}
	s.former = append(s.former, s.peer)
	if len(s.former) > formerPeersKept {
		s.former = s.former[1:]
	}
	s.peer = actor.PID{}
}

func reasonText(m actor.Exited) string {
	if m.Reason == actor.NoSuchActor {
		return "there is no master at that address"
	}
	var dial *net.OpError
	if errors.As(m.Err, &dial) {
		return dial.Error() // names the address and the cause, as everybody knows it
	}
	if m.Err != nil {
		return m.Err.Error()
	}
	return m.Reason.String()
}

func (s *shell) carryOut(o core.Output) {
	switch out := o.(type) {
	case core.Connect:
		s.session = out.Session
		s.ctx.Link(s.master)
		s.ctx.Send(s.master, out.Call)
	case core.Send:
		if out.Session == s.session && !s.peer.IsZero() {
			s.ctx.Send(s.peer, out.Call)
		}
	case core.HangUp:
		s.ctx.Unlink(s.master)
		s.ctx.Unlink(s.peer)
		s.forgetPeer()
		s.session = 0
	case core.Ended:
		s.end(out.Err)
	default:
		s.tell(out)
	}
}

// tell calls the author.
func (s *shell) tell(o core.Output) {
	switch out := o.(type) {
	case core.Subscribed:
		s.keepID(out.FrameworkID)
		s.options.Log.Info().Str("framework", out.FrameworkID).Str("master", s.options.Master).Bool("again", out.Again).Msg("subscribed")
		s.author.Subscribed(s.driver, out.FrameworkID, out.Again)
	case core.Offered:
		s.offered(out)
	case core.Rescinded:
		s.author.Rescinded(s.driver, out.OfferID)
	case core.InverseOffered:
		s.author.InverseOffers(s.driver, out.Offers)
	case core.InverseRescinded:
		s.author.InverseRescinded(s.driver, out.OfferID)
	case core.Updated:
		s.author.Update(s.driver, out.Status)
	case core.Operated:
		s.author.Operation(s.driver, out.Status)
	case core.Heard:
		s.author.Message(s.driver, out.SlaveID, out.ExecutorID, out.Data)
	case core.Failed:
		s.author.Failure(s.driver, out.SlaveID, out.ExecutorID, out.WaitStatus)
	case core.Disconnected:
		s.options.Log.Warn().Err(out.Err).Msg("no master; trying again")
		s.author.Disconnected(s.driver, out.Err)
	default:
		panic(fmt.Sprintf("scheduler: unknown output %T", o))
	}
}

func (s *shell) offered(out core.Offered) {
	offers := make([]*Offer, 0, len(out.Offers))
	for _, info := range out.Offers {
		o, err := NewOffer(info)
		if err != nil {
			s.options.Log.Error().Err(err).Msg("declined an offer that can not be read")
			s.driver.Decline(&Offer{Info: info})
			continue
		}
		o.principal = s.options.Principal
		offers = append(offers, o)
	}
	if len(offers) > 0 {
		s.author.Offers(s.driver, offers)
	}
}

// keepID writes the framework's id down before the author, or any task, relies on it.
func (s *shell) keepID(id string) {
	if s.options.FrameworkIDFile == "" {
		return
	}
	if err := writeID(s.options.FrameworkIDFile, id); err != nil {
		s.step(core.Stop{Err: err})
	}
}

func (s *shell) end(err error) {
	if err != nil && (errors.Is(err, ErrNoMaster) || errors.Is(err, ErrLostMaster) || errors.Is(err, ErrRefused)) {
		s.author.Error(s.driver, err)
	}
	if s.teardown && s.options.FrameworkIDFile != "" {
		err = errors.Join(err, removeID(s.options.FrameworkIDFile))
	}
	s.outputs = nil
	s.ended(err)
	s.ctx.Stop(s.ctx.Self())
}

func (s *shell) ask(question proto.Message, timeout time.Duration, answer func(proto.Message, error)) {
	if s.asks == nil {
		s.asks = map[actor.AskID]func(proto.Message, error){}
	}
	s.asks[s.ctx.Ask(s.master, question, timeout)] = answer
}

func (s *shell) answered(a actor.Answer) {
	answer, ok := s.asks[a.ID]
	if !ok {
		return
	}
	delete(s.asks, a.ID)
	message, _ := a.Message.(proto.Message)
	answer(message, a.Err)
}

// answered is the answer that was hoped for, or why it is another.
func answered[M proto.Message](message proto.Message, err error) (M, error) {
	var none M
	if err != nil {
		return none, err
	}
	switch m := message.(type) {
	case M:
		return m, nil
	case *wire.Refused:
		return none, fmt.Errorf("the master refused: %s", m.GetReason())
	}
	return none, fmt.Errorf("the master answered with %T", message)
}
