package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// operation is an operation on resources whose framework gave it an id, from its ACCEPT until its end is acknowledged. The
// framework may not be known: a slave that came before it brought the operation.
type operation struct {
	framework string
	slave     *slave
	status    *mesos.OperationStatus // the latest one; with a uuid its slave waits for the acknowledgement
}

// operationKey names an operation. Ids are a framework's own.
type operationKey struct{ framework, operation string }

func (o *operation) id() string { return o.status.GetOperationId().GetValue() }

func (o *operation) key() operationKey { return operationKey{o.framework, o.id()} }

// putOperation makes an operation known, or how far it has got.
func (c *Core) putOperation(sl *slave, framework string, status *mesos.OperationStatus) *operation {
	o := &operation{framework: framework, slave: sl, status: status}
	if c.operations[framework] == nil {
		c.operations[framework] = &btree.Map[string, *operation]{}
	}
	if old, _ := c.operations[framework].Set(o.id(), o); old != nil {
		delete(old.slave.operations, o.key())
	}
	sl.operations[o.key()] = o
	return o
}

func (c *Core) dropOperation(o *operation) {
	delete(o.slave.operations, o.key())
	own := c.operations[o.framework]
	if own.Delete(o.id()); own.Len() == 0 {
		delete(c.operations, o.framework)
	}
}

func (sl *slave) sortedOperations() []*operation {
	return slices.SortedFunc(maps.Values(sl.operations), func(a, b *operation) int { return compareKeys(a.key(), b.key()) })
}

// operationsOf returns a framework's operations by id.
func (c *Core) operationsOf(framework string) *btree.Map[string, *operation] {
	if own := c.operations[framework]; own != nil {
		return own
	}
	return &btree.Map[string, *operation]{}
}

// operationUpdate takes what a slave says of an operation. It repeats it until its scheduler has acknowledged it.
func (c *Core) operationUpdate(sl *slave, m *wire.OperationUpdate) {
	framework, status := m.GetFrameworkId().GetValue(), m.GetStatus()
	if c.hasEnded(framework) {
		c.toSlave(sl, &wire.RemoveFramework{FrameworkId: m.GetFrameworkId()})
		return
	}
	c.tellOperation(c.putOperation(sl, framework, status))
}

// tellOperation tells the scheduler of an operation how far that has got, if it is there.
func (c *Core) tellOperation(o *operation) {
	if f := c.frameworks[o.framework]; f != nil {
		c.tellOperationStatus(f, o.status)
	}
}

func (c *Core) tellOperationStatus(f *framework, status *mesos.OperationStatus) {
	c.tell(f, &schedulerpb.Event{
		Type:                  schedulerpb.Event_UPDATE_OPERATION_STATUS.Enum(),
		UpdateOperationStatus: &schedulerpb.Event_UpdateOperationStatus{Status: status},
	})
}

// acknowledgeOperation passes an acknowledgement on to the slave that waits for it. The operation ends with it.
func (c *Core) acknowledgeOperation(f *framework, m *schedulerpb.Call_AcknowledgeOperationStatus) {
	c.counters.Acknowledgements++
	id := m.GetOperationId().GetValue()
	o, _ := c.operationsOf(f.id).Get(id)
	switch {
	case len(m.GetUuid()) != uuidBytes:
		c.warn("framework %s: ACKNOWLEDGE_OPERATION_STATUS of operation %s was ignored: its uuid has %d bytes, not %d", f.id, id, len(m.GetUuid()), uuidBytes)
	case o == nil || string(o.status.GetUuid().GetValue()) != string(m.GetUuid()):
		c.note("framework %s: ACKNOWLEDGE_OPERATION_STATUS of operation %s was ignored: nothing of this uuid waits for it", f.id, id)
	case !o.slave.connected():
		c.note("framework %s: ACKNOWLEDGE_OPERATION_STATUS of operation %s was ignored: slave %s is not connected, and will repeat the update", f.id, id, o.slave.id)
	default:
		c.maybeToSlave(o.slave, f, &wire.AcknowledgeOperation{FrameworkId: f.info.Id, OperationId: m.GetOperationId(), Uuid: m.GetUuid()})
		c.dropOperation(o)
	}
}

// reconcileOperations answers a scheduler that wants to know how its operations are: those that it names, or all.
func (c *Core) reconcileOperations(f *framework, m *schedulerpb.Call_ReconcileOperations) {
	c.counters.Reconciliations++
	for _, asked := range m.GetOperations() {
		c.tellOperationStatus(f, c.reconciledOperation(f, asked.GetOperationId(), asked.GetAgentId()))
	}
	if len(m.GetOperations()) == 0 {
		for _, o := range c.operationsOf(f.id).Values() {
			c.tellOperation(o)
		}
	}
}

// reconciledOperation is what is known of one operation, by the first rule that fits:
//
//	the operation is known                     its latest status
//	its slave may still come back with it      RECOVERING
//	its slave is unreachable                   UNREACHABLE
//	an operator has given its slave up         GONE_BY_OPERATOR
//	neither                                    UNKNOWN
func (c *Core) reconciledOperation(f *framework, id *mesos.OperationID, slaveID *mesos.AgentID) *mesos.OperationStatus {
	if o, _ := c.operationsOf(f.id).Get(id.GetValue()); o != nil {
		return o.status
	}
	sid := slaveID.GetValue()
	_, unreachable := c.registry.Unreachable[sid]
	status := &mesos.OperationStatus{OperationId: id, AgentId: slaveID}
	set := func(state mesos.OperationState, format string, args ...any) {
		status.State, status.Message = state.Enum(), proto.String("Reconciliation: "+fmt.Sprintf(format, args...))
	}
	switch {
	case c.mayReturn(f, sid):
		set(mesos.OperationState_OPERATION_RECOVERING, "its slave may still come back with it")
	case unreachable:
		set(mesos.OperationState_OPERATION_UNREACHABLE, "slave %s is unreachable", sid)
	case c.isGone(sid):
		set(mesos.OperationState_OPERATION_GONE_BY_OPERATOR, "slave %s was given up by an operator", sid)
	default:
		set(mesos.OperationState_OPERATION_UNKNOWN, "the operation is not known")
	}
	return status
}

// compareOperations takes over the operations that a slave brings. Those that it does not list never reached it.
func (c *Core) compareOperations(sl *slave, m *wire.ReregisterSlave) {
	listed := map[operationKey]bool{}
	for _, theirs := range m.GetOperations() {
		if framework := theirs.GetFrameworkId().GetValue(); !c.hasEnded(framework) {
			listed[c.putOperation(sl, framework, theirs.GetStatus()).key()] = true
		}
	}
	for _, o := range sl.sortedOperations() {
		if !listed[o.key()] {
			c.endOperation(o, mesos.OperationState_OPERATION_DROPPED, "slave "+sl.id+" came back without the operation")
		}
	}
}

// loseOperations ends the operations of a slave that has gone. That of one which had been carried out stays so.
func (c *Core) loseOperations(sl *slave, state mesos.OperationState, why string) {
	for _, o := range sl.sortedOperations() {
		c.endOperation(o, state, why)
	}
}

// endOperation forgets an operation. Its scheduler hears what became of it if it has not heard it yet.
func (c *Core) endOperation(o *operation, state mesos.OperationState, why string) {
	c.dropOperation(o)
	if o.status.GetState() != mesos.OperationState_OPERATION_PENDING {
		return
	}
	o.status = &mesos.OperationStatus{OperationId: o.status.OperationId, AgentId: o.status.AgentId, State: state.Enum(), Message: &why}
	c.tellOperation(o)
}

func compareKeys(a, b operationKey) int {
	return cmp.Or(cmp.Compare(a.framework, b.framework), cmp.Compare(a.operation, b.operation))
}
