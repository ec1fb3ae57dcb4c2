package actor

import (
	"cmp"
	"slices"
	"sync"
)

// askLinksKept is how many links an actor keeps to actors of which it has asked something, with no question open, so that the next
// question needs no new one.
const askLinksKept = 16

// exit is the end of a link on its way to the owner.
type exit struct {
	link   *Link
	reason Reason
	err    error
}

// broken says that a message to an actor was lost, so the link to it ends.
type broken struct {
	to     PID
	reason Reason
	err    error
}

// Link implements Context.
func (c *cell) Link(pid PID) {
	l := c.linkTo(pid)
	if !l.user && l.asks == 0 {
		c.extra.idleLinks--
	}
	l.user = true
}

// Unlink implements Context.
func (c *cell) Unlink(pid PID) {
	l := c.findLink(pid)
	if l == nil || !l.user {
		return
	}
	l.user = false
	if l.asks == 0 {
		c.dropLink(l)
	}
}

func (c *cell) findLink(pid PID) *Link {
	if c.extra == nil {
		return nil
	}
	return c.extra.links[pid.key()]
}

// linkTo finds or makes the one link to pid. A new one counts as idle until it is used.
func (c *cell) linkTo(pid PID) *Link {
	if l := c.findLink(pid); l != nil {
		return l
	}
	l := &Link{Target: pid, owner: c}
	c.setLink(l)
	c.extra.idleLinks++
	c.sys.attach(l)
	return l
}

func (c *cell) setLink(l *Link) {
	x := c.more()
	if x.links == nil {
		x.links = make(map[PID]*Link)
	}
	x.links[l.Target.key()] = l
}

// dropLink forgets a link that nobody needs.
func (c *cell) dropLink(l *Link) {
	delete(c.extra.links, l.Target.key())
	c.sys.detach(l)
}

// linkEnded is called from wherever the end was noticed.
func (c *cell) linkEnded(l *Link, reason Reason, err error) {
	c.box.post(envelope{kind: exitMail, message: &exit{link: l, reason: reason, err: err}})
}

// linkOver handles the end of a link, unless it was taken back in the meantime.
func (c *cell) linkOver(e *exit) {
	key := e.link.Target.key()
	if c.extra == nil || c.extra.links[key] != e.link {
		return
	}
	delete(c.extra.links, key)
	if !e.link.user && e.link.asks == 0 {
		c.extra.idleLinks--
	}
	if e.link.asks > 0 {
		c.failAsks(e.link, &ExitError{PID: e.link.Target, Reason: e.reason, Err: e.err})
	}
	if e.link.user {
		c.sys.ended.count(c, e)
		c.hand(Exited{PID: e.link.Target, Reason: e.reason, Err: e.err}, nil, 0)
	}
}

// LinksEnded counts the Exited that the actors of a node got of actors of other nodes.
type LinksEnded struct {
	// Role is that of the other node; empty if it was never connected.
	Role   Role
	Reason Reason
	Count  int64
}

// linksEnded are those of a node.
type linksEnded struct {
	mu     sync.Mutex
	counts map[LinksEnded]int64 // by role and reason
}

// count counts one end of a link that an actor is about to be told of, and logs it. Those of actors of the same node are not counted.
func (n *linksEnded) count(owner *cell, e *exit) {
	if _, where := owner.sys.locate(e.link.Target); where != elsewhere {
		return
	}
	owner.Log().Debug().Stringer("linked", e.link.Target).Str("role", string(e.link.Role)).
		Stringer("reason", e.reason).AnErr("error", e.err).Msg("link ended")
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.counts == nil {
		n.counts = make(map[LinksEnded]int64)
	}
	n.counts[LinksEnded{Role: e.link.Role, Reason: e.reason}]++
}

// LinksEnded counts the links to actors of other nodes that have ended since the system was made, by role and reason.
func (s *System) LinksEnded() []LinksEnded {
	s.ended.mu.Lock()
	defer s.ended.mu.Unlock()
	all := make([]LinksEnded, 0, len(s.ended.counts))
	for n, count := range s.ended.counts {
		n.Count = count
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b LinksEnded) int { return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Reason, b.Reason)) })
	return all
}

// linkBroken ends the link to an actor that is still there, because a message between the two was lost.
func (c *cell) linkBroken(b *broken) {
	if l := c.findLink(b.to); l != nil {
		c.sys.detach(l)
		c.linkOver(&exit{link: l, reason: b.reason, err: b.err})
	}
}

// watch adds l to those who are told of this actor's end; false if that was before.
func (c *cell) watch(l *Link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return false
	}
	l.position = len(c.watchers)
	c.watchers = append(c.watchers, l)
	return true
}

// unwatch takes l out again; false if it was not there.
func (c *cell) unwatch(l *Link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.position >= len(c.watchers) || c.watchers[l.position] != l {
		return false
	}
	c.takeOut(l)
	return true
}

// takeOut removes l from the watchers, whose order does not matter. c.mu is held.
func (c *cell) takeOut(l *Link) {
	last := len(c.watchers) - 1
	c.watchers[l.position] = c.watchers[last]
	c.watchers[l.position].position = l.position
	c.watchers[last] = nil
	c.watchers = c.watchers[:last]
}

// unwatchBy takes out the link that owner holds to this actor; nil if there is none.
func (c *cell) unwatchBy(owner *cell) *Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.watchers {
		if l.owner == mailOwner(owner) {
			c.takeOut(l)
			return l
		}
	}
	return nil
}

// overflowed ends the links between two local actors, one of which had no room for a message of the other.
func (s *System) overflowed(from, to *cell) {
	if from == nil {
		return
	}
	if l := to.unwatchBy(from); l != nil {
		l.End(Overflow, nil)
	}
	if l := from.unwatchBy(to); l != nil {
		l.End(Overflow, nil)
	}
}

// attach starts a link's watch over its target.
func (s *System) attach(l *Link) {
	c, where := s.locate(l.Target)
	switch {
	case where == elsewhere:
		if t := s.remote(); t != nil {
			t.Link(l)
			return
		}
		l.End(Unreachable, errNoTransport)
	case where == otherLife:
		l.End(NewIncarnation, nil)
	case c == nil || !c.watch(l):
		l.End(NoSuchActor, nil)
	default:
		l.target = c
	}
}

// detach ends a link's watch.
func (s *System) detach(l *Link) {
	if l.target != nil {
		l.target.unwatch(l)
		return
	}
	if _, where := s.locate(l.Target); where == elsewhere {
		if t := s.remote(); t != nil {
			t.Unlink(l)
		}
	}
}
