package main

import (
	"testing"
	"time"
)

func TestADaemonGivesBackWhenItComesToRestAfterWork(t *testing.T) {
	var e effort
	e.tired = true // by its start
	var used time.Duration
	for i, second := range []struct {
		spends time.Duration
		rests  bool
	}{
		{80 * time.Millisecond, false}, // it still starts
		{restCPU, true},
		{restCPU / 2, false}, // nothing to give back
		{workCPU, false},     // it works
		{workCPU, false},
		{restCPU / 2, true},
		{restCPU, false}, {restCPU, false}, {restCPU, false}, {restCPU, false}, // small things add up …
		{restCPU, true}, // … to workCPU
		{0, false},
	} {
		used += second.spends
		if got := e.comesToRest(used); got != second.rests {
			t.Errorf("second %d, %v more: rests %v, want %v", i, second.spends, got, second.rests)
		} else if got {
			used += 40 * time.Millisecond // what giving back takes is no work
			e.rested(used)
		}
	}
}
