package core

import (
	"cmp"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// uuidBytes is the length of the uuid of an update.
const uuidBytes = 16

// task is a task from its launch until its terminal update has been acknowledged, or it is lost.
type task struct {
	id        string
	framework *framework
	slave     *slave
	role      string
	resources resource.Resources // not in allocated form; in use while the state is not terminal

	// seen is the task as readers see it, with its latest state. It is never changed, only replaced.
	seen *mesos.Task
	// unacknowledged is the last update that its slave waits to have acknowledged; nil if there is none.
	unacknowledged *mesos.TaskStatus
	// kill is what its slave is to be told when it comes back; nil: nothing.
	kill *wire.KillTask

	sortKey string // among the tasks of all frameworks
	renewed uint64 // the event in which seen was replaced last
}

type taskKey struct{ framework, task string }

func (t *task) key() taskKey { return taskKey{t.framework.id, t.id} }

func (t *task) state() mesos.TaskState { return t.seen.GetState() }

// addTask makes a task known that is being launched.
func (c *Core) addTask(a *acceptance, l launching) {
	info := l.info
	user := cmp.Or(info.GetCommand().GetUser(), info.GetExecutor().GetCommand().GetUser(), a.framework.info.GetUser())
	c.putTask(&task{
		id: info.GetTaskId().GetValue(), framework: a.framework, slave: a.slave, role: a.role, resources: l.resources,
		seen: &mesos.Task{
			Name: info.Name, TaskId: info.TaskId, FrameworkId: a.framework.info.Id, ExecutorId: info.GetExecutor().GetExecutorId(),
			AgentId: info.AgentId, State: mesos.TaskState_TASK_STAGING.Enum(), Resources: info.Resources, Labels: info.Labels,
			Discovery: info.Discovery, Container: info.Container, HealthCheck: info.HealthCheck, KillPolicy: info.KillPolicy,
			User: proto.String(user), Limits: info.Limits,
		},
	})
}

// adoptTask makes a task known that a slave brings.
func (c *Core) adoptTask(sl *slave, f *framework, seen *mesos.Task) {
	r, role, _ := allocated(seen.GetResources(), resource.Unreserved)
	t := &task{id: seen.GetTaskId().GetValue(), framework: f, slave: sl, role: role, resources: r, seen: seen}
	if !mesos.IsTerminal(t.state()) {
		c.mustCharge(f.client(role), sl, r)
	}
	if past := c.takeBack(f, t.id); past != nil && len(seen.GetStatuses()) == 0 {
		t.seen = shallow(seen)
		t.seen.Statuses = past.GetStatuses()
	}
	if policy, wanted := f.kills[t.id]; wanted {
		t.kill = &wire.KillTask{FrameworkId: f.info.Id, TaskId: t.seen.TaskId, KillPolicy: policy, KilledBy: mesos.KilledByScheduler}
		delete(f.kills, t.id)
	}
	c.putTask(t)
}

// takeBack takes a task that is here again from those that were unreachable or had ended; nil if it is new.
func (c *Core) takeBack(f *framework, id string) *mesos.Task {
	for i, past := range f.unreachable {
		if past.GetTaskId().GetValue() == id {
			f.unreachable = append(f.unreachable[:i:i], f.unreachable[i+1:]...)
			c.touchFramework(f)
			return past
		}
	}
	return c.history.takeTask(f.id, id)
}

func (c *Core) putTask(t *task) {
	t.framework.tasks[t.id] = t
	t.slave.tasks[t.key()] = t
	c.counters.TaskStates[t.state()]++
	t.sortKey = t.framework.id + between + t.id
	c.view.tasks.Set(t.sortKey, t.seen)
	c.touchDraining(t.slave)
}

func (c *Core) dropTask(t *task) {
	delete(t.framework.tasks, t.id)
	delete(t.slave.tasks, t.key())
	c.counters.TaskStates[t.state()]--
	c.view.tasks.Delete(t.sortKey)
	c.touchDraining(t.slave)
	c.maybeDrained(t.slave)
}

// renew has readers see something else of a task: it replaces what they see by a copy that change changes. Within one
// event one copy is enough, as nobody sees anything before its end.
func (c *Core) renew(t *task, change func(seen *mesos.Task)) {
	c.counters.TaskStates[t.state()]--
	if t.renewed != c.counters.Events {
		t.renewed = c.counters.Events
		t.seen = shallow(t.seen)
		c.view.tasks.Set(t.sortKey, t.seen)
	}
	change(t.seen)
	c.counters.TaskStates[t.state()]++
}

// advance takes over a task's latest state. When that is terminal its resources are free.
func (c *Core) advance(t *task, latest mesos.TaskState) {
	if mesos.IsTerminal(t.state()) || t.state() == latest {
		return // A task that has ended stays so, whatever is repeated.
	}
	c.renew(t, func(seen *mesos.Task) { seen.State = latest.Enum() })
	if mesos.IsTerminal(latest) {
		c.allocator.Release(t.framework.client(t.role), t.slave.id, t.resources)
		c.counters.Ended[latest]++
	}
}

// remember adds a status to those that readers see: the last one of each state, without the framework's data.
func (c *Core) remember(t *task, status *mesos.TaskStatus) {
	shown := status
	if status.Data != nil {
		shown = shallow(status)
		shown.Data = nil
	}
	old := t.seen.GetStatuses()
	if last := len(old) - 1; last >= 0 && old[last].GetState() == shown.GetState() {
		old = old[:last]
	}
	if len(old) >= MaxStatusesPerTask {
		old = old[len(old)-MaxStatusesPerTask+1:]
	}
	c.renew(t, func(seen *mesos.Task) {
		seen.Statuses = append(append(make([]*mesos.TaskStatus, 0, len(old)+1), old...), shown)
		seen.StatusUpdateState = status.State
		seen.StatusUpdateUuid = status.Uuid
	})
}

// taskUpdate handles an update that a slave forwards.
func (c *Core) taskUpdate(sl *slave, m *wire.TaskUpdate) {
	c.counters.Updates++
	status := m.GetStatus()
	fid, id := m.GetFrameworkId().GetValue(), status.GetTaskId().GetValue()
	f := c.frameworks[fid]
	if f == nil {
		// Nobody will ever acknowledge it.
		c.note("slave %s: update %v of task %s of framework %s, which is not known", sl.id, status.GetState(), id, fid)
		c.toSlave(sl, &wire.RemoveFramework{FrameworkId: m.GetFrameworkId()})
		return
	}
	t := sl.tasks[taskKey{fid, id}]
	if t == nil {
		// It was lost in the meantime. Its scheduler must hear of it all the same, so that the slave can forget it.
		c.note("slave %s: update %v of task %s of framework %s, which is not known", sl.id, status.GetState(), id, fid)
		c.tellUpdate(f, status)
		return
	}
	latest := status.GetState()
	if m.GetLatest() != nil {
		latest = m.GetLatest().GetState()
	}
	c.advance(t, latest)
	c.remember(t, status)
	if len(status.GetUuid()) > 0 {
		t.unacknowledged = status
	}
	c.tellUpdate(f, status)
	if len(status.GetUuid()) == 0 && mesos.IsTerminal(status.GetState()) {
		c.completeTask(t) // Nobody will acknowledge it.
	}
}

func (c *Core) tellUpdate(f *framework, status *mesos.TaskStatus) {
	c.tell(f, &schedulerpb.Event{Type: schedulerpb.Event_UPDATE.Enum(), Update: &schedulerpb.Event_Update{Status: status}})
}

// acknowledge passes an acknowledgement on to the slave that waits for it. That of a terminal update ends the task here.
func (c *Core) acknowledge(f *framework, m *schedulerpb.Call_Acknowledge) {
	c.counters.Acknowledgements++
	id := m.GetTaskId().GetValue()
	if len(m.GetUuid()) != uuidBytes {
		c.warn("framework %s: ACKNOWLEDGE of task %s was ignored: its uuid has %d bytes, not %d", f.id, id, len(m.GetUuid()), uuidBytes)
		return
	}
	sl := c.slaves[m.GetAgentId().GetValue()]
	if sl == nil || !sl.connected() {
		c.note("framework %s: ACKNOWLEDGE of task %s was ignored: slave %s is not connected, and will repeat the update", f.id, id, m.GetAgentId().GetValue())
		return
	}
	if t := sl.tasks[taskKey{f.id, id}]; t != nil {
		ends := t.endsWith(m.GetUuid())
		if string(t.unacknowledged.GetUuid()) == string(m.GetUuid()) {
			t.unacknowledged = nil
		}
		if ends {
			c.completeTask(t)
		}
	}
	c.maybeToSlave(sl, f, &wire.AcknowledgeUpdate{FrameworkId: f.info.Id, TaskId: m.GetTaskId(), Uuid: m.GetUuid()})
}

// endsWith reports whether the acknowledgement of this uuid is that of the task's terminal update. The update may have
// come through a master before this one: then the slave said which one waits, or else any ends a task that has ended.
func (t *task) endsWith(uuid []byte) bool {
	switch {
	case t.unacknowledged != nil:
		return string(t.unacknowledged.GetUuid()) == string(uuid) && mesos.IsTerminal(t.unacknowledged.GetState())
	case t.seen.StatusUpdateUuid != nil:
		return string(t.seen.GetStatusUpdateUuid()) == string(uuid) && mesos.IsTerminal(t.seen.GetStatusUpdateState())
	}
	return mesos.IsTerminal(t.state())
}

// completeTask makes a task that has ended history.
func (c *Core) completeTask(t *task) {
	c.dropTask(t)
	if f := t.framework; c.frameworks[f.id] == f || c.history.framework(f.id) == f { // Else it is forgotten already.
		c.history.addTask(f.id, t.seen)
	}
}

// verdict is what the master itself says of a task.
type verdict struct {
	task     *mesos.TaskID
	slave    *mesos.AgentID // nil: not known
	executor *mesos.ExecutorID
	state    mesos.TaskState // as for frameworks that are partition aware
	reason   mesos.TaskStatus_Reason
	message  string
	like     *mesos.TaskStatus // whose health and container are repeated; nil: none
}

// tellMaster sends a framework an update of the master's own. It has no uuid: nobody acknowledges it.
func (c *Core) tellMaster(f *framework, v verdict) *mesos.TaskStatus {
	status := c.masterStatus(f, v)
	c.tellUpdate(f, status)
	return status
}

func (c *Core) masterStatus(f *framework, v verdict) *mesos.TaskStatus {
	return &mesos.TaskStatus{
		TaskId: v.task, State: f.shown(v.state).Enum(), Message: proto.String(v.message),
		Source: mesos.TaskStatus_SOURCE_MASTER.Enum(), Reason: v.reason.Enum(),
		AgentId: v.slave, ExecutorId: v.executor, Timestamp: proto.Float64(math.Round(seconds(c.now)*1e6) / 1e6),
		Healthy: healthOf(v.like), CheckStatus: v.like.GetCheckStatus(), Labels: v.like.GetLabels(), ContainerStatus: v.like.GetContainerStatus(),
	}
}

// shown is a state as the framework understands it: those that are not partition aware know only that a task is lost.
func (f *framework) shown(state mesos.TaskState) mesos.TaskState {
	switch state {
	case mesos.TaskState_TASK_DROPPED, mesos.TaskState_TASK_UNREACHABLE, mesos.TaskState_TASK_GONE,
		mesos.TaskState_TASK_GONE_BY_OPERATOR, mesos.TaskState_TASK_UNKNOWN:
		if !f.can(mesos.FrameworkInfo_Capability_PARTITION_AWARE) {
			return mesos.TaskState_TASK_LOST
		}
	}
	return state
}

// tellUnheardEnd tells a scheduler of an end of which its slave cannot tell it any more: the master knows it from the
// latest state that comes with each update, the scheduler has not acknowledged those before it.
func (c *Core) tellUnheardEnd(t *task, reason mesos.TaskStatus_Reason, why string) {
	if mesos.IsTerminal(t.unacknowledged.GetState()) {
		return // The scheduler was told, its acknowledgement is missing.
	}
	status := c.tellMaster(t.framework, verdict{
		task: t.seen.TaskId, slave: t.seen.AgentId, executor: t.seen.ExecutorId, state: t.state(), reason: reason,
		message: "the task had ended before this: " + why,
	})
	c.remember(t, status)
}

// loseTask ends a task because of what happened to its slave. One that has ended already keeps its state: only its
// acknowledgement is missing, which cannot come any more.
func (c *Core) loseTask(t *task, state mesos.TaskState, reason mesos.TaskStatus_Reason, why string) {
	if mesos.IsTerminal(t.state()) {
		c.tellUnheardEnd(t, reason, why)
		c.completeTask(t)
		return
	}
	status := c.tellMaster(t.framework, verdict{
		task: t.seen.TaskId, slave: t.seen.AgentId, executor: t.seen.ExecutorId, state: state, reason: reason, message: why,
	})
	c.counters.Lost++
	c.advance(t, status.GetState())
	c.remember(t, status)
	c.completeTask(t)
}

// taskUnreachable keeps a task in mind whose slave is away: it may come back with it.
func (c *Core) taskUnreachable(t *task, why string) {
	if mesos.IsTerminal(t.state()) {
		c.tellUnheardEnd(t, mesos.TaskStatus_REASON_AGENT_REMOVED, why)
		c.completeTask(t)
		return
	}
	f := t.framework
	status := c.masterStatus(f, verdict{
		task: t.seen.TaskId, slave: t.seen.AgentId, executor: t.seen.ExecutorId,
		state: mesos.TaskState_TASK_UNREACHABLE, reason: mesos.TaskStatus_REASON_AGENT_REMOVED, message: why,
	})
	status.UnreachableTime = &mesos.TimeInfo{Nanoseconds: proto.Int64(c.now.UnixNano())}
	c.tellUpdate(f, status)
	c.counters.Lost++
	c.allocator.Release(f.client(t.role), t.slave.id, t.resources)
	c.renew(t, func(seen *mesos.Task) { seen.State = status.State })
	c.remember(t, status)
	c.dropTask(t)
	if t.kill != nil && len(f.kills) < MaxPendingKills {
		f.kills[t.id] = t.kill.GetKillPolicy()
	}
	c.touchFramework(f)
	f.unreachable = append(f.unreachable, t.seen)
	if len(f.unreachable) > c.config.MaxUnreachableTasksPerFramework {
		f.unreachable = append([]*mesos.Task(nil), f.unreachable[1:]...)
	}
}

// endWithFramework ends a task because its framework has.
func (c *Core) endWithFramework(t *task) {
	if mesos.IsTerminal(t.state()) {
		c.completeTask(t)
		return
	}
	status := c.masterStatus(t.framework, verdict{
		task: t.seen.TaskId, slave: t.seen.AgentId, executor: t.seen.ExecutorId, state: mesos.TaskState_TASK_KILLED,
		reason: mesos.TaskStatus_REASON_FRAMEWORK_REMOVED, message: fmt.Sprintf("framework %s is removed", t.framework.id),
	})
	status.Labels = mesos.MakeLabels(mesos.LabelCause, mesos.CauseKilled, mesos.LabelKilledBy, mesos.KilledByTeardown)
	c.advance(t, mesos.TaskState_TASK_KILLED)
	c.remember(t, status)
	c.completeTask(t)
}

// killCall handles a scheduler's KILL. Of a task that is not known it hears what is known of its slave.
func (c *Core) killCall(f *framework, m *schedulerpb.Call_Kill) {
	t := f.tasks[m.GetTaskId().GetValue()]
	if t == nil {
		if slaveID := c.whereabouts(f, m); c.mayReturn(f, slaveID) || c.isUnreachable(slaveID) {
			c.killLater(f, m)
		}
		c.reconcileTask(f, m.GetTaskId(), m.GetAgentId())
		return
	}
	if id := m.GetAgentId().GetValue(); id != "" && id != t.slave.id {
		c.warn("framework %s: KILL of task %s names slave %s, the task is on slave %s", f.id, t.id, id, t.slave.id)
	}
	c.kill(t, m.GetKillPolicy(), mesos.KilledByScheduler)
}

// whereabouts is the slave of a task that is not known: as its scheduler says, or as it was before it became unreachable.
func (c *Core) whereabouts(f *framework, m *schedulerpb.Call_Kill) string {
	for _, t := range f.unreachable {
		if t.GetTaskId().GetValue() == m.GetTaskId().GetValue() {
			return t.GetAgentId().GetValue()
		}
	}
	return m.GetAgentId().GetValue()
}

func (c *Core) isUnreachable(slaveID string) bool {
	_, unreachable := c.registry.Unreachable[slaveID]
	return unreachable
}

// killLater keeps the wish to end a task in mind until a slave comes back with it.
func (c *Core) killLater(f *framework, m *schedulerpb.Call_Kill) {
	if len(f.kills) >= MaxPendingKills {
		c.warn("framework %s: KILL of task %s is forgotten: %d wait for slaves to come back", f.id, m.GetTaskId().GetValue(), len(f.kills))
		return
	}
	f.kills[m.GetTaskId().GetValue()] = m.GetKillPolicy()
}

// kill has a task's slave end it, now or when it comes back, and say by whom it was killed.
func (c *Core) kill(t *task, policy *mesos.KillPolicy, by string) {
	c.counters.Kills++
	m := &wire.KillTask{FrameworkId: t.framework.info.Id, TaskId: t.seen.TaskId, KillPolicy: policy, KilledBy: by}
	if t.slave.connected() {
		c.maybeToSlave(t.slave, t.framework, m)
		return
	}
	c.note("framework %s: task %s is killed when slave %s comes back", t.framework.id, t.id, t.slave.id)
	t.kill = m
}

// healthOf is what a status says of the task's health; nil if nothing.
func healthOf(status *mesos.TaskStatus) *bool {
	if status == nil {
		return nil
	}
	return status.Healthy
}
