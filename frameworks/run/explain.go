package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// shownHosts is how many slaves are named that have the same in the way.
const shownHosts = 3

// need is what an instance needs of one slave, as the master is asked for it.
func need(task scheduler.Task) map[string]float64 {
	amounts := map[string]float64{}
	for name, amount := range map[string]float64{"cpus": task.CPUs, "mem": task.Mem, "disk": task.Disk, "gpus": task.GPUs} {
		if amount > 0 {
			amounts[name] = amount
		}
	}
	return amounts
}

// reasons are why instances wait, as the master explains it.
type reasons struct {
	general []string // whatever the slave
	slaves  []SlaveReason
	others  int // slaves that were not looked at
}

// readReasons reads what the master says of the framework in its roles.
func readReasons(m *wire.Explanation, roles []string) reasons {
	var r reasons
	for _, w := range m.GetWaiting() {
		role, whose := w.GetRole(), ""
		if !slices.Contains(roles, role) {
			continue
		}
		if len(roles) > 1 {
			whose = fmt.Sprintf("for role %q: ", role)
		}
		r.general = append(r.general, w.GetReasons()...)
		if w.GetShare() > w.GetFairShare() {
			r.general = append(r.general, fmt.Sprintf("role %q has more than others: share %.2f against fair %.2f", role, w.GetShare(), w.GetFairShare()))
		}
		for _, s := range w.GetSlaves() {
			r.slaves = append(r.slaves, SlaveReason{SlaveID: s.GetSlaveId().GetValue(), Hostname: s.GetHostname(), Reason: whose + s.GetReason()})
		}
		r.others += int(w.GetOtherSlaves())
	}
	return r
}

// constrained says of slaves that the task's constraints rule out that this is why: the master does not know of them.
func (r reasons) constrained(task scheduler.Task, beside []scheduler.Place, agents []*masterpb.Response_GetAgents_Agent) reasons {
	places := map[string]scheduler.Place{}
	for _, a := range agents {
		places[a.GetAgentInfo().GetId().GetValue()] = scheduler.PlaceOf(a.GetAgentInfo())
	}
	for i, s := range r.slaves {
		place, known := places[s.SlaveID]
		for _, c := range task.Constraints {
			if !known {
				break
			}
			if err := c.Allows(place, beside); err != nil {
				r.slaves[i].Reason = err.Error()
				break
			}
		}
	}
	return r
}

// lines says them on one screen: slaves with the same in the way stand together, the most first.
func (r reasons) lines() string {
	if len(r.slaves) == 0 && len(r.general) == 0 {
		return ": the cluster has no slaves"
	}
	text := ":"
	for _, reason := range r.general {
		text += "\n  " + reason
	}
	groups := map[string][]SlaveReason{}
	var order []string
	for _, s := range r.slaves {
		if groups[s.Reason] == nil {
			order = append(order, s.Reason)
		}
		groups[s.Reason] = append(groups[s.Reason], s)
	}
	slices.SortStableFunc(order, func(a, b string) int { return len(groups[b]) - len(groups[a]) })
	for _, reason := range order {
		text += "\n  " + hosts(groups[reason]) + ": " + reason
	}
	if r.others > 0 {
		text += fmt.Sprintf("\n  %d more slaves were not looked at", r.others)
	}
	return text
}

func hosts(slaves []SlaveReason) string {
	if len(slaves) == 1 {
		return fmt.Sprintf("%s (%s)", slaves[0].Hostname, slaves[0].SlaveID)
	}
	var names []string
	for _, s := range slaves[:min(len(slaves), shownHosts)] {
		names = append(names, s.Hostname)
	}
	if len(slaves) > shownHosts {
		names = append(names, "…")
	}
	return fmt.Sprintf("%d slaves (%s)", len(slaves), strings.Join(names, ", "))
}
