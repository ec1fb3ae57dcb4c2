package core

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/flow"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// outgoing is what waits until it can go to the master: a message, or an update that its task keeps.
type outgoing struct {
	message proto.Message
	task    *task
	update  *update
}

// ofFramework is what most of what a slave says is.
type ofFramework interface{ GetFrameworkId() *mesos.FrameworkID }

// toMaster has a message go to the master when its framework's turn comes, if the master has accepted this slave, and says
// whether it has.
func (c *Core) toMaster(m proto.Message) bool {
	if !c.master.registered {
		return false
	}
	lane := ""
	if of, ok := m.(ofFramework); ok {
		lane = of.GetFrameworkId().GetValue()
	}
	c.letOut(lane, outgoing{message: m}, m)
	return true
}

// letOut has something go now or wait.
func (c *Core) letOut(lane string, o outgoing, m proto.Message) {
	out := &c.master.out
	if size := proto.Size(m); out.Pass(size) {
		c.send(c.master.session, m)
	} else {
		if o.update != nil {
			o.update.waits = c.master.session
		}
		out.Put(lane, o, size, o.update != nil)
	}
	c.maybeMark()
}

func (c *Core) maybeMark() {
	if n := c.master.out.Mark(); n != 0 {
		c.send(c.master.session, &wire.Mark{Number: n})
	}
}

// marked lets out what has waited for the master to hear what was said before.
func (c *Core) marked(m *wire.Marked) {
	if m.GetNumber() == introduction {
		c.introduceFurther()
		return
	}
	out := &c.master.out
	out.Echoed(m.GetNumber())
	for o, ok := out.Next(); ok; o, ok = out.Next() {
		if o.update == nil {
			c.send(c.master.session, o.message)
		} else {
			o.update.waits = 0
			c.forwardNow(o.task, o.update)
		}
		c.maybeMark()
	}
}

// forwardNow sends an update that has waited, unless it need not go any more.
func (c *Core) forwardNow(t *task, u *update) {
	if u.acknowledged || t.framework.removed || t.framework.tasks[t.id] != t || !slices.Contains(t.updates, u) {
		return
	}
	c.send(c.master.session, t.forwarded(u))
	c.sent(t, u)
}

// messageFromExecutor passes an executor's bytes on, if there is a master and room: best effort, as in Mesos.
func (c *Core) messageFromExecutor(ex *executor, data []byte) {
	m := &wire.FrameworkMessage{FrameworkId: ex.framework.info.GetId(), ExecutorId: ex.info.GetExecutorId(), Data: data}
	messages, bytes := c.master.out.Waiting(ex.framework.id)
	switch size := proto.Size(m); {
	case size > MaxFrameworkMessageBytes:
		c.dropMessage(ex, fmt.Sprintf("it has %d bytes, at most %d are allowed", size, MaxFrameworkMessageBytes))
	case !c.master.registered:
		c.note(Debug, "dropped a message of executor %s: no master", ex.id)
	case !c.master.out.HasRoom(ex.framework.id, size):
		c.dropMessage(ex, fmt.Sprintf("it has %d bytes, and %d messages of its framework, with %d bytes of all frameworks together, wait for the connection with the master: a framework may have as much waiting as is left of %d bytes",
			size, messages, bytes, flow.Limit(size)))
	default:
		c.toMaster(m)
	}
}

// dropMessage counts a message of an executor that goes nowhere, and says so now and then.
func (c *Core) dropMessage(ex *executor, why string) {
	c.counters.MessagesDropped++
	f := ex.framework
	f.dropped++
	if f.complained.IsZero() || c.now.Sub(f.complained) >= flow.ComplainInterval {
		f.complained = c.now
		c.note(Warn, "dropped a message of executor %s of framework %s, %d of the framework's so far: %s", ex.id, f.id, f.dropped, why)
	}
}
