package main

import (
	"slices"
	"testing"

	"github.com/stoa-project/stoa/proto/mesos"
)

func TestAnIDMeansTheTaskThatRunsRatherThanThoseThatHaveEnded(t *testing.T) {
	task := func(id, framework string, state mesos.TaskState) *mesos.Task {
		return &mesos.Task{TaskId: mesos.NewTaskID(id), FrameworkId: mesos.NewFrameworkID(framework), State: state.Enum()}
	}
	tasks := []*mesos.Task{
		task("web-0", "f1", mesos.TaskState_TASK_FINISHED), task("web-0", "f2", mesos.TaskState_TASK_RUNNING), task("web-0", "f3", mesos.TaskState_TASK_LOST),
		task("web-01", "f2", mesos.TaskState_TASK_RUNNING),
		task("job-0", "f1", mesos.TaskState_TASK_FAILED), task("job-0", "f2", mesos.TaskState_TASK_FINISHED),
		task("two-0", "f1", mesos.TaskState_TASK_RUNNING), task("two-0", "f2", mesos.TaskState_TASK_STAGING), task("two-0", "f3", mesos.TaskState_TASK_FINISHED),
	}
	for _, one := range []struct {
		id, framework string
		want          []string
	}{
		{"web-0", "", []string{"f2"}},
		{"web-0", "f3", []string{"f3"}},
		{"web", "", []string{"f1", "f2", "f3", "f2"}},
		{"job-0", "", []string{"f1", "f2"}},
		{"job", "f2", []string{"f2"}},
		{"two-0", "", []string{"f1", "f2", "f3"}},
		{"none", "", nil},
	} {
		var got []string
		for _, found := range tasksOf(tasks, one.id, one.framework) {
			got = append(got, found.GetFrameworkId().GetValue())
		}
		if !slices.Equal(got, one.want) {
			t.Errorf("%q of framework %q: those of frameworks %q, want %q", one.id, one.framework, got, one.want)
		}
	}
}
