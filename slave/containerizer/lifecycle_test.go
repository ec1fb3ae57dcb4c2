package containerizer

import (
	"errors"
	"syscall"
	"testing"
)

// forbidden marks a step that can't be taken.
const forbidden State = -1

func TestEveryStepInEveryStateIsAllowedOrForbiddenAsListed(t *testing.T) {
	no := forbidden
	table := map[State]map[Step]State{
		Created:  {Launch: Starting, Execute: no, Fail: no, Signal: no, Measure: no, Kill: no, End: no, Clean: no},
		Starting: {Launch: no, Execute: Running, Fail: Stopping, Signal: no, Measure: no, Kill: Stopping, End: no, Clean: no},
		Running:  {Launch: no, Execute: no, Fail: no, Signal: Running, Measure: Running, Kill: Stopping, End: Stopping, Clean: no},
		Stopping: {Launch: no, Execute: no, Fail: Stopping, Signal: no, Measure: no, Kill: Stopping, End: Stopping, Clean: Gone},
		Gone:     {Launch: no, Execute: no, Fail: no, Signal: no, Measure: no, Kill: Gone, End: no, Clean: no},
	}
	for _, state := range States() {
		for _, step := range Steps() {
			want, listed := table[state][step]
			if !listed {
				t.Errorf("%v in %v is not in the table", step, state)
			}
			got, allowed := state.After(step)
			if !allowed {
				if got != state {
					t.Errorf("the forbidden %v moves %v to %v", step, state, got)
				}
				got = forbidden
			}
			if got != want {
				t.Errorf("%v in %v leads to %d, want %d", step, state, got, want)
			}
		}
	}
}

func TestALifeNeverGoesBack(t *testing.T) {
	for _, state := range States() {
		for _, step := range Steps() {
			if next, _ := state.After(step); next < state {
				t.Errorf("%v goes from %v back to %v", step, state, next)
			}
		}
	}
}

func TestAForbiddenStepIsAnErrorThatNamesStateAndStep(t *testing.T) {
	var life Life
	_, err := life.Take(Clean)
	var wrong *StepError
	if !errors.As(err, &wrong) || wrong.State != Created || wrong.Step != Clean {
		t.Errorf("got %v", err)
	}
	if life.State() != Created {
		t.Errorf("the forbidden step led to %v", life.State())
	}
}

func TestOnlyAKillThatCameFirstIsTheCause(t *testing.T) {
	killed, exited := syscall.WaitStatus(syscall.SIGKILL), syscall.WaitStatus(0)
	for _, one := range []struct {
		name   string
		steps  []Step
		status syscall.WaitStatus
		want   bool
	}{
		{"killed while it ran", []Step{Launch, Execute, Kill, End, Clean}, killed, true},
		{"killed while it started", []Step{Launch, Kill, Fail, Clean}, killed, true},
		{"it had ended already", []Step{Launch, Execute, End, Kill, Clean}, killed, false},
		{"it ended by itself in that moment", []Step{Launch, Execute, Kill, End, Clean}, exited, false},
		{"somebody else killed it", []Step{Launch, Execute, End, Clean}, killed, false},
		{"killed when it was gone", []Step{Launch, Execute, End, Clean, Kill}, killed, false},
	} {
		var life Life
		for _, step := range one.steps {
			life.MustTake(step)
		}
		if got := life.Killed(one.status); got != one.want {
			t.Errorf("%s: got %v", one.name, got)
		}
	}
}
