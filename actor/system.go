package actor

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// rememberedNames is how many registered names a node remembers as used. Beyond it every actor's PID name gets a number, so
// that names stay unique while memory stays bounded.
const rememberedNames = 65536

// MaxNameBytes is how long a registered name may be, its parents' included, so that it fits into a message to another node.
const MaxNameBytes = 512

// SystemOptions make a System. The zero value is a node with a random name that logs nothing.
type SystemOptions struct {
	// Node is the id of this node, unique in the cluster; empty: a random one.
	Node string
	// Incarnation is the life of the node, larger than that of every life before; 0: nanoseconds since 1970.
	Incarnation uint64
	// Role is what this node is, for actors that ask from whom a message comes.
	Role Role
	Log  zerolog.Logger
	// MailboxLimit is how many messages may wait for one actor; 0: DefaultMailboxLimit.
	MailboxLimit int
	// OnPanic, if set, is told of each panic of an actor, before anybody else hears of it: who, the panic, its stack.
	OnPanic func(pid PID, value any, stack []byte)
	// OnDeadLetter, if set, is told of each dead letter. It may be called from any goroutine and must not block.
	OnDeadLetter func(DeadLetter)
}

// System is one node: the actors of one process, or of one node in a test.
type System struct {
	node         string
	incarnation  uint64
	role         Role
	log          zerolog.Logger
	limit        int
	onPanic      func(PID, any, []byte)
	onDeadLetter func(DeadLetter)

	engine    *engine
	transport atomic.Pointer[Transport]
	serial    atomic.Uint64
	directory sync.Map // PID name → *cell or *inquiry
	registry  sync.Map // registered name → *cell
	asyncs    sync.WaitGroup
	deadLog   logLimit
	slots     slotPool
	stats     counters
	ended     linksEnded

	mu       sync.Mutex
	used     map[string]struct{} // registered names that have been a PID name
	roots    map[*cell]struct{}
	rebirths map[*cell]*rebirth // of root actors: those that live, and those that wait for their next life
	down     bool
}

type counters struct {
	actors, spawned, panics, deadLetters, depth atomic.Int64
}

// Stats are counts since the system was made, and what is now.
type Stats struct {
	// Actors is how many live now.
	Actors int64
	// Spawned is how many have ever lived.
	Spawned int64
	// Panics is how many have died of one.
	Panics int64
	// DeadLetters is how many messages were not delivered.
	DeadLetters int64
	// MailboxHighWater is the most messages that ever waited for one actor.
	MailboxHighWater int64
}

// NewSystem makes a node without actors.
func NewSystem(o SystemOptions) *System {
	if o.Node == "" {
		o.Node = strings.ToLower(rand.Text())
	}
	if o.Incarnation == 0 {
		o.Incarnation = uint64(time.Now().UnixNano())
	}
	if o.MailboxLimit == 0 {
		o.MailboxLimit = DefaultMailboxLimit
	}
	return &System{
		node: o.Node, incarnation: o.Incarnation, role: o.Role, log: o.Log, limit: o.MailboxLimit,
		onPanic: o.OnPanic, onDeadLetter: o.OnDeadLetter,
		engine:   newEngine(),
		used:     make(map[string]struct{}),
		roots:    make(map[*cell]struct{}),
		rebirths: make(map[*cell]*rebirth),
	}
}

// Node is this node's id.
func (s *System) Node() string { return s.node }

// Incarnation is this life of the node.
func (s *System) Incarnation() uint64 { return s.incarnation }

// Role is what this node is.
func (s *System) Role() Role { return s.role }

// Log is the log that the system writes to.
func (s *System) Log() *zerolog.Logger { return &s.log }

// Stats counts.
func (s *System) Stats() Stats {
	return Stats{
		Actors: s.stats.actors.Load(), Spawned: s.stats.spawned.Load(), Panics: s.stats.panics.Load(),
		DeadLetters: s.stats.deadLetters.Load(), MailboxHighWater: s.stats.depth.Load(),
	}
}

func (s *System) seenDepth(depth int32) {
	for {
		most := s.stats.depth.Load()
		if int64(depth) <= most || s.stats.depth.CompareAndSwap(most, int64(depth)) {
			return
		}
	}
}

// Spawn starts a root actor, registered under name, which must not be empty or contain '#'. After Shutdown nothing is spawned and the
// PID is of an actor that has ended.
func (s *System) Spawn(name string, produce func() Actor, opts ...SpawnOption) PID {
	c := s.newCell(nil, name, produce, opts)
	s.start(c)
	return c.source.PID
}

// start runs a root actor; false if the system is down.
func (s *System) start(c *cell) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		s.forget(c)
		return false
	}
	s.roots[c] = struct{}{}
	s.engine.spawnRoot(c)
	return true
}

// newCell makes an actor and its names; it does not run yet.
func (s *System) newCell(parent *cell, name string, produce func() Actor, opts []SpawnOption) *cell {
	if name == "" || strings.ContainsRune(name, '#') {
		panic(fmt.Sprintf("actor name %q: must not be empty or contain '#'", name))
	}
	path := name
	if parent != nil {
		path = parent.path + "/" + name
	}
	if len(path) > MaxNameBytes {
		panic(fmt.Sprintf("actor name %q of %d bytes: at most %d are allowed", path, len(path), MaxNameBytes))
	}
	options := spawnOptions{limit: s.limit}
	for _, opt := range opts {
		opt(&options)
	}
	return s.birth(parent, path, produce, options)
}

// bornAgain makes the next life of an actor.
func (s *System) bornAgain(old *cell) *cell {
	return s.birth(old.parent, old.path, old.produce, old.options)
}

func (s *System) birth(parent *cell, path string, produce func() Actor, options spawnOptions) *cell {
	c := &cell{sys: s, path: path, parent: parent, produce: produce, options: options}
	c.source = Source{PID: s.pidOf(s.uniqueName(path)), Role: s.role}
	c.box.cell = c
	c.box.limit = int32(options.limit)
	s.stats.spawned.Add(1)
	s.stats.actors.Add(1)
	s.directory.Store(c.source.PID.Name, c)
	s.registry.LoadOrStore(path, c)
	return c
}

func (s *System) uniqueName(path string) string {
	serial := s.serial.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.used[path]; !used && len(s.used) < rememberedNames {
		s.used[path] = struct{}{}
		return path
	}
	return fmt.Sprintf("%s#%d", path, serial)
}

func (s *System) pidOf(name string) PID {
	pid := PID{Node: s.node, Incarnation: s.incarnation, Name: name}
	if t := s.remote(); t != nil {
		pid.Address = t.Address()
	}
	return pid
}

// forget takes an actor out of the directory.
func (s *System) forget(c *cell) {
	s.directory.Delete(c.source.PID.Name)
	s.registry.CompareAndDelete(c.path, c)
	s.stats.actors.Add(-1)
}

// Lookup finds the living actor of a registered name.
func (s *System) Lookup(name string) (PID, bool) {
	if c, ok := s.find(name, true).(*cell); ok {
		return c.source.PID, true
	}
	return PID{}, false
}

// find gives the *cell or *inquiry of a name; nil if there is none.
func (s *System) find(name string, registered bool) any {
	directory := &s.directory
	if registered {
		directory = &s.registry
	}
	found, _ := directory.Load(name)
	return found
}

type whereabouts uint8

const (
	here whereabouts = iota
	elsewhere
	otherLife // of this node
)

func (s *System) place(pid PID) whereabouts {
	switch {
	case pid.Node == s.node && pid.Incarnation == s.incarnation:
		return here
	case pid.Node == s.node:
		return otherLife
	case pid.Node != "":
		return elsewhere
	case pid.Address == "":
		return here
	}
	if t := s.remote(); t != nil && t.Address() == pid.Address {
		return here
	}
	return elsewhere
}

// locate finds the cell that pid names, if it is of this node.
func (s *System) locate(pid PID) (*cell, whereabouts) {
	where := s.place(pid)
	if where != here {
		return nil, where
	}
	c, _ := s.find(pid.Name, pid.Node == "").(*cell)
	return c, here
}

// Send sends from outside of actors: the message has no sender.
func (s *System) Send(to PID, m any) { s.send(to, envelope{message: m}, nil) }

// send delivers e, from the cell from if it is an actor's.
func (s *System) send(to PID, e envelope, from *cell) {
	if e.message == nil {
		panic(fmt.Sprintf("send to %v: the message is nil", to))
	}
	switch s.place(to) {
	case elsewhere:
		s.sendAway(to, e, from)
		return
	case otherLife:
		s.lost(to, e, NewIncarnation, nil)
		return
	}
	switch c := s.find(to.Name, to.Node == "").(type) {
	case *cell:
		switch c.box.post(e) {
		case closed:
			s.lost(to, e, NoSuchActor, nil)
		case full:
			s.lost(to, e, Overflow, nil)
			s.overflowed(from, c)
		}
	case *inquiry:
		c.answered(e)
	default:
		s.lost(to, e, NoSuchActor, nil)
	}
}

func (s *System) sendAway(to PID, e envelope, from *cell) {
	t := s.remote()
	if t == nil {
		s.lost(to, e, Unreachable, errNoTransport)
		return
	}
	env := Envelope{To: to, From: e.from.pid(), Message: e.message, Ask: e.ask, Answer: e.kind != userMail, Held: from != nil}
	if e.kind == failureMail {
		env.Failure, env.Message = e.message.(*ExitError), nil
	}
	if c := t.Send(env); c != nil {
		from.held.add(c)
	}
}

// Stop ends a local actor after the message in hand. It does not wait.
func (s *System) Stop(pid PID) {
	if c, _ := s.locate(pid); c != nil {
		c.stop()
	}
}

// Done is closed when that life of a local actor has ended; at once if there is none.
func (s *System) Done(pid PID) <-chan struct{} {
	if c, _ := s.locate(pid); c != nil {
		return c.ending()
	}
	over := make(chan struct{})
	close(over)
	return over
}

func (s *System) panicked(c *cell, failure *PanicError, message any) {
	s.stats.panics.Add(1)
	if s.onPanic != nil {
		s.onPanic(c.source.PID, failure.Value, failure.Stack)
	}
	s.log.Error().Str("actor", c.source.PID.Name).Type("message", message).Str("panic", fmt.Sprint(failure.Value)).
		Bytes("stack", failure.Stack).Msg("actor panicked")
}

// rootGone forgets a root actor and starts the back-off before its next life.
func (s *System) rootGone(gone *childGone) {
	s.mu.Lock()
	delete(s.roots, gone.child)
	r := s.rebirths[gone.child]
	delete(s.rebirths, gone.child)
	b := gone.child.options.reborn
	if b == nil || gone.reason != Panicked || s.down {
		s.mu.Unlock()
		return
	}
	if r == nil {
		r = &rebirth{}
	}
	pause, ok := r.next(time.Now(), b)
	if ok {
		s.rebirths[gone.child] = r
		r.timer = time.AfterFunc(pause, func() { s.rebirthRoot(gone.child, r) })
	}
	s.mu.Unlock()
	if !ok {
		err := r.gaveUp(gone)
		s.log.Error().Err(err).Msg("gave up an actor")
		if s.onPanic != nil {
			s.onPanic(gone.child.source.PID, err, nil)
		}
	}
}

func (s *System) rebirthRoot(old *cell, r *rebirth) {
	next := s.bornAgain(old)
	s.mu.Lock()
	delete(s.rebirths, old)
	s.rebirths[next] = r
	s.mu.Unlock()
	s.start(next)
}

func (s *System) isShutDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// Shutdown ends all actors, children first, and waits for them and for what they run with Async. Links to them end with
// NodeShutdown. The error is ctx's if that ended before.
func (s *System) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.down = true
	roots := make([]*cell, 0, len(s.roots))
	for c := range s.roots {
		roots = append(roots, c)
	}
	for _, r := range s.rebirths {
		if r.timer != nil {
			r.timer.Stop()
		}
	}
	s.mu.Unlock()
	slices.SortFunc(roots, func(a, b *cell) int { return cmp.Compare(a.source.PID.Name, b.source.PID.Name) })
	for _, c := range roots {
		c.stop()
	}
	for _, c := range roots {
		select {
		case <-c.ending():
		case <-ctx.Done():
			return fmt.Errorf("shut down: actor %v still runs: %w", c.source.PID, ctx.Err())
		}
	}
	finished := make(chan struct{})
	go func() {
		s.asyncs.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut down: asynchronous work of an actor still runs: %w", ctx.Err())
	}
}
