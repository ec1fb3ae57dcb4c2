// Package allocator decides who is offered what, and keeps the only account of who has what. It is pure: no clock, no
// goroutine, no message; what it knows of time is what its caller says.
//
// Its parts, one file each:
//
//	ledger   for every slave its total, what is free, and what each client uses and is offered: total = free + held
//	tree     root → roles → roles below them → clients, each with its dominant share: the largest part that it holds of
//	         any resource of the cluster, divided by its weight (DRF, Ghodsi et al. 2011, §4). Who has the smallest
//	         share comes first
//	quota    what a role is sure to get, and the most that it can have
//	traits   what slaves are and frameworks understand: who may be offered what at all
//	constraint which slaves a client wants offers of
//	filter   what a client refused, and until when
//	cycle    walks slaves and gives what is free on each to the first in the order that may and wants to have it
//	explain  why a client is not offered what it waits for
//
// A client is a framework in one of its roles. A slave is looked at when something on it becomes free, and all slaves are
// at least once per allocation interval and when a client comes or changes its mind. The work is done in slices of
// [MaxLooks], so that whoever drives the allocator gets a turn in between: while slaves wait, [Allocator.Deadline] is now.
//
// Resources are never in their allocated form here: the client says which role they are allocated to.
package allocator

import (
	"fmt"
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

const (
	// DefaultInterval is how often all slaves are looked at (Mesos default of allocation_interval: 1 s).
	DefaultInterval = time.Second

	// MaxLooks is how much one slice may look at: slaves, roles on a slave, clients of a role that must be asked, and 32
	// clients each that are known to refuse. At 0.1 to 0.5 µs each, as measured, it keeps a slice below 2 ms.
	MaxLooks = 4000

	// offerLooks is how many looks an offer counts as: with the message that its framework gets, and what readers see of it,
	// it costs some 10 to 20 µs.
	offerLooks = 60

	// constraintLooks is how many looks a constraint counts as.
	constraintLooks = 5

	// MaxFilters is how many refusals of one client are remembered per slave; the one that ends first is forgotten.
	MaxFilters = 8

	// minimalCPUs and minimalMem are what an offer must have at least one of, in thousandths (Mesos default of
	// min_allocatable_resources: cpus:0.01|mem:32).
	minimalCPUs = 10
	minimalMem  = 32 * resource.Unit
)

// Options are the allocator's policies. The zero value is Mesos's.
type Options struct {
	// Interval is the longest time between two looks at a slave; 0: DefaultInterval.
	Interval time.Duration
	// Minimum holds quantities of which an offer must contain at least one set; nil: cpus:0.01 or mem:32. Without any set
	// everything is enough.
	Minimum []resource.Quantities
	// Region is where the master is; empty: it does not say, and all slaves are near.
	Region string
	// Unfair names scalar resources that do not count in shares (Mesos: fair_sharing_excluded_resource_names).
	Unfair []string
}

// Client is a framework in one of its roles: who resources are offered to.
type Client struct{ Framework, Role string }

// String is the client for people.
func (c Client) String() string { return c.Framework + "(" + c.Role + ")" }

// Offer is a decision: from now on the client holds these resources of the slave.
type Offer struct {
	Client
	Slave     string
	Resources resource.Resources
}

// Allocator is the whole of it. Make one with New. Slaves and clients that it does not know are faults of its caller: it
// panics.
type Allocator struct {
	interval  time.Duration
	minimum   []resource.Quantities
	region    string
	whitelist map[string]bool // hostnames of the slaves that are offered; nil: all

	ledger     ledger
	tree       tree
	frameworks map[string]*framework
	offered    vector // of all slaves; what is used is what the tree says is held, without it
	available  vector // what is free on active slaves, unreserved and not revocable

	queue   []*account // slaves to look at before the others; those that are not account.queued have gone
	changed []*account // slaves whose holdings have changed: see Changed
	next    time.Time  // when all slaves are to be looked at again; zero: at the next Step
	shuffle uint64     // state of the order in which slaves are walked; 0: by id

	changedIDs []string // memory of Changed
}

// framework is what is known of a framework besides what it holds.
type framework struct {
	id     string
	active bool
	terms  Terms
	roles  map[string]bool // true: suppressed
}

// New returns an allocator without slaves and frameworks. Until Seed is called everything is walked by name.
func New(options Options) *Allocator {
	if options.Interval == 0 {
		options.Interval = DefaultInterval
	}
	if options.Minimum == nil {
		options.Minimum = []resource.Quantities{
			{{Name: resource.CPUs, Thousandths: minimalCPUs}},
			{{Name: resource.Mem, Thousandths: minimalMem}},
		}
	}
	a := &Allocator{
		interval:   options.Interval,
		minimum:    options.Minimum,
		region:     options.Region,
		ledger:     newLedger(),
		tree:       newTree(options.Unfair),
		frameworks: map[string]*framework{},
	}
	for _, set := range options.Minimum {
		a.tree.minimum = append(a.tree.minimum, a.tree.vector(set))
	}
	return a
}

// Seed changes how ties are broken and in which order slaves are walked. 0 is by name.
func (a *Allocator) Seed(seed uint64) {
	a.shuffle = seed
	a.tree.seed(seed)
}

// SetWeight gives a role its weight, the divisor of its share. It must be above 0; 1 is the default.
func (a *Allocator) SetWeight(role string, weight float64) {
	if !(weight > 0) {
		panic(fmt.Sprintf("allocator: weight %v of role %q", weight, role))
	}
	a.tree.setWeight(role, weight)
}

// AddSlave makes a slave's resources known. It is active.
func (a *Allocator) AddSlave(id string, total resource.Resources) {
	s := a.ledger.add(id, total)
	s.unlisted = !a.isListed(s)
	a.tree.changeTotal(total, 1)
	a.setActive(s, true)
}

// RemoveSlave forgets a slave with everything that was used and offered on it.
func (a *Allocator) RemoveSlave(id string) {
	s := a.ledger.slave(id)
	a.setActive(s, false)
	for _, h := range s.holdings {
		h.client.holdings--
		a.tree.move(h.client, a.tree.measure(h.sum()), -1, false)
		a.offered.add(a.tree.measure(h.offered).all, -1)
		a.tree.maybeForget(h.client)
	}
	a.tree.changeTotal(s.total, -1)
	a.ledger.remove(s)
	s.queued = false
}

// HasSlave reports whether the slave is known.
func (a *Allocator) HasSlave(id string) bool { return a.ledger.slaves[id] != nil }

// ActivateSlave lets a slave's resources be offered again.
func (a *Allocator) ActivateSlave(id string) { a.setActive(a.ledger.slave(id), true) }

// DeactivateSlave keeps a slave's resources from being offered. What is offered now stays offered.
func (a *Allocator) DeactivateSlave(id string) { a.setActive(a.ledger.slave(id), false) }

// IsActive reports whether a slave's resources are offered.
func (a *Allocator) IsActive(id string) bool { return a.ledger.slave(id).active }

func (a *Allocator) setActive(s *account, active bool) {
	a.change(s, func() { s.active = active })
}

// AddFramework makes a framework known, inactive, in these roles. What it holds already (because its slaves came first)
// stays held.
func (a *Allocator) AddFramework(id string, roles, suppressed []string) {
	if a.frameworks[id] != nil {
		panic("allocator: framework " + id + " is there already")
	}
	f := &framework{id: id}
	a.frameworks[id] = f
	a.setRoles(f, roles, suppressed)
}

// UpdateFramework changes a framework's roles, and which of them are suppressed. What it holds in other roles stays held.
func (a *Allocator) UpdateFramework(id string, roles, suppressed []string) {
	f := a.framework(id)
	for role := range f.roles {
		if !slices.Contains(roles, role) {
			a.unsubscribe(Client{id, role})
		}
	}
	a.setRoles(f, roles, suppressed)
}

func (a *Allocator) setRoles(f *framework, roles, suppressed []string) {
	f.roles = make(map[string]bool, len(roles))
	for _, role := range roles {
		f.roles[role] = slices.Contains(suppressed, role)
		n := a.tree.client(Client{f.id, role})
		n.subscribed = true
		a.tree.adopt(n, f.terms)
	}
	a.compete(f)
}

func (a *Allocator) unsubscribe(c Client) {
	n := a.tree.client(c)
	a.forgetRefusals(n)
	a.tree.compete(n, false)
	a.tree.adopt(n, Terms{})
	n.subscribed = false
	a.tree.maybeForget(n)
}

// RemoveFramework forgets a framework. What it still holds stays held until it is returned or released.
func (a *Allocator) RemoveFramework(id string) {
	for _, role := range sortedKeys(a.framework(id).roles) {
		a.unsubscribe(Client{id, role})
	}
	delete(a.frameworks, id)
}

// ActivateFramework lets a framework be offered resources.
func (a *Allocator) ActivateFramework(id string) {
	f := a.framework(id)
	f.active = true
	a.compete(f)
}

// DeactivateFramework keeps a framework from being offered resources, and forgets its filters: one that comes back may
// want what it refused.
func (a *Allocator) DeactivateFramework(id string) {
	f := a.framework(id)
	f.active = false
	for role := range f.roles {
		a.forgetRefusals(a.tree.client(Client{id, role}))
	}
	a.compete(f)
}

// Suppress ends offers to the framework in these of its roles.
func (a *Allocator) Suppress(id string, roles []string) {
	f := a.framework(id)
	for _, role := range roles {
		if _, ok := f.roles[role]; ok {
			f.roles[role] = true
		}
	}
	a.compete(f)
}

// Revive begins offers to the framework in these of its roles again, and forgets what it refused in them.
func (a *Allocator) Revive(id string, roles []string) {
	f := a.framework(id)
	for _, role := range roles {
		if _, ok := f.roles[role]; ok {
			f.roles[role] = false
			a.forgetRefusals(a.tree.client(Client{id, role}))
		}
	}
	a.compete(f)
}

// Suppressed returns the roles in which the framework wants no offers, sorted.
func (a *Allocator) Suppressed(id string) []string {
	var roles []string
	for _, role := range sortedKeys(a.framework(id).roles) {
		if a.frameworks[id].roles[role] {
			roles = append(roles, role)
		}
	}
	return roles
}

// compete brings each of the framework's clients into the order of its role or takes it out. If one competes, all slaves
// are looked at again.
func (a *Allocator) compete(f *framework) {
	for _, role := range sortedKeys(f.roles) {
		competes := f.active && !f.roles[role]
		a.tree.compete(a.tree.client(Client{f.id, role}), competes)
		if competes {
			a.lookAtAll()
		}
	}
}

func (a *Allocator) framework(id string) *framework {
	f := a.frameworks[id]
	if f == nil {
		panic("allocator: no framework " + id)
	}
	return f
}

// lookAtAll has all slaves looked at from the next Step on.
func (a *Allocator) lookAtAll() { a.next = time.Time{} }

// look has the slave looked at in the next Step.
func (a *Allocator) look(s *account) {
	if !s.queued {
		s.queued = true
		a.queue = append(a.queue, s)
	}
}
