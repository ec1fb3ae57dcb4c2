package integration

import (
	"cmp"
	"net/http"
	"net/netip"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/master/api"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	masterName = "master"
	masterPort = "5050"
	loopback   = "127.0.0.1"
)

// masterProcess is the master through all its lives.
type masterProcess struct {
	cluster *Cluster
	life    *process // nil: dead
}

// start begins a life of the master that knows nothing of those before.
func (m *masterProcess) start() error {
	c := m.cluster
	published := &master.Published{}
	p, err := c.startProcess(processOptions{
		name: masterName, machine: masterName, role: wire.RoleMaster, mailboxLimit: master.MailboxLimit, verify: master.Verify,
		address: cmp.Or(c.address, c.listenAddress(masterName, masterPort)),
		handler: func(system *actor.System) http.Handler {
			return api.New(api.Options{Published: published, Stats: system.Stats})
		},
	})
	if err != nil {
		return err
	}
	c.address = p.address
	config := master.Config{Hostname: masterName, Published: published}
	config.Address, _ = netip.ParseAddrPort(c.address) // a name in memory is none: the default will do
	c.config.onMaster(&config)
	p.system.Spawn(master.Name, master.New(config))
	p.serve()
	m.life = p
	return nil
}

func (m *masterProcess) kill() {
	if m.life != nil {
		m.life.kill()
		m.life = nil
	}
}

// listenAddress is where a new process listens.
func (c *Cluster) listenAddress(machine, port string) string {
	if c.config.tcp {
		return loopback + ":0"
	}
	return machine + ":" + port
}
