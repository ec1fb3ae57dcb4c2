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
	restCPU = 10 * time.Millisecond
	// workCPU is how much processor time makes work, after which there is something to give back …
	workCPU = 20 * time.Millisecond
	// … or this many times what it took to give back the last time, if that is more …
	workPrice = 4
	// … or once that if so many bytes more are resident than after the last time.
	restGrowth = 8 << 20
)

// giveBackAtRest gives memory back whenever the daemon comes to rest after work, and after its start: garbage, and the
// pages of the program that it does not use at rest. It is for daemons that are many and mostly idle. It returns when ctx
// ends.
func giveBackAtRest(ctx context.Context) {
	ticker := time.NewTicker(restPeriod)
	defer ticker.Stop()
	var e effort
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if e.comesToRest(ownCPU(), residentBytes()) {
			debug.FreeOSMemory()
			forgetProgram()
			e.gaveBack(ownCPU(), residentBytes())
		}
	}
}

// effort tells from a daemon's processor time and memory when it comes to rest after work. The zero effort is that of a process that
// has just begun.
type effort struct {
	seen  time.Duration // what had been used when it was last looked at
	spent time.Duration // since it last gave back
	price time.Duration // of giving back, the last time
	kept  int64         // bytes that were resident then
}

// comesToRest takes the processor time used so far and the bytes that are resident, once a restPeriod, and tells whether
// there is something to give back.
func (e *effort) comesToRest(used time.Duration, resident int64) bool {
	recent := used - e.seen
	e.seen, e.spent = used, e.spent+recent
	worked := e.spent >= max(workCPU, workPrice*e.price)
	grown := resident >= e.kept+restGrowth && e.spent >= e.price
	return recent <= restCPU && (worked || grown)
}

// gaveBack takes the same after memory has been given back.
func (e *effort) gaveBack(used time.Duration, resident int64) {
	*e = effort{seen: used, price: used - e.seen, kept: resident}
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // nobody knows: at rest for ever
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
