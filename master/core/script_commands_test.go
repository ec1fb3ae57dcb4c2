package core

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// What each line of a script does.

// bornLine: born [domain=REGION/ZONE] [min=SETS] [offer_timeout=D] [completed_frameworks=N] [completed_tasks=N] [tasks_of_framework=N] [unreachable_tasks=N]
func (s *script) bornLine(_ []string, options map[string]string) {
	var c Config
	for name, field := range map[string]*int{
		"completed_frameworks": &c.MaxCompletedFrameworks, "completed_tasks": &c.MaxCompletedTasks,
		"tasks_of_framework": &c.MaxCompletedTasksPerFramework, "unreachable_tasks": &c.MaxUnreachableTasksPerFramework,
	} {
		if text, ok := options[name]; ok {
			*field = s.number(text)
		}
	}
	if timeout, ok := options["offer_timeout"]; ok {
		c.OfferTimeout = s.duration(timeout)
	}
	if sets, ok := options["min"]; ok {
		c.MinAllocatable = s.quantities(sets)
	}
	s.domain = nil
	if text, ok := options["domain"]; ok {
		s.domain = domain(text)
	}
	s.life--
	s.birth(c, registry.State{}, false)
}

// restart: the master dies, another is born; with durable it finds what the registry had.
func (s *script) restart(args []string, _ map[string]string) {
	state := registry.State{}
	durable := slices.Contains(args, "durable")
	if durable {
		state = s.core.registry.Clone()
	}
	s.birth(Config{}, state, durable)
}

func (s *script) seed(args []string, _ map[string]string) { s.step(Seed{uint64(s.number(args[0]))}) }

// tickLine lets time pass, with every tick that the core asks for.
func (s *script) tickLine(args []string, _ map[string]string) {
	end := s.now.Add(s.duration(args[0]))
	for next := s.core.Deadline(); !next.IsZero() && !next.After(end); next = s.core.Deadline() {
		if next.After(s.now) {
			s.now = next
		}
		before := len(s.out)
		s.feed(Tick{})
		for i := before; i < len(s.out); i++ {
			s.out[i] = s.now.Format("15:04:05 ") + s.out[i]
		}
	}
	s.now = end
}

// persistLine: persist hold, persist ok, persist fail REASON
func (s *script) persistLine(args []string, _ map[string]string) {
	switch args[0] {
	case "hold":
		s.holding = true
	case "ok":
		held := s.hold
		s.holding, s.hold = false, nil
		for _, p := range held {
			s.step(Persisted{ID: p.ID})
		}
	case "fail":
		held := s.hold
		s.holding, s.hold = false, nil
		for _, p := range held {
			s.step(Persisted{p.ID, strings.Join(args[1:], " ")})
		}
	}
}

// register: register S RESOURCES [at=HOST:PORT] [cluster=C] [attributes=A:V,A:V] [domain=REGION/ZONE] [secret=S]
func (s *script) register(args []string, options map[string]string) {
	p := s.peer(args[0])
	s.describeSlave(p, args, options)
	s.say(p, &wire.RegisterSlave{Slave: p.info, Version: wire.Version, ClusterId: or(options["cluster"], p.cluster), Secret: secretOf(p, options)})
}

// secretOf is a slave's own secret, or another one; secret=none is none.
func secretOf(p *scriptPeer, options map[string]string) []byte {
	if options["secret"] == "none" {
		return nil
	}
	return []byte(or(options["secret"], p.name))
}

func (s *script) describeSlave(p *scriptPeer, args []string, options map[string]string) {
	if p.info == nil {
		p.info = &mesos.AgentInfo{Hostname: proto.String(p.name), Port: proto.Int32(5051)}
	}
	p.info = proto.CloneOf(p.info)
	if at, ok := options["at"]; ok {
		host, port, _ := strings.Cut(at, ":")
		p.info.Hostname, p.info.Port = proto.String(host), proto.Int32(int32(s.number(port)))
	}
	if text, ok := options["attributes"]; ok {
		p.info.Attributes = attributes(text)
	}
	if text, ok := options["domain"]; ok {
		p.info.Domain = domain(text)
	}
	if len(args) > 1 && strings.Contains(args[1], ":") {
		p.info.Resources = s.resources(args[1])
	}
}

func (s *script) resources(text string) []*mesos.Resource {
	r, err := resource.Parse(text)
	if err != nil {
		s.fatal("%v", err)
	}
	return r.ToProto()
}

// reregister: reregister S [new] [RESOURCES] [cluster=C] [secret=S] [F/T=STATE]... [executor:F/E=RESOURCES]...
// Tasks that the slave was once told to run are as they were launched.
func (s *script) reregister(args []string, options map[string]string) {
	p := s.peer(args[0])
	if slices.Contains(args, "new") {
		p.session = 0
	}
	s.describeSlave(p, slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "new" || strings.Contains(a, "=") }), options)
	info := proto.CloneOf(p.info)
	info.Id = mesos.NewAgentID(strings.ReplaceAll(or(options["id"], p.id), "%", "/"))
	p.deaf = false
	m := &wire.ReregisterSlave{Slave: info, Version: wire.Version, ClusterId: or(options["cluster"], p.cluster), Secret: secretOf(p, options)}
	if p.total != nil {
		m.Resources, m.Operations = p.total.ToProto(), p.sortedOperations()
	}
	known := map[string]bool{}
	list := func(f *mesos.FrameworkInfo) {
		if !known[f.GetId().GetValue()] {
			known[f.GetId().GetValue()] = true
			m.Frameworks = append(m.Frameworks, f)
		}
	}
	for _, arg := range args[1:] {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			continue
		}
		executor, isExecutor := strings.CutPrefix(key, "executor:")
		if isExecutor {
			key = executor
		}
		f, id, _ := strings.Cut(key, "/")
		scheduler := s.peer(f)
		framework := proto.CloneOf(scheduler.scheme)
		framework.Id = mesos.NewFrameworkID(scheduler.id)
		list(framework)
		if isExecutor {
			m.Executors = append(m.Executors, &wire.SlaveExecutor{FrameworkId: framework.Id, Executor: s.executor(scheduler, id, value)})
			continue
		}
		run := p.runs[scheduler.id+"/"+id]
		if run == nil {
			s.fatal("slave %s was never told to run %s/%s", p.name, scheduler.id, id)
		}
		m.Tasks = append(m.Tasks, &mesos.Task{
			Name: run.Task.Name, TaskId: run.Task.TaskId, FrameworkId: framework.Id, AgentId: info.Id, State: state(value).Enum(),
			ExecutorId: run.Task.GetExecutor().GetExecutorId(), Resources: run.Task.Resources,
		})
	}
	s.say(p, m)
}

func (s *script) executor(f *scriptPeer, id, resources string) *mesos.ExecutorInfo {
	e := &mesos.ExecutorInfo{ExecutorId: mesos.NewExecutorID(id), Command: &mesos.CommandInfo{Value: proto.String("run-" + id)}}
	if f.id != "" {
		e.FrameworkId = mesos.NewFrameworkID(f.id)
	}
	if resources != "" {
		e.Resources = s.resources(resources)
	}
	return e
}

func state(text string) mesos.TaskState { return mesos.TaskState(mesos.TaskState_value["TASK_"+text]) }

func (s *script) unregister(args []string, _ map[string]string) {
	p := s.peer(args[0])
	s.say(p, &wire.UnregisterSlave{SlaveId: mesos.NewAgentID(p.id)})
}

func (s *script) disconnect(args []string, _ map[string]string) {
	p := s.peer(args[0])
	session := p.session
	p.session = 0
	s.step(SessionClosed{session, "connection lost"})
}

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

// update: update S F/T STATE [latest=STATE] [uuid=U|none] [message=TEXT]. Its uuid is u1, u2, …
func (s *script) update(args []string, options map[string]string) {
	p := s.peer(args[0])
	name, id, _ := strings.Cut(args[1], "/")
	f := s.peer(name)
	s.updates++
	status := &mesos.TaskStatus{
		TaskId: mesos.NewTaskID(id), State: state(args[2]).Enum(), AgentId: mesos.NewAgentID(p.id),
		Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Uuid: uuid(or(options["uuid"], fmt.Sprintf("u%d", s.updates))),
	}
	if options["uuid"] == "none" {
		status.Uuid = nil
	}
	if message, ok := options["message"]; ok {
		status.Message = proto.String(message)
	}
	m := &wire.TaskUpdate{FrameworkId: mesos.NewFrameworkID(or(f.id, name)), Status: status}
	if latest, ok := options["latest"]; ok {
		m.Latest = proto.CloneOf(status)
		m.Latest.State = state(latest).Enum()
	}
	s.say(p, m)
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

// exited: exited S F/E STATUS
func (s *script) exited(args []string, _ map[string]string) {
	f, e, _ := strings.Cut(args[1], "/")
	s.say(s.peer(args[0]), &wire.ExecutorExited{
		FrameworkId: mesos.NewFrameworkID(s.peer(f).id), ExecutorId: mesos.NewExecutorID(e), WaitStatus: int32(s.number(args[2])),
	})
}

// call: call F TYPE [as=ID], a call without its member
func (s *script) call(args []string, options map[string]string) {
	p := s.peer(args[0])
	call := s.callOf(p, schedulerpb.Call_Type(schedulerpb.Call_Type_value[args[1]]))
	if as, ok := options["as"]; ok {
		call.FrameworkId = mesos.NewFrameworkID(as)
	}
	s.say(p, call)
}

// operator: operator teardown F, operator kill [F/]T, operator weights [ROLE=W]..., operator CALL
func (s *script) operator(args []string, options map[string]string) {
	s.request++
	ask := func(m proto.Message) { s.step(Asked{s.request, m}) }
	switch args[0] {
	case "teardown":
		id := args[1]
		if p := s.peers[id]; p != nil {
			id = p.id
		}
		ask(&masterpb.Call{Type: masterpb.Call_TEARDOWN.Enum(), Teardown: &masterpb.Call_Teardown{FrameworkId: mesos.NewFrameworkID(id)}})
	case "kill":
		f, id, ok := strings.Cut(args[1], "/")
		m := &wire.OperatorKillTask{TaskId: mesos.NewTaskID(args[1])}
		if ok {
			m.FrameworkId, m.TaskId = mesos.NewFrameworkID(or(s.peer(f).id, f)), mesos.NewTaskID(id)
		}
		ask(m)
	case "weights":
		m := &masterpb.Call_UpdateWeights{}
		for _, arg := range args[1:] { // Roles with a slash.
			role, weight, _ := strings.Cut(arg, "=")
			options[role] = weight
		}
		for _, role := range slices.Sorted(keys(options)) {
			weight, err := strconv.ParseFloat(options[role], 64)
			if err != nil {
				s.fatal("%v", err)
			}
			m.WeightInfos = append(m.WeightInfos, &mesos.WeightInfo{Role: proto.String(role), Weight: &weight})
		}
		ask(&masterpb.Call{Type: masterpb.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: m})
	case "quota":
		ask(s.quotaCall(args[1:], options))
	case "reserve", "unreserve", "create", "destroy", "grow", "shrink":
		ask(s.operatorOperation(args))
	case "maintenance":
		ask(s.maintenance(args[1:]))
	case "explain":
		ask(s.explainCall(args[1], options))
	case "deactivate":
		ask(&masterpb.Call{Type: masterpb.Call_DEACTIVATE_AGENT.Enum(), DeactivateAgent: &masterpb.Call_DeactivateAgent{AgentId: s.agent(args[1])}})
	case "reactivate":
		ask(&masterpb.Call{Type: masterpb.Call_REACTIVATE_AGENT.Enum(), ReactivateAgent: &masterpb.Call_ReactivateAgent{AgentId: s.agent(args[1])}})
	case "drain":
		m := &masterpb.Call_DrainAgent{AgentId: s.agent(args[1]), MarkGone: proto.Bool(slices.Contains(args, "gone"))}
		if grace, ok := options["grace"]; ok {
			m.MaxGracePeriod = durationpb.New(s.duration(grace))
		}
		ask(&masterpb.Call{Type: masterpb.Call_DRAIN_AGENT.Enum(), DrainAgent: m})
	case "gone":
		ask(&masterpb.Call{Type: masterpb.Call_MARK_AGENT_GONE.Enum(), MarkAgentGone: &masterpb.Call_MarkAgentGone{AgentId: s.agent(args[1])}})
	default:
		ask(&masterpb.Call{Type: masterpb.Call_Type(masterpb.Call_Type_value[args[0]]).Enum()})
	}
}

// explainCall: operator explain F|ROLE [need=cpus:1,mem:64]
func (s *script) explainCall(who string, options map[string]string) *wire.Explain {
	m := &wire.Explain{Role: who, Need: map[string]float64{}}
	if p := s.peers[who]; p != nil {
		m.Role, m.FrameworkId = "", mesos.NewFrameworkID(p.id)
	}
	for part := range strings.SplitSeq(options["need"], ",") {
		if name, value, ok := strings.Cut(part, ":"); ok {
			m.Need[name] = float64(s.number(value))
		}
	}
	return m
}

// quotaCall: operator quota ROLE [guarantees=cpus:1,mem:64] [limits=…] [force]
func (s *script) quotaCall(args []string, options map[string]string) *masterpb.Call {
	amounts := func(text string) map[string]*mesos.Value_Scalar {
		m := map[string]*mesos.Value_Scalar{}
		for part := range strings.SplitSeq(text, ",") {
			if name, value, ok := strings.Cut(part, ":"); ok {
				number, err := strconv.ParseFloat(value, 64)
				if err != nil {
					s.fatal("%v", err)
				}
				m[name] = &mesos.Value_Scalar{Value: &number}
			}
		}
		return m
	}
	return &masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &masterpb.Call_UpdateQuota{
		Force:        proto.Bool(slices.Contains(args, "force")),
		QuotaConfigs: []*quotapb.QuotaConfig{{Role: &args[0], Guarantees: amounts(options["guarantees"]), Limits: amounts(options["limits"])}},
	}}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (s *script) shares([]string, map[string]string) {
	for _, x := range s.core.Shares() {
		name := "role " + x.Role
		if x.Framework != "" {
			name = "  " + x.Framework
		}
		s.print("%s %.4f", name, x.Share)
	}
}

// showLine: show slaves|frameworks|tasks|roles|maintenance, what an operator would see; show heartbeats from now on
func (s *script) showLine(args []string, _ map[string]string) {
	show := map[string]func(){"heartbeats": func() { s.heartbeats = true }, "slaves": s.showSlaves, "frameworks": s.showFrameworks, "tasks": s.showTasks, "roles": s.showRoles, "maintenance": s.showMaintenance}
	show[args[0]]()
}

func (s *script) showSlaves() {
	m := s.core.View().getAgents()
	for _, a := range m.GetAgents() {
		drain := ""
		if a.DrainInfo != nil {
			drain = " " + a.GetDrainInfo().GetState().String()
		}
		if a.GetDeactivated() {
			drain += " deactivated"
		}
		s.print("%s %s active=%v%s total %s; allocated %s; offered %s", a.GetAgentInfo().GetId().GetValue(), a.GetPid(), a.GetActive(), drain,
			text(a.GetTotalResources()), text(a.GetAllocatedResources()), text(a.GetOfferedResources()))
	}
	for _, a := range m.GetRecoveredAgents() {
		s.print("%s recovered", a.GetId().GetValue())
	}
}

func (s *script) showFrameworks() {
	m := s.core.View().getFrameworks()
	for _, f := range m.GetFrameworks() {
		s.print("%s %s connected=%v recovered=%v allocated %s; offered %s in %d offers", f.GetFrameworkInfo().GetId().GetValue(), f.GetFrameworkInfo().GetName(),
			f.GetConnected(), f.GetRecovered(), text(f.GetAllocatedResources()), text(f.GetOfferedResources()), len(f.GetOffers()))
	}
	for _, f := range m.GetCompletedFrameworks() {
		s.print("%s %s completed", f.GetFrameworkInfo().GetId().GetValue(), f.GetFrameworkInfo().GetName())
	}
}

func (s *script) showTasks() {
	m := s.core.View().getTasks()
	show := func(what string, list []*mesos.Task) {
		for _, t := range list {
			var states []string
			for _, status := range t.GetStatuses() {
				states = append(states, strings.TrimPrefix(status.GetState().String(), "TASK_"))
			}
			if states == nil {
				states = []string{"never heard of"}
			}
			s.print("%s %s/%s %s on %s %s; was %s", what, t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue(),
				strings.TrimPrefix(t.GetState().String(), "TASK_"), t.GetAgentId().GetValue(), text(t.GetResources()), strings.Join(states, ", "))
		}
	}
	show("task", m.GetTasks())
	show("unreachable", m.GetUnreachableTasks())
	show("completed", m.GetCompletedTasks())
}

func (s *script) showRoles() {
	for _, r := range s.core.View().getRoles().GetRoles() {
		var ids []string
		for _, id := range r.GetFrameworks() {
			ids = append(ids, id.GetValue())
		}
		s.print("%s weight %v frameworks [%s] holds %s", r.GetName(), r.GetWeight(), strings.Join(ids, " "), text(r.GetResources()))
	}
}

// text is resources in one word, as they are written: in which form, and allocated to whom.
func text(list []*mesos.Resource) string {
	r, err := resource.FromProto(list)
	if err != nil {
		return err.Error()
	}
	if r.IsEmpty() {
		return "nothing"
	}
	role := ""
	for x := range r.All() {
		role = cmp.Or(x.AllocationRole(), role)
	}
	out := r.Unallocate().String()
	if list[0].Role != nil {
		out += " (older form)"
	}
	if role != "" {
		out += " for " + role
	}
	return out
}
