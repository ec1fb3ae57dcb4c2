package core

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// asked takes a call of the framework's author. Without a master the calls that matter later are remembered (kill,
// suppress, revive, acknowledge), launches come back as dropped, and the others are lost, as a message would be.
func (c *Core) asked(now time.Time, call *schedulerpb.Call) {
	if c.state == leaving {
		return
	}
	switch call.GetType() {
	case schedulerpb.Call_SUBSCRIBE, schedulerpb.Call_TEARDOWN, schedulerpb.Call_UNKNOWN:
		panic(fmt.Sprintf("scheduler core: %s is not a call of the author's", call.GetType()))
	case schedulerpb.Call_ACCEPT:
		c.accept(now, call)
	case schedulerpb.Call_DECLINE:
		c.decline(call)
	case schedulerpb.Call_KILL:
		c.kill(call)
	case schedulerpb.Call_ACKNOWLEDGE:
		c.acknowledge(call)
	case schedulerpb.Call_SUPPRESS:
		c.suppress(call.GetSuppress().GetRoles(), true)
		c.sendIfConnected(call)
	case schedulerpb.Call_REVIVE:
		c.suppress(call.GetRevive().GetRoles(), false)
		c.sendIfConnected(call)
	case schedulerpb.Call_RECONCILE:
		c.wantAnswers(call.GetReconcile())
		c.sendIfConnected(call)
	default:
		c.sendIfConnected(call)
	}
}

func (c *Core) sendIfConnected(call *schedulerpb.Call) {
	if c.state == subscribed {
		c.send(call)
	}
}

// accept launches. An offer is used up by it, whatever comes of it.
func (c *Core) accept(now time.Time, call *schedulerpb.Call) {
	tasks := launches(call.GetAccept())
	for _, t := range tasks {
		c.tracker.launched(t)
	}
	if c.state != subscribed {
		c.drop(now, tasks, mesos.TaskStatus_REASON_MASTER_DISCONNECTED, "there is no master to launch the task")
		return
	}
	void := c.useUp(call.GetAccept().GetOfferIds())
	if len(void) == 0 {
		c.send(call)
		return
	}
	c.drop(now, tasks, mesos.TaskStatus_REASON_INVALID_OFFERS, fmt.Sprintf("offer %s is no longer valid", void[0]))
	if rest := without(call.GetAccept().GetOfferIds(), void); len(rest) > 0 {
		c.send(&schedulerpb.Call{
			Type:    schedulerpb.Call_DECLINE.Enum(),
			Decline: &schedulerpb.Call_Decline{OfferIds: rest, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)}},
		})
	}
}

// useUp takes the offers out of the valid ones and returns the ids that were not among them.
func (c *Core) useUp(ids []*mesos.OfferID) (void []string) {
	for _, id := range ids {
		if !c.offers[id.GetValue()] {
			void = append(void, id.GetValue())
		}
		delete(c.offers, id.GetValue())
	}
	return void
}

// drop ends tasks that the master never heard of, in the master's words for that.
func (c *Core) drop(now time.Time, tasks []*mesos.TaskInfo, reason mesos.TaskStatus_Reason, message string) {
	for _, t := range tasks {
		c.update(&mesos.TaskStatus{
			TaskId:    t.GetTaskId(),
			AgentId:   t.GetAgentId(),
			State:     mesos.TaskState_TASK_DROPPED.Enum(),
			Source:    mesos.TaskStatus_SOURCE_MASTER.Enum(),
			Reason:    reason.Enum(),
			Message:   proto.String(message),
			Timestamp: proto.Float64(float64(now.UnixNano()) / float64(time.Second)),
		})
	}
}

func (c *Core) decline(call *schedulerpb.Call) {
	void := c.useUp(call.GetDecline().GetOfferIds())
	rest := without(call.GetDecline().GetOfferIds(), void)
	if len(rest) == 0 || c.state != subscribed {
		return
	}
	c.send(&schedulerpb.Call{
		Type:    schedulerpb.Call_DECLINE.Enum(),
		Decline: &schedulerpb.Call_Decline{OfferIds: rest, Filters: call.GetDecline().GetFilters()},
	})
}

// kill is remembered: whoever wants a task dead wants it after an outage too.
func (c *Core) kill(call *schedulerpb.Call) {
	k := call.GetKill()
	if task, ok := c.tracker.tasks[k.GetTaskId().GetValue()]; ok {
		task.kill = k
		if k.GetAgentId() == nil && task.SlaveID != "" {
			k.AgentId = &mesos.AgentID{Value: proto.String(task.SlaveID)}
		}
	}
	c.sendIfConnected(call)
}

// acknowledge sends an author's acknowledgement once for each time the update was heard.
func (c *Core) acknowledge(call *schedulerpb.Call) {
	a := call.GetAcknowledge()
	if c.tracker.acknowledge(a.GetTaskId().GetValue(), a.GetUuid()) {
		c.sendIfConnected(call)
	}
}

// suppress notes roles that want no offers, for the next subscription. No roles means all of them.
func (c *Core) suppress(roles []string, on bool) {
	if len(roles) == 0 {
		roles = c.framework.GetRoles()
	}
	for _, role := range roles {
		if on {
			c.suppressed[role] = true
		} else {
			delete(c.suppressed, role)
		}
	}
}

// launches lists the tasks that an ACCEPT call would start.
func launches(accept *schedulerpb.Call_Accept) []*mesos.TaskInfo {
	var tasks []*mesos.TaskInfo
	for _, op := range accept.GetOperations() {
		tasks = append(tasks, op.GetLaunch().GetTaskInfos()...)
		tasks = append(tasks, op.GetLaunchGroup().GetTaskGroup().GetTasks()...)
	}
	return tasks
}

func without(ids []*mesos.OfferID, void []string) []*mesos.OfferID {
	rest := make([]*mesos.OfferID, 0, len(ids))
	for _, id := range ids {
		if !slices.Contains(void, id.GetValue()) {
			rest = append(rest, id)
		}
	}
	return rest
}
