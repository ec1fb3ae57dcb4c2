package allocator

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/stoa-project/stoa/proto/resource"
)

// ledger is the account of all resources.
type ledger struct {
	slaves map[string]*account
	// all is the same in the order of the cycle that is under way: those before walked have been looked at in it.
	all    []*account
	walked int
}

// account is what is known of one slave. Invariant: total = free + everything held.
type account struct {
	id       string
	total    resource.Resources
	free     resource.Resources
	holdings []holding // no empty ones
	reserved []string  // the roles that parts of total are reserved for, sorted
	place    int       // in ledger.all

	active bool
	gpus   bool   // total has some
	queued bool   // it is in Allocator.queue; gone slaves are not
	grown  uint32 // counts how often free has become more

	refusals
}

// holding is what one client has of one slave.
type holding struct {
	client  *node
	used    resource.Resources // by tasks and executors
	offered resource.Resources // in offers that are open
}

func (h holding) sum() resource.Resources { return h.used.Add(h.offered) }

func (h holding) isEmpty() bool { return h.used.IsEmpty() && h.offered.IsEmpty() }

func newLedger() ledger { return ledger{slaves: map[string]*account{}} }

func (l *ledger) add(id string, total resource.Resources) *account {
	if l.slaves[id] != nil {
		panic("allocator: slave " + id + " is there already")
	}
	s := &account{id: id, total: total, free: total, reserved: reservedRoles(total), place: len(l.all), gpus: total.Get(resource.GPUs) > 0}
	s.until = math.MaxInt64
	l.slaves[id] = s
	l.all = append(l.all, s)
	return s
}

func reservedRoles(total resource.Resources) []string {
	roles := map[string]bool{}
	for r := range total.All() {
		if r.Role() != resource.Unreserved {
			roles[r.Role()] = true
		}
	}
	return slices.Sorted(maps.Keys(roles))
}

// remove forgets a slave. The last one takes its place; of those walked the last one of them does, so that they stay
// together.
func (l *ledger) remove(s *account) {
	delete(l.slaves, s.id)
	hole := s.place
	fill := func(from int) {
		if from == hole {
			return
		}
		l.all[hole] = l.all[from]
		l.all[hole].place = hole
		hole = from
	}
	if hole < l.walked {
		l.walked--
		fill(l.walked)
	}
	fill(len(l.all) - 1)
	l.all[hole] = nil
	l.all = l.all[:hole]
}

// swap exchanges two slaves in the order of the cycle.
func (l *ledger) swap(i, j int) {
	l.all[i], l.all[j] = l.all[j], l.all[i]
	l.all[i].place, l.all[j].place = i, j
}

func (l *ledger) slave(id string) *account {
	s := l.slaves[id]
	if s == nil {
		panic("allocator: no slave " + id)
	}
	return s
}

// sub takes part from whole; what is not there is a fault of the caller.
func sub(whole, part resource.Resources, what string, client Client, slave string) resource.Resources {
	if whole.Equal(part) {
		return resource.Resources{} // The most frequent case, and it needs no memory.
	}
	rest, ok := whole.Sub(part)
	if !ok {
		panic(fmt.Sprintf("allocator: %s of %v on slave %s is %v, not %v", what, client, slave, whole, part))
	}
	return rest
}

// holding returns what a client has of the slave, an empty one that is new if it has nothing. After it has been changed
// it must be settled.
func (s *account) holding(n *node) *holding {
	for i := range s.holdings {
		if s.holdings[i].client == n {
			return &s.holdings[i]
		}
	}
	s.holdings = append(s.holdings, holding{client: n})
	n.holdings++
	return &s.holdings[len(s.holdings)-1]
}

// settle drops a holding that has become empty.
func (s *account) settle(h *holding) {
	if !h.isEmpty() {
		return
	}
	h.client.holdings--
	last := len(s.holdings) - 1
	*h = s.holdings[last]
	s.holdings[last] = holding{}
	s.holdings = s.holdings[:last]
}

// offer: free → offered.
func (a *Allocator) offer(s *account, n *node, r resource.Resources) {
	s.free = sub(s.free, r, "what is free for the offer", n.client, s.id)
	h := s.holding(n)
	h.offered = h.offered.Add(r)
	m := a.tree.measure(r)
	a.offered.add(m.all, 1)
	a.available.add(m.plain, -1)
	a.tree.move(n, m, 1, true)
}

// held returns the client's node, which must hold something.
func (a *Allocator) held(client Client, slave string) *node {
	n := a.tree.clients[client]
	if n == nil {
		panic(fmt.Sprintf("allocator: %v holds nothing, least of slave %s", client, slave))
	}
	return n
}

// Return gives back what was offered and not used: offered → free.
func (a *Allocator) Return(client Client, slave string, r resource.Resources) {
	s := a.ledger.slave(slave)
	if r.IsEmpty() {
		return
	}
	n := a.held(client, slave)
	h := s.holding(n)
	h.offered = sub(h.offered, r, "the offers", client, slave)
	s.settle(h)
	a.offered.add(a.tree.measure(r).all, -1)
	a.freed(s, n, r)
}

// Use moves what was offered to what is used: offered → used.
func (a *Allocator) Use(client Client, slave string, r resource.Resources) {
	s := a.ledger.slave(slave)
	if r.IsEmpty() {
		return
	}
	h := s.holding(a.held(client, slave))
	h.offered = sub(h.offered, r, "the offers", client, slave)
	h.used = h.used.Add(r)
	a.offered.add(a.tree.measure(r).all, -1)
}

// Release gives back what was used: used → free.
func (a *Allocator) Release(client Client, slave string, r resource.Resources) {
	s := a.ledger.slave(slave)
	if r.IsEmpty() {
		return
	}
	n := a.held(client, slave)
	h := s.holding(n)
	h.used = sub(h.used, r, "the use", client, slave)
	s.settle(h)
	a.freed(s, n, r)
}

func (a *Allocator) freed(s *account, n *node, r resource.Resources) {
	s.free = s.free.Add(r)
	s.grow()
	m := a.tree.measure(r)
	if s.active {
		a.available.add(m.plain, 1)
	}
	a.tree.move(n, m, -1, false)
	a.tree.maybeForget(n)
	a.look(s)
}

// Charge accounts for what a slave that comes says is used: free → used. If that is not free it changes nothing and
// returns an error for people.
func (a *Allocator) Charge(client Client, slave string, r resource.Resources) error {
	s := a.ledger.slave(slave)
	free, ok := s.free.Sub(r)
	if !ok {
		return fmt.Errorf("%v is not free: of its %v the slave has %v left", r, s.total, s.free)
	}
	if r.IsEmpty() {
		return nil
	}
	s.free = free
	n := a.tree.client(client)
	h := s.holding(n)
	h.used = h.used.Add(r)
	m := a.tree.measure(r)
	if s.active {
		a.available.add(m.plain, -1)
	}
	a.tree.move(n, m, 1, false)
	return nil
}

// Total returns what a slave has.
func (a *Allocator) Total(slave string) resource.Resources { return a.ledger.slave(slave).total }

// Free returns what nobody holds of a slave.
func (a *Allocator) Free(slave string) resource.Resources { return a.ledger.slave(slave).free }

// Holding is what a client has of a slave.
type Holding struct {
	Client
	Slave         string
	Used, Offered resource.Resources
}

// Holdings returns what each client has of a slave, sorted by framework and role.
func (a *Allocator) Holdings(slave string) []Holding {
	s := a.ledger.slave(slave)
	list := make([]Holding, 0, len(s.holdings))
	for _, h := range s.holdings {
		list = append(list, Holding{h.client.client, slave, h.used, h.offered})
	}
	slices.SortFunc(list, func(x, y Holding) int { return compareClients(x.Client, y.Client) })
	return list
}

// Quantities returns the scalar resources of all slaves: in all, used, and offered. Those of which there are none are left
// out.
func (a *Allocator) Quantities() (total, used, offered resource.Quantities) {
	held := slices.Clone(a.tree.root.held)
	held.add(a.offered, -1)
	return a.tree.quantities(a.tree.total), a.tree.quantities(held), a.tree.quantities(a.offered)
}
