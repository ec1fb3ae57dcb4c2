package mesos

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// MaxNameBytes is the longest name of a framework or a user, in bytes. It bounds what every
	// reader of the cluster's state has to show; Mesos has no limit.
	MaxNameBytes = 1024

	// DefaultRefuse is how long resources that were refused are not offered again to the framework
	// that refused them, where it does not say (Mesos default: 5 s).
	DefaultRefuse = 5 * time.Second

	// MaxRefuse is the longest time that a framework can refuse resources for (Mesos: 365 days).
	MaxRefuse = 365 * 24 * time.Hour
)

// RolesOf returns the roles that the framework subscribes with, sorted: `roles` if it has the
// capability MULTI_ROLE, else its one `role`.
func RolesOf(info *FrameworkInfo) []string {
	if HasCapability(info, FrameworkInfo_Capability_MULTI_ROLE) {
		return slices.Sorted(slices.Values(info.GetRoles()))
	}
	return []string{info.GetRole()}
}

// HasCapability reports whether the framework says that it understands capability.
func HasCapability(info *FrameworkInfo, capability FrameworkInfo_Capability_Type) bool {
	return slices.ContainsFunc(info.GetCapabilities(), func(c *FrameworkInfo_Capability) bool {
		return c.GetType() == capability
	})
}

// ValidateFrameworkInfo reports why a framework cannot subscribe with info, nil if it can.
func ValidateFrameworkInfo(info *FrameworkInfo) error {
	if info == nil {
		return errors.New("framework_info is missing")
	}
	if info.GetUser() == "" {
		return errors.New("framework_info.user is empty: it must name the user that tasks run as")
	}
	if err := validateLine("framework_info.user", info.GetUser()); err != nil {
		return err
	}
	if err := validateLine("framework_info.name", info.GetName()); err != nil {
		return err
	}
	// An empty id is what a framework sends that has none yet.
	if info.GetId().GetValue() != "" {
		if err := ValidateFrameworkID(info.GetId()); err != nil {
			return err
		}
	}
	if err := validateSeconds("framework_info.failover_timeout", info.GetFailoverTimeout()); err != nil {
		return err
	}
	if err := validateFrameworkRoles(info); err != nil {
		return err
	}
	return validateOfferFilters(info)
}

func validateFrameworkRoles(info *FrameworkInfo) error {
	multi := HasCapability(info, FrameworkInfo_Capability_MULTI_ROLE)
	switch {
	case info.Role != nil && len(info.GetRoles()) > 0:
		return fmt.Errorf("framework_info has both role %q and roles %q: only one of the two may be set", info.GetRole(), info.GetRoles())
	case multi && info.Role != nil:
		return fmt.Errorf("framework_info.role is %q: a framework with the capability MULTI_ROLE names its roles in framework_info.roles", info.GetRole())
	case !multi && len(info.GetRoles()) > 0:
		return fmt.Errorf("framework_info.roles is %q: a framework needs the capability MULTI_ROLE for it, without it there is framework_info.role", info.GetRoles())
	}
	roles := RolesOf(info)
	for i, role := range roles {
		if err := ValidateRole(role); err != nil {
			return fmt.Errorf("framework_info: %w", err)
		}
		if i > 0 && roles[i-1] == role {
			return fmt.Errorf("framework_info.roles has %q twice", role)
		}
	}
	return nil
}

func validateOfferFilters(info *FrameworkInfo) error {
	roles := RolesOf(info)
	for _, role := range sortedKeys(info.GetOfferFilters()) {
		if !slices.Contains(roles, role) {
			return fmt.Errorf("framework_info.offer_filters has the role %s: the framework's roles are %q", quote(role), roles)
		}
		for _, set := range info.GetOfferFilters()[role].GetMinAllocatableResources().GetQuantities() {
			for _, name := range sortedKeys(set.GetQuantities()) {
				if err := validateScalar(fmt.Sprintf("framework_info.offer_filters of role %q: %s", role, quote(name)), set.GetQuantities()[name]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// RefuseDuration is how long the filters keep refused resources away: DefaultRefuse if they do not
// say or say something senseless (negative, not a number), at most MaxRefuse.
func RefuseDuration(filters *Filters) time.Duration {
	seconds := filters.GetRefuseSeconds()
	switch {
	case math.IsNaN(seconds) || seconds < 0:
		return DefaultRefuse
	case seconds > MaxRefuse.Seconds():
		return MaxRefuse
	}
	return time.Duration(seconds * float64(time.Second))
}

// validateSeconds accepts what fits a time.Duration.
func validateSeconds(what string, seconds float64) error {
	if !(seconds >= 0 && seconds <= time.Duration(math.MaxInt64).Seconds()) { // Not a number is neither.
		return fmt.Errorf("%s is %v: allowed are 0 to %.0f seconds", what, seconds, time.Duration(math.MaxInt64).Seconds())
	}
	return nil
}

func validateLine(what, text string) error {
	if len(text) > MaxNameBytes {
		return fmt.Errorf("%s %s has %d bytes: it may have at most %d", what, quote(text), len(text), MaxNameBytes)
	}
	if i := strings.IndexFunc(text, isControl); i >= 0 {
		return fmt.Errorf("%s %s has %q at byte %d: control characters are not allowed", what, quote(text), rune(text[i]), i)
	}
	return nil
}
