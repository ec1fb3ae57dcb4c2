package core

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// reconcile answers a scheduler that wants to know how its tasks are: those that it names, or all that run.
func (c *Core) reconcile(f *framework, m *schedulerpb.Call_Reconcile) {
	c.counters.Reconciliations++
	if len(m.GetTasks()) > 0 {
		for _, t := range m.GetTasks() {
			c.reconcileTask(f, t.GetTaskId(), t.GetAgentId())
		}
		return
	}
	for _, w := range c.chores {
		if w, ok := w.(*telling); ok && w.reconciles && w.session == f.session {
			w.again = true // One answer to all who ask behind the first will do.
			return
		}
	}
	c.begin(&telling{framework: f, session: f.session, from: f.id + between, reconciles: true, tell: c.tellLatest, then: func() {
		for _, seen := range f.unreachable {
			c.tellUnreachable(f, seen)
		}
		c.room -= len(f.unreachable)
	}})
}

// reconcileTask tells a scheduler what is known of one task, by the first rule that fits:
//
//	the task is known                                    its latest state
//	its slave is unreachable, and the task with it       UNREACHABLE
//	its slave may still come back with it                nothing yet
//	its slave is registered, and does not have it        GONE
//	its slave is unreachable                             UNREACHABLE
//	an operator has given its slave up                   GONE_BY_OPERATOR
//	nobody knows its slave                               UNKNOWN
//
// Frameworks that are not partition aware hear LOST instead of the last ones.
func (c *Core) reconcileTask(f *framework, id *mesos.TaskID, slaveID *mesos.AgentID) {
	if t := f.tasks[id.GetValue()]; t != nil {
		c.tellLatest(t)
		return
	}
	if i := slices.IndexFunc(f.unreachable, func(t *mesos.Task) bool { return t.GetTaskId().GetValue() == id.GetValue() }); i >= 0 {
		c.tellUnreachable(f, f.unreachable[i])
		return
	}
	v := verdict{task: id, slave: slaveID, reason: mesos.TaskStatus_REASON_RECONCILIATION}
	sid := slaveID.GetValue()
	since, unreachable := c.registry.Unreachable[sid]
	switch {
	case c.mayReturn(f, sid):
		return
	case c.slaves[sid] != nil:
		v.state, v.message = mesos.TaskState_TASK_GONE, fmt.Sprintf("Reconciliation: slave %s does not have the task", sid)
	case unreachable:
		v.state, v.message = mesos.TaskState_TASK_UNREACHABLE, fmt.Sprintf("Reconciliation: slave %s is unreachable", sid)
	case c.isGone(sid):
		v.state, v.message = mesos.TaskState_TASK_GONE_BY_OPERATOR, fmt.Sprintf("Reconciliation: slave %s was given up by an operator", sid)
	default:
		v.state, v.message = mesos.TaskState_TASK_UNKNOWN, fmt.Sprintf("Reconciliation: neither the task nor slave %q is known", sid)
	}
	status := c.masterStatus(f, v)
	if unreachable {
		status.UnreachableTime = &mesos.TimeInfo{Nanoseconds: proto.Int64(since.UnixNano())}
	}
	c.tellUpdate(f, status)
}

// tellLatest repeats how far a task has got, as far as its scheduler has been told: it hears updates in their order.
func (c *Core) tellLatest(t *task) {
	state := t.state()
	if t.seen.StatusUpdateState != nil {
		state = t.seen.GetStatusUpdateState()
	}
	v := verdict{
		task: t.seen.TaskId, slave: t.seen.AgentId, executor: t.seen.ExecutorId, state: state,
		reason: mesos.TaskStatus_REASON_RECONCILIATION, message: "Reconciliation: latest task state",
	}
	if n := len(t.seen.GetStatuses()); n > 0 {
		v.like = t.seen.GetStatuses()[n-1]
	}
	c.tellMaster(t.framework, v)
}

func (c *Core) tellUnreachable(f *framework, seen *mesos.Task) {
	v := verdict{
		task: seen.TaskId, slave: seen.AgentId, executor: seen.ExecutorId, state: mesos.TaskState_TASK_UNREACHABLE,
		reason: mesos.TaskStatus_REASON_RECONCILIATION, message: fmt.Sprintf("Reconciliation: slave %s is unreachable", seen.GetAgentId().GetValue()),
	}
	status := c.masterStatus(f, v)
	if n := len(seen.GetStatuses()); n > 0 {
		status.UnreachableTime = seen.GetStatuses()[n-1].GetUnreachableTime()
	}
	c.tellUpdate(f, status)
}
