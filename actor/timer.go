package actor

import "time"

// Timer is a message that comes later. Its zero value has come already.
type Timer struct {
	cell  *cell
	state *timerState
}

type timerState struct {
	timer *time.Timer
	mail  envelope
}

// After implements Context.
func (c *cell) After(d time.Duration, m any) Timer {
	return c.after(d, envelope{message: m})
}

// after has mail received after d.
func (c *cell) after(d time.Duration, mail envelope) Timer {
	x := c.more()
	if x.timers == nil {
		x.timers = make(map[*timerState]struct{})
	}
	state := &timerState{mail: mail}
	x.timers[state] = struct{}{}
	state.timer = time.AfterFunc(d, func() { c.box.post(envelope{kind: timerMail, message: state}) })
	return Timer{cell: c, state: state}
}

// Cancel takes the message back: it is not delivered after Cancel has returned. It must be called by the actor that made the
// timer; cancelling twice, or too late, does nothing.
func (t Timer) Cancel() {
	if t.state == nil || t.cell.extra == nil {
		return
	}
	t.state.timer.Stop()
	delete(t.cell.extra.timers, t.state)
}

// WakeAt implements Context.
func (c *cell) WakeAt(t time.Time) {
	x := c.more()
	if t.Equal(x.wakeAt) {
		return
	}
	x.wake.Cancel()
	x.wake, x.wakeAt = Timer{}, t
	if !t.IsZero() {
		x.wake = c.after(time.Until(t), envelope{kind: wakeMail})
	}
}

func (c *cell) timerFired(state *timerState) {
	if _, waits := c.more().timers[state]; waits {
		delete(c.extra.timers, state)
		c.receive(state.mail)
	}
}
