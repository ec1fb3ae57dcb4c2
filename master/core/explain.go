package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// MaxExplainedSlaves is how many slaves an explanation looks at in all, some 2 µs each: what keeps the master's loop
	// from stalling.
	MaxExplainedSlaves = 2000

	// MaxExplainedClients is how many frameworks and roles it says something of.
	MaxExplainedClients = 20
)

// explain answers why somebody is not offered what is needed.
func (c *Core) explain(r Request, m *wire.Explain) {
	var need resource.Quantities
	for _, name := range slices.Sorted(maps.Keys(m.GetNeed())) {
		value := m.GetNeed()[name]
		if name == "" || !(value > 0) || value > resource.Float(1<<62) {
			c.refuseRequest(r, "%v of %q cannot be needed: allowed are amounts above 0 of a named scalar resource", value, name)
			return
		}
		need = append(need, resource.Quantity{Name: name, Thousandths: resource.Thousandths(value)})
	}
	clients, err := c.explained(m)
	if err != nil {
		c.refuseRequest(r, "%v", err)
		return
	}
	answer := &wire.Explanation{}
	budget := MaxExplainedSlaves / len(clients)
	for _, client := range clients {
		answer.Waiting = append(answer.Waiting, c.explainClient(client, need, budget))
	}
	c.reply(r, answer)
}

// explained returns who is meant, at least one.
func (c *Core) explained(m *wire.Explain) ([]allocatorClient, error) {
	role := or(m.GetRole(), mesos.DefaultRole)
	if err := mesos.ValidateRole(role); err != nil {
		return nil, err
	}
	var clients []allocatorClient
	if id := m.GetFrameworkId().GetValue(); id != "" {
		for _, fid := range slices.Sorted(maps.Keys(c.frameworks)) {
			if f := c.frameworks[fid]; fid == id || f.info.GetName() == id {
				for _, role := range mesos.RolesOf(f.info) {
					clients = append(clients, f.client(role))
				}
			}
		}
		if len(clients) == 0 {
			return nil, fmt.Errorf("there is no framework with the id or the name %q", id)
		}
	} else if clients = c.allocator.Clients(role); len(clients) == 0 || len(m.GetNeed()) > 0 {
		clients = []allocatorClient{{Role: role}}
	}
	return clients[:min(len(clients), MaxExplainedClients)], nil
}

func (c *Core) explainClient(client allocator.Client, need resource.Quantities, budget int) *wire.Explanation_Waiting {
	standing := c.allocator.Standing(client, need)
	m := &wire.Explanation_Waiting{Role: client.Role, Share: standing.Share, FairShare: standing.Fair, Reasons: standing.Reasons}
	if f := c.frameworks[client.Framework]; f != nil {
		m.FrameworkId, m.FrameworkName = f.info.GetId(), f.info.GetName()
	}
	if len(c.slaves) == 0 {
		m.Reasons = append(m.Reasons, "the cluster has no slaves")
	}
	if down := len(c.registry.Maintenance.Down); down > 0 {
		m.Reasons = append(m.Reasons, fmt.Sprintf("machines that are down for maintenance: %d", down))
	}
	c.view.slaves.Scan(func(id string, _ *shownSlave) bool { // Sorted as it is: to sort all of a large cluster takes long.
		m.Slaves = append(m.Slaves, c.explainSlave(client, c.slaves[id], need))
		return len(m.Slaves) < budget
	})
	m.OtherSlaves = int32(len(c.slaves) - len(m.Slaves))
	return m
}

func (c *Core) explainSlave(client allocator.Client, sl *slave, need resource.Quantities) *wire.Explanation_Slave {
	m := &wire.Explanation_Slave{SlaveId: sl.info.Id, Hostname: sl.info.GetHostname()}
	_, draining := c.registry.Draining[sl.id]
	switch {
	case !sl.connected():
		m.Reason = "not connected"
	case draining:
		m.Reason = "it is being drained"
	case c.registry.Deactivated[sl.id]:
		m.Reason = "deactivated by an operator"
	default:
		m.Reason, m.Fits = c.allocator.WhyNot(client, sl.id, need, c.now)
	}
	if sl.window != nil {
		m.Reason += "; " + sl.window.String()
	}
	return m
}
