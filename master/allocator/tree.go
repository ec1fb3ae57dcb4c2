package allocator

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// tree orders roles, and in each role its clients, by dominant share:
//
//	root ─ eng ─┬─ .       ─ clients of eng
//	            └─ eng/web ─ . ─ clients of eng/web
//
// A role competes with its siblings with all that is held below it; the clients that are in it itself stand together as
// one of its children. Invariant: a node is there as long as something is held or reserved below it, somebody subscribes
// below it, or it has a quota.
type tree struct {
	root     *node
	roles    map[string]*node // by their whole path
	clients  map[Client]*node
	weights  map[string]float64 // of roles, where it is not 1
	ranks    uint64             // the seed of ranks; 0: none
	excluded []string           // names of resources that make no share

	names map[string]int // the index of each scalar resource in the vectors
	first []string       // the first of them by index, which are found sooner than in names
	fair  []bool         // by the same index: it makes a share
	total vector         // of all slaves
	// stale says that total has changed, so that shares and orders are to be made anew before they count.
	stale bool

	guarantees int // how many roles have one
	limits     int
	minimum    []vector // an offer has all of one of these at least; without any, everything is enough
	// ownMinimums counts the clients that have a minimum of their own.
	ownMinimums int

	byIndex []*node  // clients by index; nil: nobody has it
	indices []uint32 // that nobody has
	life    uint64   // of clients' filters; see node.life

	all, plain vector // of measure
}

// node is the root, a role, a role's own clients together, or a client.
type node struct {
	name   string // of a role its whole path, of its own clients ".", of a client its framework
	kind   kind
	parent *node
	weight float64
	rank   uint64 // breaks ties, after given
	held   vector // used and offered, of all below
	given  uint64 // how often something was offered to it: of two with equal shares the one with less comes first
	share  float64

	children map[string]*node // none of clients
	own      *node            // of a role: its own clients, nil if it has none
	order    []*node          // the children that compete, by less; Invariant: sorted unless tree.stale
	competes bool             // it is in its parent's order

	quota // of roles

	// Of clients:
	client      Client
	subscribed  bool // its framework asks for it; others only hold something
	holdings    int  // how many slaves it holds something of
	can         Abilities
	constraints Constraints
	minimum     []resource.Quantities // if ownMinimum, in the place of Allocator.minimum
	ownMinimum  bool
	index       uint32
	life        uint64 // its filters count while they are of this life
	filtered    bool   // it has refused something in this life
}

type kind uint8

const (
	roleNode kind = iota // the root is one
	ownNode
	clientNode
)

const ownName = "."

// firstNames is how many resources are looked for by name one after the other: cpus, mem, disk and gpus are all that most
// clusters have.
const firstNames = 4

func newTree(excluded []string) tree {
	return tree{
		root:     &node{children: map[string]*node{}, weight: 1},
		roles:    map[string]*node{},
		clients:  map[Client]*node{},
		weights:  map[string]float64{},
		names:    map[string]int{},
		excluded: excluded,
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
	t.root.each(func(n *node) { n.rank = t.rank(n) })
	t.stale = true
}

// each calls do for the node and all below it.
func (n *node) each(do func(*node)) {
	do(n)
	for _, child := range n.children {
		child.each(do)
	}
}

// rank mixes a name with the seed (FNV-1a, then the finalizer of splitmix64): the same on every machine.
func (t *tree) rank(n *node) uint64 {
	if t.ranks == 0 {
		return 0
	}
	h := uint64(14695981039346656037) ^ t.ranks
	for i := range len(n.name) {
		h = (h ^ uint64(n.name[i])) * 1099511628211
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
	if n := t.roles[role]; n != nil {
		was := t.lift(n)
		n.weight = weight
		t.settle(n, was)
	}
}

// attach puts a new node below its parent.
func (t *tree) attach(n *node) *node {
	n.rank = t.rank(n)
	n.parent.children[n.name] = n
	return n
}

// role returns the node of a role, which it makes if need be, with those above it.
func (t *tree) role(path string) *node {
	if n := t.roles[path]; n != nil {
		return n
	}
	parent := t.root
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		parent = t.role(path[:i])
	}
	weight, ok := t.weights[path]
	if !ok {
		weight = 1
	}
	n := t.attach(&node{name: path, parent: parent, weight: weight, children: map[string]*node{}})
	t.roles[path] = n
	return n
}

// client returns the client's node, which it makes if need be.
func (t *tree) client(c Client) *node {
	if n := t.clients[c]; n != nil {
		return n
	}
	role := t.role(c.Role)
	if role.own == nil {
		role.own = t.attach(&node{name: ownName, kind: ownNode, parent: role, weight: 1, children: map[string]*node{}})
	}
	t.life++
	n := t.attach(&node{name: c.Framework, kind: clientNode, parent: role.own, weight: 1, client: c, index: t.newIndex(), life: t.life})
	t.byIndex[n.index] = n
	t.clients[c] = n
	return n
}

func (t *tree) newIndex() uint32 {
	if last := len(t.indices) - 1; last >= 0 {
		i := t.indices[last]
		t.indices = t.indices[:last]
		return i
	}
	t.byIndex = append(t.byIndex, nil)
	return uint32(len(t.byIndex) - 1)
}

// isIdle reports whether the tree can do without the node.
func (n *node) isIdle() bool {
	return n.parent != nil && len(n.children) == 0 && !n.subscribed && n.holdings == 0 && !n.quota.isSet() && n.charged.isZero()
}

// maybeForget removes a node that nothing is below of any more, and then those above it.
func (t *tree) maybeForget(n *node) {
	for n.isIdle() {
		p := n.parent
		delete(p.children, n.name)
		switch n.kind {
		case clientNode:
			delete(t.clients, n.client)
			t.byIndex[n.index] = nil
			t.indices = append(t.indices, n.index)
		case ownNode:
			p.own = nil
		case roleNode:
			delete(t.roles, n.name)
		}
		n = p
	}
}

// compete brings a client into the order of its role, or takes it out. What is above it competes while one below does.
func (t *tree) compete(n *node, competes bool) {
	for n.parent != nil && n.competes != competes {
		n.enter(competes)
		n = n.parent
		competes = len(n.order) > 0
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

// measured is how much resources are by the index of their names: of everything, and of what is unreserved and cannot be
// taken away, which is what quota is about. Shared volumes are nobody's in particular and do not count. It counts until the
// next call of measure.
type measured struct{ all, plain vector }

func (t *tree) measure(r resource.Resources) measured {
	clear(t.all)
	clear(t.plain)
	for x := range r.All() {
		if x.Kind() != resource.KindScalar || x.Shared() {
			continue
		}
		i, amount := t.name(x.Name()), x.Thousandths()
		t.all[i] += amount
		if x.Role() == resource.Unreserved && !x.Revocable() {
			t.plain[i] += amount
		}
	}
	return measured{t.all, t.plain}
}

// name returns the index of a resource's name.
func (t *tree) name(name string) int {
	for i, known := range t.first {
		if known == name {
			return i
		}
	}
	i, ok := t.names[name]
	if !ok {
		i = len(t.names)
		t.names[name] = i
		if i < firstNames {
			t.first = append(t.first, name)
		}
		t.fair = append(t.fair, !slices.Contains(t.excluded, name))
		t.all, t.plain = append(t.all, 0), append(t.plain, 0)
	}
	return i
}

// move accounts for resources that a client holds from now on (sign 1), or no longer (sign -1). offered counts an offer.
func (t *tree) move(leaf *node, m measured, sign int64, offered bool) {
	for n := leaf; n != nil; n = n.parent {
		was := t.lift(n)
		n.held.add(m.all, sign)
		if offered {
			n.given++
		}
		if n.kind == roleNode {
			n.charged.add(m.plain, sign)
			t.renewNeed(n)
			t.renewFull(n)
		}
		t.settle(n, was)
	}
}

// lift returns the place of a node among its siblings before something changes that decides on it, -1 if that does not
// matter.
func (t *tree) lift(n *node) int {
	if n.parent == nil || t.stale || !n.competes || len(n.parent.order) == 1 {
		return -1
	}
	if n.parent.order[0] == n {
		return 0 // As is who is offered something, more often than not.
	}
	i, found := slices.BinarySearchFunc(n.parent.order, n, (*node).less)
	if !found {
		panic("allocator: " + n.name + " is not where its share is")
	}
	return i
}

// settle makes a node's share anew and moves it from the place where it was to where it belongs.
func (t *tree) settle(n *node, i int) {
	if t.stale || n.parent == nil {
		return
	}
	n.share = t.share(n)
	if i < 0 {
		return
	}
	order := n.parent.order
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
		if amount > 0 && t.total[i] > 0 && t.fair[i] {
			share = max(share, float64(amount)/float64(t.total[i]))
		}
	}
	return share / n.weight
}

// changeTotal accounts for the resources of a slave that comes (sign 1) or goes (sign -1).
func (t *tree) changeTotal(r resource.Resources, sign int64) {
	t.total.add(t.measure(r).all, sign)
	t.stale = true
	for x := range r.All() {
		if x.Role() == resource.Unreserved || x.Revocable() || x.Kind() != resource.KindScalar {
			continue
		}
		// What is reserved for a role is charged to it, whoever holds it.
		i := t.name(x.Name())
		leaf := t.role(x.Role())
		for n := leaf; n != nil; n = n.parent {
			n.charged.addAt(i, sign*x.Thousandths())
			t.renewNeed(n)
			t.renewFull(n)
		}
		t.maybeForget(leaf)
	}
}

// refresh makes shares and orders anew if the cluster has changed.
func (t *tree) refresh() {
	if !t.stale {
		return
	}
	t.stale = false
	t.root.each(func(n *node) {
		if n.parent != nil {
			n.share = t.share(n)
		}
	})
	t.root.each(func(n *node) { slices.SortFunc(n.order, (*node).less) })
}

// Share is where a role or a client stands.
type Share struct {
	Role      string
	Framework string // empty: the role as a whole
	Share     float64
	Weight    float64
	Competes  bool
}

// Shares returns every role with its clients after it, by name. Those of a role include those of the roles below it.
func (a *Allocator) Shares() []Share {
	a.tree.refresh()
	var list []Share
	for _, name := range sortedKeys(a.tree.roles) {
		role := a.tree.roles[name]
		list = append(list, Share{Role: name, Share: role.share, Weight: role.weight, Competes: role.competes})
		if role.own == nil {
			continue
		}
		for _, id := range sortedKeys(role.own.children) {
			c := role.own.children[id]
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

// isWithin reports whether a role is another or lies below it.
func isWithin(role, parent string) bool { return role == parent || mesos.IsSubrole(role, parent) }
