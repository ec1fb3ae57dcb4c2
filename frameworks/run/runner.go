package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// askTimeout bounds the question why instances wait.
const askTimeout = 3 * time.Second

// runner is the scheduler: it feeds the plan and does what the plan wants.
type runner struct {
	scheduler.Base
	o       Options
	driver  *scheduler.Driver
	plan    *plan
	outputs *outputs
	err     io.Writer
	timer   scheduler.Timer
	wakeAt  time.Time
}

func run(ctx context.Context, o Options, files *scheduler.Files, out, err io.Writer) (Result, error) {
	errLines := &lockedWriter{w: err}
	r := &runner{o: o, err: errLines, plan: newPlan(o, time.Now())}
	r.outputs = newOutputs(o, out, errLines, r.outputEnded)
	options := scheduler.Options{
		Master: o.Master, Name: o.Name, User: o.User, Roles: o.Roles, Files: files, FailoverTimeout: o.FailoverTimeout,
		MinAllocatable: everywhere(o.Roles, o.MinAllocatable), OfferConstraints: everywhere(o.Roles, o.OfferConstraints),
		ConnectTimeout: o.ConnectTimeout, ReconnectTimeout: o.ReconnectTimeout, Network: o.Network, TLS: o.TLS, Log: o.Log,
	}
	var interrupted func() bool
	// The scheduler outlives ctx: the tasks have to end first.
	failure := scheduler.RunWith(context.WithoutCancel(ctx), options, func(d *scheduler.Driver) scheduler.Scheduler {
		r.driver = d
		interrupted = context.AfterFunc(ctx, func() { d.Do(func() { r.interrupt() }) })
		return r
	})
	if interrupted != nil {
		interrupted()
	}
	r.outputs.close()
	if failure != nil {
		result := r.plan.result()
		result.ExitCode, result.Reason, result.Message = ExitFailed, reasonOf(failure), failure.Error()
		return result, failure
	}
	return r.plan.result(), nil
}

// everywhere says the same of each role; nothing if there is nothing to say.
func everywhere[V any](roles []string, list []V) map[string][]V {
	if list == nil {
		return nil
	}
	all := map[string][]V{}
	for _, role := range roles {
		all[role] = list
	}
	return all
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, scheduler.ErrNoMaster):
		return ReasonNoMaster
	case errors.Is(err, scheduler.ErrLostMaster):
		return ReasonMasterLost
	case errors.Is(err, scheduler.ErrRefused):
		return ReasonRefused
	}
	return ReasonFailed
}

// Subscribed knows the framework from now on.
func (r *runner) Subscribed(d *scheduler.Driver, frameworkID string, again bool) {
	r.plan.frameworkID = frameworkID
	if again {
		r.say("the master is back")
	}
	r.carryOut()
}

// Offers places instances.
func (r *runner) Offers(d *scheduler.Driver, offers []*scheduler.Offer) {
	r.plan.offers(d.Now(), offers)
	r.carryOut()
}

// Rescinded forgets an offer.
func (r *runner) Rescinded(_ *scheduler.Driver, offerID string) { r.plan.rescinded(offerID) }

// Operation says what became of the persistent volume if that is not as it should be.
func (r *runner) Operation(_ *scheduler.Driver, status *mesos.OperationStatus) {
	r.plan.operated(status)
	defer r.carryOut()
	if status.GetState() != mesos.OperationState_OPERATION_FINISHED {
		r.say(fmt.Sprintf("the persistent volume: %v: %s", status.GetState(), status.GetMessage()))
	}
}

// Update is news of an instance.
func (r *runner) Update(d *scheduler.Driver, status *mesos.TaskStatus) {
	r.plan.update(d.Now(), status)
	r.carryOut()
}

// Disconnected says so at once.
func (r *runner) Disconnected(_ *scheduler.Driver, err error) {
	r.say(err.Error() + "; trying again")
}

func (r *runner) interrupt() {
	r.plan.interrupt(r.driver.Now())
	r.carryOut()
}

func (r *runner) outputEnded(instance int, stream string, err error, writing bool) {
	r.driver.Do(func() {
		r.plan.outputEnded(r.driver.Now(), instance, stream, err, writing)
		r.carryOut()
	})
}

func (r *runner) wake() {
	r.wakeAt = time.Time{}
	r.plan.tick(r.driver.Now())
	r.carryOut()
}

// carryOut does what the plan wants, until it wants nothing more for now.
func (r *runner) carryOut() {
	for ops := r.plan.take(); len(ops) > 0; ops = r.plan.take() {
		for _, op := range ops {
			r.one(op)
		}
	}
	at := r.plan.deadline()
	if at.Equal(r.wakeAt) {
		return
	}
	r.timer.Cancel()
	r.wakeAt = at
	if !at.IsZero() {
		r.timer = r.driver.After(max(0, at.Sub(r.driver.Now())), r.wake)
	}
}

func (r *runner) one(op operation) {
	switch op := op.(type) {
	case launch:
		_, left := r.o.refuse()
		r.driver.LaunchFor(left, op.placement.Offer, op.placement.Tasks...)
	case decline:
		declined, _ := r.o.refuse()
		r.driver.DeclineFor(declined, op.offers...)
	case kill:
		r.driver.Kill(op.taskID, 0)
	case suppress:
		r.driver.Suppress()
	case revive:
		r.driver.Revive()
	case follow:
		r.outputs.follow(op.instance, op.place)
	case endOutput:
		r.outputs.end(op.instance, op.lost)
	case ask:
		r.ask()
	case find:
		r.find()
	case say:
		r.say(op.line)
	case finish:
		r.driver.Teardown(nil)
	default:
		panic(fmt.Sprintf("run: unknown operation %T", op))
	}
}

// ask wants to know from the master why instances wait, and before that what the slaves are, if that matters.
func (r *runner) ask() {
	if len(r.o.Constraints) == 0 {
		r.askWhy(nil)
		return
	}
	call := &masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()}
	r.driver.Ask(call, askTimeout, func(answer *masterpb.Response, err error) {
		if err != nil {
			r.plan.explainedBy(reasons{}, err)
			r.carryOut()
			return
		}
		r.askWhy(answer.GetGetAgents().GetAgents())
	})
}

func (r *runner) askWhy(agents []*masterpb.Response_GetAgents_Agent) {
	task := r.o.task(0, 0)
	r.driver.Explain(r.o.Roles[0], need(task), askTimeout, func(answer *wire.Explanation, err error) {
		r.plan.explainedBy(readReasons(answer, r.o.Roles).constrained(task, r.plan.places(), agents), err)
		r.carryOut()
	})
}

// find wants to know from the master which slaves have the persistent volume.
func (r *runner) find() {
	call := &masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()}
	r.driver.Ask(call, askTimeout, func(answer *masterpb.Response, err error) {
		r.plan.found(r.driver.Now(), r.o.Volume.slaves(r.o.Roles[0], answer.GetGetAgents()), err)
		r.carryOut()
	})
}

func (r *runner) say(line string) {
	fmt.Fprintf(r.err, "stoa run: %s\n", line) // if even this can not be written there is nobody to tell
}

// lockedWriter lets several write to one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
