package hadoop

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

// earlyScript is a script of a job in executors whose reduces may start when so large a part of the maps is done.
func earlyScript(t *testing.T, maps, reduces int, slowStart float64) *script {
	t.Helper()
	s := newScript(t, maps, reduces)
	s.plan.job.containers, s.plan.job.slowStart = false, slowStart
	s.step(subscribed{"F"})
	return s
}

// mapDone ends an attempt at a map well.
func (s *script) mapDone(id string) string {
	s.t.Helper()
	return s.step(finishedBy(s.t, id, &jobpb.Outcome{Port: 7, Path: "/secret/" + id + "/", Map: parts(s.plan.job.reduces)}))
}

func (s *script) running(id string) string {
	return s.step(status(id, mesos.TaskState_TASK_RUNNING, ""))
}

// reduceOrder is the order of the first task that the last step launched.
func (s *script) reduceOrder() *taskpb.ReduceTask {
	s.t.Helper()
	order := &jobpb.Order{}
	if err := proto.Unmarshal(s.ops[0].(launch).tasks[0].GetData(), order); err != nil {
		s.t.Fatal(err)
	}
	return order.GetReduce()
}

func (s *script) same(got, want string) {
	s.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestAReduceStartsWhileMapsRunAndIsFedWithWhatTheyMake(t *testing.T) {
	s := earlyScript(t, 4, 1, 0.5)
	s.plan.job.noSpeculation[mapKind] = true
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 4)}}, "launch on s1: map-00000-0 map-00001-0 map-00002-0 map-00003-0; suppress")
	s.same(s.mapDone("map-00002-0"), "")
	s.same(s.mapDone("map-00000-0"), "revive")
	s.expect(offered{[]*scheduler.Offer{s.offer("s2", 1)}}, "launch on s2: reduce-00000-0; suppress")
	order := s.reduceOrder()
	if order.GetMaps() != 4 || order.GetFed() != 2 || tellOutputs(order.GetInputs()) != "map-00000-0 map-00002-0" {
		t.Errorf("the order has %s of %d maps, %d of them by their order", tellOutputs(order.GetInputs()), order.GetMaps(), order.GetFed())
	}
	s.now = s.now.Add(time.Minute)
	s.same(s.mapDone("map-00003-0"), "") // it may not have an executor yet that listens
	s.same(s.running("reduce-00000-0"), "feed reduce-00000-0 from 2: map-00003-0")
	s.now = s.now.Add(feedAgain - time.Millisecond)
	s.expect(ticked{}, "")
	s.now = s.now.Add(time.Millisecond)
	s.expect(ticked{}, "feed reduce-00000-0 from 2: map-00003-0") // nobody has answered
	s.expect(fed{"reduce-00000-0", 3}, "")
	s.now = s.now.Add(time.Minute)
	s.expect(ticked{}, "")
	s.same(s.mapDone("map-00001-0"), "feed reduce-00000-0 from 3: map-00001-0")
	s.now = s.now.Add(2 * time.Second)
	s.step(finishedBy(t, "reduce-00000-0", &jobpb.Outcome{Reduce: &taskpb.ReduceSummary{ShuffleNanos: int64(3 * time.Second), ShuffledMaps: 4}}))
	s.expect(reduceCollected{id: "reduce-00000-0", summary: &taskpb.ReduceSummary{ShuffleNanos: int64(3 * time.Second), ShuffledMaps: 4}}, "commit reduce-00000-0")
	if p := s.plan.paces[reduceKind]; p.total != 2*time.Second {
		t.Errorf("the reduce counts as one that took %v, want what it took after the last map", p.total)
	}
	s.expect(committed{}, "shut down job.executor-0; shut down job.executor-1; finish: <nil>")
	if r := s.plan.result(); r.EarlyReduces != 1 || r.Counters.ShuffledMaps != 4 {
		t.Errorf("%d reduces have started early and fetched %d outputs, want 1 and 4", r.EarlyReduces, r.Counters.ShuffledMaps)
	}
	history := s.plan.history(s.now)
	if last := history[len(history)-1]; last.ShuffleSeconds != 3 || last.ShuffledMaps != 4 {
		t.Errorf("the history has %+v", last)
	}
}

func TestFeedsAreGatheredUntilTheLast(t *testing.T) {
	s := earlyScript(t, 4, 1, 0)
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 5)}}, "launch on s1: map-00000-0 map-00001-0 map-00002-0 map-00003-0 reduce-00000-0; suppress")
	s.running("reduce-00000-0")
	s.same(s.mapDone("map-00000-0"), "feed reduce-00000-0 from 0: map-00000-0")
	s.same(s.mapDone("map-00001-0"), "")
	s.now = s.now.Add(feedEvery - time.Millisecond)
	s.same(s.mapDone("map-00002-0"), "")
	s.same(s.mapDone("map-00003-0"), "feed reduce-00000-0 from 1: map-00001-0 map-00002-0 map-00003-0")
}

func TestMapsGoBeforeReduces(t *testing.T) {
	for _, test := range []struct {
		name        string
		maps        int
		slowStart   float64
		containers  bool
		slots, done int
		want        string
	}{
		{"no reduce while a map waits and few slots are there", 4, 0, false, 2, 1, "launch on s2: map-00002-0 map-00003-0 reduce-00000-0; suppress"},
		{"one of eight", 40, 0, false, 7, 0, "launch on s2: reduce-00000-0 map-00007-0 map-00008-0"},
		{"not before so many maps are done", 4, 0.5, false, 4, 1, "decline 1"},
		{"a part of a map is a map", 4, 0.05, false, 4, 0, "decline 1"},
		{"all of them", 4, 1, false, 4, 3, "decline 1"},
		{"nothing of it in containers of their own", 4, 0, true, 4, 3, "decline 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := earlyScript(t, test.maps, 1, test.slowStart)
			s.plan.job.containers = test.containers
			s.step(offered{[]*scheduler.Offer{s.offer("s1", float64(test.slots))}})
			for i := range test.done {
				id := fmt.Sprintf("map-%05d-0", i)
				if !test.containers {
					s.mapDone(id)
					continue
				}
				s.step(status(id, mesos.TaskState_TASK_FINISHED, ""))
				s.step(mapCollected{id: id, summary: parts(1)})
			}
			s.expect(offered{[]*scheduler.Offer{s.offer("s2", 3)}}, test.want)
		})
	}
}

// twoSlots brings a job to where a reduce has one of two slots, and a map that was done is lost.
func twoSlots(t *testing.T) *script {
	t.Helper()
	s := earlyScript(t, 2, 1, 0.5)
	s.plan.job.noSpeculation[mapKind] = true
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1), s.offer("s2", 1)}})
	s.mapDone("map-00000-0")
	s.expect(offered{[]*scheduler.Offer{s.offer("s3", 1)}}, "launch on s3: reduce-00000-0; suppress")
	s.running("reduce-00000-0")
	return s
}

func TestAReduceGivesWayToAMapThatFindsNoRoom(t *testing.T) {
	s := twoSlots(t)
	s.expect(executorGone{"job.executor-0"}, "revive") // and map 0 with it
	s.expect(ticked{}, "")
	s.now = s.now.Add(giveWayAfter - time.Millisecond)
	s.expect(ticked{}, "")
	s.now = s.now.Add(time.Millisecond)
	s.expect(ticked{}, "kill reduce-00000-0")
	s.expect(ticked{}, "") // it takes some time
	s.expect(offered{[]*scheduler.Offer{s.offer("s3", 1)}}, "launch on s3: map-00000-1; suppress")
	s.same(s.mapDone("map-00000-1"), "revive")
	s.same(s.mapDone("map-00001-0"), "")
	s.expect(offered{[]*scheduler.Offer{s.offer("s3", 1)}}, "launch on s3: reduce-00000-1; suppress")
	if order := s.reduceOrder(); order.GetMaps() != 0 || tellOutputs(order.GetInputs()) != "map-00000-1 map-00001-0" {
		t.Errorf("the order has %s", tellOutputs(order.GetInputs()))
	}
	if s.plan.failed != 0 || s.plan.lost != 1 {
		t.Errorf("%d have failed and %d are lost, want none and the map", s.plan.failed, s.plan.lost)
	}
}

func TestAReduceWithinItsShareGivesNoWay(t *testing.T) {
	s := earlyScript(t, 40, 1, 0)
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 8)}}, "launch on s1: map-00000-0 map-00001-0 map-00002-0 map-00003-0 map-00004-0 map-00005-0 map-00006-0 reduce-00000-0")
	for range 10 {
		s.now = s.now.Add(giveWayAfter)
		s.expect(ticked{}, "")
	}
}

func TestAReduceThatHasAllGivesNoWay(t *testing.T) {
	s := twoSlots(t)
	s.same(s.mapDone("map-00001-0"), "feed reduce-00000-0 from 1: map-00001-0")
	s.expect(executorGone{"job.executor-0"}, "revive")
	for range 10 {
		s.now = s.now.Add(feedAgain - time.Millisecond)
		s.step(fed{"reduce-00000-0", 2})
		s.expect(ticked{}, "")
	}
}

// What a reduce that has all was not told of it is told of although it is lost: it ends as it can not fetch it, and so
// makes room for the map.
func TestALostOutputIsHiddenFromAReduceThatWaitsAlone(t *testing.T) {
	waits := twoSlots(t)
	waits.plan.byID["reduce-00000-0"].running = false
	waits.plan.job.splits = append(waits.plan.job.splits, waits.plan.job.splits[0])
	waits.plan.maps = append(waits.plan.maps, &taskState{kind: mapKind, index: 2, avoid: map[string]time.Time{}}) // one more
	waits.mapDone("map-00001-0")
	waits.step(executorGone{"job.executor-1"})
	waits.same(waits.running("reduce-00000-0"), "feed reduce-00000-0 from 1: -")

	ready := twoSlots(t)
	ready.plan.byID["reduce-00000-0"].running = false
	ready.mapDone("map-00001-0")
	ready.step(executorGone{"job.executor-1"})
	ready.same(ready.running("reduce-00000-0"), "feed reduce-00000-0 from 1: map-00001-0")
}

func TestAReduceGivesWayToASecondAttemptElsewhereAlone(t *testing.T) {
	for slave, want := range map[string]string{"s2": "", "s3": "kill reduce-00000-0"} {
		s := earlyScript(t, 2, 1, 0.5)
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 1), s.offer("s2", 1)}})
		s.now = s.now.Add(time.Second)
		s.mapDone("map-00000-0")
		s.expect(offered{[]*scheduler.Offer{s.offer(slave, 1)}}, "launch on "+slave+": reduce-00000-0; suppress")
		s.now = s.now.Add(time.Hour) // map 1 is late, on s2
		s.expect(ticked{}, "revive")
		s.now = s.now.Add(giveWayAfter)
		s.expect(ticked{}, want)
	}
}
