package main

import (
	"testing"
	"time"
)

func TestADaemonGivesBackWhenItComesToRestAfterWork(t *testing.T) {
	const price = 40 * time.Millisecond
	var e effort
	var used time.Duration
	for i, second := range []struct {
		spends time.Duration
		rests  bool
	}{
		{80 * time.Millisecond, false}, // it starts
		{restCPU, true},
		{restCPU / 2, false},       // nothing to give back
		{workPrice * price, false}, // it works
		{restCPU + 1, false},
		{restCPU, true},
		{workPrice*price - 2*restCPU, false},
		{restCPU, false}, // not worth it yet
		{restCPU, true},  // small things add up
		{0, false},
	} {
		used += second.spends
		if got := e.comesToRest(used); got != second.rests {
			t.Errorf("second %d, %v more: rests %v, want %v", i, second.spends, got, second.rests)
		} else if got {
			used += price
			e.gaveBack(used)
		}
	}
}
