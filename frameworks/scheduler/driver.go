package scheduler

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/frameworks/scheduler/core"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// Driver is the framework's end of its connection to the master. Its methods belong to the handlers and to the functions
// given to Do, After and Ask; they panic elsewhere, but for Do. None of them waits.
type Driver struct {
	shell shell
	pid   actor.PID
	sys   *actor.System
}

// DefaultRefuse is how long declined resources are not offered again (Mesos default: 5 s).
const DefaultRefuse = mesos.DefaultRefuse

// FrameworkID is the framework's id; "" before the first Subscribed.
func (d *Driver) FrameworkID() string { d.mine(); return d.shell.core.FrameworkID() }

// Connected tells whether a master listens.
func (d *Driver) Connected() bool { d.mine(); return d.shell.core.Connected() }

// Now is the time of what is being handled; fake in a testing/synctest bubble.
func (d *Driver) Now() time.Time { d.mine(); return d.shell.ctx.Now() }

// Task is what is known of a task; false if the driver never heard of it, or forgot it long after its end
// (core.EndedTasksKept).
func (d *Driver) Task(id string) (TaskRecord, bool) { d.mine(); return d.shell.core.Tasks().Get(id) }

// LiveTasks lists the tasks that have been launched and have not ended, by id.
func (d *Driver) LiveTasks() []TaskRecord { d.mine(); return d.shell.core.Tasks().Live() }

// Launch carries out what was reserved and made of an offer and starts tasks on it; what they leave of it goes back. With
// nothing of this it declines. A task id must not be that of a task that has not ended.
func (d *Driver) Launch(o *Offer, tasks ...*mesos.TaskInfo) { d.LaunchFor(0, o, tasks...) }

// LaunchFor is Launch by a framework that is not to be offered what its tasks leave of the offer for so long.
func (d *Driver) LaunchFor(refuse time.Duration, o *Offer, tasks ...*mesos.TaskInfo) {
	operations := slices.Clone(o.operations)
	if len(tasks) > 0 {
		operations = append(operations, launchOf(tasks))
	}
	if len(operations) == 0 {
		d.Decline(o)
		return
	}
	d.Accept([]*Offer{o}, refuse, operations...)
}

// Accept carries out operations, in order, on offers of one slave. What they do not use goes back and is not offered again
// for so long; 0 is for at once.
func (d *Driver) Accept(offers []*Offer, refuse time.Duration, operations ...*mesos.Offer_Operation) {
	for _, op := range operations {
		for _, t := range slices.Concat(op.GetLaunch().GetTaskInfos(), op.GetLaunchGroup().GetTaskGroup().GetTasks()) {
			d.mustBeNew(t.GetTaskId().GetValue())
		}
	}
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), Accept: &schedulerpb.Call_Accept{
		OfferIds: offerIDs(offers), Operations: operations, Filters: filters(refuse),
	}})
}

// mustBeNew catches an error of the author's that could never be undone: two tasks whose updates can not be told apart.
func (d *Driver) mustBeNew(taskID string) {
	if t, known := d.Task(taskID); known && !mesos.IsTerminal(t.State) {
		panic(fmt.Sprintf("task id %q is launched again while its task has not ended (%s)", taskID, t.State))
	}
}

// Decline gives offers back; they come again after DefaultRefuse.
func (d *Driver) Decline(offers ...*Offer) { d.DeclineFor(DefaultRefuse, offers...) }

// DeclineFor gives offers back; the same resources are not offered again for so long.
func (d *Driver) DeclineFor(refuse time.Duration, offers ...*Offer) {
	if len(offers) == 0 {
		return
	}
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_DECLINE.Enum(), Decline: &schedulerpb.Call_Decline{
		OfferIds: offerIDs(offers), Filters: filters(refuse),
	}})
}

// Kill ends a task: asked to end first, by force after grace; grace 0 leaves that to the task. It is repeated after an
// outage. An update tells the end, also of a task that nobody knows.
func (d *Driver) Kill(taskID string, grace time.Duration) {
	kill := &schedulerpb.Call_Kill{TaskId: mesos.NewTaskID(taskID)}
	if grace > 0 {
		kill.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(grace))}}
	}
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_KILL.Enum(), Kill: kill})
}

// Reconcile asks for the state of tasks; without ids, of all that the master knows. The answers come as updates. The
// driver does so by itself after an outage.
func (d *Driver) Reconcile(taskIDs ...string) {
	reconcile := &schedulerpb.Call_Reconcile{}
	for _, id := range taskIDs {
		q := &schedulerpb.Call_Reconcile_Task{TaskId: mesos.NewTaskID(id)}
		if t, ok := d.Task(id); ok && t.SlaveID != "" {
			q.AgentId = mesos.NewAgentID(t.SlaveID)
		}
		reconcile.Tasks = append(reconcile.Tasks, q)
	}
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: reconcile})
}

// Suppress asks for no more offers to the roles; without roles, to any.
func (d *Driver) Suppress(roles ...string) {
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_SUPPRESS.Enum(), Suppress: &schedulerpb.Call_Suppress{Roles: roles}})
}

// Revive ends Suppress, and lifts what was declined for a time.
func (d *Driver) Revive(roles ...string) {
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_REVIVE.Enum(), Revive: &schedulerpb.Call_Revive{Roles: roles}})
}

// Message sends bytes to an executor of the framework: at most once, best effort.
func (d *Driver) Message(slaveID, executorID string, data []byte) {
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_MESSAGE.Enum(), Message: &schedulerpb.Call_Message{
		AgentId: mesos.NewAgentID(slaveID), ExecutorId: mesos.NewExecutorID(executorID), Data: data,
	}})
}

// AcceptInverse says that the framework will leave slaves that will be away. For as long as refuse it is not asked again.
func (d *Driver) AcceptInverse(refuse time.Duration, offers ...*mesos.InverseOffer) {
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_ACCEPT_INVERSE_OFFERS.Enum(), AcceptInverseOffers: &schedulerpb.Call_AcceptInverseOffers{
		InverseOfferIds: inverseIDs(offers), Filters: filters(refuse),
	}})
}

// DeclineInverse says that it will not leave them. For as long as refuse it is not asked again.
func (d *Driver) DeclineInverse(refuse time.Duration, offers ...*mesos.InverseOffer) {
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_DECLINE_INVERSE_OFFERS.Enum(), DeclineInverseOffers: &schedulerpb.Call_DeclineInverseOffers{
		InverseOfferIds: inverseIDs(offers), Filters: filters(refuse),
	}})
}

// ShutdownExecutor ends an executor of the framework and its tasks.
func (d *Driver) ShutdownExecutor(slaveID, executorID string) {
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_SHUTDOWN.Enum(), Shutdown: &schedulerpb.Call_Shutdown{
		AgentId: mesos.NewAgentID(slaveID), ExecutorId: mesos.NewExecutorID(executorID),
	}})
}

// Acknowledge tells the slave that an update is safe with the framework, with Options.ManualAcknowledge. Until then the
// task's next updates wait. Updates without a uuid need none.
func (d *Driver) Acknowledge(status *mesos.TaskStatus) {
	if len(status.GetUuid()) == 0 || status.GetAgentId() == nil {
		return
	}
	d.call(&schedulerpb.Call{Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), Acknowledge: &schedulerpb.Call_Acknowledge{
		AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid(),
	}})
}

// Call makes a call that has no method of its own; the framework's id is filled in. SUBSCRIBE and TEARDOWN are not for it.
func (d *Driver) Call(call *schedulerpb.Call) { d.call(call) }

// Ask asks the master what an operator may ask. answer gets the response, or why there is none.
func (d *Driver) Ask(call *masterpb.Call, timeout time.Duration, answer func(*masterpb.Response, error)) {
	d.mine()
	d.shell.ask(call, timeout, func(message proto.Message, err error) {
		response, err := answered[*masterpb.Response](message, err)
		answer(response, err)
	})
}

// Explain asks the master why the framework is not offered what it needs of one slave in one of its roles, as amounts by
// name. answer gets the explanation, or why there is none.
func (d *Driver) Explain(role string, need map[string]float64, timeout time.Duration, answer func(*wire.Explanation, error)) {
	d.mine()
	question := &wire.Explain{FrameworkId: mesos.NewFrameworkID(d.FrameworkID()), Role: role, Need: need}
	d.shell.ask(question, timeout, func(message proto.Message, err error) {
		explanation, err := answered[*wire.Explanation](message, err)
		answer(explanation, err)
	})
}

// Teardown ends the framework: its tasks are killed, its id is over, Run returns err.
func (d *Driver) Teardown(err error) {
	d.mine()
	d.shell.teardown = true
	d.shell.step(core.Stop{Teardown: true, Err: err})
}

// Stop ends this scheduler alone, Run returns err. The framework and its tasks stay for Options.FailoverTimeout, in which
// another scheduler may take over with the framework's id.
func (d *Driver) Stop(err error) { d.mine(); d.shell.step(core.Stop{Err: err}) }

// Do runs f among the handlers, soon. It may be called from any goroutine. When the scheduler has ended it does nothing.
func (d *Driver) Do(f func()) { d.sys.Send(d.pid, do{f}) }

// After runs f among the handlers after a while, unless the timer is canceled or the scheduler ends before.
func (d *Driver) After(wait time.Duration, f func()) Timer {
	d.mine()
	return Timer{d.shell.ctx.After(wait, do{f})}
}

// Timer is what After returns.
type Timer struct{ timer actor.Timer }

// Cancel keeps the function from being run. It belongs to the handlers. Canceling the zero Timer, or too late, does nothing.
func (t Timer) Cancel() { t.timer.Cancel() }

func (d *Driver) call(call *schedulerpb.Call) { d.mine(); d.shell.step(core.Asked{Call: call}) }

// mine catches calls from other goroutines than the scheduler's own, which would be races.
func (d *Driver) mine() {
	if d.shell.ctx == nil {
		panic("scheduler.Driver is used outside of a handler: hand a function to Driver.Do")
	}
}

func offerIDs(offers []*Offer) []*mesos.OfferID {
	ids := make([]*mesos.OfferID, 0, len(offers))
	for _, o := range offers {
		ids = append(ids, o.Info.GetId())
	}
	return ids
}

func inverseIDs(offers []*mesos.InverseOffer) []*mesos.OfferID {
	ids := make([]*mesos.OfferID, 0, len(offers))
	for _, o := range offers {
		ids = append(ids, o.GetId())
	}
	return ids
}

func filters(refuse time.Duration) *mesos.Filters {
	return &mesos.Filters{RefuseSeconds: proto.Float64(refuse.Seconds())}
}
