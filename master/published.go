package master

import (
	"sync/atomic"
	"time"

	"github.com/stoa-project/stoa/master/core"
)

// StepBounds are the upper bounds of the classes in which the times of steps are counted. The last class has none.
var StepBounds = [...]time.Duration{
	10 * time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond,
	500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond,
}

// Published is what a master shows to readers on other goroutines. Reading never stops the master. The zero value shows
// nothing yet.
type Published struct {
	snapshot atomic.Pointer[core.Snapshot]
	classes  [len(StepBounds) + 1]atomic.Uint64
	nanos    atomic.Int64
}

// Snapshot returns the latest numbers; false before there are any. They are at most a tenth of a second old while things
// happen, and as old as the last event when nothing does.
func (p *Published) Snapshot() (core.Snapshot, bool) {
	if s := p.snapshot.Load(); s != nil {
		return *s, true
	}
	return core.Snapshot{}, false
}

// Steps returns how many of the core's steps took at most each of StepBounds, how many there were, and how long all took
// together.
func (p *Published) Steps() (cumulative [len(StepBounds)]uint64, count uint64, sum time.Duration) {
	for i := range p.classes {
		count += p.classes[i].Load()
		if i < len(cumulative) {
			cumulative[i] = count
		}
	}
	return cumulative, count, time.Duration(p.nanos.Load())
}

func (p *Published) set(s core.Snapshot) { p.snapshot.Store(&s) }

func (p *Published) observe(d time.Duration) {
	if p == nil {
		return
	}
	i := 0
	for i < len(StepBounds) && d > StepBounds[i] {
		i++
	}
	p.classes[i].Add(1)
	p.nanos.Add(int64(d))
}
