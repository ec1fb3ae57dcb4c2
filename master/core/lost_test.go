package core

import (
	"testing"
	"time"
)

// A framework that goes with offers of a large cluster in its hands stops nobody: they return in short steps.
func TestTheOffersOfAFrameworkThatGoesReturnInPieces(t *testing.T) {
	const slaves = 5*maxLostPerStep + 1
	c, now, offers := benchCluster(t, slaves)
	accepted := offers["M-S0"]
	step := func(e Event) []Output {
		before := len(c.offers)
		out := c.Step(now, e)
		if gone := before - len(c.offers); gone > maxLostPerStep {
			t.Fatalf("%T took back %d offers, want at most %d", e, gone, maxLostPerStep)
		}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	step(SessionClosed{Session: 1 << 30, Reason: "connection lost"})
	if left := len(c.offers); left != slaves-maxLostPerStep {
		t.Fatalf("%d offers are open behind the first step, want %d", left, slaves-maxLostPerStep)
	}
	if id := accepted.GetId().GetValue(); c.offers[id] != nil && c.offers[id].isHeld() {
		t.Errorf("offer %s is still held", id)
	}
	steps := 1
	for ; c.Deadline().Equal(now); steps++ {
		step(Tick{})
	}
	if left := len(c.offers); left > 0 || steps < slaves/maxLostPerStep {
		t.Errorf("%d offers are open after %d steps", left, steps)
	}
	if total, used, offered := c.allocator.Quantities(); len(offered) > 0 || len(used) > 0 || len(total) == 0 {
		t.Errorf("of %v is used %v and offered %v", total, used, offered)
	}
	if next := c.Deadline(); !next.IsZero() && next.Before(now.Add(time.Second)) {
		t.Errorf("the core wants a tick at %v, now is %v", next, now)
	}
}
