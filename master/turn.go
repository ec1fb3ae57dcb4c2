package master

import (
	"runtime"
	"time"
)

// turnLength is how long an actor of the master works at a stretch. Then it lets others have its processor: those who pass on
// what it has just said among them. Left alone the runtime lets it go on for 10 ms, and 20 ms are not rare.
const turnLength = 500 * time.Microsecond

// turn is how long an actor has worked since it last let others work. It belongs to the actor's goroutine.
type turn struct{ taken time.Duration }

// took counts work.
func (t *turn) took(d time.Duration) {
	if t.taken += d; t.taken >= turnLength {
		t.taken = 0
		runtime.Gosched()
	}
}
