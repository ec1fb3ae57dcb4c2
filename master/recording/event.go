package recording

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/record"
)

// encode writes an event, without its time.
func encode(event core.Event) (*record.Event, error) {
	switch e := event.(type) {
	case core.Born:
		config, err := json.Marshal(e.Config)
		if err != nil {
			return nil, fmt.Errorf("recording: config: %w", err)
		}
		return &record.Event{Event: &record.Event_Born{Born: &record.Born{Incarnation: e.Incarnation, Master: e.Master, Config: config}}}, nil
	case core.Seed:
		return &record.Event{Event: &record.Event_Seed{Seed: e.Value}}, nil
	case core.Recovered:
		return &record.Event{Event: &record.Event_Recovered{Recovered: &record.Recovered{Durable: e.Durable, Registry: encodeRegistry(e.State)}}}, nil
	case core.Opened:
		return &record.Event{Event: &record.Event_Opened{Opened: &record.Opened{Session: uint64(e.Session), Address: e.Address}}}, nil
	case core.Received:
		message, err := pack(e.Message)
		return &record.Event{Event: &record.Event_Received{Received: &record.Received{Session: uint64(e.Session), Message: message}}}, err
	case core.SessionClosed:
		return &record.Event{Event: &record.Event_Closed{Closed: &record.Closed{Session: uint64(e.Session), Reason: e.Reason}}}, nil
	case core.Asked:
		message, err := pack(e.Message)
		return &record.Event{Event: &record.Event_Asked{Asked: &record.Asked{Request: uint64(e.Request), Message: message}}}, err
	case core.Persisted:
		return &record.Event{Event: &record.Event_Persisted{Persisted: &record.Persisted{Id: e.ID, Failure: e.Failure}}}, nil
	case core.Whitelisted:
		return &record.Event{Event: &record.Event_Whitelisted{Whitelisted: &record.Whitelisted{Hostnames: e.Hostnames, All: e.All}}}, nil
	case core.Tick:
		return &record.Event{Event: &record.Event_Tick{Tick: &record.Tick{}}}, nil
	}
	panic(fmt.Sprintf("recording: event %T", event))
}

func pack(message proto.Message) (*anypb.Any, error) {
	packed, err := anypb.New(message)
	if err != nil {
		return nil, fmt.Errorf("recording: %T: %w", message, err)
	}
	return packed, nil
}

// decode reads what encode wrote.
func decode(e *record.Event) (core.Event, error) {
	switch e := e.GetEvent().(type) {
	case *record.Event_Born:
		born := core.Born{Incarnation: e.Born.GetIncarnation(), Master: e.Born.GetMaster()}
		if err := json.Unmarshal(e.Born.GetConfig(), &born.Config); err != nil {
			return nil, fmt.Errorf("recording: config: %w", err)
		}
		return born, nil
	case *record.Event_Seed:
		return core.Seed{Value: e.Seed}, nil
	case *record.Event_Recovered:
		return core.Recovered{State: decodeRegistry(e.Recovered.GetRegistry()), Durable: e.Recovered.GetDurable()}, nil
	case *record.Event_Opened:
		return core.Opened{Session: core.Session(e.Opened.GetSession()), Address: e.Opened.GetAddress()}, nil
	case *record.Event_Received:
		message, err := unpack(e.Received.GetMessage())
		return core.Received{Session: core.Session(e.Received.GetSession()), Message: message}, err
	case *record.Event_Closed:
		return core.SessionClosed{Session: core.Session(e.Closed.GetSession()), Reason: e.Closed.GetReason()}, nil
	case *record.Event_Asked:
		message, err := unpack(e.Asked.GetMessage())
		return core.Asked{Request: core.Request(e.Asked.GetRequest()), Message: message}, err
	case *record.Event_Persisted:
		return core.Persisted{ID: e.Persisted.GetId(), Failure: e.Persisted.GetFailure()}, nil
	case *record.Event_Whitelisted:
		return core.Whitelisted{Hostnames: e.Whitelisted.GetHostnames(), All: e.Whitelisted.GetAll()}, nil
	case *record.Event_Tick:
		return core.Tick{}, nil
	}
	return nil, fmt.Errorf("recording: an event of a kind that this version does not know")
}

func unpack(packed *anypb.Any) (proto.Message, error) {
	message, err := packed.UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("recording: %s: %w", packed.GetTypeUrl(), err)
	}
	return message, nil
}

// Name is an event for people: what it is, and of a message which.
func Name(event core.Event) string {
	switch e := event.(type) {
	case core.Received:
		return fmt.Sprintf("%s from session %d", kind(e.Message), e.Session)
	case core.Asked:
		return "operator's " + kind(e.Message)
	case core.Opened:
		return fmt.Sprintf("session %d opened", e.Session)
	case core.SessionClosed:
		return fmt.Sprintf("session %d closed: %s", e.Session, e.Reason)
	case core.Persisted:
		if e.Failure != "" {
			return fmt.Sprintf("change %d not persisted: %s", e.ID, e.Failure)
		}
		return fmt.Sprintf("change %d persisted", e.ID)
	case core.Born:
		return "birth of " + e.Incarnation
	case core.Recovered:
		return "registry recovered"
	}
	return fmt.Sprintf("%T", event)[len("core."):]
}

// kind names a message, and a call by what it asks for.
func kind(message proto.Message) string {
	m := message.ProtoReflect()
	if field := m.Descriptor().Fields().ByName("type"); field != nil && field.Enum() != nil {
		if value := field.Enum().Values().ByNumber(m.Get(field).Enum()); value != nil {
			return string(value.Name())
		}
	}
	return string(m.Descriptor().Name())
}

func nanoseconds(times map[string]time.Time) map[string]int64 {
	all := make(map[string]int64, len(times))
	for id, at := range times {
		all[id] = at.UnixNano()
	}
	return all
}

func times(nanoseconds map[string]int64) map[string]time.Time {
	all := make(map[string]time.Time, len(nanoseconds))
	for id, at := range nanoseconds {
		all[id] = time.Unix(0, at)
	}
	return all
}
