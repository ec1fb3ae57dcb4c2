package allocator

import (
	"maps"
	"slices"

	"github.com/stoa-project/stoa/proto/resource"
)

// vector holds thousandths of scalar resources, by the index that the tree gave their names. It may be shorter than
// there are names: what is missing is 0.
type vector []int64

// add adds sign × w.
func (v *vector) add(w vector, sign int64) {
	for len(*v) < len(w) {
		*v = append(*v, 0)
	}
	for i, x := range w {
		(*v)[i] += sign * x
	}
}

func (v *vector) addAt(i int, amount int64) {
	for len(*v) <= i {
		*v = append(*v, 0)
	}
	(*v)[i] += amount
}

// at is an amount of a vector whose end may be missing.
func (v vector) at(i int) int64 {
	if i < len(v) {
		return v[i]
	}
	return 0
}

func (v vector) isZero() bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}

// vector returns quantities by the index of their names.
func (t *tree) vector(q resource.Quantities) vector {
	var v vector
	for _, x := range q {
		v.addAt(t.name(x.Name), x.Thousandths)
	}
	return v
}

// quantities is a vector with names; what is not above 0 is left out.
func (t *tree) quantities(v vector) resource.Quantities {
	var q resource.Quantities
	for _, name := range sortedKeys(t.names) {
		if amount := v.at(t.names[name]); amount > 0 {
			q = append(q, resource.Quantity{Name: name, Thousandths: amount})
		}
	}
	return q
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
