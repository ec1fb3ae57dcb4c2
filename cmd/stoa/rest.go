package main

import (
	"context"
	"runtime/debug"
	"syscall"
	"time"
)

const (
	// restPeriod is how often a daemon looks whether it has come to rest.
	restPeriod = time.Second
	// restCPU is the most processor time that a daemon at rest uses in a restPeriod: heartbeats and questions.
	restCPU = 20 * time.Millisecond
	// workCPU is how much processor time makes work, after which there is something to give back.
	workCPU = 100 * time.Millisecond
)

// giveBackAtRest gives memory back whenever the daemon comes to rest after work, and after its start: garbage, and the pages of the
// program that it does not use at rest. It is for daemons that are many and mostly idle. It returns when ctx ends.
func giveBackAtRest(ctx context.Context) {
	ticker := time.NewTicker(restPeriod)
	defer ticker.Stop()
	e := effort{tired: true}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if e.comesToRest(ownCPU()) {
			debug.FreeOSMemory()
			forgetProgram()
			e.rested(ownCPU())
		}
	}
}

// effort tells from a daemon's processor time when it comes to rest after work.
type effort struct {
	seen  time.Duration // what had been used when it was last looked at
	spent time.Duration // since it last rested
	tired bool          // it has worked since
}

// comesToRest takes the processor time used so far, once a restPeriod, and tells whether there is something to give back.
func (e *effort) comesToRest(used time.Duration) bool {
	recent := used - e.seen
	e.seen, e.spent = used, e.spent+recent
	e.tired = e.tired || e.spent >= workCPU
	return e.tired && recent <= restCPU
}

// rested begins anew: the rest has cost processor time itself.
func (e *effort) rested(used time.Duration) { *e = effort{seen: used} }

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // nobody knows: at rest for ever
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
