package core

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Check returns what is wrong with the state of the slave, or nil. Tests call it after every Step.
func (c *Core) Check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	executors, known := 0, 0
	for _, id := range sortedKeys(c.frameworks) {
		f := c.frameworks[id]
		if f.id != id || f.info.GetId().GetValue() != id {
			fail("framework %s is filed as %s", f.id, id)
		}
		if len(f.executors)+len(f.tasks) == 0 {
			fail("framework %s has nothing here and was not forgotten", id)
		}
		if f.removed && len(f.tasks) > 0 {
			fail("framework %s was removed and has %d tasks", id, len(f.tasks))
		}
		executors += len(f.executors)
		known += f.known
		of := proto.Size(f.info)
		for _, ex := range f.executors {
			of += ex.knownBytes()
		}
		for _, t := range f.tasks {
			of += knownBytes(t.info)
		}
		if of != f.known {
			fail("framework %s counts %d bytes, what it has here is %d", id, f.known, of)
		}
		for _, id := range sortedKeys(f.executors) {
			c.checkExecutor(f, f.executors[id], fail)
		}
		for _, id := range sortedKeys(f.tasks) {
			c.checkTask(f, f.tasks[id], fail)
		}
	}
	if known != c.known {
		fail("frameworks count %d bytes, the slave %d", known, c.known)
	}
	if executors != len(c.containers) {
		fail("%d executors in frameworks, %d containers", executors, len(c.containers))
	}
	for _, op := range c.sortedOperations() {
		if armed := op.retry != nil && op.retry.index >= 0; c.master.registered && armed != op.stored {
			fail("operation %s of framework %s is on the disk: %t; it will be repeated: %t", op.OperationID, op.FrameworkID, op.stored, armed)
		}
	}
	flying := 0
	for _, ex := range c.containers {
		flying += ex.flying
	}
	if flying != c.host.flying || len(c.host.waits) > 0 && flying == 0 {
		fail("%d bytes are on their way to the host, %d are counted, and %d executors wait", flying, c.host.flying, len(c.host.waits))
	}
	c.checkSessions(fail)
	c.checkBounds(fail)
	return errors.Join(errs...)
}

func (c *Core) checkExecutor(f *framework, ex *executor, fail func(string, ...any)) {
	if ex.framework != f || f.executors[ex.id] != ex || c.containers[ex.containerID] != ex {
		fail("executor %s of framework %s is filed under another name", ex.id, f.id)
	}
	if ex.command && ex.state == preparing && len(ex.tasks) == 0 && !f.removed {
		fail("command executor %s prepares for no task", ex.id)
	}
	if (ex.state == preparing) != (ex.directory == "") {
		fail("executor %s is %s and its sandbox is %q", ex.id, ex.state, ex.directory)
	}
	if ex.state >= registering && c.host.id == "" {
		fail("executor %s is %s without a host", ex.id, ex.state)
	}
	if ex.state == launching && c.host.session != 0 && (!ex.waits || c.host.flying == 0) {
		fail("executor %s waits for a host, which is there", ex.id)
	}
	if ex.session != 0 && (ex.state < running || c.sessions[ex.session] == nil || c.sessions[ex.session].executor != ex) {
		fail("executor %s is %s and has session %d, which is not its own", ex.id, ex.state, ex.session)
	}
	if ex.state <= registering || ex.state == running && ex.session == 0 {
		if ex.deadline == nil || ex.deadline.index < 0 {
			fail("executor %s is %s without a deadline", ex.id, ex.state)
		}
	}
	for _, t := range ex.tasks {
		if f.tasks[t.id] != t || t.executor != ex {
			fail("executor %s holds task %s, which is not its own", ex.id, t.id)
		}
	}
}

func (c *Core) checkTask(f *framework, t *task, fail func(string, ...any)) {
	if t.framework != f || f.tasks[t.id] != t {
		fail("task %s of framework %s is filed under another name", t.id, f.id)
	}
	terminal := mesos.IsTerminal(t.state())
	if terminal != (t.phase == ended) {
		fail("task %s is %s, but its phase is %d", t.id, t.state(), t.phase)
	}
	if !terminal && (t.executor == nil || f.executors[t.executorID] != t.executor || !slices.Contains(t.executor.tasks, t)) {
		fail("task %s is %s without an executor", t.id, t.state())
	}
	if terminal && len(t.updates) == 0 {
		fail("task %s is %s and acknowledged, but not forgotten", t.id, t.state())
	}
	if t.phase == queued && t.latest != nil {
		fail("task %s is queued and %s", t.id, t.state())
	}
	for i, u := range t.updates {
		if mesos.IsTerminal(u.status.GetState()) && i < len(t.updates)-1 {
			fail("task %s has an update after its end", t.id)
		}
		if len(u.status.GetUuid()) != uuidLength || u.status.GetAgentId() == nil && c.slaveID != "" || u.status.Timestamp == nil {
			fail("task %s has an incomplete update: %v", t.id, u.status)
		}
		if u.acknowledged && i > 0 {
			fail("task %s has an acknowledged update that is not its oldest", t.id)
		}
		if i > 0 && bytes.Equal(u.status.GetUuid(), t.updates[i-1].status.GetUuid()) {
			fail("task %s has an update twice", t.id)
		}
	}
	// An update that may go out is on its way and will be repeated: this is what "never lost" rests on.
	if len(t.updates) > 0 && c.master.registered {
		u := t.updates[0]
		waits := u.stored && !u.acknowledged && u.waits != c.master.session
		if armed := t.retry != nil && t.retry.index >= 0; waits != armed {
			fail("task %s: its oldest update waits for acknowledgement: %t; it will be repeated: %t", t.id, waits, armed)
		}
	}
}

func (c *Core) checkSessions(fail func(string, ...any)) {
	hosts := 0
	for s, p := range c.sessions {
		if p.isHost {
			hosts++
			if c.host.session != s {
				fail("session %d is a host's, the host has session %d", s, c.host.session)
			}
		}
		if s == c.master.session {
			fail("session %d is the master's and a peer's", s)
		}
		if p.executor != nil && p.executor.session != s {
			fail("session %d claims executor %s, which has session %d", s, p.executor.id, p.executor.session)
		}
	}
	if (c.host.session != 0) != (hosts == 1) {
		fail("the host has session %d, %d sessions are hosts'", c.host.session, hosts)
	}
	if c.master.registered && (c.slaveID == "" || c.master.session == 0) {
		fail("registered with slave id %q over session %d", c.slaveID, c.master.session)
	}
}

func (c *Core) checkBounds(fail func(string, ...any)) {
	within := func(what string, n, limit int) {
		if n > limit {
			fail("%d %s, at most %d are kept", n, what, limit)
		}
	}
	within("completed frameworks", len(c.completed.frameworks.entries), MaxCompletedFrameworks)
	within("completed executors", len(c.completed.executors.entries), MaxCompletedExecutors)
	within("completed tasks", len(c.completed.tasks.entries), MaxCompletedTasks)
	within("names of completed tasks", len(c.completed.index), MaxCompletedTasks)
	within("sandboxes", len(c.gc.Sandboxes), MaxSandboxes)
	if len(c.gc.Sandboxes) > 0 && (c.gcTimer == nil || c.gcTimer.index < 0) {
		fail("%d sandboxes wait for removal without a timer", len(c.gc.Sandboxes))
	}
}
