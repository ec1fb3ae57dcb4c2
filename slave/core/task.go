package core

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/flow"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// taskPhase is where a task is in its life on a slave.
type taskPhase int

const (
	queued    taskPhase = iota // waits for its executor, or for its record to be on the disk
	delivered                  // its executor was told to launch it
	ended                      // its terminal update is there and waits for acknowledgement
)

// task is a task from RunTask until the acknowledgement of its terminal update.
type task struct {
	id         string
	info       *mesos.TaskInfo
	framework  *framework
	executor   *executor // may be gone; nil: it was of an earlier life of the slave
	executorID string
	command    bool // runs under the built-in command executor
	phase      taskPhase
	stored     bool           // its record is on the disk
	kill       *wire.KillTask // that waits for the executor to subscribe again
	killedBy   string         // who wanted its end first; empty: nobody
	latest     *mesos.TaskStatus
	updates    []*update // unacknowledged, oldest first
	seen       [][]byte  // uuids of the last updates of the executor
	retry      *timer
	interval   time.Duration // to the next repetition of the oldest update
}

// state is that of the latest update.
func (t *task) state() mesos.TaskState {
	if t.latest == nil {
		return mesos.TaskState_TASK_STAGING
	}
	return t.latest.GetState()
}

// toProto is the task as a master remembers it.
func (t *task) toProto(slaveID string) *mesos.Task {
	m := &mesos.Task{
		Name:              t.info.Name,
		TaskId:            t.info.GetTaskId(),
		FrameworkId:       t.framework.info.GetId(),
		AgentId:           &mesos.AgentID{Value: &slaveID},
		State:             t.state().Enum(),
		Resources:         t.info.GetResources(),
		Labels:            t.info.GetLabels(),
		Discovery:         t.info.GetDiscovery(),
		Container:         t.info.GetContainer(),
		HealthCheck:       t.info.GetHealthCheck(),
		KillPolicy:        t.info.GetKillPolicy(),
		Limits:            t.info.GetLimits(),
		User:              t.user(),
		StatusUpdateState: t.state().Enum(),
	}
	if !t.command {
		m.ExecutorId = &mesos.ExecutorID{Value: &t.executorID}
	}
	if t.latest != nil {
		m.Statuses = []*mesos.TaskStatus{withoutData(t.latest)}
	}
	if len(t.updates) > 0 {
		m.StatusUpdateState = t.updates[0].status.State
		m.StatusUpdateUuid = t.updates[0].status.GetUuid()
	}
	return m
}

// user is whom the task asked to run as, or nil.
func (t *task) user() *string {
	if t.info.GetCommand().GetUser() != "" {
		return proto.String(t.info.GetCommand().GetUser())
	}
	if t.info.GetExecutor().GetCommand().GetUser() != "" {
		return proto.String(t.info.GetExecutor().GetCommand().GetUser())
	}
	return nil
}

// runTask accepts a task: it is remembered first, and then waits for its executor.
func (c *Core) runTask(m *wire.RunTask) {
	c.counters.TasksReceived++
	frameworkID, taskID := m.GetFramework().GetId().GetValue(), m.GetTask().GetTaskId().GetValue()
	if reason, message := c.cannotRun(m); message != "" {
		c.answerWithoutTask(m.GetFramework().GetId(), m.GetTask().GetTaskId(), dropped(m.GetFramework()), reason, message)
		c.maybeDisclaimExecutor(m)
		return
	}
	if f := c.frameworks[frameworkID]; f != nil && f.tasks[taskID] != nil {
		c.note(Warn, "ignored task %s of framework %s: it is here already", taskID, frameworkID)
		return
	}
	f := c.addFramework(m.GetFramework())
	info, command := executorFor(m.GetTask(), m.GetFramework().GetId())
	ex := f.executors[info.GetExecutorId().GetValue()]
	isNew := ex == nil
	if isNew {
		ex = c.addExecutor(f, info, command)
	}
	t := &task{id: taskID, info: m.GetTask(), framework: f, executor: ex, executorID: ex.id, command: ex.command}
	f.tasks[taskID] = t
	c.know(f, knownBytes(t.info))
	ex.tasks = append(ex.tasks, t)
	c.persist(func() { c.runTaskPersisted(t, isNew) }, TaskAccepted{
		Framework: f.info,
		Executor:  ExecutorRecord{Info: ex.info, ContainerID: ex.containerID, Command: ex.command},
		Task:      t.info,
	})
}

func (c *Core) runTaskPersisted(t *task, isFirst bool) {
	t.stored = true
	if t.phase != ended {
		c.makeVolumes(t.info.GetResources(), c.user(t.executor))
		c.makeVolumes(t.executor.info.GetResources(), c.user(t.executor))
	}
	// The executor may have ended in the meantime, because its task was killed.
	if isFirst && t.executor != nil && c.containers[t.executor.containerID] == t.executor {
		c.prepare(t.executor)
	} else if t.phase != ended {
		c.maybeResize(t)
	}
	c.maybeDeliver(t)
}

// cannotRun returns why a task can't even be accepted; an empty message if it can.
func (c *Core) cannotRun(m *wire.RunTask) (mesos.TaskStatus_Reason, string) {
	f := c.frameworks[m.GetFramework().GetId().GetValue()]
	switch {
	case c.shutdown.begun:
		return mesos.TaskStatus_REASON_AGENT_REMOVED, "the slave is shutting down"
	case m.GetTask().GetAgentId().GetValue() != c.slaveID:
		return mesos.TaskStatus_REASON_AGENT_UNKNOWN,
			fmt.Sprintf("the task is for slave %q, this is %q", m.GetTask().GetAgentId().GetValue(), c.slaveID)
	}
	if why := c.cannotRemember(m, f); why != "" {
		return mesos.TaskStatus_REASON_INVALID_OFFERS, why
	}
	switch {
	case f == nil:
		return cannotJoin(m)
	case f.removed:
		return mesos.TaskStatus_REASON_FRAMEWORK_REMOVED, "the framework was removed from this slave"
	}
	if m.GetTask().GetExecutor() == nil {
		return f.cannotCommand(m.GetTask().GetTaskId().GetValue())
	}
	switch ex := f.executors[m.GetTask().GetExecutor().GetExecutorId().GetValue()]; {
	case ex == nil:
		return cannotJoin(m)
	case ex.state == terminating:
		return mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, fmt.Sprintf("executor %q is being ended", ex.id)
	case ex.command:
		return mesos.TaskStatus_REASON_TASK_INVALID, fmt.Sprintf("executor %q is that of the task with this id, which has a command", ex.id)
	default:
		return mesos.TaskStatus_REASON_TASK_INVALID, ex.cannotShow(m.GetTask())
	}
}

// cannotRemember returns why a task would be too much to tell a master of: all that frameworks have here must fit into a
// registration, and one of them may have as much as is left for all.
func (c *Core) cannotRemember(m *wire.RunTask, f *framework) string {
	more, own := knownBytes(m.GetTask()), 0
	if f == nil {
		more += proto.Size(m.GetFramework())
	} else {
		own = f.known
	}
	if e := m.GetTask().GetExecutor(); e != nil && (f == nil || f.executors[e.GetExecutorId().GetValue()] == nil) {
		more += proto.Size(e)
	}
	if flow.Fits(more, own, c.known, MaxKnownBytes) {
		return ""
	}
	return fmt.Sprintf("the infos of the task, its executor and framework have %d bytes more than the slave knows: that is %d of the framework and %d of all, and a framework may have as much as is left of %d",
		more, own, c.known, MaxKnownBytes)
}

// cannotJoin returns why a task whose executor is not here can't be accepted: the master takes it for running, and its end
// is on the way there. Another one in its place would be charged to nobody.
func cannotJoin(m *wire.RunTask) (mesos.TaskStatus_Reason, string) {
	if !m.GetExecutorRuns() {
		return 0, ""
	}
	return mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, fmt.Sprintf("executor %q has ended", m.GetTask().GetExecutor().GetExecutorId().GetValue())
}

// maybeDisclaimExecutor tells the master that an executor which it has charged with a task is not started.
func (c *Core) maybeDisclaimExecutor(m *wire.RunTask) {
	if m.GetTask().GetExecutor() == nil || m.GetExecutorRuns() {
		return
	}
	id := m.GetTask().GetExecutor().GetExecutorId()
	if f := c.frameworks[m.GetFramework().GetId().GetValue()]; f != nil {
		if ex := f.executors[id.GetValue()]; ex != nil && !ex.command {
			return
		}
	}
	c.toMaster(&wire.ExecutorExited{FrameworkId: m.GetFramework().GetId(), ExecutorId: id, WaitStatus: killedBySignal})
}

// cannotCommand returns why a task with a command can't be accepted: an executor has its id, be it that of a task of this id
// before it.
func (f *framework) cannotCommand(id string) (mesos.TaskStatus_Reason, string) {
	switch ex := f.executors[id]; {
	case ex == nil || f.tasks[id] != nil:
		return 0, ""
	case ex.command:
		return mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, fmt.Sprintf("the container of a task before it, with the id %q too, has not ended yet", id)
	default:
		return mesos.TaskStatus_REASON_TASK_INVALID, fmt.Sprintf("executor %q runs here, and a task with a command needs one of its own with this id", id)
	}
}

// executorFor returns the executor that a task wants, or the description of the command executor that it gets.
func executorFor(t *mesos.TaskInfo, f *mesos.FrameworkID) (info *mesos.ExecutorInfo, command bool) {
	if t.GetExecutor() != nil {
		info = clone(t.GetExecutor())
		info.FrameworkId = f
		return info, false
	}
	id := t.GetTaskId().GetValue()
	return &mesos.ExecutorInfo{
		ExecutorId:  &mesos.ExecutorID{Value: &id},
		FrameworkId: f,
		Command:     t.GetCommand(),
		Container:   t.GetContainer(),
		Discovery:   t.GetDiscovery(),
		Labels:      t.GetLabels(),
		Name:        proto.String("Command Executor (Task: " + id + ")"),
		Source:      &id,
	}, true
}

// maybeDeliver sends a task that has waited for it to its executor.
func (c *Core) maybeDeliver(t *task) {
	if t.phase != queued || !t.stored || t.executor.state != running || t.executor.session == 0 {
		return
	}
	if t.executor.command && !c.mayFly(t.executor, proto.Size(t.info)) {
		return
	}
	t.phase = delivered
	c.counters.TasksLaunched++
	c.send(t.executor.session, &executorpb.Event{
		Type: executorpb.Event_LAUNCH.Enum(), Launch: &executorpb.Event_Launch{Task: t.info},
	})
}

// killTask does what its table says: kill × state of the task and of its executor.
//
//	not known                      → TASK_GONE or TASK_LOST at once
//	queued                         → TASK_KILLED at once; an executor that has no other task ends unless it runs others' too
//	delivered, executor connected  → KILL to the executor
//	delivered, executor away       → KILL as soon as it subscribes again
//	executor terminating           → nothing: the task ends with it
//	ended                          → nothing: its update is under way
func (c *Core) killTask(m *wire.KillTask) {
	f := c.frameworks[m.GetFrameworkId().GetValue()]
	if f == nil || f.tasks[m.GetTaskId().GetValue()] == nil {
		state := mesos.TaskState_TASK_LOST
		if f != nil {
			state = lost(f.info)
		}
		c.answerWithoutTask(m.GetFrameworkId(), m.GetTaskId(), state, mesos.TaskStatus_REASON_RECONCILIATION,
			"the task is not known to slave "+c.slaveID)
		return
	}
	t := f.tasks[m.GetTaskId().GetValue()]
	t.blame(cmp.Or(m.GetKilledBy(), mesos.KilledByScheduler))
	switch t.phase {
	case queued:
		c.killQueued(t)
	case delivered:
		t.kill = m
		c.maybeDeliverKill(t)
	case ended:
	}
}

// blame remembers who wanted a task's end. Only the first one counts.
func (t *task) blame(by string) { t.killedBy = cmp.Or(t.killedBy, by) }

// killQueued ends a task that its executor has never seen, and an executor that was started for it alone.
func (c *Core) killQueued(t *task) {
	ex := t.executor
	if ex.state == terminating {
		return
	}
	c.endTask(t, verdict{
		state:   mesos.TaskState_TASK_KILLED,
		reason:  mesos.TaskStatus_REASON_TASK_KILLED_DURING_LAUNCH,
		message: "the task was killed before it was started",
		cause:   mesos.CauseKilled,
	})
	hasOther := slices.ContainsFunc(ex.tasks, func(t *task) bool { return t.phase != ended })
	if !hasOther && (ex.command || ex.state != running) {
		c.killOrEnd(ex, nil)
	}
}

func (c *Core) maybeDeliverKill(t *task) {
	if t.kill == nil || t.phase != delivered || t.executor.state != running || t.executor.session == 0 {
		return
	}
	policy := t.kill.GetKillPolicy()
	if policy != nil && t.executor.command { // which knows nothing else, and shares its connection with all others
		policy = &mesos.KillPolicy{GracePeriod: policy.GetGracePeriod()}
	}
	c.send(t.executor.session, &executorpb.Event{
		Type: executorpb.Event_KILL.Enum(), Kill: &executorpb.Event_Kill{TaskId: t.info.GetTaskId(), KillPolicy: policy},
	})
	t.kill = nil
}

// answerWithoutTask tells the master of a task that this slave does not have. It has no uuid and is not repeated:
// should it be lost, the master misses the task when the slave registers again.
func (c *Core) answerWithoutTask(
	frameworkID *mesos.FrameworkID, taskID *mesos.TaskID,
	state mesos.TaskState, reason mesos.TaskStatus_Reason, message string,
) {
	status := &mesos.TaskStatus{
		TaskId:    taskID,
		State:     state.Enum(),
		Source:    mesos.TaskStatus_SOURCE_AGENT.Enum(),
		Reason:    reason.Enum(),
		Message:   &message,
		AgentId:   c.agentID(),
		Timestamp: proto.Float64(seconds(c.now)),
	}
	c.toMaster(&wire.TaskUpdate{FrameworkId: frameworkID, Status: status, Latest: status})
}

// forgetTask is the end of a task's entry: acknowledged, or nobody is left to do so.
func (c *Core) forgetTask(t *task) {
	c.timers.stop(t.retry)
	delete(t.framework.tasks, t.id)
	c.know(t.framework, -knownBytes(t.info))
	if ex := t.executor; ex != nil {
		ex.tasks = slices.DeleteFunc(ex.tasks, func(other *task) bool { return other == t })
	}
	c.completed.addTask(t, c.slaveID, c.now)
}
