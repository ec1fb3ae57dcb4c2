package allocator

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

// Standing says where a client stands beside others, and what keeps it from offers whatever the slave.
type Standing struct {
	Share, Fair float64 // of its role: weighted, and what it would be if all who want resources had the same
	Reasons     []string
}

// Standing explains a client, which need not exist: then it is somebody who would come.
func (a *Allocator) Standing(c Client, need resource.Quantities) Standing {
	a.tree.refresh()
	var s Standing
	if f := a.frameworks[c.Framework]; f != nil {
		switch suppressed, subscribed := f.roles[c.Role]; {
		case !subscribed:
			s.Reasons = append(s.Reasons, fmt.Sprintf("it is not subscribed to role %q", c.Role))
		case !f.active:
			s.Reasons = append(s.Reasons, "its scheduler is not connected")
		case suppressed:
			s.Reasons = append(s.Reasons, fmt.Sprintf("it has suppressed offers for role %q, until it revives them", c.Role))
		}
	}
	role := a.tree.roles[c.Role]
	if role == nil {
		s.Reasons = append(s.Reasons, fmt.Sprintf("no framework is in role %q", c.Role))
		return s
	}
	s.Share, s.Fair = role.share, fairShare(role)
	for n := role; n.parent != nil; n = n.parent {
		wanted := need
		if len(need) == 0 { // Some of each that there is a limit for.
			wanted = nil
			for _, limit := range n.stated.Limits {
				wanted = append(wanted, resource.Quantity{Name: limit.Name, Thousandths: 1})
			}
		}
		for _, q := range wanted {
			if room := n.room(a.tree.name(q.Name)); room < q.Thousandths {
				limit := n.limit[a.tree.name(q.Name)]
				s.Reasons = append(s.Reasons, fmt.Sprintf("quota: role %q has %s of its limit of %s %s", n.name,
					resource.FormatThousandths(limit-room), resource.FormatThousandths(limit), q.Name))
			}
		}
	}
	return s
}

// fairShare is the share of a role if at every level of the tree those who want resources divide them evenly.
func fairShare(role *node) float64 {
	fair := 1.0
	for n := role; n.parent != nil; n = n.parent {
		weights := 0.0
		for _, sibling := range n.parent.order {
			weights += sibling.weight
		}
		if !n.competes {
			weights += n.weight
		}
		fair *= n.weight / weights
	}
	return fair / role.weight // As shares are: divided by the weight.
}

// WhyNot says what keeps a client from being offered what it needs of a slave, in a few words, and whether nothing does.
// The client need not exist. Without a need it is what every offer has.
func (a *Allocator) WhyNot(c Client, slave string, need resource.Quantities, now time.Time) (reason string, fits bool) {
	s := a.ledger.slave(slave)
	n := a.tree.clients[c]
	for _, h := range s.holdings {
		if h.client == n && !h.offered.IsEmpty() {
			return fmt.Sprintf("it is offered %v now", h.offered), true
		}
	}
	somebody := n
	if n == nil || !n.subscribed {
		somebody = a.somebody(c, need)
	}
	reserved := func(r resource.Resources) resource.Resources {
		if len(s.reserved) == 0 {
			return r
		}
		return r.AllocatableTo(c.Role)
	}
	missing := somebody.misses(s)
	usable := func(r resource.Resources) resource.Resources { return understood(reserved(r), missing) }
	minimum := a.minimumOf(somebody)
	all := usable(s.free)
	switch {
	case lacks(s.total, need, minimum) != "":
		return "too small: " + lacks(s.total, need, minimum), false
	case lacks(reserved(s.total), need, minimum) != "":
		return "reserved for " + strings.Join(s.reservedForOthers(c.Role), " and ") + ": " + lacks(reserved(s.total), need, minimum), false
	case lacks(usable(s.total), need, minimum) != "":
		return "does not understand " + missing.what() + ": without them " + lacks(usable(s.total), need, minimum), false
	case missing&GPUs != 0:
		return "has gpus, and the framework does not ask for such slaves", false
	case missing&Regions != 0:
		return fmt.Sprintf("region %s, and the framework is not aware of other regions than the master's, %s", s.traits.Region, a.region), false
	case !somebody.constraints.admit(&s.traits):
		return "constraint: " + somebody.constraints.explain(&s.traits), false
	case s.unlisted:
		return "not in the whitelist", false
	case lacks(all, need, minimum) != "":
		return s.taken(all, need, minimum), false
	case !s.active:
		return "not offered now", false
	}
	if role := a.tree.roles[c.Role]; role != nil || a.tree.guarantees > 0 {
		if role == nil {
			role = &node{parent: a.tree.root}
		}
		w := walk{Allocator: a, now: now.UnixNano(), slave: s}
		if lacking := lacks(w.allowed(role, all), need, minimum); lacking != "" {
			return "kept back by quota: " + lacking, false
		}
	}
	if n != nil {
		if until, refused := s.refusedUntil(n, now.UnixNano(), all); refused {
			return "refused by its filter until " + clock(until, now), false
		}
	}
	return "nothing is in the way", true
}

// somebody is a client that does not exist: it understands what frameworks do that are made with Stoa's own driver, and
// gpus if it needs some.
func (a *Allocator) somebody(c Client, need resource.Quantities) *node {
	n := &node{client: c, can: Refined}
	if need.Get(resource.GPUs) > 0 {
		n.can |= GPUs
	}
	return n
}

// what names the resources that take these abilities.
func (a Abilities) what() string {
	var names []string
	for _, one := range []struct {
		ability Abilities
		name    string
	}{{Revocable, "revocable resources"}, {Shared, "shared resources"}, {Refined, "refined reservations"}} {
		if a&one.ability != 0 {
			names = append(names, one.name)
		}
	}
	return strings.Join(names, " and ")
}

// lacks says of what there is not enough: "has 2 of 4 cpus", or that no set of the minimum is there; empty if there is enough.
func lacks(r resource.Resources, need resource.Quantities, minimum []resource.Quantities) string {
	var lacking []string
	for _, q := range need {
		if got := amount(r, q.Name); got < q.Thousandths {
			lacking = append(lacking, fmt.Sprintf("has %s of %s %s", resource.FormatThousandths(got), resource.FormatThousandths(q.Thousandths), q.Name))
		}
	}
	if len(lacking) > 0 || isEnough(r, minimum) {
		return strings.Join(lacking, ", ")
	}
	var sets []string
	for _, set := range minimum {
		sets = append(sets, set.String())
	}
	return fmt.Sprintf("has %v, less than an offer must have: %s", orNothing(r), cmp.Or(strings.Join(sets, " or "), "anything"))
}

// amount is how much there is of a resource, in thousandths; of ranges and sets, how many.
func amount(r resource.Resources, name string) int64 {
	if n := r.Count(name); n > 0 {
		return min(int64(n), math.MaxInt64/resource.Unit) * resource.Unit
	}
	return r.Get(name)
}

func orNothing(r resource.Resources) string {
	if r.IsEmpty() {
		return "nothing"
	}
	return r.String()
}

// taken says that others have what is needed, and whether they only have it on offer.
func (s *account) taken(free resource.Resources, need resource.Quantities, minimum []resource.Quantities) string {
	var offered resource.Resources
	for _, h := range s.holdings {
		offered = offered.Add(h.offered)
	}
	if lacks(free.Add(offered), need, minimum) == "" {
		return "offered to others: " + lacks(free, need, minimum)
	}
	return "in use: " + lacks(free, need, minimum)
}

// reservedForOthers returns the roles that parts of the slave are reserved for, and that are none for this role.
func (s *account) reservedForOthers(role string) []string {
	return slices.DeleteFunc(slices.Clone(s.reserved), func(r string) bool { return isWithin(role, r) })
}

// refusedUntil returns until when the client refuses what could be offered to it.
func (s *account) refusedUntil(n *node, now int64, offered resource.Resources) (time.Time, bool) {
	latest := now
	begin, end := s.filtersOf(n)
	for _, f := range s.filters[begin:end] {
		if f.life == n.life && f.until > latest && f.refused.Contains(offered) {
			latest = f.until
		}
	}
	return time.Unix(0, latest), latest > now
}

// clock is a time of today as people say it, with its day if that is another.
func clock(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04:05 UTC")
	}
	return at.Format("2006-01-02 15:04:05 UTC")
}

// Clients returns who is subscribed to a role or to one below it, by role and framework.
func (a *Allocator) Clients(role string) []Client {
	var list []Client
	for _, path := range sortedKeys(a.tree.roles) {
		own := a.tree.roles[path].own
		if !isWithin(path, role) || own == nil {
			continue
		}
		for _, id := range sortedKeys(own.children) {
			if own.children[id].subscribed {
				list = append(list, own.children[id].client)
			}
		}
	}
	return list
}
