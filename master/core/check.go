package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// Check reports the first invariant that does not hold. For tests; it walks everything.
func (c *Core) Check() error {
	for _, check := range []func() error{c.allocator.Check, c.checkSlaves, c.checkFrameworks, c.checkOffers, c.checkSessions, c.checkHoldings, c.checkBounds, c.checkView} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Core) checkSlaves() error {
	for id, sl := range c.slaves {
		_, admitted := c.registry.Slaves[id]
		switch {
		case !admitted && !c.isChanging(id):
			return fmt.Errorf("slave %s is registered and not in the registry", id)
		case sl.connected() && (c.sessions[sl.session.id] != sl.session || sl.session.slave != sl):
			return fmt.Errorf("slave %s: its session is not its own", id)
		case !sl.connected() && len(sl.offers) > 0:
			return fmt.Errorf("slave %s is disconnected and has %d offers", id, len(sl.offers))
		case !sl.connected() && !c.timers.has(slaveTimer, id) && !c.isChanging(id):
			return fmt.Errorf("slave %s is disconnected, and nothing will end that", id)
		case sl.connected() && c.timers.has(slaveTimer, id):
			return fmt.Errorf("slave %s is connected, and about to time out", id)
		case !c.allocator.HasSlave(id):
			return fmt.Errorf("slave %s is not known to the allocator", id)
		case c.allocator.IsActive(id) != (sl.connected() && c.registry.IsOffered(id)):
			return fmt.Errorf("slave %s: connected is %v, to be offered %v, and active %v", id, sl.connected(), c.registry.IsOffered(id), c.allocator.IsActive(id))
		case c.isGone(id):
			return fmt.Errorf("slave %s is registered and gone", id)
		}
		if err := c.checkInverse(sl); err != nil {
			return err
		}
		for key, t := range sl.tasks {
			if f := t.framework; t.slave != sl || !c.livesOrEnds(f) || f.tasks[key.task] != t {
				return fmt.Errorf("slave %s: task %v is not one of its framework", id, key)
			}
		}
	}
	for id := range c.registry.Slaves {
		if c.slaves[id] == nil && !c.timers.has(slaveTimer, id) && !c.isChanging(id) && !c.isBeingRemoved(id) {
			return fmt.Errorf("slave %s is expected, and nothing will end that", id)
		}
	}
	for place, sl := range c.places {
		if c.slaves[sl.id] != sl {
			return fmt.Errorf("%s is the place of slave %s, which is gone", place, sl.id)
		}
	}
	return nil
}

// checkInverse holds who is asked to leave a slave against the schedule of maintenance.
func (c *Core) checkInverse(sl *slave) error {
	switch {
	case sl.connected() && sl.window != c.timetable.find(sl) && !c.isToMaintain(sl):
		return fmt.Errorf("slave %s: its window is not that of the schedule", sl.id)
	case c.timers.has(inverseTimer, sl.id) != (sl.connected() && sl.window != nil):
		return fmt.Errorf("slave %s: connected is %v, it has a window is %v, and who is there is to be asked is not the same", sl.id, sl.connected(), sl.window != nil)
	case len(sl.inverse) > 0 && (sl.window == nil || !sl.connected()):
		return fmt.Errorf("slave %s will not be away, or is, and %d frameworks are asked to leave it", sl.id, len(sl.inverse))
	}
	for id, o := range sl.inverse {
		f := o.framework
		if f.id != id || !c.livesOrEnds(f) || o.slave != sl || o.open != (c.inverse[o.id] == o) || o.open && !f.connected() && !c.isEnding(id) && !c.isClosing(f) {
			return fmt.Errorf("slave %s: inverse offer %s is not one of framework %s", sl.id, o.id, id)
		}
	}
	return nil
}

// isBeingRemoved reports whether the registry is asked to forget a slave that never learned that it was admitted.
func (c *Core) isBeingRemoved(id string) bool {
	for _, p := range c.pending {
		if p.change.String() == "remove slave "+id {
			return true
		}
	}
	return false
}

func (c *Core) checkFrameworks() error {
	for id, f := range c.frameworks {
		switch {
		case f.connected() && (c.sessions[f.session.id] != f.session || f.session.framework != f):
			return fmt.Errorf("framework %s: its session is not its own", id)
		case !f.connected() && f.offers.Len() > 0:
			return fmt.Errorf("framework %s is disconnected and has %d offers", id, f.offers.Len())
		case f.connected() == c.timers.has(failoverTimer, id):
			return fmt.Errorf("framework %s: connected is %v, and so is its failover timer", id, f.connected())
		case f.connected() != c.timers.has(heartbeatTimer, id):
			return fmt.Errorf("framework %s: connected is %v, its heartbeat timer not", id, f.connected())
		case f.recovered && f.connected():
			return fmt.Errorf("framework %s is recovered and connected", id)
		case len(f.kills) > MaxPendingKills:
			return fmt.Errorf("framework %s has %d kills that wait", id, len(f.kills))
		case len(f.unreachable) > c.config.MaxUnreachableTasksPerFramework:
			return fmt.Errorf("framework %s has %d unreachable tasks", id, len(f.unreachable))
		}
		for tid, t := range f.tasks {
			if t.framework != f || t.id != tid || c.slaves[t.slave.id] != t.slave || t.slave.tasks[t.key()] != t {
				return fmt.Errorf("framework %s: task %s is on slave %s, which is gone or does not have it", id, tid, t.slave.id)
			}
		}
		for key, e := range f.executors {
			if e.framework != f || c.slaves[key.slave] != e.slave || e.slave.executors[e.key()] != e {
				return fmt.Errorf("framework %s: executor %v is on a slave that is gone or does not have it", id, key)
			}
		}
	}
	return nil
}

// withTasks are the frameworks that live, and those of which something lives still.
func (c *Core) withTasks() []*framework {
	list := slices.Collect(maps.Values(c.frameworks))
	for _, w := range c.chores {
		if w, ok := w.(*ending); ok {
			list = append(list, w.framework)
		}
	}
	return list
}

func (c *Core) isClosing(f *framework) bool {
	return slices.ContainsFunc(c.chores, func(w chore) bool { own, ok := w.(*closing); return ok && own.framework == f })
}

func (c *Core) isToMaintain(sl *slave) bool {
	return slices.ContainsFunc(c.chores, func(w chore) bool { tour, ok := w.(*maintaining); return ok && tour.from <= sl.id })
}

func (c *Core) livesOrEnds(f *framework) bool { return slices.Contains(c.withTasks(), f) }

func (c *Core) checkOffers() error {
	inFrameworks, inSlaves := 0, 0
	for _, f := range c.frameworks {
		inFrameworks += f.offers.Len()
	}
	gone := map[*offer]bool{}
	for _, w := range c.chores {
		if w, ok := w.(*lost); ok {
			for _, o := range w.offers.Values() {
				if c.offers[o.id] == o {
					gone[o] = true
				}
			}
		}
	}
	for _, sl := range c.slaves {
		inSlaves += len(sl.offers)
	}
	for id, o := range c.inverse {
		if o.slave.inverse[o.framework.id] != o || c.slaves[o.slave.id] != o.slave {
			return fmt.Errorf("inverse offer %s is not one of its slave", id)
		}
	}
	if inFrameworks+len(gone) != len(c.offers) || inSlaves != len(c.offers) {
		return fmt.Errorf("%d offers are open, frameworks have %d and slaves %d", len(c.offers), inFrameworks, inSlaves)
	}
	for id, o := range c.offers {
		if o.isHeld() == gone[o] || o.slave.offers[id] != o || o.isHeld() && c.frameworks[o.framework.id] != o.framework || c.slaves[o.slave.id] != o.slave {
			return fmt.Errorf("offer %s is not one of its framework and slave", id)
		}
	}
	return nil
}

func (c *Core) checkSessions() error {
	for id, s := range c.sessions {
		switch {
		case s.id != id:
			return fmt.Errorf("session %d is listed as %d", s.id, id)
		case s.slave != nil && s.framework != nil:
			return fmt.Errorf("session %d is a slave's and a framework's", id)
		case s.slave != nil && (s.slave.session != s || c.slaves[s.slave.id] != s.slave):
			return fmt.Errorf("session %d is that of slave %s, which has another or is gone", id, s.slave.id)
		case s.framework != nil && (s.framework.session != s || c.frameworks[s.framework.id] != s.framework):
			return fmt.Errorf("session %d is that of framework %s, which has another or is gone", id, s.framework.id)
		}
	}
	return nil
}

// checkHoldings adds up what tasks, executors and offers have, and compares it with the ledger.
func (c *Core) checkHoldings() error {
	type place struct {
		allocator.Client
		slave string
	}
	used, offered := map[place]resource.Resources{}, map[place]resource.Resources{}
	for _, sl := range c.slaves {
		for _, t := range sl.tasks {
			if !mesos.IsTerminal(t.state()) {
				p := place{t.framework.client(t.role), sl.id}
				used[p] = used[p].Add(t.resources)
			}
		}
		for _, e := range sl.executors {
			p := place{e.framework.client(e.role), sl.id}
			used[p] = used[p].Add(e.resources)
		}
		for _, o := range sl.offers {
			p := place{o.framework.client(o.role), sl.id}
			offered[p] = offered[p].Add(o.resources)
		}
	}
	for id := range c.slaves {
		for _, h := range c.allocator.Holdings(id) {
			p := place{h.Client, id}
			if !used[p].Equal(h.Used) || !offered[p].Equal(h.Offered) {
				return fmt.Errorf("slave %s: the ledger has %v used and %v offered by %v; its tasks and executors use %v, its offers hold %v",
					id, h.Used, h.Offered, h.Client, used[p], offered[p])
			}
			delete(used, p)
			delete(offered, p)
		}
	}
	for p, r := range used {
		if !r.IsEmpty() {
			return fmt.Errorf("slave %s: %v uses %v, which the ledger does not have", p.slave, p.Client, r)
		}
	}
	for p, r := range offered {
		if !r.IsEmpty() {
			return fmt.Errorf("slave %s: %v is offered %v, which the ledger does not have", p.slave, p.Client, r)
		}
	}
	return nil
}

// checkBounds holds counters against what is there, and history against its limits.
func (c *Core) checkBounds() error {
	var states [taskStates]int
	for _, f := range c.withTasks() {
		for _, t := range f.tasks {
			states[t.state()]++
			if len(t.seen.GetStatuses()) > MaxStatusesPerTask {
				return fmt.Errorf("task %s has %d statuses", t.id, len(t.seen.GetStatuses()))
			}
		}
	}
	h := &c.history
	kept := 0
	for _, own := range h.byID {
		kept += own.Len()
		if own.Len() > h.maxPerFramework {
			return fmt.Errorf("%d tasks of one framework are kept", own.Len())
		}
	}
	switch {
	case states != c.counters.TaskStates:
		return fmt.Errorf("tasks by state are %v, counted %v", states, c.counters.TaskStates)
	case len(h.frameworks) > h.maxFrameworks:
		return fmt.Errorf("%d completed frameworks are kept", len(h.frameworks))
	case h.tasks.Len() > h.maxTasks || kept != h.tasks.Len():
		return fmt.Errorf("%d completed tasks are kept, by framework %d", h.tasks.Len(), kept)
	case len(c.forsaken) > MaxForsakenSlaves:
		return fmt.Errorf("of %d unreachable slaves it is remembered what was lost", len(c.forsaken))
	case len(c.removed.ids) > c.removed.limit:
		return fmt.Errorf("%d removed slaves are kept", len(c.removed.ids))
	}
	return nil
}
