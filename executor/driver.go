package executor

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/executor/core"
	"github.com/stoa-project/stoa/proto/mesos"
)

// Driver is an executor's end of its connection to the slave. Its methods belong to the handlers and to the functions
// given to Do and After; they panic elsewhere, but for Do. None of them waits.
type Driver struct {
	shell shell
	pid   actor.PID
	sys   *actor.System
}

// Update tells how a task goes. The driver adds uuid, source, executor id and, if there is none, the time. A status
// without a task's id or with a state that is not an executor's to set is a bug of the author's, and panics.
func (d *Driver) Update(status *mesos.TaskStatus) {
	d.mine()
	if err := core.CheckStatus(status); err != nil {
		panic("executor.Driver.Update: " + err.Error())
	}
	d.shell.step(core.Update{Status: status})
}

// Running tells that a task runs.
func (d *Driver) Running(taskID string) { d.tell(taskID, mesos.TaskState_TASK_RUNNING, "") }

// Killed tells that a task was ended because it was to be killed.
func (d *Driver) Killed(taskID string) { d.tell(taskID, mesos.TaskState_TASK_KILLED, "") }

// Ended tells that a task has ended: FINISHED, or FAILED with the error as its message.
func (d *Driver) Ended(taskID string, err error) {
	if err != nil {
		d.tell(taskID, mesos.TaskState_TASK_FAILED, err.Error())
		return
	}
	d.tell(taskID, mesos.TaskState_TASK_FINISHED, "")
}

func (d *Driver) tell(taskID string, state mesos.TaskState, message string) {
	status := &mesos.TaskStatus{TaskId: mesos.NewTaskID(taskID), State: state.Enum()}
	if message != "" {
		status.Message = proto.String(message)
	}
	d.Update(status)
}

// Message sends bytes to the framework's scheduler: at most once, best effort.
func (d *Driver) Message(data []byte) { d.mine(); d.shell.step(core.Message{Data: data}) }

// Stop ends the executor as soon as the slave has acknowledged every update.
func (d *Driver) Stop() { d.mine(); d.shell.step(core.Stop{}) }

// Now is the time of what is being handled; fake in a testing/synctest bubble.
func (d *Driver) Now() time.Time { d.mine(); return d.shell.ctx.Now() }

// Do runs f among the handlers, soon. It may be called from any goroutine. When the executor has ended it does nothing.
func (d *Driver) Do(f func()) { d.sys.Send(d.pid, do{f}) }

// After runs f among the handlers after a while, unless the timer is cancelled or the executor ends before.
func (d *Driver) After(wait time.Duration, f func()) Timer {
	d.mine()
	return Timer{d.shell.ctx.After(wait, do{f})}
}

// Timer is what After returns.
type Timer struct{ timer actor.Timer }

// Cancel keeps the function from being run. It belongs to the handlers. Cancelling the zero Timer, or too late, does nothing.
func (t Timer) Cancel() { t.timer.Cancel() }

// mine catches calls from other goroutines than the executor's own, which would be races.
func (d *Driver) mine() {
	if d.shell.ctx == nil {
		panic("executor.Driver is used outside of a handler: hand a function to Driver.Do")
	}
}
