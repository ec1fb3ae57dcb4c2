package core

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

var capabilities = map[string]mesos.FrameworkInfo_Capability_Type{
	"multi": mesos.FrameworkInfo_Capability_MULTI_ROLE, "refined": mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT,
	"partition": mesos.FrameworkInfo_Capability_PARTITION_AWARE, "gpus": mesos.FrameworkInfo_Capability_GPU_RESOURCES,
	"regions": mesos.FrameworkInfo_Capability_REGION_AWARE, "revocable": mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES,
	"shared": mesos.FrameworkInfo_Capability_SHARED_RESOURCES,
}

// subscribe: subscribe F [new] [role=R | roles=R,R] [can=multi,refined,partition,gpus,…] [checkpoint] [failover=D] [id=ID|none]
// [suppressed=R,R] [user=U] [principal=P] [want=CONSTRAINTS] [min=ROLE:SETS]. What is not said is as it was, but for suppressed and want.
func (s *script) subscribe(args []string, options map[string]string) {
	p := s.peer(args[0])
	if slices.Contains(args, "new") {
		p.session = 0
	}
	if p.scheme == nil {
		p.scheme = &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String(p.name)}
	}
	info := proto.CloneOf(p.scheme)
	if slices.Contains(args, "checkpoint") {
		info.Checkpoint = proto.Bool(true)
	}
	s.frameworkOptions(info, options)
	p.scheme = proto.CloneOf(info)
	id := or(options["id"], p.id)
	call := &schedulerpb.Call{Type: schedulerpb.Call_SUBSCRIBE.Enum(), Subscribe: &schedulerpb.Call_Subscribe{FrameworkInfo: info}}
	if id != "" && id != "none" {
		info.Id = mesos.NewFrameworkID(id)
		call.FrameworkId = info.Id
	}
	if outer, ok := options["outer"]; ok {
		call.FrameworkId = mesos.NewFrameworkID(outer)
	}
	if roles := options["suppressed"]; roles != "" {
		call.Subscribe.SuppressedRoles = strings.Split(roles, ",")
	}
	if want, ok := options["want"]; ok {
		call.Subscribe.OfferConstraints = constraints(want)
	}
	s.say(p, call)
}

func (s *script) frameworkOptions(info *mesos.FrameworkInfo, options map[string]string) {
	if role, ok := options["role"]; ok {
		info.Role = proto.String(role)
	}
	if roles, ok := options["roles"]; ok {
		info.Roles = strings.Split(roles, ",")
	}
	if principal, ok := options["principal"]; ok {
		info.Principal = proto.String(principal)
	}
	if user, ok := options["user"]; ok {
		info.User = proto.String(user)
	}
	if sets, ok := options["min"]; ok {
		info.OfferFilters = s.minimum(sets)
	}
	if failover, ok := options["failover"]; ok {
		info.FailoverTimeout = proto.Float64(s.duration(failover).Seconds())
	}
	if can, ok := options["can"]; ok {
		info.Capabilities = nil
		for name := range strings.SplitSeq(can, ",") {
			info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: capabilities[name].Enum()})
		}
	}
}

func (s *script) callOf(p *scriptPeer, kind schedulerpb.Call_Type) *schedulerpb.Call {
	return &schedulerpb.Call{Type: kind.Enum(), FrameworkId: mesos.NewFrameworkID(p.id)}
}

func (s *script) offerIDs(list []string) []*mesos.OfferID {
	var ids []*mesos.OfferID
	for _, id := range list {
		ids = append(ids, mesos.NewOfferID(string(rune('M'+s.life-1))+"-"+id))
	}
	return ids
}

func (s *script) filters(options map[string]string) *mesos.Filters {
	if refuse, ok := options["refuse"]; ok {
		return &mesos.Filters{RefuseSeconds: proto.Float64(s.duration(refuse).Seconds())}
	}
	return nil
}

// accept: accept F O... [refuse=D] [launch T RESOURCES [on:S] [executor:E:RESOURCES] [allocated:ROLE] [nothing] ]...
// A task takes reserved:ROLE:RESOURCES and volume:ROLE:ID as well. `group T RESOURCES` is a group; the operations on resources
// are explained at resourceOperation.
func (s *script) accept(args []string, options map[string]string) {
	p := s.peer(args[0])
	call := s.callOf(p, schedulerpb.Call_ACCEPT)
	call.Accept = &schedulerpb.Call_Accept{Filters: s.filters(options)}
	rest := args[1:]
	for len(rest) > 0 && rest[0][0] == 'O' {
		call.Accept.OfferIds = append(call.Accept.OfferIds, s.offerIDs(rest[:1])...)
		rest = rest[1:]
	}
	for len(rest) > 0 {
		kind := rest[0]
		end := 1
		for end < len(rest) && rest[end] != "launch" && rest[end] != "group" && resourceOperations[rest[end]] == 0 {
			end++
		}
		call.Accept.Operations = append(call.Accept.Operations, s.operation(p, call.Accept, kind, rest[1:end]))
		rest = rest[end:]
	}
	s.say(p, call)
}

func (s *script) operation(p *scriptPeer, m *schedulerpb.Call_Accept, kind string, words []string) *mesos.Offer_Operation {
	switch kind {
	case "group":
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH_GROUP.Enum(), LaunchGroup: &mesos.Offer_Operation_LaunchGroup{
			Executor: s.executor(p, "pod", ""), TaskGroup: &mesos.TaskGroupInfo{Tasks: []*mesos.TaskInfo{s.task(p, m, words)}},
		}}
	}
	if resourceOperations[kind] != 0 {
		return s.resourceOperation(s.slaveOf(m).GetValue(), kind, words)
	}
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{
		TaskInfos: []*mesos.TaskInfo{s.task(p, m, words)},
	}}
}

// task makes a task for the slave of the offers.
func (s *script) task(p *scriptPeer, m *schedulerpb.Call_Accept, words []string) *mesos.TaskInfo {
	info := &mesos.TaskInfo{
		Name: proto.String(words[0]), TaskId: mesos.NewTaskID(strings.ReplaceAll(words[0], "%", "/")), AgentId: mesos.NewAgentID("S?"),
		Command: &mesos.CommandInfo{Value: proto.String("true")},
	}
	if id := s.slaveOf(m); id != nil {
		info.AgentId = id
	}
	for _, word := range words[1:] {
		switch name, value, _ := strings.Cut(word, ":"); name {
		case "on":
			info.AgentId = mesos.NewAgentID(s.peer(value).id)
		case "executor":
			id, resources, _ := strings.Cut(value, ":")
			info.Executor, info.Command = s.executor(&scriptPeer{}, id, resources), nil
		case "owner":
			info.Executor.FrameworkId = mesos.NewFrameworkID(value)
		case "reserved", "volume":
			info.Resources = append(info.Resources, s.reserved(info.GetAgentId().GetValue(), name, value)...)
		case "both":
			info.Executor = s.executor(p, "e", "")
		case "neither":
			info.Command = nil
		case "allocated":
			for _, r := range info.Resources {
				r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: proto.String(value)}
			}
		default:
			info.Resources = append(info.Resources, s.resources(word)...)
		}
	}
	return info
}

// slaveOf is the slave of the last of the offers that an ACCEPT names; nil if none of them is open.
func (s *script) slaveOf(m *schedulerpb.Call_Accept) *mesos.AgentID {
	for _, id := range slices.Backward(m.GetOfferIds()) {
		if o := s.core.offers[id.GetValue()]; o != nil {
			return o.slave.info.Id
		}
	}
	return nil
}

func (s *script) decline(args []string, options map[string]string) {
	p := s.peer(args[0])
	call := s.callOf(p, schedulerpb.Call_DECLINE)
	call.Decline = &schedulerpb.Call_Decline{OfferIds: s.offerIDs(args[1:]), Filters: s.filters(options)}
	s.say(p, call)
}

func uuid(text string) []byte {
	b := make([]byte, uuidBytes)
	copy(b, text)
	return b
}

// ack: ack F T U on=S
func (s *script) ack(args []string, options map[string]string) {
	p := s.peer(args[0])
	call := s.callOf(p, schedulerpb.Call_ACKNOWLEDGE)
	call.Acknowledge = &schedulerpb.Call_Acknowledge{TaskId: mesos.NewTaskID(args[1]), AgentId: mesos.NewAgentID(s.peer(options["on"]).id), Uuid: uuid(args[2])}
	if args[2] == "short" {
		call.Acknowledge.Uuid = []byte("short")
	}
	s.say(p, call)
}

// agent is the id of a slave by its name; as it is if there is none of that name.
func (s *script) agent(name string) *mesos.AgentID {
	if p := s.peers[name]; p != nil {
		return mesos.NewAgentID(p.id)
	}
	return mesos.NewAgentID(name)
}

// kill: kill F T [on=S] [grace=D] [as=F]
func (s *script) kill(args []string, options map[string]string) {
	p := s.peer(args[0])
	call := s.callOf(p, schedulerpb.Call_KILL)
	call.Kill = &schedulerpb.Call_Kill{TaskId: mesos.NewTaskID(args[1])}
	if grace, ok := options["grace"]; ok {
		call.Kill.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(s.duration(grace).Nanoseconds())}}
	}
	if as, ok := options["as"]; ok {
		call.FrameworkId = mesos.NewFrameworkID(s.peer(as).id)
	}
	if on, ok := options["on"]; ok {
		call.Kill.AgentId = s.agent(on)
	}
	s.say(p, call)
}

// reconcile: reconcile F [T[@S]]...
func (s *script) reconcile(args []string, _ map[string]string) {
	p := s.peer(args[0])
	call := s.callOf(p, schedulerpb.Call_RECONCILE)
	call.Reconcile = &schedulerpb.Call_Reconcile{}
	for _, word := range args[1:] {
		id, on, ok := strings.Cut(word, "@")
		t := &schedulerpb.Call_Reconcile_Task{TaskId: mesos.NewTaskID(id)}
		if ok {
			t.AgentId = s.agent(on)
		}
		call.Reconcile.Tasks = append(call.Reconcile.Tasks, t)
	}
	s.say(p, call)
}

// roles: revive F [ROLE]..., suppress F [ROLE]...
func (s *script) roles(args []string, _ map[string]string) {
	p := s.peer(args[1])
	if args[0] == "revive" {
		call := s.callOf(p, schedulerpb.Call_REVIVE)
		call.Revive = &schedulerpb.Call_Revive{Roles: args[2:]}
		s.say(p, call)
		return
	}
	call := s.callOf(p, schedulerpb.Call_SUPPRESS)
	call.Suppress = &schedulerpb.Call_Suppress{Roles: args[2:]}
	s.say(p, call)
}

// message: message F E@S TEXT, or message S F/E TEXT
func (s *script) message(args []string, _ map[string]string) {
	p := s.peer(args[0])
	if e, on, ok := strings.Cut(args[1], "@"); ok {
		call := s.callOf(p, schedulerpb.Call_MESSAGE)
		call.Message = &schedulerpb.Call_Message{AgentId: s.agent(on), ExecutorId: mesos.NewExecutorID(e), Data: []byte(args[2])}
		s.say(p, call)
		return
	}
	f, e, _ := strings.Cut(args[1], "/")
	s.say(p, &wire.FrameworkMessage{FrameworkId: mesos.NewFrameworkID(s.peer(f).id), ExecutorId: mesos.NewExecutorID(e), Data: []byte(args[2])})
}

// shutdown: shutdown F E@S
func (s *script) shutdown(args []string, _ map[string]string) {
	p := s.peer(args[0])
	e, on, _ := strings.Cut(args[1], "@")
	call := s.callOf(p, schedulerpb.Call_SHUTDOWN)
	call.Shutdown = &schedulerpb.Call_Shutdown{ExecutorId: mesos.NewExecutorID(e), AgentId: s.agent(on)}
	s.say(p, call)
}
