package integration_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func TestASlaveDiesAndItsTasksAreLostWhileOthersGoOn(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		f.launchOn("slave1", task("a1", "forever"), task("a2", "stubborn"))
		f.launchOn("slave2", task("b", "sleep", "1m"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "a1", "a2", "b")
		dead := f.slaveOf("a1")
		c.Kill("slave1")
		f.awaitState(mesos.TaskState_TASK_LOST, "a1", "a2")
		if s := f.last("a1"); s.GetReason() != mesos.TaskStatus_REASON_AGENT_DISCONNECTED || !strings.Contains(s.GetMessage(), dead) {
			t.Errorf("lost for %v, %q; want the slave named", s.GetReason(), s.GetMessage())
		}
		c.Await("nothing runs on the dead slave", func() bool { return c.Running() == 1 })

		// It comes back with nothing in its memory: as a new slave, at once, and takes new tasks.
		c.Restart("slave1")
		c.AwaitSlaves(2)
		f.await("the old slave has failed", func() bool { return strings.Contains(strings.Join(f.news(), ", "), "slave failed "+dead) })
		f.launchOn("slave1", task("a3", "sleep", "1s"))
		f.awaitState(mesos.TaskState_TASK_FINISHED, "a3")
		if f.slaveOf("a3") == dead {
			t.Errorf("the slave has its old id %s, and does not know it", dead)
		}
		f.awaitStateFor(2*time.Minute, mesos.TaskState_TASK_FINISHED, "b")
		f.expectStates(map[string]string{"a1": "STARTING RUNNING LOST", "b": "STARTING RUNNING FINISHED"})
	}, integration.Slaves(2))
}

func TestTasksOfAFrameworkThatCheckpointsAreUnreachableWhenTheirSlaveStaysAway(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", checkpointing)
		f.launchOn("slave1", task("t", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t")
		c.Kill("slave1")
		began := time.Now()
		f.awaitStateFor(2*time.Minute, mesos.TaskState_TASK_UNREACHABLE, "t")
		if waited := time.Since(began).Round(time.Second); waited != 75*time.Second {
			t.Errorf("the task was unreachable after %v, want 75s", waited)
		}
	}, integration.Slaves(2))
}

func TestTasksOfAFrameworkThatCheckpointsAreGoneWhenTheirSlaveComesBackWithoutThem(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", checkpointing)
		f.launchOn("slave1", task("t", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t")
		c.Restart("slave1")
		f.awaitState(mesos.TaskState_TASK_GONE, "t")
		c.AwaitSlaves(2)
	}, integration.Slaves(2))
}

func TestASlaveThatStopsEndsItsTasksAndSaysGoodbye(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		f.launchOn("slave1", task("t1", "forever"), task("t2", "stubborn"))
		f.launchOn("slave2", task("other", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t1", "t2", "other")
		began := time.Now()
		if err := c.StopSlave("slave1"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		c.AwaitSlaves(1)
		f.await("the tasks have ended", func() bool {
			return mesos.IsTerminal(f.last("t1").GetState()) && mesos.IsTerminal(f.last("t2").GetState())
		})
		t.Logf("t1: %v %v %q", f.last("t1").GetState(), f.last("t1").GetReason(), f.last("t1").GetMessage())
		t.Logf("t2: %v %v %q", f.last("t2").GetState(), f.last("t2").GetReason(), f.last("t2").GetMessage())
		if c.Running() != 1 {
			t.Errorf("%d commands run, want 1", c.Running())
		}
		// The master does not wait for it.
		if n := len(c.Ask(masterpb.Call_GET_AGENTS).GetGetAgents().GetAgents()); n != 1 {
			t.Errorf("the master lists %d slaves, want 1", n)
		}
		c.Restart("slave1")
		c.AwaitSlaves(2)
	}, integration.Slaves(2))
}

func TestAHostDiesAndItsTasksAreLostWhileItsSlaveGoesOn(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		f.launchOn("slave1", task("t1", "forever"))
		f.launchOn("slave2", task("other", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t1", "other")
		slave := f.slaveOf("t1")
		for life := range 3 {
			id := fmt.Sprintf("t%d", life+1)
			c.Kill("host1")
			f.awaitState(mesos.TaskState_TASK_GONE, id)
			if m := f.last(id).GetMessage(); m != "the host process ended" {
				t.Errorf("task %s is lost for %q, want that the host process ended", id, m)
			}
			next := fmt.Sprintf("t%d", life+2)
			f.launchOn("slave1", task(next, "forever"))
			f.awaitState(mesos.TaskState_TASK_RUNNING, next)
			if got := f.slaveOf(next); got != slave {
				t.Errorf("the slave is now %s, and was %s: it had no reason to change", got, slave)
			}
		}
		f.expectStates(map[string]string{"other": "STARTING RUNNING"})
		expectStartedOnce(t, c)
	}, integration.Slaves(2))
}

func TestAHostThatDoesNotAnswerIsReplaced(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		f.launchOn("slave1", task("t", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t")
		c.Pause("host1")
		f.awaitState(mesos.TaskState_TASK_GONE, "t")
		f.launchOn("slave1", task("next", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "next")
		c.Await("what the old host ran has ended", func() bool { return c.Running() == 1 })
	})
}

func TestATaskLaunchedOnASlaveThatDiesAtTheSameTimeIsDropped(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		c.Pause("slave1") // the launch goes nowhere
		f.launchOn("slave1", task("t", "forever"))
		f.await("the master has launched it", func() bool { return len(c.Ask(masterpb.Call_GET_TASKS).GetGetTasks().GetTasks()) == 1 })
		c.Kill("slave1")
		f.await("its end is told", func() bool { s := f.last("t"); return s != nil && mesos.IsTerminal(s.GetState()) })
		if n := len(c.Started()); n != 0 {
			t.Errorf("%d commands were started, want none", n)
		}
	}, integration.Slaves(2))
}

func TestOffersOfASlaveThatDiesAreRescinded(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := begin(t, c, "hoarder")
		f.hoardOffers()
		f.await("it has both offers", func() bool { return len(f.held()) == 2 })
		var id string
		for _, o := range f.held() {
			if o.Hostname() == "slave1" {
				id = o.ID()
			}
		}
		c.Kill("slave1")
		f.await("the offer is rescinded", func() bool { return f.news()[len(f.news())-1] == "rescinded "+id })
		// To accept it now is too late.
		f.do(func(d *scheduler.Driver) {
			for _, o := range f.held() {
				if o.ID() == id {
					info, err := o.Take(task("t", "forever"))
					if err != nil {
						t.Error(err)
					}
					d.Launch(o, info)
				}
			}
		})
		f.await("the launch is dropped", func() bool { return f.last("t").GetState() == mesos.TaskState_TASK_DROPPED })
	}, integration.Slaves(2))
}

// What a slave says before its goodbye is heard, however much it is at once.
func TestASlaveThatStopsTellsTheEndOfAllItsTasks(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		var ids []string
		var tasks []scheduler.Task
		for i := range 100 {
			ids = append(ids, fmt.Sprintf("t%03d", i))
			tasks = append(tasks, task(ids[i], "forever"))
		}
		f.launch(tasks...)
		f.awaitState(mesos.TaskState_TASK_RUNNING, ids...)
		time.Sleep(time.Second) // of fake time: the slave has heard all acknowledgements
		if err := c.StopSlave("slave1"); err != nil {
			t.Error(err)
		}
		f.await("the ends of all tasks are told", func() bool {
			for _, id := range ids {
				if !mesos.IsTerminal(f.last(id).GetState()) {
					return false
				}
			}
			return true
		})
		lost := map[string]int{}
		for _, id := range ids {
			if s := f.last(id); s.GetState() != mesos.TaskState_TASK_KILLED {
				lost[fmt.Sprintf("%v %q", s.GetState(), s.GetMessage())]++
			}
		}
		if len(lost) > 0 {
			t.Errorf("of %d tasks not all were killed, but some lost: %v", len(ids), lost)
		}
		if n := len(c.Ask(masterpb.Call_GET_AGENTS).GetGetAgents().GetAgents()); n != 0 {
			t.Errorf("the master lists %d slaves, want none", n)
		}
	}, integration.Slaves(1), integration.Resources("cpus:100;mem:4000"))
}
