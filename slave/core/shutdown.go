package core

import (
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// shutdownState is how far a graceful end has come.
type shutdownState struct {
	begun    bool // executors were told to end
	goodbye  bool // they have, the master knows it, and the host was left alone so that it ends
	finished bool
	reason   string
}

// beginShutdown ends every executor, in the time that each may take.
func (c *Core) beginShutdown() {
	if c.shutdown.begun {
		return
	}
	c.shutdown.begun = true
	for _, id := range sortedKeys(c.containers) {
		ex := c.containers[id]
		ex.blame(mesos.KilledBySlave)
		c.shutdownExecutor(ex, c.grace(ex), &verdict{
			state:   mesos.TaskState_TASK_KILLED,
			reason:  mesos.TaskStatus_REASON_EXECUTOR_TERMINATED,
			message: "the slave was shut down",
			cause:   mesos.CauseKilled,
		})
	}
}

// maybeFinishShutdown takes the next step of a graceful end when there is nothing left to wait for. The updates of
// the tasks must be on the disk before the master hears goodbye; it does not acknowledge them any more.
func (c *Core) maybeFinishShutdown() {
	if !c.shutdown.begun || c.shutdown.finished || len(c.containers) > 0 || len(c.unpersisted) > 0 {
		return
	}
	if !c.shutdown.goodbye {
		c.shutdown.goodbye = true
		if c.slaveID != "" {
			// An end may wait behind updates that were not acknowledged yet. Nobody will acknowledge them now, and
			// whoever wants to know how a task ended hears it while there is somebody to tell it.
			c.eachTask(func(t *task) {
				if len(t.updates) > 1 {
					c.forward(t)
					c.forwardRest(t)
				}
			})
			if c.master.registered { // Before what still waits, if need be: nobody waits for that any more.
				c.send(c.master.session, &wire.UnregisterSlave{SlaveId: c.agentID()})
			}
		}
		if c.host.session != 0 {
			// A host whose slave has gone ends by itself, and cleans up better than one that is killed.
			c.closeSession(c.host.session, "the slave is shutting down")
			c.host.session = 0
			id := c.host.id
			c.timers.stop(c.host.timer)
			c.host.timer = c.timers.after(c.now.Add(HostGoodbye), func() { c.emit(KillHost{id}) })
		} else if c.host.id != "" {
			c.emit(KillHost{c.host.id})
		}
	}
	if c.host.id == "" {
		c.finish(c.shutdown.reason)
	}
}

// finish tells the shell that this is the end.
func (c *Core) finish(reason string) {
	if !c.shutdown.finished {
		c.shutdown.finished = true
		c.emit(Finished{reason})
	}
}
