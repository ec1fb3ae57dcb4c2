package core

import (
	"strings"

	"github.com/tidwall/btree"

	"github.com/stoa-project/stoa/proto/wire"
)

// What concerns tens of thousands of tasks, offers or slaves at once is decided in one step and carried out in many: whoever is
// affected by it is dealt with in that step as long as it has room, and in the Ticks that follow it. Each case says why nobody
// can tell the difference, but for the time it takes.

// chore is such work.
type chore interface {
	// next deals with the next one, if there is one left.
	next(c *Core) (more bool)
}

// begin does as much of a chore as the step in hand has room for. The rest waits for the next ones.
func (c *Core) begin(w chore) {
	if c.work(w) {
		c.chores = append(c.chores, w)
	}
}

// resume goes on with the chores that wait, in turns.
func (c *Core) resume() {
	for n := len(c.chores); n > 0 && c.room > 0; n-- {
		w := c.chores[0]
		c.chores = c.chores[1:]
		c.begin(w)
	}
}

func (c *Core) work(w chore) (more bool) {
	for more = true; more && c.room > 0; c.room-- {
		more = w.next(c)
	}
	return more
}

// firstOf returns the first entry of a tree whose key is from or above, if there is one.
func firstOf[K string | uint64, V any](m *btree.Map[K, V], from K) (key K, value V, some bool) {
	m.Ascend(from, func(k K, v V) bool {
		key, value, some = k, v, true
		return false
	})
	return key, value, some
}

// taskFrom returns the first of a framework's tasks whose place is from or behind it; nil if there is none.
func (c *Core) taskFrom(f *framework, from string) *task {
	key, seen, some := firstOf(c.view.tasks, from)
	if !some || !strings.HasPrefix(key, f.id+between) {
		return nil
	}
	return f.tasks[seen.GetTaskId().GetValue()]
}

// telling tells a scheduler of its tasks, one after the other. What happens to a task meanwhile it hears as well.
type telling struct {
	framework *framework
	session   *session
	from      string // where among the tasks it goes on
	tell      func(*task)
	then      func()

	reconciles bool // it answers an implicit RECONCILE
	again      bool // the same was asked once more meanwhile
}

func (c *Core) beginTelling(f *framework, tell func(*task), then func()) {
	c.begin(&telling{framework: f, session: f.session, from: f.id + between, tell: tell, then: then})
}

func (w *telling) next(c *Core) bool {
	if w.framework.session != w.session {
		return false // It has gone.
	}
	if t := c.taskFrom(w.framework, w.from); t != nil {
		w.tell(t)
		w.from = t.sortKey + between
		return true
	}
	w.then()
	again := w.again
	w.from, w.again = w.framework.id+between, false
	return again
}

// ending ends what a framework had that has ended itself. Nobody is told of it but the slaves, so it does not matter how much later
// that is; but what happens to a slave first, finds it ended: endedOn.
type ending struct {
	framework *framework
	told      map[*slave]bool
	slaves    string // where it goes on to forget inverse offers
}

func (w *ending) next(c *Core) bool {
	f := w.framework
	if t := c.taskFrom(f, f.id+between); t != nil {
		w.end(c, t)
		return true
	}
	if key, e, some := firstOf(c.view.executors, f.id+between); some && strings.HasPrefix(key, f.id+between) {
		w.tell(c, e.slave)
		c.removeExecutor(e)
		return true
	}
	if _, o, some := firstOf(c.operationsOf(f.id), ""); some {
		w.tell(c, o.slave)
		c.dropOperation(o)
		return true
	}
	if len(c.timetable) == 0 {
		return false
	}
	id, _, some := firstOf(c.view.slaves, w.slaves)
	if !some {
		return false
	}
	w.slaves = id + between
	if o := c.slaves[id].inverse[f.id]; o != nil {
		c.forgetInverse(o)
	}
	return true
}

func (w *ending) end(c *Core, t *task) {
	w.tell(c, t.slave)
	c.endWithFramework(t)
}

// tell has a slave end what it runs of the framework.
func (w *ending) tell(c *Core, sl *slave) {
	if !w.told[sl] {
		w.told[sl] = true
		c.toSlave(sl, &wire.RemoveFramework{FrameworkId: w.framework.info.Id})
	}
}

func (c *Core) isEnding(id string) bool {
	for _, w := range c.chores {
		if w, ok := w.(*ending); ok && w.framework.id == id {
			return true
		}
	}
	return false
}

// endedOn ends the tasks on a slave whose frameworks have ended.
func (c *Core) endedOn(sl *slave) {
	for _, w := range c.chores {
		w, ok := w.(*ending)
		if !ok {
			continue
		}
		for _, t := range sl.sortedTasks() {
			if t.framework == w.framework {
				w.end(c, t)
			}
		}
	}
}
