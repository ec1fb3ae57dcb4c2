package actor

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	proto "github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"
)

// cell is one life of an actor: its mailbox, its links, and the Context that it sees.
type cell struct {
	sys     *System
	source  Source // its PID, as the sender of messages
	path    string // its registered name
	parent  *cell  // nil for a root actor
	produce func() Actor
	options spawnOptions
	box     mailbox

	mu       sync.Mutex
	watchers []*Link       // who is to be told of its end
	done     chan struct{} // closed at its end; made when somebody asks
	dead     bool
	stopped  bool // a stop is on its way

	// The rest belongs to the actor's goroutine.
	engine  proto.Context
	actor   Actor
	state   cellState
	failure *PanicError
	inHand  envelope
	held    held
	born    time.Time
	log     *zerolog.Logger
	extra   *cellExtra
}

// cellExtra is what only some actors need.
type cellExtra struct {
	links     map[PID]*Link
	idleLinks int // links that only serve questions, of which none is open
	asks      map[AskID]*question
	lastAsk   AskID
	spare     *question // to be used again
	timers    map[*timerState]struct{}
	wake      Timer
	wakeAt    time.Time
	life      context.Context
	end       context.CancelFunc
	children  map[PID]*cell
	rebirths  map[PID]*rebirth
}

type cellState uint8

const (
	unborn cellState = iota
	alive
	failing  // it has panicked and waits for its end
	stopping // it waits for its children's end
	ended
)

func (c *cell) more() *cellExtra {
	if c.extra == nil {
		c.extra = &cellExtra{}
	}
	return c.extra
}

// Receive implements protoactor's Actor. Only lifecycle messages come this way.
func (c *cell) Receive(engine proto.Context) {
	switch engine.Message().(type) {
	case *proto.Started:
		c.engine = engine
		c.state = alive
		c.born = time.Now()
		c.actor = c.produce()
		c.hand(Started{}, nil, 0)
	case *proto.Stopping:
		if c.state == alive {
			c.lastWord()
		}
		c.state = stopping
	case *proto.Stopped:
		c.finish()
	}
}

// lastWord delivers Stopping. A panic in it makes the end a failure; it must not reach protoactor, which would wait for ever.
func (c *cell) lastWord() {
	finished := false
	defer func() {
		if !finished {
			c.failed(recover(), Stopping{})
		}
	}()
	c.hand(Stopping{}, nil, 0)
	finished = true
}

// hand gives one message to the actor.
func (c *cell) hand(message any, from *Source, ask AskID) {
	c.inHand = envelope{message: message, from: from, ask: ask}
	c.actor.Receive(c)
}

// pause is called when no mail is at hand: nothing is to be kept alive by an actor that sleeps, nor by what it has sent.
func (c *cell) pause() {
	c.inHand = envelope{}
	c.held.flush()
}

// receive handles one envelope of the mailbox.
func (c *cell) receive(e envelope) {
	if c.state != alive {
		c.undelivered(e)
		return
	}
	switch e.kind {
	case userMail:
		c.hand(e.message, e.from, e.ask)
	case answerMail, failureMail, timeoutMail:
		c.answerArrived(e)
	case exitMail:
		c.linkOver(e.message.(*exit))
	case brokenMail:
		c.linkBroken(e.message.(*broken))
	case childMail:
		c.childGone(e.message.(*childGone))
	case timerMail:
		c.timerFired(e.message.(*timerState))
	case wakeMail:
		c.extra.wakeAt = time.Time{}
		c.hand(Wake{}, nil, 0)
	case asyncMail:
		c.hand(e.message, nil, 0)
	case panicMail:
		panic(e.message)
	case rebirthMail:
		c.beReborn(e.message.(*rebirth))
	}
}

// undelivered takes mail that came too late. Only messages and answers are of interest to anybody.
func (c *cell) undelivered(e envelope) {
	if e.kind == userMail || e.kind == answerMail {
		c.sys.lost(c.source.PID, e, NoSuchActor, nil)
	}
}

var errGoexit = errors.New("runtime.Goexit called in an actor")

// failed records a panic. The state of the actor is not to be trusted any more: it gets no more messages.
func (c *cell) failed(value any, message any) {
	failure, ok := value.(*PanicError) // of an Async: the interesting stack is the one in it
	if !ok {
		if value == nil {
			value = errGoexit
		}
		failure = &PanicError{Value: value, Stack: debug.Stack()}
	}
	c.failure = failure
	c.state = failing
	c.sys.panicked(c, failure, message)
}

// finish is the end: no mail, no timers, no links, and everybody who asked is told.
func (c *cell) finish() {
	c.state = ended
	if c.extra != nil {
		c.release(c.extra)
	}
	c.sys.forget(c)
	left := c.box.close()

	c.mu.Lock()
	c.dead = true
	watchers, done := c.watchers, c.done
	c.watchers = nil
	c.mu.Unlock()

	for _, e := range left {
		c.undelivered(e)
	}
	reason, err := c.epitaph()
	for _, l := range watchers {
		l.End(reason, err)
	}
	gone := &childGone{child: c, reason: reason, err: err}
	if c.parent != nil {
		c.parent.box.post(envelope{kind: childMail, message: gone})
	} else {
		c.sys.rootGone(gone)
	}
	if done != nil {
		close(done)
	}
	c.actor, c.extra, c.inHand = nil, nil, envelope{}
}

func (c *cell) epitaph() (Reason, error) {
	switch {
	case c.failure != nil:
		return Panicked, c.failure
	case c.sys.isShutDown():
		return NodeShutdown, nil
	default:
		return Stopped, nil
	}
}

// release gives back what the actor held elsewhere.
func (c *cell) release(x *cellExtra) {
	for t := range x.timers {
		t.timer.Stop()
	}
	for _, q := range x.asks {
		q.timer.Stop()
	}
	for _, l := range x.links {
		c.sys.detach(l)
	}
	if x.end != nil {
		x.end()
	}
}

// stop asks the actor to end. It may be called from anywhere, and more than once.
func (c *cell) stop() {
	c.mu.Lock()
	again := c.stopped || c.dead
	c.stopped = true
	c.mu.Unlock()
	if !again {
		c.box.PostSystemMessage(&proto.Stop{})
	}
}

// ending is closed when the actor has ended.
func (c *cell) ending() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.dead {
			close(c.done)
		}
	}
	return c.done
}

// The methods of Context.

func (c *cell) Self() PID       { return c.source.PID }
func (c *cell) Sender() PID     { return c.inHand.from.pid() }
func (c *cell) Message() any    { return c.inHand.message }
func (c *cell) Now() time.Time  { return time.Now() }
func (c *cell) System() *System { return c.sys }

func (c *cell) SenderRole() Role {
	if c.inHand.from == nil {
		return c.sys.role
	}
	return c.inHand.from.Role
}

func (c *cell) Send(to PID, m any) {
	c.sys.send(to, envelope{message: m, from: &c.source}, c)
}

func (c *cell) Reply(m any) { c.ReplyTo(c.Asked(), m) }

func (c *cell) Asked() Asked { return Asked{from: c.inHand.from, ask: c.inHand.ask} }

func (c *cell) ReplyTo(asked Asked, m any) {
	e := envelope{message: m, from: &c.source, ask: asked.ask}
	if asked.ask != 0 {
		e.kind = answerMail
	}
	c.sys.send(asked.from.pid(), e, c)
}

func (c *cell) Forward(to PID) {
	c.sys.send(to, c.inHand, c)
}

func (c *cell) Spawn(name string, produce func() Actor, opts ...SpawnOption) PID {
	child := c.sys.newCell(c, name, produce, opts)
	c.adopt(child)
	return child.source.PID
}

// adopt starts a child, linked to this actor before anything can happen to it.
func (c *cell) adopt(child *cell) {
	x := c.more()
	if x.children == nil {
		x.children = make(map[PID]*cell)
	}
	pid := child.source.PID
	x.children[pid.key()] = child
	l := &Link{Target: pid, owner: c, target: child, user: true}
	child.watch(l)
	c.setLink(l)
	c.sys.engine.spawnChild(c.engine, child)
}

func (c *cell) Stop(pid PID) {
	if c.source.PID.Is(pid) {
		c.stop()
		return
	}
	if c.extra != nil {
		if child := c.extra.children[pid.key()]; child != nil {
			child.stop()
			return
		}
	}
	c.Log().Warn().Stringer("pid", pid).Msg("only a child or the actor itself can be stopped, or it has stopped already")
}

func (c *cell) Async(f func(ctx context.Context) any) {
	x := c.more()
	if x.life == nil {
		x.life, x.end = context.WithCancel(context.Background())
	}
	life := x.life
	c.sys.asyncs.Add(1)
	go func() {
		defer c.sys.asyncs.Done()
		c.runAsync(life, f)
	}()
}

func (c *cell) runAsync(life context.Context, f func(ctx context.Context) any) {
	finished := false
	defer func() {
		if finished {
			return
		}
		value := recover()
		if value == nil {
			value = errGoexit
		}
		c.box.post(envelope{kind: panicMail, message: &PanicError{Value: value, Stack: debug.Stack()}})
	}()
	result := f(life)
	finished = true
	if result != nil {
		c.box.post(envelope{kind: asyncMail, message: result})
	}
}

func (c *cell) Log() *zerolog.Logger {
	if c.log == nil {
		log := c.sys.log.With().Str("actor", c.source.PID.Name).Logger()
		c.log = &log
	}
	return c.log
}
