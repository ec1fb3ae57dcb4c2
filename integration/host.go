package integration

import (
	"errors"
	"fmt"
	"sync"

	"github.com/stoa-project/stoa/executor/command"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
	realprocess "github.com/stoa-project/stoa/slave/containerizer/process"
	"github.com/stoa-project/stoa/slave/host"
)

// errKilled is how a process that was killed ends for its parent.
var errKilled = errors.New("signal: killed")

// hostProcess is one life of a slave's host, in the place of a child process.
type hostProcess struct {
	*process
	parent        *slaveLife
	slave         int
	containerizer containerizer.Containerizer
	fake          *fake.Containerizer // the same, if commands are scripted
	done          chan error
	ended         chan struct{} // closed when nothing of it is left
	killOnce      sync.Once
	killed        chan struct{}
}

// startHost is slave.Config.StartHost.
func (c *Cluster) startHost(s *slaveProcess, parent *slaveLife, spec slave.HostSpec) (slave.Process, error) {
	h := &hostProcess{parent: parent, slave: s.number, done: make(chan error, 1), ended: make(chan struct{}), killed: make(chan struct{})}
	if c.config.processes {
		plain, err := realprocess.New(realprocess.Options{Binary: c.config.binary})
		if err != nil {
			return nil, err
		}
		h.containerizer = plain
	} else {
		h.fake = fake.New(fake.Options{Answer: c.config.commands})
		h.containerizer = h.fake
	}
	p, err := c.startProcess(processOptions{
		name: fmt.Sprintf("host%d", s.number), machine: s.name(), role: wire.RoleHost, credential: spec.Secret,
	})
	if err != nil {
		return nil, err
	}
	h.process = p
	c.mu.Lock()
	c.hosts = append(c.hosts, h)
	c.mu.Unlock()
	finished := make(chan error, 1)
	c.ending.Go(func() { h.watch(finished) })
	p.system.Spawn("host", host.New(host.Config{
		ID: spec.ID, SlaveAddress: spec.SlaveAddress, WorkDir: spec.WorkDir,
		Containerizer: h.containerizer, CommandExecutor: command.New,
		Done:         func(err error) { finished <- err },
		DirectOutput: h.fake != nil,
	}))
	return h, nil
}

// watch ends the process when the host has ended everything, or is killed.
func (h *hostProcess) watch(finished <-chan error) {
	var err error
	select {
	case err = <-finished:
	case <-h.killed:
		err = errKilled
		h.link.sever()
		// The containers' lifelines to their host end with it. Here they are told.
		if failure := h.containerizer.Close(); failure != nil {
			h.cluster.t.Errorf("%s: end its containers: %v", h.name, failure)
		}
	}
	h.close()
	h.done <- err
	close(h.ended)
}

// Done implements slave.Process.
func (h *hostProcess) Done() <-chan error { return h.done }

// Kill implements slave.Process: the slave kills its host. One that is dead itself kills nobody.
func (h *hostProcess) Kill() {
	select {
	case <-h.parent.dead:
	default:
		h.kill()
	}
}

// kill ends the host as SIGKILL does, and its containers with it.
func (h *hostProcess) kill() {
	h.killOnce.Do(func() { close(h.killed) })
	<-h.ended
}

// alive tells whether the host has not ended.
func (h *hostProcess) alive() bool {
	select {
	case <-h.ended:
		return false
	default:
		return true
	}
}
