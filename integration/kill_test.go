package integration_test

import (
	"testing"
	"time"

	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// A task can be killed at each moment of its life. Whatever it was doing: its end is told, once; nothing of it runs; its
// resources are offered again.
func TestATaskIsKilledAtEachMomentOfItsLife(t *testing.T) {
	running := func(f *framework, c *integration.Cluster) { f.awaitState(mesos.TaskState_TASK_RUNNING, "t") }
	moments := map[string]struct {
		task []string // its command
		// until brings the story to the moment of the kill.
		until func(f *framework, c *integration.Cluster)
		// after is what happens after the kill, nil for nothing.
		after func(f *framework, c *integration.Cluster)
		want  []mesos.TaskState // one of which the end is
	}{
		"before it is launched, unknown to all": {
			until: func(*framework, *integration.Cluster) {},
			want:  []mesos.TaskState{mesos.TaskState_TASK_UNKNOWN, mesos.TaskState_TASK_GONE, mesos.TaskState_TASK_DROPPED},
		},
		"while its launch is on its way to the slave": {
			task: []string{"forever"},
			until: func(f *framework, c *integration.Cluster) {
				c.Pause("slave1")
				f.await("it is launched", func() bool { return len(c.Ask(masterpb.Call_GET_TASKS).GetGetTasks().GetTasks()) == 1 })
			},
			after: func(f *framework, c *integration.Cluster) { c.Resume("slave1") },
			want:  []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		},
		"while its container is made": {
			task:  []string{"slow", "20s"},
			until: func(f *framework, c *integration.Cluster) { f.awaitState(mesos.TaskState_TASK_STARTING, "t") },
			want:  []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		},
		"while it runs": {
			task: []string{"forever"}, until: running,
			want: []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		},
		"while it runs and does not listen": {
			task: []string{"stubborn"}, until: running,
			want: []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		},
		"twice": {
			task: []string{"stubborn"}, until: running,
			after: func(f *framework, c *integration.Cluster) {
				f.awaitState(mesos.TaskState_TASK_KILLING, "t")
				f.kill("t")
			},
			want: []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		},
		"while its host dies": {
			task: []string{"stubborn"}, until: running,
			after: func(f *framework, c *integration.Cluster) {
				f.awaitState(mesos.TaskState_TASK_KILLING, "t")
				c.Kill("host1")
			},
			want: []mesos.TaskState{mesos.TaskState_TASK_GONE, mesos.TaskState_TASK_KILLED},
		},
		"while its slave is cut off": {
			task: []string{"forever"},
			until: func(f *framework, c *integration.Cluster) {
				running(f, c)
				c.Partition("slave1", "master")
				c.AwaitSlaves(0)
			},
			after: func(f *framework, c *integration.Cluster) { c.Heal("slave1", "master") },
			want:  []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		},
		"while its slave is unreachable": {
			task: []string{"forever"},
			until: func(f *framework, c *integration.Cluster) {
				running(f, c)
				c.Partition("slave1", "master")
				f.awaitStateFor(2*time.Minute, mesos.TaskState_TASK_UNREACHABLE, "t")
			},
			after: func(f *framework, c *integration.Cluster) { c.Heal("slave1", "master") },
			want:  []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		},
		"while there is no master": {
			task: []string{"forever"},
			until: func(f *framework, c *integration.Cluster) {
				running(f, c)
				c.Kill("master")
				f.await("the scheduler misses its master", func() bool { return f.news()[len(f.news())-1] == "disconnected" })
			},
			after: func(f *framework, c *integration.Cluster) { c.Restart("master") },
			want:  []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		},
		"when it has ended, before anybody knows": {
			task: []string{"sleep", "2s"},
			until: func(f *framework, c *integration.Cluster) {
				running(f, c)
				c.Pause("host1")
				c.Await("it has ended", func() bool { return c.Running() == 0 })
			},
			after: func(f *framework, c *integration.Cluster) { c.Resume("host1") },
			want:  []mesos.TaskState{mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_KILLED},
		},
		"when it has ended and all know": {
			task:  []string{"sleep", "2s"},
			until: func(f *framework, c *integration.Cluster) { f.awaitState(mesos.TaskState_TASK_FINISHED, "t") },
			want:  []mesos.TaskState{mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_UNKNOWN, mesos.TaskState_TASK_GONE},
		},
	}
	for moment, story := range moments {
		t.Run(moment, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
				f := subscribe(t, c, "job", checkpointing)
				if story.task != nil {
					f.launch(task("t", story.task...))
				}
				story.until(f, c)
				f.kill("t")
				if story.after != nil {
					story.after(f, c)
				}
				isEnd := func(s mesos.TaskState) bool {
					for _, want := range story.want {
						if s == want {
							return true
						}
					}
					return false
				}
				f.await("its end is told", func() bool { s := f.last("t"); return s != nil && isEnd(s.GetState()) })
				c.Await("nothing runs", func() bool { return c.Running() == 0 })
				expectOneEnd(t, f, "t")
				if story.task != nil {
					expectStartedAtMostOnce(t, c)
				}
				f.hoardOffers()
				f.do(func(d *driver) { d.Revive() })
				f.await("all resources are offered again", func() bool {
					for _, o := range f.held() {
						if o.Left().Get("cpus") == 4*resource.Unit {
							return true
						}
					}
					return false
				})
			})
		})
	}
}

// expectOneEnd fails the test if different ends of a task were told, or anything after its end.
func expectOneEnd(t *testing.T, f *framework, id string) {
	t.Helper()
	var end mesos.TaskState
	for _, s := range f.of(id) {
		switch state := s.GetState(); {
		case end == 0:
			if mesos.IsTerminal(state) {
				end = state
			}
		case state != end:
			t.Errorf("task %s was %v after its end, %v", id, state, end)
		}
	}
}
