package core

import (
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/flow"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// masterSession is the slave's view of the leading master.
type masterSession struct {
	session    Session // 0: none
	asked      bool    // to register
	registered bool
	exited     []*wire.ExecutorExited  // since it was asked, of executors that it was told of
	parts      []*wire.ReregisterSlave // that it is still to hear before it can accept this slave
	out        flow.Outbox[outgoing]   // what goes to it; a lane for each framework
}

func (c *Core) masterFound(s Session) {
	if old := c.master.session; old != 0 {
		c.emit(CloseSession{old, "another master leads"})
	}
	c.master = masterSession{session: s}
	c.stopForwarding()
	c.maybeRegister()
}

// maybeRegister introduces the slave to its master once it can run tasks, that is once a host has registered.
func (c *Core) maybeRegister() {
	if c.master.session == 0 || c.master.asked || !c.recovered || !c.host.everRegistered || c.shutdown.begun {
		return
	}
	c.master.asked = true
	if c.slaveID == "" {
		c.send(c.master.session, &wire.RegisterSlave{
			Slave: c.config.Slave, Version: c.config.Version, ClusterId: c.clusterID,
		})
		return
	}
	c.introduce()
}

// introduce tells a master with an empty memory what it needs, in parts that the connection can take. The first one goes to
// whoever is master, which has a session of its own for this slave: the others are for that, once it has answered.
func (c *Core) introduce() {
	parts := c.everythingKnown()
	c.send(c.master.session, parts[0])
	if c.master.parts = parts[1:]; len(c.master.parts) > 0 {
		c.send(c.master.session, &wire.Mark{Number: introduction})
	}
}

// introduction is the number of the mark behind the first part. The outbox has no such mark.
const introduction = 0

func (c *Core) introduceFurther() {
	for _, m := range c.master.parts {
		c.letOut("", outgoing{message: m}, m)
	}
	c.master.parts = nil
}

// everythingKnown is what a master with an empty memory needs.
func (c *Core) everythingKnown() []*wire.ReregisterSlave {
	var parts []*wire.ReregisterSlave
	begin := func() *wire.ReregisterSlave {
		return &wire.ReregisterSlave{Slave: c.slaveInfo(), Version: c.config.Version, ClusterId: c.clusterID}
	}
	m, size := begin(), 0
	room := func(more proto.Message) *wire.ReregisterSlave {
		n := proto.Size(more)
		if size > 0 && size+n > RegistrationPartBytes {
			m.More = true
			parts = append(parts, m)
			m, size = begin(), 0
		}
		size += n
		return m
	}
	for _, id := range sortedKeys(c.frameworks) {
		f := c.frameworks[id]
		part := room(f.info)
		part.Frameworks = append(part.Frameworks, f.info)
		for _, id := range sortedKeys(f.executors) {
			if ex := f.executors[id]; !ex.command {
				e := &wire.SlaveExecutor{FrameworkId: f.info.GetId(), Executor: ex.info}
				part := room(e)
				part.Executors = append(part.Executors, e)
			}
		}
		for _, id := range sortedKeys(f.tasks) {
			t := f.tasks[id].toProto(c.slaveID)
			part := room(t)
			part.Tasks = append(part.Tasks, t)
		}
	}
	for _, op := range c.sortedOperations() {
		o := op.toProto()
		part := room(o)
		part.Operations = append(part.Operations, o)
	}
	m.Resources = c.total.ToProto()
	return append(parts, m)
}

// slaveInfo is the slave as others see it: with its id, if it has one.
func (c *Core) slaveInfo() *mesos.AgentInfo {
	info := clone(c.config.Slave)
	if c.slaveID != "" {
		info.Id = c.agentID()
	}
	return info
}

// agentID is the slave's id as Mesos writes it, or nil before the first registration.
func (c *Core) agentID() *mesos.AgentID {
	if c.slaveID == "" {
		return nil
	}
	return &mesos.AgentID{Value: proto.String(c.slaveID)}
}

// slaveRegistered is the master's consent. Its orders may follow at once: what they ask for is persisted after the id.
func (c *Core) slaveRegistered(slaveID, clusterID string) {
	if !c.master.asked {
		c.note(Warn, "ignored the consent of a master that was not asked")
		return
	}
	if c.slaveID != "" && slaveID != c.slaveID {
		c.finish("the master took this slave for " + slaveID + ", but it is " + c.slaveID)
		return
	}
	if c.slaveID != slaveID || c.clusterID != clusterID {
		c.slaveID, c.clusterID = slaveID, clusterID
		c.persist(nil, SlaveAdmitted{slaveID, clusterID})
	}
	c.master.registered = true
	c.note(Info, "registered as %s", c.slaveID)
	for _, m := range c.master.exited {
		c.toMaster(m)
	}
	c.master.exited = nil
	c.forwardAll()
}

func (c *Core) masterLost(reason string) {
	c.note(Warn, "the master is gone: %s", reason)
	c.master = masterSession{}
	c.stopForwarding()
}

// isPartitionAware says whether a framework knows the states that replaced TASK_LOST.
func isPartitionAware(f *mesos.FrameworkInfo) bool {
	for _, capability := range f.GetCapabilities() {
		if capability.GetType() == mesos.FrameworkInfo_Capability_PARTITION_AWARE {
			return true
		}
	}
	return false
}

// lost is the state of a task that ran and is gone without a word.
func lost(f *mesos.FrameworkInfo) mesos.TaskState {
	if isPartitionAware(f) {
		return mesos.TaskState_TASK_GONE
	}
	return mesos.TaskState_TASK_LOST
}

// dropped is the state of a task that never ran.
func dropped(f *mesos.FrameworkInfo) mesos.TaskState {
	if isPartitionAware(f) {
		return mesos.TaskState_TASK_DROPPED
	}
	return mesos.TaskState_TASK_LOST
}
