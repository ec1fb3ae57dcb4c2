package allocator

import (
	"math"
	"slices"

	"github.com/stoa-project/stoa/proto/resource"
)

// Quota is what a role, with all roles below it, is sure to get, and the most that it can have. Both are about resources
// that are not revocable: those that it holds, and those that are reserved for it whether held or not. What is not named
// has no guarantee, or no limit.
type Quota struct {
	Guarantees, Limits resource.Quantities
}

// noLimit is the limit of what has none.
const noLimit = math.MaxInt64

// quota is the quota of a role at work.
type quota struct {
	charged   vector // what counts against it; of every role
	guarantee vector
	limit     []int64 // by index, noLimit for what has none; what is missing has none
	// need is what the role has to be kept room for: what its own guarantee lacks, or what those of the roles below it
	// lack together, if that is more.
	need   vector
	below  vector // the sum of need of the roles right below; of the root it is the headroom that the cluster must keep
	needy  bool   // need is not zero
	full   bool   // the limit leaves so little of what is not reserved that it is never enough for an offer
	stated Quota  // as it was set
}

func (q *quota) isSet() bool { return len(q.stated.Guarantees) > 0 || len(q.stated.Limits) > 0 }

// lacks is what the role's own guarantee lacks of a resource.
func (q *quota) lacks(i int) int64 { return max(0, q.guarantee.at(i)-q.charged.at(i)) }

// room is what the limit leaves of a resource; it may be below 0.
func (q *quota) room(i int) int64 {
	if i >= len(q.limit) || q.limit[i] == noLimit {
		return noLimit
	}
	return q.limit[i] - q.charged.at(i)
}

// SetQuota gives a role its quota; the zero Quota takes it away.
func (a *Allocator) SetQuota(role string, q Quota) {
	t := &a.tree
	n := t.role(role)
	t.countQuota(&n.quota, -1)
	n.stated = q
	n.guarantee = t.vector(q.Guarantees)
	n.limit = nil
	for _, x := range q.Limits {
		for i := t.name(x.Name); len(n.limit) <= i; {
			n.limit = append(n.limit, noLimit)
		}
		n.limit[t.name(x.Name)] = x.Thousandths
	}
	t.guarantees++ // So that needs are made anew also if this was the last one.
	for m := n; m != nil; m = m.parent {
		t.renewNeed(m)
	}
	t.guarantees--
	t.countQuota(&n.quota, 1)
	t.renewFull(n)
	t.maybeForget(n)
	a.lookAtAll()
}

func (t *tree) countQuota(q *quota, sign int) {
	if len(q.stated.Guarantees) > 0 {
		t.guarantees += sign
	}
	if len(q.stated.Limits) > 0 {
		t.limits += sign
	}
}

// renewNeed makes need anew after something that it follows from has changed; it changes below of the role above, whose
// need is then to be made anew too.
func (t *tree) renewNeed(n *node) {
	if t.guarantees == 0 || n.parent == nil {
		return
	}
	n.needy = false
	for i := range t.fair {
		need := max(n.lacks(i), n.below.at(i))
		if change := need - n.need.at(i); change != 0 {
			n.need.addAt(i, change)
			n.parent.below.addAt(i, change)
		}
		n.needy = n.needy || need > 0
	}
}

// renewFull makes full anew after what is charged has changed.
func (t *tree) renewFull(n *node) {
	if n.full || n.limit != nil {
		n.full = t.isTooLittle(n.room)
	}
}

// isTooLittle reports whether no offer can be made if so much is left of each resource, by the minimum that counts for
// clients that have none of their own.
func (t *tree) isTooLittle(left func(int) int64) bool {
	return len(t.minimum) > 0 && !slices.ContainsFunc(t.minimum, func(set vector) bool {
		for i, amount := range set {
			if left(i) < amount {
				return false
			}
		}
		return true
	})
}

// spare is how much of a resource may be given away so that what is left covers all guarantees.
func (a *Allocator) spare(i int) int64 {
	need := a.tree.root.below.at(i)
	if need == 0 {
		return noLimit
	}
	return a.available.at(i) - need
}

// limitRoom is how much of a resource the limits of a role and of those above it leave.
func limitRoom(role *node, i int) int64 {
	room := int64(noLimit)
	for n := role; n.parent != nil; n = n.parent {
		room = min(room, n.room(i))
	}
	return room
}

// owed is how much of a resource a role may have because of a guarantee, its own or of a role above it, without what
// others below that one are to have.
func owed(role *node, i int) int64 {
	owed := int64(0)
	branch := vector(nil)
	for n := role; n.parent != nil; n = n.parent {
		owed = max(owed, n.lacks(i)-(n.below.at(i)-branch.at(i)))
		branch = n.need
	}
	return owed
}

// Consumption returns what counts against the quota of a role.
func (a *Allocator) Consumption(role string) resource.Quantities {
	if n := a.tree.roles[role]; n != nil {
		return a.tree.quantities(n.charged)
	}
	return nil
}

// OverLimit returns by how much a role has more than its limit.
func (a *Allocator) OverLimit(role string) resource.Quantities {
	n := a.tree.roles[role]
	if n == nil {
		return nil
	}
	var over vector
	for i := range n.limit {
		over.addAt(i, max(0, -n.room(i)))
	}
	return a.tree.quantities(over)
}

// LacksHeadroom returns by how much what is free is less than what guarantees need.
func (a *Allocator) LacksHeadroom() resource.Quantities {
	var lack vector
	for i := range a.tree.root.below {
		lack.addAt(i, max(0, -a.spare(i)))
	}
	return a.tree.quantities(lack)
}
