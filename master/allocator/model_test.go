package allocator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/proto/resource"
)

// What must be, worked out anew from what the caller remembers: nothing here asks the allocator.

func (m *model) addSlave(t *rapid.T) {
	id := fmt.Sprintf("S%d", m.serial)
	m.serial++
	total := resource.MustParse(rapid.SampledFrom(sizes).Draw(t, "size"))
	if rapid.IntRange(0, 3).Draw(t, "revocable") == 0 {
		r, err := resource.Parse(`[{"name":"cpus","type":"SCALAR","scalar":{"value":2},"revocable":{}}]`)
		if err != nil {
			t.Fatal(err)
		}
		total = total.Add(r)
	}
	traits := Traits{Hostname: rapid.SampledFrom([]string{"h0", "h1"}).Draw(t, "host"), Region: rapid.SampledFrom([]string{"", "eu", "us"}).Draw(t, "region")}
	if rack := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "rack"); rack != "" {
		traits.Attributes = []Attribute{{Name: "rack", Value: rack, Text: true}}
	}
	m.AddSlave(id, total)
	m.SetTraits(id, traits)
	m.slaves = append(m.slaves, id)
	m.totals[id], m.traits[id] = total, traits
}

func (m *model) whitelist(t *rapid.T) {
	hosts := rapid.SampledFrom([][]string{nil, nil, {}, {"h0"}, {"h0", "h1"}}).Draw(t, "whitelist")
	m.SetWhitelist(hosts)
	m.listed = nil
	if hosts != nil {
		m.listed = map[string]bool{}
		for _, host := range hosts {
			m.listed[host] = true
		}
	}
}

// refuseSome refuses something that may or may not be free, for a long time or a short one.
func (m *model) refuseSome(t *rapid.T, c Client) {
	if len(m.slaves) == 0 {
		return
	}
	slave := rapid.SampledFrom(m.slaves).Draw(t, "slave")
	part := resource.MustParse("cpus:3.5;mem:128")
	for range rapid.IntRange(1, 3).Draw(t, "times") {
		m.refuse(t, c, slave, rapid.SampledFrom([]resource.Resources{m.totals[slave], m.free(t, slave), part}).Draw(t, "refused"))
	}
}

func (m *model) refuse(t *rapid.T, c Client, slave string, r resource.Resources) {
	until := m.now.Add(rapid.SampledFrom([]time.Duration{100 * time.Millisecond, 2 * time.Second, time.Hour}).Draw(t, "for"))
	m.Refuse(c, slave, r, until)
	if !r.IsEmpty() {
		m.refusals = append(m.refusals, refusal{c, slave, r, until})
	}
}

func (m *model) deactivateSlave(t *rapid.T) {
	if len(m.slaves) == 0 {
		return
	}
	id := rapid.SampledFrom(m.slaves).Draw(t, "slave")
	if m.idle[id] = !m.idle[id]; m.idle[id] {
		m.DeactivateSlave(id)
	} else {
		m.ActivateSlave(id)
	}
}

func (m *model) forget(of func(Client) bool) {
	m.refusals = slices.DeleteFunc(m.refusals, func(r refusal) bool { return of(r.Client) })
}

// free is what nobody holds of a slave.
func (m *model) free(t *rapid.T, slave string) resource.Resources {
	left := m.totals[slave]
	for _, o := range slices.Concat(m.offers, m.uses) {
		if o.Slave != slave {
			continue
		}
		rest, ok := left.Sub(o.Resources)
		if !ok {
			t.Fatalf("slave %s: %v of %v is held twice, %v is left of %v", slave, o.Resources, o.Client, left, m.totals[slave])
		}
		left = rest
	}
	return left
}

// conserve holds the ledger against what was offered and used: nothing is lost, nothing is there twice.
func (m *model) conserve(t *rapid.T) {
	for _, slave := range m.slaves {
		if free := m.free(t, slave); !free.Equal(m.Free(slave)) {
			t.Fatalf("slave %s: %v is free, it says %v", slave, free, m.Free(slave))
		}
		type pair struct{ used, offered resource.Resources }
		held := map[Client]pair{}
		for _, o := range m.offers {
			if p := held[o.Client]; o.Slave == slave {
				held[o.Client] = pair{p.used, p.offered.Add(o.Resources)}
			}
		}
		for _, o := range m.uses {
			if p := held[o.Client]; o.Slave == slave {
				held[o.Client] = pair{p.used.Add(o.Resources), p.offered}
			}
		}
		for _, h := range m.Holdings(slave) {
			if p := held[h.Client]; !p.used.Equal(h.Used) || !p.offered.Equal(h.Offered) {
				t.Fatalf("slave %s: %v uses %v and is offered %v, it says %v and %v", slave, h.Client, p.used, p.offered, h.Used, h.Offered)
			}
			delete(held, h.Client)
		}
		for client, p := range held {
			if !p.used.IsEmpty() || !p.offered.IsEmpty() {
				t.Fatalf("slave %s: what %v has is not known: %v", slave, client, p)
			}
		}
	}
}

// wants returns what a client would take of what is free on a slave, were there no quota; nothing if the slave is not for
// it.
func (m *model) wants(c Client, slave string, free resource.Resources) resource.Resources {
	terms, traits := m.terms[c.Framework], m.traits[slave]
	isRemote := traits.Region != "" && traits.Region != "eu"
	switch {
	case !m.active[c.Framework] || m.quiet[c] || m.idle[slave]:
	case m.listed != nil && !m.listed[traits.Hostname]:
	case m.totals[slave].Get(resource.GPUs) > 0 && terms.Abilities&GPUs == 0:
	case isRemote && terms.Abilities&Regions == 0:
	case !m.admits(terms, c.Role, traits):
	default:
		r := free.AllocatableTo(c.Role)
		if terms.Abilities&Revocable == 0 {
			r = r.Nonrevocable()
		}
		if m.suffices(terms, c.Role, r) && !m.hasRefused(c, slave, r) {
			return r
		}
	}
	return resource.Resources{}
}

// admits says whether a slave meets the constraints of termsOf.
func (m *model) admits(terms Terms, role string, traits Traits) bool {
	rack := ""
	if len(traits.Attributes) > 0 {
		rack = traits.Attributes[0].Value
	}
	switch {
	case terms.Constraints == nil:
		return true
	case role == "a":
		return rack == "x"
	case role == "a/x":
		return rack == ""
	}
	return true
}

func (m *model) suffices(terms Terms, role string, r resource.Resources) bool {
	sets, own := terms.Minimum[role]
	switch {
	case r.IsEmpty():
		return false
	case own && len(sets) == 0:
		return true
	case own:
		return r.Get("cpus") >= 2000
	}
	return r.Get("cpus") >= 10 || r.Get("mem") >= 32000
}

func (m *model) hasRefused(c Client, slave string, r resource.Resources) bool {
	return slices.ContainsFunc(m.refusals, func(x refusal) bool {
		return x.Client == c && x.slave == slave && x.until.After(m.now) && x.resources.Contains(r)
	})
}

// check holds an offer against what its client may and wants to have, and, without quotas, against what others may and
// want who have less of their share.
func (m *model) check(t *rapid.T, o Offer) {
	free := m.free(t, o.Slave)
	want := m.wants(o.Client, o.Slave, free)
	if m.quotas {
		if o.Resources.IsEmpty() || !want.Contains(o.Resources) || m.hasRefused(o.Client, o.Slave, o.Resources) {
			t.Fatalf("%v is offered %v of slave %s, it may and wants to have of it %v", o.Client, o.Resources, o.Slave, want)
		}
		return
	}
	if !want.Equal(o.Resources) {
		t.Fatalf("%v is offered %v of slave %s, it may and wants to have %v", o.Client, o.Resources, o.Slave, want)
	}
	for _, other := range m.clients {
		if other != o.Client && !m.wants(other, o.Slave, free).IsEmpty() && m.comesBefore(other, o.Client) {
			t.Fatalf("%v is offered slave %s, and %v wants it and has less", o.Client, o.Slave, other)
		}
	}
}

// comesBefore reports whether one has strictly less of its fair share than another, where the two part in the tree.
func (m *model) comesBefore(c, d Client) bool {
	p, q := path(c), path(d)
	for i := range min(len(p), len(q)) {
		if p[i] != q[i] {
			return m.share(p[:i+1]) < m.share(q[:i+1])
		}
	}
	return false
}

// path is where a client stands: its roles, the place of a role's own clients, and itself.
func path(c Client) []string { return append(strings.Split(c.Role, "/"), ".", c.Framework) }

// share is the weighted dominant share of what is below a path.
func (m *model) share(of []string) float64 {
	var held, total resource.Quantities
	for _, o := range slices.Concat(m.offers, m.uses) {
		if p := path(o.Client); len(p) >= len(of) && slices.Equal(p[:len(of)], of) {
			held = held.Add(o.Resources.Quantities())
		}
	}
	for _, slave := range m.slaves {
		total = total.Add(m.totals[slave].Quantities())
	}
	weight := 1.0
	if w, ok := m.weights[strings.Join(of, "/")]; ok {
		weight = w
	}
	return dominant(held, total) / weight
}

// nobodyStarves holds, when all slaves have been looked at and there is no quota, that nothing is left which somebody may
// and wants to have.
func (m *model) nobodyStarves(t *rapid.T) {
	if m.quotas {
		return
	}
	for _, slave := range m.slaves {
		m.nobodyWants(t, slave)
	}
}

// nobodyWants holds that nothing is left of a slave which somebody may and wants to have.
func (m *model) nobodyWants(t *rapid.T, slave string) {
	free := m.free(t, slave)
	for _, c := range m.clients {
		if want := m.wants(c, slave, free); !want.IsEmpty() {
			t.Fatalf("%v of slave %s is free, %v may and wants to have it, and is not offered it", want, slave, c)
		}
	}
}
