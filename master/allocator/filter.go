package allocator

import (
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

// filter is one refusal: until then the client is not offered these resources of the slave, or a part of them.
type filter struct {
	until   time.Time
	refused resource.Resources
	// fits says at which count of the slave's grown the free resources were seen to lie within refused. As long as
	// nothing has been freed since, they still do.
	fits uint64
}

// Refuse keeps resources of a slave, or a part of them, from being offered to the client again before until. Whoever has
// more on offer for it is not held back.
func (a *Allocator) Refuse(client Client, slave string, refused resource.Resources, until time.Time) {
	n := a.tree.clients[client]
	if n == nil || !n.subscribed || refused.IsEmpty() {
		return
	}
	s := a.ledger.slave(slave)
	list := n.filters[s]
	for _, f := range list {
		if !f.until.Before(until) && f.refused.Contains(refused) {
			return // It adds nothing.
		}
	}
	list = slices.DeleteFunc(list, func(f filter) bool { return !f.until.After(until) && refused.Contains(f.refused) })
	if len(list) >= MaxFilters {
		first := slices.IndexFunc(list, func(f filter) bool {
			return !slices.ContainsFunc(list, func(g filter) bool { return g.until.Before(f.until) })
		})
		list = slices.Delete(list, first, first+1)
	}
	if n.filters == nil {
		n.filters = map[*account][]filter{}
	}
	n.filters[s] = append(list, filter{until: until, refused: refused})
}

// NextCycle is when all slaves are looked at next: what is refused until then is not offered twice in one cycle.
func (a *Allocator) NextCycle(now time.Time) time.Time {
	if a.next.After(now) {
		return a.next
	}
	return now.Add(a.interval)
}

// refuses reports whether the client has refused what would be offered to it.
func (n *node) refuses(now time.Time, s *account, offered resource.Resources) bool {
	list := n.filters[s]
	if len(list) == 0 {
		return false
	}
	for i := 0; i < len(list); i++ {
		f := &list[i]
		if !now.Before(f.until) {
			list = slices.Delete(list, i, i+1)
			i--
			continue
		}
		if f.fits == s.grown+1 || f.refused.Contains(offered) {
			f.fits = s.grown + 1 // Never 0, which is what a new filter has.
			return true
		}
	}
	if len(list) == 0 {
		delete(n.filters, s)
	} else {
		n.filters[s] = list
	}
	return false
}
