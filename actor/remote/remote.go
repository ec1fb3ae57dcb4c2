package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

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
	waiting *admission    // accepted connections that shake hands
	turns   chan struct{} // as many as may write full blocks at a time

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
	r.turns = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	r.web = newWeb(o)
	r.waiting = newAdmission(o, r.log)
	o.System.SetTransport(r)
	return r, nil
}

// System is the node whose messages are carried.
func (r *Remote) System() *actor.System { return r.system }

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
func (r *Remote) Send(env actor.Envelope) actor.Connection {
	if _, ok := env.Message.(proto.Message); !ok && env.Failure == nil {
		panic(fmt.Sprintf("send to %v: a %T: only protobuf messages travel between nodes", env.To, env.Message))
	}
	r.mu.RLock()
	s := r.sessionFor(env.To)
	r.mu.RUnlock()
	if s != nil && r.sendOver(s, &env) {
		if env.Held {
			return s
		}
		return nil
	}
	env.Held = false // whoever hands it on later does not flush
	r.await(item{env: env})
	return nil
}

// sendOver sends a message over a session; false if that is over.
func (r *Remote) sendOver(s *session, env *actor.Envelope) bool {
	if reason, err := s.mismatch(env.To); reason != 0 {
		r.system.Undeliverable(*env, reason, err)
		return true
	}
	env.Held = env.Held && s.direct != nil
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
	// HandshakesClosed is how many unfinished handshakes were closed to make room for others.
	HandshakesClosed int64
}

// Stats counts.
func (r *Remote) Stats() Stats {
	return Stats{UnknownTypes: r.unknown.Load(), RefusedMessages: r.refused.Load(), HandshakesClosed: r.waiting.closed.Load()}
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
