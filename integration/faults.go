package integration

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/slave"
)

// Kill ends a process as SIGKILL does: "master", "slave2", or "host2", with whatever runs in its containers. A host that is
// killed is started again by its slave; the others stay away until Restart. Of a slave that is killed the host ends itself
// a moment later.
func (c *Cluster) Kill(process string) {
	c.t.Helper()
	p, h := c.find(process)
	switch {
	case h != nil:
		h.kill()
	case process == masterName:
		c.master.kill()
	default:
		p.kill()
	}
}

// Restart starts the master or a slave that was killed or stopped, or has ended; one that lives is killed before. It
// remembers nothing of its life before, but has the same address, and a slave the same work_dir.
func (c *Cluster) Restart(process string) {
	c.t.Helper()
	if process == masterName {
		c.master.kill()
		if err := c.master.start(); err != nil {
			c.t.Fatal(err)
		}
		return
	}
	s := c.slave(process)
	s.kill()
	if err := s.start(); err != nil {
		c.t.Fatal(err)
	}
}

// Pause leaves a process, or all of a scheduler's machine, alive, deaf and dumb: nothing comes or goes over its
// connections, but its clocks run on. Resume ends it.
func (c *Cluster) Pause(process string) { c.t.Helper(); c.linkOf(process).hold() }

// Resume ends Pause. What waited arrives.
func (c *Cluster) Resume(process string) { c.t.Helper(); c.linkOf(process).release() }

// Partition cuts two machines off from each other, until Heal. Their connections stay and are silent. It needs the network
// in memory.
func (c *Cluster) Partition(a, b string) { c.t.Helper(); c.checkMachines(a, b); c.memory.Cut(a, b) }

// Heal ends Partition and Delay between two machines. What waited arrives.
func (c *Cluster) Heal(a, b string) { c.t.Helper(); c.checkMachines(a, b); c.memory.Heal(a, b) }

// Delay has all that is sent between two machines from now on arrive later by d.
func (c *Cluster) Delay(a, b string, d time.Duration) {
	c.t.Helper()
	c.checkMachines(a, b)
	c.memory.Delay(a, b, d)
}

// Break ends all connections between two machines, with what is under way. They may connect again at once.
func (c *Cluster) Break(a, b string) { c.t.Helper(); c.checkMachines(a, b); c.memory.Break(a, b) }

// StopSlave ends a slave as SIGTERM does: its tasks are ended, and it says goodbye to the master. It returns when the
// process has ended, with what went wrong.
func (c *Cluster) StopSlave(process string) error {
	c.t.Helper()
	life := c.slave(process).life
	if life == nil {
		c.t.Fatalf("%s does not run", process)
	}
	life.system.Send(life.pid, slave.Shutdown{})
	return c.AwaitEnd(process)
}

// AwaitEnd waits until a slave's process has ended by itself, and returns why; nil if it was stopped.
func (c *Cluster) AwaitEnd(process string) error {
	c.t.Helper()
	life := c.slave(process).life
	if life == nil {
		c.t.Fatalf("%s does not run", process)
	}
	select {
	case <-life.ended:
		return life.err
	case <-time.After(Patience):
		c.t.Fatalf("%s has not ended within %v", process, Patience)
		return nil
	}
}

// AwaitSlaves waits until so many slaves are registered and connected, neither more nor less.
func (c *Cluster) AwaitSlaves(n int) {
	c.t.Helper()
	c.Await(fmt.Sprintf("%d slaves are connected", n), func() bool { return len(c.ActiveSlaves()) == n })
}

// ActiveSlaves are the ids of the slaves that are registered and connected, as the master lists them.
func (c *Cluster) ActiveSlaves() []string {
	c.t.Helper()
	var ids []string
	for _, a := range c.Ask(masterpb.Call_GET_AGENTS).GetGetAgents().GetAgents() {
		if a.GetActive() {
			ids = append(ids, a.GetAgentInfo().GetId().GetValue())
		}
	}
	return ids
}

// Ask asks the master one of the calls that need nothing but their type, such as GET_STATE.
func (c *Cluster) Ask(call masterpb.Call_Type) *masterpb.Response {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	response, err := c.Client().Call(ctx, &masterpb.Call{Type: call.Enum()})
	if err != nil {
		c.t.Fatal(err)
	}
	return response
}

// Await waits for a condition, which it looks at again and again. The test ends if it does not come within Patience.
func (c *Cluster) Await(what string, condition func() bool) {
	c.t.Helper()
	c.AwaitFor(Patience, what, condition)
}

// AwaitFor is Await with a patience of its own.
func (c *Cluster) AwaitFor(patience time.Duration, what string, condition func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(pollInterval)
	}
}

// find gives the slave or host of that name; neither for the master.
func (c *Cluster) find(process string) (*slaveProcess, *hostProcess) {
	c.t.Helper()
	names := map[string]*slaveProcess{masterName: nil}
	for _, s := range c.slaves {
		names[s.name()] = s
		names[fmt.Sprintf("host%d", s.number)] = s
	}
	s, known := names[process]
	if !known {
		c.t.Fatalf("no process %q; there are %s", process, allowed(names))
	}
	if s == nil || process == s.name() {
		return s, nil
	}
	for _, h := range c.allHosts() {
		if h.slave == s.number && h.alive() {
			return s, h
		}
	}
	c.t.Fatalf("%s does not run", process)
	return nil, nil
}

func (c *Cluster) slave(process string) *slaveProcess {
	c.t.Helper()
	s, h := c.find(process)
	if s == nil || h != nil {
		c.t.Fatalf("%s is not a slave", process)
	}
	return s
}

func (c *Cluster) linkOf(process string) *link {
	c.t.Helper()
	c.mu.Lock()
	outside := c.outside[process]
	c.mu.Unlock()
	if outside != nil {
		return outside
	}
	s, h := c.find(process)
	switch {
	case h != nil:
		return h.link
	case s == nil && c.master.life != nil:
		return c.master.life.link
	case s != nil && s.life != nil:
		return s.life.link
	}
	c.t.Fatalf("%s does not run", process)
	return nil
}

func (c *Cluster) checkMachines(names ...string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	known := maps.Clone(c.outside)
	known[masterName] = nil
	for _, s := range c.slaves {
		known[s.name()] = nil
	}
	for _, name := range names {
		if _, ok := known[name]; !ok {
			c.t.Fatalf("no machine %q; there are %s", name, allowed(known))
		}
	}
	if c.config.tcp {
		c.t.Fatal("a network of TCP has no partitions; leave out integration.TCP")
	}
}
