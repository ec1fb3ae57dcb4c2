package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func checkpointing(o *scheduler.Options) {
	o.Checkpoint, o.FailoverTimeout = true, time.Hour
}

func TestTheMasterDiesWhileTasksRunAndGetsEverythingBack(t *testing.T) {
	for name, change := range map[string]func(*scheduler.Options){
		"a framework that checkpoints":         checkpointing,
		"a framework that does not checkpoint": func(o *scheduler.Options) { o.FailoverTimeout = time.Hour },
		"a framework without failover timeout": func(*scheduler.Options) {},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
				f := subscribe(t, c, "job", change)
				f.launchOn("slave1", task("soon", "sleep", "5s"), task("later", "sleep", "1m"))
				f.launchOn("slave2", task("never", "forever"), task("fails", "fail", "3", "1m"))
				f.awaitState(mesos.TaskState_TASK_RUNNING, "soon", "later", "never", "fails")
				id, slaves := f.id, c.ActiveSlaves()

				c.Kill("master")
				f.await("the scheduler misses its master", func() bool { return f.news()[len(f.news())-1] == "disconnected" })
				time.Sleep(10 * time.Second) // of fake time: "soon" ends while nobody listens
				c.Restart("master")

				c.AwaitSlaves(2)
				f.await("it is subscribed again", func() bool { return f.news()[len(f.news())-1] == "subscribed again" })
				f.awaitState(mesos.TaskState_TASK_FINISHED, "soon")
				f.awaitStateFor(2*time.Minute, mesos.TaskState_TASK_FINISHED, "later")
				f.awaitStateFor(2*time.Minute, mesos.TaskState_TASK_FAILED, "fails")
				f.expectStates(map[string]string{
					"soon": "STARTING RUNNING FINISHED", "later": "STARTING RUNNING FINISHED",
					"fails": "STARTING RUNNING FAILED", "never": "STARTING RUNNING",
				})
				if f.id != id {
					t.Errorf("the framework has the id %s, and had %s", f.id, id)
				}
				for _, slave := range c.ActiveSlaves() {
					if !strings.Contains(strings.Join(slaves, " "), slave) {
						t.Errorf("slave %s has a new id; there were %v", slave, slaves)
					}
				}
				// It leads as the one before it did: it knows who runs, kills, and launches.
				if tasks := c.Ask(masterpb.Call_GET_TASKS).GetGetTasks().GetTasks(); len(tasks) != 1 {
					t.Errorf("the master lists %d tasks, want 1", len(tasks))
				}
				f.kill("never")
				f.awaitState(mesos.TaskState_TASK_KILLED, "never")
				f.launch(task("new", "sleep", "1s"))
				f.awaitState(mesos.TaskState_TASK_FINISHED, "new")
				expectStartedOnce(t, c)
			}, integration.Slaves(2))
		})
	}
}

func TestTheMasterDiesAgainAndAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", checkpointing)
		f.launch(task("t", "sleep", "3m"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t")
		for range 10 {
			c.Restart("master")
			c.AwaitSlaves(3)
		}
		f.awaitStateFor(5*time.Minute, mesos.TaskState_TASK_FINISHED, "t")
		f.expectStates(map[string]string{"t": "STARTING RUNNING FINISHED"})
		expectStartedOnce(t, c)
	}, integration.Slaves(3))
}

func TestASlaveOfAnotherClusterIsRefused(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		// Slave 1 belongs to the cluster of the first master, slave 2 to that of the second.
		c.Partition("slave1", "master")
		c.Restart("master")
		c.Restart("slave2")
		c.AwaitSlaves(1)
		c.Heal("slave1", "master")
		err := c.AwaitEnd("slave1")
		if err == nil || !strings.Contains(err.Error(), "cluster") {
			t.Errorf("the slave of another cluster ended with %v, want the cluster named", err)
		}
		c.AwaitSlaves(1)
		// With nothing in its memory it is welcome.
		c.Restart("slave1")
		c.AwaitSlaves(2)
	}, integration.Slaves(2))
}
