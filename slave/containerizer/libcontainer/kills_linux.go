//go:build cgo

package libcontainer

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The kernel counts whom it kills for want of memory, and does not say when that was. A shell may go on for days without a
// child that was killed, and what it fails of then is something else. So the host looks while containers run: one number of the
// whole machine, and only if that has changed those of the containers.

const (
	// killLook is the time between two looks at how many processes the machine has killed.
	killLook = 250 * time.Millisecond

	// killReach is the longest time from a kill to the end of a command that is told as its consequence, beside the time
	// that the kernel takes to give memory back and killLook, within which the kill is known to have been.
	killReach = time.Second

	// killPassedOn is the same for a command whose exit status is that of a killed process, as a shell passes it on: it may
	// have cleaned up before. killedStatus is that status.
	killPassedOn = time.Minute
	killedStatus = 128 + int(syscall.SIGKILL)

	// teardownRate is how fast the kernel at least gives back what a killed process had, in bytes per second, on a machine
	// that is busy: alone, pages of 4 KiB go at some 9 GB per second.
	teardownRate = 1 << 30
)

// kills is what is known of the processes of one container that the kernel killed for want of memory.
type kills struct {
	mu    sync.Mutex
	count int64
	last  time.Time // when the last was seen
}

// seen notes how many there were at a time.
func (k *kills) seen(count int64, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if count > k.count {
		k.count, k.last = count, at
	}
}

// ended reports whether a command with a limit of memory in bytes that ended with status at a time ended by a kill.
func (k *kills) ended(status syscall.WaitStatus, at time.Time, memoryLimit int64) bool {
	if status == 0 {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	reach := killReach
	if status.ExitStatus() == killedStatus {
		reach = killPassedOn
	}
	reach += time.Duration(memoryLimit/teardownRate) * time.Second
	return k.count > 0 && at.Sub(k.last) <= reach
}

// killWatch looks for kills as long as containers run. c.mu is held by who begins and ends it.
type killWatch struct {
	timer *time.Timer // nil: no container has run yet
	kills [2]int64    // of the machine at the last two looks
}

// watchKills begins to look, unless somebody does. c.mu is held.
func (c *Containerizer) watchKills() {
	if len(c.running) != 1 {
		return
	}
	if c.watch.timer == nil {
		c.watch.timer = time.AfterFunc(killLook, c.lookForKills)
	} else {
		c.watch.timer.Reset(killLook)
	}
}

// lookForKills is one look.
func (c *Containerizer) lookForKills() {
	now, kills := time.Now(), machineKills()
	c.mu.Lock()
	if len(c.running) == 0 {
		c.mu.Unlock()
		return
	}
	// The kernel counts for the machine first: a container's count may come too late for the look that sees that.
	changed := kills < 0 || kills != c.watch.kills[0] || c.watch.kills[0] != c.watch.kills[1]
	c.watch.kills = [2]int64{kills, c.watch.kills[0]}
	var running []*container
	if changed {
		for _, one := range c.running {
			running = append(running, one)
		}
	}
	c.watch.timer.Reset(killLook)
	c.mu.Unlock()
	for _, one := range running {
		if !one.executed.Load() {
			continue
		}
		if count, err := one.account.oomKills(); err == nil { // else it is gone
			one.kills.seen(count, now)
		}
	}
}

// machineKills is how many processes the kernel has killed for want of memory since its start, in containers or not; -1 if it
// does not say.
func machineKills() int64 {
	data, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(data)) {
		if text, found := strings.CutPrefix(line, "oom_kill "); found {
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1 // an older kernel
}
