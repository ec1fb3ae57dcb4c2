package core

import (
	"maps"
	"time"

	"github.com/tidwall/btree"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/allocatorpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// View is what readers see of the master: all of it at one moment. It never changes, so it may be read on any goroutine
// and kept for as long as one likes, and to take one costs the same in clusters of any size.
//
// The core keeps one that does change (Core.view). Its entries are replaced, never changed, and an event replaces as many
// as it concerns; its maps are trees of which copies share all that has not changed since. What can be added up from
// entries is added up by the reader.
type View struct {
	Snapshot
	about *about

	slaves     *btree.Map[string, *shownSlave]      // by id
	expected   *btree.Map[string, *mesos.AgentInfo] // of the registry, that have not registered with this master
	frameworks *btree.Map[string, *shownFramework]  // by id
	completed  []*shownFramework                    // oldest first
	executors  *btree.Map[string, *executor]        // by framework, slave and id
	offers     *btree.Map[uint64, *offer]           // by number
	inverse    *btree.Map[uint64, *mesos.InverseOffer]
	tasks      *btree.Map[string, *mesos.Task] // by framework and id
	past       *btree.Map[uint64, past]        // tasks that have ended, oldest first
	weights    map[string]float64
	quotas     map[string]registry.Quota
	windows    []registry.Window // of maintenance
	down       map[registry.Machine]bool
}

// about is what does not change in a master's life.
type about struct {
	info   *mesos.MasterInfo
	config Config
}

// shownSlave is a slave as readers see it.
type shownSlave struct {
	info                     *mesos.AgentInfo
	version, address         string
	registered, reregistered time.Time
	connected, deactivated   bool
	drain                    *mesos.DrainInfo
	drainedSince             time.Time
	total                    resource.Resources
	holdings                 []allocator.Holding
	window                   *window                           // in which its machine is away; nil: none
	answers                  []*allocatorpb.InverseOfferStatus // of who is asked to leave it
}

// shownFramework is a framework as readers see it.
type shownFramework struct {
	info                                   *mesos.FrameworkInfo
	connected, recovered                   bool
	registered, reregistered, unregistered time.Time
	unreachable                            []*mesos.Task
	constraints                            *schedulerpb.OfferConstraints
}

// touched is whom the event in hand concerns.
type touched struct {
	slaves     []string
	frameworks []*framework
}

func (c *Core) newView() View {
	return View{
		about:      &about{c.master, c.config},
		slaves:     &btree.Map[string, *shownSlave]{},
		expected:   &btree.Map[string, *mesos.AgentInfo]{},
		frameworks: &btree.Map[string, *shownFramework]{},
		executors:  &btree.Map[string, *executor]{},
		offers:     &btree.Map[uint64, *offer]{},
		inverse:    &btree.Map[uint64, *mesos.InverseOffer]{},
		tasks:      &btree.Map[string, *mesos.Task]{},
		past:       &c.history.tasks,
	}
}

// View returns what there is now.
func (c *Core) View() *View {
	v := c.view
	v.Snapshot = c.Snapshot()
	v.slaves, v.expected, v.frameworks, v.executors = v.slaves.Copy(), v.expected.Copy(), v.frameworks.Copy(), v.executors.Copy()
	v.offers, v.inverse, v.tasks, v.past = v.offers.Copy(), v.inverse.Copy(), v.tasks.Copy(), c.history.tasks.Copy()
	return &v
}

// touchSlave has what readers see of a slave made anew when the event in hand has been handled.
func (c *Core) touchSlave(id string) { c.touched.slaves = append(c.touched.slaves, id) }

// touchDraining is touchSlave for one whose tasks come or go: what is seen of that is whether it has been emptied.
func (c *Core) touchDraining(sl *slave) {
	if _, draining := c.registry.Draining[sl.id]; draining {
		c.touchSlave(sl.id)
	}
}

func (c *Core) touchFramework(f *framework) {
	if n := len(c.touched.frameworks); n == 0 || c.touched.frameworks[n-1] != f {
		c.touched.frameworks = append(c.touched.frameworks, f)
	}
}

// renewView brings the view up to date with those that were touched.
func (c *Core) renewView() {
	if c.allocator == nil {
		return
	}
	for _, id := range c.touched.slaves {
		c.renewSlave(id)
	}
	for _, id := range c.allocator.Changed() {
		c.renewSlave(id)
	}
	for _, f := range c.touched.frameworks {
		c.renewFramework(f)
	}
	c.touched.slaves, c.touched.frameworks = c.touched.slaves[:0], c.touched.frameworks[:0]
}

func (c *Core) renewSlave(id string) {
	v, sl := &c.view, c.slaves[id]
	if info, admitted := c.registry.Slaves[id]; admitted && sl == nil {
		v.expected.Set(id, info)
	} else if _, was := v.expected.Get(id); was {
		v.expected.Delete(id)
	}
	var old, shown *shownSlave
	if sl == nil {
		old, _ = v.slaves.Delete(id)
	} else {
		shown = c.showSlave(sl)
		old, _ = v.slaves.Set(id, shown)
	}
	v.countSlave(old, -1)
	v.countSlave(shown, 1)
}

func (v *View) countSlave(sl *shownSlave, n int) {
	switch {
	case sl == nil:
	case sl.connected:
		v.SlavesConnected += n
	default:
		v.SlavesDisconnected += n
	}
}

func (c *Core) showSlave(sl *slave) *shownSlave {
	return &shownSlave{
		info: sl.info, version: sl.version, address: sl.address, registered: sl.registered, reregistered: sl.reregistered,
		connected: sl.connected(), deactivated: !c.registry.IsOffered(sl.id), drain: c.drainInfo(sl), drainedSince: c.registry.Draining[sl.id].Since,
		total: c.allocator.Total(sl.id), holdings: c.allocator.Holdings(sl.id), window: sl.window, answers: sl.answers(),
	}
}

func (c *Core) renewFramework(f *framework) {
	v := &c.view
	shown := showFramework(f)
	var old *shownFramework
	if c.frameworks[f.id] == f {
		old, _ = v.frameworks.Set(f.id, shown)
		v.countFramework(shown, 1)
	} else {
		old, _ = v.frameworks.Delete(f.id)
		v.completed = nil
		for _, f := range c.history.frameworks {
			v.completed = append(v.completed, showFramework(f))
		}
	}
	v.countFramework(old, -1)
}

func (v *View) countFramework(f *shownFramework, n int) {
	switch {
	case f == nil:
	case f.connected:
		v.FrameworksConnected += n
	default:
		v.FrameworksDisconnected += n
	}
}

func showFramework(f *framework) *shownFramework {
	return &shownFramework{
		info: f.info, connected: f.connected(), recovered: f.recovered,
		registered: f.registered, reregistered: f.reregistered, unregistered: f.unregistered, unreachable: f.unreachable, constraints: f.constraints,
	}
}

// showChange has readers see a change of the registry.
func (c *Core) showChange(change registry.Change) {
	switch change := change.(type) {
	case registry.SetWeights:
		c.view.weights = maps.Clone(c.registry.Weights)
	case registry.SetQuotas:
		c.view.quotas = maps.Clone(c.registry.Quotas)
	case registry.SetSchedule, registry.StartMaintenance, registry.StopMaintenance:
		c.showMaintenance()
	case registry.SlaveChange:
		c.touchSlave(change.Slave())
	}
}

// showRegistry has readers see all of a registry that a core begins with.
func (c *Core) showRegistry() {
	c.view.weights, c.view.quotas = maps.Clone(c.registry.Weights), maps.Clone(c.registry.Quotas)
	c.showMaintenance()
	for id := range c.registry.Slaves {
		c.touchSlave(id)
	}
}

func (c *Core) showMaintenance() {
	c.view.windows, c.view.down = c.registry.Maintenance.Windows, maps.Clone(c.registry.Maintenance.Down)
}

// between joins ids to a key under which they are sorted one after the other. No id contains it.
const between = "\x00"
