package allocator

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

// refusals is what clients refused of a slave. A client that asks nobody is looked up in refusers first, which costs a
// few nanoseconds; filters says exactly what was refused.
type refusals struct {
	filters []filter // sorted by index; of one client at most MaxFilters
	// refusers has the index of each client that is known to refuse all of what is free that it could have: a bit each.
	// Bits go when more becomes free (account.grow) and when the first of the filters that they follow from ends.
	refusers []uint64
	until    int64 // when that is, in nanoseconds; never: math.MaxInt64
}

// filter is one refusal: until then the client is not offered these resources of the slave, or a part of them.
type filter struct {
	index   uint32 // of the client
	fits    uint32 // count of account.grown, plus 1, at which all that the client could have was seen to lie within refused
	life    uint64 // of the client; it does not count when the client is of another
	until   int64  // in nanoseconds of Unix time
	refused resource.Resources
}

func (f *filter) isOf(n *node) bool { return f.index == n.index && f.life == n.life }

// grow: more has become free.
func (s *account) grow() {
	s.grown++
	clear(s.refusers)
	s.until = math.MaxInt64
}

// Refuse keeps resources of a slave, or a part of them, from being offered to the client again before until. Whoever has
// more on offer for it is not held back.
func (a *Allocator) Refuse(client Client, slave string, refused resource.Resources, until time.Time) {
	n := a.tree.clients[client]
	if n == nil || !n.subscribed || refused.IsEmpty() {
		return
	}
	s := a.ledger.slave(slave)
	new := filter{index: n.index, life: n.life, until: until.UnixNano(), refused: refused}
	begin, end := s.filtersOf(n)
	for _, f := range s.filters[begin:end] {
		if f.isOf(n) && f.until >= new.until && f.refused.Contains(refused) {
			return // It adds nothing.
		}
	}
	kept := begin
	for _, f := range s.filters[begin:end] {
		if f.isOf(n) && (f.until > new.until || !refused.Contains(f.refused)) {
			s.filters[kept] = f
			kept++
		}
	}
	s.filters = slices.Delete(s.filters, kept, end)
	if kept-begin >= MaxFilters {
		first := begin
		for i := begin; i < kept; i++ {
			if s.filters[i].until < s.filters[first].until {
				first = i
			}
		}
		s.filters = slices.Delete(s.filters, first, first+1)
	}
	n.filtered = true
	if refused.Contains(s.usable(n)) {
		new.fits = s.grown + 1
		s.remember(n, new.until)
	}
	s.filters = slices.Insert(s.filters, begin, new)
}

// filtersOf returns where the filters of a client's index begin and end.
func (s *account) filtersOf(n *node) (begin, end int) {
	begin, _ = slices.BinarySearchFunc(s.filters, n.index, func(f filter, index uint32) int { return cmp.Compare(f.index, index) })
	end = begin
	for end < len(s.filters) && s.filters[end].index == n.index {
		end++
	}
	return begin, end
}

// remember: until then the client refuses all that is free and that it could have.
func (s *account) remember(n *node, until int64) {
	word := int(n.index / 64)
	for len(s.refusers) <= word {
		s.refusers = append(s.refusers, 0)
	}
	s.refusers[word] |= 1 << (n.index % 64)
	s.until = min(s.until, until)
}

// hasRefused reports whether the client is known to refuse all that it could have.
func (s *account) hasRefused(n *node) bool {
	word := int(n.index / 64)
	return word < len(s.refusers) && s.refusers[word]>>(n.index%64)&1 == 1
}

// refuses reports whether the client has refused what would be offered to it, a part of all that it could have.
func (s *account) refuses(n *node, now int64, all, offered resource.Resources) bool {
	begin, end := s.filtersOf(n)
	for i := begin; i < end; i++ {
		f := &s.filters[i]
		if f.life != n.life || f.until <= now {
			continue
		}
		if f.fits == s.grown+1 || f.refused.Contains(all) {
			f.fits = s.grown + 1 // Never 0, which is what a new filter has.
			s.remember(n, f.until)
			return true
		}
		if f.refused.Contains(offered) {
			return true
		}
	}
	return false
}

// expire makes refusers anew if one of the filters that it follows from has ended, without that and all that do not
// count any more.
func (t *tree) expire(s *account, now int64) {
	if s.until > now {
		return
	}
	clear(s.refusers)
	s.until = math.MaxInt64
	s.filters = slices.DeleteFunc(s.filters, func(f filter) bool {
		n := t.byIndex[f.index]
		if f.until <= now || n == nil || f.life != n.life {
			return true
		}
		if f.fits == s.grown+1 {
			s.remember(n, f.until)
		}
		return false
	})
}

// forgetRefusals: what the client has refused does not count any more.
func (a *Allocator) forgetRefusals(n *node) {
	if !n.filtered {
		return
	}
	n.filtered = false
	a.tree.life++
	n.life = a.tree.life
	word, bit := int(n.index/64), uint64(1)<<(n.index%64)
	for _, s := range a.ledger.all {
		if word < len(s.refusers) {
			s.refusers[word] &^= bit
		}
	}
}

// NextCycle is when all slaves are looked at next: what is refused until then is not offered twice in one cycle.
func (a *Allocator) NextCycle(now time.Time) time.Time {
	if a.next.After(now) {
		return a.next
	}
	return now.Add(a.interval)
}
