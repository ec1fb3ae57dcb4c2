package actor

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The defaults of Backoff.
const (
	// DefaultBackoffMin is the pause before the first new life.
	DefaultBackoffMin = 100 * time.Millisecond
	// DefaultBackoffMax is the longest pause between two lives.
	DefaultBackoffMax = 30 * time.Second
	// DefaultBackoffDeaths is how many deaths within DefaultBackoffWithin are too many.
	DefaultBackoffDeaths = 10
	// DefaultBackoffWithin is the time in which deaths are counted.
	DefaultBackoffWithin = 5 * time.Minute
	// backoffJitter is by which part a pause varies at most, so that those who fell together do not get up together.
	backoffJitter = 0.2
)

// Backoff says when an actor that panicked gets a new life: after a pause that doubles with each death.
type Backoff struct {
	// Min is the first pause; 0 means DefaultBackoffMin.
	Min time.Duration
	// Max is the longest pause; 0 means DefaultBackoffMax.
	Max time.Duration
	// Deaths is how many within Within are borne; at one more the parent gives up, by panicking itself. 0 means DefaultBackoffDeaths.
	Deaths int
	// Within is the time in which deaths are counted; 0 means DefaultBackoffWithin.
	Within time.Duration
}

// SpawnOption changes how an actor is spawned.
type SpawnOption func(*spawnOptions)

type spawnOptions struct {
	limit  int
	reborn *Backoff
}

// MailboxLimit bounds how many messages may wait for the actor, instead of the system's limit. It must be positive.
func MailboxLimit(messages int) SpawnOption {
	if messages <= 0 {
		panic(fmt.Sprintf("mailbox limit %d: must be at least 1", messages))
	}
	return func(o *spawnOptions) { o.limit = messages }
}

// Reborn gives an actor that panics a new life: its parent, or the system for a root actor, calls its producer again and spawns the
// result under the same registered name. The parent sees Exited for each life, and Rebirth for each new one. An actor that was
// stopped is not reborn.
func Reborn(b Backoff) SpawnOption {
	if b.Min == 0 {
		b.Min = DefaultBackoffMin
	}
	if b.Max == 0 {
		b.Max = max(DefaultBackoffMax, b.Min)
	}
	if b.Deaths == 0 {
		b.Deaths = DefaultBackoffDeaths
	}
	if b.Within == 0 {
		b.Within = DefaultBackoffWithin
	}
	return func(o *spawnOptions) { o.reborn = &b }
}

// Rebirth tells a parent that a child has a new life.
type Rebirth struct {
	Old, New PID
}

// GaveUpError is the panic of a parent whose child died too often.
type GaveUpError struct {
	PID    PID
	Deaths int
	Within time.Duration
	// Err is how the last life ended.
	Err error
}

// Error says who died how often.
func (e *GaveUpError) Error() string {
	return fmt.Sprintf("%v died %d times within %v, the last time of: %v", e.PID, e.Deaths, e.Within, e.Err)
}

// Unwrap gives the last death.
func (e *GaveUpError) Unwrap() error { return e.Err }

// Child is what Supervise keeps alive.
type Child struct {
	Name    string
	Produce func() Actor
	Backoff Backoff
	Options []SpawnOption
}

// Supervise produces an actor that does nothing but keep its children alive, in the order given.
func Supervise(children ...Child) func() Actor {
	return func() Actor {
		return Func(func(ctx Context) {
			if _, started := ctx.Message().(Started); !started {
				return
			}
			for _, child := range children {
				ctx.Spawn(child.Name, child.Produce, append([]SpawnOption{Reborn(child.Backoff)}, child.Options...)...)
			}
		})
	}
}

// childGone tells a parent, or the system, that an actor has ended.
type childGone struct {
	child  *cell
	reason Reason
	err    error
}

// rebirth follows one child through its lives.
type rebirth struct {
	old    *cell
	deaths []time.Time // those within Backoff.Within, oldest first
	timer  *time.Timer
}

// next counts a death. It returns the pause before the next life, or false if there were too many.
func (r *rebirth) next(now time.Time, b *Backoff) (time.Duration, bool) {
	r.deaths = append(r.deaths, now)
	for now.Sub(r.deaths[0]) > b.Within {
		r.deaths = r.deaths[1:]
	}
	if len(r.deaths) > b.Deaths {
		return 0, false
	}
	pause := b.Min
	for range len(r.deaths) - 1 {
		pause = min(2*pause, b.Max)
	}
	spread := float64(pause) * backoffJitter
	return pause + time.Duration((2*rand.Float64()-1)*spread), true
}

func (r *rebirth) gaveUp(gone *childGone) *GaveUpError {
	b := gone.child.options.reborn
	return &GaveUpError{PID: gone.child.source.PID, Deaths: len(r.deaths), Within: b.Within, Err: gone.err}
}

// childGone forgets a child and starts the back-off before its next life.
func (c *cell) childGone(gone *childGone) {
	key := gone.child.source.PID.key()
	x := c.more()
	delete(x.children, key)
	r := x.rebirths[key]
	delete(x.rebirths, key)
	b := gone.child.options.reborn
	if b == nil || gone.reason != Panicked {
		return
	}
	if r == nil {
		r = &rebirth{}
	}
	r.old = gone.child
	pause, ok := r.next(time.Now(), b)
	if !ok {
		panic(r.gaveUp(gone))
	}
	c.after(pause, envelope{kind: rebirthMail, message: r})
}

// beReborn spawns the next life of a child.
func (c *cell) beReborn(r *rebirth) {
	old := r.old
	child := c.sys.bornAgain(old)
	c.adopt(child)
	if c.extra.rebirths == nil {
		c.extra.rebirths = make(map[PID]*rebirth)
	}
	c.extra.rebirths[child.source.PID.key()] = r
	r.old = nil
	c.hand(Rebirth{Old: old.source.PID, New: child.source.PID}, nil, 0)
}
