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
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

func TestAFrameworkRunsItsTasksToTheEnd(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		var ids []string
		for i := range 20 { // more than fit at once: 3 slaves of 4 cpus
			ids = append(ids, fmt.Sprintf("t%02d", i))
			f.launch(task(ids[i], "sleep", "30s"))
		}
		bad := task("bad", "fail", "3", "1s")
		f.launch(bad)
		f.awaitStateFor(5*time.Minute, mesos.TaskState_TASK_FINISHED, ids...)
		f.awaitStateFor(time.Minute, mesos.TaskState_TASK_FAILED, "bad")
		for _, id := range ids {
			f.expectStates(map[string]string{id: "STARTING RUNNING FINISHED"})
		}
		if m := f.last("bad").GetMessage(); !strings.Contains(m, "status 3") {
			t.Errorf("a command that exits with 3: %q, want a message that says so", m)
		}
		expectStartedOnce(t, c)
		state := c.Ask(masterpb.Call_GET_TASKS).GetGetTasks()
		if len(state.GetTasks()) != 0 || len(state.GetCompletedTasks()) != len(ids)+1 {
			t.Errorf("the master lists %d tasks and %d that have ended, want 0 and %d", len(state.GetTasks()), len(state.GetCompletedTasks()), len(ids)+1)
		}
		f.do(func(d *scheduler.Driver) { d.Teardown(nil) })
		if err := f.end(); err != nil {
			t.Error(err)
		}
	}, integration.Slaves(3))
}

func TestACommandThatCanNotRunSaysWhy(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		f.launch(task("t", "/no/such/file"))
		f.awaitState(mesos.TaskState_TASK_FAILED, "t")
		if m := f.last("t").GetMessage(); !strings.Contains(m, "/no/such/file") {
			t.Errorf("message %q does not name the command", m)
		}
	}, integration.Commands(func(spec containerizer.Spec) fake.Behaviour {
		return fake.Behaviour{StartError: &containerizer.ExecError{Path: spec.Args[0], Err: 2}}
	}))
}

func TestATaskGoesOnlyWhereTheFrameworkWantsIt(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f := subscribe(t, c, "job")
		f.launchOn("slave2", task("t", "forever"))
		f.awaitState(mesos.TaskState_TASK_RUNNING, "t")
		if got := len(c.ActiveSlaves()); got != 3 {
			t.Errorf("%d slaves, want 3", got)
		}
		for _, a := range c.Ask(masterpb.Call_GET_AGENTS).GetGetAgents().GetAgents() {
			if a.GetAgentInfo().GetId().GetValue() == f.slaveOf("t") && a.GetAgentInfo().GetHostname() != "slave2" {
				t.Errorf("the task runs on %s", a.GetAgentInfo().GetHostname())
			}
		}
	}, integration.Slaves(3))
}
