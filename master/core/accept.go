package core

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// acceptance is an ACCEPT at work: offers of one slave and one role, and what its operations have left of them.
type acceptance struct {
	framework *framework
	slave     *slave
	role      string
	left      resource.Resources
	used      bool // something was launched or converted
}

// accept carries out the operations of an ACCEPT on its offers, in order. What they leave goes back at once. If one of
// the offers cannot be accepted nothing is done: all tasks are lost, and the offers that were good go back.
func (c *Core) accept(f *framework, m *schedulerpb.Call_Accept) {
	c.counters.Accepts++
	offers, err := c.acceptedOffers(f, m.GetOfferIds())
	for _, o := range offers {
		c.forgetOffer(o)
	}
	if err != nil {
		for _, o := range offers {
			c.allocator.Return(f.client(o.role), o.slave.id, o.resources)
		}
		c.loseLaunches(f, m, err)
		return
	}
	a := &acceptance{framework: f, slave: offers[0].slave, role: offers[0].role}
	for _, o := range offers {
		a.left = a.left.Add(o.resources)
	}
	for _, operation := range m.GetOperations() {
		c.operate(a, operation)
	}
	client := f.client(a.role)
	c.allocator.Return(client, a.slave.id, a.left)
	c.refuseResources(client, a.slave, a.left, m.GetFilters(), a.used)
}

// acceptedOffers returns the offers that an ACCEPT names and that are its framework's, and an error if it may not accept
// all of them together.
func (c *Core) acceptedOffers(f *framework, ids []*mesos.OfferID) ([]*offer, error) {
	var offers []*offer
	var failure error
	fail := func(format string, args ...any) {
		if failure == nil {
			failure = fmt.Errorf(format, args...)
		}
	}
	seen := map[string]bool{}
	for _, id := range ids {
		o := c.offers[id.GetValue()]
		switch {
		case seen[id.GetValue()]:
			fail("offer %s is named twice", id.GetValue())
			continue
		case o == nil || o.framework == f && (!o.isHeld() || !f.hasRole(o.role) || !c.judged(o)):
			fail("offer %s is no longer valid", id.GetValue())
			continue
		case o.framework != f:
			fail("offer %s is not one of framework %s", id.GetValue(), f.id)
			continue
		}
		seen[id.GetValue()] = true
		offers = append(offers, o)
		if first := offers[0]; o.slave != first.slave {
			fail("offers %s and %s are of two slaves, %s and %s: all must be of one", first.id, o.id, first.slave.id, o.slave.id)
		} else if o.role != first.role {
			fail("offers %s and %s are for two roles, %q and %q: all must be for one", first.id, o.id, first.role, o.role)
		}
	}
	if len(ids) == 0 {
		fail("no offers were named")
	}
	return offers, failure
}

// loseLaunches answers an ACCEPT of bad offers: its tasks are lost, and its other operations dropped.
func (c *Core) loseLaunches(f *framework, m *schedulerpb.Call_Accept, err error) {
	c.warn("framework %s accepted invalid offers: %v", f.id, err)
	for _, operation := range m.GetOperations() {
		for _, info := range launchedBy(operation) {
			c.counters.InvalidTasks++
			c.tellMaster(f, verdict{
				task: info.GetTaskId(), slave: info.GetAgentId(), executor: info.GetExecutor().GetExecutorId(),
				state: mesos.TaskState_TASK_DROPPED, reason: mesos.TaskStatus_REASON_INVALID_OFFERS,
				message: "Task launched with invalid offers: " + err.Error(),
			})
		}
		if launchedBy(operation) == nil { // Tasks have their updates.
			c.operationFailed(f, nil, operation, "Operation attempted with invalid offers: "+err.Error())
		}
	}
}

// launchedBy returns the tasks that an operation launches.
func launchedBy(operation *mesos.Offer_Operation) []*mesos.TaskInfo {
	switch operation.GetType() {
	case mesos.Offer_Operation_LAUNCH:
		return operation.GetLaunch().GetTaskInfos()
	case mesos.Offer_Operation_LAUNCH_GROUP:
		return operation.GetLaunchGroup().GetTaskGroup().GetTasks()
	default:
		return nil
	}
}

// operate carries out one operation.
func (c *Core) operate(a *acceptance, operation *mesos.Offer_Operation) {
	switch operation.GetType() {
	case mesos.Offer_Operation_LAUNCH:
		for _, info := range operation.GetLaunch().GetTaskInfos() {
			c.launch(a, info)
		}
	case mesos.Offer_Operation_LAUNCH_GROUP:
		for _, info := range launchedBy(operation) {
			c.rejectTask(a, info, mesos.TaskStatus_REASON_TASK_GROUP_INVALID, "LAUNCH_GROUP is not supported by this master")
		}
	case mesos.Offer_Operation_RESERVE, mesos.Offer_Operation_UNRESERVE, mesos.Offer_Operation_CREATE, mesos.Offer_Operation_DESTROY,
		mesos.Offer_Operation_GROW_VOLUME, mesos.Offer_Operation_SHRINK_VOLUME:
		c.convert(a, operation)
	default:
		c.operationFailed(a.framework, a.slave, operation, fmt.Sprintf("operation %v is not supported by this master", operation.GetType()))
	}
}

// operationFailed tells a scheduler that wants to know that an operation was not carried out.
func (c *Core) operationFailed(f *framework, sl *slave, operation *mesos.Offer_Operation, why string) {
	c.warn("framework %s: %s", f.id, why)
	if operation.GetId() == nil {
		return
	}
	status := &mesos.OperationStatus{OperationId: operation.Id, State: mesos.OperationState_OPERATION_ERROR.Enum(), Message: &why}
	if sl != nil {
		status.AgentId = sl.info.Id
	}
	c.tellOperationStatus(f, status)
}

// launch starts a task if it is valid and fits what is left of the offers.
func (c *Core) launch(a *acceptance, info *mesos.TaskInfo) {
	l, err := c.checkLaunch(a, info)
	if err != nil {
		c.rejectTask(a, info, mesos.TaskStatus_REASON_TASK_INVALID, err.Error())
		return
	}
	run := &wire.RunTask{Framework: a.framework.info, Task: l.info, ExecutorRuns: l.info.GetExecutor() != nil && !l.starts}
	if why := c.noRoom(a.slave, a.framework, proto.Size(run)); why != "" {
		c.dropLaunch(a, info, why)
		return
	}
	client := a.framework.client(a.role)
	a.used = true
	a.left = l.left
	c.allocator.Use(client, a.slave.id, l.resources)
	if l.starts {
		c.allocator.Use(client, a.slave.id, l.executorResources)
		c.addExecutor(a.framework, a.slave, l.info.Executor, l.executorResources, a.role)
	}
	c.addTask(a, l)
	c.counters.Launches++
	c.toSlave(a.slave, run)
}

// dropLaunch does not launch a task for which there is no room on the way to its slave. It may be launched again.
func (c *Core) dropLaunch(a *acceptance, info *mesos.TaskInfo, why string) {
	c.counters.LaunchesDropped++
	c.warn("framework %s: task %s was not launched: %s", a.framework.id, info.GetTaskId().GetValue(), why)
	c.tellMaster(a.framework, verdict{
		task: info.GetTaskId(), slave: a.slave.info.Id, executor: info.GetExecutor().GetExecutorId(),
		state: mesos.TaskState_TASK_DROPPED, reason: mesos.TaskStatus_REASON_INVALID_OFFERS, message: "the task was not launched: " + why,
	})
}

func (c *Core) rejectTask(a *acceptance, info *mesos.TaskInfo, reason mesos.TaskStatus_Reason, why string) {
	c.counters.InvalidTasks++
	c.note("framework %s: task %s is not valid: %s", a.framework.id, info.GetTaskId().GetValue(), why)
	c.tellMaster(a.framework, verdict{
		task: info.GetTaskId(), slave: a.slave.info.Id, executor: info.GetExecutor().GetExecutorId(),
		state: mesos.TaskState_TASK_ERROR, reason: reason, message: why,
	})
}
