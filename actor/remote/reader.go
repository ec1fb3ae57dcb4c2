package remote

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/stoa-project/stoa/actor"
)

// inbound is the reader's side of a session. It belongs to the reader's goroutine.
type inbound struct {
	frames  frameReader
	fields  cursor // of the frame in hand
	targets tableReader[targetName]
	senders tableReader[*actor.Source]
	types   tableReader[typeEntry]
	nobody  *actor.Source
	bulk    []byte // chunks of a message to come
	foreign error  // the frame in hand names a sender that the peer may not name
	mail    actor.Deliveries
}

// typeEntry is a type of message as this node sees it.
type typeEntry struct {
	name    protoreflect.FullName
	typ     protoreflect.MessageType // nil if it is not known here
	plain   reflect.Type             // of the struct, if a zero one is an empty message; nil if typ has to make it
	refused bool                     // the peer's role may not send it
	told    bool                     // the peer was told that it is not known
}

// plainType is the struct behind a type of message that is generated code; nil for others.
func plainType(typ protoreflect.MessageType) reflect.Type {
	pointer := reflect.TypeOf(typ.Zero().Interface())
	if pointer.Kind() != reflect.Pointer {
		return nil
	}
	m, ok := reflect.New(pointer.Elem()).Interface().(proto.Message)
	if !ok || m.ProtoReflect().Type() != typ {
		return nil
	}
	return pointer.Elem()
}

// make gives an empty message, without the detour over reflection that New takes.
func (e *typeEntry) make() proto.Message {
	if e.plain == nil {
		return e.typ.New().Interface()
	}
	return reflect.New(e.plain).Interface().(proto.Message)
}

func newInbound(s *session) inbound {
	return inbound{
		frames: frameReader{read: s.readSome, little: 1},
		nobody: &actor.Source{Role: s.peer.Role},
		mail:   s.remote.system.NewDeliveries(&s.waiting, s.gone),
	}
}

func (s *session) readSome(b []byte) (int, error) {
	n, err := s.conn.Read(b)
	if n > 0 {
		s.heard.Store(time.Now().UnixNano())
		s.receivedBytes.Add(int64(n))
	}
	return n, err
}

// readAll delivers what comes until the session is over, and then ends it; or until another goroutine has taken its place.
func (s *session) readAll() {
	turn := s.beginTurn()
	over := false
	defer func() {
		switch {
		case over:
			s.in.mail.Flush()
			s.in.mail.Release()
			s.finish()
		case s.isTurn(turn): // runtime.Goexit in an actor: this goroutine can't go on
			s.remote.running.Go(s.readAll)
		}
	}()
	for {
		frame, want, err := s.in.frames.cut()
		if frame == nil && err == nil {
			s.in.mail.Flush()
			if sleeper, ok := s.in.mail.Take(); ok && !s.attend(sleeper, turn) {
				return
			}
			if err = s.in.frames.fill(want); err == nil {
				continue
			}
		}
		if over = s.over.Load(); over {
			return
		}
		if err != nil {
			over = true
			s.end(endOfReading(err))
			return
		}
		s.in.fields = cursor{rest: frame[1:]}
		if err := s.handle(frameKind(frame[0]), &s.in.fields); err != nil {
			err = cmp.Or(s.in.foreign, err)
			over = true
			s.end(ending{reason: actor.Refused, err: err, polite: true})
			return
		}
	}
}

func endOfReading(err error) ending {
	switch {
	case errors.Is(err, errFrame):
		return ending{reason: actor.Refused, err: err, polite: true}
	case errors.Is(err, io.EOF):
		return ending{reason: actor.Disconnected, err: errors.New("the peer closed the connection")}
	default:
		return ending{reason: actor.Disconnected, err: err}
	}
}

// handle carries out one frame. An error is a fault of the peer.
func (s *session) handle(kind frameKind, c *cursor) error {
	if kind == frameExited || kind == frameGoodbye {
		s.in.mail.Flush() // the end comes after the last message
	}
	switch kind {
	case frameMessage, frameAnswer, frameMessage | frameChunked, frameAnswer | frameChunked:
		return s.handleMessage(kind, c)
	case frameFailure:
		return s.handleFailure(c)
	case frameVoid:
		s.readTarget(c)
		s.readSender(c)
		s.readType(c)
		return c.fault(kind)
	case frameLink:
		return s.handleLink(c)
	case frameUnlink:
		return s.handleUnlink(c)
	case frameExited:
		return s.handleExited(c)
	case framePing:
		s.say(framePong, c.rest)
		return nil
	case framePong:
		s.roundTrip.Store(max(time.Now().UnixNano()-int64(c.uvarint()), 1))
		return c.fault(kind)
	case frameChunk:
		return s.handleChunk(c)
	case frameNotice:
		s.remote.log.Warn().Str("peer", s.peer.Node).Str("notice", c.text(maxTextBytes)).Msg("a peer reports")
		return c.fault(kind)
	case frameGoodbye:
		return s.handleGoodbye(c)
	default:
		// A later version may have more kinds; what they mean for us was settled by the version we agreed on.
		return fmt.Errorf("%w: kind %d", errFrame, kind)
	}
}

func (c *cursor) fault(kind frameKind) error {
	if c.failed {
		return fmt.Errorf("%w of kind %d", errFrame, kind)
	}
	return nil
}

func (s *session) readTarget(c *cursor) *targetName {
	return s.in.targets.at(c, func(c *cursor) targetName {
		registered := c.byte() == 1
		return targetName{name: c.text(maxNameBytes), registered: registered}
	})
}

// readSender gives a sender, which may be nobody at a node with a role. Each definition is a value of its own, because mailboxes keep it after the table has
// changed.
func (s *session) readSender(c *cursor) *actor.Source {
	source := s.in.senders.at(c, func(c *cursor) *actor.Source {
		pid := actor.PID{Name: c.text(maxNameBytes), Node: c.text(maxNameBytes)}
		if pid.Node == "" {
			pid.Node, pid.Incarnation, pid.Address = s.peer.Node, s.peer.Incarnation, s.peer.Address
		} else {
			pid.Incarnation, pid.Address = c.uvarint(), c.text(maxNameBytes)
			if s.remote.options.OwnSenders {
				s.in.foreign = fmt.Errorf("node %s may not send in the name of %v, which is another node's", s.peer.Node, pid)
				c.failed = true
			}
		}
		return &actor.Source{PID: pid, Role: s.peer.Role}
	})
	if source == nil {
		return s.in.nobody
	}
	return *source
}

func (s *session) readType(c *cursor) *typeEntry {
	return s.in.types.at(c, func(c *cursor) typeEntry {
		name := protoreflect.FullName(c.text(maxNameBytes))
		entry := typeEntry{name: name}
		if may := s.remote.options.May; may != nil {
			entry.refused = !may(s.peer.Role, name)
		}
		if typ, err := protoregistry.GlobalTypes.FindMessageByName(name); err == nil {
			entry.typ, entry.plain = typ, plainType(typ)
		}
		return entry
	})
}

func (s *session) handleMessage(kind frameKind, c *cursor) error {
	target, sender, typ := s.readTarget(c), s.readSender(c), s.readType(c)
	ask := actor.AskID(c.uvarint())
	if c.failed || target == nil || typ == nil {
		return fmt.Errorf("%w of kind %d", errFrame, kind)
	}
	payload := c.rest
	if kind&frameChunked != 0 {
		payload, s.in.bulk = s.in.bulk, nil
	}
	s.receivedMessages.Add(1)
	if typ.refused {
		s.remote.refused.Add(1)
		return fmt.Errorf("the role %q may not send %s", s.peer.Role, typ.name)
	}
	in := actor.Inbound{
		Name: target.name, Registered: target.registered, From: sender,
		Ask: ask, Answer: kind&^frameChunked == frameAnswer,
	}
	if typ.typ == nil {
		s.unknownType(typ, in)
		return nil
	}
	message := typ.make()
	if err := unmarshal.Unmarshal(payload, message); err != nil {
		return fmt.Errorf("%w: a %s that can't be read: %w", errFrame, typ.name, err)
	}
	in.Message, in.Size = message, len(payload)
	if trace := s.remote.options.Trace; trace != nil {
		trace(Traced{Peer: s.peer, From: sender.PID.Name, To: target.name, Message: message})
	}
	s.in.mail.Add(&in)
	return nil
}

// unmarshal reads into new messages only, which need no reset. Missing required fields are the receiver's business.
var unmarshal = proto.UnmarshalOptions{AllowPartial: true, Merge: true}

// unknownType counts and answers a message of a type that this node does not know: its peer is of another version.
func (s *session) unknownType(typ *typeEntry, in actor.Inbound) {
	s.remote.unknown.Add(1)
	text := fmt.Sprintf("%s does not know messages of type %s", s.remote.system.Node(), typ.name)
	if !typ.told {
		typ.told = true
		s.remote.log.Warn().Str("peer", s.peer.Node).Str("type", string(typ.name)).Msg("a message of a type that is not known here")
		s.say(frameNotice, appendText(nil, text, maxTextBytes))
	}
	to := actor.PID{Node: s.remote.system.Node(), Incarnation: s.remote.system.Incarnation(), Name: in.Name}
	failure := &actor.ExitError{PID: to, Reason: actor.Refused, Err: errors.New(text)}
	switch {
	case in.Answer: // the asker is here, and can still be told
		in.Failure = failure
		s.in.mail.Add(&in)
	case in.Ask != 0:
		s.remote.Send(actor.Envelope{To: in.From.PID, From: to, Ask: in.Ask, Answer: true, Failure: failure})
	}
}

func (s *session) handleFailure(c *cursor) error {
	target, sender := s.readTarget(c), s.readSender(c)
	ask := actor.AskID(c.uvarint())
	reason := actor.Reason(c.byte())
	err := readError(c)
	if c.failed || target == nil {
		return c.fault(frameFailure)
	}
	failure := &actor.ExitError{PID: sender.PID, Reason: reason, Err: err}
	s.in.mail.Add(&actor.Inbound{
		Name: target.name, Registered: target.registered, From: sender, Ask: ask, Answer: true, Failure: failure,
	})
	return nil
}

func (s *session) handleLink(c *cursor) error {
	target := s.readTarget(c)
	number := c.uvarint()
	if c.failed || target == nil {
		return c.fault(frameLink)
	}
	s.mu.Lock()
	held, again := len(s.watches), false
	if _, again = s.watches[number]; !again && held < maxSessionLinks {
		s.watches[number] = nil // so that an exit before Watch returns is seen below
	}
	s.mu.Unlock()
	if again || held >= maxSessionLinks {
		return fmt.Errorf("link %d: made twice, or more than %d", number, maxSessionLinks)
	}
	w := s.remote.system.Watch(target.name, target.registered, func(reason actor.Reason, err error) {
		s.exited(number, reason, err)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, held := s.watches[number]; held {
		s.watches[number] = w
	}
	return nil
}

func (s *session) handleUnlink(c *cursor) error {
	number := c.uvarint()
	s.mu.Lock()
	w := s.watches[number]
	delete(s.watches, number)
	s.mu.Unlock()
	if w != nil {
		w.Cancel()
	}
	return c.fault(frameUnlink)
}

func (s *session) handleExited(c *cursor) error {
	number := c.uvarint()
	reason := actor.Reason(c.byte())
	err := readError(c)
	if c.failed {
		return c.fault(frameExited)
	}
	s.mu.Lock()
	l := s.links[number]
	delete(s.links, number)
	s.mu.Unlock()
	if l != nil {
		l.End(reason, err)
	}
	return nil
}

func (s *session) handleChunk(c *cursor) error {
	if size := len(s.in.bulk) + len(c.rest); size > s.remote.options.MaxMessageBytes {
		return fmt.Errorf("a message of more than %d bytes: at most %d are allowed", size-1, s.remote.options.MaxMessageBytes)
	}
	s.in.bulk = append(s.in.bulk, c.rest...)
	return nil
}

func (s *session) handleGoodbye(c *cursor) error {
	reason := actor.Reason(c.byte())
	err := readError(c)
	if c.failed {
		return c.fault(frameGoodbye)
	}
	s.end(ending{reason: reason, err: err})
	return nil
}
