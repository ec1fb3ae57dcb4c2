package core

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// What operators do with slaves: deactivate and reactivate, drain, give up.

// changeNode has a change of a slave persisted that an operator asks for; then runs if it has been.
func (c *Core) changeNode(r Request, id string, change registry.Change, then func()) {
	_, admitted := c.registry.Slaves[id]
	switch {
	case !admitted && !c.isUnreachable(id):
		c.refuseRequest(r, "there is no slave %q", id)
	case c.isChanging(id):
		c.refuseRequest(r, "slave %s is about to leave or to come back: ask again", id)
	default:
		c.persist(change, func(failure string) {
			if failure != "" {
				c.refuseRequest(r, "%v: %s", change, failure)
				return
			}
			then()
			c.reply(r, &wire.OperatorDone{})
		})
	}
}

func (c *Core) deactivateSlave(r Request, id string) {
	c.changeNode(r, id, registry.DeactivateSlave{ID: id}, func() { c.slaveDeactivated(id) })
}

// slaveDeactivated keeps a slave from being offered, and takes back what is offered of it.
func (c *Core) slaveDeactivated(id string) {
	c.note("slave %s is deactivated", id)
	if sl := c.slaves[id]; sl != nil {
		c.allocator.DeactivateSlave(id)
		c.rescindAll(sl)
	}
}

func (c *Core) reactivateSlave(r Request, id string) {
	c.changeNode(r, id, registry.ReactivateSlave{ID: id}, func() { c.slaveReactivated(id) })
}

func (c *Core) slaveReactivated(id string) {
	c.note("slave %s is reactivated", id)
	if sl := c.slaves[id]; sl != nil && sl.connected() {
		c.allocator.ActivateSlave(id)
	}
}

// maybeActivate lets a slave that is connected be offered, unless an operator keeps it from that.
func (c *Core) maybeActivate(sl *slave) {
	if c.registry.IsOffered(sl.id) {
		c.allocator.ActivateSlave(sl.id)
	} else {
		c.allocator.DeactivateSlave(sl.id)
	}
}

// drainSlave has a slave emptied.
func (c *Core) drainSlave(r Request, m *masterpb.Call_DrainAgent) {
	id := m.GetAgentId().GetValue()
	drain := registry.Drain{Since: c.now, MarkGone: m.GetMarkGone()}
	if m.MaxGracePeriod != nil {
		grace := m.GetMaxGracePeriod().AsDuration()
		if grace < 0 {
			c.refuseRequest(r, "max_grace_period %v: it must not be below 0", grace)
			return
		}
		drain.Grace = &grace
	}
	c.changeNode(r, id, registry.DrainSlave{ID: id, Drain: drain}, func() { c.slaveDraining(id) })
}

func (c *Core) slaveDraining(id string) {
	c.note("slave %s is drained", id)
	if sl := c.slaves[id]; sl != nil {
		c.allocator.DeactivateSlave(id)
		c.rescindAll(sl)
		c.drainTasks(sl)
	}
}

// drainTasks ends what runs on a slave that is to be emptied.
func (c *Core) drainTasks(sl *slave) {
	drain, draining := c.registry.Draining[sl.id]
	if !draining {
		return
	}
	c.endedOn(sl)
	for _, t := range sl.sortedTasks() {
		if !mesos.IsTerminal(t.state()) {
			c.kill(t, drainPolicy(t, drain.Grace), mesos.KilledByDrain)
		}
	}
	c.maybeDrained(sl)
}

// drainPolicy is how a task ends when its slave is emptied: within grace, if it would take longer.
func drainPolicy(t *task, grace *time.Duration) *mesos.KillPolicy {
	own := t.seen.GetKillPolicy().GetGracePeriod()
	if grace == nil || own != nil && time.Duration(own.GetNanoseconds()) < *grace {
		return nil
	}
	return &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(grace.Nanoseconds())}}
}

// maybeDrained gives a slave up that is empty, if that was asked for.
func (c *Core) maybeDrained(sl *slave) {
	if drain := c.registry.Draining[sl.id]; drain.MarkGone && len(sl.tasks) == 0 && c.slaves[sl.id] == sl && !c.isChanging(sl.id) {
		c.markGone(sl.id, func(string) {})
	}
}

// drainInfo is how far a slave has been emptied; nil if it is not to be.
func (c *Core) drainInfo(sl *slave) *mesos.DrainInfo {
	drain, draining := c.registry.Draining[sl.id]
	if !draining {
		return nil
	}
	m := &mesos.DrainInfo{State: mesos.DrainState_DRAINING.Enum(), Config: &mesos.DrainConfig{MarkGone: proto.Bool(drain.MarkGone)}}
	if len(sl.tasks) == 0 {
		m.State = mesos.DrainState_DRAINED.Enum()
	}
	if drain.Grace != nil {
		m.Config.MaxGracePeriod = &mesos.DurationInfo{Nanoseconds: proto.Int64(drain.Grace.Nanoseconds())}
	}
	return m
}

// operatorGone gives a slave up in the name of an operator.
func (c *Core) operatorGone(r Request, id string) {
	_, admitted := c.registry.Slaves[id]
	switch _, gone := c.registry.Gone[id]; {
	case gone:
		c.reply(r, &wire.OperatorDone{})
	case !admitted && !c.isUnreachable(id):
		c.refuseRequest(r, "there is no slave %q", id)
	case c.isChanging(id):
		c.refuseRequest(r, "slave %s is about to leave or to come back: ask again", id)
	default:
		c.markGone(id, func(failure string) {
			if failure != "" {
				c.refuseRequest(r, "slave %s could not be marked gone: %s", id, failure)
				return
			}
			c.reply(r, &wire.OperatorDone{})
		})
	}
}

// markGone has it persisted that a slave will never come back.
func (c *Core) markGone(id string, then func(failure string)) {
	c.changing[id] = []waiting{}
	c.persist(registry.MarkGone{ID: id, At: c.now}, func(failure string) {
		if failure == "" {
			c.slaveGone(id)
		} else {
			c.warn("slave %s could not be marked gone: %s", id, failure)
			if sl := c.slaves[id]; sl != nil && !sl.connected() {
				c.timers.set(slaveTimer, id, c.now.Add(c.config.SlaveTimeout))
			}
		}
		c.changed(id)
		then(failure)
	})
}

func (c *Core) isGone(id string) bool { _, gone := c.registry.Gone[id]; return gone }

// slaveGone ends a slave that was given up, and all tasks that it had: they do not run any more, or are none of ours.
func (c *Core) slaveGone(id string) {
	why := fmt.Sprintf("slave %s was given up by an operator", id)
	c.warn("%s", why)
	c.timers.cancel(slaveTimer, id)
	delete(c.forsaken, id)
	c.counters.SlavesRemoved++
	for _, fid := range slices.Sorted(maps.Keys(c.frameworks)) {
		c.loseUnreachable(c.frameworks[fid], id, why)
	}
	if sl := c.slaves[id]; sl != nil {
		if s := sl.session; s != nil {
			c.detach(sl)
			c.send(s, &wire.Refused{Reason: why})
			c.closeSession(s, why)
		}
		c.endedOn(sl)
		for _, t := range sl.sortedTasks() {
			c.loseTask(t, mesos.TaskState_TASK_GONE_BY_OPERATOR, mesos.TaskStatus_REASON_AGENT_REMOVED_BY_OPERATOR, why)
		}
		c.loseOperations(sl, mesos.OperationState_OPERATION_GONE_BY_OPERATOR, why)
		c.forgetSlave(sl)
	}
	c.slaveFailed(id)
}

// loseUnreachable ends those tasks of a framework that were unreachable on a slave which will not come back.
func (c *Core) loseUnreachable(f *framework, slaveID, why string) {
	var others []*mesos.Task
	for _, seen := range f.unreachable {
		if seen.GetAgentId().GetValue() != slaveID {
			others = append(others, seen)
			continue
		}
		delete(f.kills, seen.GetTaskId().GetValue())
		status := c.tellMaster(f, verdict{
			task: seen.TaskId, slave: seen.AgentId, executor: seen.ExecutorId, state: mesos.TaskState_TASK_GONE_BY_OPERATOR,
			reason: mesos.TaskStatus_REASON_AGENT_REMOVED_BY_OPERATOR, message: why,
		})
		ended := shallow(seen)
		ended.State = status.State
		ended.Statuses = append(slices.Clone(seen.GetStatuses()), status)
		c.history.addTask(f.id, ended)
	}
	f.unreachable = others
	c.touchFramework(f)
}
