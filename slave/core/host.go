package core

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/flow"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// hostState is the life of the host process: started, registered, ended, and after a while the next one.
type hostState struct {
	id             string  // of the process that was asked for; empty: none runs
	session        Session // 0: it has not registered, or its session ended and it is being killed
	registered     time.Time
	everRegistered bool
	failures       int           // of hosts in a row that did not live for HostStable
	wait           time.Duration // before the last start
	timer          *timer        // of its registration, or of the start of the next one

	flying int         // bytes that were sent to it, and to its command executors, and have not been answered: the sum of executor.flying
	waits  []*executor // for which there was no room yet to send more, the first one first
}

func (c *Core) startHost() {
	c.host.id = c.nextHostID()
	c.emit(StartHost{c.host.id})
	c.host.timer = c.timers.after(c.now.Add(HostRegistrationTimeout), func() {
		c.note(Warn, "host %s did not register within %s", c.host.id, HostRegistrationTimeout)
		c.emit(KillHost{c.host.id})
	})
}

func (c *Core) registerHost(s Session, p *peer, m *wire.RegisterHost) {
	switch {
	case p.proof.HostID == "" || p.proof.HostID != m.GetHostId():
		c.expel(s, "host %q did not prove itself with its secret", m.GetHostId())
		return
	case m.GetHostId() != c.host.id:
		c.expel(s, "host %q is not the one this slave runs, which is %q", m.GetHostId(), c.host.id)
		return
	case c.host.session != 0:
		c.expel(s, "host %q has a session already", m.GetHostId())
		return
	}
	p.isHost = true
	c.timers.stop(c.host.timer)
	c.host.session, c.host.registered, c.host.everRegistered = s, c.now, true
	c.note(Info, "host %s registered: process %d, isolation %s", m.GetHostId(), m.GetPid(), m.GetIsolation())
	c.send(s, &wire.HostRegistered{SlaveId: c.agentID()})
	c.launchWaiting()
	c.maybeRegister()
}

// launchWaiting gives the host the executors that have waited for one, in the order of their creation.
func (c *Core) launchWaiting() {
	var waiting []*executor
	for _, ex := range c.containers {
		if ex.state == launching {
			waiting = append(waiting, ex)
		}
	}
	slices.SortFunc(waiting, func(a, b *executor) int { return cmp.Compare(a.order, b.order) })
	for _, ex := range waiting {
		c.launch(ex)
	}
}

// ifHost does what only the registered host may ask for.
func (c *Core) ifHost(s Session, p *peer, m proto.Message, do func()) {
	if !p.isHost {
		c.expel(s, "only the registered host may say %s", m.ProtoReflect().Descriptor().Name())
		return
	}
	do()
}

// hostSessionClosed makes sure that a host with which nobody can speak is dead. Its executors are not given up before
// HostEnded: until then they may run.
func (c *Core) hostSessionClosed(s Session, reason string) {
	if c.host.session != s {
		return
	}
	c.host.session = 0
	if c.shutdown.goodbye {
		return // as asked
	}
	c.note(Warn, "host %s is gone: %s", c.host.id, reason)
	c.emit(KillHost{c.host.id})
}

func (c *Core) hostEnded(id, reason string) {
	if id != c.host.id {
		return
	}
	if s := c.host.session; s != 0 {
		c.host.session = 0
		c.closeSession(s, "the host process ended")
	}
	c.host.id = ""
	for _, ex := range c.host.waits {
		ex.waits = false
	}
	c.host.waits = nil
	c.timers.stop(c.host.timer)
	if !c.shutdown.goodbye {
		c.note(Warn, "host %s ended: %s", id, reason)
	}
	for _, containerID := range sortedKeys(c.containers) {
		// An executor that ended before may have taken others with it.
		if ex := c.containers[containerID]; ex != nil && ex.state >= registering {
			c.endExecutor(ex, &wire.ContainerExit{Cause: wire.ContainerExit_HOST_LOST, WaitStatus: killedBySignal})
		}
	}
	if !c.shutdown.begun {
		c.planHost(reason)
	}
}

// killedBySignal is the wait status of a process that SIGKILL ended.
const killedBySignal = 9

// planHost starts the next host, at once after a good one, ever later after bad ones.
func (c *Core) planHost(reason string) {
	stable := !c.host.registered.IsZero() && c.now.Sub(c.host.registered) >= HostStable
	c.host.registered = time.Time{}
	if stable {
		c.host.failures, c.host.wait = 0, 0
	}
	c.host.failures++
	if !c.host.everRegistered && c.host.failures >= MaxHostFailures {
		c.finish("no host process could be started: " + reason)
		return
	}
	c.host.wait = min(max(2*c.host.wait, HostRetryFirst), HostRetryMost)
	c.host.timer = c.timers.after(c.now.Add(c.host.wait), c.startHost)
}

func (c *Core) executorStarted(m *wire.ExecutorStarted) {
	if ex := c.containers[m.GetContainerId().GetValue()]; ex != nil {
		ex.pid = m.GetPid()
		c.landed(ex)
	}
}

func (c *Core) executorEnded(m *wire.ExecutorEnded) {
	if ex := c.containers[m.GetContainerId().GetValue()]; ex != nil {
		c.endExecutor(ex, cmp.Or(m.GetExit(), &wire.ContainerExit{}))
	}
}

// mayFly says whether so many bytes for an executor may go over the connection with the host now, which all command executors
// and all launches share; what is more than flow.Window at a time would fill its queue, and its end is that of all tasks. If they
// may not, the executor is looked at again when others have answered. What is longer goes alone.
func (c *Core) mayFly(ex *executor, bytes int) bool {
	if len(c.host.waits) > 0 || c.host.flying > 0 && c.host.flying+bytes > flow.Window {
		if !ex.waits {
			ex.waits = true
			c.host.waits = append(c.host.waits, ex)
		}
		return false
	}
	ex.flying += bytes
	c.host.flying += bytes
	return true
}

// landed takes note that what was sent for an executor has come to its end: there is room for others.
func (c *Core) landed(ex *executor) {
	if ex.flying == 0 {
		return
	}
	c.host.flying -= ex.flying
	ex.flying = 0
	waits := c.host.waits
	c.host.waits = nil
	for i, next := range waits {
		if len(c.host.waits) > 0 || c.host.session == 0 {
			c.host.waits = append(c.host.waits, waits[i:]...)
			return
		}
		next.waits = false
		if c.containers[next.containerID] != next {
			continue // It has ended in the meantime.
		}
		if next.state == launching {
			c.launch(next)
		}
		for _, t := range slices.Clone(next.tasks) {
			c.maybeDeliver(t)
		}
	}
}

// killExecutor has the host end an executor by force. Without a host it waits: the host's end ends it too.
func (c *Core) killExecutor(ex *executor) {
	ex.state = terminating
	c.timers.stop(ex.deadline)
	if c.host.session != 0 {
		c.send(c.host.session, &wire.KillExecutor{ContainerId: containerID(ex.containerID)})
	}
}

func containerID(id string) *mesos.ContainerID { return &mesos.ContainerID{Value: &id} }
