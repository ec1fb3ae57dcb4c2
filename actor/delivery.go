package actor

import "sync/atomic"

// deliveryBatch is how many messages are put into a mailbox at once, at most.
const deliveryBatch = 64

// Inbound is a message that came in from another node.
type Inbound struct {
	// Name is the receiver: its PID's name, or a registered name.
	Name       string
	Registered bool
	// From is the sender and the role that its node proved; nil if nobody.
	From    *Source
	Message any
	Ask     AskID
	Answer  bool
	Failure *ExitError
}

func (in *Inbound) envelope() envelope {
	e := envelope{message: in.Message, from: in.From, ask: in.Ask}
	if in.Answer {
		e.kind = answerMail
		if in.Failure != nil {
			e.kind, e.message = failureMail, in.Failure
		}
	}
	return e
}

// Deliveries puts messages from another node into their receivers' mailboxes, in order. Those to the same receiver that come together
// go in together, which costs little more than one. It belongs to one goroutine.
type Deliveries struct {
	system  *System
	waiting *atomic.Bool
	cancel  <-chan struct{}

	to         *cell
	name       string
	registered bool
	mail       []envelope // for to, not yet in its mailbox
}

// NewDeliveries begins deliveries that may wait for room in a mailbox until cancel is closed; waiting is set meanwhile.
func (s *System) NewDeliveries(waiting *atomic.Bool, cancel <-chan struct{}) Deliveries {
	return Deliveries{system: s, waiting: waiting, cancel: cancel}
}

// Add delivers a message, at the latest at the next Flush. It may wait for room for those before it.
func (d *Deliveries) Add(in Inbound) {
	if d.to == nil || d.name != in.Name || d.registered != in.Registered || len(d.mail) == deliveryBatch {
		d.Flush()
		if !d.open(in) {
			return
		}
	}
	d.mail = append(d.mail, in.envelope())
}

// open finds the receiver; false if it is not an actor, and the message is settled.
func (d *Deliveries) open(in Inbound) bool {
	s := d.system
	switch to := s.find(in.Name, in.Registered).(type) {
	case *cell:
		d.to, d.name, d.registered = to, in.Name, in.Registered
		return true
	case *inquiry:
		to.answered(in.envelope())
	default:
		s.lost(PID{Node: s.node, Incarnation: s.incarnation, Name: in.Name}, in.envelope(), NoSuchActor, nil)
	}
	return false
}

// Flush puts what was added into its mailbox. If that is full it waits for room; if the wait is cancelled, or the actor is
// dead, the rest becomes dead letters.
func (d *Deliveries) Flush() {
	to, rest := d.to, d.mail
	for len(rest) > 0 {
		n, what := to.box.postAll(rest)
		rest = rest[n:]
		switch {
		case what == closed:
			d.loseAll(rest, NoSuchActor)
			rest = nil
		case what == full && !d.awaitRoom(to):
			d.loseAll(rest, Overflow)
			rest = nil
		}
	}
	clear(d.mail)
	d.to, d.mail = nil, d.mail[:0]
}

func (d *Deliveries) loseAll(mail []envelope, reason Reason) {
	for _, e := range mail {
		d.system.lost(d.to.source.PID, e, reason, nil)
	}
}

// awaitRoom waits for room in a full mailbox; false if that was cancelled.
func (d *Deliveries) awaitRoom(to *cell) bool {
	room := to.box.room()
	if room == nil {
		return true
	}
	d.waiting.Store(true)
	defer d.waiting.Store(false)
	select {
	case <-room:
	case <-d.cancel:
	}
	select {
	case <-d.cancel:
		return false
	default:
		return true
	}
}
