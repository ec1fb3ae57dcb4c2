package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Place is where a task runs: a container, and the session of the host that has it.
type Place struct {
	ContainerID string
	Host        Session
}

// Find says where a task runs. The framework may be left out where only one has a task of that id. The error is for whoever
// asks. Find changes nothing.
func (c *Core) Find(frameworkID, taskID string) (Place, error) {
	var found []*task
	for _, id := range slices.Sorted(maps.Keys(c.frameworks)) {
		if t := c.frameworks[id].tasks[taskID]; t != nil && (frameworkID == "" || frameworkID == id) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return Place{}, fmt.Errorf("there is no task %q that runs on this slave", taskID)
	case len(found) > 1:
		return Place{}, fmt.Errorf("task id %q is that of tasks of %d frameworks: name the framework", taskID, len(found))
	}
	t := found[0]
	switch {
	case mesos.IsTerminal(t.state()) || t.executor == nil:
		return Place{}, fmt.Errorf("task %s has ended: it is %v", taskID, t.state())
	case t.executor.state < registering || t.phase == queued:
		return Place{}, fmt.Errorf("task %s does not run yet: it is %v", taskID, t.state())
	case c.host.session == 0:
		return Place{}, fmt.Errorf("the host process of this slave is away")
	}
	return Place{ContainerID: t.executor.containerID, Host: c.host.session}, nil
}

// Host is the session of the host, 0 while there is none. Like Find it changes nothing.
func (c *Core) Host() Session { return c.host.session }
