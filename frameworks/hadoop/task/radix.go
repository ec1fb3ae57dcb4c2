package task

import (
	"cmp"
	"slices"
)

// smallSort is how many entries are sorted by inserting one after the other: with fewer, counting bytes costs more.
const smallSort = 64

// sort orders the entries by partition, key and arrival, and notes where each partition ends.
func (s *sorter) sort() {
	s.groupPartitions()
	from := 0
	for _, to := range s.sorted {
		if s.keys.bytewise {
			s.sortPrefixes(s.entries[from:to], 56)
		} else {
			slices.SortFunc(s.entries[from:to], s.order)
		}
		from = to
	}
}

// order is that of entries of one partition.
func (s *sorter) order(a, b entry) int {
	if a.prefix != b.prefix {
		return cmp.Compare(a.prefix, b.prefix)
	}
	if c := s.keys.compare(s.key(a), s.key(b)); c != 0 {
		return c
	}
	return cmp.Compare(a.offset, b.offset)
}

// insert sorts a few entries of one partition.
func (s *sorter) insert(entries []entry) {
	for i := 1; i < len(entries); i++ {
		e, at := entries[i], i
		for at > 0 {
			before := &entries[at-1]
			if e.prefix > before.prefix || (e.prefix == before.prefix && s.order(e, *before) > 0) {
				break
			}
			entries[at] = *before
			at--
		}
		entries[at] = e
	}
}

// groupPartitions brings each partition's entries together, in any order, and notes in s.sorted where they end.
func (s *sorter) groupPartitions() {
	next := make([]int, s.partitions) // where each partition's next entry goes
	for _, e := range s.entries {
		next[e.partition]++
	}
	s.sorted = s.sorted[:0]
	at := 0
	for p, n := range next {
		next[p] = at
		at += n
		s.sorted = append(s.sorted, at)
	}
	if s.partitions == 1 {
		return
	}
	for p := range next {
		for i := next[p]; i < s.sorted[p]; i = next[p] {
			if to := s.entries[i].partition; to != uint32(p) {
				s.entries[i], s.entries[next[to]] = s.entries[next[to]], s.entries[i]
				next[to]++
				continue
			}
			next[p]++
		}
	}
}

// sortPrefixes sorts entries of one partition whose prefixes agree above the byte at shift: by that byte in place, then
// each group by the next (American flag sort; McIlroy, Bostic, McIlroy 1993). It is not stable by itself: arrival is the
// last part of the order.
func (s *sorter) sortPrefixes(entries []entry, shift int) {
	if len(entries) <= smallSort {
		s.insert(entries)
		return
	}
	if shift < 0 {
		slices.SortFunc(entries, s.order)
		return
	}
	var next, ends [256]int
	for _, e := range entries {
		next[byte(e.prefix>>shift)]++
	}
	at := 0
	for b, n := range next {
		next[b] = at
		at += n
		ends[b] = at
	}
	for b := range next {
		for i := next[b]; i < ends[b]; i = next[b] {
			if to := byte(entries[i].prefix >> shift); to != byte(b) {
				entries[i], entries[next[to]] = entries[next[to]], entries[i]
				next[to]++
				continue
			}
			next[b]++
		}
	}
	from := 0
	for _, to := range ends {
		if to-from > 1 {
			s.sortPrefixes(entries[from:to], shift-8)
		}
		from = to
	}
}
