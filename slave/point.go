package slave

import (
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/slave/core"
)

// A point is a moment between two steps of a slave's life, at which it may die. Each event of the core is one, each output,
// and each part of what is done elsewhere for an output. A point is named by what comes next: "hears RunTask", "does Persist
// TaskAccepted"; or, elsewhere, by what is done: "wrote TaskAccepted". The time, what is measured, and what only repeats what was done elsewhere have none.

// pass tells whoever wants to know that this life has come to a point.
func (s *shell) pass(point string) {
	if s.Passed != nil {
		s.Passed(point)
	}
}

func (s *shell) hears(event core.Event) {
	if s.Passed == nil {
		return
	}
	switch e := event.(type) {
	case core.Tick, core.DiskMeasured, core.Persisted, core.PeerFound, core.SessionClosed:
	case core.Received:
		s.pass("hears " + messageName(e.Message))
	default:
		s.pass("hears " + typeName(e))
	}
}

func (s *shell) does(o core.Output) {
	if s.Passed == nil {
		return
	}
	switch o := o.(type) {
	case core.Note, core.CloseSession:
	case core.Send:
		s.pass("does Send " + messageName(o.Message))
	case core.Persist:
		for _, change := range o.Changes {
			s.pass("does Persist " + typeName(change))
		}
	default:
		s.pass("does " + typeName(o))
	}
}

func (s *shell) wrote(changes []core.Change) {
	if s.Passed == nil {
		return
	}
	for _, change := range changes {
		s.pass("wrote " + typeName(change))
	}
}

func typeName(v any) string { return reflect.TypeOf(v).Name() }

// messageName is a message's type, and for calls of executors which call it is.
func messageName(m proto.Message) string {
	name := string(m.ProtoReflect().Descriptor().Name())
	switch m := m.(type) {
	case *executorpb.Call:
		name += " " + m.GetType().String()
	case *executorpb.Event:
		name += " " + m.GetType().String()
	}
	return name
}
