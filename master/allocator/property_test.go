package allocator

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/proto/resource"
)

// TestMain has random events tried by the ten thousand, unless another number is asked for.
func TestMain(m *testing.M) {
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue && !testing.Short() {
		_ = checks.Value.Set("10000")
	}
	os.Exit(m.Run())
}

// model is what a caller of the allocator remembers: offers, uses and refusals, and what it has told of slaves and
// frameworks. From that alone it knows what is free, who wants what, and who has how much.
type model struct {
	*Allocator
	now      time.Time
	offers   []Offer
	uses     []Offer
	refusals []refusal
	slaves   []string
	totals   map[string]resource.Resources
	traits   map[string]Traits
	idle     map[string]bool // slaves that are deactivated
	listed   map[string]bool // hostnames on the whitelist; nil: all
	weights  map[string]float64
	active   map[string]bool
	quiet    map[Client]bool // suppressed
	terms    map[string]Terms
	serial   int
	clients  []Client
	quotas   bool                           // there may be some
	limits   map[string]resource.Quantities // by role
}

// refusal is what a client does not want before a time.
type refusal struct {
	Client
	slave     string
	resources resource.Resources
	until     time.Time
}

func newModel() *model {
	return &model{
		Allocator: New(Options{Region: "eu"}), now: noon, totals: map[string]resource.Resources{}, traits: map[string]Traits{}, idle: map[string]bool{},
		weights: map[string]float64{}, active: map[string]bool{}, quiet: map[Client]bool{}, terms: map[string]Terms{},
		limits: map[string]resource.Quantities{},
	}
}

var quotas = []Quota{
	{},
	{Limits: resource.MustParse("cpus:2").Quantities()},
	{Limits: resource.MustParse("cpus:1;mem:64").Quantities()},
	{Guarantees: resource.MustParse("cpus:1").Quantities()},
	{Guarantees: resource.MustParse("cpus:2;mem:64").Quantities(), Limits: resource.MustParse("cpus:3").Quantities()},
}

var sizes = []string{"cpus:4;mem:128", "cpus:1;mem:32;ports:[1-5]", "cpus:0.5;cpus(a):2;mem(a):64", "mem:16", "cpus:1;gpus:1;mem:64", "cpus:0.01;mem:31;cpus(b):1"}

var termsOf = []Terms{
	{},
	{Abilities: GPUs | Regions | Refined},
	{Abilities: Revocable},
	{Minimum: map[string][]resource.Quantities{"a": {resource.MustParse("cpus:2").Quantities()}, "b": {}}},
	{Constraints: map[string]Constraints{"a": {{{attribute: "rack", kind: equals, value: "x"}}}, "a/x": {{{attribute: "rack", not: true}}}}},
}

// TestRandomEvents holds for whatever happens in whatever order: what the allocator has added up step by step is what one
// that starts anew would find, no offer holds what another holds, and nobody is offered what is not for its role, what it
// refused, or what it does not want.
func TestRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		m.quotas = rapid.Bool().Draw(t, "quotas")
		if rapid.Bool().Draw(t, "seeded") {
			m.Seed(rapid.Uint64().Draw(t, "seed"))
		}
		for _, id := range []string{"F0", "F1", "F2"} {
			roles := rapid.SampledFrom(rolesOf).Draw(t, "roles")
			m.AddFramework(id, roles, nil)
			m.subscribe(id, roles)
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			m.happen(t)
			if err := m.Check(); err != nil {
				t.Fatal(err)
			}
			m.conserve(t)
		}
		m.now = m.now.Add(DefaultInterval)
		m.step(t)
		m.nobodyStarves(t)
	})
}

func (m *model) happen(t *rapid.T) {
	client := rapid.SampledFrom(m.clients).Draw(t, "client")
	switch rapid.IntRange(0, 21).Draw(t, "event") {
	case 0:
		m.addSlave(t)
	case 1:
		m.removeSlave(t)
	case 2:
		m.ActivateFramework(client.Framework)
		m.active[client.Framework] = true
	case 3:
		m.DeactivateFramework(client.Framework)
		m.active[client.Framework] = false
		m.forget(func(c Client) bool { return c.Framework == client.Framework })
	case 4:
		m.Suppress(client.Framework, []string{client.Role})
		m.quiet[client] = true
	case 5:
		m.Revive(client.Framework, []string{client.Role})
		m.quiet[client] = false
		m.forget(func(c Client) bool { return c == client })
	case 6:
		m.weights[client.Role] = rapid.SampledFrom([]float64{1, 2, 0.5}).Draw(t, "weight")
		m.SetWeight(client.Role, m.weights[client.Role])
	case 7:
		m.answer(t)
	case 8:
		m.end(t)
	case 9:
		m.charge(t, client)
	case 11:
		terms := rapid.SampledFrom(termsOf).Draw(t, "terms")
		if terms.Abilities != m.terms[client.Framework].Abilities {
			m.forget(func(c Client) bool { return c.Framework == client.Framework })
		}
		m.terms[client.Framework] = terms
		m.SetTerms(client.Framework, terms)
	case 12:
		m.whitelist(t)
	case 13:
		m.deactivateSlave(t)
	case 14:
		m.refuseSome(t, client)
	case 15:
		m.changeRoles(t, client.Framework)
	case 16:
		m.replaceFramework(t, client.Framework)
	case 17:
		m.convertOffered(t)
	case 18:
		m.convertFree(t)
	case 10:
		if !m.quotas {
			return
		}
		role := rapid.SampledFrom([]string{"a", "a/x", "b", "c"}).Draw(t, "quota of")
		quota := rapid.SampledFrom(quotas).Draw(t, "quota")
		m.SetQuota(role, quota)
		m.limits[role] = quota.Limits
	default:
		m.now = m.now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
		m.step(t)
	}
}

// overLimit is by how much what a role has is more than the limit that it was given.
func (m *model) overLimit(role string) string {
	var over resource.Quantities
	consumed := m.Consumption(role)
	for _, limit := range m.limits[role] {
		if excess := consumed.Get(limit.Name) - limit.Thousandths; excess > 0 {
			over = over.Add(resource.Quantities{{Name: limit.Name, Thousandths: excess}})
		}
	}
	return over.String()
}

// step checks each offer against what the client may and wants to have.
func (m *model) step(t *rapid.T) {
	over, lack := map[string]string{}, m.LacksHeadroom()
	for role := range m.tree.roles {
		over[role] = m.overLimit(role)
		if got := m.OverLimit(role).String(); got != over[role] {
			t.Fatalf("role %s is over its limit by %q, and says by %q", role, over[role], got)
		}
	}
	defer func() {
		for role := range m.tree.roles {
			if got := m.overLimit(role); got != over[role] {
				t.Fatalf("role %s was over its limit by %q, and is by %q", role, over[role], got)
			}
		}
		if !lack.Contains(m.LacksHeadroom()) {
			t.Fatalf("headroom lacked %v, and lacks %v", lack, m.LacksHeadroom())
		}
	}()
	for first := true; first || m.Deadline(m.now).Equal(m.now); first = false {
		for _, o := range m.Step(m.now) {
			m.check(t, o)
			m.offers = append(m.offers, o)
		}
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
		until := m.now.Add(rapid.SampledFrom([]time.Duration{time.Second, 3 * time.Second, time.Hour}).Draw(t, "for"))
		m.Refuse(o.Client, o.Slave, rest, until)
		if !rest.IsEmpty() {
			m.refusals = append(m.refusals, refusal{o.Client, o.Slave, rest, until})
		}
	}
	if rapid.Bool().Draw(t, "at once") {
		m.step(t)
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
	m.refusals = slices.DeleteFunc(m.refusals, func(r refusal) bool { return r.slave == id })
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
