package core

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// operation is an operation on resources that this slave has carried out and whose scheduler does not know it yet.
type operation struct {
	OperationKey
	status   *mesos.OperationStatus
	stored   bool // on the disk: it may be told
	retry    *timer
	interval time.Duration // to the next repetition
}

// OperationKey names an operation: its id is one of its framework's.
type OperationKey struct{ FrameworkID, OperationID string }

func (k OperationKey) compare(other OperationKey) int {
	return cmp.Or(cmp.Compare(k.FrameworkID, other.FrameworkID), cmp.Compare(k.OperationID, other.OperationID))
}

// Volume is a persistent volume's directory.
type Volume struct {
	Role, ID string // which name it: the id is unique in the role
	Shared   bool   // by tasks of several users, perhaps
}

// volumesIn lists the persistent volumes among resources.
func volumesIn(list []*mesos.Resource) []Volume {
	r, err := resource.FromProto(list)
	if err != nil {
		return nil // No task with such resources gets past its master.
	}
	var volumes []Volume
	for x := range r.Volumes().All() {
		volumes = append(volumes, Volume{Role: x.Role(), ID: x.VolumeID(), Shared: x.Shared()})
	}
	return volumes
}

// applyOperation converts resources of this slave: that is remembered first, then directories follow. A master that asks
// for what is not possible believes that this slave has what it has not: they compare what they know by registering again.
func (c *Core) applyOperation(m *wire.ApplyOperation) {
	conversion, err := resource.Convert(m.GetOperation())
	total, ok := conversion.Apply(c.total)
	if err == nil && !ok {
		err = fmt.Errorf("of %v the slave has only %v", conversion.From, c.total)
	}
	if err != nil {
		c.note(Warn, "%s cannot be carried out: %v", m.GetOperation().GetType(), err)
		c.reregister("it asked for an operation that is not possible")
		return
	}
	c.total = total
	change := ResourcesConverted{Resources: total.Dynamic().ToProto()}
	var op *operation
	if id := m.GetOperation().GetId(); id != nil {
		op = &operation{OperationKey: OperationKey{m.GetFrameworkId().GetValue(), id.GetValue()}, status: &mesos.OperationStatus{
			OperationId: id, State: mesos.OperationState_OPERATION_FINISHED.Enum(), AgentId: c.agentID(),
			Uuid: &mesos.UUID{Value: c.nextUUID()}, ConvertedResources: conversion.To.ToProto(),
		}}
		c.operations[op.OperationKey] = op
		change.Operation, change.Status = op.OperationKey, op.status
	}
	c.counters.Operations++
	c.persist(func() { c.applyOperationPersisted(m.GetOperation(), conversion, op) }, change)
}

func (c *Core) applyOperationPersisted(operation *mesos.Offer_Operation, conversion resource.Conversion, op *operation) {
	c.note(Info, "%s: %v became %v", operation.GetType(), conversion.From, conversion.To)
	switch operation.GetType() {
	case mesos.Offer_Operation_CREATE:
		c.makeVolumes(conversion.To.ToProto(), "")
	case mesos.Offer_Operation_DESTROY:
		for _, v := range volumesIn(conversion.From.ToProto()) {
			c.emit(RemoveVolume{v})
		}
	}
	if op != nil && c.operations[op.OperationKey] == op {
		op.stored = true
		c.tellOperation(op)
	}
}

// makeVolumes has the directories of volumes made, and given to the user who is to see them.
func (c *Core) makeVolumes(resources []*mesos.Resource, user string) {
	for _, v := range volumesIn(resources) {
		c.emit(MakeVolume{v, user})
	}
}

// tellOperation sends the end of an operation to the master, and again until it is acknowledged or the master has gone.
func (c *Core) tellOperation(op *operation) {
	c.timers.stop(op.retry)
	if !op.stored || !c.toMaster(&wire.OperationUpdate{FrameworkId: mesos.NewFrameworkID(op.FrameworkID), Status: op.status}) {
		return
	}
	op.interval = cmp.Or(op.interval, UpdateRetryFirst)
	op.retry = c.timers.after(c.now.Add(op.interval), func() { c.tellOperation(op) })
	op.interval = min(2*op.interval, UpdateRetryMost)
}

func (c *Core) acknowledgeOperation(m *wire.AcknowledgeOperation) {
	op := c.operations[OperationKey{m.GetFrameworkId().GetValue(), m.GetOperationId().GetValue()}]
	if op == nil || !op.stored || !bytes.Equal(op.status.GetUuid().GetValue(), m.GetUuid()) {
		c.note(Debug, "ignored an acknowledgement for operation %s with uuid %x", m.GetOperationId().GetValue(), m.GetUuid())
		return
	}
	c.forgetOperation(op)
}

func (c *Core) forgetOperation(op *operation) {
	c.timers.stop(op.retry)
	delete(c.operations, op.OperationKey)
	c.persist(nil, OperationForgotten{op.OperationKey})
}

// sortedOperations lists the operations that wait for their acknowledgement, in order.
func (c *Core) sortedOperations() []*operation {
	list := make([]*operation, 0, len(c.operations))
	for _, op := range c.operations {
		list = append(list, op)
	}
	slices.SortFunc(list, func(a, b *operation) int { return a.OperationKey.compare(b.OperationKey) })
	return list
}

// forgetOperationsOf forgets those of a framework that has ended: nobody is left to acknowledge them.
func (c *Core) forgetOperationsOf(framework string) {
	for _, op := range c.sortedOperations() {
		if op.FrameworkID == framework {
			c.forgetOperation(op)
		}
	}
}

// recoverResources brings what operations had made of the slave's resources in earlier lives back. Its own resources may
// have been changed since, by who started it: then there must be room for them.
func (c *Core) recoverResources(checkpoint Checkpoint) error {
	for _, record := range checkpoint.Operations {
		op := &operation{OperationKey: record.Operation, status: record.Status, stored: true}
		c.operations[op.OperationKey] = op
	}
	dynamic, err := resource.FromProto(checkpoint.Resources)
	if err != nil {
		return fmt.Errorf("the checkpoint's resources: %w", err)
	}
	total, ok := resource.Conversion{From: dynamic.Original(), To: dynamic}.Apply(c.total)
	if !ok {
		return fmt.Errorf("%v has been made of this slave's resources, which are %v now: start it with as much as before, or with an empty work_dir",
			dynamic, c.total)
	}
	c.total = total
	return nil
}

// cannotShow reports a volume of a task that its executor, which runs already, was not started with.
func (ex *executor) cannotShow(t *mesos.TaskInfo) string {
	if ex.state < registering {
		return ""
	}
	for _, v := range volumesIn(t.GetResources()) {
		if !slices.Contains(ex.volumes, v) {
			return fmt.Sprintf("executor %q runs already, and cannot be shown persistent volume %q any more", ex.id, v.ID)
		}
	}
	return ""
}

// reregister ends the session with the master, so that a new one begins.
func (c *Core) reregister(why string) {
	s := c.master.session
	c.masterLost(why)
	c.emit(CloseSession{s, why})
}

func (op *operation) toProto() *wire.SlaveOperation {
	return &wire.SlaveOperation{FrameworkId: mesos.NewFrameworkID(op.FrameworkID), Status: op.status}
}
