package allocator

import (
	"github.com/stoa-project/stoa/proto/resource"
)

// Traits is what is known of a slave besides its resources.
type Traits struct {
	Hostname   string
	Attributes []Attribute // of two with one name the first counts
	// Region and Zone are its fault domain; both are empty if it has none.
	Region, Zone string
}

// Attribute is what an operator says of a slave.
type Attribute struct {
	Name  string
	Value string // for people, if it is not text
	Text  bool   // it is text: others are numbers, ranges and sets
}

// Abilities are what a framework understands, or what it takes to use all of a slave. What a framework does not
// understand is kept from it.
type Abilities uint8

// The abilities. GPUs and Regions are about whole slaves: those that have gpus, which others would keep from those that
// need gpus (Mesos: filter_gpu_resources), and those of another region than the master's. The others are about single
// resources: those that can be taken away again, those that several tasks use at the same time, and those whose
// reservation stands on another.
const (
	GPUs Abilities = 1 << iota
	Regions
	Revocable
	Shared
	Refined
)

// wholeSlaves are the abilities without which nothing of a slave is offered.
const wholeSlaves = GPUs | Regions

// takes is what it takes to understand all of some resources.
func takes(r resource.Resources) Abilities {
	var all Abilities
	for x := range r.All() {
		all |= takesOne(x)
		if x.Name() == resource.GPUs && x.Thousandths() > 0 {
			all |= GPUs
		}
	}
	return all
}

func takesOne(x resource.Resource) Abilities {
	var all Abilities
	if x.Revocable() {
		all |= Revocable
	}
	if x.Shared() {
		all |= Shared
	}
	if len(x.Reservations()) > 1 {
		all |= Refined
	}
	return all
}

// misses returns what a client does not understand of a slave.
func (n *node) misses(s *account) Abilities { return s.takes &^ n.can }

// understood returns the resources that somebody understands who misses these abilities.
func understood(r resource.Resources, misses Abilities) resource.Resources {
	if misses&^wholeSlaves == 0 {
		return r
	}
	return r.Filter(func(x resource.Resource) bool { return takesOne(x)&misses == 0 })
}

// Terms are what a framework understands, and what it wants offers to be like in each of its roles.
type Terms struct {
	Abilities Abilities
	// Minimum holds, by role, sets of quantities of which an offer must contain at least one; without any set everything
	// is enough. Roles that are not there have Options.Minimum.
	Minimum map[string][]resource.Quantities
	// Constraints hold, by role, which slaves are wanted; in a role that is not there, all.
	Constraints map[string]Constraints
}

// SetTerms says what a framework understands and wants. If it understands something else than before, what it refused
// does not count any more.
func (a *Allocator) SetTerms(id string, terms Terms) {
	f := a.framework(id)
	changed := f.terms.Abilities != terms.Abilities
	f.terms = terms
	for role := range f.roles {
		n := a.tree.clients[Client{id, role}]
		if changed {
			a.forgetRefusals(n)
		}
		a.tree.adopt(n, terms)
	}
	a.compete(f)
}

// adopt gives a client the terms of its framework.
func (t *tree) adopt(n *node, terms Terms) {
	t.countMinimum(n, -1)
	n.can, n.constraints = terms.Abilities, terms.Constraints[n.client.Role]
	n.minimum, n.ownMinimum = terms.Minimum[n.client.Role]
	t.countMinimum(n, 1)
}

func (t *tree) countMinimum(n *node, sign int) {
	if n.ownMinimum {
		t.ownMinimums += sign
	}
}

// SetTraits says what is known of a slave besides its resources.
func (a *Allocator) SetTraits(id string, traits Traits) {
	s := a.ledger.slave(id)
	a.change(s, func() {
		s.traits = traits
		s.takes &^= Regions
		if a.region != "" && traits.Region != "" && traits.Region != a.region {
			s.takes |= Regions
		}
		s.unlisted = !a.isListed(s)
	})
}

// SetWhitelist lets only slaves with these hostnames be offered; nil: all. What is offered now stays offered.
func (a *Allocator) SetWhitelist(hostnames []string) {
	a.whitelist = nil
	if hostnames != nil {
		a.whitelist = make(map[string]bool, len(hostnames))
		for _, hostname := range hostnames {
			a.whitelist[hostname] = true
		}
	}
	for _, s := range a.ledger.all {
		if unlisted := !a.isListed(s); unlisted != s.unlisted {
			a.change(s, func() { s.unlisted = unlisted })
		}
	}
}

func (a *Allocator) isListed(s *account) bool {
	return a.whitelist == nil || a.whitelist[s.traits.Hostname]
}

// isOffered reports whether anything of the slave may be offered.
func (s *account) isOffered() bool { return s.active && !s.unlisted }

// change changes what decides on whether a slave is offered. If it is from now on, it is looked at.
func (a *Allocator) change(s *account, do func()) {
	was := s.isOffered()
	do()
	if is := s.isOffered(); is != was {
		sign := int64(1)
		if !is {
			sign = -1
		}
		a.available.add(a.tree.measure(s.free).plain, sign)
	}
	if s.isOffered() {
		a.look(s)
	}
}
