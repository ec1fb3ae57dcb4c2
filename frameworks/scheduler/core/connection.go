package core

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

const (
	// RetryFirst is the mean wait before the first retry of a connection. The very first attempt has no wait.
	RetryFirst = 100 * time.Millisecond
	// RetryLongest bounds the mean wait between two attempts, which doubles from RetryFirst.
	RetryLongest = 2 * time.Second
	// TeardownTimeout bounds the wait for the master's end of the session after TEARDOWN.
	TeardownTimeout = 2 * time.Second
)

var (
	// ErrNoMaster is what errors wrap when no first connection came about within ConnectTimeout.
	ErrNoMaster = errors.New("no master")
	// ErrLostMaster is what errors wrap when the master stayed away for ReconnectTimeout.
	ErrLostMaster = errors.New("lost the master")
	// ErrRefused is what errors wrap when the master refused the framework or ended its subscription.
	ErrRefused = errors.New("refused by the master")
)

// failure has a text of its own and a kind for errors.Is.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func refused(reason string) error {
	return &failure{ErrRefused, "the master ended the subscription: " + reason}
}

// outage is a time without a master: the one before the first subscription or a later one.
type outage struct {
	cause    string    // why the last session ended; "" before the first subscription
	reason   string    // why the last attempt failed; "" while none has
	told     bool      // the author knows
	attempts int       // that failed
	retryAt  time.Time // zero while an attempt is under way
	giveUpAt time.Time
}

func (c *Core) start(now time.Time) {
	if c.state != idle {
		panic("scheduler core: started twice")
	}
	c.state = connecting
	c.outage = outage{giveUpAt: now.Add(c.config.ConnectTimeout)}
	c.connect()
}

// connect begins a new attempt.
func (c *Core) connect() {
	c.session++
	c.outage.retryAt = time.Time{}
	c.emit(Connect{Session: c.session, Call: &schedulerpb.Call{
		FrameworkId: c.framework.GetId(),
		Type:        schedulerpb.Call_SUBSCRIBE.Enum(),
		Subscribe: &schedulerpb.Call_Subscribe{
			FrameworkInfo:    c.framework,
			SuppressedRoles:  sortedKeys(c.suppressed),
			OfferConstraints: c.config.Constraints,
		},
	}})
}

func (c *Core) becomeSubscribed(now time.Time, s *schedulerpb.Event_Subscribed) {
	if c.state != connecting {
		return
	}
	given := s.GetFrameworkId().GetValue()
	if had := c.FrameworkID(); had != "" && had != given {
		c.end(refused(fmt.Sprintf("it calls framework %q by another id, %q", had, given)))
		return
	}
	again, returning := c.known, c.FrameworkID() != ""
	c.framework.Id = s.GetFrameworkId()
	c.state, c.known, c.outage = subscribed, true, outage{}
	c.emit(Subscribed{FrameworkID: given, Master: s.GetMasterInfo(), Again: again})
	c.catchUp(now, again, returning)
}

// closed takes the end of the current session, or of the attempt at it.
func (c *Core) closed(now time.Time, e Closed) {
	switch c.state {
	case connecting:
		if e.Refused && !c.known {
			c.end(&failure{ErrRefused, fmt.Sprintf("the master at %s: %s", c.config.Master, e.Reason)})
			return
		}
		c.attemptFailed(now, e.Reason)
	case subscribed:
		c.becomeDisconnected(now, e.Reason)
	case leaving:
		c.end(c.stopErr) // the master has understood
	}
}

func (c *Core) attemptFailed(now time.Time, reason string) {
	c.outage.reason = reason
	if !c.outage.told {
		c.outage.told = true
		c.emit(Disconnected{Err: &failure{ErrNoMaster, fmt.Sprintf("no master at %s (%s)", c.config.Master, reason)}})
	}
	wait := min(RetryFirst<<min(c.outage.attempts, 16), RetryLongest)
	c.outage.attempts++
	c.outage.retryAt = now.Add(c.jitter(wait))
}

func (c *Core) becomeDisconnected(now time.Time, reason string) {
	c.state = connecting
	clear(c.offers)
	c.reconcile = reconciliation{}
	c.session++ // nobody's: what the old session may still say is not heard
	c.outage = outage{
		cause: reason, told: true,
		retryAt:  now.Add(c.jitter(RetryFirst)),
		giveUpAt: now.Add(c.config.ReconnectTimeout),
	}
	c.emit(Disconnected{Err: &failure{ErrLostMaster, fmt.Sprintf("lost the master at %s (%s)", c.config.Master, reason)}})
}

func (c *Core) maybeRetry(now time.Time) {
	switch {
	case due(c.outage.giveUpAt, now):
		c.end(c.giveUp())
	case due(c.outage.retryAt, now):
		c.connect()
	}
}

// giveUp says what was tried, for how long, and what to look at.
func (c *Core) giveUp() error {
	reason := c.outage.reason
	if reason == "" {
		reason = "connected, but it does not answer"
	}
	if c.outage.cause == "" {
		return &failure{ErrNoMaster, fmt.Sprintf("no master at %s (%s); is it running? Tried for %s",
			c.config.Master, reason, c.config.ConnectTimeout)}
	}
	return &failure{ErrLostMaster, fmt.Sprintf("lost the master at %s (%s); tried again for %s (%s)",
		c.config.Master, c.outage.cause, c.config.ReconnectTimeout, reason)}
}

// jitter spreads a wait evenly over half to one and a half of it, so that many schedulers of one master do not come
// back in the same instant. The sequence is splitmix64's (Steele, Lea, Flood 2014) from the seed.
func (c *Core) jitter(wait time.Duration) time.Duration {
	c.random += 0x9e3779b97f4a7c15
	z := c.random
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	z ^= z >> 31
	return wait/2 + time.Duration(z%uint64(wait))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
