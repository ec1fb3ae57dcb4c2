// Package scheduler is what a framework is made of: its author writes a Scheduler, a value whose methods are called with
// offers and with news of tasks, and calls the Driver that they are given; Run does everything else.
//
//	type hello struct{ scheduler.Base }
//
//	func (hello) Offers(d *scheduler.Driver, offers []*scheduler.Offer) {
//		for _, o := range offers {
//			task, err := o.Take(scheduler.Task{Name: "hello", Command: "echo hello", CPUs: 0.1, Mem: 32})
//			if err != nil {
//				d.Decline(o) // err says why: "too small: has 16 of 32 mem"
//				continue
//			}
//			d.Launch(o, task)
//		}
//	}
//
//	err := scheduler.Run(ctx, scheduler.Options{Name: "hello"}, hello{})
//
// The handlers of one scheduler run one at a time, on its own actor: its fields need no locks. They must not block; what
// takes long runs on a goroutine of the author's that comes back by Driver.Do. A panic in a handler is a panic of Run.
//
// Run connects, subscribes, and connects again when the master has gone for a while. Each update of a task is handed over
// once, in the order of the task's life, and is acknowledged when the handler has returned. After an outage the driver
// asks the master about every task that has not ended, until each has been heard of, and repeats kills. What can not be
// launched for lack of a master comes back as TASK_DROPPED.
//
// Package scheduler/schedulertest has a master for tests of frameworks, scheduler/sandbox reads what tasks wrote, and
// scheduler/core is where the driver decides.
package scheduler

import (
	"github.com/stoa-project/stoa/frameworks/scheduler/core"
	"github.com/stoa-project/stoa/proto/mesos"
)

// Scheduler is what a framework's author writes. Base has all of it, empty, to be embedded.
type Scheduler interface {
	// Subscribed tells that the master knows the framework and will send offers. Again is true after an outage.
	Subscribed(d *Driver, frameworkID string, again bool)
	// Offers hands over resources. They are the framework's until it launches on them, declines them, or they are
	// rescinded; other frameworks get nothing of them meanwhile.
	Offers(d *Driver, offers []*Offer)
	// Rescinded tells that an offer is void.
	Rescinded(d *Driver, offerID string)
	// InverseOffers tells that slaves will be away for maintenance, which the framework uses: it is asked to leave them until
	// then. Driver.AcceptInverse and Driver.DeclineInverse say whether it will. Whatever it says, they will be away.
	InverseOffers(d *Driver, offers []*mesos.InverseOffer)
	// InverseRescinded tells that the framework is not asked any more.
	InverseRescinded(d *Driver, offerID string)
	// Update is news of a task.
	Update(d *Driver, status *mesos.TaskStatus)
	// Operation is news of an operation on resources that has an id, as those of Offer have: OPERATION_FINISHED, or what
	// became of it otherwise. The driver acknowledges it.
	Operation(d *Driver, status *mesos.OperationStatus)
	// Message is what an executor of the framework sent.
	Message(d *Driver, slaveID, executorID string, data []byte)
	// Failure tells that a slave has gone (executorID is empty) or that an executor has ended, with its wait status as
	// wait(2) gives it. News of the tasks comes by Update.
	Failure(d *Driver, slaveID, executorID string, waitStatus int32)
	// Disconnected tells, at once, that there is no master at the moment. All offers are void. The driver goes on trying;
	// Subscribed or Error follows.
	Disconnected(d *Driver, err error)
	// Error tells that it is over: err is what Run returns, and wraps ErrNoMaster, ErrLostMaster or ErrRefused.
	Error(d *Driver, err error)
}

// Base is a Scheduler that declines every offer and ignores everything else.
type Base struct{}

// Subscribed does nothing.
func (Base) Subscribed(*Driver, string, bool) {}

// Offers declines them all.
func (Base) Offers(d *Driver, offers []*Offer) { d.Decline(offers...) }

// Rescinded does nothing.
func (Base) Rescinded(*Driver, string) {}

// InverseOffers leaves them without an answer.
func (Base) InverseOffers(*Driver, []*mesos.InverseOffer) {}

// InverseRescinded does nothing.
func (Base) InverseRescinded(*Driver, string) {}

// Update does nothing: the driver acknowledges.
func (Base) Update(*Driver, *mesos.TaskStatus) {}

// Operation does nothing.
func (Base) Operation(*Driver, *mesos.OperationStatus) {}

// Message does nothing.
func (Base) Message(*Driver, string, string, []byte) {}

// Failure does nothing.
func (Base) Failure(*Driver, string, string, int32) {}

// Disconnected does nothing.
func (Base) Disconnected(*Driver, error) {}

// Error does nothing: Run returns the error.
func (Base) Error(*Driver, error) {}

// What the errors of Run wrap.
var (
	// ErrNoMaster: no first connection came about within ConnectTimeout.
	ErrNoMaster = core.ErrNoMaster
	// ErrLostMaster: the master stayed away for ReconnectTimeout.
	ErrLostMaster = core.ErrLostMaster
	// ErrRefused: the master refused the framework, or ended its subscription.
	ErrRefused = core.ErrRefused
)

// TaskRecord is what the driver knows of a task.
type TaskRecord = core.Task
