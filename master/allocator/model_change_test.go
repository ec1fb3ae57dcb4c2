package allocator

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/proto/resource"
)

// rolesOf are the roles that a framework of the model may have.
var rolesOf = [][]string{{"a"}, {"b"}, {"a", "b"}, {"a/x"}, {"a", "a/x"}, {"a/y"}}

// subscribe notes that a framework has these roles and no others.
func (m *model) subscribe(id string, roles []string) {
	m.clients = slices.DeleteFunc(m.clients, func(c Client) bool { return c.Framework == id })
	for _, role := range roles {
		m.clients = append(m.clients, Client{id, role})
	}
}

// changeRoles has a framework leave roles and come into others, some of them suppressed. What it is offered in those that it
// leaves goes back, as its master has it; what it uses in them stays in use.
func (m *model) changeRoles(t *rapid.T, id string) {
	roles := rapid.SampledFrom(rolesOf).Draw(t, "new roles")
	var suppressed []string
	for _, role := range roles {
		if m.quiet[Client{id, role}] = rapid.IntRange(0, 3).Draw(t, "suppressed") == 0; m.quiet[Client{id, role}] {
			suppressed = append(suppressed, role)
		}
	}
	left := func(c Client) bool { return c.Framework == id && !slices.Contains(roles, c.Role) }
	m.giveBack(left)
	m.forget(left)
	m.UpdateFramework(id, roles, suppressed)
	m.subscribe(id, roles)
}

// replaceFramework removes a framework, and lets one of its name come that is inactive and has said nothing of itself. What
// the first one uses stays in use.
func (m *model) replaceFramework(t *rapid.T, id string) {
	roles := rapid.SampledFrom(rolesOf).Draw(t, "roles of the next")
	own := func(c Client) bool { return c.Framework == id }
	m.giveBack(own)
	m.forget(own)
	m.RemoveFramework(id)
	m.AddFramework(id, roles, nil)
	for _, role := range []string{"a", "b", "a/x", "a/y"} {
		delete(m.quiet, Client{id, role})
	}
	delete(m.terms, id)
	m.active[id] = false
	m.subscribe(id, roles)
}

// giveBack returns offers.
func (m *model) giveBack(of func(Client) bool) {
	m.offers = slices.DeleteFunc(m.offers, func(o Offer) bool {
		if of(o.Client) {
			m.Return(o.Client, o.Slave, o.Resources)
		}
		return of(o.Client)
	})
}

// convertible is what an operation makes of some resources: a part is reserved for a role, or what was reserved so is not any
// more.
func convertible(t *rapid.T, r resource.Resources) (resource.Conversion, bool) {
	if dynamic := r.Dynamic(); !dynamic.IsEmpty() && rapid.Bool().Draw(t, "unreserve") {
		return resource.Conversion{From: dynamic, To: dynamic.Original()}, true
	}
	part, ok := r.Unreserved().Nonrevocable().Take(resource.MustParse("cpus:0.25"))
	role := rapid.SampledFrom([]string{"a", "a/x", "b", "nobody"}).Draw(t, "reserve for")
	return resource.Conversion{From: part, To: part.Reserve(resource.Reservation{Role: role})}, ok
}

// convertOffered has an operation convert a part of an offer.
func (m *model) convertOffered(t *rapid.T) {
	if len(m.offers) == 0 {
		return
	}
	o := &m.offers[rapid.IntRange(0, len(m.offers)-1).Draw(t, "offer to convert")]
	c, ok := convertible(t, o.Resources)
	if !ok {
		return
	}
	m.Convert(o.Client, o.Slave, c)
	o.Resources, _ = c.Apply(o.Resources)
	m.totals[o.Slave], _ = c.Apply(m.totals[o.Slave])
}

// convertFree has an operation convert what nobody holds of a slave, or refuses to, because somebody holds it. What it has
// become is offered at once.
func (m *model) convertFree(t *rapid.T) {
	if len(m.slaves) == 0 {
		return
	}
	slave := rapid.SampledFrom(m.slaves).Draw(t, "slave to convert")
	free := m.free(t, slave)
	c, ok := convertible(t, m.totals[slave])
	if !ok {
		return
	}
	_, possible := c.Apply(free)
	if got := m.ConvertFree(slave, c); got != possible {
		t.Fatalf("slave %s: %v of its free %v is converted: %v, want %v", slave, c.From, free, got, possible)
	}
	if !possible {
		return
	}
	m.totals[slave], _ = c.Apply(m.totals[slave])
	m.step(t)
	if !m.quotas {
		m.nobodyWants(t, slave)
	}
}
