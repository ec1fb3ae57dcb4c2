package allocator

import (
	"fmt"
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
		return s
	}
	s.Share, s.Fair = role.share, fairShare(role)
	for n := role; n.parent != nil; n = n.parent {
		for _, q := range need {
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
	usable := func(r resource.Resources) resource.Resources {
		if len(s.reserved) == 0 {
			return r
		}
		return r.AllocatableTo(c.Role)
	}
	all := usable(s.free)
	switch {
	case s.gpus && (n == nil || !n.gpus) && need.Get(resource.GPUs) == 0:
		return "has gpus, and the framework does not ask for such slaves", false
	case a.lacks(s.total, need) != "":
		return "too small: " + a.lacks(s.total, need), false
	case a.lacks(usable(s.total), need) != "":
		return "reserved for " + strings.Join(s.reservedForOthers(c.Role), " and ") + ": " + a.lacks(usable(s.total), need), false
	case a.lacks(all, need) != "":
		return a.taken(s, all, need), false
	case !s.active:
		return "not offered now", false
	}
	if role := a.tree.roles[c.Role]; role != nil || a.tree.guarantees > 0 {
		if role == nil {
			role = &node{parent: a.tree.root}
		}
		w := walk{Allocator: a, now: now.UnixNano(), slave: s}
		if lacks := a.lacks(w.allowed(role, all), need); lacks != "" {
			return "kept back by quota: " + lacks, false
		}
	}
	if n != nil {
		if until, refused := s.refusedUntil(n, now.UnixNano(), all); refused {
			return "refused by its filter until " + until.UTC().Format("2006-01-02 15:04:05"), false
		}
	}
	return "nothing is in the way", true
}

// lacks says of what there is not enough: "has 2 of 4 cpus"; empty if there is enough.
func (a *Allocator) lacks(r resource.Resources, need resource.Quantities) string {
	if len(need) == 0 {
		if a.allocatable(r) {
			return ""
		}
		var sets []string
		for _, set := range a.minimum {
			sets = append(sets, set.String())
		}
		return fmt.Sprintf("has %v, less than an offer must have: %s", orNothing(r), strings.Join(sets, " or "))
	}
	var lacking []string
	for _, q := range need {
		if got := r.Get(q.Name); got < q.Thousandths {
			lacking = append(lacking, fmt.Sprintf("has %s of %s %s", resource.FormatThousandths(got), resource.FormatThousandths(q.Thousandths), q.Name))
		}
	}
	return strings.Join(lacking, ", ")
}

func orNothing(r resource.Resources) string {
	if r.IsEmpty() {
		return "nothing"
	}
	return r.String()
}

// taken says that others have what is needed, and whether they only have it on offer.
func (a *Allocator) taken(s *account, free resource.Resources, need resource.Quantities) string {
	var offered resource.Resources
	for _, h := range s.holdings {
		offered = offered.Add(h.offered)
	}
	if a.lacks(free.Add(offered), need) == "" {
		return "offered to others: " + a.lacks(free, need)
	}
	return "in use: " + a.lacks(free, need)
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
