package allocator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/proto/resource"
)

// ledger is the account of all resources.
type ledger struct {
	slaves map[string]*account
	sorted []*account // the same, by id
}

// account is what is known of one slave. Invariant: total = free + everything held.
type account struct {
	id       string
	total    resource.Resources
	free     resource.Resources
	holdings map[Client]holding // no empty ones
	reserved []string           // the roles that parts of total are reserved for, sorted

	active bool
	queued bool
	grown  uint64 // counts how often free has become more
}

// holding is what one client has of one slave.
type holding struct {
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
	s := &account{id: id, total: total, free: total, holdings: map[Client]holding{}, reserved: reservedRoles(total)}
	l.slaves[id] = s
	i, _ := l.place(id)
	l.sorted = slices.Insert(l.sorted, i, s)
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

func (l *ledger) remove(id string) {
	delete(l.slaves, id)
	i, _ := l.place(id)
	l.sorted = slices.Delete(l.sorted, i, i+1)
}

// place is where a slave is among those sorted, or is to be.
func (l *ledger) place(id string) (int, bool) {
	return slices.BinarySearchFunc(l.sorted, id, func(s *account, id string) int { return cmp.Compare(s.id, id) })
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
	rest, ok := whole.Sub(part)
	if !ok {
		panic(fmt.Sprintf("allocator: %s of %v on slave %s is %v, not %v", what, client, slave, whole, part))
	}
	return rest
}

func (s *account) set(client Client, h holding) {
	if h.isEmpty() {
		delete(s.holdings, client)
	} else {
		s.holdings[client] = h
	}
}

// offer: free → offered.
func (s *account) offer(client Client, r resource.Resources) {
	h := s.holdings[client]
	s.free = sub(s.free, r, "what is free for the offer", client, s.id)
	h.offered = h.offered.Add(r)
	s.set(client, h)
}

// Return gives back what was offered and not used: offered → free.
func (a *Allocator) Return(client Client, slave string, r resource.Resources) {
	s := a.ledger.slave(slave)
	h := s.holdings[client]
	h.offered = sub(h.offered, r, "the offers", client, slave)
	s.set(client, h)
	a.offered = a.tree.add(a.offered, r.Quantities(), -1)
	a.freed(s, client, r)
}

// Use moves what was offered to what is used: offered → used.
func (a *Allocator) Use(client Client, slave string, r resource.Resources) {
	s := a.ledger.slave(slave)
	h := s.holdings[client]
	h.offered = sub(h.offered, r, "the offers", client, slave)
	h.used = h.used.Add(r)
	s.set(client, h)
	a.offered = a.tree.add(a.offered, r.Quantities(), -1)
}

// Release gives back what was used: used → free.
func (a *Allocator) Release(client Client, slave string, r resource.Resources) {
	s := a.ledger.slave(slave)
	h := s.holdings[client]
	h.used = sub(h.used, r, "the use", client, slave)
	s.set(client, h)
	a.freed(s, client, r)
}

func (a *Allocator) freed(s *account, client Client, r resource.Resources) {
	if r.IsEmpty() {
		return
	}
	s.free = s.free.Add(r)
	s.grown++
	a.tree.take(client, r)
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
	s.free = free
	h := s.holdings[client]
	h.used = h.used.Add(r)
	s.set(client, h)
	a.tree.give(a.tree.client(client), r, false)
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
	for client, h := range s.holdings {
		list = append(list, Holding{client, slave, h.used, h.offered})
	}
	slices.SortFunc(list, func(x, y Holding) int { return compareClients(x.Client, y.Client) })
	return list
}

// Quantities returns the scalar resources of all slaves: in all, used, and offered. Those of which there are none are left
// out.
func (a *Allocator) Quantities() (total, used, offered resource.Quantities) {
	for _, name := range slices.Sorted(maps.Keys(a.tree.names)) {
		i := a.tree.names[name]
		put := func(list *resource.Quantities, amount int64) {
			if amount > 0 {
				*list = append(*list, resource.Quantity{Name: name, Thousandths: amount})
			}
		}
		put(&total, at(a.tree.total, i))
		put(&used, at(a.tree.root.held, i)-at(a.offered, i))
		put(&offered, at(a.offered, i))
	}
	return total, used, offered
}
