// Package core decides everything that a scheduler's driver has to decide: when to dial the master, when to give up,
// which updates are news, what has to be acknowledged, what must be asked again after an outage. It is plain data: no
// goroutine, no clock, no network.
//
//	Start ─▶ connecting ──SUBSCRIBED──▶ subscribed ──session closed──▶ connecting (outage) ─ … ─▶ subscribed
//	             │ ConnectTimeout            │ Stop{Teardown}                │ ReconnectTimeout
//	             ▼                           ▼                              ▼
//	           ended ◀──────────────────  leaving ────────────────────▶  ended
//
// Each attempt to connect is a Session of its own, numbered upwards: what an older session still says is not heard.
// Events go in by Step, outputs come back in the order in which they are to be carried out. Three kinds of them exist:
// to the network (Connect, Send, HangUp), to the framework's author (Subscribed, Offered, Rescinded, Updated, Heard,
// Failed, Disconnected), and Ended, after which nothing follows. An update stands before its acknowledgement: only
// what the author's code has seen is acknowledged.
package core

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// Session is one attempt to connect and, if it succeeds, the subscription that follows. 0 is none.
type Session uint64

// Config is what a core is born with.
type Config struct {
	// Framework introduces the framework. Its id is set if it comes back: an earlier scheduler had been given it.
	Framework *mesos.FrameworkInfo
	// Constraints say which slaves' offers are wanted; nil: all.
	Constraints *schedulerpb.OfferConstraints
	// Master is the address that messages for people name.
	Master string
	// ConnectTimeout bounds the first connection, ReconnectTimeout each outage. Both are greater than 0.
	ConnectTimeout, ReconnectTimeout time.Duration
	// ManualAcknowledge leaves the acknowledgement of updates to the framework's author.
	ManualAcknowledge bool
	// Seed makes the jitter of retries.
	Seed uint64
}

type state int

const (
	idle state = iota
	connecting
	subscribed
	leaving // TEARDOWN is sent, the master's end of the session is awaited
	ended
)

// Core is a driver's memory. New makes one.
type Core struct {
	config    Config
	framework *mesos.FrameworkInfo
	state     state
	session   Session
	known     bool // a master has confirmed the framework in this life
	outage    outage
	reconcile reconciliation
	leaveBy   time.Time
	stopErr   error

	tracker    *Tracker
	offers     map[string]bool // ids of the offers that are neither used nor void
	suppressed map[string]bool // roles
	random     uint64
	out        []Output
}

// New makes a core that waits for Start.
func New(config Config) *Core {
	return &Core{
		config:     config,
		framework:  proto.CloneOf(config.Framework),
		tracker:    NewTracker(),
		offers:     map[string]bool{},
		suppressed: map[string]bool{},
		random:     config.Seed,
	}
}

// FrameworkID is the id that the master gave, or "" before the first subscription.
func (c *Core) FrameworkID() string { return c.framework.GetId().GetValue() }

// Connected tells whether a master listens.
func (c *Core) Connected() bool { return c.state == subscribed }

// Tasks is the memory of the framework's tasks.
func (c *Core) Tasks() *Tracker { return c.tracker }

// Step takes one event at its time and returns what is to be done, in order. now never goes back.
func (c *Core) Step(now time.Time, event Event) []Output {
	c.out = nil
	if c.state != ended {
		c.handle(now, event)
	}
	return c.out
}

func (c *Core) handle(now time.Time, event Event) {
	switch e := event.(type) {
	case Start:
		c.start(now)
	case Received:
		if e.Session == c.session {
			c.received(now, e.Message)
		}
	case Closed:
		if e.Session == c.session {
			c.closed(now, e)
		}
	case Asked:
		c.asked(now, e.Call)
	case Stop:
		c.stop(now, e)
	case Tick:
		c.tick(now)
	default:
		panic(fmt.Sprintf("scheduler core: unknown event %T", event))
	}
}

// Deadline is when the core next wants a Tick; zero for never.
func (c *Core) Deadline() time.Time {
	switch c.state {
	case connecting:
		return earliest(c.outage.retryAt, c.outage.giveUpAt)
	case subscribed:
		return c.reconcile.at
	case leaving:
		return c.leaveBy
	}
	return time.Time{}
}

func (c *Core) tick(now time.Time) {
	switch c.state {
	case connecting:
		c.maybeRetry(now)
	case subscribed:
		c.maybeReconcileAgain(now)
	case leaving:
		if due(c.leaveBy, now) {
			c.end(c.stopErr)
		}
	}
}

// received takes what the current session says.
func (c *Core) received(now time.Time, message proto.Message) {
	switch m := message.(type) {
	case *wire.Refused:
		c.end(refused(m.GetReason()))
	case *schedulerpb.Event:
		c.event(now, m)
	}
}

func (c *Core) event(now time.Time, e *schedulerpb.Event) {
	switch e.GetType() {
	case schedulerpb.Event_SUBSCRIBED:
		c.becomeSubscribed(now, e.GetSubscribed())
		return
	case schedulerpb.Event_ERROR:
		c.end(refused(e.GetError().GetMessage()))
		return
	}
	if c.state != subscribed {
		return // before SUBSCRIBED nothing counts; after TEARDOWN nobody is interested
	}
	switch e.GetType() {
	case schedulerpb.Event_OFFERS:
		c.offered(e.GetOffers().GetOffers())
	case schedulerpb.Event_RESCIND:
		c.rescinded(e.GetRescind().GetOfferId().GetValue())
	case schedulerpb.Event_INVERSE_OFFERS:
		if offers := e.GetInverseOffers().GetInverseOffers(); len(offers) > 0 {
			c.emit(InverseOffered{Offers: offers})
		}
	case schedulerpb.Event_RESCIND_INVERSE_OFFER:
		c.emit(InverseRescinded{OfferID: e.GetRescindInverseOffer().GetInverseOfferId().GetValue()})
	case schedulerpb.Event_UPDATE:
		c.update(e.GetUpdate().GetStatus())
	case schedulerpb.Event_UPDATE_OPERATION_STATUS:
		c.operated(e.GetUpdateOperationStatus().GetStatus())
	case schedulerpb.Event_MESSAGE:
		m := e.GetMessage()
		c.emit(Heard{SlaveID: m.GetAgentId().GetValue(), ExecutorID: m.GetExecutorId().GetValue(), Data: m.GetData()})
	case schedulerpb.Event_FAILURE:
		f := e.GetFailure()
		c.emit(Failed{SlaveID: f.GetAgentId().GetValue(), ExecutorID: f.GetExecutorId().GetValue(), WaitStatus: f.GetStatus()})
	}
}

func (c *Core) offered(offers []*mesos.Offer) {
	for _, o := range offers {
		c.offers[o.GetId().GetValue()] = true
	}
	if len(offers) > 0 {
		c.emit(Offered{Offers: offers})
	}
}

// operated hands over news of an operation, and acknowledges what waits for that. It may come again after an outage.
func (c *Core) operated(status *mesos.OperationStatus) {
	c.emit(Operated{Status: status})
	if len(status.GetUuid().GetValue()) > 0 {
		c.send(&schedulerpb.Call{
			Type: schedulerpb.Call_ACKNOWLEDGE_OPERATION_STATUS.Enum(),
			AcknowledgeOperationStatus: &schedulerpb.Call_AcknowledgeOperationStatus{
				AgentId: status.GetAgentId(), OperationId: status.GetOperationId(), Uuid: status.GetUuid().GetValue(),
			},
		})
	}
}

func (c *Core) rescinded(offerID string) {
	if c.offers[offerID] {
		delete(c.offers, offerID)
		c.emit(Rescinded{OfferID: offerID})
	}
}

// stop ends the driver, with a goodbye to the master if the framework is over.
func (c *Core) stop(now time.Time, e Stop) {
	if c.state == leaving {
		return
	}
	if !e.Teardown || c.state != subscribed {
		c.end(e.Err)
		return
	}
	c.stopErr = e.Err
	c.state, c.leaveBy = leaving, now.Add(TeardownTimeout)
	c.send(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
}

func (c *Core) end(err error) {
	if c.session != 0 {
		c.emit(HangUp{Session: c.session})
	}
	c.state, c.session = ended, 0
	c.emit(Ended{Err: err})
}

func (c *Core) emit(o Output) { c.out = append(c.out, o) }

// send says something to the master within the current session, in the framework's name.
func (c *Core) send(call *schedulerpb.Call) {
	call.FrameworkId = c.framework.GetId()
	c.emit(Send{Session: c.session, Call: call})
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
