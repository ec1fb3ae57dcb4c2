package resource

import (
	"fmt"
	"math"
	"slices"
	"unique"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

// FromProto reads resources as they come over the wire, with reservations written in either form.
// An error says which resource is wrong, and what is allowed; it is meant for the user who sent it.
// Amounts are rounded to the nearest thousandth; empty ones are left out.
func FromProto(messages []*mesos.Resource) (Resources, error) {
	list := make([]Resource, 0, len(messages))
	sums := map[string]int64{}
	for _, m := range messages {
		if err := mesos.ValidateResource(m); err != nil {
			return Resources{}, err
		}
		r, err := fromProto(m)
		if err != nil {
			return Resources{}, err
		}
		// All amounts of a name together must fit, so that no sum of parts can overflow.
		amount := Thousandths(m.GetScalar().GetValue())
		if sums[m.GetName()] > math.MaxInt64-amount {
			return Resources{}, fmt.Errorf("resource %q: its amounts add up to more than %v", m.GetName(), Float(math.MaxInt64))
		}
		sums[m.GetName()] += amount
		list = append(list, r)
	}
	return collect(list), nil
}

func fromProto(m *mesos.Resource) (Resource, error) {
	stack := reservationsFromProto(m)
	id := identity{
		name:         m.GetName(),
		kind:         kindFromProto(m.GetType()),
		role:         Unreserved,
		reservations: encodeReservations(stack),
		allocated:    m.GetAllocationInfo().GetRole(),
		revocable:    m.GetRevocable() != nil,
		shared:       m.GetShared() != nil,
		provider:     m.GetProviderId().GetValue(),
		disk:         encodeDisk(m.GetDisk()),
	}
	if len(stack) > 0 {
		id.role = stack[len(stack)-1].Role
	}
	r := Resource{amount: Thousandths(m.GetScalar().GetValue())}
	if (id.shared || isWhole(m.GetDisk())) && r.amount > 0 {
		id.whole, r.amount = r.amount, 1
	}
	for _, span := range m.GetRanges().GetRange() {
		r.ranges = append(r.ranges, Range{span.GetBegin(), span.GetEnd()})
	}
	r.ranges = coalesce(r.ranges)
	r.items = sortedSet(m.GetSet().GetItem())
	if m.Disk != nil {
		wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.GetDisk())
		if err != nil {
			return Resource{}, fmt.Errorf("resource %q: disk: %w", m.GetName(), err)
		}
		r.disk = string(wire)
	}
	r.id = unique.Make(id)
	return r, nil
}

func kindFromProto(t mesos.Value_Type) Kind {
	switch t {
	case mesos.Value_RANGES:
		return KindRanges
	case mesos.Value_SET:
		return KindSet
	case mesos.Value_SCALAR, mesos.Value_TEXT:
	}
	return KindScalar
}

func reservationsFromProto(m *mesos.Resource) []Reservation {
	if len(m.GetReservations()) == 0 {
		if m.GetRole() == Unreserved {
			return nil
		}
		return []Reservation{reservationFromProto(m.GetReservation(), m.GetReservation() != nil, m.GetRole())}
	}
	var stack []Reservation
	for _, r := range m.GetReservations() {
		stack = append(stack, reservationFromProto(r, r.GetType() == mesos.Resource_ReservationInfo_DYNAMIC, r.GetRole()))
	}
	return stack
}

func reservationFromProto(m *mesos.Resource_ReservationInfo, dynamic bool, role string) Reservation {
	r := Reservation{Dynamic: dynamic, Role: role, Principal: m.GetPrincipal()}
	for _, l := range m.GetLabels().GetLabels() {
		r.Labels = append(r.Labels, Label{l.GetKey(), l.GetValue()})
	}
	return r
}

// encodeDisk writes what makes one disk another than the next: its source and the id of its volume,
// but not where the volume is to be seen, which each user of it chooses anew.
func encodeDisk(m *mesos.Resource_DiskInfo) string {
	if m.GetSource() == nil && m.GetPersistence() == nil {
		return ""
	}
	text := appendField(nil, m.GetPersistence().GetId())
	source := m.GetSource()
	if source == nil {
		return string(text)
	}
	for _, field := range []string{
		source.GetType().String(), source.GetPath().GetRoot(), source.GetMount().GetRoot(),
		source.GetVendor(), source.GetId(), source.GetProfile(),
	} {
		text = appendField(text, field)
	}
	var labels []Label
	for _, l := range source.GetMetadata().GetLabels() {
		labels = append(labels, Label{l.GetKey(), l.GetValue()})
	}
	return string(appendLabels(text, labels))
}

// isWhole reports whether the disk cannot be cut: a persistent volume, a device of its own, or raw
// storage that has been given an id.
func isWhole(m *mesos.Resource_DiskInfo) bool {
	if m.GetPersistence() != nil {
		return true
	}
	switch source := m.GetSource(); source.GetType() {
	case mesos.Resource_DiskInfo_Source_MOUNT, mesos.Resource_DiskInfo_Source_BLOCK:
		return true
	case mesos.Resource_DiskInfo_Source_RAW:
		return source.Id != nil
	case mesos.Resource_DiskInfo_Source_PATH, mesos.Resource_DiskInfo_Source_UNKNOWN:
	}
	return false
}

// ToProto writes the resources with their reservations as stacks, the form for peers and for
// frameworks that have the capability RESERVATION_REFINEMENT. What cannot be cut is written once
// per piece.
func (r Resources) ToProto() []*mesos.Resource {
	var messages []*mesos.Resource
	for _, x := range r.list {
		for range x.Copies() {
			messages = append(messages, x.toProtoRefined())
		}
	}
	return messages
}

// ToProtoPreRefinement writes the resources in the older form, with one role each. It cannot say
// that a reservation refines another one: that is an error, and such resources must be kept from
// frameworks that know the older form only.
func (r Resources) ToProtoPreRefinement() ([]*mesos.Resource, error) {
	var messages []*mesos.Resource
	for _, x := range r.list {
		stack := x.Reservations()
		if len(stack) > 1 {
			return nil, fmt.Errorf("%v has %d reservations: the form without refinement can write one", x, len(stack))
		}
		for range x.Copies() {
			m := x.toProto()
			m.Role = proto.String(x.Role())
			if len(stack) == 1 && stack[0].Dynamic {
				m.Reservation = stack[0].toProto()
			}
			messages = append(messages, m)
		}
	}
	return messages, nil
}

// toProtoRefined writes one piece of r with its reservations as a stack.
func (r Resource) toProtoRefined() *mesos.Resource {
	m := r.toProto()
	for _, reservation := range r.Reservations() {
		info := reservation.toProto()
		info.Role = proto.String(reservation.Role)
		info.Type = mesos.Resource_ReservationInfo_STATIC.Enum()
		if reservation.Dynamic {
			info.Type = mesos.Resource_ReservationInfo_DYNAMIC.Enum()
		}
		m.Reservations = append(m.Reservations, info)
	}
	return m
}

// toProto writes one piece of r without its reservations.
func (r Resource) toProto() *mesos.Resource {
	id := r.id.Value()
	m := &mesos.Resource{Name: proto.String(id.name)}
	switch id.kind {
	case KindScalar:
		amount := r.amount
		if id.whole != 0 {
			amount = id.whole
		}
		m.Type = mesos.Value_SCALAR.Enum()
		m.Scalar = &mesos.Value_Scalar{Value: proto.Float64(Float(amount))}
	case KindRanges:
		m.Type = mesos.Value_RANGES.Enum()
		m.Ranges = &mesos.Value_Ranges{}
		for _, s := range r.ranges {
			m.Ranges.Range = append(m.Ranges.Range, &mesos.Value_Range{Begin: proto.Uint64(s.Begin), End: proto.Uint64(s.End)})
		}
	case KindSet:
		m.Type = mesos.Value_SET.Enum()
		m.Set = &mesos.Value_Set{Item: slices.Clone(r.items)}
	}
	if id.allocated != "" {
		m.AllocationInfo = &mesos.Resource_AllocationInfo{Role: proto.String(id.allocated)}
	}
	if id.revocable {
		m.Revocable = &mesos.Resource_RevocableInfo{}
	}
	if id.shared {
		m.Shared = &mesos.Resource_SharedInfo{}
	}
	if id.provider != "" {
		m.ProviderId = &mesos.ResourceProviderID{Value: proto.String(id.provider)}
	}
	m.Disk = r.Disk()
	return m
}

func (r Reservation) toProto() *mesos.Resource_ReservationInfo {
	info := &mesos.Resource_ReservationInfo{}
	if r.Principal != "" {
		info.Principal = proto.String(r.Principal)
	}
	for i, l := range r.Labels {
		if i == 0 {
			info.Labels = &mesos.Labels{}
		}
		info.Labels.Labels = append(info.Labels.Labels, &mesos.Label{Key: proto.String(l.Key), Value: proto.String(l.Value)})
	}
	return info
}
