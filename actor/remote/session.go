package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
)

// session is one connection with one life of another node.
type session struct {
	remote  *Remote
	conn    net.Conn
	peer    Hello
	limits  limits
	version uint32
	since   time.Time
	// peerOrder is the peer's order (remote.proto) when the session began there.
	peerOrder uint64

	heard   atomic.Int64 // when the last byte came, in nanoseconds since 1970
	waiting atomic.Bool  // the reader waits for room in a mailbox
	over    atomic.Bool  // end was called
	gone    chan struct{}
	// finished is closed when the last message was delivered and the links have ended.
	finished chan struct{}

	sentMessages, sentBytes, receivedMessages, receivedBytes, roundTrip atomic.Int64

	direct *direct // nil: the connection can't be written to without waiting

	mu      sync.Mutex
	wake    *sync.Cond // of the writer
	idle    bool       // the writer waits
	lent    bool       // somebody else writes what it would, and it waits for that
	busy    bool       // the writer writes
	queue   sendQueue
	targets tableWriter[targetName]
	senders tableWriter[actor.PID]
	types   tableWriter[protoreflect.FullName]
	links   map[uint64]*actor.Link  // this node's, by their numbers
	number  uint64                  // of the last link
	watches map[uint64]*actor.Watch // the peer's links to actors of this node
	ending  ending
	beat    *time.Timer
	beaten  time.Time // when the last heartbeat was due

	attendance attendance

	in inbound
}

// limits are what the peer accepts.
type limits struct {
	messageBytes int
	tableEntries uint32
}

// ending is how a session ends.
type ending struct {
	reason actor.Reason
	err    error
	polite bool // the peer is told
}

// targetName is an actor of the peer: by the name in its PID, or by its registered name.
type targetName struct {
	name       string
	registered bool
}

func newSession(r *Remote, g greeting, order uint64) *session {
	s := &session{
		remote: r, conn: g.conn, peer: g.hello, limits: g.limits, version: g.version, since: time.Now(), peerOrder: order,
		gone: make(chan struct{}), finished: make(chan struct{}),
		links: make(map[uint64]*actor.Link), watches: make(map[uint64]*actor.Watch),
	}
	s.wake = sync.NewCond(&s.mu)
	s.direct = newDirect(g.conn)
	s.targets.limit, s.senders.limit, s.types.limit = g.limits.tableEntries, g.limits.tableEntries, g.limits.tableEntries
	s.in = newInbound(s)
	return s
}

// start runs the session: a reader, a writer, and a timer for heartbeats.
func (s *session) start() {
	now := time.Now()
	s.heard.Store(now.UnixNano())
	s.mu.Lock()
	if interval := s.remote.options.HeartbeatInterval; !s.over.Load() {
		s.beaten = now.Add(interval)
		s.beat = time.AfterFunc(interval, s.heartbeat)
	}
	s.mu.Unlock()
	s.remote.running.Go(s.readAll)
	s.remote.running.Go(s.writeAll)
}

// outcome is what became of an attempt to send.
type outcome uint8

const (
	queued   outcome = iota
	notOpen          // the session is over
	overflow         // and the session has ended for it
	notSent          // the message is at fault
)

// send queues a message.
func (s *session) send(env *actor.Envelope) (outcome, actor.Reason, error) {
	if env.Failure != nil {
		return s.sendFailure(env), 0, nil
	}
	message := env.Message.(proto.Message)
	e, isEncoded := message.(Encoded)
	size := 0
	if isEncoded {
		size = e.size()
	} else {
		size = proto.Size(message)
	}
	switch {
	case size > s.limits.messageBytes:
		return notSent, actor.TooLarge, tooLarge(message, size, s.limits.messageBytes)
	case isEncoded:
		return s.enqueue(env, message, size, slices.Clone(e.Parts))
	case size <= chunkBytes:
		return s.enqueue(env, message, size, nil)
	}
	payload, err := marshal.MarshalAppend(make([]byte, 0, size), message)
	if err != nil {
		return notSent, actor.Refused, err
	}
	return s.enqueue(env, message, size, [][]byte{payload})
}

// Encoded is a message that is marshalled already, so that it costs nothing to send it to many. It is for actors of other
// nodes only.
type Encoded struct {
	// Message is of the type that it has; what is in it does not count.
	proto.Message
	// Parts are its bytes, one after the other. Nobody may change them any more.
	Parts [][]byte
}

// decode gives the message as its receiver sees it, as far as it can be read.
func (e Encoded) decode() proto.Message {
	message := e.Message.ProtoReflect().New().Interface()
	_ = unmarshal.Unmarshal(slices.Concat(e.Parts...), message)
	return message
}

func (e Encoded) size() int {
	size := 0
	for _, part := range e.Parts {
		size += len(part)
	}
	return size
}

func tooLarge(message proto.Message, size, limit int) error {
	return fmt.Errorf("%s of %d bytes: at most %d bytes are allowed", message.ProtoReflect().Descriptor().FullName(), size, limit)
}

// marshal is deterministic in size only: Size was called just before. Missing required fields are the receiver's business.
var marshal = proto.MarshalOptions{UseCachedSize: true, AllowPartial: true}

// enqueue queues a message of so many bytes; payload, if it is marshalled already, becomes the queue's.
func (s *session) enqueue(env *actor.Envelope, message proto.Message, size int, payload [][]byte) (outcome, actor.Reason, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() {
		return notOpen, 0, nil
	}
	if !s.queue.hasRoom(size, &s.remote.options) {
		s.endLocked(ending{reason: actor.Overflow, err: s.queue.overflowError(), polite: true})
		return overflow, actor.Overflow, nil
	}
	h := header{
		kind: frameMessage, target: targetOf(env.To), sender: s.senderOf(env.From), ask: env.Ask,
		typ: message.ProtoReflect().Descriptor().FullName(),
	}
	if env.Answer {
		h.kind = frameAnswer
	}
	if payload != nil || s.queue.behindBulk(h.pair()) {
		if payload == nil {
			bytes, err := marshal.MarshalAppend(nil, message)
			if err != nil {
				return notSent, actor.Refused, err
			}
			payload = [][]byte{bytes}
		}
		s.queue.addBulk(bulk{header: h, payload: payload, size: size})
	} else if err := s.appendMessage(h, message, size); err != nil {
		return notSent, actor.Refused, err
	}
	if trace := s.remote.options.Trace; trace != nil {
		if e, ok := message.(Encoded); ok {
			message = e.decode()
		}
		trace(Traced{Peer: s.peer, Sent: true, From: env.From.Name, To: env.To.Name, Message: message})
	}
	if !env.Held || !s.queue.fewer(heldBytes) {
		s.signal()
	}
	return queued, 0, nil
}

// header is all of a message but its payload.
type header struct {
	kind   frameKind
	target targetName
	sender actor.PID
	typ    protoreflect.FullName
	ask    actor.AskID
}

func targetOf(to actor.PID) targetName { return targetName{name: to.Name, registered: to.Node == ""} }

// senderOf is from as the table has it: without an address for actors of this node, which the peer knows.
func (s *session) senderOf(from actor.PID) actor.PID {
	if from.Node == s.remote.system.Node() {
		from.Address = ""
	}
	return from
}

// appendMessage marshals a message behind what is queued. The header's definitions reach the peer in any case, so that the
// tables of both sides stay the same.
func (s *session) appendMessage(h header, message proto.Message, size int) (err error) {
	q := &s.queue
	q.scratch = s.appendHeader(q.scratch[:0], h)
	start := len(q.out)
	done := false
	defer func() {
		if !done {
			q.out = appendFrame(q.out[:start], frameVoid, q.scratch)
		}
	}()
	q.out = binary.AppendUvarint(q.out, uint64(1+len(q.scratch)+size))
	q.out = append(q.out, byte(h.kind))
	q.out = append(q.out, q.scratch...)
	out, err := marshal.MarshalAppend(q.out, message)
	if err != nil {
		return err
	}
	q.out, done = out, true
	q.outMessages++
	q.seal()
	return nil
}

func (s *session) appendHeader(b []byte, h header) []byte {
	ref, define := s.targets.ref(h.target)
	b = binary.AppendUvarint(b, ref)
	if define {
		b = appendTarget(b, h.target)
	}
	b = s.appendSender(b, h.sender)
	if h.kind&^frameChunked == frameFailure {
		return binary.AppendUvarint(b, uint64(h.ask))
	}
	ref, define = s.types.ref(h.typ)
	b = binary.AppendUvarint(b, ref)
	if define {
		b = appendText(b, string(h.typ), maxNameBytes)
	}
	return binary.AppendUvarint(b, uint64(h.ask))
}

func appendTarget(b []byte, t targetName) []byte {
	if t.registered {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return appendText(b, t.name, maxNameBytes)
}

func (s *session) appendSender(b []byte, from actor.PID) []byte {
	if from.Name == "" {
		return append(b, 0)
	}
	ref, define := s.senders.ref(from)
	b = binary.AppendUvarint(b, ref)
	if !define {
		return b
	}
	b = appendText(b, from.Name, maxNameBytes)
	if from.Node == s.remote.system.Node() && from.Incarnation == s.remote.system.Incarnation() {
		return append(b, 0)
	}
	b = appendText(b, from.Node, maxNameBytes)
	b = binary.AppendUvarint(b, from.Incarnation)
	return appendText(b, from.Address, maxNameBytes)
}

func (s *session) sendFailure(env *actor.Envelope) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() {
		return notOpen
	}
	h := header{kind: frameFailure, target: targetOf(env.To), sender: s.senderOf(env.From), ask: env.Ask}
	b := s.appendHeader(nil, h)
	b = append(b, byte(env.Failure.Reason))
	s.add(frameFailure, appendError(b, env.Failure.Err))
	return queued
}

// add queues a frame that refers to nothing that is not there yet, and that must not overtake messages. s.mu is held.
func (s *session) add(kind frameKind, body []byte) {
	if s.over.Load() {
		return
	}
	if !s.queue.hasRoom(len(body), &s.remote.options) {
		s.endLocked(ending{reason: actor.Overflow, err: s.queue.overflowError(), polite: true})
		return
	}
	s.queue.addFrame(kind, body)
	s.signal()
}

// appendError appends an error's text, and its stack if it is a panic.
func appendError(b []byte, err error) []byte {
	if err == nil {
		b = appendText(b, "", maxTextBytes)
		return appendText(b, "", maxTextBytes)
	}
	var panicked *actor.PanicError
	if errors.As(err, &panicked) {
		b = appendText(b, fmt.Sprint(panicked.Value), maxTextBytes)
		return appendText(b, string(panicked.Stack), maxTextBytes)
	}
	b = appendText(b, err.Error(), maxTextBytes)
	return appendText(b, "", maxTextBytes)
}

// readError reads what appendError wrote. It is shown to people and in messages, so what is not UTF-8 does not come through: it may have
// been cut within a letter.
func readError(c *cursor) error {
	text, stack := strings.ToValidUTF8(c.text(maxTextBytes), "\uFFFD"), c.text(maxTextBytes)
	switch {
	case stack != "":
		return &actor.PanicError{Value: text, Stack: []byte(stack)}
	case text != "":
		return errors.New(text)
	default:
		return nil
	}
}

// link has the peer watch an actor; false if the session is over.
func (s *session) link(l *actor.Link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() {
		return false
	}
	s.number++
	l.Place, l.Number, l.Role = s, s.number, s.peer.Role
	s.links[s.number] = l
	t := targetOf(l.Target)
	ref, define := s.targets.ref(t)
	b := binary.AppendUvarint(nil, ref)
	if define {
		b = appendTarget(b, t)
	}
	b = binary.AppendUvarint(b, s.number)
	// Not behind a bulk message: a link says nothing about messages before it.
	s.queue.out = appendFrame(s.queue.out, frameLink, b)
	s.queue.seal()
	s.signal()
	return true
}

func (s *session) unlink(l *actor.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links[l.Number] != l {
		return
	}
	delete(s.links, l.Number)
	s.add(frameUnlink, binary.AppendUvarint(nil, l.Number))
}

// exited tells the peer that an actor it watches has ended.
func (s *session) exited(number uint64, reason actor.Reason, err error) {
	b := binary.AppendUvarint(nil, number)
	b = append(b, byte(reason))
	b = appendError(b, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watches, number)
	s.add(frameExited, b)
}

// say queues a frame that refers to no table.
func (s *session) say(kind frameKind, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Load() || !s.queue.hasRoom(len(body), &s.remote.options) && kind == framePing {
		return // what waits will be read as life in its stead
	}
	if len(s.queue.bulks) == 0 {
		s.add(kind, body)
		return
	}
	s.queue.out = appendFrame(s.queue.out, kind, body)
	s.queue.seal()
	s.signal()
}

func (s *session) signal() {
	if s.idle {
		s.idle = false
		s.wake.Signal()
	}
}

// heartbeat runs at each interval, and when the peer's silence would be too long.
func (s *session) heartbeat() {
	o := &s.remote.options
	now := time.Now()
	s.mu.Lock()
	late := now.Sub(s.beaten) > o.HeartbeatInterval // this process did not run when it should have
	s.mu.Unlock()
	if late || s.waiting.Load() {
		s.heard.Store(now.UnixNano())
	}
	silence := now.Sub(time.Unix(0, s.heard.Load()))
	if silence >= o.SilenceTimeout {
		s.end(ending{reason: actor.Unreachable, err: fmt.Errorf("%s at %v: silent for %v", s.peer.Node, s.peer.Remote, silence.Round(time.Millisecond))})
		return
	}
	s.say(framePing, binary.AppendUvarint(nil, uint64(now.UnixNano())))
	pause := max(min(o.HeartbeatInterval, o.SilenceTimeout-silence), time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle {
		s.queue.shrink()
	}
	if !s.over.Load() {
		s.beaten = now.Add(pause)
		s.beat.Reset(pause)
	}
}

// end begins the end, once: nothing is sent or delivered any more. The reader carries it out.
func (s *session) end(e ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(e)
}

func (s *session) endLocked(e ending) {
	if s.over.Load() {
		return
	}
	s.over.Store(true)
	s.ending = e
	if s.beat != nil {
		s.beat.Stop()
	}
	if e.polite {
		if e.reason != actor.NodeShutdown {
			s.queue.drop()
		}
		s.queue.sayGoodbye(e)
		_ = s.conn.SetWriteDeadline(time.Now().Add(lingerTimeout))
		_ = s.conn.SetReadDeadline(longAgo)
	} else {
		_ = cut(s.conn)
	}
	close(s.gone)
	s.idle = false
	s.wake.Broadcast()
}

// longAgo is a deadline that ends what waits.
var longAgo = time.Unix(1, 0)

// finish tells everybody concerned of the end. Nothing of this session is delivered after it.
func (s *session) finish() {
	r := s.remote
	r.forget(s)
	s.mu.Lock()
	watches, links, e := s.watches, s.links, s.ending
	s.watches, s.links = nil, nil
	for !e.polite && (s.busy || s.lent) { // what is in hand may have been written; on a connection that is cut nobody waits
		s.wake.Wait()
	}
	lost := 0
	if !e.polite || e.reason != actor.NodeShutdown {
		lost = s.queue.messages() + s.queue.dropped
	}
	s.mu.Unlock()

	for _, w := range watches {
		w.Cancel()
	}
	node := actor.PID{Node: s.peer.Node, Incarnation: s.peer.Incarnation, Name: "*", Address: s.peer.Address}
	r.system.Lost(lost, node, e.reason, e.err)
	for _, number := range slices.Sorted(maps.Keys(links)) {
		links[number].End(e.reason, e.err)
	}
	r.logOf(s).Str("peer", s.peer.Node).Str("role", string(s.peer.Role)).Stringer("remote", s.peer.Remote).
		Stringer("reason", e.reason).AnErr("error", e.err).Msg("session ended")
	close(s.finished)
}

// logOf begins a line of the log about a session's life.
func (r *Remote) logOf(s *session) *zerolog.Event {
	if r.options.Quiet != nil && r.options.Quiet(s.peer.Role) {
		return r.log.Debug()
	}
	return r.log.Info()
}

// describe is the session as Peers shows it.
func (s *session) describe() Peer {
	s.mu.Lock()
	messages, bytes := s.queue.messages(), s.queue.bytes()
	s.mu.Unlock()
	return Peer{
		Hello: s.peer, Since: s.since,
		SentMessages: s.sentMessages.Load(), SentBytes: s.sentBytes.Load(),
		ReceivedMessages: s.receivedMessages.Load(), ReceivedBytes: s.receivedBytes.Load(),
		QueuedMessages: messages, QueuedBytes: bytes, RoundTrip: time.Duration(s.roundTrip.Load()),
	}
}
