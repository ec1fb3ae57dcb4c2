package core

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/maintenancepb"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// What happens to the world of TestRandomEvents by maintenance, whitelists and frameworks that change.

// maintains changes the schedule, takes machines down or lets them come back, or changes who may be offered.
func (w *world) maintains() {
	var ids []*mesos.MachineID
	for i := range 1 + w.rand.IntN(2) {
		ids = append(ids, &mesos.MachineID{Hostname: proto.String(w.slaves[(i+w.rand.IntN(3))%3].name)})
	}
	call := &masterpb.Call{}
	switch w.rand.IntN(5) {
	case 0, 1:
		schedule := &maintenancepb.Schedule{}
		if w.rand.IntN(3) > 0 {
			start := w.now.Add(time.Duration(w.rand.IntN(3)) * time.Hour)
			schedule.Windows = append(schedule.Windows, &maintenancepb.Window{MachineIds: ids, Unavailability: &mesos.Unavailability{Start: timeInfo(start)}})
		}
		call.Type, call.UpdateMaintenanceSchedule = masterpb.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(), &masterpb.Call_UpdateMaintenanceSchedule{Schedule: schedule}
	case 2:
		call.Type, call.StartMaintenance = masterpb.Call_START_MAINTENANCE.Enum(), &masterpb.Call_StartMaintenance{Machines: ids[:1]}
	case 3:
		w.stopMaintenance()
		return
	default:
		w.feed(Whitelisted{Hostnames: []string{w.slaves[w.rand.IntN(3)].name}, All: w.rand.IntN(2) == 0})
		return
	}
	w.request++
	w.feed(Asked{w.request, call})
	if w.rand.IntN(2) == 0 {
		w.confirm(false)
	}
}

// stopMaintenance lets all machines come back that are down.
func (w *world) stopMaintenance() {
	w.confirm(false)
	for machine := range maps.Clone(w.core.registry.Maintenance.Down) {
		w.request++
		w.feed(Asked{w.request, &masterpb.Call{Type: masterpb.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &masterpb.Call_StopMaintenance{
			Machines: []*mesos.MachineID{shownMachine(machine)},
		}}})
		w.confirm(false)
	}
}

// isAsked checks that a framework is asked to leave only slaves that will be away, and not twice.
func (w *world) isAsked(f *modelScheduler, offers []*mesos.InverseOffer) {
	if f.inverse == nil {
		f.inverse = map[string]bool{}
	}
	for _, o := range offers {
		sl := w.core.slaves[o.GetAgentId().GetValue()]
		if sl == nil || sl.window == nil || !proto.Equal(sl.window.message, o.GetUnavailability()) {
			w.fatal("%s is asked to leave slave %s, which will not be away then", f.name, o.GetAgentId().GetValue())
		}
		open := 0
		for _, other := range w.core.inverse {
			if other.framework.id == f.id && other.slave == sl {
				open++
			}
		}
		if open != 1 || f.inverse[o.GetId().GetValue()] {
			w.fatal("%s is asked %d times to leave slave %s", f.name, open, sl.id)
		}
		f.inverse[o.GetId().GetValue()] = true
	}
}

func (w *world) answersInverse(f *modelScheduler) *schedulerpb.Call {
	id := slices.Sorted(maps.Keys(f.inverse))[0]
	delete(f.inverse, id)
	ids := []*mesos.OfferID{mesos.NewOfferID(id)}
	call := w.callOf(f, schedulerpb.Call_ACCEPT_INVERSE_OFFERS)
	call.AcceptInverseOffers = &schedulerpb.Call_AcceptInverseOffers{InverseOfferIds: ids, Filters: w.filters()}
	if w.rand.IntN(2) == 0 {
		call = w.callOf(f, schedulerpb.Call_DECLINE_INVERSE_OFFERS)
		call.DeclineInverseOffers = &schedulerpb.Call_DeclineInverseOffers{InverseOfferIds: ids, Filters: w.filters()}
	}
	return call
}

// changes is an UPDATE_FRAMEWORK: other roles, constraints, a minimum; sometimes one that is not possible.
func (w *world) changes(f *modelScheduler) *schedulerpb.Call {
	call := w.callOf(f, schedulerpb.Call_UPDATE_FRAMEWORK)
	info := proto.CloneOf(f.info)
	info.Id = mesos.NewFrameworkID(f.id)
	m := &schedulerpb.Call_UpdateFramework{FrameworkInfo: info}
	call.UpdateFramework = m
	role := mesos.RolesOf(info)[0]
	switch w.rand.IntN(4) {
	case 0:
		m.OfferConstraints = constraints(role + ":@hostname~s[" + []string{"01", "2", "7"}[w.rand.IntN(3)] + "]")
	case 1:
		info.OfferFilters = map[string]*mesos.OfferFilters{role: {MinAllocatableResources: &mesos.OfferFilters_MinAllocatableResources{}}}
	case 2:
		if len(info.GetRoles()) > 0 {
			info.Roles = info.Roles[:1+w.rand.IntN(2)]
		}
		m.SuppressedRoles = []string{role}
	case 3:
		if w.rand.IntN(10) == 0 {
			info.User = proto.String("another")
		}
	}
	return call
}
