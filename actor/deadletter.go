package actor

import (
	"sync"
	"time"
)

// deadLetterLogs is how many dead letters are logged in a second; the rest are only counted.
const deadLetterLogs = 10

// DeadLetter is a message that was not delivered, or a number of them.
type DeadLetter struct {
	To, From PID
	// Message is nil if it is not known any more.
	Message any
	// Count is how many messages were lost; 1 if Message is known.
	Count  int
	Reason Reason
	Err    error
}

// logLimit lets a bounded number of lines pass in a second.
type logLimit struct {
	mu      sync.Mutex
	since   time.Time
	passed  int
	skipped int
}

// pass reports whether a line may be written now, and how many were not since the last.
func (l *logLimit) pass(now time.Time) (ok bool, skipped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= time.Second {
		l.since, l.passed = now, 0
	}
	if l.passed >= deadLetterLogs {
		l.skipped++
		return false, 0
	}
	l.passed++
	skipped, l.skipped = l.skipped, 0
	return true, skipped
}

func (s *System) deadLetter(d DeadLetter) {
	s.stats.deadLetters.Add(int64(d.Count))
	if s.onDeadLetter != nil {
		s.onDeadLetter(d)
	}
	ok, skipped := s.deadLog.pass(time.Now())
	if !ok {
		return
	}
	line := s.log.Info().Stringer("to", d.To).Stringer("reason", d.Reason).AnErr("error", d.Err)
	if !d.From.IsZero() {
		line = line.Stringer("from", d.From)
	}
	if d.Message != nil {
		line = line.Type("message", d.Message)
	}
	if d.Count != 1 {
		line = line.Int("count", d.Count)
	}
	if skipped > 0 {
		line = line.Int("not_logged", skipped)
	}
	line.Msg("dead letter")
}

// lost makes a dead letter of what could not be put into a mailbox. A question is answered with the failure.
func (s *System) lost(to PID, e envelope, reason Reason, err error) {
	if e.kind == failureMail {
		return
	}
	s.deadLetter(DeadLetter{To: to, From: e.from.pid(), Message: e.message, Count: 1, Reason: reason, Err: err})
	if e.kind == userMail && e.ask != 0 {
		failure := &ExitError{PID: to, Reason: reason, Err: err}
		s.send(e.from.pid(), envelope{message: failure, ask: e.ask, kind: failureMail}, nil)
	}
}
