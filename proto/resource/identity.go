package resource

import (
	"cmp"
	"slices"
	"strings"
	"unique"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Kind is how the amount of a resource is written.
type Kind uint8

// The kinds of resources. KindScalar is an amount in thousandths, KindRanges a set of whole
// numbers, KindSet a set of words.
const (
	KindScalar Kind = iota
	KindRanges
	KindSet
)

// Resource is one identity and how much there is of it. Get one from Resources.All.
type Resource struct {
	id unique.Handle[identity]
	// Of a scalar: thousandths, or, of what cannot be cut, the number of pieces. Else 0.
	amount int64
	ranges []Range  // Of KindRanges: sorted, with a gap between any two.
	items  []string // Of KindSet: sorted, each once.
	// The DiskInfo as it came, in wire form: carried from edge to edge, never looked at between.
	disk string
}

// identity is what makes resources of one name different things. It is interned, so it must be
// comparable: what has structure is kept in it as encoded text.
type identity struct {
	name         string
	kind         Kind
	role         string // Of the last reservation, else Unreserved; follows from reservations.
	reservations string // The stack, as encodeReservations writes it.
	allocated    string // Empty: to nobody.
	revocable    bool
	shared       bool
	provider     string // Empty: the slave itself.
	disk         string // Source of the disk and id of the volume, as encodeDisk writes them.
	whole        int64  // Size in thousandths of what cannot be cut, else 0.
}

// compare orders identities of the same name.
func (a *identity) compare(b *identity) int {
	return cmp.Or(
		cmp.Compare(a.kind, b.kind),
		cmp.Compare(a.role, b.role),
		cmp.Compare(a.reservations, b.reservations),
		cmp.Compare(a.allocated, b.allocated),
		compareBools(a.revocable, b.revocable),
		compareBools(a.shared, b.shared),
		cmp.Compare(a.provider, b.provider),
		cmp.Compare(a.disk, b.disk),
		cmp.Compare(a.whole, b.whole),
	)
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Name returns the name, as in `cpus`.
func (r Resource) Name() string { return r.id.Value().name }

// Kind returns how the amount is written.
func (r Resource) Kind() Kind { return r.id.Value().kind }

// Role returns the role that the last reservation is for, Unreserved if there is none.
func (r Resource) Role() string { return r.id.Value().role }

// Reservations returns the stack of reservations, outermost role first.
func (r Resource) Reservations() []Reservation { return decodeReservations(r.id.Value().reservations) }

// AllocationRole returns the role that the resource is allocated to, empty if to none.
func (r Resource) AllocationRole() string { return r.id.Value().allocated }

// Revocable reports whether the resource may be taken away again.
func (r Resource) Revocable() bool { return r.id.Value().revocable }

// Shared reports whether several tasks may use the resource at the same time.
func (r Resource) Shared() bool { return r.id.Value().shared }

// ProviderID returns the id of the provider of the resource, empty if it is the slave itself.
func (r Resource) ProviderID() string { return r.id.Value().provider }

// VolumeID returns the id of the persistent volume that the resource is, empty if it is none.
func (r Resource) VolumeID() string {
	id, _ := cutVolume(r.id.Value().disk)
	return id
}

// Disk returns what is said about the disk: the volume's container path, and where the disk comes from; nil if nothing is.
// It is the caller's.
func (r Resource) Disk() *mesos.Resource_DiskInfo {
	if r.disk == "" {
		return nil
	}
	m := &mesos.Resource_DiskInfo{}
	if err := proto.Unmarshal([]byte(r.disk), m); err != nil {
		panic("resource: disk that was read cannot be written: " + err.Error())
	}
	return m
}

// Divisible reports whether a part of the resource can be taken. Persistent volumes and whole
// devices are taken as they are or not at all.
func (r Resource) Divisible() bool { return r.id.Value().whole == 0 }

// Thousandths returns the amount of a scalar, 0 for other kinds.
func (r Resource) Thousandths() int64 {
	switch id := r.id.Value(); {
	case id.whole == 0:
		return r.amount
	case id.shared:
		return id.whole
	default:
		return id.whole * r.amount
	}
}

// Copies returns how many pieces there are of what cannot be cut, and how many uses of what is
// shared; 1 for everything else.
func (r Resource) Copies() int {
	if r.id.Value().whole == 0 {
		return 1
	}
	return int(r.amount)
}

func (r Resource) isEmpty() bool { return r.amount == 0 && len(r.ranges) == 0 && len(r.items) == 0 }

func (r Resource) plus(other Resource) Resource {
	sum := r.amount + other.amount
	if sum < r.amount {
		panic("resource: amounts of " + r.Name() + " add up to more than 63 bits")
	}
	r.amount = sum
	r.ranges = addRanges(r.ranges, other.ranges)
	r.items = addItems(r.items, other.items)
	return r
}

func (r Resource) minus(other Resource) Resource {
	r.amount -= other.amount
	r.ranges = subRanges(r.ranges, other.ranges)
	r.items = subItems(r.items, other.items)
	return r
}

func (r Resource) contains(other Resource) bool {
	return r.amount >= other.amount && containsRanges(r.ranges, other.ranges) && containsItems(r.items, other.items)
}

// Reservation keeps a resource for one role and those below it.
type Reservation struct {
	// Dynamic: made while the slave runs, and can be undone. Else it was set when the slave started.
	Dynamic bool
	Role    string
	// Principal is who made it, empty if nobody said.
	Principal string
	// Labels are the maker's own notes, sorted by key. Reservations with different labels differ.
	Labels []Label
}

// Label is a key and a value that mean something to whoever wrote them.
type Label struct{ Key, Value string }

// encodeReservations writes a stack so that equal ones give equal text.
func encodeReservations(stack []Reservation) string {
	if len(stack) == 0 {
		return ""
	}
	var text []byte
	for _, r := range stack {
		kind := "s"
		if r.Dynamic {
			kind = "d"
		}
		text = appendField(text, kind)
		text = appendField(text, r.Role)
		text = appendField(text, r.Principal)
		text = appendLabels(text, r.Labels)
	}
	return string(text)
}

func decodeReservations(text string) []Reservation {
	var stack []Reservation
	for text != "" {
		var r Reservation
		var kind string
		kind, text = cutField(text)
		r.Dynamic = kind == "d"
		r.Role, text = cutField(text)
		r.Principal, text = cutField(text)
		r.Labels, text = cutLabels(text)
		stack = append(stack, r)
	}
	return stack
}

// cutVolume cuts the id of the volume from what encodeDisk wrote.
func cutVolume(disk string) (id, source string) {
	if disk == "" {
		return "", ""
	}
	return cutField(disk)
}

// A field is its length in decimal, a colon, and its bytes.
func appendField(text []byte, field string) []byte {
	text = appendInt(text, len(field))
	text = append(text, ':')
	return append(text, field...)
}

func cutField(text string) (field, rest string) {
	digits, rest, _ := strings.Cut(text, ":")
	n := atoi(digits)
	return rest[:n], rest[n:]
}

func appendLabels(text []byte, labels []Label) []byte {
	labels = slices.Clone(labels)
	slices.SortFunc(labels, func(a, b Label) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value)) })
	text = appendField(text, string(appendInt(nil, len(labels))))
	for _, l := range labels {
		text = appendField(text, l.Key)
		text = appendField(text, l.Value)
	}
	return text
}

func cutLabels(text string) (labels []Label, rest string) {
	count, rest := cutField(text)
	for range atoi(count) {
		var l Label
		l.Key, rest = cutField(rest)
		l.Value, rest = cutField(rest)
		labels = append(labels, l)
	}
	return labels, rest
}
