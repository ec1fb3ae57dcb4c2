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
	view    atomic.Pointer[core.View]
	classes [len(StepBounds) + 1]atomic.Uint64
	nanos   atomic.Int64
	delayed atomic.Uint64
}

// Snapshot returns the latest numbers; false before there are any. They are at most a tenth of a second old while things
// happen, and as old as the last event when nothing does.
func (p *Published) Snapshot() (core.Snapshot, bool) {
	if v := p.view.Load(); v != nil {
		return v.Snapshot, true
	}
	return core.Snapshot{}, false
}

// View returns the latest view of everything, as old as the numbers; nil before there is any. A core.Reader makes answers
// of it.
func (p *Published) View() *core.View { return p.view.Load() }

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

func (p *Published) set(v *core.View) { p.view.Store(v) }

// Delayed returns how often a scheduler's calls had to wait because it calls more often than it may.
func (p *Published) Delayed() uint64 { return p.delayed.Load() }

func (p *Published) delay() {
	if p != nil {
		p.delayed.Add(1)
	}
}

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
