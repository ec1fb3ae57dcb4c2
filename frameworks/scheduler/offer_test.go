package scheduler_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

func offerOf(t interface{ Fatal(...any) }, id, role, resources string) *scheduler.Offer {
	parsed, err := resource.Parse(resources)
	if err != nil {
		t.Fatal(err)
	}
	o, err := scheduler.NewOffer(&mesos.Offer{
		Id: mesos.NewOfferID(id), AgentId: mesos.NewAgentID("s-" + id), Hostname: proto.String("host-" + id),
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String(role)},
		Resources:      parsed.Allocate(role).ToProto(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestWhyATaskDoesNotFitAnOffer(t *testing.T) {
	const offered = "cpus:2;mem:64;disk:100;ports:[31000-31001]"
	for name, c := range map[string]struct {
		task scheduler.Task
		want string
	}{
		"it fits exactly":     {scheduler.Task{CPUs: 2, Mem: 64, Disk: 100, Ports: 2}, ""},
		"one is too little":   {scheduler.Task{CPUs: 4, Mem: 64}, "too small: has 2 of 4 cpus"},
		"all are told":        {scheduler.Task{CPUs: 2.5, Mem: 128, Disk: 200, GPUs: 1, Ports: 3}, "too small: has 2 of 2.5 cpus, 64 of 128 mem, 100 of 200 disk, 0 of 1 gpus, 2 of 3 ports"},
		"a thousandth counts": {scheduler.Task{CPUs: 2.001, Mem: 64}, "too small: has 2 of 2.001 cpus"},
		"another role's":      {scheduler.Task{CPUs: 1, Mem: 64, Role: "db"}, `offered to role "web", not to "db"`},
	} {
		t.Run(name, func(t *testing.T) {
			c.task.Command = "true"
			o := offerOf(t, "1", "web", offered)
			got := ""
			if err := o.Fits(c.task); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("Fits says %q, want %q", got, c.want)
			}
			if _, err := o.Take(c.task); (err == nil) != (c.want == "") {
				t.Errorf("Take says %v, Fits %q", err, got)
			}
		})
	}
}

func TestWishesThatMakeNoSenseAreToldWithTheirValues(t *testing.T) {
	for want, task := range map[string]scheduler.Task{
		"exactly one of Command, Args and Executor must be set, not 2": {Command: "a", Args: []string{"b"}, CPUs: 1},
		"exactly one of Command, Args and Executor must be set, not 0": {CPUs: 1},
		"wants -1 cpus":      {Command: "a", CPUs: -1},
		"wants -2 ports":     {Command: "a", CPUs: 1, Ports: -2},
		"wants no resources": {Command: "a"},
	} {
		if _, err := offerOf(t, "1", "*", "cpus:1").Take(task); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestTakeMakesATaskOnConcreteResourcesReservedOnesFirst(t *testing.T) {
	o := offerOf(t, "o1", "web", "cpus:2;cpus(web):1;mem:256;ports:[31000-31009]")
	got, err := o.Take(scheduler.Task{
		Name: "my task", Args: []string{"sleep", "1"}, Env: map[string]string{"B": "2", "A": "1"}, User: "nobody",
		CPUs: 1.5, Mem: 128, Ports: 2, Data: []byte("in"), Labels: map[string]string{"k": "v"},
	})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := resource.FromProto(got.GetResources())
	if err != nil {
		t.Fatal(err)
	}
	if want := "cpus(web):1;cpus:0.5;mem:128;ports:[31000-31001]"; !sameResources(t, taken, want) {
		t.Errorf("took %s, want %s", taken, want)
	}
	if left := o.Left(); !sameResources(t, left, "cpus:1.5;mem:128;ports:[31002-31009]") {
		t.Errorf("left %s", left)
	}
	if role := got.GetResources()[0].GetAllocationInfo().GetRole(); role != "web" {
		t.Errorf("allocated to %q, want to the offer's role", role)
	}
	if ports := scheduler.Ports(got); !cmp.Equal(ports, []uint64{31000, 31001}) {
		t.Errorf("ports %v", ports)
	}
	got.Resources = nil
	want := &mesos.TaskInfo{
		Name: proto.String("my task"), TaskId: mesos.NewTaskID("my-task.o1.1"), AgentId: mesos.NewAgentID("s-o1"), Data: []byte("in"),
		Labels: &mesos.Labels{Labels: []*mesos.Label{{Key: proto.String("k"), Value: proto.String("v")}}},
		Command: &mesos.CommandInfo{
			Shell: proto.Bool(false), Value: proto.String("sleep"), Arguments: []string{"sleep", "1"}, User: proto.String("nobody"),
			Environment: &mesos.Environment{Variables: []*mesos.Environment_Variable{
				{Name: proto.String("A"), Value: proto.String("1")}, {Name: proto.String("B"), Value: proto.String("2")},
			}},
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("task (-want +got):\n%s", diff)
	}
}

func sameResources(t *testing.T, got resource.Resources, want string) bool {
	t.Helper()
	parsed, err := resource.Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	return got.Unallocate().Equal(parsed)
}

func TestMatchSpreadsTasksAndSaysWhyTheRestIsNotPlaced(t *testing.T) {
	offers := []*scheduler.Offer{offerOf(t, "1", "*", "cpus:2;mem:1000"), offerOf(t, "2", "*", "cpus:3;mem:1000"), offerOf(t, "3", "*", "cpus:0.5;mem:1000")}
	var tasks []scheduler.Task
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		tasks = append(tasks, scheduler.Task{ID: id, Name: id, Command: "true", CPUs: 1, Mem: 10})
	}
	placed, unplaced := scheduler.Match(offers, tasks)
	got := map[string][]string{}
	for _, p := range placed {
		for _, task := range p.Tasks {
			got[p.Offer.ID()] = append(got[p.Offer.ID()], task.GetTaskId().GetValue())
		}
	}
	if diff := cmp.Diff(map[string][]string{"1": {"a", "c"}, "2": {"b", "d", "e"}}, got); diff != "" {
		t.Errorf("placed (-want +got):\n%s", diff)
	}
	if len(unplaced) != 1 || unplaced[0].Task.ID != "f" {
		t.Fatalf("unplaced %v, want f", unplaced)
	}
	var reasons []string
	for _, r := range unplaced[0].Reasons {
		reasons = append(reasons, r.Hostname+" "+r.Err.Error())
	}
	want := []string{"host-1 too small: has 0 of 1 cpus", "host-2 too small: has 0 of 1 cpus", "host-3 too small: has 0.5 of 1 cpus"}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// Whatever is taken, in whatever order: what tasks have and what is left is what was offered.
func TestNothingIsLostOrMadeByTaking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := offerOf(t, "1", "web", "cpus:3;cpus(web):2;mem:512;mem(web):512;disk:100;ports:[1-5,10-15]")
		offered, sum := o.Left(), resource.Resources{}
		for range rapid.IntRange(0, 8).Draw(t, "tasks") {
			task := scheduler.Task{
				Name: "t", Command: "true", CPUs: rapid.Float64Range(0, 3).Draw(t, "cpus"),
				Mem: rapid.Float64Range(1, 400).Draw(t, "mem"), Disk: rapid.Float64Range(0, 50).Draw(t, "disk"), Ports: rapid.IntRange(0, 4).Draw(t, "ports"),
			}
			fits := o.Fits(task)
			info, err := o.Take(task)
			if (fits == nil) != (err == nil) {
				t.Fatalf("Fits says %v, Take %v", fits, err)
			}
			if err != nil {
				continue
			}
			taken, err := resource.FromProto(info.GetResources())
			if err != nil {
				t.Fatal(err)
			}
			if taken.Get("cpus") != resource.Thousandths(task.CPUs) || taken.Count("ports") != task.Ports {
				t.Fatalf("took %s for %+v", taken, task)
			}
			sum = sum.Add(taken)
		}
		if whole := sum.Add(o.Left()); !whole.Equal(offered) {
			t.Fatalf("taken and left are %s, offered was %s", whole, offered)
		}
	})
}
