package actor

import (
	"math"
	"sync/atomic"
)

const (
	// deliveryBatch is how many messages are put into a mailbox at once, at most.
	deliveryBatch = 512
	// patientMail is how many messages wait for Take, at most: with more of them it pays to go on delivering meanwhile.
	patientMail = 16
	// deliveryBytes is how large the messages of a batch are together before it is full.
	deliveryBytes = 1 << 20
	// largeMail is the size in bytes from which on a message of another node is large. Smaller ones are bounded by the mailbox's limit.
	largeMail = 4 << 10
	// MaxLargeMailBytes is how many bytes of large messages of other nodes wait for one actor, as they came over the wire. One always fits.
	MaxLargeMailBytes = 64 << 20
)

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
	// Size is the message's on the wire, in bytes.
	Size int
}

func (in *Inbound) envelope() envelope {
	e := envelope{message: in.Message, from: in.From, ask: in.Ask}
	if in.Size >= largeMail {
		e.size = int32(min(in.Size, math.MaxInt32))
	}
	if in.Answer {
		e.kind = answerMail
		if in.Failure != nil {
			e.kind, e.message = failureMail, in.Failure
		}
	}
	return e
}

// Deliveries puts messages from another node into their receivers' mailboxes, in order. Those to the same receiver that come together
// go in together, which costs little more than one. If they are few, the receiver waits for who calls [Deliveries.Take]: to run it where its
// messages were read is faster than to wake a goroutine for it. It belongs to one goroutine at a time.
type Deliveries struct {
	system  *System
	waiting *atomic.Bool
	cancel  <-chan struct{}

	to         *cell
	name       string
	registered bool
	mail       []envelope // for to, not yet in its mailbox
	bytes      int        // of mail, on the wire
	special    bool       // some of mail is not a small message
	patient    *cell      // an actor that has mail and is not running
}

// NewDeliveries begins deliveries that may wait for room in a mailbox until cancel is closed; waiting is set meanwhile.
func (s *System) NewDeliveries(waiting *atomic.Bool, cancel <-chan struct{}) Deliveries {
	return Deliveries{system: s, waiting: waiting, cancel: cancel}
}

// Add delivers a message, at the latest at the next Flush. It may wait for room for those before it.
func (d *Deliveries) Add(in *Inbound) {
	if d.to == nil || d.name != in.Name || d.registered != in.Registered || len(d.mail) == deliveryBatch || d.bytes >= deliveryBytes {
		d.Flush()
		if !d.open(in) {
			return
		}
	}
	e := in.envelope()
	d.mail = append(d.mail, e)
	d.bytes += in.Size
	d.special = d.special || e.kind != userMail || e.size > 0
}

// open finds the receiver; false if it is not an actor, and the message is settled.
func (d *Deliveries) open(in *Inbound) bool {
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
	if len(rest) > patientMail && !d.special {
		slots, asleep, ok := to.box.exchange(rest)
		if asleep {
			d.wake(to, len(rest))
		}
		if ok {
			d.mail, rest = slots, nil
		}
	}
	for len(rest) > 0 {
		n, what, asleep := to.box.postAll(rest)
		if asleep {
			d.wake(to, n)
		}
		rest = rest[n:]
		switch {
		case what == closed:
			d.loseAll(rest, NoSuchActor)
			rest = nil
		case what == full && !d.awaitRoom(to, &rest[0]):
			d.loseAll(rest, Overflow)
			rest = nil
		}
	}
	clear(d.mail)
	d.to, d.mail, d.bytes, d.special = nil, d.mail[:0], 0, false
}

// wake has an actor run that has got some messages.
func (d *Deliveries) wake(to *cell, messages int) {
	if d.patient == nil && messages <= patientMail {
		d.patient = to
		return
	}
	d.Release()
	go to.box.run(true)
}

// Take gives the actor that waits, which the caller has to run; false if there is none.
func (d *Deliveries) Take() (Sleeper, bool) {
	to := d.patient
	d.patient = nil
	return Sleeper{to}, to != nil
}

// A Sleeper is an actor that has mail and does not run.
type Sleeper struct{ cell *cell }

// Run runs the actor until its mailbox is empty.
func (s Sleeper) Run() { s.cell.box.run(false) }

// Release lets the actor that waits run on a goroutine of its own.
func (d *Deliveries) Release() {
	if to, ok := d.Take(); ok {
		go to.cell.box.run(true)
	}
}

func (d *Deliveries) loseAll(mail []envelope, reason Reason) {
	for _, e := range mail {
		d.system.lost(d.to.source.PID, e, reason, nil)
	}
}

// awaitRoom waits for room for a message in a full mailbox; false if that was cancelled.
func (d *Deliveries) awaitRoom(to *cell, e *envelope) bool {
	room := to.box.room(e)
	if room == nil {
		return true
	}
	d.Release()
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
