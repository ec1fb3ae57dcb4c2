// Package executor is what a custom executor is made of: its author writes an Executor, a value whose methods are called
// with tasks to run and to kill, and calls the Driver that they are given; Run does everything else.
//
//	type mine struct{ executor.Base }
//
//	func (mine) Launch(d *executor.Driver, task *mesos.TaskInfo) {
//		id := task.GetTaskId().GetValue()
//		d.Running(id)
//		go func() {
//			err := work(task.GetData())
//			d.Do(func() { d.Ended(id, err) })
//		}()
//	}
//
//	func main() {
//		if err := executor.Run(context.Background(), executor.Options{}, mine{}); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// The handlers of one executor run one at a time, on its own actor: its fields need no locks. They must not block; what
// takes long runs on a goroutine of the author's that comes back by Driver.Do. A panic in a handler is a panic of Run.
//
// A slave starts an executor in a container and says in its environment (MESOS_*) who it is and where the slave is; Run
// reads that, proves itself with the secret that is part of it, and subscribes. Updates are kept until the slave has
// acknowledged them. If the framework checkpoints, an executor outlives its slave's process: the driver subscribes anew
// and tells what was not acknowledged again, in its order. Else an executor that has lost its slave shuts down.
//
// Package executor/core is where the driver decides.
package executor

import (
	"github.com/stoa-project/stoa/executor/core"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
)

// Executor is what its author writes. Base has all of it but Launch, to be embedded.
type Executor interface {
	// Subscribed tells who the executor is, for which framework it runs, and on which slave. Again is true after an outage.
	Subscribed(d *Driver, info *executorpb.Event_Subscribed, again bool)
	// Launch hands over a task to run. The author tells how it goes: RUNNING, and in the end one terminal state.
	Launch(d *Driver, task *mesos.TaskInfo)
	// Kill asks for the end of a task, KILLED as a rule. Policy may be nil.
	Kill(d *Driver, taskID string, policy *mesos.KillPolicy)
	// Message is what the framework's scheduler sent.
	Message(d *Driver, data []byte)
	// Disconnected tells that the slave is away at the moment. Subscribed or Shutdown follows.
	Disconnected(d *Driver, reason string)
	// Shutdown asks the author to end all tasks and to call Driver.Stop. Run returns anyway when the grace period is over.
	Shutdown(d *Driver)
}

// Base is an Executor that lacks Launch. It kills no task by itself and shuts down at once.
type Base struct{}

// Subscribed does nothing.
func (Base) Subscribed(*Driver, *executorpb.Event_Subscribed, bool) {}

// Kill does nothing: the task runs on to its end.
func (Base) Kill(*Driver, string, *mesos.KillPolicy) {}

// Message does nothing.
func (Base) Message(*Driver, []byte) {}

// Disconnected does nothing.
func (Base) Disconnected(*Driver, string) {}

// Shutdown stops the driver.
func (Base) Shutdown(d *Driver) { d.Stop() }

// What the errors of Run wrap.
var (
	// ErrNoSlave: no first subscription came about in time.
	ErrNoSlave = core.ErrNoSlave
	// ErrLostSlave: the slave went away and did not come back in time.
	ErrLostSlave = core.ErrLostSlave
	// ErrRefused: the slave does not want this executor.
	ErrRefused = core.ErrRefused
	// ErrTooManyUpdates: more than core.MaxUnacknowledged updates wait for a slave.
	ErrTooManyUpdates = core.ErrTooManyUpdates
)
