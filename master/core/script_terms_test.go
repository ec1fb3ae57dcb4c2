package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/maintenancepb"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// What lines of scripts do that are about who may be offered what, and about maintenance.

// domain reads REGION/ZONE.
func domain(text string) *mesos.DomainInfo {
	region, zone, _ := strings.Cut(text, "/")
	return &mesos.DomainInfo{FaultDomain: &mesos.DomainInfo_FaultDomain{
		Region: &mesos.DomainInfo_FaultDomain_RegionInfo{Name: &region}, Zone: &mesos.DomainInfo_FaultDomain_ZoneInfo{Name: &zone},
	}}
}

// attributes reads rack:a,size:3.
func attributes(text string) []*mesos.Attribute {
	var list []*mesos.Attribute
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, ":")
		a := &mesos.Attribute{Name: &name, Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &value}}
		if value != "" && value[0] >= '0' && value[0] <= '9' {
			a = &mesos.Attribute{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(float64(value[0] - '0'))}}
		}
		list = append(list, a)
	}
	return list
}

// constraints reads ROLE:GROUP|GROUP, a group being constraints with commas between them: rack, !rack, rack=a, rack!=a,
// rack~a.*, rack!~a.*; @hostname, @region and @zone are pseudoattributes.
func constraints(text string) *schedulerpb.OfferConstraints {
	role, text, _ := strings.Cut(text, ":")
	m := &schedulerpb.OfferConstraints_RoleConstraints{}
	for group := range strings.SplitSeq(text, "|") {
		g := &schedulerpb.OfferConstraints_RoleConstraints_Group{}
		for one := range strings.SplitSeq(group, ",") {
			if one != "" {
				g.AttributeConstraints = append(g.AttributeConstraints, attributeConstraint(one))
			}
		}
		m.Groups = append(m.Groups, g)
	}
	if text == "" {
		m.Groups = nil
	}
	return &schedulerpb.OfferConstraints{RoleConstraints: map[string]*schedulerpb.OfferConstraints_RoleConstraints{role: m}}
}

func attributeConstraint(text string) *schedulerpb.AttributeConstraint {
	type predicate = schedulerpb.AttributeConstraint_Predicate
	name, p := text, &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_Exists_{}}
	if before, value, ok := strings.Cut(text, "!~"); ok {
		name, p = before, &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextNotMatches_{TextNotMatches: &schedulerpb.AttributeConstraint_Predicate_TextNotMatches{Regex: &value}}}
	} else if before, value, ok := strings.Cut(text, "!="); ok {
		name, p = before, &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextNotEquals_{TextNotEquals: &schedulerpb.AttributeConstraint_Predicate_TextNotEquals{Value: &value}}}
	} else if before, value, ok := strings.Cut(text, "~"); ok {
		name, p = before, &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextMatches_{TextMatches: &schedulerpb.AttributeConstraint_Predicate_TextMatches{Regex: &value}}}
	} else if before, value, ok := strings.Cut(text, "="); ok {
		name, p = before, &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextEquals_{TextEquals: &schedulerpb.AttributeConstraint_Predicate_TextEquals{Value: &value}}}
	} else if after, ok := strings.CutPrefix(text, "!"); ok {
		name, p = after, &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_NotExists_{}}
	}
	s := &schedulerpb.AttributeConstraint_Selector{Selector: &schedulerpb.AttributeConstraint_Selector_AttributeName{AttributeName: name}}
	if pseudo, ok := strings.CutPrefix(name, "@"); ok {
		kind := schedulerpb.AttributeConstraint_Selector_PseudoattributeType(schedulerpb.AttributeConstraint_Selector_PseudoattributeType_value[strings.ToUpper(pseudo)])
		s.Selector = &schedulerpb.AttributeConstraint_Selector_PseudoattributeType_{PseudoattributeType: kind}
	}
	return &schedulerpb.AttributeConstraint{Selector: s, Predicate: p}
}

// minimum reads ROLE:cpus:0.5;mem:32|disk:1; ROLE: alone is without any set.
func (s *script) minimum(text string) map[string]*mesos.OfferFilters {
	role, text, _ := strings.Cut(text, ":")
	m := &mesos.OfferFilters_MinAllocatableResources{}
	for _, set := range s.quantities(text) {
		q := map[string]*mesos.Value_Scalar{}
		for _, x := range set {
			q[x.Name] = &mesos.Value_Scalar{Value: proto.Float64(resource.Float(x.Thousandths))}
		}
		m.Quantities = append(m.Quantities, &mesos.OfferFilters_ResourceQuantities{Quantities: q})
	}
	return map[string]*mesos.OfferFilters{role: {MinAllocatableResources: m}}
}

func (s *script) quantities(text string) []resource.Quantities {
	sets := []resource.Quantities{}
	if text == "" {
		return sets
	}
	for set := range strings.SplitSeq(text, "|") {
		r, err := resource.Parse(set)
		if err != nil {
			s.fatal("%v", err)
		}
		sets = append(sets, r.Quantities())
	}
	return sets
}

// update_framework F [asked] and the options of subscribe
func (s *script) updateFramework(args []string, options map[string]string) {
	p := s.peer(args[0])
	info := proto.CloneOf(p.scheme)
	info.Id = mesos.NewFrameworkID(or(options["id"], p.id))
	s.frameworkOptions(info, options)
	call := s.callOf(p, schedulerpb.Call_UPDATE_FRAMEWORK)
	call.UpdateFramework = &schedulerpb.Call_UpdateFramework{FrameworkInfo: info}
	if roles := options["suppressed"]; roles != "" {
		call.UpdateFramework.SuppressedRoles = strings.Split(roles, ",")
	}
	if want, ok := options["want"]; ok {
		call.UpdateFramework.OfferConstraints = constraints(want)
	}
	if slices.Contains(args, "asked") {
		s.request++
		s.step(Asked{s.request, call})
		return
	}
	p.scheme = info
	s.say(p, call)
}

// whitelist *, or whitelist HOST...
func (s *script) whitelist(args []string, _ map[string]string) {
	if len(args) == 1 && args[0] == "*" {
		s.step(Whitelisted{All: true})
		return
	}
	s.step(Whitelisted{Hostnames: args})
}

// inverse accept|decline F O... [refuse=D]
func (s *script) answerInverse(args []string, options map[string]string) {
	p := s.peer(args[1])
	if args[0] == "accept" {
		call := s.callOf(p, schedulerpb.Call_ACCEPT_INVERSE_OFFERS)
		call.AcceptInverseOffers = &schedulerpb.Call_AcceptInverseOffers{InverseOfferIds: s.offerIDs(args[2:]), Filters: s.filters(options)}
		s.say(p, call)
		return
	}
	call := s.callOf(p, schedulerpb.Call_DECLINE_INVERSE_OFFERS)
	call.DeclineInverseOffers = &schedulerpb.Call_DeclineInverseOffers{InverseOfferIds: s.offerIDs(args[2:]), Filters: s.filters(options)}
	s.say(p, call)
}

// machine reads HOST, /IP or HOST/IP.
func machine(text string) *mesos.MachineID {
	host, ip, _ := strings.Cut(text, "/")
	id := &mesos.MachineID{}
	if host != "" {
		id.Hostname = &host
	}
	if ip != "" {
		id.Ip = &ip
	}
	return id
}

func machines(list []string) []*mesos.MachineID {
	var ids []*mesos.MachineID
	for _, text := range list {
		ids = append(ids, machine(text))
	}
	return ids
}

// maintenance: operator maintenance schedule [M,M@IN[+FOR]]..., operator maintenance start|stop M..., IN counted from now
func (s *script) maintenance(args []string) *masterpb.Call {
	switch args[0] {
	case "start":
		return &masterpb.Call{Type: masterpb.Call_START_MAINTENANCE.Enum(), StartMaintenance: &masterpb.Call_StartMaintenance{Machines: machines(args[1:])}}
	case "stop":
		return &masterpb.Call{Type: masterpb.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &masterpb.Call_StopMaintenance{Machines: machines(args[1:])}}
	}
	schedule := &maintenancepb.Schedule{}
	for _, arg := range args[1:] {
		list, when, _ := strings.Cut(arg, "@")
		in, length, bounded := strings.Cut(when, "+")
		u := &mesos.Unavailability{Start: timeInfo(s.now.Add(s.duration(in)))}
		if bounded {
			u.Duration = &mesos.DurationInfo{Nanoseconds: proto.Int64(s.duration(length).Nanoseconds())}
		}
		w := &maintenancepb.Window{Unavailability: u}
		if list != "" {
			w.MachineIds = machines(strings.Split(list, ","))
		}
		schedule.Windows = append(schedule.Windows, w)
	}
	return &masterpb.Call{Type: masterpb.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(), UpdateMaintenanceSchedule: &masterpb.Call_UpdateMaintenanceSchedule{Schedule: schedule}}
}

// showMaintenance: show maintenance
func (s *script) showMaintenance() {
	for _, w := range s.core.View().getSchedule().GetSchedule().GetWindows() {
		var names []string
		for _, id := range w.GetMachineIds() {
			names = append(names, machineText(id))
		}
		s.print("window %s: %s", describeUnavailability(w.GetUnavailability()), strings.Join(names, ", "))
	}
	status := s.core.View().getMaintenance().GetStatus()
	for _, m := range status.GetDrainingMachines() {
		line := "draining " + machineText(m.GetId())
		for _, st := range m.GetStatuses() {
			line += fmt.Sprintf("; %s says %v", st.GetFrameworkId().GetValue(), st.GetStatus())
			if at := st.GetTimestamp().GetNanoseconds(); at != 0 {
				line += " at " + time.Unix(0, at).UTC().Format("15:04:05")
			}
		}
		s.print("%s", line)
	}
	for _, id := range status.GetDownMachines() {
		s.print("down %s", machineText(id))
	}
}

func machineText(id *mesos.MachineID) string {
	if id.Ip == nil {
		return id.GetHostname()
	}
	return id.GetHostname() + "/" + id.GetIp()
}

func describeUnavailability(u *mesos.Unavailability) string {
	text := "from " + time.Unix(0, u.GetStart().GetNanoseconds()).UTC().Format("15:04:05")
	if u.Duration != nil {
		text += fmt.Sprintf(" for %v", time.Duration(u.GetDuration().GetNanoseconds()))
	}
	return text
}
