package allocator

import (
	"cmp"
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

// Step looks at slaves that wait for it, as far as MaxLooks goes, and returns what it decided, in order. The offers are
// accounted for already.
func (a *Allocator) Step(now time.Time) []Offer {
	if len(a.tree.root.order) == 0 {
		return nil
	}
	if !now.Before(a.next) && a.ledger.isWalked() {
		a.beginCycle()
		a.next = now.Add(a.interval)
	}
	a.tree.refresh()
	w := walk{Allocator: a, now: now.UnixNano()}
	for w.looks < MaxLooks {
		s := a.nextSlave(&w.done)
		if s == nil {
			break
		}
		w.allocate(s)
	}
	clear(a.queue[:w.done]) // So that those who have gone can be forgotten.
	a.queue = a.queue[w.done:]
	return w.offers
}

// Deadline is when Step has something to do: now while slaves wait, else when all are to be looked at again; zero if
// nobody wants offers.
func (a *Allocator) Deadline(now time.Time) time.Time {
	switch {
	case len(a.tree.root.order) == 0:
		return time.Time{}
	case len(a.queue) > 0 || !a.ledger.isWalked() || a.next.Before(now):
		return now
	}
	return a.next
}

// isWalked reports whether no cycle is under way.
func (l *ledger) isWalked() bool { return l.walked == len(l.all) }

// beginCycle has all slaves looked at, in an order that the seed shuffles, so that no slave is always first.
func (a *Allocator) beginCycle() {
	l := &a.ledger
	l.walked = 0
	if a.shuffle != 0 {
		return
	}
	slices.SortFunc(l.all, func(s, t *account) int { return cmp.Compare(s.id, t.id) })
	for i, s := range l.all {
		s.place = i
	}
}

// nextSlave returns whom to look at: first who waits, of whom done have been looked at, then who is next in the cycle;
// nil if nobody is. The cycle is shuffled as it goes (Fisher and Yates), so that its beginning takes no time.
func (a *Allocator) nextSlave(done *int) *account {
	for *done < len(a.queue) {
		s := a.queue[*done]
		*done++
		if s.queued {
			s.queued = false
			return s
		}
	}
	l := &a.ledger
	if l.isWalked() {
		return nil
	}
	if a.shuffle != 0 {
		a.shuffle += 0x9e3779b97f4a7c15 // splitmix64
		l.swap(l.walked, l.walked+int(mix(a.shuffle)%uint64(len(l.all)-l.walked)))
	}
	l.walked++
	return l.all[l.walked-1]
}

// walk is one slice of work, and in it the search for who is to have a slave.
type walk struct {
	*Allocator
	now    int64 // in nanoseconds of Unix time
	looks  int
	done   int // of the queue
	offers []Offer

	// The search: on this slave, because of guarantees or of shares, and what was found.
	slave     *account
	guarantee bool
	client    *node
	found     resource.Resources
}

// allocate gives what is free on the slave: first to roles what they are guaranteed and lack; then all that is unreserved
// to the first client in the order that may and wants to have it, together with what is reserved for its role; then what
// is reserved for others to the first of theirs.
func (w *walk) allocate(s *account) {
	w.looks++
	if !s.isOffered() || s.free.IsEmpty() {
		return
	}
	w.tree.expire(s, w.now)
	w.slave = s
	first := len(w.offers)
	for _, guarantee := range [2]bool{true, false} {
		w.guarantee = guarantee
		for !s.free.IsEmpty() && !w.isVain() && w.search(w.tree.root) {
			w.offer(s, w.client, w.found)
			w.add(first)
		}
	}
}

// add makes an offer of what was found. There is one for each client and slave: those of this slave begin at first.
func (w *walk) add(first int) {
	w.looks += offerLooks
	for i := first; i < len(w.offers); i++ {
		if o := &w.offers[i]; o.Client == w.client.client {
			o.Resources = o.Resources.Add(w.found)
			return
		}
	}
	if w.offers == nil {
		waiting := 1 + len(w.queue) - w.done + len(w.ledger.all) - w.ledger.walked
		w.offers = make([]Offer, 0, min(waiting, MaxLooks/(offerLooks+1)+1))
	}
	w.offers = append(w.offers, Offer{w.client.client, w.slave.id, w.found})
}

// search finds the first in the order below n that is to be offered something of the slave, and what.
func (w *walk) search(n *node) bool {
	if n.full && !w.mayExceed() {
		return false
	}
	for _, child := range n.order {
		switch {
		case child.kind == ownNode:
			if w.ask(n, child) {
				return true
			}
		case w.guarantee && !child.needy && !w.isOwed(child):
		case w.search(child):
			return true
		}
	}
	return false
}

// isVain reports whether nobody is to be searched for: no guarantee needs anything, or all that there is is needed for
// guarantees.
func (w *walk) isVain() bool {
	switch {
	case w.guarantee:
		return w.tree.guarantees == 0 || w.tree.root.below.isZero()
	case w.tree.guarantees == 0 || w.mayExceed():
		return false
	}
	return w.tree.isTooLittle(w.spare)
}

// mayExceed reports whether an offer is possible also where quota leaves less than an offer usually has: quota is not
// about what is reserved or revocable, and some are content with less.
func (w *walk) mayExceed() bool {
	return len(w.slave.reserved) > 0 || w.slave.takes&Revocable != 0 || w.tree.ownMinimums > 0
}

// isOwed reports whether a role above this one lacks something of its guarantee.
func (w *walk) isOwed(role *node) bool {
	for n := role.parent; n.parent != nil; n = n.parent {
		if n.needy {
			return true
		}
	}
	return false
}

// ask finds the first client right in a role that wants what the role can have.
func (w *walk) ask(role, own *node) bool {
	w.looks++
	s := w.slave
	var all, r resource.Resources
	known := false
	for i, n := range own.order {
		if s.hasRefused(n) {
			continue
		}
		w.looks++
		if !known {
			known = true
			all = s.allocatableTo(role.name)
			if r = w.allowed(role, all); w.tree.ownMinimums == 0 && !w.isEnough(r) {
				return false
			}
		}
		mine, found := all, r
		if misses := n.misses(s); misses != 0 {
			if misses&wholeSlaves != 0 {
				continue
			}
			mine = understood(all, misses)
			found = w.allowed(role, mine)
		}
		found = s.withoutShared(n, found)
		if !w.isEnoughFor(n, found) || !w.isWanted(n) || len(s.filters) > 0 && s.refuses(n, w.now, mine, found) {
			continue
		}
		w.looks += i / 32
		w.client, w.found = n, found
		return true
	}
	w.looks += len(own.order) / 32
	return false
}

// isWanted reports whether the client's constraints admit the slave.
func (w *walk) isWanted(n *node) bool {
	if n.constraints == nil {
		return true
	}
	w.looks += constraintLooks * n.constraints.count()
	return n.constraints.admit(&w.slave.traits)
}

// usable returns what is free and could be offered to a client, were there no quota.
func (s *account) usable(n *node) resource.Resources {
	return understood(s.allocatableTo(n.client.Role), n.misses(s))
}

// withoutShared takes shared volumes away from a client that is offered them now.
func (s *account) withoutShared(n *node, r resource.Resources) resource.Resources {
	if s.takes&Shared == 0 {
		return r
	}
	for _, h := range s.holdings {
		if h.client == n {
			offered := h.offered.SharedOnly()
			return r.Filter(func(x resource.Resource) bool { return !x.Shared() || offered.Volume(x.Role(), x.VolumeID()).IsEmpty() })
		}
	}
	return r
}

// allocatableTo returns what is free and could be offered to a role, were there no quota.
func (s *account) allocatableTo(role string) resource.Resources {
	if len(s.reserved) == 0 {
		return s.free
	}
	return s.free.AllocatableTo(role)
}

// allowed is what quota leaves of what a role could be offered: what its limit leaves, and what no guarantee needs, or,
// in search of whom a guarantee is owed something, what is owed. Where a guarantee divides a slave, what is not guaranteed
// is divided in the same proportion: cpus without memory are of no use to anybody.
func (w *walk) allowed(role *node, r resource.Resources) resource.Resources {
	t := &w.tree
	if t.limits == 0 && t.guarantees == 0 {
		return emptyIf(w.guarantee, r)
	}
	isOwed, part := false, 1.0
	plain := t.measure(r).plain
	for i, amount := range plain {
		if amount == 0 {
			continue
		}
		room := w.spare(i)
		if owes := owed(role, i); w.guarantee && owes > 0 {
			isOwed = isOwed || limitRoom(role, i) > 0
			room = owes // It is kept for this one.
		}
		if room < amount {
			part = min(part, float64(max(0, room))/float64(amount))
		}
	}
	if w.guarantee && !isOwed {
		return resource.Resources{}
	}
	for i, amount := range plain {
		if allowed := max(0, min(int64(part*float64(amount)), limitRoom(role, i))); allowed < amount {
			r = w.cut(r, i, amount-allowed)
		}
	}
	return r
}

func emptyIf(empty bool, r resource.Resources) resource.Resources {
	if empty {
		return resource.Resources{}
	}
	return r
}

// cut takes so many thousandths from what is unreserved of a scalar resource; if that is not in one piece that can be
// divided, all of it.
func (w *walk) cut(r resource.Resources, index int, thousandths int64) resource.Resources {
	isMeant := func(x resource.Resource) bool {
		return x.Kind() == resource.KindScalar && x.Role() == resource.Unreserved && !x.Revocable() && w.tree.names[x.Name()] == index
	}
	for x := range r.All() {
		if isMeant(x) {
			if rest, ok := r.Sub(resource.Scalar(x.Name(), thousandths)); ok {
				return rest
			}
		}
	}
	return r.Filter(func(x resource.Resource) bool { return !isMeant(x) })
}

// minimumOf returns what an offer to the client must have one of.
func (a *Allocator) minimumOf(n *node) []resource.Quantities {
	if n.ownMinimum {
		return n.minimum
	}
	return a.minimum
}

// isEnough reports whether that is enough for an offer of the slave to a client that has no minimum of its own.
func (w *walk) isEnough(r resource.Resources) bool {
	if r.IsEmpty() || !r.Is(w.slave.free) || w.slave.takes&Shared != 0 {
		return isEnough(w.slave.exclusive(r), w.minimum)
	}
	m := w.tree.weigh(w.slave, r)
	return !w.tree.isTooLittle(m.all.at)
}

func (w *walk) isEnoughFor(n *node, r resource.Resources) bool {
	if n.ownMinimum {
		return isEnough(w.slave.exclusive(r), n.minimum)
	}
	return w.isEnough(r)
}

// isEnough reports whether it is enough for an offer.
func isEnough(r resource.Resources, minimum []resource.Quantities) bool {
	switch {
	case r.IsEmpty():
		return false
	case len(minimum) == 0:
		return true
	}
	for _, set := range minimum {
		if hasAll(r, set) {
			return true
		}
	}
	return false
}

func hasAll(r resource.Resources, set resource.Quantities) bool {
	for _, q := range set {
		if r.Get(q.Name) < q.Thousandths {
			return false
		}
	}
	return true
}
