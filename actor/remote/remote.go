package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
)

var (
	errClosed = errors.New("this node is shutting down")
	errOver   = errors.New("the session has just ended")
)

// Remote is a node's connection to others.
type Remote struct {
	options Options
	system  *actor.System
	log     zerolog.Logger
	life    context.Context // of dials
	end     context.CancelFunc
	running sync.WaitGroup
	unknown atomic.Int64
	refused atomic.Int64
	web     *web
	blocks  sync.Pool // of send queues

	mu        sync.RWMutex
	cluster   string
	sessions  map[string]*session // by node; one that is over stays until it has finished
	aliases   map[string]*session // by the address that was dialled
	dials     map[string]*dial    // by address
	confirmed map[string]*dial    // by node: dials whose verdict has not come
	orphans   map[string]*dial    // by node: what waits for a session that the peer says there is
	ends      map[string]ending   // by node: of its last session
	order     uint64              // remote.proto
	tracked   map[net.Conn]struct{}
	listeners map[net.Listener]struct{}
	closed    bool
}

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

// Start makes the system's connection to others and sets it as the system's transport.
func Start(o Options) (*Remote, error) {
	o = o.withDefaults()
	if o.System == nil {
		return nil, errors.New("remote: no actor system given")
	}
	if longest := max(len(o.System.Node()), len(o.Advertise), len(o.Cluster), len(o.System.Role())); longest > maxNameBytes {
		return nil, fmt.Errorf("remote: node, address, cluster or role of %d bytes: at most %d are allowed", longest, maxNameBytes)
	}
	r := &Remote{
		options: o, system: o.System, log: *o.System.Log(), cluster: o.Cluster,
		sessions: make(map[string]*session), aliases: make(map[string]*session), dials: make(map[string]*dial),
		confirmed: make(map[string]*dial), orphans: make(map[string]*dial), ends: make(map[string]ending),
		tracked: make(map[net.Conn]struct{}), listeners: make(map[net.Listener]struct{}),
	}
	r.life, r.end = context.WithCancel(context.Background())
	r.web = newWeb(o)
	o.System.SetTransport(r)
	return r, nil
}

// Address implements actor.Transport.
func (r *Remote) Address() string { return r.options.Advertise }

// Cluster is the id of the cluster; empty if not known.
func (r *Remote) Cluster() string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.cluster
}

// SetCluster tells the id of the cluster, once it is known. Sessions that there are stay.
func (r *Remote) SetCluster(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cluster = id
}

// Send implements actor.Transport.
func (r *Remote) Send(env actor.Envelope) {
	if _, ok := env.Message.(proto.Message); !ok && env.Failure == nil {
		panic(fmt.Sprintf("send to %v: a %T: only protobuf messages travel between nodes", env.To, env.Message))
	}
	r.mu.RLock()
	s := r.sessionFor(env.To)
	r.mu.RUnlock()
	if s != nil {
		if r.sendOver(s, &env) {
			return
		}
	}
	r.await(item{env: env})
}

// sendOver sends a message over a session; false if that is over.
func (r *Remote) sendOver(s *session, env *actor.Envelope) bool {
	if reason, err := s.mismatch(env.To); reason != 0 {
		r.system.Undeliverable(*env, reason, err)
		return true
	}
	what, reason, err := s.send(env)
	if what == notOpen {
		return false
	}
	if what != queued {
		r.notSent(*env, what, reason, err)
	}
	return true
}

// notSent reports a message that could not be sent.
func (r *Remote) notSent(env actor.Envelope, what outcome, reason actor.Reason, err error) {
	r.system.Undeliverable(env, reason, err)
	if what != notSent {
		return
	}
	r.log.Warn().Stringer("to", env.To).Stringer("from", env.From).Err(err).Msg("a message was not sent")
	r.system.Broken(env, reason, err)
	if env.Answer { // who asked must not wait for it
		env.Failure, env.Message = &actor.ExitError{PID: env.From, Reason: reason, Err: err}, nil
		r.Send(env)
	}
}

// sessionFor finds the living session to a PID's node. r.mu is held.
func (r *Remote) sessionFor(to actor.PID) *session {
	s := r.sessions[to.Node]
	if to.Node == "" {
		s = r.aliases[to.Address]
	}
	if s == nil || s.over.Load() {
		return nil
	}
	if to.Incarnation > s.peer.Incarnation && to.Node != "" && to.Address != "" {
		return nil // a later life of the node than the one that is connected
	}
	return s
}

// mismatch says why a PID can't be reached over this session; 0 if it can.
func (s *session) mismatch(to actor.PID) (actor.Reason, error) {
	switch {
	case to.Node == "":
		return 0, nil
	case to.Node != s.peer.Node:
		return actor.NoSuchActor, fmt.Errorf("%s is node %s now", to.Address, s.peer.Node)
	case to.Incarnation != s.peer.Incarnation:
		return actor.NewIncarnation, nil
	}
	return 0, nil
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

// Link implements actor.Transport.
func (r *Remote) Link(l *actor.Link) { r.await(item{link: l}) }

// Unlink implements actor.Transport.
func (r *Remote) Unlink(l *actor.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := l.Place.(*session); ok {
		s.unlink(l)
	}
	l.Place = nil
}

// open makes s the session of its node and gives it what waits for that. r.mu is held; the failures are to be reported without it.
func (r *Remote) open(s *session, waiting ...pending) []failure {
	node := s.peer.Node
	r.sessions[node] = s
	if o := r.orphans[node]; o != nil {
		o.done = true
		delete(r.orphans, node)
		waiting = append(waiting, o.pending)
	}
	var failed []failure
	for _, p := range waiting {
		failed = append(failed, r.handAll(s, p)...)
	}
	return failed
}

func (r *Remote) handAll(s *session, p pending) []failure {
	var failed []failure
	for _, it := range p.items {
		if it.link != nil && it.link.Place == nil {
			continue // taken back
		}
		failed = append(failed, r.hand(s, it)...)
	}
	return failed
}

// forget takes a session that is over out of the tables.
func (r *Remote) forget(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.peer.Node] == s {
		delete(r.sessions, s.peer.Node)
	}
	maps.DeleteFunc(r.aliases, func(_ string, alias *session) bool { return alias == s })
	if len(r.ends) >= endsRemembered {
		for node := range r.ends { // any will do: it only explains
			delete(r.ends, node)
			break
		}
	}
	s.mu.Lock()
	r.ends[s.peer.Node] = s.ending
	for _, l := range s.links {
		l.Place = nil
	}
	s.mu.Unlock()
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

// Peers lists the sessions, by node.
func (r *Remote) Peers() []Peer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var peers []Peer
	for node, s := range r.sessions {
		if s.over.Load() {
			continue
		}
		p := s.describe()
		if last, ok := r.ends[node]; ok {
			p.LastError = last.text()
		}
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Compare(a.Node, b.Node) })
	return peers
}

func (e ending) text() string {
	if e.err == nil {
		return e.reason.String()
	}
	return fmt.Sprintf("%v: %v", e.reason, e.err)
}

// Stats are counts since Start.
type Stats struct {
	// UnknownTypes is how many messages came of types that this node does not know.
	UnknownTypes int64
	// RefusedMessages is how many came that the sender's role may not send.
	RefusedMessages int64
}

// Stats counts.
func (r *Remote) Stats() Stats {
	return Stats{UnknownTypes: r.unknown.Load(), RefusedMessages: r.refused.Load()}
}

// run runs f unless Close is under way.
func (r *Remote) run(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.running.Go(f)
	return true
}

// track notes a connection that shakes hands, so that Close can end it; false if that is under way.
func (r *Remote) track(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.tracked[conn] = struct{}{}
	return true
}

func (r *Remote) untrack(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tracked, conn)
}

// Close ends all sessions, after what is queued was sent and the peers were told, and waits for that until ctx ends; then
// it cuts them off. It stops listening and serving HTTP.
func (r *Remote) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.end()
	for conn := range r.tracked {
		_ = conn.Close()
	}
	for l := range r.listeners {
		_ = l.Close()
	}
	sessions := slices.Collect(maps.Values(r.sessions))
	r.mu.Unlock()
	for _, s := range sessions {
		s.end(ending{reason: actor.NodeShutdown, polite: true})
	}
	r.web.close(ctx)
	finished := make(chan struct{})
	go func() {
		r.running.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
	}
	for _, s := range sessions {
		_ = s.conn.Close()
	}
	<-finished
	return ctx.Err()
}
