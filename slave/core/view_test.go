package core

import (
	"testing"
	"time"
)

func TestAViewTellsHowLongTheEndOfTheSlaveMayTake(t *testing.T) {
	b := newBench(t)
	for _, step := range []struct {
		line string
		want time.Duration
	}{
		{"born", 0},
		{"recovered", 0},
		{"host connects", 0},
		{"master found", 0},
		{"master registers id=S1 cluster=K", 0},
		{"run f1/t1", DefaultExecutorShutdownGrace},
		{"run f2/t2 executor=e2 grace=1m", time.Minute},
		{"run f2/t3 executor=e3 grace=1s", time.Minute},
		{"kill f2/t2", DefaultExecutorShutdownGrace}, // nothing runs under e2 yet
	} {
		b.command(step.line)
		if got := b.core.View().Grace; got != step.want {
			t.Errorf("after %q: %v, want %v", step.line, got, step.want)
		}
	}
}
