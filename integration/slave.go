package integration

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave"
	"github.com/stoa-project/stoa/slave/api"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
	realprocess "github.com/stoa-project/stoa/slave/containerizer/process"
	"github.com/stoa-project/stoa/slave/core"
)

const slavePort = "5051"

// slaveProcess is a slave through all its lives. Only the test's goroutine changes it.
type slaveProcess struct {
	cluster *Cluster
	number  int
	about   slaveSettings
	address string // the same in all lives
	life    *slaveLife
}

// slaveLife is one life of a slave's process.
type slaveLife struct {
	*process
	slave *slave.Slave
	pid   actor.PID
	dead  chan struct{} // closed when it was killed
	ended chan struct{} // closed when the process is gone
	err   error         // why, if not because it was told to
}

func (s *slaveProcess) name() string { return fmt.Sprintf("slave%d", s.number) }

// start begins a life of the slave that knows nothing of those before, in the same work_dir.
func (s *slaveProcess) start() error {
	c := s.cluster
	secrets := &slave.Secrets{}
	life := &slaveLife{dead: make(chan struct{}), ended: make(chan struct{})}
	p, err := c.startProcess(processOptions{
		name: s.name(), machine: s.name(), role: wire.RoleSlave, verify: secrets.Verify,
		address: cmp.Or(s.address, c.listenAddress(s.name(), slavePort)),
		handler: func(*actor.System) http.Handler {
			view := func() *core.View { return life.slave.View() }
			return api.New(api.Options{View: view, WorkDir: c.workDir(s.number), Version: wire.Version})
		},
	})
	if err != nil {
		return err
	}
	life.process, s.address = p, p.address
	config, err := s.config(secrets, life)
	if err != nil {
		p.close()
		return fmt.Errorf("start %s: %w", s.name(), err)
	}
	c.config.onSlave(s.number, config)
	life.slave = slave.New(*config)
	p.serve()
	life.pid = p.system.Spawn(slave.Name, life.slave.Produce)
	s.life = life
	c.ending.Go(life.watch)
	return nil
}

func (s *slaveProcess) config(secrets *slave.Secrets, life *slaveLife) (*slave.Config, error) {
	c := s.cluster
	resources, err := resource.Parse(cmp.Or(s.about.resources, c.config.resources))
	if err != nil {
		return nil, err
	}
	attributes, err := slave.ParseAttributes(cmp.Or(s.about.attributes, c.config.attributes))
	if err != nil {
		return nil, err
	}
	host, portText, err := net.SplitHostPort(s.address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, err
	}
	isolation := fake.Name
	if c.config.processes {
		isolation = realprocess.Name
	}
	return &slave.Config{
		Master: c.address, IP: host, WorkDir: c.workDir(s.number), Isolation: isolation, Secrets: secrets,
		Info: &mesos.AgentInfo{
			Hostname: proto.String(host), Port: proto.Int32(int32(port)), Resources: resources.ToProto(), Attributes: attributes,
		},
		StartHost:  func(spec slave.HostSpec) (slave.Process, error) { return c.startHost(s, life, spec) },
		SwitchUser: c.config.processes && os.Geteuid() == 0,
	}, nil
}

// watch ends the process when the slave has nothing more to do or has failed.
func (l *slaveLife) watch() {
	select {
	case <-l.slave.Done():
		l.err = l.slave.Err()
	case <-l.system.Done(l.pid):
		select {
		case <-l.slave.Done():
			l.err = l.slave.Err()
		default:
			l.err = errors.New("the slave's actor has failed")
		}
	}
	l.close()
	close(l.ended)
}

func (s *slaveProcess) kill() {
	if s.life != nil {
		close(s.life.dead)
		s.life.kill()
		<-s.life.ended
		s.life = nil
	}
}
