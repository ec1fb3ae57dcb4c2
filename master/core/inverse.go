package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/allocatorpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// inverseOffer is the wish that a framework leaves a slave which will be away, and what it said to that. It asks again
// when the time has passed for which an answer counts, as long as the framework has something there.
type inverseOffer struct {
	id        string // of the latest; ids of offers and inverse offers are of one count
	number    uint64
	framework *framework
	slave     *slave
	open      bool // it has not been answered
	message   *mesos.InverseOffer

	status   allocatorpb.InverseOfferStatus_Status // of the latest answer
	answered time.Time                             // zero: never
	again    time.Time                             // from when on it may be asked again
}

func (sl *slave) sortedInverse() []*inverseOffer {
	list := slices.Collect(maps.Values(sl.inverse))
	slices.SortFunc(list, func(a, b *inverseOffer) int { return cmp.Compare(a.framework.id, b.framework.id) })
	return list
}

// maybeAsk has who has something on a slave that will be away asked to leave it, now and at every allocation interval.
func (c *Core) maybeAsk(sl *slave) {
	if sl.window == nil || !sl.connected() {
		c.timers.cancel(inverseTimer, sl.id)
		return
	}
	c.timers.set(inverseTimer, sl.id, c.now)
}

func (c *Core) askToLeave(sl *slave) {
	if c.maintain(sl); sl.window == nil || !sl.connected() {
		return // The schedule has changed, and not all slaves have been held against it yet.
	}
	here := sl.frameworks()
	for _, o := range sl.sortedInverse() {
		if here[o.framework.id] == nil {
			c.rescindInverseOffer(o)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(here)) {
		if f := here[id]; f.connected() {
			c.maybeInverse(f, sl)
		}
	}
	c.timers.set(inverseTimer, sl.id, c.now.Add(cmp.Or(c.config.AllocationInterval, allocator.DefaultInterval)))
}

// frameworks returns who has tasks or executors on the slave.
func (sl *slave) frameworks() map[string]*framework {
	here := map[string]*framework{}
	for _, t := range sl.tasks {
		if !mesos.IsTerminal(t.state()) {
			here[t.framework.id] = t.framework
		}
	}
	for _, e := range sl.executors {
		here[e.framework.id] = e.framework
	}
	return here
}

// maybeInverse makes an inverse offer, unless one is open or an answer still counts.
func (c *Core) maybeInverse(f *framework, sl *slave) {
	o := sl.inverse[f.id]
	switch {
	case o == nil:
		o = &inverseOffer{framework: f, slave: sl, status: allocatorpb.InverseOfferStatus_UNKNOWN}
		sl.inverse[f.id] = o
		c.touchSlave(sl.id)
	case o.open || c.now.Before(o.again):
		return
	}
	o.id, o.number, o.open = fmt.Sprintf("%s-O%d", c.incarnation, c.offerCount), c.offerCount, true
	c.offerCount++
	o.message = &mesos.InverseOffer{
		Id:             mesos.NewOfferID(o.id),
		Url:            c.slaveURL(sl),
		FrameworkId:    f.info.Id,
		AgentId:        sl.info.Id,
		Unavailability: sl.window.message,
	}
	c.inverse[o.id] = o
	c.view.inverse.Set(o.number, o.message)
	c.tell(f, &schedulerpb.Event{
		Type:          schedulerpb.Event_INVERSE_OFFERS.Enum(),
		InverseOffers: &schedulerpb.Event_InverseOffers{InverseOffers: []*mesos.InverseOffer{o.message}},
	})
}

// answerInverse takes a framework's answers. Those to inverse offers that are not open, or another's, do not matter.
func (c *Core) answerInverse(f *framework, ids []*mesos.OfferID, filters *mesos.Filters, status allocatorpb.InverseOfferStatus_Status) {
	for _, id := range ids {
		o := c.inverse[id.GetValue()]
		if o == nil || o.framework != f {
			continue
		}
		c.closeInverseOffer(o)
		o.open, o.status, o.answered = false, status, c.now
		c.touchSlave(o.slave.id)
		o.again = c.now.Add(mesos.RefuseDuration(filters))
		c.note("framework %s answered that slave %s will be away: %v", f.id, o.slave.id, status)
	}
}

// closeInverseOffer takes an inverse offer from those that are open.
func (c *Core) closeInverseOffer(o *inverseOffer) {
	delete(c.inverse, o.id)
	c.view.inverse.Delete(o.number)
}

// forgetInverse drops an inverse offer, open or answered.
func (c *Core) forgetInverse(o *inverseOffer) {
	c.closeInverseOffer(o)
	delete(o.slave.inverse, o.framework.id)
	c.touchSlave(o.slave.id)
}

// rescindInverseOffer drops it and tells its framework, if it was open.
func (c *Core) rescindInverseOffer(o *inverseOffer) {
	c.forgetInverse(o)
	if o.open {
		c.tell(o.framework, &schedulerpb.Event{
			Type:                schedulerpb.Event_RESCIND_INVERSE_OFFER.Enum(),
			RescindInverseOffer: &schedulerpb.Event_RescindInverseOffer{InverseOfferId: o.message.Id},
		})
	}
}

// rescindInverse takes back all inverse offers of a slave.
func (c *Core) rescindInverse(sl *slave) {
	for _, o := range sl.sortedInverse() {
		c.rescindInverseOffer(o)
	}
}

// closeInverse drops what is open of a framework whose scheduler has gone: it is asked again when it is back.
func (c *Core) closeInverse(f *framework) {
	if len(c.inverse) > 0 {
		c.begin(&closing{framework: f, end: c.offerCount})
	}
}

// closing closes the open ones of a framework's inverse offers, of those with numbers below end. One that comes back before it is
// done is asked again all the same, only later.
type closing struct {
	framework *framework
	from, end uint64
}

func (w *closing) next(c *Core) bool {
	number, m, some := firstOf(c.view.inverse, w.from)
	if !some || number >= w.end {
		return false
	}
	w.from = number + 1
	if o := c.inverse[m.GetId().GetValue()]; o.framework == w.framework {
		c.closeInverseOffer(o)
		o.open = false
	}
	return true
}

// answers are what frameworks say to leaving the slave.
func (sl *slave) answers() []*allocatorpb.InverseOfferStatus {
	if len(sl.inverse) == 0 {
		return nil
	}
	var list []*allocatorpb.InverseOfferStatus
	for _, o := range sl.sortedInverse() {
		list = append(list, o.shownStatus())
	}
	return list
}

func (o *inverseOffer) shownStatus() *allocatorpb.InverseOfferStatus {
	return &allocatorpb.InverseOfferStatus{
		Status: o.status.Enum(), FrameworkId: o.framework.info.Id, Timestamp: &mesos.TimeInfo{Nanoseconds: proto.Int64(o.answeredNanoseconds())},
	}
}

func (o *inverseOffer) answeredNanoseconds() int64 {
	if o.answered.IsZero() {
		return 0
	}
	return o.answered.UnixNano()
}
