package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/scheduler/core"
	"github.com/stoa-project/stoa/proto/wire"
)

// closeTimeout bounds the driver's way out: what it has sent leaves, its connection is closed.
const closeTimeout = 2 * time.Second

// Run is the life of a scheduler: it connects to the master, calls s, and returns when the author ends it (Driver.Teardown,
// Driver.Stop: with their error), when there is no master for too long or the master refuses the framework (ErrNoMaster,
// ErrLostMaster, ErrRefused), or when ctx ends, which is Stop with ctx's cause. When it returns nothing of it runs any more.
func Run(ctx context.Context, options Options, s Scheduler) error {
	return RunWith(ctx, options, func(*Driver) Scheduler { return s })
}

// RunWith is Run for a scheduler that needs its driver from birth, to hand it to goroutines that come back by Driver.Do.
func RunWith(ctx context.Context, options Options, produce func(*Driver) Scheduler) error {
	o, err := options.withDefaults()
	if err != nil {
		return err
	}
	id, err := readID(o.FrameworkIDFile)
	if err != nil {
		return err
	}
	if id == "" {
		id = o.FrameworkID
	}
	info, err := o.info(id)
	if err != nil {
		return err
	}
	c := core.New(core.Config{
		Framework: info, Constraints: o.constraints(), Master: o.Master,
		ConnectTimeout: o.ConnectTimeout, ReconnectTimeout: o.ReconnectTimeout,
		ManualAcknowledge: o.ManualAcknowledge, Seed: rand.Uint64(),
	})
	return live(ctx, o, c, produce)
}

// live runs the actor until it ends, in an actor system of its own.
func live(ctx context.Context, o Options, c *core.Core, produce func(*Driver) Scheduler) error {
	panics := make(chan string, 1)
	sys := actor.NewSystem(actor.SystemOptions{
		Role: wire.RoleFramework, Log: o.Log,
		OnPanic: func(_ actor.PID, value any, stack []byte) {
			select {
			case panics <- fmt.Sprintf("scheduler %q: %v\n\n%s", o.Name, value, stack):
			default: // the first one counts
			}
		},
	})
	net, err := remote.Start(remote.Options{System: sys, Network: o.Network, TLS: o.TLS, May: may, OwnSenders: true})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	defer closeDown(o, sys, net)
	d := &Driver{sys: sys}
	d.shell = shell{
		core: c, driver: d, produce: produce, options: o, master: actor.At(o.Master, masterName),
		ended: func(err error) { ended <- err },
	}
	pid := sys.Spawn("scheduler", func() actor.Actor { return &d.shell })
	return wait(ctx, sys, pid, ended, panics)
}

// closeDown lets what was sent leave, and ends what is left of a driver.
func closeDown(o Options, sys *actor.System, net *remote.Remote) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := errors.Join(sys.Shutdown(ctx), net.Close(ctx)); err != nil {
		o.Log.Warn().Err(err).Msg("the scheduler's end")
	}
}

// wait returns how the scheduler ended. A panic of its actor goes on here, where the author sees it.
func wait(ctx context.Context, sys *actor.System, pid actor.PID, ended <-chan error, panics <-chan string) error {
	done := ctx.Done()
	for {
		select {
		case err := <-ended:
			return err
		case text := <-panics:
			panic(text)
		case <-done:
			done = nil
			sys.Send(pid, stop{context.Cause(ctx)})
		}
	}
}

func may(from actor.Role, message protoreflect.FullName) bool { return wire.May(string(from), message) }
