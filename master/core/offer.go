package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// offer is resources of one slave, held by one framework in one role until it answers or they are withdrawn.
type offer struct {
	id        string
	number    uint64 // of the id; offers are sorted by it
	framework *framework
	slave     *slave
	role      string
	resources resource.Resources // not in allocated form
	message   *mesos.Offer       // as the framework sees it
}

func sortedOffers(offers map[string]*offer) []*offer {
	list := slices.Collect(maps.Values(offers))
	slices.SortFunc(list, func(a, b *offer) int { return cmp.Compare(a.number, b.number) })
	return list
}

// offer makes offers of what the allocator has decided, and sends each framework its own together.
func (c *Core) offer(decisions []allocator.Offer) {
	var order []*framework
	batches := map[*framework][]*mesos.Offer{}
	for _, d := range decisions {
		f := c.frameworks[d.Framework]
		o := c.addOffer(f, c.slaves[d.Slave], d.Role, d.Resources)
		if batches[f] == nil {
			order = append(order, f)
		}
		batches[f] = append(batches[f], o.message)
	}
	for _, f := range order {
		for batch := range slices.Chunk(batches[f], MaxOffersPerEvent) {
			c.tell(f, &schedulerpb.Event{Type: schedulerpb.Event_OFFERS.Enum(), Offers: &schedulerpb.Event_Offers{Offers: batch}})
		}
	}
}

func (c *Core) addOffer(f *framework, sl *slave, role string, r resource.Resources) *offer {
	o := &offer{
		id: c.incarnation + "-O" + strconv.FormatUint(c.offerCount, 10), number: c.offerCount,
		framework: f, slave: sl, role: role, resources: r,
	}
	c.offerCount++
	o.message = c.shownOffer(o)
	c.offers[o.id], sl.offers[o.id] = o, o
	f.offers.Set(o.number, o)
	c.view.offers.Set(o.number, o)
	c.counters.Offers++
	if c.config.OfferTimeout > 0 {
		c.timers.set(offerTimer, o.id, c.now.Add(c.config.OfferTimeout))
	}
	return o
}

// forgetOffer ends an offer. What it holds is still offered as far as the allocator knows: its caller says what becomes
// of it.
func (c *Core) forgetOffer(o *offer) {
	delete(c.offers, o.id)
	o.framework.offers.Delete(o.number)
	delete(o.slave.offers, o.id)
	c.view.offers.Delete(o.number)
	if c.config.OfferTimeout > 0 {
		c.timers.cancel(offerTimer, o.id)
	}
}

// offerTimeout takes back an offer that nobody has answered in time: others may want it.
func (c *Core) offerTimeout(o *offer) {
	c.note("framework %s has not answered offer %s within %v", o.framework.id, o.id, c.config.OfferTimeout)
	c.rescind(o)
}

// withdraw ends an offer and gives its resources back.
func (c *Core) withdraw(o *offer) {
	c.forgetOffer(o)
	c.allocator.Return(o.framework.client(o.role), o.slave.id, o.resources)
}

// rescind takes an offer back and tells its framework, if that has not lost it already.
func (c *Core) rescind(o *offer) {
	held := o.isHeld()
	c.withdraw(o)
	if held {
		c.tellRescinded(o)
	}
}

// isHeld reports whether an open offer is still its framework's: not one of withdrawAll that waits.
func (o *offer) isHeld() bool {
	held, _ := o.framework.offers.Get(o.number)
	return held == o
}

// lost is offers that a framework has no longer, and that are yet to be withdrawn.
type lost struct {
	offers *btree.Map[uint64, *offer]
	told   bool // the framework is told of each
}

func (w *lost) next(c *Core) bool {
	_, o, some := w.offers.PopMin()
	if some && c.offers[o.id] == o { // Else it has been rescinded meanwhile.
		c.withdraw(o)
		if w.told {
			c.tellRescinded(o)
		}
	}
	return w.offers.Len() > 0
}

// withdrawAll takes all offers from a framework, and tells it of each if it is to be told. Those that are too many for one
// step are not its own any more, and are withdrawn in the next ones.
func (c *Core) withdrawAll(f *framework, told bool) {
	if f.offers.Len() == 0 {
		return
	}
	w := &lost{f.offers, told}
	f.offers = &btree.Map[uint64, *offer]{}
	c.begin(w)
}

func (c *Core) tellRescinded(o *offer) {
	c.counters.Rescinds++
	c.tell(o.framework, &schedulerpb.Event{Type: schedulerpb.Event_RESCIND.Enum(), Rescind: &schedulerpb.Event_Rescind{OfferId: o.message.Id}})
}

// rescindAll takes back all offers of a slave.
func (c *Core) rescindAll(sl *slave) {
	for _, o := range sortedOffers(sl.offers) {
		c.rescind(o)
	}
}

// decline gives offers back that a framework does not want. Those that are not its own, or not open any more, do not
// matter.
func (c *Core) decline(f *framework, m *schedulerpb.Call_Decline) {
	for _, id := range m.GetOfferIds() {
		o := c.offers[id.GetValue()]
		if o == nil || o.framework != f || !o.isHeld() {
			continue
		}
		c.counters.Declines++
		c.withdraw(o)
		c.refuseResources(o.framework.client(o.role), o.slave, o.resources, m.GetFilters(), false)
	}
}

// refuseResources keeps what a framework did not take from being offered to it again: for as long as its filters say, and
// until all slaves have been looked at once. With refuse_seconds 0 that is only so if nothing was used, else a
// framework that declines at once would be offered the same at once, for ever.
func (c *Core) refuseResources(client allocatorClient, sl *slave, r resource.Resources, filters *mesos.Filters, used bool) {
	refuse := mesos.RefuseDuration(filters)
	if refuse == 0 && used {
		return
	}
	until := c.now.Add(refuse)
	if cycle := c.allocator.NextCycle(c.now); cycle.After(until) {
		until = cycle
	}
	c.allocator.Refuse(client, sl.id, r, until)
}

// shownOffer is an offer as its framework sees it.
func (c *Core) shownOffer(o *offer) *mesos.Offer {
	m := &mesos.Offer{
		Id:             mesos.NewOfferID(o.id),
		FrameworkId:    o.framework.info.Id,
		AgentId:        o.slave.info.Id,
		Hostname:       o.slave.info.Hostname,
		Url:            c.offerURL(o.slave),
		Domain:         o.slave.info.Domain,
		Attributes:     o.slave.info.Attributes,
		Resources:      o.slave.showResources(o.framework, o.resources, o.role),
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String(o.role)},
	}
	if w := o.slave.window; w != nil {
		m.Unavailability = w.message
	}
	for _, e := range o.slave.sortedExecutors() {
		if e.framework == o.framework {
			m.ExecutorIds = append(m.ExecutorIds, e.info.ExecutorId)
		}
	}
	if !o.framework.can(mesos.FrameworkInfo_Capability_MULTI_ROLE) {
		m.AllocationInfo = nil
	}
	return m
}

func (c *Core) slaveURL(sl *slave) *mesos.URL {
	return &mesos.URL{Scheme: proto.String(c.config.Scheme), Address: sl.agentAddress(), Path: proto.String("/slave(1)")}
}

// shown is what the last offer of a slave says. Another one often says the same, as what is declined is offered to the
// next.
type shown struct {
	info    *mesos.AgentInfo // of the slave when url was made
	address string
	url     *mesos.URL

	of             resource.Resources
	role           string
	multi, refined bool // the capabilities of its framework
	resources      []*mesos.Resource
}

func (c *Core) offerURL(sl *slave) *mesos.URL {
	if last := &sl.shown; last.info != sl.info || last.address != sl.address {
		last.info, last.address, last.url = sl.info, sl.address, c.slaveURL(sl)
	}
	return sl.shown.url
}

func (sl *slave) showResources(f *framework, r resource.Resources, role string) []*mesos.Resource {
	last := &sl.shown
	multi, refined := f.can(mesos.FrameworkInfo_Capability_MULTI_ROLE), f.can(mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT)
	if !r.Is(last.of) || role != last.role || multi != last.multi || refined != last.refined || last.resources == nil {
		last.of, last.role, last.multi, last.refined, last.resources = r, role, multi, refined, shownResources(f, r, role)
	}
	return last.resources
}

// shownResources are resources as a framework understands them: without their allocation if it has one role only, in the
// form without stacks of reservations if it does not know those.
func shownResources(f *framework, r resource.Resources, role string) []*mesos.Resource {
	if f.can(mesos.FrameworkInfo_Capability_MULTI_ROLE) {
		r = r.Allocate(role)
	}
	if f.can(mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT) {
		return r.ToProto()
	}
	// A stack of reservations cannot be said in the older form. It is not offered to such a framework, but to one that
	// says it no longer understands them while it has such an offer.
	plain, err := r.Filter(func(x resource.Resource) bool { return len(x.Reservations()) <= 1 }).ToProtoPreRefinement()
	if err != nil {
		panic(fmt.Sprintf("master: %v", err))
	}
	return plain
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }
