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

func getVersion() *masterpb.Response {
	return &masterpb.Response{
		Type:       masterpb.Response_GET_VERSION.Enum(),
		GetVersion: &masterpb.Response_GetVersion{VersionInfo: &mesos.VersionInfo{Version: proto.String(wire.Version)}},
	}
}

func (c *Core) getFlags() *masterpb.Response {
	m := &masterpb.Response_GetFlags{}
	for _, flag := range c.config.Flags {
		m.Flags = append(m.Flags, &mesos.Flag{Name: proto.String(flag.Name), Value: proto.String(flag.Value)})
	}
	return &masterpb.Response{Type: masterpb.Response_GET_FLAGS.Enum(), GetFlags: m}
}

func (c *Core) getMaster() *masterpb.Response {
	return &masterpb.Response{
		Type: masterpb.Response_GET_MASTER.Enum(),
		GetMaster: &masterpb.Response_GetMaster{
			MasterInfo: c.master, StartTime: proto.Float64(seconds(c.birth)), ElectedTime: proto.Float64(seconds(c.birth)),
		},
	}
}

func (c *Core) getAgents() *masterpb.Response_GetAgents {
	m := &masterpb.Response_GetAgents{}
	for _, id := range slices.Sorted(maps.Keys(c.slaves)) {
		m.Agents = append(m.Agents, c.shownSlave(c.slaves[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(c.registry.Slaves)) {
		if c.slaves[id] == nil {
			m.RecoveredAgents = append(m.RecoveredAgents, c.registry.Slaves[id])
		}
	}
	return m
}

func (c *Core) shownSlave(sl *slave) *masterpb.Response_GetAgents_Agent {
	m := &masterpb.Response_GetAgents_Agent{
		AgentInfo: sl.info, Active: proto.Bool(sl.connected() && c.registry.IsOffered(sl.id)), Version: proto.String(sl.version),
		Deactivated: proto.Bool(!c.registry.IsOffered(sl.id)), DrainInfo: c.drainInfo(sl),
		EstimatedDrainStartTime: timeInfo(c.registry.Draining[sl.id].Since),
		RegisteredTime:          timeInfo(sl.registered), ReregisteredTime: timeInfo(sl.reregistered),
		TotalResources: c.allocator.Total(sl.id).ToProto(),
	}
	if sl.address != "" {
		m.Pid = proto.String("slave(1)@" + sl.address)
	}
	var used, offered resource.Resources
	for _, h := range c.allocator.Holdings(sl.id) {
		used = used.Add(h.Used.Allocate(h.Role))
		offered = offered.Add(h.Offered.Allocate(h.Role))
	}
	m.AllocatedResources, m.OfferedResources = used.ToProto(), offered.ToProto()
	return m
}

func (c *Core) getFrameworks() *masterpb.Response_GetFrameworks {
	m := &masterpb.Response_GetFrameworks{}
	for _, id := range slices.Sorted(maps.Keys(c.frameworks)) {
		m.Frameworks = append(m.Frameworks, shownFramework(c.frameworks[id]))
	}
	for _, f := range c.history.frameworks {
		m.CompletedFrameworks = append(m.CompletedFrameworks, shownFramework(f))
	}
	return m
}

func shownFramework(f *framework) *masterpb.Response_GetFrameworks_Framework {
	m := &masterpb.Response_GetFrameworks_Framework{
		FrameworkInfo: f.info, Active: proto.Bool(f.connected()), Connected: proto.Bool(f.connected()), Recovered: proto.Bool(f.recovered),
		RegisteredTime: timeInfo(f.registered), ReregisteredTime: timeInfo(f.reregistered), UnregisteredTime: timeInfo(f.unregistered),
	}
	var used, offered resource.Resources
	for _, o := range sortedOffers(f.offers) {
		m.Offers = append(m.Offers, o.message)
		offered = offered.Add(o.resources.Allocate(o.role))
	}
	for _, t := range f.tasks {
		if !mesos.IsTerminal(t.state()) {
			used = used.Add(t.resources.Allocate(t.role))
		}
	}
	for _, e := range f.executors {
		used = used.Add(e.resources.Allocate(e.role))
	}
	m.AllocatedResources, m.OfferedResources = used.ToProto(), offered.ToProto()
	return m
}

func (c *Core) getExecutors() *masterpb.Response_GetExecutors {
	m := &masterpb.Response_GetExecutors{}
	for _, id := range slices.Sorted(maps.Keys(c.frameworks)) {
		f := c.frameworks[id]
		for _, key := range slices.SortedFunc(maps.Keys(f.executors), executorOn.compare) {
			m.Executors = append(m.Executors, &masterpb.Response_GetExecutors_Executor{
				ExecutorInfo: f.executors[key].info, AgentId: f.executors[key].slave.info.Id,
			})
		}
	}
	return m
}

func (c *Core) getTasks() *masterpb.Response_GetTasks {
	m := &masterpb.Response_GetTasks{}
	for _, id := range slices.Sorted(maps.Keys(c.frameworks)) {
		f := c.frameworks[id]
		for _, t := range f.sortedTasks() {
			m.Tasks = append(m.Tasks, t.seen)
		}
		m.UnreachableTasks = append(m.UnreachableTasks, f.unreachable...)
	}
	for e := c.history.tasks.Front(); e != nil; e = e.Next() {
		m.CompletedTasks = append(m.CompletedTasks, e.Value.(past).task)
	}
	return m
}

// getRoles returns the roles that have frameworks, resources in use or offered, a weight or a quota.
func (c *Core) getRoles() *masterpb.Response_GetRoles {
	roles := map[string]*mesos.Role{}
	role := func(name string) *mesos.Role {
		if roles[name] == nil {
			roles[name] = &mesos.Role{Name: proto.String(name), Weight: proto.Float64(c.allocator.Weight(name))}
		}
		return roles[name]
	}
	for name := range c.registry.Weights {
		role(name)
	}
	for name := range c.registry.Quotas {
		role(name)
	}
	for _, id := range slices.Sorted(maps.Keys(c.frameworks)) {
		for _, name := range mesos.RolesOf(c.frameworks[id].info) {
			r := role(name)
			r.Frameworks = append(r.Frameworks, c.frameworks[id].info.Id)
		}
	}
	held := map[string]resource.Resources{}
	for id := range c.slaves {
		for _, h := range c.allocator.Holdings(id) {
			held[h.Role] = held[h.Role].Add(h.Used).Add(h.Offered)
		}
	}
	for name, r := range held {
		role(name).Resources = r.Allocate(name).ToProto()
	}
	m := &masterpb.Response_GetRoles{}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		m.Roles = append(m.Roles, roles[name])
	}
	return m
}

func (c *Core) getWeights() *masterpb.Response_GetWeights {
	m := &masterpb.Response_GetWeights{}
	for _, role := range slices.Sorted(maps.Keys(c.registry.Weights)) {
		m.WeightInfos = append(m.WeightInfos, &mesos.WeightInfo{Role: proto.String(role), Weight: proto.Float64(c.registry.Weights[role])})
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
