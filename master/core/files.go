package core

import (
	"fmt"

	"github.com/stoa-project/stoa/proto/wire"
)

// readFile brings a slave and a framework together whose tasks need files of it. A slave may read the files of those
// frameworks alone that have something on it.
func (c *Core) readFile(sl *slave, m *wire.ReadFile) {
	id := m.GetFrameworkId().GetValue()
	answer := Introduce{Slave: sl.session.id, FrameworkID: id}
	switch f := c.frameworks[id]; {
	case !sl.has(id):
		answer.Refusal = fmt.Sprintf("framework %q has no task on slave %s", id, sl.id)
	case f == nil || f.session == nil:
		answer.Refusal, answer.Later = "the framework's scheduler is away", true
	default:
		answer.Framework = f.session.id
	}
	c.emit(answer)
}

// has tells whether a framework has a task or an executor on the slave.
func (sl *slave) has(framework string) bool {
	for key := range sl.tasks {
		if key.framework == framework {
			return true
		}
	}
	for key := range sl.executors {
		if key.framework == framework {
			return true
		}
	}
	return false
}
