package allocator

import (
	"cmp"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/proto/resource"
)

// tree orders roles, and in each role its clients, by dominant share. The two levels are nodes of one kind.
type tree struct {
	root    *node
	clients map[Client]*node
	weights map[string]float64 // of roles, where it is not 1
	ranks   uint64             // the seed of ranks; 0: none

	names map[string]int // the index of each scalar resource in the vectors
	total vector         // of all slaves
	// stale says that total has changed, so that shares and orders are to be made anew before they count.
	stale bool
}

// vector holds thousandths of scalar resources, by the index that the tree gave their names. It may be shorter than
// there are names.
type vector []int64

// node is the root, a role or a client.
type node struct {
	name   string
	parent *node
	weight float64
	rank   uint64 // breaks ties, after given
	held   vector // used and offered, of all below
	given  uint64 // how often something was offered to it: of two with equal shares the one with less comes first
	share  float64

	children   map[string]*node // of the root and of roles
	order      []*node          // the children that compete, by less; Invariant: sorted unless tree.stale
	competes   bool             // it is in its parent's order
	subscribed bool             // a client that its framework asks for; others only hold something

	client  Client
	filters map[*account][]filter
}

func newTree() tree {
	return tree{
		root:    &node{children: map[string]*node{}},
		clients: map[Client]*node{},
		weights: map[string]float64{},
		names:   map[string]int{},
	}
}

// less is the order of siblings: who has less of its fair share, then who was offered less often, then as the seed says.
func (n *node) less(m *node) int {
	switch {
	case n.share != m.share:
		return cmp.Compare(n.share, m.share)
	case n.given != m.given:
		return cmp.Compare(n.given, m.given)
	case n.rank != m.rank:
		return cmp.Compare(n.rank, m.rank)
	}
	return cmp.Compare(n.name, m.name)
}

func compareClients(a, b Client) int {
	return cmp.Or(cmp.Compare(a.Framework, b.Framework), cmp.Compare(a.Role, b.Role))
}

func (t *tree) seed(seed uint64) {
	t.ranks = seed
	for _, role := range t.root.children {
		role.rank = t.rank(role.name)
		for _, client := range role.children {
			client.rank = t.rank(client.name)
		}
	}
	t.stale = true
}

// rank mixes a name with the seed (FNV-1a, then the finalizer of splitmix64): the same on every machine.
func (t *tree) rank(name string) uint64 {
	if t.ranks == 0 {
		return 0
	}
	h := uint64(14695981039346656037) ^ t.ranks
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func (t *tree) setWeight(role string, weight float64) {
	if weight == 1 {
		delete(t.weights, role)
	} else {
		t.weights[role] = weight
	}
	if n := t.root.children[role]; n != nil {
		t.change(n, func() { n.weight = weight })
	}
}

// client returns the client's node, which it makes if need be.
func (t *tree) client(c Client) *node {
	if n := t.clients[c]; n != nil {
		return n
	}
	role := t.root.children[c.Role]
	if role == nil {
		weight, ok := t.weights[c.Role]
		if !ok {
			weight = 1
		}
		role = &node{name: c.Role, parent: t.root, weight: weight, rank: t.rank(c.Role), children: map[string]*node{}}
		t.root.children[c.Role] = role
	}
	n := &node{name: c.Framework, parent: role, weight: 1, rank: t.rank(c.Framework), client: c}
	role.children[c.Framework] = n
	t.clients[c] = n
	return n
}

func (t *tree) subscribe(c Client) { t.client(c).subscribed = true }

func (t *tree) unsubscribe(c Client) {
	t.compete(c, false)
	n := t.client(c)
	n.subscribed = false
	n.filters = nil
	t.maybeForget(n)
}

// maybeForget removes a client that neither is subscribed nor holds anything, and a role without clients.
func (t *tree) maybeForget(n *node) {
	if n.subscribed || !n.held.isZero() {
		return
	}
	delete(t.clients, n.client)
	role := n.parent
	delete(role.children, n.name)
	if len(role.children) == 0 {
		delete(t.root.children, role.name)
	}
}

// compete brings a client into the order of its role, or takes it out; a role competes while one of its clients does.
func (t *tree) compete(c Client, competes bool) {
	n := t.client(c)
	if n.competes == competes {
		return
	}
	n.enter(competes)
	if role := n.parent; role.competes != (len(role.order) > 0) {
		role.enter(len(role.order) > 0)
	}
}

func (n *node) enter(competes bool) {
	n.competes = competes
	p := n.parent
	if !competes {
		p.order = slices.DeleteFunc(p.order, func(m *node) bool { return m == n })
		return
	}
	// In a stale order the place is any: it is sorted before it counts.
	i, _ := slices.BinarySearchFunc(p.order, n, (*node).less)
	p.order = slices.Insert(p.order, i, n)
}

// give accounts for resources that a client now holds; offered counts an offer.
func (t *tree) give(leaf *node, r resource.Resources, offered bool) {
	q := r.Quantities()
	for n := leaf; n != nil; n = n.parent {
		t.change(n, func() {
			n.held = t.add(n.held, q, 1)
			if offered {
				n.given++
			}
		})
	}
}

// take accounts for resources that a client has no longer.
func (t *tree) take(c Client, r resource.Resources) {
	leaf := t.client(c)
	q := r.Quantities()
	for n := leaf; n != nil; n = n.parent {
		t.change(n, func() { n.held = t.add(n.held, q, -1) })
	}
	t.maybeForget(leaf)
}

// change changes what places a node among its siblings, and moves it to its new place.
func (t *tree) change(n *node, how func()) {
	if n.parent == nil || t.stale || !n.competes {
		how()
		if !t.stale {
			n.share = t.share(n)
		}
		return
	}
	order := n.parent.order
	i, found := slices.BinarySearchFunc(order, n, (*node).less)
	if !found {
		panic("allocator: " + n.name + " is not where its share is")
	}
	how()
	n.share = t.share(n)
	if i+1 < len(order) && n.less(order[i+1]) > 0 {
		j, _ := slices.BinarySearchFunc(order[i+1:], n, (*node).less)
		copy(order[i:], order[i+1:i+1+j])
		order[i+j] = n
	} else if i > 0 && n.less(order[i-1]) < 0 {
		j, _ := slices.BinarySearchFunc(order[:i], n, (*node).less)
		copy(order[j+1:i+1], order[j:i])
		order[j] = n
	}
}

// share is the weighted dominant share of a node: the largest of its parts of the cluster's scalar resources, divided by
// its weight (Ghodsi et al. 2011, §4.3 for weights).
func (t *tree) share(n *node) float64 {
	share := 0.0
	for i, amount := range n.held {
		if amount > 0 && t.total[i] > 0 {
			share = max(share, float64(amount)/float64(t.total[i]))
		}
	}
	return share / n.weight
}

func (t *tree) addTotal(r resource.Resources) {
	t.total = t.add(t.total, r.Quantities(), 1)
	t.stale = true
}

func (t *tree) subTotal(r resource.Resources) {
	t.total = t.add(t.total, r.Quantities(), -1)
	t.stale = true
}

// refresh makes shares and orders anew if the cluster has changed.
func (t *tree) refresh() {
	if !t.stale {
		return
	}
	t.stale = false
	for _, role := range t.root.children {
		role.share = t.share(role)
		for _, client := range role.children {
			client.share = t.share(client)
		}
		slices.SortFunc(role.order, (*node).less)
	}
	slices.SortFunc(t.root.order, (*node).less)
}

// forgetSlave drops what clients refused on a slave.
func (t *tree) forgetSlave(s *account) {
	for _, n := range t.clients {
		delete(n.filters, s)
	}
}

// add returns v + sign × q, in v's memory where it fits.
func (t *tree) add(v vector, q resource.Quantities, sign int64) vector {
	for _, x := range q {
		i, ok := t.names[x.Name]
		if !ok {
			i = len(t.names)
			t.names[x.Name] = i
		}
		for len(v) <= i {
			v = append(v, 0)
		}
		v[i] += sign * x.Thousandths
	}
	return v
}

// at is an amount of a vector whose end may be missing.
func at(v vector, i int) int64 {
	if i < len(v) {
		return v[i]
	}
	return 0
}

func (v vector) isZero() bool { return !slices.ContainsFunc(v, func(x int64) bool { return x != 0 }) }

// Share is where a role or a client stands.
type Share struct {
	Role      string
	Framework string // empty: the role as a whole
	Share     float64
	Weight    float64
	Competes  bool
}

// Shares returns every role with its clients after it, by name.
func (a *Allocator) Shares() []Share {
	a.tree.refresh()
	var list []Share
	for _, name := range slices.Sorted(maps.Keys(a.tree.root.children)) {
		role := a.tree.root.children[name]
		list = append(list, Share{Role: name, Share: role.share, Weight: role.weight, Competes: role.competes})
		for _, id := range slices.Sorted(maps.Keys(role.children)) {
			c := role.children[id]
			list = append(list, Share{Role: name, Framework: id, Share: c.share, Weight: c.weight, Competes: c.competes})
		}
	}
	return list
}

// Weight returns the weight of a role.
func (a *Allocator) Weight(role string) float64 {
	if weight, ok := a.tree.weights[role]; ok {
		return weight
	}
	return 1
}
