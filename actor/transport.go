package actor

// A Transport takes what leaves the node. None of its methods may block.
type Transport interface {
	// Address is the hint that goes into this node's PIDs; empty for a node that does not listen.
	Address() string
	// Send carries one message to another node. What cannot be carried becomes a dead letter, or a failed ask. If env is held, it may
	// give a connection that waits to be flushed; else nil.
	Send(env Envelope) Connection
	// Link watches l.Target, and calls l.End once when it exits; not after Unlink returned.
	Link(l *Link)
	// Unlink takes l back. It may have ended already.
	Unlink(l *Link)
}

// A Connection is where held messages have come together.
type Connection interface {
	// Flush sends them on their way. If alone is set no other connection is about to be flushed, so that the caller has time to write
	// itself what can be written without waiting. It may be called when nothing is held.
	Flush(alone bool)
}

// Envelope is a message between nodes.
type Envelope struct {
	To, From PID
	// Message is nil only if Failure is set.
	Message any
	// Ask is the number of the question that the message is, or, with Answer, that it answers; 0 if neither.
	Ask AskID
	// Answer: the message, or Failure, is the answer to the question Ask of To.
	Answer bool
	// Failure is an answer that says why there is none.
	Failure *ExitError
	// Held: the sender flushes the connection soon, and may send more before it does.
	Held bool
}

// Source is a sender of messages, made once and used for many.
type Source struct {
	PID  PID
	Role Role
}

func (s *Source) pid() PID {
	if s == nil {
		return PID{}
	}
	return s.PID
}

// Link is one actor's watch over another.
type Link struct {
	// Target is the actor that is watched, as it was given.
	Target PID
	// Place belongs to the transport that holds the link.
	Place any
	// Number belongs to the transport that holds the link.
	Number uint64
	// Role is that of Target's node, which the transport sets when it is connected with that; empty before.
	Role Role

	owner  mailOwner
	target *cell // if it is local

	position int // in target.watchers, guarded by target.mu

	// The rest belongs to the owner's goroutine.
	user bool // asked for by Context.Link or Spawn
	asks int  // questions that are open over it
}

// mailOwner is who holds a link or a question: an actor, or code outside of actors.
type mailOwner interface {
	linkEnded(l *Link, reason Reason, err error)
}

// End tells the owner that the link is over. The transport calls it at most once for each link.
func (l *Link) End(reason Reason, err error) { l.owner.linkEnded(l, reason, err) }

// A Watch is another node's link to an actor of this one.
type Watch struct {
	exit   func(reason Reason, err error)
	target *cell
	link   *Link
}

// Watch calls exit once when the actor exits: at once, and from within this call, if there is none of that name. Otherwise it is
// called from the dying actor's goroutine and must not block. It may still be called while Cancel runs.
func (s *System) Watch(name string, registered bool, exit func(reason Reason, err error)) *Watch {
	w := &Watch{exit: exit}
	w.link = &Link{owner: w}
	c, _ := s.find(name, registered).(*cell)
	if c == nil || !c.watch(w.link) {
		exit(NoSuchActor, nil)
		return w
	}
	w.target = c
	return w
}

func (w *Watch) linkEnded(_ *Link, reason Reason, err error) { w.exit(reason, err) }

// Cancel ends the watch without a call of exit.
func (w *Watch) Cancel() {
	if w.target != nil {
		w.target.unwatch(w.link)
	}
}

// SetTransport gives the node its connection to others. It must be called before actors are spawned, because their PIDs
// contain the transport's address.
func (s *System) SetTransport(t Transport) { s.transport.Store(&t) }

func (s *System) remote() Transport {
	if t := s.transport.Load(); t != nil {
		return *t
	}
	return nil
}

// Undeliverable reports a message from this node that the transport could not carry: it becomes a dead letter, and a question is
// answered with the failure.
func (s *System) Undeliverable(env Envelope, reason Reason, err error) {
	s.deadLetter(DeadLetter{To: env.To, From: env.From, Message: env.Message, Count: 1, Reason: reason, Err: err})
	if env.Ask == 0 || env.Answer {
		return
	}
	failure := &ExitError{PID: env.To, Reason: reason, Err: err}
	s.send(env.From, envelope{message: failure, ask: env.Ask, kind: failureMail}, nil)
}

// Broken reports that a message from one actor of this node to another of a different node was lost while their nodes stay
// connected: the link between them, if there is one, ends.
func (s *System) Broken(env Envelope, reason Reason, err error) {
	if c, ok := s.find(env.From.Name, false).(*cell); ok {
		c.box.post(envelope{kind: brokenMail, message: &broken{to: env.To.key(), reason: reason, err: err}})
	}
}

// Lost reports messages that a connection took with it, of which only the number is known.
func (s *System) Lost(count int, to PID, reason Reason, err error) {
	if count > 0 {
		s.deadLetter(DeadLetter{To: to, Count: count, Reason: reason, Err: err})
	}
}
