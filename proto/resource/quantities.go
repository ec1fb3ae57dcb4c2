package resource

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Quantity is an amount of a scalar resource, whatever it is reserved for.
type Quantity struct {
	Name        string
	Thousandths int64
}

// Quantities are amounts by name, sorted by name, each name once. They say how much; Resources say
// also what exactly. The zero value is empty. Values are immutable.
type Quantities []Quantity

// Get returns the amount of name in thousandths, 0 if there is none.
func (q Quantities) Get(name string) int64 {
	if i, found := q.find(name); found {
		return q[i].Thousandths
	}
	return 0
}

// Add returns the sums by name.
func (q Quantities) Add(other Quantities) Quantities {
	return q.merge(other, func(a, b int64) int64 { return a + b })
}

// Sub returns the differences by name. What would be less than nothing is nothing, and what is
// nothing is left out.
func (q Quantities) Sub(other Quantities) Quantities {
	left := q.merge(other, func(a, b int64) int64 { return max(a-b, 0) })
	return slices.DeleteFunc(left, func(x Quantity) bool { return x.Thousandths == 0 })
}

// Contains reports whether there is at least as much of everything as in other.
func (q Quantities) Contains(other Quantities) bool {
	return !slices.ContainsFunc(other, func(x Quantity) bool { return q.Get(x.Name) < x.Thousandths })
}

// String writes them as `cpus:2.5;mem:1024`.
func (q Quantities) String() string {
	parts := make([]string, len(q))
	for i, x := range q {
		parts[i] = x.Name + ":" + FormatThousandths(x.Thousandths)
	}
	return strings.Join(parts, ";")
}

// FormatThousandths writes an amount with as many of its three decimals as it needs: 2, 0.1, 1.125.
func FormatThousandths(thousandths int64) string {
	sign, digits := "", uint64(thousandths)
	if thousandths < 0 {
		sign, digits = "-", -uint64(thousandths) // Right for the smallest number too.
	}
	whole, rest := digits/uint64(Unit), digits%uint64(Unit)
	text := sign + strconv.FormatUint(whole, 10)
	if rest == 0 {
		return text
	}
	return text + "." + strings.TrimRight(strconv.FormatUint(rest+uint64(Unit), 10)[1:], "0")
}

func (q Quantities) find(name string) (int, bool) {
	return slices.BinarySearchFunc(q, name, func(x Quantity, name string) int { return cmp.Compare(x.Name, name) })
}

// merge combines the amounts of every name of either side.
func (q Quantities) merge(other Quantities, combine func(a, b int64) int64) Quantities {
	merged := make(Quantities, 0, len(q)+len(other))
	for len(q) > 0 || len(other) > 0 {
		switch {
		case len(other) == 0 || len(q) > 0 && q[0].Name < other[0].Name:
			merged, q = append(merged, Quantity{q[0].Name, combine(q[0].Thousandths, 0)}), q[1:]
		case len(q) == 0 || other[0].Name < q[0].Name:
			merged, other = append(merged, Quantity{other[0].Name, combine(0, other[0].Thousandths)}), other[1:]
		default:
			merged = append(merged, Quantity{q[0].Name, combine(q[0].Thousandths, other[0].Thousandths)})
			q, other = q[1:], other[1:]
		}
	}
	return merged
}
