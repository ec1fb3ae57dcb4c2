// Package core is the master's mind: it decides and does nothing. It has no goroutine, no IO, no clock, no randomness and
// no log. [Core.Step] takes one [Event] and returns the [Output]s that it causes, in order; [Core.Deadline] says when it
// next wants a [Tick]. The same events give the same outputs.
//
// What it is made of:
//
//	session     a live connection: nobody yet, a slave or a framework
//	slave       known since it registered, with its tasks, executors and offers
//	framework   known since it subscribed, or since a slave brought tasks of it ("recovered")
//	offer       resources of one slave in the hands of one framework
//	inverse     the wish that a framework leaves a slave which will be away for maintenance
//	task        from its launch until its terminal update is acknowledged, then history
//	allocator   who is offered what; its ledger is the only account of resources
//	registry    what is remembered durably, as far as the shell has confirmed it
//
// One file per noun. An event goes through the switch of Step to one small function. Where something must be remembered
// before it counts, two functions stand next to each other: the first asks to [Persist], the second runs when [Persisted]
// comes back (admitSlave and slaveAdmitted, markUnreachable and slaveUnreachable).
//
// What readers see (view.go) is replaced and never changed: a [View] of one moment goes out with [Show], and a [Reader]
// makes the answer of it wherever that stops nobody.
package core

import (
	"fmt"
	"time"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/flow"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// Core is the master without its shell. The zero value waits for Born.
type Core struct {
	now time.Time // of the event in hand; never goes back
	out []Output

	incarnation string
	master      *mesos.MasterInfo
	config      Config
	birth       time.Time

	registry  registry.State
	durable   bool   // the registry outlives the master
	clusterID string // that the registry has, or is being told
	persisted uint64 // number of the last Persist
	pending   map[uint64]pending

	allocator  *allocator.Allocator
	sessions   map[Session]*session
	slaves     map[string]*slave           // those that have registered with this master
	places     map[string]*slave           // the same by hostname:port
	changing   map[string][]waiting        // slaves whose change is being persisted, with what they said meanwhile
	forsaken   map[string]map[taskKey]bool // of unreachable slaves: see slave.forsaken
	removed    recent                      // ids of slaves that will not come back
	frameworks map[string]*framework
	history    history
	offers     map[string]*offer
	operations map[string]*btree.Map[string, *operation] // by framework, which need not be known, and id
	inverse    map[string]*inverseOffer                  // those that are open
	timetable  timetable                                 // of machines that will be away, or are
	timers     timers
	chores     []chore // that wait to be gone on with
	counters   Counters

	view    View // what readers see
	touched touched

	workPerStep int // maxWorkPerStep, but for tests
	room        int // how much of that is left to the step in hand

	slaveCount, frameworkCount, offerCount uint64 // of the ids that have been given
}

// session is a live connection.
type session struct {
	id        Session
	address   string // of the peer: "ip:port", or empty
	slave     *slave
	framework *framework
	admitting bool                       // a slave that has asked to register and waits for it
	out       flow.Outbox[proto.Message] // what goes to a slave; a lane for each framework
	parts     *wire.ReregisterSlave      // of a slave that has not said all yet; nil: it has, or nothing
	partBytes int                        // of these
}

// pending is a change that the shell has been asked to persist.
type pending struct {
	change registry.Change
	then   func(failure string)
}

// New returns a core to which nothing has happened yet.
func New() *Core { return &Core{} }

// Step takes an event at a time and returns what is to be done, in order. A time before that of an earlier event counts
// as that event's. The first event must be Born.
func (c *Core) Step(now time.Time, event Event) []Output {
	if now.After(c.now) {
		c.now = now
	}
	c.out, c.room = nil, c.workPerStep
	c.counters.Events++
	switch e := event.(type) {
	case Born:
		c.born(e)
	case Seed:
		c.allocator.Seed(e.Value)
	case Recovered:
		c.recover(e)
	case Opened:
		c.sessions[e.Session] = &session{id: e.Session, address: e.Address}
	case Received:
		c.received(e)
	case SessionClosed:
		c.sessionClosed(e)
	case Asked:
		c.asked(e)
	case Persisted:
		c.confirmed(e)
	case Whitelisted:
		c.whitelisted(e)
	case Tick:
		c.tick()
	default:
		panic(fmt.Sprintf("master: event %T", event))
	}
	c.renewView()
	return c.out
}

// Deadline is when the core wants a Tick: at once while slaves wait to be looked at, or chores to be done. It is zero if it wants none.
func (c *Core) Deadline() time.Time {
	next := c.timers.next()
	if c.allocator == nil {
		return next
	}
	if len(c.chores) > 0 {
		return c.now
	}
	if at := c.allocator.Deadline(c.now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
		next = at
	}
	return next
}

func (c *Core) born(e Born) {
	if c.allocator != nil {
		panic("master: born twice")
	}
	*c = Core{
		now: c.now, birth: c.now, incarnation: e.Incarnation, master: e.Master, config: e.Config.withDefaults(),
		pending:    map[uint64]pending{},
		sessions:   map[Session]*session{},
		slaves:     map[string]*slave{},
		places:     map[string]*slave{},
		changing:   map[string][]waiting{},
		forsaken:   map[string]map[taskKey]bool{},
		frameworks: map[string]*framework{},
		offers:     map[string]*offer{},
		operations: map[string]*btree.Map[string, *operation]{},
		inverse:    map[string]*inverseOffer{},
		counters:   c.counters,
	}
	c.removed.limit, c.workPerStep = MaxRemovedSlaves, maxWorkPerStep
	c.history = newHistory(c.config)
	c.view = c.newView()
	c.timers.init()
	region, _ := faultDomain(c.master.GetDomain())
	c.allocator = allocator.New(allocator.Options{
		Interval: c.config.AllocationInterval, Minimum: c.config.MinAllocatable, Unfair: c.config.Unfair, Region: region,
	})
}

// recover takes over what the registry remembers: its slaves are expected back.
func (c *Core) recover(e Recovered) {
	c.registry, c.durable, c.clusterID = e.State.Clone(), e.Durable, e.State.ClusterID
	for id := range c.registry.Slaves {
		c.await(id)
	}
	for role, weight := range c.registry.Weights {
		c.allocator.SetWeight(role, weight)
	}
	for role, quota := range c.registry.Quotas {
		c.allocator.SetQuota(role, allocator.Quota(quota))
	}
	c.timetable = newTimetable(c.registry.Maintenance.Windows, nil)
	c.showRegistry()
}

func (c *Core) received(e Received) {
	s := c.sessions[e.Session]
	if s == nil {
		return // It has been closed; what was under way then does not count.
	}
	switch m := e.Message.(type) {
	case *schedulerpb.Call:
		c.call(s, m)
	case *wire.RegisterSlave:
		c.registerSlave(s, m)
	case *wire.ReregisterSlave:
		c.reregisterSlave(s, m)
	case *wire.Mark:
		c.send(s, &wire.Marked{Number: m.GetNumber()})
	case *wire.Marked:
		c.marked(s, m)
	default:
		if s.slave == nil {
			c.refuse(s, fmt.Sprintf("%s: this session has not registered as a slave", e.Message.ProtoReflect().Descriptor().Name()))
			return
		}
		c.fromSlave(s.slave, e.Message)
	}
}

func (c *Core) sessionClosed(e SessionClosed) {
	s := c.sessions[e.Session]
	if s == nil {
		return
	}
	delete(c.sessions, e.Session)
	switch {
	case s.slave != nil:
		c.slaveDisconnected(s.slave, e.Reason)
	case s.framework != nil:
		c.frameworkDisconnected(s.framework, e.Reason)
	}
}

func (c *Core) tick() {
	for range maxTimersPerStep {
		timer, ok := c.timers.due(c.now)
		if !ok {
			break
		}
		switch timer.kind {
		case heartbeatTimer:
			c.heartbeat(c.frameworks[timer.id])
		case failoverTimer:
			c.failoverTimeout(c.frameworks[timer.id])
		case slaveTimer:
			c.slaveTimeout(timer.id)
		case offerTimer:
			c.offerTimeout(c.offers[timer.id])
		case inverseTimer:
			c.askToLeave(c.slaves[timer.id])
		}
	}
	c.resume()
	c.offer(c.allocator.Step(c.now))
}

// persist asks the shell to make a change durable; then runs when it has, or could not.
func (c *Core) persist(change registry.Change, then func(failure string)) {
	c.persisted++
	c.pending[c.persisted] = pending{change, then}
	c.emit(Persist{c.persisted, change})
}

func (c *Core) confirmed(e Persisted) {
	p, ok := c.pending[e.ID]
	if !ok {
		panic(fmt.Sprintf("master: persisted %d, which was not asked for", e.ID))
	}
	delete(c.pending, e.ID)
	if e.Failure == "" {
		if err := c.registry.Apply(p.change); err != nil {
			panic(fmt.Sprintf("master: the registry accepted what is not possible: %v", err))
		}
	}
	c.showChange(p.change)
	p.then(e.Failure)
}

func (c *Core) emit(o Output) { c.out = append(c.out, o) }

func (c *Core) send(s *session, m proto.Message) {
	if s != nil {
		c.emit(Send{s.id, m})
	}
}

// closeSession ends a session from this side. What it was is forgotten by the caller.
func (c *Core) closeSession(s *session, reason string) {
	delete(c.sessions, s.id)
	c.emit(CloseSession{s.id, reason})
}

// refuse answers a peer that may not do what it wants, and ends its session.
func (c *Core) refuse(s *session, reason string) {
	c.warn("refused %s: %s", or(s.address, "a peer"), reason)
	c.send(s, &wire.Refused{Reason: reason})
	c.closeSession(s, reason)
	switch {
	case s.slave != nil:
		c.slaveDisconnected(s.slave, reason)
	case s.framework != nil:
		c.frameworkDisconnected(s.framework, reason)
	}
}

func (c *Core) note(format string, args ...any) { c.emit(Note{Info, fmt.Sprintf(format, args...)}) }

func (c *Core) warn(format string, args ...any) { c.emit(Note{Warning, fmt.Sprintf(format, args...)}) }

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
