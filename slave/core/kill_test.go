package core

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKill goes through kill × state of the task × state of its executor, for both kinds of executors.
func TestKill(t *testing.T) {
	const start = `
born
recovered
host connects
master found
master registers id=S1 cluster=K
`
	tests := []struct {
		name  string
		given string
		want  []string // of "kill f1/t1"
	}{
		{
			name: "a task of an unknown framework is lost",
			want: []string{`to master: TaskUpdate f1/t1 TASK_LOST uuid=none REASON_RECONCILIATION "the task is not known to slave S1"`},
		},
		{
			name:  "an unknown task is lost",
			given: "run f1/t2",
			want:  []string{`to master: TaskUpdate f1/t1 TASK_LOST uuid=none REASON_RECONCILIATION "the task is not known to slave S1"`},
		},
		{
			name:  "an unknown task of a partition aware framework is gone",
			given: "run f1/t2 partition_aware",
			want:  []string{`to master: TaskUpdate f1/t1 TASK_GONE uuid=none REASON_RECONCILIATION "the task is not known to slave S1"`},
		},
		{
			name:  "a task that is not on the disk yet is killed, and its executor never prepared",
			given: "hold persist\nrun f1/t1",
			want: []string{
				"persist update f1/t1 TASK_KILLED uuid=own-1.3",
				"persist end of executor f1/t1 C2",
			},
		},
		{
			name:  "a task whose sandbox is being made is killed with its executor",
			given: "run f1/t1",
			want: []string{
				"persist update f1/t1 TASK_KILLED uuid=own-1.3",
				"persist end of executor f1/t1 C2",
				`to master: TaskUpdate f1/t1 TASK_KILLED uuid=own-1.3 REASON_TASK_KILLED_DURING_LAUNCH "the task was killed before it was started" cause=killed killed_by=scheduler`,
			},
		},
		{
			name:  "a task that waits for a host is killed with its executor",
			given: "host ends\nrun f1/t1\nsandbox f1/t1",
			want: []string{
				"persist update f1/t1 TASK_KILLED uuid=own-1.3",
				"persist end of executor f1/t1 C2",
				`to master: TaskUpdate f1/t1 TASK_KILLED uuid=own-1.3 REASON_TASK_KILLED_DURING_LAUNCH "the task was killed before it was started" cause=killed killed_by=scheduler`,
			},
		},
		{
			name:  "a task whose executor is being started is killed, and the executor by the host",
			given: "run f1/t1\nsandbox f1/t1",
			want: []string{
				"persist update f1/t1 TASK_KILLED uuid=own-1.3",
				"to host: KillExecutor C2",
				`to master: TaskUpdate f1/t1 TASK_KILLED uuid=own-1.3 REASON_TASK_KILLED_DURING_LAUNCH "the task was killed before it was started" cause=killed killed_by=scheduler`,
			},
		},
		{
			name:  "an own executor that is being started for another task as well is not killed",
			given: "run f1/t1 executor=e1\nrun f1/t2 executor=e1\nsandbox f1/e1",
			want: []string{
				"persist update f1/t1 TASK_KILLED uuid=own-1.3",
				`to master: TaskUpdate f1/t1 TASK_KILLED uuid=own-1.3 REASON_TASK_KILLED_DURING_LAUNCH "the task was killed before it was started" cause=killed killed_by=scheduler`,
			},
		},
		{
			name:  "an own executor that runs is not killed with a task that it has not seen",
			given: "run f1/t2 executor=e1\nsandbox f1/e1\nexecutor subscribes f1/e1\nexecutor updates f1/e1 t2 FINISHED u1\nhold persist\nrun f1/t1 executor=e1",
			want:  []string{"persist update f1/t1 TASK_KILLED uuid=own-1.3"},
		},
		{
			name:  "a task that was delivered and has said nothing is killed by its executor",
			given: "run f1/t1\nsandbox f1/t1\nexecutor subscribes f1/t1 secret=host",
			want:  []string{"to f1/t1: KILL t1"},
		},
		{
			name:  "a running task is killed by its executor",
			given: "run f1/t1\nsandbox f1/t1\nexecutor subscribes f1/t1 secret=host\nexecutor updates f1/t1 t1 RUNNING u1",
			want:  []string{"to f1/t1: KILL t1"},
		},
		{
			name:  "a task that is being killed can be killed again, sooner",
			given: "run f1/t1\nsandbox f1/t1\nexecutor subscribes f1/t1 secret=host\nexecutor updates f1/t1 t1 RUNNING u1\nkill f1/t1 grace=1h",
			want:  []string{"to f1/t1: KILL t1"},
		},
		{
			name:  "a task whose executor lost its session is killed when that is back",
			given: "run f1/t1 executor=e1\nsandbox f1/e1\nexecutor subscribes f1/e1\nexecutor updates f1/e1 t1 RUNNING u1\nexecutor closes f1/e1",
			want:  nil,
		},
		{
			name:  "a task whose executor was told to end ends with it",
			given: "run f1/t1 executor=e1\nsandbox f1/e1\nexecutor subscribes f1/e1\nexecutor updates f1/e1 t1 RUNNING u1\nend-executor f1/e1",
			want:  nil,
		},
		{
			name:  "a queued task whose executor is being killed ends with it",
			given: "run f1/t1 executor=e1\nsandbox f1/e1\nend-executor f1/e1",
			want:  nil,
		},
		{
			name:  "a task that has ended is left alone: its update is under way",
			given: "run f1/t1\nsandbox f1/t1\nexecutor subscribes f1/t1 secret=host\nexecutor updates f1/t1 t1 FINISHED u1",
			want:  nil,
		},
		{
			name:  "a task that has ended and is forgotten is lost",
			given: "run f1/t1\nsandbox f1/t1\nexecutor subscribes f1/t1 secret=host\nexecutor updates f1/t1 t1 FINISHED u1\nack f1/t1\nhost reports f1/t1",
			want:  []string{`to master: TaskUpdate f1/t1 TASK_LOST uuid=none REASON_RECONCILIATION "the task is not known to slave S1"`},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			for line := range strings.Lines(start + test.given) {
				if line = strings.TrimSpace(line); line != "" {
					b.command(line)
				}
			}
			if diff := cmp.Diff(test.want, b.command("kill f1/t1")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
