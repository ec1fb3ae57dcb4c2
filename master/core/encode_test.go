package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// TestOnlyWhatHasChangedIsMarshalledAgain changes a tree of thousands of entries at random. What is made of it must be what
// is made from scratch, and cost as many messages as have changed.
func TestOnlyWhatHasChangedIsMarshalledAgain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var tree btree.Map[string, *mesos.Task]
	var remembered rows[string, *mesos.Task]
	var w work
	name := func() string { return fmt.Sprintf("task%04d", random.IntN(6000)) }
	for round := range 200 {
		changed := map[string]bool{}
		for range random.IntN(20) + 4000*min(1, max(0, 1-round)) {
			switch key := name(); random.IntN(3) {
			case 0:
				tree.Delete(key)
				delete(changed, key)
			default:
				tree.Set(key, &mesos.Task{Name: proto.String(fmt.Sprintf("%s of round %d", key, round))})
				changed[key] = true
			}
		}
		snapshot, before, marshalled := tree.Copy(), remembered.blocks, 0
		remembered.renew(&w, snapshot, sameText, tasksTasks, func(task *mesos.Task) proto.Message { marshalled++; return task })
		if marshalled != len(changed) {
			t.Fatalf("round %d: %d entries were marshalled, want the %d that have changed", round, marshalled, len(changed))
		}
		var got rope
		remembered.addTo(&got)
		answer := &masterpb.Response_GetTasks{}
		if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(slices.Concat(got.parts...), answer); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(answer, &masterpb.Response_GetTasks{Tasks: snapshot.Values()}) {
			t.Fatalf("round %d: what is remembered is not what there is", round)
		}
		if round == 0 {
			continue
		}
		kept := 0
		for _, b := range remembered.blocks {
			if slices.Contains(before, b) {
				kept++
			}
		}
		// A change touches its own block, and that behind it if their border comes or goes.
		if new := len(remembered.blocks) - kept; new > 2*20 || len(remembered.blocks) < 20 {
			t.Fatalf("round %d: %d blocks of %d are new for %d changes", round, new, len(remembered.blocks), len(changed))
		}
	}
}

// BenchmarkEncode measures an answer with everything, with 10,000 slaves that are offered, after one of them has changed.
func BenchmarkEncode(b *testing.B) {
	c, now, offers := benchCluster(b, 10_000)
	var r Reader
	r.Encode(c.View(), masterpb.Call_GET_STATE)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Step(now, Received{1 << 30, decline(offers[fmt.Sprintf("M-S%d", i%10_000)])})
		for c.Deadline().Equal(now) {
			for _, o := range c.Step(now, Tick{}) {
				if s, ok := o.(Send); ok {
					collectOffers(s, offers)
				}
			}
		}
		r.Encode(c.View(), masterpb.Call_GET_STATE)
	}
}
