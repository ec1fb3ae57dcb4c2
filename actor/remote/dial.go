package remote

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
)

// dial is an attempt to reach an address, and what waits for it.
type dial struct {
	address string
	pending pending
	node    string   // once confirmed
	conn    net.Conn // once confirmed
	done    bool     // its pending has gone elsewhere
}

// pending is what waits for a session, in order.
type pending struct {
	items []item
	bytes int
}

// item is a message, or a link.
type item struct {
	env  actor.Envelope
	link *actor.Link
}

// failure is an item that can't be sent.
type failure struct {
	item
	reason actor.Reason
	err    error
	what   outcome // of a message
}

// dial makes a connection for what waits for an address.
func (r *Remote) dial(d *dial) {
	s, err := r.connect(d)
	if err != nil {
		reason := actor.Unreachable
		if isRefusal(err) {
			reason = actor.Refused
		}
		r.log.Info().Str("address", d.address).Err(err).Msg("could not connect")
		r.giveUp(d, reason, fmt.Errorf("connect to %s: %w", d.address, err))
		return
	}
	if s != nil {
		r.begin(s)
	}
}

// connect dials and shakes hands. It returns nil without an error if another session has taken over.
func (r *Remote) connect(d *dial) (*session, error) {
	ctx, cancel := context.WithTimeout(r.life, r.options.DialTimeout)
	defer cancel()
	conn, err := r.options.Network.Dial(ctx, d.address)
	if err != nil {
		return nil, err
	}
	if !r.track(conn) {
		_ = conn.Close()
		return nil, errClosed
	}
	defer r.untrack(conn)
	s, err := r.shake(d, conn)
	if s == nil {
		_ = conn.Close()
	}
	return s, err
}

func (r *Remote) shake(d *dial, conn net.Conn) (*session, error) {
	if err := conn.SetDeadline(time.Now().Add(r.options.HandshakeTimeout)); err != nil {
		return nil, err
	}
	g, err := r.greetDialled(conn, d.address)
	if err != nil {
		return nil, err
	}
	conn = g.conn // secured, if it is to be
	confirm, wait := r.confirm(d, g, conn)
	for wait != nil {
		<-wait
		confirm, wait = r.confirm(d, g, conn)
	}
	if confirm == nil {
		_ = writeHandshake(conn, "", verdictKind, &VerdictMessage{Verdict: VerdictMessage_DUPLICATE})
		return nil, nil
	}
	verdict := &VerdictMessage{}
	if err = writeHandshake(conn, "", confirmKind, confirm); err == nil {
		err = readAs(conn, verdictKind, verdict)
	}
	return r.conclude(d, g, verdict, err)
}

// await has an item wait for a session, which is dialled if nobody does so yet.
func (r *Remote) await(it item) {
	to := it.env.To
	if it.link != nil {
		to = it.link.Target
	}
	r.mu.Lock()
	if s := r.sessionFor(to); s != nil {
		failed := r.hand(s, it)
		r.mu.Unlock()
		r.fail(failed)
		return
	}
	if d := r.orphans[to.Node]; d != nil && !r.closed {
		r.add(d, it)
		return
	}
	switch {
	case r.closed:
		r.mu.Unlock()
		r.fail([]failure{{item: it, reason: actor.Unreachable, err: errClosed, what: notOpen}})
		return
	case to.Address == "":
		r.mu.Unlock()
		err := fmt.Errorf("node %s is not connected, and has no address", to.Node)
		r.fail([]failure{{item: it, reason: actor.Unreachable, err: err, what: notOpen}})
		return
	}
	d := r.dials[to.Address]
	if d == nil {
		d = &dial{address: to.Address}
		r.dials[to.Address] = d
		r.running.Go(func() { r.dial(d) })
	}
	r.add(d, it)
}

// add appends an item to what waits for a dial, and unlocks r.mu.
func (r *Remote) add(d *dial, it item) {
	size := 0
	if m, ok := it.env.Message.(proto.Message); ok {
		size = proto.Size(m)
	}
	p := &d.pending
	o := &r.options
	if it.link == nil && len(p.items) > 0 && (len(p.items) >= o.SendQueueMessages || p.bytes+size > o.SendQueueBytes) {
		overflow := fmt.Errorf("%d messages with %d bytes wait for a connection to %s", len(p.items), p.bytes, d.address)
		failed := p.failAll(actor.Overflow, overflow)
		r.mu.Unlock()
		r.fail(append(failed, failure{item: it, reason: actor.Overflow, err: overflow, what: notOpen}))
		return
	}
	if it.link != nil {
		it.link.Place = d
	}
	p.items = append(p.items, it)
	p.bytes += size
	r.mu.Unlock()
}

// failAll makes failures of all that waits.
func (p *pending) failAll(reason actor.Reason, err error) []failure {
	var failed []failure
	for _, it := range p.items {
		if it.link != nil && it.link.Place == nil {
			continue // taken back
		}
		if it.link != nil {
			it.link.Place = nil
		}
		failed = append(failed, failure{item: it, reason: reason, err: err, what: notOpen})
	}
	*p = pending{}
	return failed
}

// fail reports what can't be sent. r.mu must not be held.
func (r *Remote) fail(failed []failure) {
	for _, f := range failed {
		if f.link != nil {
			f.link.End(f.reason, f.err)
		} else {
			r.notSent(f.env, f.what, f.reason, f.err)
		}
	}
}

// hand gives an item to a session. r.mu is held.
func (r *Remote) hand(s *session, it item) []failure {
	if it.link != nil {
		return r.handLink(s, it)
	}
	if reason, err := s.mismatch(it.env.To); reason != 0 {
		return []failure{{item: it, reason: reason, err: err, what: notOpen}}
	}
	switch what, reason, err := s.send(&it.env); what {
	case queued:
		return nil
	case notOpen:
		return []failure{{item: it, reason: actor.Disconnected, err: errOver, what: what}}
	default:
		return []failure{{item: it, reason: reason, err: err, what: what}}
	}
}

func (r *Remote) handLink(s *session, it item) []failure {
	reason, err := s.mismatch(it.link.Target)
	if reason == 0 {
		if s.link(it.link) {
			return nil
		}
		reason, err = actor.Disconnected, errOver
	}
	it.link.Place = nil
	return []failure{{item: it, reason: reason, err: err}}
}

// confirm decides, when a dial knows whom it has reached, whether the connection is needed. It returns nil if what waits has gone to
// another, and a channel if that has to end before.
func (r *Remote) confirm(d *dial, g greeting, conn net.Conn) (*ConfirmMessage, <-chan struct{}) {
	r.mu.Lock()
	node := g.hello.Node
	if s := r.sessions[node]; s != nil {
		if s.over.Load() {
			r.mu.Unlock()
			return nil, s.finished
		}
		if !sameIdentity(s.peer, g.hello) { // who answers where we dialled is the one that was meant
			r.mu.Unlock()
			s.end(ending{reason: actor.Refused, err: fmt.Errorf("%s is the id of the %s at %s", node, g.hello.Role, d.address), polite: true})
			return nil, s.finished
		}
		if s.peer.Incarnation >= g.hello.Incarnation {
			r.aliases[d.address] = s
			failed := r.handAll(s, r.withdraw(d))
			r.mu.Unlock()
			r.fail(failed)
			return nil, nil
		}
		r.mu.Unlock()
		s.end(ending{reason: actor.NewIncarnation})
		return nil, s.finished
	}
	if other := r.confirmed[node]; other != nil {
		p := r.withdraw(d)
		other.pending.items = append(other.pending.items, p.items...)
		other.pending.bytes += p.bytes
		moveLinks(p, other)
		r.mu.Unlock()
		return nil, nil
	}
	r.order++
	d.node, d.conn = node, conn
	r.confirmed[node] = d
	last := r.ends[node]
	m := &ConfirmMessage{Order: r.order, LastReason: uint32(last.reason)}
	if last.err != nil {
		m.LastError = last.err.Error()
	}
	r.mu.Unlock()
	return m, nil
}

func moveLinks(p pending, to *dial) {
	for _, it := range p.items {
		if it.link != nil && it.link.Place != nil {
			it.link.Place = to
		}
	}
}

// withdraw takes a dial out of the tables and gives what waited for it. r.mu is held.
func (r *Remote) withdraw(d *dial) pending {
	d.done = true
	if r.dials[d.address] == d {
		delete(r.dials, d.address)
	}
	if r.confirmed[d.node] == d {
		delete(r.confirmed, d.node)
	}
	if d.conn != nil {
		_ = d.conn.SetDeadline(longAgo)
	}
	p := d.pending
	d.pending = pending{}
	return p
}

// conclude follows the peer's verdict on a dial.
func (r *Remote) conclude(d *dial, g greeting, verdict *VerdictMessage, err error) (*session, error) {
	r.mu.Lock()
	if d.done { // a connection that the peer has dialled took over
		r.mu.Unlock()
		return nil, nil
	}
	switch {
	case err != nil:
		r.mu.Unlock()
		return nil, err
	case verdict.Verdict == VerdictMessage_DUPLICATE:
		r.orphan(d, g.hello.Node)
		r.mu.Unlock()
		return nil, nil
	case verdict.Verdict != VerdictMessage_READY:
		r.mu.Unlock()
		return nil, &refusal{text: verdict.Text}
	case r.closed:
		r.mu.Unlock()
		return nil, errClosed
	}
	s := newSession(r, g, verdict.Order)
	r.aliases[d.address] = s
	failed := r.open(s, r.withdraw(d))
	r.mu.Unlock()
	r.fail(failed)
	return s, nil
}

// orphan leaves what waits for d to the session that the peer says there is, or is about to be. r.mu is held.
func (r *Remote) orphan(d *dial, node string) {
	p := r.withdraw(d)
	if s := r.sessions[node]; s != nil && !s.over.Load() {
		r.aliases[d.address] = s
		failed := r.handAll(s, p)
		r.running.Go(func() { r.fail(failed) })
		return
	}
	o := r.orphans[node]
	if o == nil {
		o = &dial{address: d.address, node: node}
		r.orphans[node] = o
		time.AfterFunc(r.options.HandshakeTimeout, func() {
			r.giveUp(o, actor.Unreachable, fmt.Errorf("connect to %s: the other connection that it spoke of did not come", o.address))
		})
	}
	o.pending.items = append(o.pending.items, p.items...)
	o.pending.bytes += p.bytes
	moveLinks(p, o)
}

// giveUp fails all that waits for a dial.
func (r *Remote) giveUp(d *dial, reason actor.Reason, err error) {
	r.mu.Lock()
	if d.done {
		r.mu.Unlock()
		return
	}
	if r.orphans[d.node] == d {
		delete(r.orphans, d.node)
	}
	p := r.withdraw(d)
	failed := p.failAll(reason, err)
	r.mu.Unlock()
	r.fail(failed)
}
