package integration_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func inRole(role string) func(*scheduler.Options) {
	return func(o *scheduler.Options) { o.Roles = []string{role} }
}

// wantEverything has a framework launch tasks as long as there are offers.
func (f *framework) wantEverything(n int, wish scheduler.Task) {
	tasks := make([]scheduler.Task, n)
	for i := range tasks {
		tasks[i] = wish
		tasks[i].ID = fmt.Sprintf("%s%03d", wish.Name, i)
	}
	f.launch(tasks...)
}

// runs is how many tasks of a framework are running.
func (f *framework) runs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, all := range f.statuses {
		if all[len(all)-1].GetState() == mesos.TaskState_TASK_RUNNING {
			n++
		}
	}
	return n
}

// Two frameworks that want all they can get have equal shares, in one role as well as in two.
func TestTwoFrameworksShareFairly(t *testing.T) {
	for name, roles := range map[string][2]string{"in one role": {"*", "*"}, "in two roles": {"web", "batch"}} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
				a, b := subscribe(t, c, "a", inRole(roles[0])), subscribe(t, c, "b", inRole(roles[1]))
				if share := sharedForAMinute(t, a, b); share < 0.4 || share > 0.6 {
					t.Errorf("the first has %.0f %% of what runs, want about half", 100*share)
				}
			}, integration.Slaves(3), integration.Resources("cpus:4;mem:128")) // what is left of an offer is of no use to anybody
		})
	}
}

func TestARoleOfThreeTimesTheWeightGetsThreeTimesAsMuch(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		_, err := c.Client().Call(t.Context(), &masterpb.Call{
			Type: masterpb.Call_UPDATE_WEIGHTS.Enum(),
			UpdateWeights: &masterpb.Call_UpdateWeights{WeightInfos: []*mesos.WeightInfo{
				{Role: proto.String("web"), Weight: proto.Float64(3)},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		a, b := subscribe(t, c, "a", inRole("web")), subscribe(t, c, "b", inRole("batch"))
		if share := sharedForAMinute(t, a, b); share < 0.65 || share > 0.85 {
			t.Errorf("the first has %.0f %% of what runs, want about three quarters", 100*share)
		}
	}, integration.Slaves(3), integration.Resources("cpus:4;mem:128"))
}

// sharedForAMinute lets two frameworks want all they can get, of a cluster with room for 12 tasks, and gives the first
// one's part of what runs. The tasks are short and of different lengths, so that room is offered again and again.
func sharedForAMinute(t *testing.T, a, b *framework) float64 {
	t.Helper()
	for _, f := range []*framework{a, b} {
		var tasks []scheduler.Task
		for i := range 150 {
			tasks = append(tasks, task(fmt.Sprintf("t%03d", i), "sleep", fmt.Sprintf("%dms", 5000+(i*777)%6000)))
		}
		f.launch(tasks...)
	}
	time.Sleep(20 * time.Second) // of fake time: until the start is forgotten
	var ofA, ofB int
	for range 60 {
		time.Sleep(time.Second)
		ofA += a.runs()
		ofB += b.runs()
	}
	t.Logf("in 60 s: %d and %d running tasks times seconds", ofA, ofB)
	if busy := float64(ofA+ofB) / (60 * 12); busy < 0.9 {
		t.Errorf("%.0f %% of the cluster was busy, want nearly all", 100*busy)
	}
	return float64(ofA) / float64(ofA+ofB)
}

// The example of the paper (Ghodsi et al. 2011, §4.1): 9 cpus and 18 GB; tasks of <1 cpu, 4 GB> and of <3 cpus, 1 GB>. Fair
// are 3 of the first and 2 of the second: both then have two thirds of their dominant resource.
func TestDominantResourcesAreSharedAsInThePaper(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		a, b := subscribe(t, c, "a"), subscribe(t, c, "b")
		a.beModest()
		b.beModest()
		c.Kill("slave1") // so that nobody is offered anything before both want it
		a.wantEverything(20, scheduler.Task{Name: "a", Args: []string{"forever"}, CPUs: 1, Mem: 4096})
		b.wantEverything(20, scheduler.Task{Name: "b", Args: []string{"forever"}, CPUs: 3, Mem: 1024})
		c.Restart("slave1")
		time.Sleep(time.Minute) // of fake time: until nothing more fits
		if a.runs() != 3 || b.runs() != 2 {
			t.Errorf("%d tasks of a and %d of b run, want 3 and 2", a.runs(), b.runs())
		}
	}, integration.Slaves(1), integration.Resources("cpus:9;mem:18432"))
}
