package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/mesos/executorpb"
)

func (c *Core) start(now time.Time) {
	if c.state != idle {
		panic("executor core: started twice")
	}
	c.giveUpAt = now.Add(c.config.ConnectTimeout)
	c.connect()
}

// connect begins a new session. All that is not acknowledged goes with it.
func (c *Core) connect() {
	c.state = connecting
	c.session++
	c.retryAt = time.Time{}
	call := c.call(executorpb.Call_SUBSCRIBE)
	call.Subscribe = &executorpb.Call_Subscribe{UnacknowledgedTasks: slices.Clone(c.tasks)}
	for i := range c.updates {
		c.updates[i].told = c.session
		call.Subscribe.UnacknowledgedUpdates = append(call.Subscribe.UnacknowledgedUpdates, c.updates[i].call)
	}
	c.emit(Connect{Session: c.session, Call: call})
}

func (c *Core) becomeSubscribed(info *executorpb.Event_Subscribed) {
	if c.state != connecting {
		return
	}
	c.state = subscribed
	c.attempts, c.giveUpAt = 0, time.Time{}
	if !c.leaving {
		c.err = nil
	}
	c.emit(Subscribed{Info: info, Again: c.known})
	c.known = true
	c.tell(c.updates)
}

// closed is the end of a session, or of the attempt to open one.
func (c *Core) closed(now time.Time, reason string) {
	switch {
	case c.state == subscribed:
		c.emit(Disconnected{Reason: reason})
		if !c.config.Checkpoint {
			c.becomeAdrift(now, fmt.Errorf("%w: %s", ErrLostSlave, reason))
			return
		}
		c.state = connecting
		c.giveUpAt = now.Add(c.config.RecoveryTimeout)
		c.retry(now, reason)
	case c.state == connecting && c.retryAt.IsZero():
		c.retry(now, reason)
	}
}

func (c *Core) retry(now time.Time, reason string) {
	wait := c.config.BackoffMost
	if c.attempts < 16 { // beyond that the shift alone would be hours
		wait = min(wait, RetryFirst<<c.attempts)
	}
	c.attempts++
	c.retryAt = now.Add(wait)
	if !c.known {
		c.err = fmt.Errorf("%w: %s", ErrNoSlave, reason)
	}
}

// giveUp is the end of waiting for a slave.
func (c *Core) giveUp(now time.Time) {
	if c.known {
		c.becomeAdrift(now, fmt.Errorf("%w: it did not come back within %s", ErrLostSlave, c.config.RecoveryTimeout))
		return
	}
	if c.err == nil {
		c.err = fmt.Errorf("%w: no answer", ErrNoSlave)
	}
	c.end(fmt.Errorf("%w, for %s", c.err, c.config.ConnectTimeout))
}

// becomeAdrift is the end of all contact: the tasks have to end, and nobody will hear of it.
func (c *Core) becomeAdrift(now time.Time, err error) {
	c.state = adrift
	c.leave(now, err)
	c.maybeEnd()
}

// refused ends an executor that may not subscribe. Later on it is one call only that was not accepted.
func (c *Core) refused(now time.Time, reason string) {
	if c.state == subscribed {
		c.emit(Denied{Reason: reason})
		return
	}
	err := fmt.Errorf("%w: %s", ErrRefused, reason)
	if c.known {
		c.becomeAdrift(now, err)
		return
	}
	c.end(err)
}
