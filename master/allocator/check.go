package allocator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/proto/resource"
)

// Check reports the first invariant that does not hold: what is free and held of a slave makes its total, nothing is held
// twice, and the tree is what one made from scratch would be. For tests; it walks everything.
func (a *Allocator) Check() error {
	if len(a.ledger.sorted) != len(a.ledger.slaves) || !slices.IsSortedFunc(a.ledger.sorted, func(s, t *account) int { return cmp.Compare(s.id, t.id) }) {
		return fmt.Errorf("%d slaves are known, %d in order", len(a.ledger.slaves), len(a.ledger.sorted))
	}
	fresh := newTree()
	fresh.names = a.tree.names
	var offered vector
	for _, s := range a.ledger.sorted {
		if err := s.check(); err != nil {
			return err
		}
		fresh.addTotal(s.total)
		for client, h := range s.holdings {
			fresh.give(fresh.client(client), h.sum(), false)
			offered = fresh.add(offered, h.offered.Quantities(), 1)
		}
	}
	if !equal(a.offered, offered) {
		return fmt.Errorf("%v is offered in all, the slaves say %v", a.offered, offered)
	}
	if err := a.checkTotals(&fresh); err != nil {
		return err
	}
	if err := a.checkClients(); err != nil {
		return err
	}
	return a.checkQueue()
}

// check takes everything that is held from the total, one by one, so that what is held twice is found.
func (s *account) check() error {
	rest := s.total
	for client, h := range s.holdings {
		if h.isEmpty() {
			return fmt.Errorf("slave %s: %v holds nothing, and is listed", s.id, client)
		}
		for _, part := range [2]struct {
			what string
			r    resource.Resources
		}{{"used", h.used}, {"offered", h.offered}} {
			left, ok := rest.Sub(part.r)
			if !ok {
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

// checkTotals compares what the tree has added up step by step with what is there.
func (a *Allocator) checkTotals(fresh *tree) error {
	if !equal(a.tree.total, fresh.total) {
		return fmt.Errorf("total of the cluster is %v, the slaves have %v", a.tree.total, fresh.total)
	}
	if !equal(a.tree.root.held, fresh.root.held) {
		return fmt.Errorf("%v is held in all, the slaves say %v", a.tree.root.held, fresh.root.held)
	}
	for _, name := range slices.Sorted(maps.Keys(a.tree.root.children)) {
		role, same := a.tree.root.children[name], fresh.root.children[name]
		if err := checkNode(&a.tree, fresh, role, same); err != nil {
			return fmt.Errorf("role %q: %w", name, err)
		}
		for _, id := range slices.Sorted(maps.Keys(role.children)) {
			var leaf *node
			if same != nil {
				leaf = same.children[id]
			}
			if err := checkNode(&a.tree, fresh, role.children[id], leaf); err != nil {
				return fmt.Errorf("%v: %w", role.children[id].client, err)
			}
		}
	}
	for client, leaf := range fresh.clients {
		if a.tree.clients[client] == nil && !leaf.held.isZero() {
			return fmt.Errorf("%v holds %v and is not in the tree", client, leaf.held)
		}
	}
	return nil
}

// checkNode compares a node with the one made from scratch, nil if that holds nothing.
func checkNode(t, fresh *tree, n, same *node) error {
	var held vector
	if same != nil {
		held = same.held
	}
	if !equal(n.held, held) {
		return fmt.Errorf("holds %v, the slaves say %v", n.held, held)
	}
	want := fresh.share(&node{held: held, weight: n.weight})
	if !t.stale && n.share != want {
		return fmt.Errorf("share is %v, by the definition %v", n.share, want)
	}
	if !t.stale && !slices.IsSortedFunc(n.order, (*node).less) {
		return fmt.Errorf("its children are not in order")
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
		case n.competes != competes, slices.Contains(n.parent.order, n) != competes:
			return fmt.Errorf("%v: competes is %v, by its framework %v", client, n.competes, competes)
		case n.parent.competes != (len(n.parent.order) > 0), slices.Contains(a.tree.root.order, n.parent) != n.parent.competes:
			return fmt.Errorf("role %q: competes is %v with %d clients that do", client.Role, n.parent.competes, len(n.parent.order))
		case !subscribed && len(n.filters) > 0:
			return fmt.Errorf("%v: is not subscribed and has filters", client)
		}
		for s, list := range n.filters {
			if a.ledger.slaves[s.id] != s || len(list) == 0 || len(list) > MaxFilters {
				return fmt.Errorf("%v: %d filters for slave %s", client, len(list), s.id)
			}
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
	if queued != len(a.queue) {
		return fmt.Errorf("%d slaves are marked as waiting, %d wait", queued, len(a.queue))
	}
	for _, s := range a.queue {
		if a.ledger.slaves[s.id] != s || !s.queued {
			return fmt.Errorf("slave %s waits and is unknown or not marked", s.id)
		}
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
		if at(a, i) != at(b, i) {
			return false
		}
	}
	return true
}
