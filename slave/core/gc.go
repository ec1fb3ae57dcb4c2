package core

import (
	"slices"
	"time"
)

// Garbage is the sandbox of an executor that has ended.
type Garbage struct {
	Directory string
	Since     time.Time // when the executor ended, or the sandbox could not be removed
}

// Collection is what there is to know about sandboxes whose time will come. People want to read logs for a while, as far
// as there is room. The rule is Mesos's: a sandbox is kept for Delay × (1 − Headroom − Use), and until the disk was looked
// at for Delay; but for MinSandboxAge at least.
type Collection struct {
	Delay     time.Duration
	Headroom  float64   // a part of the disk, from 0 to 1
	Measured  bool      // Use is known
	Use       float64   // the part of the disk that was in use at the last look, from 0 to 1
	Sandboxes []Garbage // oldest first; an entry is never changed
}

// MaxAge is how long a sandbox is kept now.
func (c Collection) MaxAge() time.Duration {
	if !c.Measured {
		return c.Delay
	}
	age := time.Duration(float64(c.Delay) * max(0, 1-c.Headroom-c.Use))
	return max(age, min(c.Delay, MinSandboxAge))
}

// Due is how many of the oldest sandboxes are to go at a time: those that are too old, and those that are too many.
func (c Collection) Due(now time.Time) int {
	oldest := now.Add(-c.MaxAge())
	young := slices.IndexFunc(c.Sandboxes, func(g Garbage) bool { return g.Since.After(oldest) })
	if young < 0 {
		young = len(c.Sandboxes)
	}
	return max(young, len(c.Sandboxes)-MaxSandboxes)
}

// collect plans the removal of a sandbox whose executor has ended.
func (c *Core) collect(directory string) {
	if directory == "" {
		return
	}
	c.gc.Sandboxes = append(c.gc.Sandboxes, Garbage{directory, c.now})
	c.removeDue()
}

// adopt plans the removal of the sandboxes of earlier lives, but for those whose executors run.
func (c *Core) adopt(found []Garbage) {
	lives := map[string]bool{}
	for _, ex := range c.containers {
		lives[ex.directory] = true
	}
	for _, g := range found {
		if g.Since.After(c.now) {
			g.Since = c.now // clocks are set back
		}
		if !lives[g.Directory] {
			c.gc.Sandboxes = append(c.gc.Sandboxes, g)
		}
	}
	slices.SortStableFunc(c.gc.Sandboxes, func(a, b Garbage) int { return a.Since.Compare(b.Since) })
	c.removeDue()
}

// diskMeasured lets the plan follow the use of the disk.
func (c *Core) diskMeasured(use float64) {
	c.gc.Measured, c.gc.Use = true, min(max(0, use), 1)
	c.removeDue()
}

// sandboxStays plans to try again when as much time has passed as a sandbox is kept: what is in the way may be gone then. Where
// there is no room for it in the plan it waits for the slave's next life.
func (c *Core) sandboxStays(directory string) {
	if len(c.gc.Sandboxes) < MaxSandboxes {
		c.collect(directory)
	}
}

// removeDue removes what is due and sets the timer for what comes next.
func (c *Core) removeDue() {
	n := c.gc.Due(c.now)
	for _, g := range c.gc.Sandboxes[:n] {
		c.emit(RemoveSandbox{g.Directory})
	}
	c.gc.Sandboxes = c.gc.Sandboxes[n:]
	c.timers.stop(c.gcTimer)
	if len(c.gc.Sandboxes) > 0 {
		c.gcTimer = c.timers.after(c.gc.Sandboxes[0].Since.Add(c.gc.MaxAge()), c.removeDue)
	}
}
