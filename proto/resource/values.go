package resource

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Range is all whole numbers from Begin to End, both included.
type Range struct{ Begin, End uint64 }

// String writes the range as `31000-32000`.
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.Begin, r.End) }

// coalesce returns the values of spans sorted, with a gap between any two spans. It panics at a
// span that ends before it begins.
func coalesce(spans []Range) []Range {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b Range) int { return cmp.Compare(a.Begin, b.Begin) })
	kept := sorted[:0]
	for _, s := range sorted {
		if s.End < s.Begin {
			panic(fmt.Sprintf("resource: range %v ends before it begins", s))
		}
		kept = appendRange(kept, s)
	}
	return kept
}

// appendRange adds s, which begins no earlier than the last of spans, at the end.
func appendRange(spans []Range, s Range) []Range {
	last := len(spans) - 1
	// Written as a difference: End+1 could overflow.
	if last >= 0 && (s.Begin <= spans[last].End || s.Begin-spans[last].End == 1) {
		spans[last].End = max(spans[last].End, s.End)
		return spans
	}
	return append(spans, s)
}

func addRanges(a, b []Range) []Range {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	sum := make([]Range, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Begin <= b[0].Begin {
			sum, a = appendRange(sum, a[0]), a[1:]
		} else {
			sum, b = appendRange(sum, b[0]), b[1:]
		}
	}
	for _, s := range a {
		sum = appendRange(sum, s)
	}
	for _, s := range b {
		sum = appendRange(sum, s)
	}
	return sum
}

func subRanges(a, b []Range) []Range {
	if len(b) == 0 {
		return a
	}
	var left []Range
	for _, s := range a {
		for len(b) > 0 && b[0].End < s.Begin {
			b = b[1:]
		}
		gone := false
		for i := 0; i < len(b) && b[i].Begin <= s.End; i++ {
			if b[i].Begin > s.Begin {
				left = append(left, Range{s.Begin, b[i].Begin - 1})
			}
			if b[i].End >= s.End {
				gone = true
				break
			}
			s.Begin = b[i].End + 1
		}
		if !gone {
			left = append(left, s)
		}
	}
	return left
}

func intersectRanges(a, b []Range) []Range {
	var both []Range
	for len(a) > 0 && len(b) > 0 {
		if begin, end := max(a[0].Begin, b[0].Begin), min(a[0].End, b[0].End); begin <= end {
			both = append(both, Range{begin, end})
		}
		if a[0].End < b[0].End {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

// containsRanges is true if every value of b is in a. There is a gap between any two spans of a,
// so each span of b must lie in one of them.
func containsRanges(a, b []Range) bool {
	for _, s := range b {
		for len(a) > 0 && a[0].End < s.Begin {
			a = a[1:]
		}
		if len(a) == 0 || s.Begin < a[0].Begin || s.End > a[0].End {
			return false
		}
	}
	return true
}

// countRanges returns the number of values, at most math.MaxInt.
func countRanges(spans []Range) int {
	total := uint64(0)
	for _, s := range spans {
		total += min(s.End-s.Begin, math.MaxInt-1) + 1
		if total >= math.MaxInt {
			return math.MaxInt
		}
	}
	return int(total)
}

// firstOf returns the n lowest values of spans, which has at least as many.
func firstOf(spans []Range, n int) []Range {
	var first []Range
	for _, s := range spans {
		if n == 0 {
			break
		}
		if size := countRanges([]Range{s}); size > n {
			s.End = s.Begin + uint64(n) - 1
		}
		n -= countRanges([]Range{s})
		first = append(first, s)
	}
	return first
}

func sortedSet(items []string) []string {
	sorted := slices.Clone(items)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

func addItems(a, b []string) []string {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return sortedSet(append(slices.Clone(a), b...))
}

func subItems(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	return slices.DeleteFunc(slices.Clone(a), func(item string) bool { return hasItem(b, item) })
}

func intersectItems(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(item string) bool { return !hasItem(b, item) })
}

func containsItems(a, b []string) bool {
	return !slices.ContainsFunc(b, func(item string) bool { return !hasItem(a, item) })
}

func hasItem(sorted []string, item string) bool {
	_, found := slices.BinarySearch(sorted, item)
	return found
}

func appendInt(text []byte, n int) []byte { return strconv.AppendInt(text, int64(n), 10) }

// atoi reads what appendInt wrote.
func atoi(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		panic("resource: broken encoding: " + err.Error())
	}
	return n
}
