// Package core decides everything that an executor's driver has to decide: when to subscribe, what to tell the slave
// again after an outage, when to give up. It is plain data: no goroutine, no clock, no network.
//
//	Start ─▶ connecting ──SUBSCRIBED──▶ subscribed ──Closed──▶ connecting (outage; only with Checkpoint) ─▶ subscribed
//	             │ ConnectTimeout           │ SHUTDOWN, ERROR       │ RecoveryTimeout
//	             ▼                          ▼                       ▼
//	           ended ◀──── Stop, or the grace period is over ──── leaving
//
// Each attempt to subscribe is a Session of its own, numbered upwards: what an older session still says is not heard.
//
// # Updates
//
// The core gives each update its uuid, which contains the executor's incarnation, and keeps it until the slave
// acknowledges it. In a new session the SUBSCRIBE call carries all that are kept, in their order, and the tasks of
// which the slave has acknowledged no update yet. So an update reaches the slave at least once.
//
// # The end
//
// An executor leaves when its author says Stop, or when the slave does: by SHUTDOWN, by ERROR, or by staying away.
// Then the author is told by Shutdown, once, and the grace period begins. The core has Ended when the author has said
// Stop and every update is acknowledged (or nobody is left to acknowledge it), at the latest with the grace period; an
// author that says Stop unasked waits for a slave that is away as long as it would have without Stop.
package core

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
)

// Defaults of Config.
const (
	// DefaultShutdownGrace is Mesos's 5 s.
	DefaultShutdownGrace = 5 * time.Second
	// DefaultRecoveryTimeout is Mesos's 15 min.
	DefaultRecoveryTimeout = 15 * time.Minute
	// DefaultBackoffMost is Mesos's 2 s.
	DefaultBackoffMost = 2 * time.Second
	// DefaultConnectTimeout bounds the first subscription: the slave that started the executor listens already.
	DefaultConnectTimeout = 10 * time.Second
)

// MaxUnacknowledged bounds the updates that are kept for a slave that does not acknowledge: the same number at which
// the slave gives up on an executor.
const MaxUnacknowledged = 4096

// RetryFirst is the wait before the first retry of a subscription. It doubles with each one that fails, up to
// Config.BackoffMost.
const RetryFirst = 100 * time.Millisecond

var (
	// ErrNoSlave is what errors wrap when no first subscription came about within ConnectTimeout.
	ErrNoSlave = errors.New("no slave")
	// ErrLostSlave is what errors wrap when the slave went away and did not come back in time.
	ErrLostSlave = errors.New("lost the slave")
	// ErrRefused is what errors wrap when the slave does not want this executor.
	ErrRefused = errors.New("refused by the slave")
	// ErrTooManyUpdates is what errors wrap when MaxUnacknowledged is passed.
	ErrTooManyUpdates = errors.New("too many unacknowledged updates")
)

// Session is one attempt to subscribe and, if it succeeds, the subscription that follows. 0 is none.
type Session uint64

// Config is what a core is born with. Zero durations stand for their defaults.
type Config struct {
	FrameworkID, ExecutorID string
	// Incarnation of this life of the executor, drawn at random: uuids contain it.
	Incarnation uint64
	// Checkpoint: the executor outlives its slave for RecoveryTimeout, and subscribes anew when the slave is back.
	Checkpoint      bool
	RecoveryTimeout time.Duration
	// BackoffMost bounds the wait between two attempts to subscribe.
	BackoffMost time.Duration
	// ConnectTimeout bounds the first subscription.
	ConnectTimeout time.Duration
	// ShutdownGrace is how long the executor may take to end after it was told to.
	ShutdownGrace time.Duration
}

func (c Config) withDefaults() Config {
	c.RecoveryTimeout = cmp.Or(c.RecoveryTimeout, DefaultRecoveryTimeout)
	c.BackoffMost = cmp.Or(c.BackoffMost, DefaultBackoffMost)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, DefaultConnectTimeout)
	c.ShutdownGrace = cmp.Or(c.ShutdownGrace, DefaultShutdownGrace)
	return c
}

type state int

const (
	idle state = iota
	connecting
	subscribed
	adrift // the slave is gone for good
	ended
)

// Core is the memory of an executor's driver. New makes one.
type Core struct {
	config   Config
	state    state
	session  Session
	known    bool // a slave has confirmed the executor in this life
	attempts int  // to subscribe that failed since the last success

	retryAt  time.Time // zero while an attempt is under way
	giveUpAt time.Time // of connecting

	leaving bool // Shutdown was output
	stopped bool // the author has said Stop
	endBy   time.Time
	err     error // with which it will end

	tasks   []*mesos.TaskInfo // of which no update is acknowledged yet, in the order of LAUNCH
	updates []kept            // not acknowledged, in their order
	counter uint64            // of uuids
	out     []Output
}

// New makes a core that waits for Start.
func New(config Config) *Core { return &Core{config: config.withDefaults()} }

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
			c.received(now, e.Event)
		}
	case Refused:
		if e.Session == c.session {
			c.refused(now, e.Reason)
		}
	case Closed:
		if e.Session == c.session {
			c.closed(now, e.Reason)
		}
	case Update:
		c.update(now, e.Status)
	case Message:
		c.message(e.Data)
	case Leave:
		c.leave(now, nil)
	case Stop:
		c.stop(now)
	case Tick:
	default:
		panic(fmt.Sprintf("executor core: event %T", event))
	}
	c.ring(now)
}

// ring does what is due.
func (c *Core) ring(now time.Time) {
	due := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	if c.state == connecting && due(c.giveUpAt) {
		c.giveUp(now)
	}
	if c.state == connecting && due(c.retryAt) {
		c.connect()
	}
	if c.state != ended && due(c.endBy) {
		c.end(c.err)
	}
}

// Deadline is when the core next wants a Step, at the latest; zero if it waits for nothing but events.
func (c *Core) Deadline() time.Time {
	var next time.Time
	soonest := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if c.state == connecting {
		soonest(c.retryAt)
		soonest(c.giveUpAt)
	}
	if c.state != ended {
		soonest(c.endBy)
	}
	return next
}

// Unacknowledged is the number of updates that the slave has not acknowledged yet.
func (c *Core) Unacknowledged() int { return len(c.updates) }

// received handles what the slave says.
func (c *Core) received(now time.Time, e *executorpb.Event) {
	switch e.GetType() {
	case executorpb.Event_SUBSCRIBED:
		c.becomeSubscribed(e.GetSubscribed())
	case executorpb.Event_LAUNCH:
		c.launch(e.GetLaunch().GetTask())
	case executorpb.Event_LAUNCH_GROUP:
		for _, task := range e.GetLaunchGroup().GetTaskGroup().GetTasks() {
			c.launch(task)
		}
	case executorpb.Event_KILL:
		c.emit(Kill{TaskID: e.GetKill().GetTaskId().GetValue(), Policy: e.GetKill().GetKillPolicy()})
	case executorpb.Event_ACKNOWLEDGED:
		c.acknowledged(e.GetAcknowledged())
	case executorpb.Event_MESSAGE:
		c.emit(Heard{Data: e.GetMessage().GetData()})
	case executorpb.Event_SHUTDOWN:
		c.leave(now, nil)
	case executorpb.Event_ERROR:
		c.leave(now, fmt.Errorf("%w: %s", ErrRefused, e.GetError().GetMessage()))
	case executorpb.Event_HEARTBEAT:
		// The connection itself notices a silent slave.
	default:
		// A newer slave says more than this executor understands.
	}
}

func (c *Core) launch(task *mesos.TaskInfo) {
	c.tasks = append(c.tasks, task)
	c.emit(Launch{Task: task})
}

// leave tells the author to end, once, and gives it the grace period.
func (c *Core) leave(now time.Time, err error) {
	if c.err == nil {
		c.err = err
	}
	if c.leaving {
		return
	}
	c.leaving = true
	c.endWithin(now, c.config.ShutdownGrace)
	c.emit(Shutdown{Grace: c.config.ShutdownGrace})
}

// stop gives the slave the time to acknowledge what it was told; one that may come back has the time to do so.
func (c *Core) stop(now time.Time) {
	c.stopped = true
	if c.config.Checkpoint && !c.leaving {
		c.endWithin(now, c.config.RecoveryTimeout)
	} else {
		c.endWithin(now, c.config.ShutdownGrace)
	}
	c.maybeEnd()
}

func (c *Core) endWithin(now time.Time, d time.Duration) {
	if by := now.Add(d); c.endBy.IsZero() || by.Before(c.endBy) {
		c.endBy = by
	}
}

// maybeEnd ends an executor that has nothing more to do and nothing more to tell.
func (c *Core) maybeEnd() {
	if c.stopped && (len(c.updates) == 0 || c.state == adrift) {
		c.end(c.err)
	}
}

func (c *Core) end(err error) {
	if c.state == connecting || c.state == subscribed {
		c.emit(HangUp{Session: c.session})
	}
	c.state = ended
	c.emit(Ended{Err: err})
}

func (c *Core) emit(o Output) { c.out = append(c.out, o) }

func (c *Core) call(kind executorpb.Call_Type) *executorpb.Call {
	return &executorpb.Call{
		ExecutorId:  &mesos.ExecutorID{Value: proto.String(c.config.ExecutorID)},
		FrameworkId: &mesos.FrameworkID{Value: proto.String(c.config.FrameworkID)},
		Type:        kind.Enum(),
	}
}
