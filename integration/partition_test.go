package integration_test

import (
	"testing"
	"time"

	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func TestASlaveThatIsCutOffForAMomentLosesNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		f.launchOn("slave1", task("short", "sleep", "2s"), task("long", "sleep", "1m"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "short", "long")
		c.Partition("slave1", "master")
		time.Sleep(3 * time.Second) // of fake time, and less than a session's silence
		c.Heal("slave1", "master")
		f.awaitState(mesos.TaskState_TASK_FINISHED, "short")
		f.awaitStateFor(2*time.Minute, mesos.TaskState_TASK_FINISHED, "long")
		f.expectStates(map[string]string{"short": "STARTING RUNNING FINISHED", "long": "STARTING RUNNING FINISHED"})
		expectStartedOnce(t, c)
	}, integration.Slaves(2))
}

func TestTasksThatAreCheckpointedOutliveTheSessionOfTheirSlave(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", checkpointing)
		f.launchOn("slave1", task("ends", "sleep", "10s"), task("stays", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "ends", "stays")
		slave := f.slaveOf("stays")
		c.Partition("slave1", "master")
		c.AwaitSlaves(1)
		time.Sleep(20 * time.Second) // of fake time: "ends" ends, and nobody hears of it
		c.Heal("slave1", "master")
		c.AwaitSlaves(2)
		f.awaitState(mesos.TaskState_TASK_FINISHED, "ends")
		f.expectStates(map[string]string{"ends": "STARTING RUNNING FINISHED", "stays": "STARTING RUNNING"})
		f.kill("stays")
		f.awaitState(mesos.TaskState_TASK_KILLED, "stays")
		if got := f.slaveOf("ends"); got != slave {
			t.Errorf("the slave is now %s, and was %s", got, slave)
		}
		expectStartedOnce(t, c)
	}, integration.Slaves(2))
}

func TestTasksThatAreNotCheckpointedAreLostWithTheSessionOfTheirSlaveAndDoNotRunOn(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		f.launchOn("slave1", task("t", "forever"))
		f.launchOn("slave2", task("other", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t", "other")
		c.Partition("slave1", "master")
		f.awaitState(mesos.TaskState_TASK_LOST, "t")
		f.launchOn("slave2", task("instead", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "instead")
		c.Heal("slave1", "master")
		c.AwaitSlaves(2)
		c.Await("the task that was given up runs no more", func() bool { return c.Running() == 2 })
		if s := f.states("t"); s != "STARTING RUNNING LOST" && s != "STARTING RUNNING LOST KILLED" {
			t.Errorf("the task went through %s", s)
		}
		expectStartedOnce(t, c)
	}, integration.Slaves(2))
}

func TestASlaveThatWasUnreachableComesBackWithItsTasks(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", checkpointing)
		f.launchOn("slave1", task("runs", "forever"), task("ends", "sleep", "1m"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "runs", "ends")
		slave := f.slaveOf("runs")
		c.Partition("slave1", "master")
		f.awaitStateFor(3*time.Minute, mesos.TaskState_TASK_UNREACHABLE, "runs", "ends")
		f.kill("ends") // in vain for now, and too late
		c.Heal("slave1", "master")
		c.AwaitSlaves(2)
		f.do(func(d *driver) { d.Reconcile("runs") })
		f.awaitState(mesos.TaskState_TASK_RUNNING, "runs")
		f.await("the end of the other is told", func() bool { return mesos.IsTerminal(f.last("ends").GetState()) })
		if got := f.slaveOf("runs"); got != slave {
			t.Errorf("the slave is now %s, and was %s", got, slave)
		}
		tasks := c.Ask(masterpb.Call_GET_TASKS).GetGetTasks()
		if len(tasks.GetTasks()) != 1 || len(tasks.GetUnreachableTasks()) != 0 {
			t.Errorf("the master lists %d tasks and %d unreachable ones, want 1 and 0", len(tasks.GetTasks()), len(tasks.GetUnreachableTasks()))
		}
		expectStartedOnce(t, c)
	}, integration.Slaves(2))
}

func TestAMasterThatStandsStillIsWaitedFor(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", checkpointing)
		f.launch(task("t", "sleep", "10s"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t")
		c.Pause("master")
		f.await("the scheduler misses its master", func() bool { return f.news()[len(f.news())-1] == "disconnected" })
		time.Sleep(10 * time.Second) // of fake time: the task ends
		c.Resume("master")
		f.await("it is subscribed again", func() bool { return f.news()[len(f.news())-1] == "subscribed again" })
		f.awaitState(mesos.TaskState_TASK_FINISHED, "t")
		c.AwaitSlaves(2)
		f.expectStates(map[string]string{"t": "STARTING RUNNING FINISHED"})
	}, integration.Slaves(2))
}

func TestASlowNetworkIsNoFault(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		c.Delay("slave1", "master", time.Second)
		c.Delay("job", "master", time.Second)
		f.launchOn("slave1", task("t", "sleep", "30s"))
		f.awaitStateFor(time.Minute, mesos.TaskState_TASK_FINISHED, "t")
		f.expectStates(map[string]string{"t": "STARTING RUNNING FINISHED"})
		expectStartedOnce(t, c)
	}, integration.Slaves(2))
}

func TestConnectionsThatBreakAllTheTimeDelayAndLoseNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", checkpointing)
		early, late := []string{"a", "b", "c", "d"}, []string{"e", "f", "g", "h"}
		for _, id := range early {
			f.launch(task(id, "sleep", "20s"))
		}
		f.awaitState(mesos.TaskState_TASK_RUNNING, early...)
		for _, id := range late {
			f.launch(task(id, "sleep", "20s"))
		}
		for range 40 {
			c.Break("slave1", "master")
			time.Sleep(700 * time.Millisecond) // of fake time
			c.Break("job", "master")
			time.Sleep(300 * time.Millisecond)
		}
		f.await("every task has ended", func() bool {
			for _, id := range append(early, late...) {
				if s := f.last(id); s == nil || !mesos.IsTerminal(s.GetState()) {
					return false
				}
			}
			return true
		})
		for _, id := range early {
			f.expectStates(map[string]string{id: "STARTING RUNNING FINISHED"})
		}
		for _, id := range late { // A launch that never arrives is dropped, and its framework told.
			if s := f.states(id); s != "STARTING RUNNING FINISHED" && s != "DROPPED" {
				t.Errorf("task %s went through %s", id, s)
			}
		}
		expectStartedOnce(t, c)
	}, integration.Slaves(1), integration.Resources("cpus:8;mem:4096"))
}
