package main

import (
	"testing"
	"time"
)

func TestADaemonGivesBackWhenItComesToRestAfterWork(t *testing.T) {
	const price, kept = 40 * time.Millisecond, 20 << 20
	var e effort
	var used time.Duration
	for i, second := range []struct {
		spends time.Duration
		grown  int64
		rests  bool
	}{
		{80 * time.Millisecond, 0, false}, // it starts
		{restCPU, 0, true},
		{restCPU / 2, 0, false},       // nothing to give back
		{workPrice * price, 0, false}, // it works
		{restCPU + 1, 0, false},
		{restCPU, 0, true},
		{workPrice*price - 2*restCPU, 0, false},
		{restCPU, 0, false}, // not worth it yet
		{restCPU, 0, true},  // small things add up
		{0, 0, false},
		{price - restCPU, restGrowth, false}, // a little work takes much memory
		{restCPU, restGrowth - 1, false},
		{0, restGrowth, true},
		{price - 1, restGrowth, false}, // it works again
		{0, restGrowth, false},         // what it costs must be worth it
		{1, restGrowth, true},
	} {
		used += second.spends
		if got := e.comesToRest(used, kept+second.grown); got != second.rests {
			t.Errorf("second %d, %v more: rests %v, want %v", i, second.spends, got, second.rests)
		} else if got {
			used += price
			e.gaveBack(used, kept)
		}
	}
}
