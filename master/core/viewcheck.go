package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
)

// checkView compares what readers see with the same made from scratch.
func (c *Core) checkView() error {
	live, fresh := &c.view, c.freshView()
	for what, same := range map[string]bool{
		"slaves":                 sameEntries(live.slaves, fresh.slaves, sameShownSlave),
		"slaves that may come":   sameEntries(live.expected, fresh.expected, same[*mesos.AgentInfo]),
		"frameworks":             sameEntries(live.frameworks, fresh.frameworks, sameShownFramework),
		"completed frameworks":   slices.EqualFunc(live.completed, fresh.completed, sameShownFramework),
		"executors":              sameEntries(live.executors, fresh.executors, same[*executor]),
		"offers":                 sameEntries(live.offers, fresh.offers, same[*offer]),
		"inverse offers":         sameEntries(live.inverse, fresh.inverse, same[*mesos.InverseOffer]),
		"tasks":                  sameEntries(live.tasks, fresh.tasks, same[*mesos.Task]),
		"weights":                maps.Equal(live.weights, fresh.weights),
		"quotas":                 maps.EqualFunc(live.quotas, fresh.quotas, sameQuota),
		"machines that are away": maps.Equal(live.down, fresh.down),
		"windows":                slices.EqualFunc(live.windows, fresh.windows, sameWindow),
		"counts": live.SlavesConnected == fresh.SlavesConnected && live.SlavesDisconnected == fresh.SlavesDisconnected &&
			live.FrameworksConnected == fresh.FrameworksConnected && live.FrameworksDisconnected == fresh.FrameworksDisconnected,
	} {
		if !same {
			return fmt.Errorf("readers see other %s than there are", what)
		}
	}
	return nil
}

// freshView makes the view anew from all that there is.
func (c *Core) freshView() *View {
	scratch := *c
	scratch.view = c.newView()
	v := &scratch.view
	v.weights, v.quotas = c.registry.Weights, c.registry.Quotas
	v.windows, v.down = c.registry.Maintenance.Windows, c.registry.Maintenance.Down
	for id := range c.slaves {
		scratch.renewSlave(id)
	}
	for id := range c.registry.Slaves {
		scratch.renewSlave(id)
	}
	for _, f := range c.frameworks {
		scratch.renewFramework(f)
	}
	for _, f := range c.withTasks() {
		for _, t := range f.tasks {
			v.tasks.Set(t.sortKey, t.seen)
		}
		for _, e := range f.executors {
			v.executors.Set(e.sortKey(), e)
		}
	}
	for _, f := range c.history.frameworks {
		scratch.renewFramework(f)
	}
	for _, o := range c.inverse {
		v.inverse.Set(o.number, o.message)
	}
	for _, o := range c.offers {
		v.offers.Set(o.number, o)
	}
	return v
}

func sameEntries[K string | uint64, V any](a, b *btree.Map[K, V], equal func(V, V) bool) bool {
	x, y := a.Iter(), b.Iter()
	for x.Next() {
		if !y.Next() || x.Key() != y.Key() || !equal(x.Value(), y.Value()) {
			return false
		}
	}
	return !y.Next()
}

func same[V comparable](a, b V) bool { return a == b }

func sameShownSlave(a, b *shownSlave) bool {
	return a.info == b.info && a.version == b.version && a.address == b.address && a.registered.Equal(b.registered) && a.reregistered.Equal(b.reregistered) &&
		a.connected == b.connected && a.deactivated == b.deactivated && a.drainedSince.Equal(b.drainedSince) && proto.Equal(a.drain, b.drain) &&
		a.total.Equal(b.total) && slices.EqualFunc(a.holdings, b.holdings, sameHolding) &&
		a.window == b.window && slices.EqualFunc(a.answers, b.answers, sameMessage)
}

func sameMessage[M proto.Message](a, b M) bool { return proto.Equal(a, b) }

func sameWindow(a, b registry.Window) bool {
	return a.Start.Equal(b.Start) && a.Duration == b.Duration && slices.Equal(a.Machines, b.Machines)
}

func sameHolding(a, b allocator.Holding) bool {
	return a.Client == b.Client && a.Used.Equal(b.Used) && a.Offered.Equal(b.Offered)
}

func sameShownFramework(a, b *shownFramework) bool {
	return a.info == b.info && a.connected == b.connected && a.recovered == b.recovered && a.registered.Equal(b.registered) &&
		a.reregistered.Equal(b.reregistered) && a.unregistered.Equal(b.unregistered) && slices.Equal(a.unreachable, b.unreachable) && a.constraints == b.constraints
}

func sameQuota(a, b registry.Quota) bool {
	return slices.Equal(a.Guarantees, b.Guarantees) && slices.Equal(a.Limits, b.Limits)
}
