package allocator

import (
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

// Step looks at slaves that wait for it, at most MaxLooks times, and returns what it decided, in order. The offers are
// accounted for already.
func (a *Allocator) Step(now time.Time) []Offer {
	if len(a.tree.root.order) == 0 {
		return nil
	}
	if !now.Before(a.next) {
		a.lookAtAll()
		a.next = now.Add(a.interval)
	}
	a.tree.refresh()
	var offers []Offer
	looks := 0
	done := 0
	for done < len(a.queue) && looks < MaxLooks {
		s := a.queue[done]
		done++
		s.queued = false
		offers = a.allocate(now, s, offers, &looks)
	}
	a.queue = slices.Delete(a.queue, 0, done)
	return offers
}

// Deadline is when Step has something to do: now while slaves wait, else when all are to be looked at again; zero if
// nobody wants offers.
func (a *Allocator) Deadline(now time.Time) time.Time {
	switch {
	case len(a.tree.root.order) == 0:
		return time.Time{}
	case len(a.queue) > 0 || a.next.Before(now):
		return now
	}
	return a.next
}

// lookAtAll has all slaves looked at: those that wait already first, then the others in an order that the seed shuffles,
// so that no slave is always first.
func (a *Allocator) lookAtAll() {
	first := len(a.queue)
	for _, s := range a.ledger.sorted {
		if s.active && !s.free.IsEmpty() {
			a.look(s)
		}
	}
	if a.shuffle == 0 {
		return
	}
	rest := a.queue[first:]
	for i := len(rest) - 1; i > 0; i-- {
		a.shuffle += 0x9e3779b97f4a7c15 // splitmix64
		j := int(mix(a.shuffle) % uint64(i+1))
		rest[i], rest[j] = rest[j], rest[i]
	}
}

// allocate gives what is free on the slave: all that is unreserved to the first client in the order that may and wants to
// have it, together with what is reserved for its role; then what is reserved for others to the first of theirs.
func (a *Allocator) allocate(now time.Time, s *account, offers []Offer, looks *int) []Offer {
	*looks++
	for s.active && !s.free.IsEmpty() {
		n, r := a.first(now, s, looks)
		if n == nil {
			break
		}
		s.offer(n.client, r)
		a.offered = a.tree.add(a.offered, r.Quantities(), 1)
		a.tree.give(n, r, true)
		offers = append(offers, Offer{n.client, s.id, r})
		*looks += offerLooks
	}
	return offers
}

// first returns who is to be offered something of the slave, and what; nil if nobody is.
func (a *Allocator) first(now time.Time, s *account, looks *int) (*node, resource.Resources) {
	for _, role := range a.tree.root.order {
		*looks++
		r := s.free
		if len(s.reserved) > 0 {
			r = r.AllocatableTo(role.name)
		}
		if !a.allocatable(r) {
			continue
		}
		for _, n := range role.order {
			*looks++
			if !n.refuses(now, s, r) {
				return n, r
			}
		}
	}
	return nil, resource.Resources{}
}

// allocatable reports whether it is enough for an offer.
func (a *Allocator) allocatable(r resource.Resources) bool {
	if r.IsEmpty() {
		return false
	}
	return slices.ContainsFunc(a.minimum, func(set resource.Quantities) bool {
		return !slices.ContainsFunc(set, func(q resource.Quantity) bool { return r.Get(q.Name) < q.Thousandths })
	})
}
