// Package resource is the arithmetic of resources: what a slave has, what an offer holds, what a
// task uses, and how one is taken from the other.
//
// A Resource is an amount of one thing: 2.5 cpus, the ports 31000-31999, the set {a, b}. What
// distinguishes it from another amount with the same name is its identity: its reservations, the
// role it is allocated to, the disk or persistent volume it is, whether it can be revoked or
// shared, and which provider has it. Amounts of one identity add up; amounts of different
// identities stand next to each other. Resources is a bag of them:
//
//	cpus:4;cpus(eng):2;mem:1024;ports:[31000-31999]
//
// Everything here is immutable: an operation returns a new value and never changes an old one, so
// values can be shared by whoever likes. The zero Resources is the empty one.
//
//   - Scalars are counted in thousandths, as an int64: 2.5 cpus are 2500. Three decimals are what
//     Mesos counts too, and whole numbers make (a+b)-b = a true.
//   - Ranges and sets are sets: adding what is there already changes nothing.
//   - Some disks cannot be cut (persistent volumes, whole devices). They are counted in pieces:
//     their size belongs to their identity. Something shared is such a piece as well; several
//     copies of it are several users of one thing.
//   - Identities are interned, so that comparing two costs one comparison of pointers, and a bag is
//     a slice sorted by them: adding, subtracting and comparing walk two slices once.
//
// Messages are read and written at the edges only (FromProto, ToProto), in the older form of
// reservations and in the newer; inside there is one form, a stack of reservations of which the
// last one counts.
package resource

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"unique"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Names of the resources that Stoa itself gives a meaning. Memory and disk are in megabytes (2^20
// bytes).
const (
	CPUs  = "cpus"
	Mem   = "mem"
	Disk  = "disk"
	GPUs  = "gpus"
	Ports = "ports"
)

// Unit is how many thousandths make one: amounts of scalars are counted in thousandths.
const Unit int64 = 1000

// Unreserved is the role of resources that are reserved for nobody.
const Unreserved = mesos.DefaultRole

// Thousandths returns the amount that is nearest to value, in thousandths; halves go away from
// zero, as in Mesos.
func Thousandths(value float64) int64 { return int64(math.Round(value * float64(Unit))) }

// Float returns thousandths as the number that they stand for.
func Float(thousandths int64) float64 { return float64(thousandths) / float64(Unit) }

// Resources is a bag of resources. The zero value is empty and ready to use. Values are immutable.
type Resources struct {
	// Sorted by identity, each identity once, no empty amounts.
	list []Resource
}

// Scalar returns so many thousandths of the scalar resource name. It panics if they are negative.
func Scalar(name string, thousandths int64) Resources {
	if thousandths < 0 {
		panic(fmt.Sprintf("resource: %d thousandths of %q", thousandths, name))
	}
	return collect([]Resource{{id: unique.Make(identity{name: name, kind: KindScalar, role: Unreserved}), amount: thousandths}})
}

// Ranges returns the values of spans of the resource name; spans may overlap.
func Ranges(name string, spans ...Range) Resources {
	return collect([]Resource{{id: unique.Make(identity{name: name, kind: KindRanges, role: Unreserved}), ranges: coalesce(spans)}})
}

// Set returns the items of the resource name.
func Set(name string, items ...string) Resources {
	return collect([]Resource{{id: unique.Make(identity{name: name, kind: KindSet, role: Unreserved}), items: sortedSet(items)}})
}

// Sum returns all of them added up.
func Sum(all ...Resources) Resources {
	var sum Resources
	for _, r := range all {
		sum = sum.Add(r)
	}
	return sum
}

// collect makes a bag of list, which it may change and keep.
func collect(list []Resource) Resources {
	byIdentity := func(a, b Resource) int { return compareIDs(a.id, b.id) }
	if !slices.IsSortedFunc(list, byIdentity) {
		slices.SortStableFunc(list, byIdentity)
	}
	kept := list[:0]
	for _, r := range list {
		switch last := len(kept) - 1; {
		case r.isEmpty():
		case last >= 0 && kept[last].id == r.id:
			kept[last] = kept[last].plus(r)
		default:
			kept = append(kept, r)
		}
	}
	return Resources{kept}
}

// IsEmpty reports whether there is nothing.
func (r Resources) IsEmpty() bool { return len(r.list) == 0 }

// All returns the resources one by one, in the order of String.
func (r Resources) All() iter.Seq[Resource] { return slices.Values(r.list) }

// Add returns what is in r and in other.
func (r Resources) Add(other Resources) Resources {
	a, b := r.list, other.list
	switch {
	case len(a) == 0:
		return other
	case len(b) == 0:
		return r
	}
	sum := make([]Resource, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := compareIDs(a[0].id, b[0].id); {
		case c < 0:
			sum, a = append(sum, a[0]), a[1:]
		case c > 0:
			sum, b = append(sum, b[0]), b[1:]
		default:
			sum, a, b = append(sum, a[0].plus(b[0])), a[1:], b[1:]
		}
	}
	sum = append(sum, a...)
	return Resources{append(sum, b...)}
}

// Sub returns what is in r and not in other, and true. If r does not contain other it returns r
// and false.
func (r Resources) Sub(other Resources) (Resources, bool) {
	if len(other.list) == 0 {
		return r, true
	}
	if !r.Contains(other) {
		return r, false
	}
	left := make([]Resource, 0, len(r.list))
	b := other.list
	for _, x := range r.list {
		if len(b) > 0 && x.id == b[0].id {
			x, b = x.minus(b[0]), b[1:]
			if x.isEmpty() {
				continue
			}
		}
		left = append(left, x)
	}
	return Resources{left}, true
}

// Contains reports whether all of other is in r. Identities must agree: unreserved cpus do not
// contain reserved ones, nor the other way round.
func (r Resources) Contains(other Resources) bool {
	a := r.list
	for _, y := range other.list {
		// Both are sorted, so what is not found before a greater one is not there.
		for len(a) > 0 && a[0].id != y.id {
			a = a[1:]
		}
		if len(a) == 0 || !a[0].contains(y) {
			return false
		}
		a = a[1:]
	}
	return true
}

// Is reports whether both are one and the same value, which takes no time. Others may still be Equal.
func (r Resources) Is(other Resources) bool {
	return len(r.list) == len(other.list) && (len(r.list) == 0 || &r.list[0] == &other.list[0])
}

// Equal reports whether both hold the same.
func (r Resources) Equal(other Resources) bool {
	if r.Is(other) {
		return true
	}
	return slices.EqualFunc(r.list, other.list, func(x, y Resource) bool {
		return x.id == y.id && x.amount == y.amount && slices.Equal(x.ranges, y.ranges) && slices.Equal(x.items, y.items)
	})
}

// Filter returns the resources for which keep is true.
func (r Resources) Filter(keep func(Resource) bool) Resources {
	if !slices.ContainsFunc(r.list, func(x Resource) bool { return !keep(x) }) {
		return r
	}
	var kept []Resource
	for _, x := range r.list {
		if keep(x) {
			kept = append(kept, x)
		}
	}
	return Resources{kept}
}

// Named returns the resources of this name.
func (r Resources) Named(name string) Resources {
	return r.Filter(func(x Resource) bool { return x.Name() == name })
}

// Unreserved returns the resources that are reserved for nobody.
func (r Resources) Unreserved() Resources { return r.ReservedFor(Unreserved) }

// ReservedFor returns the resources whose last reservation is for role, exactly; for Unreserved
// those that have none.
func (r Resources) ReservedFor(role string) Resources {
	return r.Filter(func(x Resource) bool { return x.Role() == role })
}

// AllocatableTo returns the resources that may be offered to role: the unreserved ones, and those
// reserved for role or for a role above it in the tree of roles.
func (r Resources) AllocatableTo(role string) Resources {
	return r.Filter(func(x Resource) bool {
		return x.Role() == Unreserved || x.Role() == role || mesos.IsSubrole(role, x.Role())
	})
}

// Nonrevocable returns the resources that nobody may take away.
func (r Resources) Nonrevocable() Resources {
	return r.Filter(func(x Resource) bool { return !x.Revocable() })
}

// AllocatedTo returns the resources that are allocated to role, for the empty role those that are
// not allocated.
func (r Resources) AllocatedTo(role string) Resources {
	return r.Filter(func(x Resource) bool { return x.AllocationRole() == role })
}

// Allocate returns the same resources, all allocated to role.
func (r Resources) Allocate(role string) Resources {
	return r.reidentify(func(id *identity) { id.allocated = role })
}

// Unallocate returns the same resources, allocated to nobody.
func (r Resources) Unallocate() Resources { return r.Allocate("") }

func (r Resources) reidentify(change func(*identity)) Resources {
	list := make([]Resource, len(r.list))
	for i, x := range r.list {
		id := x.id.Value()
		change(&id)
		x.id = unique.Make(id)
		list[i] = x
	}
	return collect(list)
}

// Get returns how much there is of the scalar resource name, in thousandths, whatever it is
// reserved for. Copies of something shared count once.
func (r Resources) Get(name string) int64 {
	total := int64(0)
	for _, x := range r.list {
		if x.Name() == name {
			total += x.Thousandths()
		}
	}
	return total
}

// Spans returns the values of the ranges resource name as sorted spans that do not touch.
func (r Resources) Spans(name string) []Range {
	var all []Range
	for _, x := range r.list {
		if x.Name() == name {
			all = addRanges(all, x.ranges)
		}
	}
	return slices.Clone(all)
}

// Count returns how many values the ranges or items the set resource name has; at most
// math.MaxInt.
func (r Resources) Count(name string) int {
	total := 0
	for _, x := range r.list {
		if x.Name() == name {
			total += min(countRanges(x.ranges)+len(x.items), math.MaxInt-total)
		}
	}
	return total
}

// Items returns the items of the set resource name, sorted.
func (r Resources) Items(name string) []string {
	var all []string
	for _, x := range r.list {
		if x.Name() == name {
			all = addItems(all, x.items)
		}
	}
	return slices.Clone(all)
}

// Names returns the names of the resources, sorted, each once.
func (r Resources) Names() []string {
	var names []string
	for _, x := range r.list {
		if n := x.Name(); len(names) == 0 || names[len(names)-1] != n {
			names = append(names, n)
		}
	}
	return names
}

// Quantities returns the amounts of the scalar resources by name, as Get gives them. Ranges and
// sets have none.
func (r Resources) Quantities() Quantities {
	var q Quantities
	for _, x := range r.list {
		if x.Kind() != KindScalar {
			continue
		}
		if last := len(q) - 1; last >= 0 && q[last].Name == x.Name() {
			q[last].Thousandths += x.Thousandths()
		} else {
			q = append(q, Quantity{x.Name(), x.Thousandths()})
		}
	}
	return q
}

// compareIDs orders identities by name first, so that bags print and walk by name.
func compareIDs(x, y unique.Handle[identity]) int {
	if x == y {
		return 0
	}
	a, b := x.Value(), y.Value()
	if c := cmp.Compare(a.name, b.name); c != 0 {
		return c
	}
	return a.compare(&b)
}
