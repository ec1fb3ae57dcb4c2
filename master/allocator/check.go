package allocator

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stoa-project/stoa/proto/resource"
)

// Check reports the first invariant that does not hold: what is free and held of a slave makes its total, nothing is held
// twice, no limit is passed by what was offered, and the tree is what one made from scratch would be. For tests; it walks
// everything.
func (a *Allocator) Check() error {
	if err := a.ledger.check(); err != nil {
		return err
	}
	fresh := newTree(a.tree.excluded)
	for _, name := range byIndex(a.tree.names) {
		fresh.name(name)
	}
	for path, n := range a.tree.roles {
		if n.quota.isSet() {
			fresh.guarantees++
			m := fresh.role(path)
			m.guarantee, m.stated = n.guarantee, n.stated
			for ; m != nil; m = m.parent {
				fresh.renewNeed(m)
			}
		}
	}
	var offered, available vector
	for _, s := range a.ledger.all {
		if err := s.check(); err != nil {
			return err
		}
		fresh.changeTotal(s.total, 1)
		for _, h := range s.holdings {
			n := fresh.client(h.client.client)
			n.holdings++
			fresh.move(n, fresh.measure(h.sum()), 1, false)
			offered.add(fresh.measure(h.offered).all, 1)
		}
		if s.isOffered() {
			available.add(fresh.measure(s.free).plain, 1)
		}
	}
	switch {
	case !equal(a.offered, offered):
		return fmt.Errorf("%v is offered in all, the slaves say %v", a.offered, offered)
	case !equal(a.available, available):
		return fmt.Errorf("%v is available in all, the slaves say %v", a.available, available)
	case !equal(a.tree.total, fresh.total):
		return fmt.Errorf("total of the cluster is %v, the slaves have %v", a.tree.total, fresh.total)
	}
	if err := a.checkTree(&fresh); err != nil {
		return err
	}
	if err := a.checkRoles(); err != nil {
		return err
	}
	if err := a.checkClients(); err != nil {
		return err
	}
	return a.checkQueue()
}

func byIndex(names map[string]int) []string {
	list := make([]string, len(names))
	for name, i := range names {
		list[i] = name
	}
	return list
}

func (l *ledger) check() error {
	if len(l.all) != len(l.slaves) || l.walked > len(l.all) {
		return fmt.Errorf("%d slaves are known, %d in order, %d walked", len(l.slaves), len(l.all), l.walked)
	}
	for i, s := range l.all {
		if s.place != i || l.slaves[s.id] != s {
			return fmt.Errorf("slave %s is at %d, it says %d", s.id, i, s.place)
		}
	}
	return nil
}

// check takes everything that is held from the total, one by one, so that what is held twice is found.
func (s *account) check() error {
	rest := s.total
	seen := map[Client]bool{}
	for _, h := range s.holdings {
		client := h.client.client
		if h.isEmpty() || seen[client] {
			return fmt.Errorf("slave %s: %v holds nothing, or is listed twice", s.id, client)
		}
		seen[client] = true
		for _, part := range [2]struct {
			what string
			r    resource.Resources
		}{{"used", h.used}, {"offered", h.offered}} {
			left, ok := rest.Sub(part.r.Exclusive())
			if !ok || !s.total.Contains(part.r.SharedOnly().Once()) {
				return fmt.Errorf("slave %s: %v %s by %v is not in what others leave of %v: %v", s.id, part.r, part.what, client, s.total, rest)
			}
			rest = left
		}
	}
	if !rest.Equal(s.free) {
		return fmt.Errorf("slave %s: %v is free, and %v is not held of %v", s.id, s.free, rest, s.total)
	}
	return nil
}

// checkTree compares what the tree has added up step by step with what is there.
func (a *Allocator) checkTree(fresh *tree) error {
	t := &a.tree
	var err error
	t.root.each(func(n *node) {
		if err == nil {
			err = t.checkNode(fresh, n)
		}
	})
	if err != nil {
		return err
	}
	for client, leaf := range fresh.clients {
		if t.clients[client] == nil {
			return fmt.Errorf("%v holds %v and is not in the tree", client, leaf.held)
		}
	}
	guarantees, limits := 0, 0
	for path, n := range t.roles {
		if len(n.stated.Guarantees) > 0 {
			guarantees++
		}
		if len(n.stated.Limits) > 0 {
			limits++
		}
		if n.isIdle() || t.role(path) != n {
			return fmt.Errorf("role %s is kept, and nothing is below it", path)
		}
	}
	if guarantees != t.guarantees || limits != t.limits {
		return fmt.Errorf("%d roles have a guarantee and %d a limit, counted %d and %d", guarantees, limits, t.guarantees, t.limits)
	}
	return nil
}

// checkRoles holds what a role has, is charged and needs against the definition: sums over all slaves.
func (a *Allocator) checkRoles() error {
	below := map[string]resource.Quantities{} // what the roles right below each need together
	paths := sortedKeys(a.tree.roles)
	slices.Reverse(paths) // Those below come first.
	for _, path := range paths {
		n := a.tree.roles[path]
		var held, charged resource.Quantities
		for _, s := range a.ledger.all {
			for _, h := range s.holdings {
				if isWithin(h.client.client.Role, path) {
					held = held.Add(h.sum().Exclusive().Quantities())
					charged = charged.Add(h.sum().Unreserved().Nonrevocable().Quantities())
				}
			}
			reserved := s.total.Filter(func(r resource.Resource) bool { return r.Role() != resource.Unreserved && isWithin(r.Role(), path) })
			charged = charged.Add(reserved.Nonrevocable().Quantities())
		}
		need := n.stated.Guarantees.Sub(charged)
		for _, q := range below[path] {
			if q.Thousandths > need.Get(q.Name) {
				need = need.Sub(resource.Quantities{{Name: q.Name, Thousandths: need.Get(q.Name)}}).Add(resource.Quantities{q})
			}
		}
		below[n.parent.name] = below[n.parent.name].Add(need)
		switch {
		case !equal(n.held, a.tree.vector(held)):
			return fmt.Errorf("role %s holds %v, by the definition %v", path, a.tree.quantities(n.held), held)
		case !equal(n.charged, a.tree.vector(charged)):
			return fmt.Errorf("role %s is charged %v, by the definition %v", path, a.tree.quantities(n.charged), charged)
		case !equal(n.need, a.tree.vector(need)):
			return fmt.Errorf("role %s needs %v, by the definition %v", path, a.tree.quantities(n.need), need)
		}
	}
	return nil
}

// same returns the node of this tree that is another's n, nil if there is none.
func (t *tree) same(n *node) *node {
	switch {
	case n.parent == nil:
		return t.root
	case n.kind == clientNode:
		return t.clients[n.client]
	case n.kind == ownNode:
		if role := t.roles[n.parent.name]; role != nil {
			return role.own
		}
		return nil
	}
	return t.roles[n.name]
}

// checkNode compares a node with the one made from scratch.
func (t *tree) checkNode(fresh *tree, n *node) error {
	same := fresh.same(n)
	if same == nil {
		same = &node{}
	}
	where := n.name
	if n.kind != roleNode {
		where = n.parent.name + " " + n.name
	}
	switch {
	case !equal(n.held, same.held):
		return fmt.Errorf("%s: holds %v, the slaves say %v", where, n.held, same.held)
	case n.holdings != same.holdings:
		return fmt.Errorf("%s: holds something of %d slaves, they say %d", where, n.holdings, same.holdings)
	case !equal(n.charged, same.charged):
		return fmt.Errorf("%s: is charged %v, the slaves say %v", where, n.charged, same.charged)
	case !equal(n.need, same.need) || !equal(n.below, same.below) || n.needy == n.need.isZero():
		return fmt.Errorf("%s: needs %v and below it %v, by the definition %v and %v", where, n.need, n.below, same.need, same.below)
	case n.full != (n.limit != nil && t.isTooLittle(n.room)):
		return fmt.Errorf("%s: full is %v at %v of %v", where, n.full, n.charged, n.limit)
	case t.stale || n.parent == nil:
		return nil
	case n.share != fresh.share(&node{held: same.held, weight: n.weight}):
		return fmt.Errorf("%s: share is %v, by the definition %v", where, n.share, fresh.share(&node{held: same.held, weight: n.weight}))
	case !slices.IsSortedFunc(n.order, (*node).less):
		return fmt.Errorf("%s: its children are not in order", where)
	}
	return nil
}

func (a *Allocator) checkClients() error {
	if !a.tree.stale && !slices.IsSortedFunc(a.tree.root.order, (*node).less) {
		return fmt.Errorf("roles are not in order")
	}
	for client, n := range a.tree.clients {
		f := a.frameworks[client.Framework]
		suppressed, subscribed := false, false
		if f != nil {
			suppressed, subscribed = f.roles[client.Role], hasKey(f.roles, client.Role)
		}
		competes := subscribed && f.active && !suppressed
		switch {
		case n.subscribed != subscribed:
			return fmt.Errorf("%v: subscribed is %v in the tree, %v by its framework", client, n.subscribed, subscribed)
		case n.competes != competes:
			return fmt.Errorf("%v: competes is %v, by its framework %v", client, n.competes, competes)
		case a.tree.byIndex[n.index] != n:
			return fmt.Errorf("%v: its index %d is another's", client, n.index)
		case !subscribed && n.filtered:
			return fmt.Errorf("%v: is not subscribed and has filters", client)
		}
		for m := n; m.parent != nil; m = m.parent {
			if slices.Contains(m.parent.order, m) != m.competes || m != n && m.competes != (len(m.order) > 0) {
				return fmt.Errorf("%v: %q competes is %v with %d below that do", client, m.name, m.competes, len(m.order))
			}
		}
	}
	for _, s := range a.ledger.all {
		if err := a.checkFilters(s); err != nil {
			return fmt.Errorf("slave %s: %w", s.id, err)
		}
	}
	return nil
}

// checkFilters holds what is known of refusals against the filters that it follows from.
func (a *Allocator) checkFilters(s *account) error {
	if !slices.IsSortedFunc(s.filters, func(f, g filter) int { return cmp.Compare(f.index, g.index) }) {
		return fmt.Errorf("filters are not in order")
	}
	for _, n := range a.tree.clients {
		begin, end := s.filtersOf(n)
		if end-begin > MaxFilters {
			return fmt.Errorf("%d filters of %v", end-begin, n.client)
		}
		refuses := slices.ContainsFunc(s.filters[begin:end], func(f filter) bool {
			return f.life == n.life && f.until >= s.until && f.refused.Contains(s.usable(n))
		})
		if s.hasRefused(n) && !refuses {
			return fmt.Errorf("%v is known to refuse %v, its filters do not say so", n.client, s.usable(n))
		}
	}
	return nil
}

func (a *Allocator) checkQueue() error {
	queued := 0
	for _, s := range a.ledger.slaves {
		if s.queued {
			queued++
		}
	}
	for _, s := range a.queue {
		switch {
		case !s.queued:
		case a.ledger.slaves[s.id] != s:
			return fmt.Errorf("slave %s waits and is unknown", s.id)
		default:
			queued--
		}
	}
	if queued != 0 {
		return fmt.Errorf("%d more slaves are marked as waiting than wait", queued)
	}
	return nil
}

func hasKey(m map[string]bool, key string) bool {
	_, ok := m[key]
	return ok
}

// equal compares vectors whose ends may be missing.
func equal(a, b vector) bool {
	for i := range max(len(a), len(b)) {
		if a.at(i) != b.at(i) {
			return false
		}
	}
	return true
}
