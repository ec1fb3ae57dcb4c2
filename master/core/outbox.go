package core

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/flow"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// ofFramework is what most of what a master says to a slave is.
type ofFramework interface{ GetFrameworkId() *mesos.FrameworkID }

// laneOf is the framework for which a slave is told something; empty: none.
func laneOf(m proto.Message) string {
	switch m := m.(type) {
	case *wire.RunTask:
		return m.GetFramework().GetId().GetValue()
	case ofFramework:
		return m.GetFrameworkId().GetValue()
	}
	return ""
}

// toSlave has a message go to a slave, if that is connected, when the turn of its framework comes.
func (c *Core) toSlave(sl *slave, m proto.Message) {
	s := sl.session
	if s == nil {
		return
	}
	if size := proto.Size(m); s.out.Pass(size) {
		c.send(s, m)
	} else {
		s.out.Put(laneOf(m), m, size, false)
	}
	c.maybeMark(s)
}

// maybeToSlave does the same with what is better lost than kept in memory for a slave that does not take it.
func (c *Core) maybeToSlave(sl *slave, f *framework, m proto.Message) {
	if why := c.noRoom(sl, f, proto.Size(m)); why != "" {
		c.counters.MessagesDropped++
		f.dropped++
		if f.complained.IsZero() || c.now.Sub(f.complained) >= flow.ComplainInterval {
			f.complained = c.now
			c.warn("framework %s: a %s to slave %s was dropped, %d of the framework's so far: %s", f.id, m.ProtoReflect().Descriptor().Name(), sl.id, f.dropped, why)
		}
		return
	}
	c.toSlave(sl, m)
}

// noRoom says why so many bytes of a framework can't go to a slave now; empty: they can.
func (c *Core) noRoom(sl *slave, f *framework, size int) string {
	switch {
	case size > MaxSlaveMessageBytes:
		return fmt.Sprintf("it has %d bytes, at most %d are allowed", size, MaxSlaveMessageBytes)
	case sl.session == nil || sl.session.out.HasRoom(f.id, size):
		return ""
	}
	messages, bytes := sl.session.out.Waiting(f.id)
	return fmt.Sprintf("it has %d bytes, and %d messages of its framework, with %d bytes of all frameworks together, wait for the connection with slave %s: a framework may have as much waiting as is left of %d bytes",
		size, messages, bytes, sl.id, flow.Limit(size))
}

func (c *Core) maybeMark(s *session) {
	if n := s.out.Mark(); n != 0 {
		c.send(s, &wire.Mark{Number: n})
	}
}

// marked lets out what has waited for a slave to hear what was said before.
func (c *Core) marked(s *session, m *wire.Marked) {
	s.out.Echoed(m.GetNumber())
	for message, ok := s.out.Next(); ok; message, ok = s.out.Next() {
		c.send(s, message)
		c.maybeMark(s)
	}
}
