package hadoop

import (
	"cmp"
	"slices"
	"time"
)

// When a task gets a second attempt while the first still runs.
const (
	// stragglerFactor is how many times longer than the mean of its kind's finished attempts an attempt runs before it
	// is a straggler.
	stragglerFactor = 2
	// stragglerAfter is how long it runs at least: a second attempt may cost a container's start, and what the task reads.
	stragglerAfter = time.Second
	// slowSlaveLate is how often attempts on a slave are late before it counts as slow. One may have had more to do.
	slowSlaveLate = 2
	// lookAgain is how often the shell lets the tracker look at the time.
	lookAgain = 200 * time.Millisecond
)

// pace is how long the finished attempts of a kind took, from when all was there that they needed.
type pace struct {
	count int
	total time.Duration
}

func (c *pace) add(d time.Duration) {
	c.count++
	c.total += d
}

// late says whether an attempt that runs since then is a straggler. As long as nothing has finished there is nothing to
// compare with.
func (c *pace) late(ran time.Duration) bool {
	return c.count > 0 && ran > max(stragglerAfter, stragglerFactor*c.total/time.Duration(c.count))
}

// stragglers are the tasks of a kind that had better have a second attempt: all of their kind have been launched, and
// their only attempt is late. What a reduce waited for maps does not count.
func (p *plan) stragglers(now time.Time, kind taskKind) []*taskState {
	if p.over || p.job.noSpeculation[kind] || p.paces[kind].count == 0 {
		return nil
	}
	var found []*taskState
	for _, a := range p.byID {
		t := a.task
		if t.kind == kind && len(t.tries) == 1 && a.state == launched && !a.ready.IsZero() && p.paces[kind].late(now.Sub(a.ready)) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *taskState) int { return cmp.Compare(a.index, b.index) })
	return found
}

// took notes an attempt that has finished on a slave, late or not.
func (s *slaveInfo) took(now time.Time, late bool) {
	if late {
		s.late, s.lastLate = s.late+1, now
	} else {
		s.late = max(0, s.late-1)
	}
}

// outrun notes that a second attempt elsewhere was faster, with the same to do.
func (s *slaveInfo) outrun(now time.Time) { s.late, s.lastLate = max(slowSlaveLate, s.late), now }
