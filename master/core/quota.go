package core

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// updateQuota has new quotas of roles persisted, all or none.
func (c *Core) updateQuota(r Request, m *masterpb.Call_UpdateQuota) {
	quotas := map[string]registry.Quota{}
	for _, q := range m.GetQuotaConfigs() {
		quota, err := readQuota(q)
		if err == nil && !m.GetForce() {
			err = c.checkQuota(q.GetRole(), quota)
		}
		if _, twice := quotas[q.GetRole()]; err == nil && twice {
			err = fmt.Errorf("it is given two quotas")
		}
		if err != nil {
			c.refuseRequest(r, "quota of role %q: %v", q.GetRole(), err)
			return
		}
		quotas[q.GetRole()] = quota
	}
	if role, err := c.checkQuotaTree(quotas); err != nil && !m.GetForce() {
		c.refuseRequest(r, "quota of role %q: %v", role, err)
		return
	}
	c.persist(registry.SetQuotas{Quotas: quotas}, func(failure string) { c.quotaUpdated(r, quotas, failure) })
}

func (c *Core) quotaUpdated(r Request, quotas map[string]registry.Quota, failure string) {
	if failure != "" {
		c.refuseRequest(r, "quotas could not be set: %s", failure)
		return
	}
	for _, role := range slices.Sorted(maps.Keys(quotas)) {
		c.allocator.SetQuota(role, allocator.Quota(quotas[role]))
		c.note("quota of role %s is %v", role, quotas[role])
	}
	c.begin(&judging{quotas: quotas, end: c.offerCount})
	c.reply(r, &wire.OperatorDone{})
}

// readQuota reads what an operator wants.
func readQuota(m *quotapb.QuotaConfig) (registry.Quota, error) {
	var q registry.Quota
	if err := mesos.ValidateRole(m.GetRole()); err != nil {
		return q, err
	}
	if m.GetRole() == mesos.DefaultRole {
		return q, fmt.Errorf("the default role can have none: its frameworks are to have a role of their own")
	}
	var err error
	if q.Guarantees, err = readAmounts("guarantee", m.GetGuarantees()); err != nil {
		return q, err
	}
	if q.Limits, err = readAmounts("limit", m.GetLimits()); err != nil {
		return q, err
	}
	for _, guarantee := range q.Guarantees {
		i := slices.IndexFunc(q.Limits, func(l resource.Quantity) bool { return l.Name == guarantee.Name })
		if i >= 0 && q.Limits[i].Thousandths < guarantee.Thousandths {
			return q, fmt.Errorf("the guarantee of %s is %s, and its limit %s: a limit must not be below the guarantee", guarantee.Name,
				resource.FormatThousandths(guarantee.Thousandths), resource.FormatThousandths(q.Limits[i].Thousandths))
		}
	}
	return q, nil
}

func readAmounts(what string, amounts map[string]*mesos.Value_Scalar) (resource.Quantities, error) {
	var q resource.Quantities
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		value := amounts[name].GetValue()
		if name == "" || !(value >= 0) || value > resource.Float(math.MaxInt64/2) {
			return nil, fmt.Errorf("%s of %q is %v: allowed are amounts of a named scalar resource, 0 or above", what, name, value)
		}
		if what == "guarantee" && value == 0 {
			continue
		}
		q = append(q, resource.Quantity{Name: name, Thousandths: resource.Thousandths(value)})
	}
	return q, nil
}

// checkQuota reports why a quota makes no sense now: the role has more already, or the cluster does not have as much.
// What is only offered does not count, it can be taken back.
func (c *Core) checkQuota(role string, q registry.Quota) error {
	used := c.allocator.Consumption(role)
	for _, limit := range q.Limits {
		got := used.Get(limit.Name)
		if got > limit.Thousandths {
			got -= c.offered(role, limit.Name)
		}
		if got > limit.Thousandths {
			return fmt.Errorf("it uses %s of %s, more than the limit of %s: end some of it, or use force",
				resource.FormatThousandths(got), limit.Name, resource.FormatThousandths(limit.Thousandths))
		}
	}
	total, _, _ := c.allocator.Quantities()
	for _, guarantee := range q.Guarantees {
		if got := total.Get(guarantee.Name); got < guarantee.Thousandths {
			return fmt.Errorf("%s of %s cannot be guaranteed, the cluster has %s: guarantee less, or use force",
				resource.FormatThousandths(guarantee.Thousandths), guarantee.Name, resource.FormatThousandths(got))
		}
	}
	return nil
}

// offered is how much of a resource is offered to a role and those below it, of what quota is about.
func (c *Core) offered(role, name string) int64 {
	sum := int64(0)
	c.view.offers.Scan(func(_ uint64, o *offer) bool {
		if isWithin(o.role, role) {
			sum += o.plain(name)
		}
		return true
	})
	return sum
}

// plain is how much the offer holds of a scalar resource that is neither reserved nor revocable nor shared: of what quota is about.
func (o *offer) plain(name string) int64 {
	sum := int64(0)
	for x := range o.resources.All() {
		if x.Name() == name && x.Kind() == resource.KindScalar && x.Role() == resource.Unreserved && !x.Revocable() && !x.Shared() {
			sum += x.Thousandths()
		}
	}
	return sum
}

// checkQuotaTree reports which of the new quotas makes no sense beside those of the roles above and below it, and why: what is
// guaranteed somewhere must be possible within each limit above it, else it would be kept free for nobody.
func (c *Core) checkQuotaTree(changed map[string]registry.Quota) (string, error) {
	quotas := maps.Clone(c.registry.Quotas)
	if quotas == nil {
		quotas = map[string]registry.Quota{}
	}
	maps.Copy(quotas, changed)
	roles := slices.Sorted(maps.Keys(quotas))
	for _, parent := range roles {
		for _, limit := range quotas[parent].Limits {
			below := guaranteed(quotas, roles, parent, limit.Name)
			if below <= limit.Thousandths {
				continue
			}
			for _, role := range slices.Sorted(maps.Keys(changed)) {
				if isWithin(role, parent) {
					return role, fmt.Errorf("%s of %s would be guaranteed to role %q and those below it, whose limit is %s: guarantee less, raise the limit, or use force",
						resource.FormatThousandths(below), limit.Name, parent, resource.FormatThousandths(limit.Thousandths))
				}
			}
		}
	}
	return "", nil
}

// guaranteed is what a role has to be given: its own guarantee, or those of the roles right below it, if they are more. The
// roles with quota are sorted, so that those below one stand together.
func guaranteed(quotas map[string]registry.Quota, roles []string, role, name string) int64 {
	children := map[string]bool{}
	first, _ := slices.BinarySearch(roles, role+"/")
	for _, below := range roles[first:] {
		rest, ok := strings.CutPrefix(below, role+"/")
		if !ok {
			break
		}
		child, _, _ := strings.Cut(rest, "/")
		children[role+"/"+child] = true
	}
	sum := int64(0)
	for child := range children {
		sum += guaranteed(quotas, roles, child, name)
	}
	return max(sum, quotas[role].Guarantees.Get(name))
}

// judging takes offers back until no role with a new quota is offered more than its limit, and what guarantees need is
// free: of those with numbers below end, as later ones were made by these quotas. One that is accepted before its turn is judged
// then: acceptedOffers.
type judging struct {
	quotas    map[string]registry.Quota
	from, end uint64
}

func (w *judging) next(c *Core) bool {
	number, o, some := firstOf(c.view.offers, w.from)
	if !some || number >= w.end {
		return false
	}
	w.from = number + 1
	w.judge(c, o)
	return true
}

func (w *judging) judge(c *Core, o *offer) {
	within := 0
	for role := o.role; role != ""; role = parentRole(role) {
		if _, changed := w.quotas[role]; !changed {
			continue
		}
		within++
		if o.holdsAny(c.allocator.OverLimit(role)) {
			c.rescind(o)
			return
		}
	}
	if within < len(w.quotas) && o.holdsAny(c.allocator.LacksHeadroom()) {
		c.rescind(o)
	}
}

// judged reports whether an offer stays open under the quotas that have changed since it was made.
func (c *Core) judged(o *offer) bool {
	for _, w := range c.chores {
		if w, ok := w.(*judging); ok && w.from <= o.number && o.number < w.end && c.offers[o.id] == o {
			w.judge(c, o)
		}
	}
	return c.offers[o.id] == o
}

// parentRole is the role right above one; empty: it is at the top.
func parentRole(role string) string { return role[:max(0, strings.LastIndexByte(role, '/'))] }

// holdsAny reports whether the offer holds something of what is lacking.
func (o *offer) holdsAny(lacking resource.Quantities) bool {
	return slices.ContainsFunc(lacking, func(q resource.Quantity) bool { return o.plain(q.Name) > 0 })
}

// isWithin reports whether a role is another or lies below it.
func isWithin(role, parent string) bool { return role == parent || mesos.IsSubrole(role, parent) }

func (v *View) getQuota() *masterpb.Response_GetQuota {
	status := &quotapb.QuotaStatus{}
	for _, role := range slices.Sorted(maps.Keys(v.quotas)) {
		q := v.quotas[role]
		status.Configs = append(status.Configs, &quotapb.QuotaConfig{
			Role: proto.String(role), Guarantees: shownAmounts(q.Guarantees), Limits: shownAmounts(q.Limits),
		})
	}
	return &masterpb.Response_GetQuota{Status: status}
}

func shownAmounts(q resource.Quantities) map[string]*mesos.Value_Scalar {
	amounts := map[string]*mesos.Value_Scalar{}
	for _, x := range q {
		amounts[x.Name] = &mesos.Value_Scalar{Value: proto.Float64(resource.Float(x.Thousandths))}
	}
	return amounts
}
