package core

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// What readers see, in Mesos's form. Lists are sorted: slaves, frameworks and roles by id or name, tasks by framework and
// id, those that have ended in the order in which they did.

// Answer answers a call that asks what is; nil for any other. What it answers with takes part of the view and is not to be
// changed. Who answers more often lets a [Reader] do it.
func (v *View) Answer(call masterpb.Call_Type) *masterpb.Response {
	m := &masterpb.Response{Type: responseType(call)}
	switch call {
	case masterpb.Call_GET_HEALTH:
		m.GetHealth = &masterpb.Response_GetHealth{Healthy: proto.Bool(true)}
	case masterpb.Call_GET_VERSION:
		m.GetVersion = &masterpb.Response_GetVersion{VersionInfo: &mesos.VersionInfo{Version: proto.String(wire.Version)}}
	case masterpb.Call_GET_FLAGS:
		m.GetFlags = v.getFlags()
	case masterpb.Call_GET_METRICS:
		m.GetMetrics = v.getMetrics()
	case masterpb.Call_GET_MASTER:
		m.GetMaster = v.getMaster()
	case masterpb.Call_GET_AGENTS:
		m.GetAgents = v.getAgents()
	case masterpb.Call_GET_FRAMEWORKS:
		m.GetFrameworks = v.getFrameworks()
	case masterpb.Call_GET_EXECUTORS:
		m.GetExecutors = v.getExecutors()
	case masterpb.Call_GET_TASKS:
		m.GetTasks = v.getTasks()
	case masterpb.Call_GET_ROLES:
		m.GetRoles = v.getRoles()
	case masterpb.Call_GET_WEIGHTS:
		m.GetWeights = v.getWeights()
	case masterpb.Call_GET_QUOTA:
		m.GetQuota = v.getQuota()
	case masterpb.Call_GET_MAINTENANCE_SCHEDULE:
		m.GetMaintenanceSchedule = v.getSchedule()
	case masterpb.Call_GET_MAINTENANCE_STATUS:
		m.GetMaintenanceStatus = v.getMaintenance()
	case masterpb.Call_GET_STATE:
		m.GetState = &masterpb.Response_GetState{
			GetTasks: v.getTasks(), GetExecutors: v.getExecutors(), GetFrameworks: v.getFrameworks(), GetAgents: v.getAgents(),
		}
	default:
		return nil
	}
	return m
}

func responseType(call masterpb.Call_Type) *masterpb.Response_Type {
	return masterpb.Response_Type(masterpb.Response_Type_value[call.String()]).Enum()
}

// IsList reports whether the answer to a call grows with the cluster.
func IsList(call masterpb.Call_Type) bool {
	switch call {
	case masterpb.Call_GET_AGENTS, masterpb.Call_GET_FRAMEWORKS, masterpb.Call_GET_EXECUTORS, masterpb.Call_GET_TASKS, masterpb.Call_GET_ROLES,
		masterpb.Call_GET_STATE, masterpb.Call_GET_MAINTENANCE_SCHEDULE, masterpb.Call_GET_MAINTENANCE_STATUS:
		return true
	}
	return false
}

// isRead reports whether a call only asks what is, so that a Reader answers it.
func isRead(call masterpb.Call_Type) bool {
	switch call {
	case masterpb.Call_GET_HEALTH, masterpb.Call_GET_VERSION, masterpb.Call_GET_FLAGS, masterpb.Call_GET_METRICS, masterpb.Call_GET_MASTER,
		masterpb.Call_GET_AGENTS, masterpb.Call_GET_FRAMEWORKS, masterpb.Call_GET_EXECUTORS, masterpb.Call_GET_TASKS, masterpb.Call_GET_ROLES,
		masterpb.Call_GET_WEIGHTS, masterpb.Call_GET_QUOTA, masterpb.Call_GET_STATE,
		masterpb.Call_GET_MAINTENANCE_SCHEDULE, masterpb.Call_GET_MAINTENANCE_STATUS:
		return true
	}
	return false
}

func (v *View) getFlags() *masterpb.Response_GetFlags {
	m := &masterpb.Response_GetFlags{}
	for _, flag := range v.about.config.Flags {
		m.Flags = append(m.Flags, &mesos.Flag{Name: proto.String(flag.Name), Value: proto.String(flag.Value)})
	}
	return m
}

func (v *View) getMaster() *masterpb.Response_GetMaster {
	birth := seconds(v.Birth)
	return &masterpb.Response_GetMaster{MasterInfo: v.about.info, StartTime: proto.Float64(birth), ElectedTime: proto.Float64(birth)}
}

func (v *View) getAgents() *masterpb.Response_GetAgents {
	m := &masterpb.Response_GetAgents{RecoveredAgents: v.expected.Values()}
	v.slaves.Scan(func(_ string, sl *shownSlave) bool {
		m.Agents = append(m.Agents, sl.message())
		return true
	})
	return m
}

func (sl *shownSlave) message() *masterpb.Response_GetAgents_Agent {
	m := &masterpb.Response_GetAgents_Agent{
		AgentInfo: sl.info, Active: proto.Bool(sl.connected && !sl.deactivated), Version: proto.String(sl.version),
		Deactivated: proto.Bool(sl.deactivated), DrainInfo: sl.drain, EstimatedDrainStartTime: timeInfo(sl.drainedSince),
		RegisteredTime: timeInfo(sl.registered), ReregisteredTime: timeInfo(sl.reregistered), TotalResources: sl.total.ToProto(),
	}
	if sl.address != "" {
		m.Pid = proto.String("slave(1)@" + sl.address)
	}
	var used, offered resource.Resources
	for _, h := range sl.holdings {
		used = used.Add(h.Used.Allocate(h.Role))
		offered = offered.Add(h.Offered.Allocate(h.Role))
	}
	m.AllocatedResources, m.OfferedResources = used.ToProto(), offered.ToProto()
	return m
}

// holdings is what a client has of some slaves.
type holdings struct{ used, offered resource.Resources }

func (h holdings) add(other holdings) holdings {
	return holdings{h.used.Add(other.used), h.offered.Add(other.offered)}
}

// addTo adds what is held of a slave to what each client has.
func (sl *shownSlave) addTo(sum map[allocator.Client]holdings) {
	for _, h := range sl.holdings {
		sum[h.Client] = sum[h.Client].add(holdings{h.Used, h.Offered})
	}
}

// byKey adds up what clients have, by a key of each.
func byKey(all map[allocator.Client]holdings, key func(allocator.Client) string) (used, offered map[string]resource.Resources) {
	used, offered = map[string]resource.Resources{}, map[string]resource.Resources{}
	for client, h := range all {
		k := key(client)
		if !h.used.IsEmpty() {
			used[k] = used[k].Add(h.used.Allocate(client.Role))
		}
		if !h.offered.IsEmpty() {
			offered[k] = offered[k].Add(h.offered.Allocate(client.Role))
		}
	}
	return used, offered
}

// held adds up what is used and offered, by a key of who holds it.
func (v *View) held(key func(allocator.Client) string) (used, offered map[string]resource.Resources) {
	all := map[allocator.Client]holdings{}
	v.slaves.Scan(func(_ string, sl *shownSlave) bool {
		sl.addTo(all)
		return true
	})
	return byKey(all, key)
}

func (v *View) getFrameworks() *masterpb.Response_GetFrameworks {
	used, offered := v.held(frameworkOf)
	offers := map[string][]*mesos.Offer{}
	v.offers.Scan(func(_ uint64, o *offer) bool {
		offers[o.framework.id] = append(offers[o.framework.id], o.message)
		return true
	})
	inverse := v.inverseOffers()
	m := &masterpb.Response_GetFrameworks{CompletedFrameworks: v.completedFrameworks()}
	v.frameworks.Scan(func(id string, f *shownFramework) bool {
		shown := f.message()
		shown.Offers, shown.AllocatedResources, shown.OfferedResources = offers[id], used[id].ToProto(), offered[id].ToProto()
		shown.InverseOffers, shown.OfferConstraints = inverse[id], f.constraints
		m.Frameworks = append(m.Frameworks, shown)
		return true
	})
	return m
}

// inverseOffers returns the inverse offers of each framework.
func (v *View) inverseOffers() map[string][]*mesos.InverseOffer {
	inverse := map[string][]*mesos.InverseOffer{}
	v.inverse.Scan(func(_ uint64, o *mesos.InverseOffer) bool {
		id := o.GetFrameworkId().GetValue()
		inverse[id] = append(inverse[id], o)
		return true
	})
	return inverse
}

func (v *View) completedFrameworks() []*masterpb.Response_GetFrameworks_Framework {
	var list []*masterpb.Response_GetFrameworks_Framework
	for _, f := range v.completed {
		list = append(list, f.message())
	}
	return list
}

func (f *shownFramework) message() *masterpb.Response_GetFrameworks_Framework {
	return &masterpb.Response_GetFrameworks_Framework{
		FrameworkInfo: f.info, Active: proto.Bool(f.connected), Connected: proto.Bool(f.connected), Recovered: proto.Bool(f.recovered),
		RegisteredTime: timeInfo(f.registered), ReregisteredTime: timeInfo(f.reregistered), UnregisteredTime: timeInfo(f.unregistered),
	}
}

func (v *View) getExecutors() *masterpb.Response_GetExecutors {
	m := &masterpb.Response_GetExecutors{}
	v.executors.Scan(func(_ string, e *executor) bool {
		m.Executors = append(m.Executors, e.message())
		return true
	})
	return m
}

func (v *View) getTasks() *masterpb.Response_GetTasks {
	m := &masterpb.Response_GetTasks{Tasks: v.tasks.Values(), UnreachableTasks: v.unreachable()}
	v.past.Scan(func(_ uint64, p past) bool {
		m.CompletedTasks = append(m.CompletedTasks, p.task)
		return true
	})
	return m
}

func (e *executor) message() *masterpb.Response_GetExecutors_Executor {
	return &masterpb.Response_GetExecutors_Executor{ExecutorInfo: e.info, AgentId: mesos.NewAgentID(e.slave.id)}
}

func (v *View) unreachable() []*mesos.Task {
	var list []*mesos.Task
	v.frameworks.Scan(func(_ string, f *shownFramework) bool {
		list = append(list, f.unreachable...)
		return true
	})
	return list
}

func (v *View) getRoles() *masterpb.Response_GetRoles {
	return &masterpb.Response_GetRoles{Roles: v.roles(v.held(roleOf))}
}

func frameworkOf(c allocator.Client) string { return c.Framework }

func roleOf(c allocator.Client) string { return c.Role }

// roles returns the roles that have frameworks, resources in use or offered, a weight or a quota.
func (v *View) roles(used, offered map[string]resource.Resources) []*mesos.Role {
	roles := map[string]*mesos.Role{}
	role := func(name string) *mesos.Role {
		if roles[name] == nil {
			weight, ok := v.weights[name]
			if !ok {
				weight = 1
			}
			roles[name] = &mesos.Role{Name: proto.String(name), Weight: &weight}
		}
		return roles[name]
	}
	for name := range v.weights {
		role(name)
	}
	for name := range v.quotas {
		role(name)
	}
	v.frameworks.Scan(func(_ string, f *shownFramework) bool {
		for _, name := range mesos.RolesOf(f.info) {
			r := role(name)
			r.Frameworks = append(r.Frameworks, f.info.Id)
		}
		return true
	})
	for _, held := range []map[string]resource.Resources{used, offered} {
		for name := range held {
			role(name).Resources = used[name].Add(offered[name]).ToProto()
		}
	}
	var list []*mesos.Role
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		list = append(list, roles[name])
	}
	return list
}

func (v *View) getWeights() *masterpb.Response_GetWeights {
	m := &masterpb.Response_GetWeights{}
	for _, role := range slices.Sorted(maps.Keys(v.weights)) {
		m.WeightInfos = append(m.WeightInfos, &mesos.WeightInfo{Role: proto.String(role), Weight: proto.Float64(v.weights[role])})
	}
	return m
}

// Shares returns where each role and framework stands.
func (c *Core) Shares() []allocator.Share { return c.allocator.Shares() }

// timeInfo is a time as the API shows it; nil for the zero time.
func timeInfo(t time.Time) *mesos.TimeInfo {
	if t.IsZero() {
		return nil
	}
	return &mesos.TimeInfo{Nanoseconds: proto.Int64(t.UnixNano())}
}
