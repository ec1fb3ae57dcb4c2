package core

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// asked answers an operator, at once or when what was asked has been persisted.
func (c *Core) asked(e Asked) {
	switch m := e.Message.(type) {
	case *masterpb.Call:
		c.operatorCall(e.Request, m)
	case *wire.OperatorKillTask:
		c.operatorKill(e.Request, m)
	case *wire.Explain:
		c.explain(e.Request, m)
	case *schedulerpb.Call:
		c.updateAsked(e.Request, m)
	default:
		c.refuseRequest(e.Request, "%s is nothing that an operator can ask", e.Message.ProtoReflect().Descriptor().Name())
	}
}

func (c *Core) reply(r Request, m proto.Message) { c.emit(Reply{r, m}) }

func (c *Core) refuseRequest(r Request, format string, args ...any) {
	c.reply(r, &wire.Refused{Reason: fmt.Sprintf(format, args...)})
}

func (c *Core) operatorCall(r Request, call *masterpb.Call) {
	if isRead(call.GetType()) {
		c.emit(Show{r, call, c.View()})
		return
	}
	switch call.GetType() {
	case masterpb.Call_UPDATE_MAINTENANCE_SCHEDULE:
		c.updateSchedule(r, call.GetUpdateMaintenanceSchedule().GetSchedule())
	case masterpb.Call_START_MAINTENANCE:
		c.startMaintenance(r, call.GetStartMaintenance())
	case masterpb.Call_STOP_MAINTENANCE:
		c.stopMaintenance(r, call.GetStopMaintenance())
	case masterpb.Call_UPDATE_WEIGHTS:
		c.updateWeights(r, call.GetUpdateWeights())
	case masterpb.Call_UPDATE_QUOTA:
		c.updateQuota(r, call.GetUpdateQuota())
	case masterpb.Call_RESERVE_RESOURCES, masterpb.Call_UNRESERVE_RESOURCES, masterpb.Call_CREATE_VOLUMES, masterpb.Call_DESTROY_VOLUMES,
		masterpb.Call_GROW_VOLUME, masterpb.Call_SHRINK_VOLUME:
		c.operatorConvert(r, call)
	case masterpb.Call_DEACTIVATE_AGENT:
		c.deactivateSlave(r, call.GetDeactivateAgent().GetAgentId().GetValue())
	case masterpb.Call_REACTIVATE_AGENT:
		c.reactivateSlave(r, call.GetReactivateAgent().GetAgentId().GetValue())
	case masterpb.Call_DRAIN_AGENT:
		c.drainSlave(r, call.GetDrainAgent())
	case masterpb.Call_MARK_AGENT_GONE:
		c.operatorGone(r, call.GetMarkAgentGone().GetAgentId().GetValue())
	case masterpb.Call_TEARDOWN:
		c.operatorTeardown(r, call.GetTeardown())
	default:
		c.refuseRequest(r, "call %v is not supported by this master", call.GetType())
	}
}

// operatorTeardown ends a framework in the name of an operator. Its scheduler is told.
func (c *Core) operatorTeardown(r Request, m *masterpb.Call_Teardown) {
	id := m.GetFrameworkId().GetValue()
	f := c.frameworks[id]
	switch {
	case f == nil && c.hasEnded(id):
		c.refuseRequest(r, "framework %s has ended already", id)
		return
	case f == nil:
		c.refuseRequest(r, "there is no framework %q", id)
		return
	}
	c.tell(f, &schedulerpb.Event{
		Type:  schedulerpb.Event_ERROR.Enum(),
		Error: &schedulerpb.Event_Error{Message: proto.String("Framework has been torn down by an operator")},
	})
	c.removeFramework(f, "an operator tore it down")
	c.reply(r, &wire.OperatorDone{})
}

// operatorKill ends a task in the name of an operator. The framework may be left out if only one has a task of this id.
func (c *Core) operatorKill(r Request, m *wire.OperatorKillTask) {
	id, fid := m.GetTaskId().GetValue(), m.GetFrameworkId().GetValue()
	if fid != "" && c.frameworks[fid] == nil {
		c.refuseRequest(r, "there is no framework %q that runs", fid)
		return
	}
	var found []*task
	for _, other := range slices.Sorted(maps.Keys(c.frameworks)) {
		if t := c.frameworks[other].tasks[id]; t != nil && (fid == "" || fid == other) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		c.refuseRequest(r, "there is no task %q that runs", id)
	case len(found) > 1:
		c.refuseRequest(r, "task id %q is that of tasks of %d frameworks, %s and %s among them: name the framework", id, len(found), found[0].framework.id, found[1].framework.id)
	case mesos.IsTerminal(found[0].state()):
		c.refuseRequest(r, "task %s has ended already: it is %v", id, found[0].state())
	default:
		c.note("task %s of framework %s is killed by an operator", id, found[0].framework.id)
		c.kill(found[0], nil, mesos.KilledByOperator)
		c.reply(r, &wire.OperatorDone{})
	}
}

// updateWeights has new weights of roles persisted.
func (c *Core) updateWeights(r Request, m *masterpb.Call_UpdateWeights) {
	weights := map[string]float64{}
	for _, w := range m.GetWeightInfos() {
		if err := mesos.ValidateRole(w.GetRole()); err != nil {
			c.refuseRequest(r, "weight %v: %v", w.GetWeight(), err)
			return
		}
		if weight := w.GetWeight(); !(weight > 0) || math.IsInf(weight, 1) {
			c.refuseRequest(r, "weight %v of role %q: allowed are numbers above 0", weight, w.GetRole())
			return
		}
		weights[w.GetRole()] = w.GetWeight()
	}
	c.persist(registry.SetWeights{Weights: weights}, func(failure string) { c.weightsUpdated(r, weights, failure) })
}

func (c *Core) weightsUpdated(r Request, weights map[string]float64, failure string) {
	if failure != "" {
		c.refuseRequest(r, "weights could not be set: %s", failure)
		return
	}
	for _, role := range slices.Sorted(maps.Keys(weights)) {
		c.allocator.SetWeight(role, weights[role])
	}
	c.reply(r, &wire.OperatorDone{})
}
