package scheduler_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

func left(o *scheduler.Offer) string { return o.Left().Unallocate().String() }

func TestWhatIsMadeOfAnOfferIsThereToBeTaken(t *testing.T) {
	o := offerOf(t, "1", "web", "cpus:2;mem:64;disk:200")
	for _, step := range []struct {
		name string
		do   func() (string, error)
		id   string
		want string
	}{
		{
			"reserve", func() (string, error) { return o.Reserve(resource.MustParse("disk:150;cpus:1")) }, "1.1",
			"cpus:1;cpus(reserved: dynamic web):1;disk:50;disk(reserved: dynamic web):150;mem:64",
		},
		{
			"create", func() (string, error) { return o.CreateVolume("v1", "data", 100, false) }, "1.2",
			"cpus:1;cpus(reserved: dynamic web):1;disk:50;disk(reserved: dynamic web):50;disk(reserved: dynamic web)(volume: v1):100;mem:64",
		},
		{
			"grow", func() (string, error) { return o.GrowVolume("v1", 50) }, "1.3",
			"cpus:1;cpus(reserved: dynamic web):1;disk:50;disk(reserved: dynamic web)(volume: v1):150;mem:64",
		},
		{
			"shrink", func() (string, error) { return o.ShrinkVolume("v1", 30) }, "1.4",
			"cpus:1;cpus(reserved: dynamic web):1;disk:50;disk(reserved: dynamic web):30;disk(reserved: dynamic web)(volume: v1):120;mem:64",
		},
		{
			"unreserve", func() (string, error) { return o.Unreserve(resource.MustParse("disk:30")) }, "1.5",
			"cpus:1;cpus(reserved: dynamic web):1;disk:80;disk(reserved: dynamic web)(volume: v1):120;mem:64",
		},
	} {
		id, err := step.do()
		if err != nil || id != step.id || left(o) != step.want {
			t.Errorf("%s: operation %q (%v) leaves\n%s, want %q and\n%s", step.name, id, err, left(o), step.id, step.want)
		}
	}
	info, err := o.Take(scheduler.Task{Name: "t", Command: "true", CPUs: 2, Mem: 64, Volumes: []scheduler.Volume{{ID: "v1", Path: "/mine", ReadOnly: true}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := resource.FromProto(info.GetResources())
	if err != nil {
		t.Fatal(err)
	}
	for v := range r.Volumes().All() {
		if at := v.Disk().GetVolume(); at.GetContainerPath() != "/mine" || at.GetMode() != mesos.Volume_RO {
			t.Errorf("the task sees its volume at %v", at)
		}
	}
	if r.Volumes().IsEmpty() || left(o) != "disk:80" {
		t.Errorf("the task has %v, and %s is left", r, left(o))
	}
	if n := len(o.Operations()); n != 5 {
		t.Errorf("there are %d operations, want 5", n)
	}
	if _, err := o.DestroyVolume("v1"); err == nil {
		t.Error("a volume that a task has was destroyed")
	}
}

func TestWhatCannotBeMadeOfAnOfferChangesNothing(t *testing.T) {
	o := offerOf(t, "1", "web", "cpus:2;disk:200;disk(web):10")
	before := left(o)
	for name, c := range map[string]struct {
		do   func() (string, error)
		want string
	}{
		"more than there is":       {func() (string, error) { return o.Reserve(resource.MustParse("cpus:3")) }, "too small: has 2 of 3 cpus"},
		"unreserve what is static": {func() (string, error) { return o.Unreserve(resource.MustParse("disk:10")) }, "too small: has 0 of 10 disk"},
		"create beyond what is reserved": {
			func() (string, error) { return o.CreateVolume("v", "x", 50, false) },
			"too small: has 10 of 50 disk",
		},
		"create with a bad path": {
			func() (string, error) { return o.CreateVolume("v", "../x", 5, false) },
			`persistent volume "v": container_path "../x" of a volume has ".." in it, which is not allowed`,
		},
		"create with a bad id": {
			func() (string, error) { return o.CreateVolume("a/b", "x", 5, false) },
			`resource "disk": id of a persistent volume "a/b" has '/' at byte 1: slashes, backslashes and control characters are not allowed`,
		},
		"destroy what is not there": {func() (string, error) { return o.DestroyVolume("v") }, `there is no persistent volume "v" of role "web" in what is left of the offer`},
		"take a volume that is not there": {func() (string, error) {
			_, err := o.Take(scheduler.Task{Name: "t", Command: "true", CPUs: 1, Volumes: []scheduler.Volume{{ID: "v"}}})
			return "", err
		}, `there is no persistent volume "v" of role "web" in what is left of the offer`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.do(); err == nil || err.Error() != c.want {
				t.Errorf("it says %v, want %s", err, c.want)
			}
			if left(o) != before || len(o.Operations()) > 0 {
				t.Errorf("%s is left, it was %s; operations %v", left(o), before, o.Operations())
			}
		})
	}
}

func TestASharedVolumeIsTakenByManyTasks(t *testing.T) {
	o := offerOf(t, "1", "web", "cpus:2;disk(web):10")
	if _, err := o.CreateVolume("v", "x", 10, true); err != nil {
		t.Fatal(err)
	}
	task := scheduler.Task{Name: "t", Command: "true", CPUs: 1, Volumes: []scheduler.Volume{{ID: "v"}}}
	for range 2 {
		if _, err := o.Take(task); err != nil {
			t.Fatal(err)
		}
	}
	if got := left(o); got != "disk(web)(shared)(volume: v):10" {
		t.Errorf("%s is left", got)
	}
}

// A new executor's own resources come out of the offer too, once.
func TestATaskTakesWhatItsNewExecutorNeeds(t *testing.T) {
	executor := &mesos.ExecutorInfo{
		ExecutorId: mesos.NewExecutorID("e"), Command: &mesos.CommandInfo{Value: proto.String("e")}, Resources: resource.MustParse("cpus:0.5;mem:32").ToProto(),
	}
	task := scheduler.Task{Name: "t", Executor: executor, CPUs: 1, Mem: 16}
	o := offerOf(t, "1", "web", "cpus:2.6;mem:64")
	first, err := o.Take(task)
	if err != nil || left(o) != "cpus:1.1;mem:16" {
		t.Fatalf("after the first task (%v) %s is left", err, left(o))
	}
	second, err := o.Take(task)
	if err != nil || left(o) != "cpus:0.1" {
		t.Fatalf("after the second task (%v) %s is left", err, left(o))
	}
	if !proto.Equal(first.GetExecutor(), second.GetExecutor()) {
		t.Errorf("the two tasks name different executors, %v and %v", first.GetExecutor(), second.GetExecutor())
	}

	small := offerOf(t, "2", "web", "cpus:1.2;mem:64")
	if err := small.Fits(task); err == nil || err.Error() != "too small for the task and its executor e: has 0.2 of 0.5 cpus" {
		t.Errorf("an offer that has room for the task alone says %v", err)
	}
	small.Info.ExecutorIds = []*mesos.ExecutorID{mesos.NewExecutorID("e")}
	if err := small.Fits(task); err != nil {
		t.Errorf("an offer beside the executor says %v", err)
	}

	reserved := offerOf(t, "3", "web", "cpus(web):4;mem(web):64")
	info, err := reserved.Take(task)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := resource.FromProto(info.GetExecutor().GetResources()); r.String() != "cpus(web):0.5;mem(web):32" {
		t.Errorf("on reserved resources the executor has %v", r)
	}
}
