package core

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

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
