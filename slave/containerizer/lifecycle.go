package containerizer

import (
	"fmt"
	"sync"
	"syscall"
)

// State is where a container is in its life.
//
//	Created ─Launch→ Starting ─Execute→ Running ─End→ Stopping ─Clean→ Gone
//	                     └──────Fail, Kill──Kill──────────↗
type State int

// The states, in the only order in which a container passes through them.
const (
	Created  State = iota // accepted; nothing of it exists on the machine
	Starting              // being made; the command does not run yet
	Running               // the command's execve has succeeded
	Stopping              // killed, failed or ended: what is left of it is being removed
	Gone                  // no process, cgroup, mount or state of it remains
)

// Step is something that is done to a container or that happens to it.
type Step int

// The steps.
const (
	Launch  Step = iota // its making begins
	Execute             // the command's execve succeeded
	Fail                // it could not be made
	Signal              // the command is sent a signal
	Measure             // its statistics are asked for
	Kill                // everything in it is killed
	End                 // the command ended
	Clean               // everything of it has been removed
)

var (
	stateNames = [...]string{"created", "starting", "running", "stopping", "gone"}
	stepNames  = [...]string{"launch", "execute", "fail", "signal", "measure", "kill", "end", "clean"}
)

// States lists all states, in order.
func States() []State { return []State{Created, Starting, Running, Stopping, Gone} }

// Steps lists all steps, in order.
func Steps() []Step { return []Step{Launch, Execute, Fail, Signal, Measure, Kill, End, Clean} }

func (s State) String() string { return stateNames[s] }

func (s Step) String() string { return stepNames[s] }

// After is the whole lifecycle: the state that follows s when step is taken, or
// false if the step is forbidden in s.
func (s State) After(step Step) (State, bool) {
	switch s {
	case Created:
		switch step {
		case Launch:
			return Starting, true
		}
	case Starting:
		switch step {
		case Execute:
			return Running, true
		case Fail, Kill:
			return Stopping, true
		}
	case Running:
		switch step {
		case Signal, Measure:
			return Running, true
		case Kill, End:
			return Stopping, true
		}
	case Stopping:
		switch step {
		// A container that was killed still ends, and one that ends is still killed.
		case Kill, End, Fail:
			return Stopping, true
		case Clean:
			return Gone, true
		}
	case Gone:
		switch step {
		case Kill: // nothing is left to kill, which is what was asked for
			return Gone, true
		}
	}
	return s, false
}

// StepError says that a step is forbidden in a state.
type StepError struct {
	State State
	Step  Step
}

func (e *StepError) Error() string {
	return fmt.Sprintf("%s is forbidden while the container is %s", e.Step, e.State)
}

// Life is the state of one container, safe for many goroutines. The zero Life
// is Created.
type Life struct {
	mu     sync.Mutex
	state  State
	killed bool
}

// Take moves on by one step and returns the state before it. It returns
// *StepError, and moves nothing, if the step is forbidden.
func (l *Life) Take(step Step) (State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.state
	next, allowed := before.After(step)
	if !allowed {
		return before, &StepError{State: before, Step: step}
	}
	if step == Kill && before < Stopping {
		l.killed = true
	}
	l.state = next
	return before, nil
}

// MustTake takes a step that only a bug can forbid.
func (l *Life) MustTake(step Step) {
	if _, err := l.Take(step); err != nil {
		panic(err)
	}
}

// State is where the container is now.
func (l *Life) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Killed reports whether Kill, and nothing before it, ended a command that ended
// with status.
func (l *Life) Killed(status syscall.WaitStatus) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.killed && status.Signaled() && status.Signal() == syscall.SIGKILL
}
