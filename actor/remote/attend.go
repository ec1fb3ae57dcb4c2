package remote

import (
	"time"

	"github.com/stoa-project/stoa/actor"
)

// attendTimeout is how long a session's reader may be occupied with an actor that it runs. Then another goroutine takes its place, so
// that an actor which is slow delays nobody else's messages for longer than twice that.
const attendTimeout = 10 * time.Millisecond

// attendance is how a session's reader runs actors itself, and is replaced if one of them takes long.
type attendance struct {
	turn    uint64 // of the goroutine that is the reader
	actors  uint64 // that a reader has run, or runs
	running bool   // the last of them is running
	seen    uint64 // actors when guard was last due
	guard   *time.Timer
	guarded bool // guard will be due
}

// beginTurn makes the caller the session's reader.
func (s *session) beginTurn() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attendance.turn
}

// isTurn reports whether a goroutine is still the reader.
func (s *session) isTurn(turn uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attendance.turn == turn
}

// attend runs an actor; false if the caller is not the reader any more. From here on until then s.in may be another goroutine's.
func (s *session) attend(sleeper actor.Sleeper, turn uint64) bool {
	s.mu.Lock()
	a := &s.attendance
	a.actors++
	a.running = true
	if !a.guarded {
		a.guarded, a.seen = true, 0
		if a.guard == nil {
			a.guard = time.AfterFunc(attendTimeout, s.relieve)
		} else {
			a.guard.Reset(attendTimeout)
		}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		if a.turn == turn {
			a.running = false
		}
		s.mu.Unlock()
	}()
	sleeper.Run()
	return s.isTurn(turn)
}

// relieve is called from time to time while the reader runs actors. It makes another goroutine the reader if the same one has been
// running since the last time.
func (s *session) relieve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.attendance
	switch {
	case a.actors == a.seen && !a.running: // nothing has happened
		a.guarded = false
		return
	case a.actors == a.seen:
		a.turn++
		a.running = false
		s.remote.running.Go(s.readAll)
	}
	a.seen = a.actors
	a.guard.Reset(attendTimeout)
}
