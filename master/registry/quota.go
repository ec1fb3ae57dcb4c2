package registry

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/proto/resource"
)

// Quota is what a role is sure to get and the most that it can have. What is not named has no guarantee, or no limit.
type Quota struct {
	Guarantees, Limits resource.Quantities
}

func (q Quota) isZero() bool { return len(q.Guarantees) == 0 && len(q.Limits) == 0 }

// String is the quota for people.
func (q Quota) String() string {
	switch {
	case q.isZero():
		return "none"
	case len(q.Guarantees) == 0:
		return "at most " + q.Limits.String()
	case len(q.Limits) == 0:
		return "at least " + q.Guarantees.String()
	}
	return "at least " + q.Guarantees.String() + " at most " + q.Limits.String()
}

// SetQuotas gives roles their quotas, all or none. The zero Quota takes a role's away.
type SetQuotas struct{ Quotas map[string]Quota }

func (c SetQuotas) apply(s *State) error {
	for role, quota := range c.Quotas {
		for _, q := range slices.Concat(quota.Guarantees, quota.Limits) {
			if q.Thousandths < 0 {
				return fmt.Errorf("quota %v of role %q: %s is below 0", quota, role, q.Name)
			}
		}
	}
	if s.Quotas == nil {
		s.Quotas = map[string]Quota{}
	}
	for role, quota := range c.Quotas {
		if quota.isZero() {
			delete(s.Quotas, role)
		} else {
			s.Quotas[role] = quota
		}
	}
	return nil
}

// String implements Change.
func (c SetQuotas) String() string {
	text := "set quotas"
	for _, role := range slices.Sorted(maps.Keys(c.Quotas)) {
		text += fmt.Sprintf(" %s=%v", role, c.Quotas[role])
	}
	return text
}
