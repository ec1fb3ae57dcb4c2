package actor

import (
	"runtime"
	"sync"
	"sync/atomic"

	proto "github.com/asynkron/protoactor-go/actor"
)

const (
	// DefaultMailboxLimit is how many messages may wait for one actor.
	DefaultMailboxLimit = 65536
	// mailboxKeep is how many slots an idle mailbox keeps; more would make idle actors heavy after a burst.
	mailboxKeep = 8
	// mailboxBurst is how many slots a mailbox borrows from the system when those are full.
	mailboxBurst = 256
	// mailboxThroughput is how many messages an actor handles before it lets other goroutines run.
	mailboxThroughput = 300
)

// mailKind says how an envelope is to be read.
type mailKind uint8

const (
	userMail    mailKind = iota // a message, or a question if ask is set
	answerMail                  // the answer to the question ask
	failureMail                 // why there is no answer: *ExitError
	timeoutMail                 // the time for the question ask is over
	exitMail                    // *exit: a link has ended
	brokenMail                  // *broken: a message to a linked actor was lost
	childMail                   // *childGone
	timerMail                   // *Timer
	wakeMail                    // the time of WakeAt
	asyncMail                   // the result of an Async
	panicMail                   // *PanicError of an Async
	rebirthMail                 // *rebirth whose back-off is over
)

// envelope is a message in a mailbox. Only userMail counts against its limit: all else is bounded by what the owner started, and what
// other nodes send beyond that by hasRoom.
type envelope struct {
	message any
	from    *Source
	ask     AskID
	kind    mailKind
	size    int32 // on the wire, of a large message of another node; 0 of all others
}

type posting uint8

const (
	posted posting = iota
	full
	closed
)

// mailbox is the queue of one actor and the loop that empties it. It implements protoactor's Mailbox: lifecycle messages come from
// and go to its actor context. Messages go to the cell directly.
type mailbox struct {
	cell    *cell
	limit   int32
	invoker proto.MessageInvoker

	depth   atomic.Int32 // userMail that waits, in user and batch
	large   atomic.Int64 // the sizes of what waits, in user and batch
	systems atomic.Int32 // length of system

	mu        sync.Mutex
	user      []envelope    // what was posted since the consumer last looked
	system    []any         // protoactor's lifecycle messages
	roomy     chan struct{} // closed when there is room again; nil if nobody waits
	scheduled bool          // run is under way
	shut      bool          // the actor is dead

	// Owned by run.
	batch     []envelope
	next      int
	suspended bool
}

// post queues e and wakes the actor.
func (m *mailbox) post(e envelope) posting {
	m.mu.Lock()
	if m.shut {
		m.mu.Unlock()
		return closed
	}
	if e.kind == userMail {
		depth := m.depth.Load()
		if depth >= m.limit {
			m.mu.Unlock()
			return full
		}
		m.depth.Add(1)
		m.cell.sys.seenDepth(depth + 1)
	}
	if len(m.user) == mailboxKeep && cap(m.user) < mailboxBurst {
		m.user = append(m.cell.sys.slots.borrow(), m.user...)
	}
	m.user = append(m.user, e)
	m.wakeAndUnlock()
	return posted
}

// postAll queues mail in order, as much as there is room for. It returns how many were queued, and whether the caller has to have run
// called: the actor was asleep.
func (m *mailbox) postAll(mail []envelope) (n int, what posting, asleep bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut {
		return 0, closed, false
	}
	depth, large := m.depth.Load(), m.large.Load()
	depthBefore, largeBefore := depth, large
	for ; n < len(mail); n++ {
		e := &mail[n]
		if !m.hasRoom(e, depth, large, len(m.user)+n) {
			what = full
			break
		}
		if e.kind == userMail {
			depth++
		}
		large += int64(e.size)
	}
	m.depth.Add(depth - depthBefore)
	if large != largeBefore {
		m.large.Add(large - largeBefore)
	}
	m.cell.sys.seenDepth(depth)
	if len(m.user)+n > mailboxKeep && cap(m.user) < mailboxBurst {
		m.user = append(m.cell.sys.slots.borrow(), m.user...)
	}
	m.user = append(m.user, mail[:n]...)
	return n, what, m.schedule()
}

// exchange queues all of mail, which is plain, by taking its slots for the mailbox's, which are empty: nothing is copied. false: it can't,
// and postAll is to be used.
func (m *mailbox) exchange(mail []envelope) (slots []envelope, asleep, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	depth := m.depth.Load() + int32(len(mail))
	if m.shut || len(m.user) > 0 || depth > m.limit {
		return mail, false, false
	}
	m.depth.Add(int32(len(mail)))
	m.cell.sys.seenDepth(depth)
	slots, m.user = m.user, mail
	if cap(slots) < mailboxBurst {
		slots = m.cell.sys.slots.borrow()
	}
	return slots, m.schedule(), true
}

// hasRoom tells whether a message of another node fits behind others: messages in depth, bytes of large ones, mail of all kinds that
// was posted since the consumer last looked. Answers that nobody asked for are bounded by the latter.
func (m *mailbox) hasRoom(e *envelope, depth int32, large int64, posted int) bool {
	switch {
	case e.kind == userMail && depth >= m.limit, e.kind != userMail && posted >= int(m.limit):
		return false
	default:
		return e.size == 0 || large == 0 || large+int64(e.size) <= MaxLargeMailBytes
	}
}

// slotPool lends slots to mailboxes that have more mail than usual.
type slotPool struct{ pool sync.Pool }

func (p *slotPool) borrow() []envelope {
	if slots, ok := p.pool.Get().(*[]envelope); ok {
		return *slots
	}
	return make([]envelope, 0, mailboxBurst)
}

// giveBack takes slots that hold nothing any more.
func (p *slotPool) giveBack(slots []envelope) {
	slots = slots[:0]
	p.pool.Put(&slots)
}

func (m *mailbox) wakeAndUnlock() {
	asleep := m.schedule()
	m.mu.Unlock()
	if asleep {
		go m.run(true)
	}
}

// schedule reports whether run has to be called because there is mail now. m.mu is held.
func (m *mailbox) schedule() (asleep bool) {
	asleep = !m.scheduled
	m.scheduled = true
	return asleep
}

// room is a channel that is closed when there is room; nil if there is for e, or if the actor is dead.
func (m *mailbox) room(e *envelope) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut || m.hasRoom(e, m.depth.Load(), m.large.Load(), len(m.user)) {
		return nil
	}
	if m.roomy == nil {
		m.roomy = make(chan struct{})
	}
	return m.roomy
}

// close takes no more mail and returns what was left, in order.
func (m *mailbox) close() []envelope {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shut = true
	left := append(m.batch[m.next:], m.user...)
	m.user, m.batch, m.next = nil, nil, 0
	m.depth.Store(0)
	m.large.Store(0)
	m.makeRoom()
	return left
}

func (m *mailbox) makeRoom() {
	if m.roomy != nil && (m.shut || m.depth.Load() <= m.limit/2 && m.large.Load() <= MaxLargeMailBytes/2) {
		close(m.roomy)
		m.roomy = nil
	}
}

// run empties the mailbox. There is at most one at a time. With linger it waits a moment for more before it returns.
func (m *mailbox) run(linger bool) {
	for m.drain(linger) {
	}
}

// drain handles mail until there is none, or until the actor fails.
func (m *mailbox) drain(linger bool) (again bool) {
	var inHand any
	finished, lingered := false, !linger
	defer func() {
		if finished {
			return
		}
		value := recover()
		m.cell.held.flush()
		m.cell.failed(value, inHand)
		m.invoker.EscalateFailure(value, inHand)
		if value == nil { // runtime.Goexit: this goroutine can't go on
			go m.run(true)
			return
		}
		again = true
	}()
	for n := 1; ; n++ {
		if n%mailboxThroughput == 0 {
			runtime.Gosched()
		}
		if m.systems.Load() == 0 && !m.suspended && m.next < len(m.batch) {
			e := m.batch[m.next]
			m.batch[m.next] = envelope{}
			m.next++
			if e.kind == userMail {
				m.depth.Add(-1)
			}
			if e.size > 0 {
				m.large.Add(-int64(e.size))
			}
			inHand = e.message
			m.cell.receive(e)
			m.cell.held.received()
			continue
		}
		m.cell.pause()
		system, idle := m.refill(lingered)
		switch {
		case idle && lingered:
			finished = true
			return false
		case idle:
			// What was just sent is often answered at once, and a goroutine that goes on is cheaper than a new one, which has to
			// grow its stack first.
			lingered = true
			runtime.Gosched()
			continue
		}
		lingered = !linger
		if system != nil {
			inHand = system
			m.invokeSystem(system)
		}
	}
}

// refill gives the next lifecycle message, or a new batch; idle if there is neither. If that is so and last is set, the next
// mail needs a new run.
func (m *mailbox) refill(last bool) (system any, idle bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.system) > 0 {
		system = m.system[0]
		m.system = m.system[1:]
		if len(m.system) == 0 {
			m.system = nil
		}
		m.systems.Add(-1)
		return system, false
	}
	m.makeRoom()
	if !m.suspended && m.next == len(m.batch) {
		spare := m.batch[:0]
		m.batch, m.next = m.user, 0
		if cap(spare) > mailboxKeep {
			m.cell.sys.slots.giveBack(spare)
			spare = nil
		}
		m.user = spare
	}
	if m.suspended || len(m.batch) == 0 {
		if !last {
			return nil, true
		}
		if !m.suspended && cap(m.batch) > mailboxKeep {
			m.cell.sys.slots.giveBack(m.batch)
			m.batch, m.next = nil, 0
		}
		m.scheduled = false
		return nil, true
	}
	return nil, false
}

func (m *mailbox) invokeSystem(message any) {
	switch message.(type) {
	case *proto.SuspendMailbox:
		m.suspended = true
	case *proto.ResumeMailbox:
		m.suspended = false
	default:
		m.invoker.InvokeSystemMessage(message)
	}
}

// PostUserMessage implements protoactor's Mailbox: nobody but protoactor itself can get here, and it has nothing to say.
func (m *mailbox) PostUserMessage(message any) { m.post(envelope{message: message}) }

// PostSystemMessage implements protoactor's Mailbox.
func (m *mailbox) PostSystemMessage(message any) {
	m.mu.Lock()
	m.system = append(m.system, message)
	m.systems.Add(1)
	m.wakeAndUnlock()
}

// RegisterHandlers implements protoactor's Mailbox.
func (m *mailbox) RegisterHandlers(invoker proto.MessageInvoker, _ proto.Dispatcher) {
	m.invoker = invoker
}

// Start implements protoactor's Mailbox.
func (m *mailbox) Start() {}

// UserMessageCount implements protoactor's Mailbox.
func (m *mailbox) UserMessageCount() int { return int(m.depth.Load()) }
