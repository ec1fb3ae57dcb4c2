package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// What frameworks and slaves say of themselves, as the allocator understands it.

// abilities are the capabilities that decide on what a framework is offered.
var abilities = []struct {
	capability mesos.FrameworkInfo_Capability_Type
	ability    allocator.Abilities
}{
	{mesos.FrameworkInfo_Capability_GPU_RESOURCES, allocator.GPUs},
	{mesos.FrameworkInfo_Capability_REGION_AWARE, allocator.Regions},
	{mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES, allocator.Revocable},
	{mesos.FrameworkInfo_Capability_SHARED_RESOURCES, allocator.Shared},
	{mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT, allocator.Refined},
}

// terms are those of a framework whose info and constraints are valid.
func (f *framework) terms() allocator.Terms {
	terms := allocator.Terms{Minimum: map[string][]resource.Quantities{}, Constraints: map[string]allocator.Constraints{}}
	for _, a := range abilities {
		if f.can(a.capability) {
			terms.Abilities |= a.ability
		}
	}
	for role, filters := range f.info.GetOfferFilters() {
		if m := filters.GetMinAllocatableResources(); m != nil {
			terms.Minimum[role] = minimumOf(m)
		}
	}
	for role, m := range f.constraints.GetRoleConstraints() {
		terms.Constraints[role], _ = allocator.ReadConstraints(m)
	}
	return terms
}

// minimumOf reads which sets of quantities a framework wants one of.
func minimumOf(m *mesos.OfferFilters_MinAllocatableResources) []resource.Quantities {
	sets := []resource.Quantities{}
	for _, set := range m.GetQuantities() {
		var q resource.Quantities
		for _, name := range slices.Sorted(maps.Keys(set.GetQuantities())) {
			q = append(q, resource.Quantity{Name: name, Thousandths: resource.Thousandths(set.GetQuantities()[name].GetValue())})
		}
		sets = append(sets, q)
	}
	return sets
}

// checkTerms reports why a framework cannot have what it asks for.
func checkTerms(info *mesos.FrameworkInfo, suppressed []string, constraints *schedulerpb.OfferConstraints) error {
	roles := mesos.RolesOf(info)
	for _, role := range suppressed {
		if !slices.Contains(roles, role) {
			return fmt.Errorf("suppressed role %q is none of the framework's roles %q", role, roles)
		}
	}
	for _, role := range slices.Sorted(maps.Keys(constraints.GetRoleConstraints())) {
		if !slices.Contains(roles, role) {
			return fmt.Errorf("offer constraints of role %q, which is none of the framework's roles %q", role, roles)
		}
		if _, err := allocator.ReadConstraints(constraints.GetRoleConstraints()[role]); err != nil {
			return fmt.Errorf("offer constraints of role %q: %w", role, err)
		}
	}
	return nil
}

// updateFramework changes what a framework says of itself while it runs.
func (c *Core) updateFramework(f *framework, m *schedulerpb.Call_UpdateFramework) error {
	info := m.GetFrameworkInfo()
	if err := mesos.ValidateFrameworkInfo(info); err != nil {
		return err
	}
	if id := info.GetId().GetValue(); id != f.id {
		return fmt.Errorf("framework_info.id is %q: it must be that of the framework, %s", id, f.id)
	}
	for _, fixed := range []struct {
		name     string
		was, now any
	}{
		{"user", f.info.GetUser(), info.GetUser()},
		{"principal", f.info.GetPrincipal(), info.GetPrincipal()},
		{"checkpoint", f.info.GetCheckpoint(), info.GetCheckpoint()},
	} {
		if fixed.was != fixed.now {
			return fmt.Errorf("framework_info.%s is %v and was %v: it cannot change", fixed.name, fixed.now, fixed.was)
		}
	}
	if err := checkTerms(info, m.GetSuppressedRoles(), m.GetOfferConstraints()); err != nil {
		return err
	}
	f.info, f.constraints = info, m.GetOfferConstraints()
	c.touchFramework(f)
	roles := mesos.RolesOf(info)
	c.allocator.UpdateFramework(f.id, roles, m.GetSuppressedRoles())
	c.begin(&leaving{framework: f, end: c.offerCount})
	c.allocator.SetTerms(f.id, f.terms())
	c.note("framework %s (%s) has changed; its roles are %q", f.id, info.GetName(), roles)
	return nil
}

// leaving takes a framework's offers back in roles that it does not have any more, of those with numbers below end. They cannot be
// accepted from the beginning: acceptedOffers.
type leaving struct {
	framework *framework
	from, end uint64
}

func (w *leaving) next(c *Core) bool {
	number, o, some := firstOf(w.framework.offers, w.from)
	if !some || number >= w.end {
		return false
	}
	w.from = number + 1
	if !w.framework.hasRole(o.role) {
		c.rescind(o)
	}
	return true
}

func (f *framework) hasRole(role string) bool { return slices.Contains(mesos.RolesOf(f.info), role) }

// updateCall is an UPDATE_FRAMEWORK on the framework's own session, where only an error can be answered.
func (c *Core) updateCall(f *framework, m *schedulerpb.Call_UpdateFramework) {
	if err := c.updateFramework(f, m); err != nil {
		c.frameworkError(f.session, "UPDATE_FRAMEWORK: "+err.Error())
	}
}

// updateAsked is one that waits for its answer.
func (c *Core) updateAsked(r Request, call *schedulerpb.Call) {
	id := call.GetFrameworkId().GetValue()
	f := c.frameworks[id]
	switch {
	case call.GetType() != schedulerpb.Call_UPDATE_FRAMEWORK:
		c.refuseRequest(r, "%v is a call for the framework's session", call.GetType())
	case f == nil:
		c.refuseRequest(r, "there is no framework %q", id)
	case call.GetUpdateFramework() == nil:
		c.refuseRequest(r, "UPDATE_FRAMEWORK without its member: the call must say what it is about")
	default:
		if err := c.updateFramework(f, call.GetUpdateFramework()); err != nil {
			c.refuseRequest(r, "%v", err)
			return
		}
		c.reply(r, &wire.OperatorDone{})
	}
}

// entrust makes known to the allocator what a slave has.
func (c *Core) entrust(sl *slave, total resource.Resources) {
	c.allocator.AddSlave(sl.id, total)
	c.allocator.SetTraits(sl.id, traits(sl.info))
	c.maybeActivate(sl)
}

// traits are what a slave's operator said of it.
func traits(info *mesos.AgentInfo) allocator.Traits {
	t := allocator.Traits{Hostname: info.GetHostname()}
	t.Region, t.Zone = faultDomain(info.GetDomain())
	for _, a := range info.GetAttributes() {
		t.Attributes = append(t.Attributes, allocator.Attribute{Name: a.GetName(), Value: attributeText(a), Text: a.GetType() == mesos.Value_TEXT})
	}
	return t
}

func attributeText(a *mesos.Attribute) string {
	switch a.GetType() {
	case mesos.Value_TEXT:
		return a.GetText().GetValue()
	case mesos.Value_SCALAR:
		return resource.FormatThousandths(resource.Thousandths(a.GetScalar().GetValue()))
	default:
		return a.GetType().String()
	}
}

func faultDomain(d *mesos.DomainInfo) (region, zone string) {
	return d.GetFaultDomain().GetRegion().GetName(), d.GetFaultDomain().GetZone().GetName()
}

// checkDomain reports a slave of whom nobody can say whether it is near: with a region, where the master has none.
func (c *Core) checkDomain(info *mesos.AgentInfo) error {
	region, zone := faultDomain(info.GetDomain())
	if own, _ := faultDomain(c.master.GetDomain()); region != "" && own == "" {
		return fmt.Errorf("slave at %s has the domain %s/%s, and the master has none: start the master with --domain first", place(info), region, zone)
	}
	return nil
}

// maxNotedHostnames is how many hostnames of a whitelist the log names.
const maxNotedHostnames = 20

// whitelisted is a new whitelist of slaves.
func (c *Core) whitelisted(e Whitelisted) {
	if e.All {
		c.note("all slaves may be offered")
		c.allocator.SetWhitelist(nil)
		return
	}
	c.note("only slaves at these %d hostnames may be offered, of which the first are %q", len(e.Hostnames), e.Hostnames[:min(len(e.Hostnames), maxNotedHostnames)])
	c.allocator.SetWhitelist(append([]string{}, e.Hostnames...))
}
