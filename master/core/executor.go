package core

import (
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// executor is a framework's own executor on a slave. Its resources are charged once, however many tasks it has. The
// built-in command executors are not known here.
type executor struct {
	info      *mesos.ExecutorInfo
	framework *framework
	slave     *slave
	role      string
	resources resource.Resources // not in allocated form
}

// executorKey names an executor on a slave.
type executorKey struct{ framework, executor string }

// executorOn names an executor of a framework.
type executorOn struct{ slave, executor string }

func (e *executor) id() string { return e.info.GetExecutorId().GetValue() }

func (e *executor) key() executorKey { return executorKey{e.framework.id, e.id()} }

// sortKey is its place among the executors of all frameworks.
func (e *executor) sortKey() string {
	return e.framework.id + between + e.slave.id + between + e.id()
}

// addExecutor makes an executor known whose resources are charged already, or are about to be.
func (c *Core) addExecutor(f *framework, sl *slave, info *mesos.ExecutorInfo, r resource.Resources, role string) *executor {
	e := &executor{info: info, framework: f, slave: sl, role: role, resources: r}
	sl.executors[e.key()] = e
	f.executors[executorOn{sl.id, e.id()}] = e
	c.view.executors.Set(e.sortKey(), e)
	return e
}

// removeExecutor forgets an executor and frees its resources.
func (c *Core) removeExecutor(e *executor) {
	delete(e.slave.executors, e.key())
	delete(e.framework.executors, executorOn{e.slave.id, e.id()})
	c.view.executors.Delete(e.sortKey())
	c.allocator.Release(e.framework.client(e.role), e.slave.id, e.resources)
}

// executorExited handles the end of an executor. What became of its tasks the slave says in their updates.
func (c *Core) executorExited(sl *slave, m *wire.ExecutorExited) {
	key := executorKey{m.GetFrameworkId().GetValue(), m.GetExecutorId().GetValue()}
	if e := sl.executors[key]; e != nil {
		c.removeExecutor(e)
	}
	if f := c.frameworks[key.framework]; f != nil {
		c.tell(f, &schedulerpb.Event{
			Type:    schedulerpb.Event_FAILURE.Enum(),
			Failure: &schedulerpb.Event_Failure{AgentId: sl.info.Id, ExecutorId: m.GetExecutorId(), Status: proto.Int32(m.GetWaitStatus())},
		})
	}
}

// shutdownExecutor handles a scheduler's SHUTDOWN. An executor that is not there is down already.
func (c *Core) shutdownExecutor(f *framework, m *schedulerpb.Call_Shutdown) {
	sl := c.slaves[m.GetAgentId().GetValue()]
	if sl == nil || !sl.connected() {
		c.warn("framework %s: SHUTDOWN of executor %s was ignored: slave %s is not connected", f.id, m.GetExecutorId().GetValue(), m.GetAgentId().GetValue())
		return
	}
	c.maybeToSlave(sl, f, &wire.ShutdownExecutor{FrameworkId: f.info.Id, ExecutorId: m.GetExecutorId()})
}

// messageToExecutor passes a scheduler's bytes on, if the slave is there.
func (c *Core) messageToExecutor(f *framework, m *schedulerpb.Call_Message) {
	sl := c.slaves[m.GetAgentId().GetValue()]
	if sl == nil || !sl.connected() {
		c.warn("framework %s: MESSAGE to executor %s was dropped: slave %s is not connected", f.id, m.GetExecutorId().GetValue(), m.GetAgentId().GetValue())
		return
	}
	c.maybeToSlave(sl, f, &wire.FrameworkMessage{FrameworkId: f.info.Id, ExecutorId: m.GetExecutorId(), Data: m.GetData()})
}

// messageFromExecutor passes an executor's bytes on, if the scheduler is there.
func (c *Core) messageFromExecutor(sl *slave, m *wire.FrameworkMessage) {
	f := c.frameworks[m.GetFrameworkId().GetValue()]
	if f == nil || !f.connected() {
		c.warn("slave %s: message of executor %s was dropped: framework %s is not connected", sl.id, m.GetExecutorId().GetValue(), m.GetFrameworkId().GetValue())
		return
	}
	c.tell(f, &schedulerpb.Event{
		Type:    schedulerpb.Event_MESSAGE.Enum(),
		Message: &schedulerpb.Event_Message{AgentId: sl.info.Id, ExecutorId: m.GetExecutorId(), Data: m.GetData()},
	})
}
