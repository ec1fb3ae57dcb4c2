package core

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// uuidLength is that of every update's uuid, in bytes.
const uuidLength = 16

// update is one entry of a task's stream.
type update struct {
	status       *mesos.TaskStatus
	stored       bool    // on the disk: it may be acknowledged and forwarded
	acknowledged bool    // by the scheduler; the entry goes when that is on the disk
	waits        Session // of the master whose outbox it waits in; any other: it does not
}

// updateFromExecutor takes what an executor says of a task, if it may say so.
func (c *Core) updateFromExecutor(ex *executor, status *mesos.TaskStatus) {
	t := c.checkUpdate(ex, status)
	if t == nil {
		return
	}
	status = c.complete(t, status)
	t.remember(status.GetUuid())
	if why := ex.tooMuch(t, status); why != "" {
		c.killTalker(ex, why)
		return
	}
	c.addUpdate(t, status)
}

// tooMuch says what an executor that never stops, or says too much at a time, would cost the slave its memory with, or the
// connection that all have with their master; empty: it may say so.
func (ex *executor) tooMuch(t *task, status *mesos.TaskStatus) string {
	size, data := proto.Size(status), len(status.GetData())
	waiting := data
	if data > MaxStatusBytes { // Small ones are bounded by their number.
		waiting += ex.waitingBytes()
	}
	switch {
	case len(t.updates) >= MaxUnacknowledgedUpdates:
		return fmt.Sprintf("%d updates of task %s wait for acknowledgement", len(t.updates), t.id)
	case size-data > MaxStatusBytes:
		return fmt.Sprintf("an update of task %s has %d bytes beside its data: at most %d are allowed", t.id, size-data, MaxStatusBytes)
	case size > MaxUpdateBytes:
		return fmt.Sprintf("an update of task %s has %d bytes: at most %d are allowed", t.id, size, MaxUpdateBytes)
	case waiting > MaxUnacknowledgedBytes:
		return fmt.Sprintf("updates with %d bytes of data wait for acknowledgement: at most %d may", waiting, MaxUnacknowledgedBytes)
	}
	return ""
}

// waitingBytes is the size of the data of an executor's updates that are not acknowledged.
func (ex *executor) waitingBytes() int {
	bytes := 0
	for _, t := range ex.tasks {
		for _, u := range t.updates {
			bytes += len(u.status.GetData())
		}
	}
	return bytes
}

// killTalker ends an executor that has said too much. What it says until it is gone is lost.
func (c *Core) killTalker(ex *executor, why string) {
	if ex.state == terminating {
		return
	}
	c.note(Warn, "executor %s of framework %s is killed: %s", ex.id, ex.framework.id, why)
	c.killOrEnd(ex, &verdict{
		state: mesos.TaskState_TASK_FAILED, reason: mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, cause: mesos.CauseExecutorLost,
		message: "the executor was killed: " + why,
	})
}

// checkUpdate returns the task that an update is about, or nil if there is nothing to store: the executor was
// answered.
func (c *Core) checkUpdate(ex *executor, status *mesos.TaskStatus) *task {
	taskID := status.GetTaskId().GetValue()
	switch {
	case len(status.GetUuid()) != uuidLength:
		c.refuse(ex.session, "the update of task %q has a uuid of %d bytes, which must be %d", taskID, len(status.GetUuid()), uuidLength)
		return nil
	case status.GetSource() != mesos.TaskStatus_SOURCE_EXECUTOR || status.Source == nil:
		c.refuse(ex.session, "the update of task %q has %s, which must be SOURCE_EXECUTOR", taskID, status.GetSource())
		return nil
	case status.State == nil || status.GetState() == mesos.TaskState_TASK_STAGING:
		c.refuse(ex.session, "the update of task %q has state TASK_STAGING, which an executor can't set", taskID)
		return nil
	case status.GetExecutorId() != nil && status.GetExecutorId().GetValue() != ex.id:
		c.refuse(ex.session, "the update of task %q names executor %q, but this is %q", taskID, status.GetExecutorId().GetValue(), ex.id)
		return nil
	case ex.framework.removed:
		c.acknowledgeToExecutor(ex, status) // nobody waits for it; the executor may end
		return nil
	}
	t := ex.framework.tasks[taskID]
	switch {
	case t == nil || t.executor != ex:
		// A repetition of an update whose acknowledgement was lost, of a task forgotten since, must not be refused.
		if c.completed.has(ex.framework.id, taskID) {
			c.acknowledgeToExecutor(ex, status)
			return nil
		}
		c.refuse(ex.session, "task %q is not known to executor %q", taskID, ex.id)
		return nil
	case t.phase == queued:
		c.refuse(ex.session, "task %q was not delivered to executor %q yet", taskID, ex.id)
		return nil
	case t.hasSeen(status.GetUuid()):
		c.acknowledgeIfStored(t, status)
		return nil
	case t.phase == ended:
		c.note(Info, "ignored %s of task %s: it is %s already", status.GetState(), t.id, t.state())
		c.acknowledgeToExecutor(ex, status)
		return nil
	}
	return t
}

// complete fills in what the slave knows better than the executor.
func (c *Core) complete(t *task, status *mesos.TaskStatus) *mesos.TaskStatus {
	status = clone(status)
	if message := status.GetMessage(); len(message) > MaxMessageBytes {
		status.Message = proto.String(strings.ToValidUTF8(message[:MaxMessageBytes], "") + "…")
	}
	status.AgentId = c.agentID()
	status.ExecutorId = &mesos.ExecutorID{Value: &t.executorID}
	if status.Timestamp == nil {
		status.Timestamp = proto.Float64(seconds(c.now))
	}
	if status.GetState() == mesos.TaskState_TASK_KILLED && t.killedBy != "" {
		if status.Labels == nil {
			status.Labels = &mesos.Labels{}
		}
		status.Labels.Labels = append(status.Labels.Labels, mesos.MakeLabels(mesos.LabelKilledBy, t.killedBy).Labels...)
	}
	if ex := t.executor; ex != nil {
		if status.ContainerStatus == nil {
			status.ContainerStatus = &mesos.ContainerStatus{}
		}
		cs := status.ContainerStatus
		cs.ContainerId = containerID(ex.containerID)
		if cs.ExecutorPid == nil && ex.pid != 0 {
			cs.ExecutorPid = proto.Uint32(ex.pid)
		}
		// A container without a network of its own has the slave's address.
		if len(cs.NetworkInfos) == 0 && c.config.IP != "" {
			cs.NetworkInfos = []*mesos.NetworkInfo{{IpAddresses: []*mesos.NetworkInfo_IPAddress{{IpAddress: &c.config.IP}}}}
		}
	}
	return status
}

// endTask makes the terminal update of a task that nobody else will report.
func (c *Core) endTask(t *task, v verdict) {
	status := &mesos.TaskStatus{
		TaskId:     t.info.GetTaskId(),
		State:      v.state.Enum(),
		Source:     mesos.TaskStatus_SOURCE_AGENT.Enum(),
		Reason:     v.reason.Enum(),
		Message:    &v.message,
		Uuid:       c.nextUUID(),
		Limitation: v.limitation,
	}
	if v.cause != "" {
		status.Labels = mesos.MakeLabels(append([]string{mesos.LabelCause, v.cause}, v.labels...)...)
	}
	c.addUpdate(t, c.complete(t, status))
}

// addUpdate appends an update to its task's stream.
func (c *Core) addUpdate(t *task, status *mesos.TaskStatus) {
	u := &update{status: status}
	t.updates = append(t.updates, u)
	t.latest = status
	if mesos.IsTerminal(status.GetState()) {
		t.phase = ended
		c.counters.TasksEnded[status.GetState()]++
		c.maybeResize(t)
	}
	c.persist(func() { c.addUpdatePersisted(t, u) }, UpdateStored{t.framework.id, status})
}

func (c *Core) addUpdatePersisted(t *task, u *update) {
	u.stored = true
	if t.executor != nil && u.status.GetSource() == mesos.TaskStatus_SOURCE_EXECUTOR {
		c.acknowledgeToExecutor(t.executor, u.status)
	}
	if !t.framework.removed && t.updates[0] == u {
		c.forward(t)
	}
}

// acknowledgeIfStored answers an update that the executor repeats. One on its way to the disk is answered later.
func (c *Core) acknowledgeIfStored(t *task, status *mesos.TaskStatus) {
	for _, u := range t.updates {
		if !u.stored && bytes.Equal(u.status.GetUuid(), status.GetUuid()) {
			return
		}
	}
	c.acknowledgeToExecutor(t.executor, status)
}

func (c *Core) acknowledgeToExecutor(ex *executor, status *mesos.TaskStatus) {
	if ex.session == 0 {
		return // it will repeat the update when it subscribes again
	}
	c.send(ex.session, &executorpb.Event{
		Type:         executorpb.Event_ACKNOWLEDGED.Enum(),
		Acknowledged: &executorpb.Event_Acknowledged{TaskId: status.GetTaskId(), Uuid: status.GetUuid()},
	})
}

// forward sends the oldest update of a task, and again until it is acknowledged or the master has gone.
func (c *Core) forward(t *task) {
	c.timers.stop(t.retry)
	if len(t.updates) == 0 || !t.updates[0].stored || t.updates[0].acknowledged {
		return
	}
	c.forwardUpdate(t, t.updates[0])
}

// forwardUpdate has an update go to the master, if there is one, as soon as there is room for it. It waits once at most.
func (c *Core) forwardUpdate(t *task, u *update) {
	if !c.master.registered || u.waits == c.master.session {
		return
	}
	m := t.forwarded(u)
	c.letOut(t.framework.id, outgoing{task: t, update: u}, m)
	if u.waits != c.master.session {
		c.sent(t, u)
	}
}

// forwarded is an update as the master gets it.
func (t *task) forwarded(u *update) *wire.TaskUpdate {
	return &wire.TaskUpdate{FrameworkId: t.framework.info.GetId(), Status: u.status, Latest: withoutData(t.latestStored())}
}

// sent plans the repetition of an update, if it is the oldest of its task.
func (c *Core) sent(t *task, u *update) {
	c.counters.UpdatesForwarded++
	if u != t.updates[0] {
		return
	}
	if t.interval == 0 {
		t.interval = UpdateRetryFirst
	}
	t.retry = c.timers.after(c.now.Add(t.interval), func() {
		c.counters.UpdatesRepeated++
		c.forward(t)
	})
	t.interval = min(2*t.interval, UpdateRetryMost)
}

// forwardRest tells the master what waits behind the oldest update of a task, without waiting for acknowledgements.
func (c *Core) forwardRest(t *task) {
	for _, u := range t.updates[1:] {
		if u.stored && !u.acknowledged {
			c.forwardUpdate(t, u)
		}
	}
}

// latestStored is the newest update that a restart of the slave would not lose.
func (t *task) latestStored() *mesos.TaskStatus {
	for _, u := range slices.Backward(t.updates) {
		if u.stored {
			return u.status
		}
	}
	return t.latest
}

// forwardAll starts all streams from their oldest update, for a master that has just accepted this slave.
func (c *Core) forwardAll() {
	c.eachTask(func(t *task) {
		t.interval = 0
		c.forward(t)
	})
	for _, op := range c.sortedOperations() {
		op.interval = 0
		c.tellOperation(op)
	}
}

func (c *Core) stopForwarding() {
	c.eachTask(func(t *task) { c.timers.stop(t.retry) })
	for _, op := range c.operations {
		c.timers.stop(op.retry)
	}
}

// eachTask visits all tasks that are not forgotten, in order.
func (c *Core) eachTask(visit func(*task)) {
	for _, id := range sortedKeys(c.frameworks) {
		f := c.frameworks[id]
		for _, id := range sortedKeys(f.tasks) {
			visit(f.tasks[id])
		}
	}
}

// acknowledgeUpdate ends the oldest entry of a stream, if it is the one that the scheduler means.
func (c *Core) acknowledgeUpdate(m *wire.AcknowledgeUpdate) {
	var t *task
	if f := c.frameworks[m.GetFrameworkId().GetValue()]; f != nil {
		t = f.tasks[m.GetTaskId().GetValue()]
	}
	if t == nil || len(t.updates) == 0 {
		c.note(Debug, "ignored an acknowledgement for task %s, which has nothing to acknowledge", m.GetTaskId().GetValue())
		return
	}
	u := t.updates[0]
	if u.acknowledged || !u.stored || !bytes.Equal(u.status.GetUuid(), m.GetUuid()) {
		c.note(Debug, "ignored an acknowledgement for task %s with uuid %x", t.id, m.GetUuid())
		return
	}
	u.acknowledged = true
	c.timers.stop(t.retry)
	c.persist(func() { c.acknowledgeUpdatePersisted(t, u) }, UpdateAcknowledged{t.framework.id, t.id, u.status.GetUuid()})
}

func (c *Core) acknowledgeUpdatePersisted(t *task, u *update) {
	if t.framework.removed {
		return
	}
	c.counters.UpdatesAcknowledged++
	t.updates[0] = nil
	t.updates = t.updates[1:]
	t.interval = 0
	if mesos.IsTerminal(u.status.GetState()) {
		c.forgetTask(t)
		c.maybeForgetFramework(t.framework)
		return
	}
	c.forward(t)
}

// remember keeps the uuid of an update, so that its repetition is recognised.
func (t *task) remember(uuid []byte) {
	if t.seen = append(t.seen, uuid); len(t.seen) > RememberedUpdates {
		t.seen = t.seen[1:]
	}
}

func (t *task) hasSeen(uuid []byte) bool {
	return slices.ContainsFunc(t.seen, func(other []byte) bool { return bytes.Equal(other, uuid) })
}

// withoutData is a status as it travels where only the state matters.
func withoutData(status *mesos.TaskStatus) *mesos.TaskStatus {
	if status.Data == nil {
		return status
	}
	status = clone(status)
	status.Data = nil
	return status
}

// seconds is a time as Mesos writes it: seconds since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }
