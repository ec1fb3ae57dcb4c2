package hadoop

import (
	"errors"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

// oneLate brings a job of three maps to where two of them took a second and the third, on s2, runs on.
func oneLate(t *testing.T) *script {
	t.Helper()
	s := newScript(t, 3, 1)
	s.step(subscribed{"F"})
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 2), s.offer("s2", 1)}})
	s.now = s.now.Add(time.Second)
	for _, id := range []string{"map-00000-0", "map-00002-0"} {
		s.expect(status(id, mesos.TaskState_TASK_FINISHED, ""), "collect "+id)
		s.expect(mapCollected{id: id, summary: parts(1)}, "")
	}
	s.now = s.now.Add(time.Second)
	s.expect(ticked{}, "") // late is more than twice the others' time
	s.now = s.now.Add(time.Millisecond)
	s.expect(ticked{}, "revive")
	return s
}

func TestATaskThatIsLateGetsASecondAttemptElsewhere(t *testing.T) {
	s := oneLate(t)
	s.expect(offered{[]*scheduler.Offer{s.offer("s2", 4)}}, "decline 1")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 4)}}, "launch on s1: map-00001-1; suppress")
	s.now = s.now.Add(time.Hour)
	s.expect(ticked{}, "") // two are enough
	s.expect(status("map-00001-1", mesos.TaskState_TASK_FINISHED, ""), "collect map-00001-1; kill map-00001-0")
	s.expect(status("map-00001-0", mesos.TaskState_TASK_FINISHED, "just too late"), "")
	s.expect(mapCollected{id: "map-00001-1", summary: parts(1)}, "revive")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: reduce-00000-0; suppress")
	s.step(status("reduce-00000-0", mesos.TaskState_TASK_FINISHED, ""))
	s.step(reduceCollected{id: "reduce-00000-0", summary: &taskpb.ReduceSummary{}})
	s.step(committed{})
	if r := s.plan.result(); r.SpeculativeAttempts != 1 || r.LaunchedMaps != 4 || r.FailedAttempts != 0 || r.LostAttempts != 0 {
		t.Errorf("result: %+v", r)
	}
}

func TestASlaveThatIsSlowIsAvoided(t *testing.T) {
	s := oneLate(t)
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 4)}})
	s.step(status("map-00001-1", mesos.TaskState_TASK_FINISHED, ""))
	s.step(mapCollected{id: "map-00001-1", summary: parts(1)})
	s.now = s.now.Add(avoidSlaveFor - time.Millisecond)
	s.expect(offered{[]*scheduler.Offer{s.offer("s2", 1)}}, "decline 1")
	s.now = s.now.Add(time.Millisecond)
	s.expect(offered{[]*scheduler.Offer{s.offer("s2", 1)}}, "launch on s2: reduce-00000-0; suppress")

	s = newScript(t, 9, 1) // twice late and not once on time between
	s.step(subscribed{"F"})
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 3), s.offer("s2", 3)}})
	for _, done := range []struct {
		id    string
		after time.Duration
		want  string
	}{
		{"map-00000-0", 100 * time.Millisecond, "launch on s2: map-00006-0"},
		{"map-00001-0", 10 * time.Second, "launch on s2: map-00007-0"},
		{"map-00003-0", time.Hour, "decline 1"},
	} {
		s.now = s.now.Add(done.after)
		s.step(status(done.id, mesos.TaskState_TASK_FINISHED, ""))
		s.expect(offered{[]*scheduler.Offer{s.offer("s2", 1)}}, done.want)
	}

	s = oneLate(t) // the first attempt wins: its slave is no worse than others
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 4)}})
	s.step(status("map-00001-0", mesos.TaskState_TASK_FINISHED, ""))
	s.step(mapCollected{id: "map-00001-0", summary: parts(1)})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: reduce-00000-0; suppress")
}

func TestTheFirstAttemptMayStillWin(t *testing.T) {
	s := oneLate(t)
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 4)}})
	s.expect(status("map-00001-0", mesos.TaskState_TASK_FINISHED, ""), "collect map-00001-0; kill map-00001-1")
	// Its output can not be had after all: the task is pending again.
	s.expect(mapCollected{id: "map-00001-0", err: unreachable{errors.New("refused")}}, "revive")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00001-2; suppress")
}

func TestOneOfTwoAttemptsMayFail(t *testing.T) {
	s := oneLate(t)
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 4)}})
	s.expect(status("map-00001-1", mesos.TaskState_TASK_FAILED, ""), "examine map-00001-1")
	s.expect(examined{id: "map-00001-1"}, "revive")
	s.expect(status("map-00001-0", mesos.TaskState_TASK_LOST, ""), "")
	s.expect(offered{[]*scheduler.Offer{s.offer("s3", 1)}}, "launch on s3: map-00001-2; suppress")
}

func TestShortTasksAndForbiddenOnesGetNoSecondAttempt(t *testing.T) {
	t.Run("an attempt is not late before two seconds", func(t *testing.T) {
		s := newScript(t, 2, 1)
		s.step(subscribed{"F"})
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 2)}})
		s.now = s.now.Add(10 * time.Millisecond)
		s.step(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""))
		s.now = s.now.Add(stragglerAfter - 10*time.Millisecond)
		s.expect(ticked{}, "")
		s.now = s.now.Add(time.Millisecond)
		s.expect(ticked{}, "revive")
	})
	t.Run("without a finished attempt there is nothing to compare with", func(t *testing.T) {
		s := newScript(t, 1, 1)
		s.step(subscribed{"F"})
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
		s.now = s.now.Add(time.Hour)
		s.expect(ticked{}, "")
	})
	t.Run("no second attempt while a first one is pending", func(t *testing.T) {
		s := newScript(t, 3, 1)
		s.step(subscribed{"F"})
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 2)}})
		s.now = s.now.Add(time.Second)
		s.step(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""))
		s.now = s.now.Add(time.Hour)
		s.expect(offered{[]*scheduler.Offer{s.offer("s2", 1)}}, "launch on s2: map-00002-0")
	})
	t.Run("not if the job forbids it", func(t *testing.T) {
		s := newScript(t, 2, 1)
		s.plan.job.noSpeculation[mapKind] = true
		s.step(subscribed{"F"})
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 2)}})
		s.now = s.now.Add(time.Second)
		s.step(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""))
		s.now = s.now.Add(time.Hour)
		s.expect(ticked{}, "")
	})
}
