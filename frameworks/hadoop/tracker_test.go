package hadoop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"google.golang.org/protobuf/proto"
)

// held is a tracker of several jobs of maps alone.
type held struct {
	t       *testing.T
	tracker *tracker
	now     time.Time
	offers  int
}

func newHeld(t *testing.T, order Order, jobs ...*job) *held {
	h := &held{t: t, tracker: &tracker{order: order}, now: time.Unix(1000, 0)}
	for i, j := range jobs {
		j.id, j.mapper, j.containers, j.cpus, j.mapMem, j.reduceMem = fmt.Sprint("j", i+1), "m", true, 1, 512, 512
		j.maxMap, j.maxReduce = DefaultMaxAttempts, DefaultMaxAttempts
		h.step(begun{newPlan(j, h.now)})
	}
	h.step(subscribed{"F"})
	return h
}

func mapsOf(n int, hosts ...string) []split {
	splits := make([]split, n)
	for i := range splits {
		splits[i] = split{bytes: 10, roots: []string{"/in"}, hosts: hosts}
	}
	return splits
}

func (h *held) step(e event) []operation { return h.tracker.step(h.now, e) }

// offer gives so many cpus of a slave, and tells which jobs' attempts were launched, in order.
func (h *held) offer(slave string, cpus float64) (ids []string) {
	h.offers++
	for _, op := range h.step(offered{[]*scheduler.Offer{newOffer(h.t, fmt.Sprint("O", h.offers), slave, cpus, 1<<16)}}) {
		if op, ok := op.(launch); ok {
			for _, info := range op.tasks {
				ids = append(ids, info.GetTaskId().GetValue())
			}
		}
	}
	return ids
}

func (h *held) expect(slave string, cpus float64, want ...string) {
	h.t.Helper()
	var jobs []string
	for _, id := range h.offer(slave, cpus) {
		job, _, _ := strings.Cut(id, ".")
		jobs = append(jobs, job)
	}
	if diff := cmp.Diff(want, jobs); diff != "" {
		h.t.Errorf("launched (-want +got):\n%s", diff)
	}
}

func TestFIFOServesTheFirstOfTheHighestPriorityFirst(t *testing.T) {
	h := newHeld(t, FIFO, &job{splits: mapsOf(2)}, &job{splits: mapsOf(2)}, &job{splits: mapsOf(1), priority: High})
	h.expect("s1", 4, "j3", "j1", "j1", "j2")
	h.expect("s2", 4, "j2")
}

func TestFairGivesAllJobsTheSame(t *testing.T) {
	h := newHeld(t, Fair, &job{splits: mapsOf(9)}, &job{splits: mapsOf(9)}, &job{splits: mapsOf(1)})
	h.expect("s1", 5, "j1", "j2", "j3", "j1", "j2")
}

func TestFairIsWeightedByPriority(t *testing.T) {
	h := newHeld(t, Fair, &job{splits: mapsOf(20)}, &job{splits: mapsOf(20), priority: High}, &job{splits: mapsOf(20), priority: VeryLow})
	count := map[string]int{}
	for _, id := range h.offer("s1", 13) {
		count[id[:2]]++
	}
	if diff := cmp.Diff(map[string]int{"j1": 4, "j2": 8, "j3": 1}, count); diff != "" {
		t.Errorf("of 13 (-want +got):\n%s", diff)
	}
}

func TestAJobThatHasWaitedIsServedWhenRoomComes(t *testing.T) {
	h := newHeld(t, FIFO, &job{splits: mapsOf(1)}, &job{splits: mapsOf(1)})
	h.expect("s1", 1, "j1")
	id := h.tracker.jobs[0].past[0].id
	h.step(updated{&mesos.TaskStatus{TaskId: mesos.NewTaskID(id), State: mesos.TaskState_TASK_FINISHED.Enum()}})
	h.expect("s1", 1, "j2")
}

func TestNewsOfAnAttemptGoToItsJobAloneAndStrangersAreKilled(t *testing.T) {
	h := newHeld(t, FIFO, &job{splits: mapsOf(1)}, &job{splits: mapsOf(1)})
	h.expect("s1", 2, "j1", "j2")
	ops := h.step(updated{&mesos.TaskStatus{TaskId: mesos.NewTaskID("j2.map-00000-0"), State: mesos.TaskState_TASK_LOST.Enum()}})
	if h.tracker.jobs[0].lost != 0 || h.tracker.jobs[1].lost != 1 {
		t.Error("the loss was not told to the job that it was about")
	}
	if _, ok := ops[0].(happened); !ok {
		t.Errorf("before what comes of it stands %T, want what is to be kept", ops[0])
	}
	ops = h.step(updated{&mesos.TaskStatus{TaskId: mesos.NewTaskID("j9.map-00000-0"), State: mesos.TaskState_TASK_RUNNING.Enum()}})
	if len(ops) != 1 || ops[0] != (kill{"j9.map-00000-0"}) {
		t.Errorf("an unknown attempt that runs: %v", ops)
	}
}

// A map waits for a machine that has its input, but not for ever; what has no machine of its own goes before it elsewhere.
func TestAMapWaitsForAMachineThatHasItsInput(t *testing.T) {
	splits := append(mapsOf(1, "HOST-s1", "10.9.9.9"), mapsOf(1)...)
	h := newHeld(t, FIFO, &job{splits: splits})
	if diff := cmp.Diff([]string{"j1.map-00001-0"}, h.offer("s2", 2)); diff != "" {
		t.Errorf("elsewhere (-want +got):\n%s", diff)
	}
	h.now = h.now.Add(localityWait - time.Millisecond)
	if got := h.offer("s2", 1); got != nil {
		t.Errorf("before the time is over, elsewhere: %v", got)
	}
	again := newHeld(t, FIFO, &job{splits: splits})
	if diff := cmp.Diff([]string{"j1.map-00000-0"}, again.offer("s1", 1)); diff != "" {
		t.Errorf("where its input is (-want +got):\n%s", diff)
	}
	h.now = h.now.Add(time.Millisecond)
	if diff := cmp.Diff([]string{"j1.map-00000-0"}, h.offer("s2", 1)); diff != "" {
		t.Errorf("after the time (-want +got):\n%s", diff)
	}
}

// executorsOf brings a job of two maps and a reduce to where both maps are done in executors on two slaves.
func executorsOf(t *testing.T) *script {
	t.Helper()
	s := newScript(t, 2, 1)
	s.plan.job.containers = false
	s.step(subscribed{"F"})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1), s.offer("s2", 1)}}, "launch on s1: map-00000-0; launch on s2: map-00001-0; suppress")
	for _, id := range []string{"map-00000-0", "map-00001-0"} {
		s.step(finishedBy(t, id, &jobpb.Outcome{Port: 7, Path: "/secret/" + id + "/", Map: parts(1)}))
	}
	return s
}

func finishedBy(t *testing.T, id string, outcome *jobpb.Outcome) updated {
	t.Helper()
	u := status(id, mesos.TaskState_TASK_FINISHED, "")
	var err error
	if u.status.Data, err = proto.Marshal(outcome); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAnExecutorIsChargedOnceAndTellsWhereItsOutputIs(t *testing.T) {
	s := newScript(t, 2, 1)
	s.plan.job.containers = false
	s.step(subscribed{"F"})
	tooSmall := newOffer(t, "O", "s1", 4, 512+ExecutorMem-1)
	s.expect(offered{[]*scheduler.Offer{tooSmall}}, "decline 1")
	fits := newOffer(t, "O", "s1", 4, 2*512+ExecutorMem)
	s.expect(offered{[]*scheduler.Offer{fits}}, "launch on s1: map-00000-0 map-00001-0; suppress")
	tasks := s.ops[0].(launch).tasks
	if !proto.Equal(tasks[0].GetExecutor(), tasks[1].GetExecutor()) {
		t.Error("the two attempts on a slave do not share an executor")
	}
	s = executorsOf(t)
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: reduce-00000-0; suppress")
	order := &jobpb.Order{}
	if err := proto.Unmarshal(s.ops[0].(launch).tasks[0].GetData(), order); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, in := range order.GetReduce().GetInputs() {
		urls = append(urls, in.GetUrl())
	}
	if diff := cmp.Diff([]string{"http://10.0.0.1:7/secret/map-00000-0/map/part-00000", "http://10.0.0.1:7/secret/map-00001-0/map/part-00000"}, urls); diff != "" {
		t.Errorf("where a reduce fetches (-want +got):\n%s", diff)
	}
}

func TestAnExecutorStaysWhileAReduceMayWantItsOutputAndGoesThen(t *testing.T) {
	s := executorsOf(t)
	s.now = s.now.Add(time.Hour)
	s.expect(ticked{}, "")
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	s.step(finishedBy(t, "reduce-00000-0", &jobpb.Outcome{Reduce: &taskpb.ReduceSummary{}}))
	s.now = s.now.Add(idleFor)
	s.expect(ticked{}, "") // the job may still need to read the reduce's output anew
	s.expect(reduceCollected{id: "reduce-00000-0"}, "commit reduce-00000-0")
	s.now = s.now.Add(idleFor)
	s.expect(ticked{}, "shut down job.executor-0; shut down job.executor-1")
	s.expect(ticked{}, "")
}

func TestAnExecutorThatDiesTakesItsOutputWithIt(t *testing.T) {
	s := executorsOf(t)
	s.expect(executorGone{"job.executor-1"}, "")
	if s.plan.done[mapKind] != 1 || s.plan.lost != 1 {
		t.Errorf("%d maps are done and %d attempts lost, want 1 and 1", s.plan.done[mapKind], s.plan.lost)
	}
	s.expect(offered{[]*scheduler.Offer{s.offer("s2", 1)}}, "decline 1") // where it was lost just now
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00001-1; suppress")
	if got := s.ops[0].(launch).tasks[0].GetExecutor().GetExecutorId().GetValue(); got != "job.executor-0" {
		t.Errorf("it runs in %s, want the one that is there", got)
	}
}

// What a master that knows nothing of the framework any more makes of it: all that ran is lost, also what was done.
func TestAFrameworkThatBeginsAnewLosesWhatItHad(t *testing.T) {
	s := executorsOf(t)
	s.expect(subscribed{"F2"}, "")
	if s.plan.done[mapKind] != 0 || len(s.plan.executors) != 0 {
		t.Errorf("%d maps are done, with %d executors", s.plan.done[mapKind], len(s.plan.executors))
	}
}
