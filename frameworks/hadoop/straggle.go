package hadoop

import "time"

// When a task gets a second attempt while the first still runs.
const (
	// stragglerFactor is how many times longer than the mean of its kind's finished attempts an attempt runs before it
	// is a straggler.
	stragglerFactor = 2
	// stragglerAfter is how long it runs at least: a second attempt costs a container's start and what the task reads.
	stragglerAfter = 2 * time.Second
	// lookAgain is how often the shell lets the plan look for stragglers.
	lookAgain = 500 * time.Millisecond
)

// pace is how long the finished attempts of a kind took, from launch to finish.
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

// stragglers are the tasks that had better have a second attempt: all of their kind have been launched, and their only
// attempt is late.
func (p *plan) stragglers(now time.Time) []*taskState {
	tasks := p.maps
	if all(p.maps, done) {
		tasks = p.reduces
	}
	if p.over || len(tasks) == 0 || p.job.noSpeculation[tasks[0].kind] || count(tasks, pending) > 0 {
		return nil
	}
	var found []*taskState
	for _, t := range tasks {
		if len(t.tries) == 1 && t.tries[0].state == launched && p.paces[t.kind].late(now.Sub(t.tries[0].since)) {
			found = append(found, t)
		}
	}
	return found
}
