package mesos

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// MaxScalar is the largest amount of one scalar resource, in its own unit (cpus, megabytes). It
// leaves room to add up tens of thousands of them in an int64 of thousandths.
const MaxScalar = 100e9

// bytesPerMB is what Mesos means by a megabyte of memory or disk.
const bytesPerMB = 1 << 20

// ForbiddenInResourceName are the characters that resource names cannot contain, apart from white
// space and control characters: those that mean something in the text form of resources.
const ForbiddenInResourceName = ":;,()[]{}"

// SandboxBytes is how much the sandbox of a container with these resources may take, in bytes; 0 is not limited. Persistent
// volumes have their own.
func SandboxBytes(resources []*Resource) (limit int64) {
	for _, r := range resources {
		if r.GetName() == "disk" && r.Disk == nil {
			limit += int64(r.GetScalar().GetValue() * bytesPerMB)
		}
	}
	return limit
}

// kindOf are the resources whose kind is fixed, because Stoa itself gives them a meaning.
func kindOf(name string) (Value_Type, bool) {
	switch name {
	case "cpus", "mem", "disk", "gpus":
		return Value_SCALAR, true
	case "ports":
		return Value_RANGES, true
	}
	return 0, false
}

// ValidateResources reports what is wrong with the first bad one of resources, nil if none is.
func ValidateResources(resources []*Resource) error {
	for _, r := range resources {
		if err := ValidateResource(r); err != nil {
			return err
		}
	}
	return nil
}

// ValidateResource reports why r is not a resource, nil if it is. Both ways to write a reservation
// are accepted, but not both at once.
func ValidateResource(r *Resource) error {
	if err := validateResourceName(r.GetName()); err != nil {
		return err
	}
	for _, validate := range []func(*Resource) error{validateAmount, validateReservation, validateDisk} {
		if err := validate(r); err != nil {
			return fmt.Errorf("resource %s: %w", quote(r.GetName()), err)
		}
	}
	if r.GetAllocationInfo().GetRole() != "" {
		if err := ValidateRole(r.GetAllocationInfo().GetRole()); err != nil {
			return fmt.Errorf("resource %s: allocation_info: %w", quote(r.GetName()), err)
		}
	}
	return nil
}

func validateResourceName(name string) error {
	if name == "" {
		return errors.New("a resource has an empty name")
	}
	forbidden := func(r rune) bool {
		return r == ' ' || isControl(r) || strings.ContainsRune(ForbiddenInResourceName, r)
	}
	if i := strings.IndexFunc(name, forbidden); i >= 0 {
		return fmt.Errorf("resource name %s has %q at byte %d: white space, control characters and any of %s are not allowed", quote(name), rune(name[i]), i, ForbiddenInResourceName)
	}
	return validateLine("resource name", name)
}

func validateAmount(r *Resource) error {
	if kind, fixed := kindOf(r.GetName()); fixed && r.GetType() != kind {
		return fmt.Errorf("its type is %v: it must be %v", r.GetType(), kind)
	}
	present := map[Value_Type]bool{Value_SCALAR: r.Scalar != nil, Value_RANGES: r.Ranges != nil, Value_SET: r.Set != nil}
	for _, kind := range []Value_Type{Value_SCALAR, Value_RANGES, Value_SET} {
		if present[kind] != (kind == r.GetType()) {
			return fmt.Errorf("its type is %v: exactly the value of that type must be set", r.GetType())
		}
	}
	switch r.GetType() {
	case Value_SCALAR:
		return validateScalarResource(r)
	case Value_RANGES:
		for _, span := range r.GetRanges().GetRange() {
			if span.GetBegin() > span.GetEnd() {
				return fmt.Errorf("range %d-%d ends before it begins", span.GetBegin(), span.GetEnd())
			}
			if r.GetName() == "ports" && span.GetEnd() > math.MaxUint16 {
				return fmt.Errorf("range %d-%d ends beyond the last port, %d", span.GetBegin(), span.GetEnd(), math.MaxUint16)
			}
		}
		return nil
	case Value_SET:
		return validateItems(r.GetSet().GetItem())
	case Value_TEXT:
	}
	return fmt.Errorf("its type is %v: allowed are SCALAR, RANGES and SET", r.GetType())
}

func validateScalarResource(r *Resource) error {
	if err := validateScalar("its amount", r.GetScalar()); err != nil {
		return err
	}
	if amount := r.GetScalar().GetValue(); r.GetName() == "gpus" && amount != math.Trunc(amount) {
		return fmt.Errorf("its amount is %v: only whole gpus can be used", amount)
	}
	return nil
}

func validateScalar(what string, scalar *Value_Scalar) error {
	if v := scalar.GetValue(); !(v >= 0 && v <= MaxScalar) { // Not a number is neither.
		return fmt.Errorf("%s is %v: allowed are 0 to %v", what, v, float64(MaxScalar))
	}
	return nil
}

func validateItems(items []string) error {
	seen := map[string]bool{}
	for _, item := range items {
		switch {
		case seen[item]:
			return fmt.Errorf("item %s is twice in the set", quote(item))
		case item == "" || strings.ContainsAny(item, ForbiddenInResourceName) || strings.ContainsFunc(item, isControl) || strings.TrimSpace(item) != item:
			return fmt.Errorf("item %s of the set is empty, begins or ends with white space, or has a control character or one of %s in it", quote(item), ForbiddenInResourceName)
		}
		seen[item] = true
	}
	return nil
}

func validateReservation(r *Resource) error {
	if len(r.GetReservations()) == 0 {
		return validateSingleReservation(r)
	}
	switch {
	case r.Role != nil:
		return fmt.Errorf("it has both role %q and reservations: only one of the two may be set", r.GetRole())
	case r.Reservation != nil:
		return errors.New("it has both reservation and reservations: only one of the two may be set")
	}
	below := ""
	for i, reservation := range r.GetReservations() {
		role := reservation.GetRole()
		switch t := reservation.GetType(); {
		case t != Resource_ReservationInfo_STATIC && t != Resource_ReservationInfo_DYNAMIC:
			return fmt.Errorf("type of reservation %d is %v: allowed are STATIC and DYNAMIC", i, t)
		case i > 0 && t == Resource_ReservationInfo_STATIC:
			return fmt.Errorf("reservation %d is STATIC: only the first of a stack can be", i)
		}
		if err := validateReservedRole(role); err != nil {
			return err
		}
		if i > 0 && !IsSubrole(role, below) {
			return fmt.Errorf("reservation %d is for role %q: it must lie below %q, which it refines", i, role, below)
		}
		below = role
	}
	return nil
}

// validateSingleReservation is for the older form, that of frameworks without the capability
// RESERVATION_REFINEMENT: a role, and what makes the reservation a dynamic one.
func validateSingleReservation(r *Resource) error {
	if err := ValidateRole(r.GetRole()); err != nil {
		return err
	}
	switch {
	case r.Reservation == nil:
		return nil
	case r.GetRole() == DefaultRole:
		return fmt.Errorf("it has a reservation and role %q: a reservation must name a role", DefaultRole)
	case r.GetReservation().Type != nil || r.GetReservation().Role != nil:
		return errors.New("its reservation has a type or a role: these belong into reservations, next to reservation there is only role")
	}
	return nil
}

func validateReservedRole(role string) error {
	if role == DefaultRole {
		return fmt.Errorf("it is reserved for role %q: a reservation must name a role", DefaultRole)
	}
	return ValidateRole(role)
}

func validateDisk(r *Resource) error {
	persistence := r.GetDisk().GetPersistence()
	if r.Disk != nil && r.GetName() != "disk" {
		return errors.New("it has disk information: only the resource \"disk\" can have it")
	}
	if r.Shared != nil && persistence == nil {
		return errors.New("it is shared: only persistent volumes can be")
	}
	if persistence == nil {
		return nil
	}
	if r.Revocable != nil {
		return fmt.Errorf("persistent volume %s is revocable: a volume cannot persist then", quote(persistence.GetId()))
	}
	if len(r.GetReservations()) == 0 && r.GetRole() == DefaultRole {
		return fmt.Errorf("persistent volume %s is on an unreserved disk: it must be reserved", quote(persistence.GetId()))
	}
	return ValidateID("id of a persistent volume", persistence.GetId())
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
