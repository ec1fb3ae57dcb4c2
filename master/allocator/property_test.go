package allocator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/proto/resource"
)

// model is what a caller of the allocator remembers: offers and uses.
type model struct {
	*Allocator
	now     time.Time
	offers  []Offer
	uses    []Offer
	slaves  []string
	active  map[string]bool
	serial  int
	clients []Client
}

var quotas = []Quota{
	{},
	{Limits: resource.MustParse("cpus:2").Quantities()},
	{Limits: resource.MustParse("cpus:1;mem:64").Quantities()},
	{Guarantees: resource.MustParse("cpus:1").Quantities()},
	{Guarantees: resource.MustParse("cpus:2;mem:64").Quantities(), Limits: resource.MustParse("cpus:3").Quantities()},
}

var sizes = []string{"cpus:4;mem:128", "cpus:1;mem:32;ports:[1-5]", "cpus:0.5;cpus(a):2;mem(a):64", "mem:16"}

// TestRandomEvents holds for whatever happens in whatever order: what the allocator has added up step by step is what one
// that starts anew would find, no offer holds what another holds, and nobody is offered what is not for its role, what it
// refused, or what it does not want.
func TestRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{Allocator: New(Options{}), now: noon, active: map[string]bool{}}
		if rapid.Bool().Draw(t, "seeded") {
			m.Seed(rapid.Uint64().Draw(t, "seed"))
		}
		for _, id := range []string{"F0", "F1", "F2"} {
			roles := rapid.SampledFrom([][]string{{"a"}, {"b"}, {"a", "b"}, {"a/x"}, {"a", "a/x"}, {"a/y"}}).Draw(t, "roles")
			m.AddFramework(id, roles, nil)
			for _, role := range roles {
				m.clients = append(m.clients, Client{id, role})
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			m.happen(t)
			if err := m.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func (m *model) happen(t *rapid.T) {
	client := rapid.SampledFrom(m.clients).Draw(t, "client")
	switch rapid.IntRange(0, 13).Draw(t, "event") {
	case 0:
		id := fmt.Sprintf("S%d", m.serial)
		m.serial++
		m.AddSlave(id, resource.MustParse(rapid.SampledFrom(sizes).Draw(t, "size")))
		m.slaves = append(m.slaves, id)
	case 1:
		m.removeSlave(t)
	case 2:
		m.ActivateFramework(client.Framework)
		m.active[client.Framework] = true
	case 3:
		m.DeactivateFramework(client.Framework)
		m.active[client.Framework] = false
	case 4:
		m.Suppress(client.Framework, []string{client.Role})
	case 5:
		m.Revive(client.Framework, []string{client.Role})
	case 6:
		m.SetWeight(client.Role, rapid.SampledFrom([]float64{1, 2, 0.5}).Draw(t, "weight"))
	case 7:
		m.answer(t)
	case 8:
		m.end(t)
	case 9:
		m.charge(t, client)
	case 10:
		role := rapid.SampledFrom([]string{"a", "a/x", "b", "c"}).Draw(t, "quota of")
		m.SetQuota(role, rapid.SampledFrom(quotas).Draw(t, "quota"))
	default:
		m.now = m.now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
		m.step(t)
	}
}

// step checks each offer against what the client may and wants to have.
func (m *model) step(t *rapid.T) {
	before := m.Shares()
	over, lack := map[string]string{}, m.LacksHeadroom()
	for role := range m.tree.roles {
		over[role] = m.OverLimit(role).String()
	}
	defer func() {
		for role := range m.tree.roles {
			if got := m.OverLimit(role).String(); got != over[role] {
				t.Fatalf("role %s was over its limit by %q, and is by %q", role, over[role], got)
			}
		}
		if !lack.Contains(m.LacksHeadroom()) {
			t.Fatalf("headroom lacked %v, and lacks %v", lack, m.LacksHeadroom())
		}
	}()
	for _, o := range m.Step(m.now) {
		if !m.active[o.Framework] {
			t.Fatalf("%v is not active and is offered %v", o.Client, o.Resources)
		}
		if slices.Contains(m.Suppressed(o.Framework), o.Role) {
			t.Fatalf("%v is suppressed and is offered %v (shares before: %v)", o.Client, o.Resources, before)
		}
		for r := range o.Resources.All() {
			if r.Role() != resource.Unreserved && !isWithin(o.Role, r.Role()) {
				t.Fatalf("%v is offered %v", o.Client, r)
			}
		}
		m.offers = append(m.offers, o)
	}
}

// answer uses a part of an offer, and returns and refuses the rest.
func (m *model) answer(t *rapid.T) {
	if len(m.offers) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.offers)-1).Draw(t, "offer")
	o := m.offers[i]
	m.offers = slices.Delete(m.offers, i, i+1)
	rest := o.Resources
	if part, ok := rest.Take(resource.MustParse("cpus:0.5")); ok && rapid.Bool().Draw(t, "use") {
		rest, _ = rest.Sub(part)
		m.Use(o.Client, o.Slave, part)
		m.uses = append(m.uses, Offer{o.Client, o.Slave, part})
	}
	m.Return(o.Client, o.Slave, rest)
	if rapid.Bool().Draw(t, "refuse") {
		m.Refuse(o.Client, o.Slave, rest, m.now.Add(time.Hour))
		for _, again := range m.Step(m.now) {
			if again.Client == o.Client && again.Slave == o.Slave && rest.Contains(again.Resources) {
				t.Fatalf("%v refused %v and is offered %v", o.Client, rest, again.Resources)
			}
			m.offers = append(m.offers, again)
		}
	}
}

func (m *model) end(t *rapid.T) {
	if len(m.uses) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.uses)-1).Draw(t, "use")
	m.Release(m.uses[i].Client, m.uses[i].Slave, m.uses[i].Resources)
	m.uses = slices.Delete(m.uses, i, i+1)
}

func (m *model) charge(t *rapid.T, client Client) {
	if len(m.slaves) == 0 {
		return
	}
	slave := rapid.SampledFrom(m.slaves).Draw(t, "slave")
	need := resource.MustParse("cpus:0.25")
	if err := m.Charge(client, slave, need); err == nil {
		m.uses = append(m.uses, Offer{client, slave, need})
	}
}

func (m *model) removeSlave(t *rapid.T) {
	if len(m.slaves) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.slaves)-1).Draw(t, "slave")
	id := m.slaves[i]
	m.slaves = slices.Delete(m.slaves, i, i+1)
	m.RemoveSlave(id)
	gone := func(o Offer) bool { return o.Slave == id }
	m.offers, m.uses = slices.DeleteFunc(m.offers, gone), slices.DeleteFunc(m.uses, gone)
}

// TestTheOrderIsThatOfShares holds every decision of a cycle against the definition: whoever got a slave had the least
// share of all who might have it.
func TestTheOrderIsThatOfShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := New(Options{})
		for i := range rapid.IntRange(1, 5).Draw(t, "frameworks") {
			id := fmt.Sprintf("F%d", i)
			a.AddFramework(id, []string{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "role")}, nil)
			a.ActivateFramework(id)
		}
		a.SetWeight("a", rapid.SampledFrom([]float64{1, 2, 3}).Draw(t, "weight"))
		for i := range rapid.IntRange(1, 12).Draw(t, "slaves") {
			cpus := rapid.IntRange(1, 8).Draw(t, "cpus")
			a.AddSlave(fmt.Sprintf("S%02d", i), resource.MustParse(fmt.Sprintf("cpus:%d;mem:%d", cpus, 32*rapid.IntRange(1, 8).Draw(t, "mem"))))
		}
		held := map[Client]resource.Quantities{}
		total := resource.Quantities{}
		for _, s := range a.ledger.all {
			total = total.Add(s.total.Quantities())
		}
		for _, o := range a.Step(noon) {
			role := func(name string) float64 {
				var sum resource.Quantities
				for c, q := range held {
					if c.Role == name {
						sum = sum.Add(q)
					}
				}
				return dominant(sum, total) / a.Weight(name)
			}
			for _, other := range a.Shares() {
				switch {
				case other.Framework == "" && role(other.Role) < role(o.Role):
					t.Fatalf("%v is offered slave %s at a share of %v, role %q has %v", o.Client, o.Slave, role(o.Role), other.Role, role(other.Role))
				case other.Framework != "" && other.Role == o.Role:
					if less, more := dominant(held[Client{other.Framework, o.Role}], total), dominant(held[o.Client], total); less < more {
						t.Fatalf("%v is offered slave %s at a share of %v, %s has %v", o.Client, o.Slave, more, other.Framework, less)
					}
				}
			}
			held[o.Client] = held[o.Client].Add(o.Resources.Quantities())
		}
	})
}

// dominant is the dominant share by its definition.
func dominant(held, total resource.Quantities) float64 {
	share := 0.0
	for _, q := range held {
		share = max(share, float64(q.Thousandths)/float64(total.Get(q.Name)))
	}
	return share
}
