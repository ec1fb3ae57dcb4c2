package core

import "time"

// garbage is the sandbox of an executor that has ended.
type garbage struct {
	directory string
	at        time.Time // when it is to be removed
}

// collect plans the removal of a sandbox. People want to read logs for a while; Mesos gives them a week.
func (c *Core) collect(directory string) {
	if directory == "" {
		return
	}
	c.gc = append(c.gc, garbage{directory, c.now.Add(c.config.GCDelay)})
	for len(c.gc) > MaxSandboxes {
		c.removeOldest()
	}
	if len(c.gc) == 1 {
		c.planRemoval()
	}
}

// planRemoval sets the timer for the oldest sandbox: as all wait equally long, it is the first to go.
func (c *Core) planRemoval() {
	c.timers.stop(c.gcTimer)
	if len(c.gc) > 0 {
		c.gcTimer = c.timers.after(c.gc[0].at, func() {
			c.removeOldest()
			c.planRemoval()
		})
	}
}

func (c *Core) removeOldest() {
	c.emit(RemoveSandbox{c.gc[0].directory})
	c.gc[0] = garbage{}
	c.gc = c.gc[1:]
}
