package integration_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

// hello runs one task and ends with it. It is the framework of the package's example.
type hello struct {
	scheduler.Base
	launched bool
}

func (h *hello) Offers(d *scheduler.Driver, offers []*scheduler.Offer) {
	for _, o := range offers {
		if info, err := o.Take(scheduler.Task{Name: "hello", Command: "echo hello", CPUs: 0.1, Mem: 32}); err == nil && !h.launched {
			h.launched = true
			d.Launch(o, info)
			continue
		}
		d.Decline(o)
	}
}

func (h *hello) Update(d *scheduler.Driver, status *mesos.TaskStatus) {
	if mesos.IsTerminal(status.GetState()) {
		d.Teardown(nil)
	}
}

// The example of the package's documentation, line by line.
func TestHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fake time; leave it out for real time
		c := integration.New(t, integration.Slaves(2), integration.Resources("cpus:4;mem:1024"),
			integration.Commands(func(spec containerizer.Spec) fake.Behaviour {
				return fake.Behaviour{Stdout: "hello\n", Lasts: time.Minute}
			}))
		ended := make(chan error, 1)
		go func() { ended <- scheduler.Run(t.Context(), c.Scheduler("hello"), &hello{}) }()
		c.Await("a command runs", func() bool { return c.Running() == 1 })
		c.Kill("master")
		c.Restart("master") // it remembers nothing
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
