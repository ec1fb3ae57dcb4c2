package integration_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

type driver = scheduler.Driver

// dies ends a scheduler as the death of its process does: without teardown.
func (f *framework) dies() {
	f.t.Helper()
	f.cancel(errors.New("killed"))
	f.end()
}

func TestASchedulerDiesAndAnotherTakesOverWithinTheFailoverTimeout(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", func(o *scheduler.Options) { o.FailoverTimeout = time.Minute })
		f.launch(task("ends", "sleep", "10s"), task("runs", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "ends", "runs")
		f.dies()
		time.Sleep(30 * time.Second) // of fake time: "ends" ends

		again := subscribe(t, c, "job", func(o *scheduler.Options) { o.FailoverTimeout, o.FrameworkID = time.Minute, f.id })
		if again.id != f.id {
			t.Errorf("the framework has the id %s, and had %s", again.id, f.id)
		}
		// The end that nobody acknowledged waits for it.
		again.awaitState(mesos.TaskState_TASK_FINISHED, "ends")
		again.do(func(d *driver) { d.Reconcile() })
		again.awaitState(mesos.TaskState_TASK_RUNNING, "runs")
		again.kill("runs")
		again.awaitState(mesos.TaskState_TASK_KILLED, "runs")
		expectStartedOnce(t, c)
	}, integration.Slaves(2))
}

func TestASchedulerThatDoesNotComeBackInTimeTakesItsTasksWithIt(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job", func(o *scheduler.Options) { o.FailoverTimeout = time.Minute })
		f.launch(task("t1", "forever"), task("t2", "stubborn"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t1", "t2")
		f.dies()
		time.Sleep(50 * time.Second) // of fake time
		if n := c.Running(); n != 2 {
			t.Errorf("%d commands run before the failover timeout, want 2", n)
		}
		c.Await("its tasks have ended", func() bool { return c.Running() == 0 })
		late := begin(t, c, "job", func(o *scheduler.Options) { o.FrameworkID = f.id })
		if err := late.end(); !errors.Is(err, scheduler.ErrRefused) || !strings.Contains(err.Error(), "removed") {
			t.Errorf("a scheduler that comes too late got %v, want to be told that the framework was removed", err)
		}
	}, integration.Slaves(2))
}

func TestASchedulerWithoutFailoverTimeoutTakesItsTasksWithIt(t *testing.T) {
	for name, ends := range map[string]func(*framework){
		"it dies":           (*framework).dies,
		"it tears down":     func(f *framework) { f.do(func(d *driver) { d.Teardown(nil) }); f.end() },
		"it is cut off":     func(f *framework) { f.c.Partition("job", "master") },
		"its connection is": func(f *framework) { f.c.Partition("job", "master"); f.c.Break("job", "master") },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
				other := subscribe(t, c, "other")
				other.launch(task("o", "forever"))
				other.awaitState(mesos.TaskState_TASK_RUNNING, "o")
				f := subscribe(t, c, "job")
				f.launch(task("t1", "forever"), task("t2", "stubborn"), task("t3", "slow", "1m"))
				f.awaitState(mesos.TaskState_TASK_RUNNING, "t1", "t2")
				f.awaitState(mesos.TaskState_TASK_STARTING, "t3")
				began := time.Now()
				ends(f)
				c.Await("its tasks have ended, and those of others have not", func() bool { return c.Running() == 1 })
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("it took %v", took)
				}
				frameworks := c.Ask(masterpb.Call_GET_FRAMEWORKS).GetGetFrameworks()
				if len(frameworks.GetFrameworks()) != 1 || len(frameworks.GetCompletedFrameworks()) != 1 {
					t.Errorf("the master lists %d frameworks and %d that have ended, want 1 and 1", len(frameworks.GetFrameworks()), len(frameworks.GetCompletedFrameworks()))
				}
				// What it had is offered again.
				other.launch(task("o1", "sleep", "1s"), task("o2", "sleep", "1s"), task("o3", "sleep", "1s"))
				other.awaitState(mesos.TaskState_TASK_FINISHED, "o1", "o2", "o3")
			}, integration.Slaves(1))
		})
	}
}

func TestASchedulerThatTakesOverEndsTheOneBefore(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "first", func(o *scheduler.Options) { o.FailoverTimeout = time.Hour })
		f.launch(task("t", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t")
		second := subscribe(t, c, "second", func(o *scheduler.Options) { o.FailoverTimeout, o.FrameworkID = time.Hour, f.id })
		if err := f.end(); !errors.Is(err, scheduler.ErrRefused) || !strings.Contains(err.Error(), "failed over") {
			t.Errorf("the first scheduler ended with %v, want to be told of the other", err)
		}
		second.kill("t")
		second.awaitState(mesos.TaskState_TASK_KILLED, "t")
	}, integration.Slaves(1))
}
