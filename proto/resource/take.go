package resource

import "slices"

// Take picks from r what need asks for, and returns it and true; if r does not have enough it
// returns nothing and false. It is how a scheduler turns "1 cpu, 128 megabytes" into resources of
// an offer.
//
// What need asks for without a reservation is taken from any of that name, reserved resources
// first, so that the unreserved ones stay free for others; a reservation in need must be met
// exactly. To whom the resources are allocated does not matter. Values of ranges and items of sets
// are taken as named; TakeCount takes any. Call AllocatableTo or Filter first to leave resources
// out.
func (r Resources) Take(need Resources) (Resources, bool) {
	var taken Resources
	left := r
	// The particular wishes first: the others can be met by more.
	wishes := slices.Clone(need.list)
	slices.SortStableFunc(wishes, func(a, b Resource) int {
		return compareBools(a.Role() == Unreserved, b.Role() == Unreserved)
	})
	for _, wish := range wishes {
		picked, ok := left.pick(wish)
		if !ok {
			return Resources{}, false
		}
		taken = taken.Add(picked)
		left, _ = left.Sub(picked)
	}
	return taken, true
}

// TakeCount picks any n values of the ranges resource name, the lowest of the reserved ones first,
// and returns them and true; if there are less it returns nothing and false.
func (r Resources) TakeCount(name string, n int) (Resources, bool) {
	if n <= 0 {
		return Resources{}, n == 0
	}
	var picked []Resource
	for _, x := range r.reservedFirst(func(x Resource) bool { return x.Name() == name && x.Kind() == KindRanges && !x.Revocable() }) {
		x.ranges = firstOf(x.ranges, n)
		n -= countRanges(x.ranges)
		picked = append(picked, x)
		if n == 0 {
			return collect(picked), true
		}
	}
	return Resources{}, false
}

// pick takes what one wish asks for.
func (r Resources) pick(wish Resource) (Resources, bool) {
	var picked []Resource
	for _, x := range r.reservedFirst(wish.isMetBy) {
		x.amount = min(x.amount, wish.amount)
		x.ranges = intersectRanges(x.ranges, wish.ranges)
		x.items = intersectItems(x.items, wish.items)
		if !x.isEmpty() {
			wish = wish.minus(x)
			picked = append(picked, x)
		}
		if wish.isEmpty() {
			return collect(picked), true
		}
	}
	return Resources{}, false
}

// isMetBy reports whether x is the thing that the wish asks for.
func (wish Resource) isMetBy(x Resource) bool {
	a, b := wish.id.Value(), x.id.Value()
	b.allocated = a.allocated
	if a.reservations == "" {
		b.role, b.reservations = a.role, a.reservations
	}
	return a == b
}

// reservedFirst returns the resources for which want is true, the unreserved ones last.
func (r Resources) reservedFirst(want func(Resource) bool) []Resource {
	var reserved, unreserved []Resource
	for _, x := range r.list {
		switch {
		case !want(x):
		case x.Role() == Unreserved:
			unreserved = append(unreserved, x)
		default:
			reserved = append(reserved, x)
		}
	}
	return append(reserved, unreserved...)
}
