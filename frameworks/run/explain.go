package run

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// explain says for each slave why it has no room for the task now, by host name.
func explain(task scheduler.Task, role string, agents *masterpb.Response_GetAgents) []SlaveReason {
	var all []SlaveReason
	for _, a := range agents.GetAgents() {
		all = append(all, SlaveReason{
			SlaveID:  a.GetAgentInfo().GetId().GetValue(),
			Hostname: a.GetAgentInfo().GetHostname(),
			Reason:   explainSlave(task, role, a),
		})
	}
	slices.SortFunc(all, func(a, b SlaveReason) int {
		return cmp.Or(strings.Compare(a.Hostname, b.Hostname), strings.Compare(a.SlaveID, b.SlaveID))
	})
	return all
}

// explainSlave takes away from what the slave has, step by step, until the task fits no more: that step is the reason.
func explainSlave(task scheduler.Task, role string, a *masterpb.Response_GetAgents_Agent) string {
	if !a.GetActive() {
		return "not connected, or deactivated"
	}
	total, err := resource.FromProto(a.GetTotalResources())
	if err != nil {
		return err.Error()
	}
	if err := task.FitsIn(total); err != nil {
		return err.Error()
	}
	ours := total.AllocatableTo(role)
	if err := task.FitsIn(ours); err != nil {
		return fmt.Sprintf("reserved for %s: role %q %s", strings.Join(otherRoles(total, ours), ", "), role, amounts(err))
	}
	allocated, err1 := resource.FromProto(a.GetAllocatedResources())
	offered, err2 := resource.FromProto(a.GetOfferedResources())
	if err := errors.Join(err1, err2); err != nil {
		return err.Error()
	}
	unused := less(ours, allocated)
	if err := task.FitsIn(unused); err != nil {
		return fmt.Sprintf("busy: %s free", amounts(err))
	}
	if err := task.FitsIn(less(unused, offered)); err != nil {
		return fmt.Sprintf("busy: %s free, the rest is offered to frameworks", amounts(err))
	}
	return "has room, and was not offered yet"
}

func amounts(err error) string {
	var shortage *scheduler.Shortage
	if errors.As(err, &shortage) {
		return shortage.Amounts()
	}
	return err.Error()
}

// less is what is left of resources when others are taken from them, as far as they contain those.
func less(from, taken resource.Resources) resource.Resources {
	for r := range taken.Unallocate().All() {
		one := taken.Unallocate().Filter(func(x resource.Resource) bool { return x.String() == r.String() })
		if left, ok := from.Sub(one); ok {
			from = left
		}
	}
	return from
}

// otherRoles are the roles for which something is reserved that is not ours.
func otherRoles(total, ours resource.Resources) []string {
	others, _ := total.Sub(ours)
	var roles []string
	for r := range others.All() {
		roles = append(roles, "role "+fmt.Sprintf("%q", r.Role()))
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}
