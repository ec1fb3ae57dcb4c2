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

// account is what is known of one slave. Invariant: total = free + everything held. Volumes that are shared do not follow
// it: they are always free, and a copy of them is held by each offer and each use.
type account struct {
	id       string
	total    resource.Resources
	free     resource.Resources
	holdings []holding // no empty ones
	reserved []string  // the roles that parts of total are reserved for, sorted
	place    int       // in ledger.all

	takes    Abilities // what it takes to understand all of it
	active   bool
	unlisted bool   // the whitelist keeps it from being offered
	marked   bool   // it is in Allocator.changed
	queued   bool   // it is in Allocator.queue; gone slaves are not
	grown    uint32 // counts how often free has become more

	weighed weighed
	refusals
	traits Traits // here at the end: what every cycle reads of an account stands together
}

// weighed is what measure says of some resources: of those that a slave offers as a whole, again and again.
type weighed struct {
	of         resource.Resources
	names      int // that there were; not more than firstNames
	all, plain [firstNames]int64
}

// weigh is measure, of resources of a slave. What it says of all that is free is remembered.
func (t *tree) weigh(s *account, r resource.Resources) measured {
	known := &s.weighed
	if r.Is(known.of) {
		return measured{known.all[:known.names], known.plain[:known.names]}
	}
	m := t.measure(r)
	if r.Is(s.free) && len(m.all) <= firstNames {
		known.of, known.names = r, len(m.all)
		copy(known.all[:], m.all)
		copy(known.plain[:], m.plain)
	}
	return m
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
	s := &account{id: id, total: total, free: total, place: len(l.all)}
	s.characterize()
	s.until = math.MaxInt64
	l.slaves[id] = s
	l.all = append(l.all, s)
	return s
}

// characterize makes anew what follows from total.
func (s *account) characterize() {
	s.reserved, s.takes = reservedRoles(s.total), takes(s.total)|s.takes&Regions
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

// mark notes that what is held of a slave changes.
func (a *Allocator) mark(s *account) {
	if !s.marked {
		s.marked = true
		a.changed = append(a.changed, s)
	}
}

// Changed returns the slaves of which somebody holds more or less than at the last call, those that have gone left out.
// It counts until the next call.
func (a *Allocator) Changed() []string {
	a.changedIDs = a.changedIDs[:0]
	for _, s := range a.changed {
		s.marked = false
		if a.ledger.slaves[s.id] == s {
			a.changedIDs = append(a.changedIDs, s.id)
		}
	}
	clear(a.changed)
	a.changed = a.changed[:0]
	return a.changedIDs
}

// exclusive returns what is not shared of some of the slave's resources.
func (s *account) exclusive(r resource.Resources) resource.Resources {
	if s.takes&Shared == 0 {
		return r
	}
	return r.Exclusive()
}

// offer: free → offered.
func (a *Allocator) offer(s *account, n *node, r resource.Resources) {
	a.mark(s)
	m := a.tree.weigh(s, r)
	s.free = sub(s.free, s.exclusive(r), "what is free for the offer", n.client, s.id)
	h := s.holding(n)
	h.offered = h.offered.Add(r)
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
	a.mark(s)
	n := a.held(client, slave)
	h := s.holding(n)
	h.offered = sub(h.offered, r, "the offers", client, slave)
	s.settle(h)
	a.offered.add(a.tree.weigh(s, r).all, -1)
	a.freed(s, n, r)
}

// Use moves what was offered to what is used: offered → used. What is shared stays offered as well, and may be used again.
func (a *Allocator) Use(client Client, slave string, r resource.Resources) {
	s := a.ledger.slave(slave)
	if r.IsEmpty() {
		return
	}
	a.mark(s)
	h := s.holding(a.held(client, slave))
	h.offered = sub(h.offered, r.Exclusive(), "the offers", client, slave)
	if shared := r.SharedOnly().Once(); !h.offered.Contains(shared) {
		panic(fmt.Sprintf("allocator: %v was not offered %v of slave %s", client, shared, slave))
	}
	h.used = h.used.Add(r)
	a.offered.add(a.tree.measure(r).all, -1)
}

// Release gives back what was used: used → free.
func (a *Allocator) Release(client Client, slave string, r resource.Resources) {
	s := a.ledger.slave(slave)
	if r.IsEmpty() {
		return
	}
	a.mark(s)
	n := a.held(client, slave)
	h := s.holding(n)
	h.used = sub(h.used, r, "the use", client, slave)
	s.settle(h)
	a.freed(s, n, r)
}

func (a *Allocator) freed(s *account, n *node, r resource.Resources) {
	s.free = s.free.Add(s.exclusive(r))
	s.grow()
	m := a.tree.weigh(s, r)
	if s.isOffered() {
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
	free, ok := s.free.Sub(r.Exclusive())
	if !ok || !s.free.Contains(r.SharedOnly().Once()) {
		return fmt.Errorf("%v is not free: of its %v the slave has %v left", r, s.total, s.free)
	}
	if r.IsEmpty() {
		return nil
	}
	a.mark(s)
	s.free = free
	n := a.tree.client(client)
	h := s.holding(n)
	h.used = h.used.Add(r)
	m := a.tree.measure(r)
	if s.isOffered() {
		a.available.add(m.plain, -1)
	}
	a.tree.move(n, m, 1, false)
	return nil
}

// Convert makes of what a client is offered of a slave what an operation says: offered → offered.
func (a *Allocator) Convert(client Client, slave string, c resource.Conversion) {
	s, n := a.ledger.slave(slave), a.held(client, slave)
	h := s.holding(n)
	h.offered = sub(h.offered, c.From, "the offers", client, slave).Add(c.To)
	a.offered.add(a.tree.measure(c.From).all, -1)
	a.offered.add(a.tree.measure(c.To).all, 1)
	a.tree.move(n, a.tree.measure(c.From), -1, false)
	a.tree.move(n, a.tree.measure(c.To), 1, false)
	s.free = sub(s.free, c.From.SharedOnly().Once(), "what is shared", client, slave).Add(c.To.SharedOnly())
	a.convertTotal(s, c)
}

// ConvertFree makes of what nobody holds of a slave what an operation says. It is false, and nothing has changed, if
// somebody holds some of it.
func (a *Allocator) ConvertFree(slave string, c resource.Conversion) bool {
	s := a.ledger.slave(slave)
	free, ok := c.Apply(s.free)
	if !ok || a.UsesShared(slave, c.From) {
		return false
	}
	s.free = free
	if s.isOffered() {
		a.available.add(a.tree.measure(c.From).plain, -1)
		a.available.add(a.tree.measure(c.To).plain, 1)
	}
	a.convertTotal(s, c)
	a.look(s)
	return true
}

// convertTotal lets a slave's total follow a conversion. As any change of the cluster it makes all shares stale.
func (a *Allocator) convertTotal(s *account, c resource.Conversion) {
	a.mark(s)
	from := c.From.Exclusive().Add(c.From.SharedOnly().Once())
	s.total = sub(s.total, from, "the total", Client{}, s.id).Add(c.To)
	a.tree.changeTotal(c.To, 1)
	a.tree.changeTotal(from, -1)
	s.characterize()
	s.grow()
}

// UsesShared reports whether somebody uses, or is offered, a shared volume that is in r.
func (a *Allocator) UsesShared(slave string, r resource.Resources) bool {
	shared := r.SharedOnly()
	if shared.IsEmpty() {
		return false
	}
	for _, h := range a.ledger.slave(slave).holdings {
		if !h.sum().Like(shared).IsEmpty() {
			return true
		}
	}
	return false
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
