package core

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// reregisterSlave handles a slave that has an id: known here and connected again, known to the registry, or new to a
// master that remembers nothing. Both sides compare what they know.
func (c *Core) reregisterSlave(s *session, m *wire.ReregisterSlave) {
	m, err := c.gather(s, m)
	if err == nil && m == nil {
		return // There is more to come.
	}
	if err == nil {
		err = c.checkReregister(s, m)
	}
	if err != nil {
		c.refuse(s, err.Error())
		return
	}
	id := m.GetSlave().GetId().GetValue()
	if c.isChanging(id) {
		c.changing[id] = append(c.changing[id], waiting{s, m})
		return
	}
	c.joinCluster(m.GetClusterId())
	if sl := c.slaves[id]; sl != nil {
		c.slaveBack(sl, s, m)
		return
	}
	c.readmitSlave(s, m)
}

// gather puts together what a slave says in several messages; nil: there is more to come.
func (c *Core) gather(s *session, m *wire.ReregisterSlave) (*wire.ReregisterSlave, error) {
	if s.parts == nil && !m.GetMore() {
		return m, nil
	}
	if s.parts == nil {
		if err := c.checkReturn(s, m); err != nil { // before it is remembered
			return nil, err
		}
		s.parts = &wire.ReregisterSlave{}
	}
	all := s.parts
	if s.partBytes += proto.Size(m); s.partBytes > MaxRegistrationBytes {
		return nil, fmt.Errorf("slave %s at %s brings frameworks, executors and tasks of more than %d bytes: at most %d are allowed; it can come back with an empty work_dir",
			m.GetSlave().GetId().GetValue(), place(m.GetSlave()), s.partBytes, MaxRegistrationBytes)
	}
	all.Slave, all.Version, all.ClusterId, all.Secret, all.Resources = m.Slave, m.Version, m.ClusterId, m.Secret, m.Resources
	all.Frameworks = append(all.Frameworks, m.GetFrameworks()...)
	all.Executors = append(all.Executors, m.GetExecutors()...)
	all.Tasks = append(all.Tasks, m.GetTasks()...)
	all.Operations = append(all.Operations, m.GetOperations()...)
	if m.GetMore() {
		return nil, nil
	}
	s.parts, s.partBytes = nil, 0
	return all, nil
}

// checkReregister reports why a slave may not come back with what it brings.
func (c *Core) checkReregister(s *session, m *wire.ReregisterSlave) error {
	if err := c.checkReturn(s, m); err != nil {
		return err
	}
	return c.checkBelongings(m)
}

// checkReturn reports why a slave may not come back, whatever it brings.
func (c *Core) checkReturn(s *session, m *wire.ReregisterSlave) error {
	info := m.GetSlave()
	id := info.GetId().GetValue()
	if err := mesos.ValidateAgentID(info.GetId()); err != nil {
		return err
	}
	if err := c.checkSlave(s, info, m.GetClusterId()); err != nil {
		return err
	}
	switch {
	case s.slave != nil && s.slave.id != id:
		return fmt.Errorf("slave %s: this session is that of slave %s", id, s.slave.id)
	case s.framework != nil:
		return fmt.Errorf("slave %s: this session is a framework's", id)
	case c.isGone(id):
		return fmt.Errorf("slave %s at %s was given up by an operator and cannot come back: start it with an empty work_dir", id, place(info))
	case c.removed.has(id):
		return fmt.Errorf("slave %s at %s was removed and cannot come back: start it with an empty work_dir", id, place(info))
	}
	return c.checkSecret(info, m.GetSecret())
}

// checkBelongings reports what does not fit in what a slave brings: each task and executor has a framework that is
// listed, and all of them fit the slave.
func (c *Core) checkBelongings(m *wire.ReregisterSlave) error {
	id := m.GetSlave().GetId().GetValue()
	frameworks := map[string]bool{}
	for _, f := range m.GetFrameworks() {
		if err := mesos.ValidateFrameworkID(f.GetId()); err != nil {
			return fmt.Errorf("slave %s: %w", id, err)
		}
		frameworks[f.GetId().GetValue()] = true
	}
	free, err := resource.FromProto(hasNow(m))
	if err != nil {
		return fmt.Errorf("slave %s: %w", id, err)
	}
	free = free.Unallocate()
	charge := func(what, framework string, list []*mesos.Resource) error {
		if !frameworks[framework] {
			return fmt.Errorf("slave %s: %s is of framework %s, which the slave does not list", id, what, framework)
		}
		r, _, err := allocated(list, resource.Unreserved)
		if err != nil {
			return fmt.Errorf("slave %s: %s: %w", id, what, err)
		}
		rest, ok := without(free, r)
		if !ok {
			return fmt.Errorf("slave %s: %s uses %v, of the slave's resources only %v are left for it", id, what, r, free)
		}
		free = rest
		return nil
	}
	seen := map[string]bool{}
	for _, t := range m.GetTasks() {
		list := t.GetResources()
		if mesos.IsTerminal(t.GetState()) {
			list = nil
		}
		what := "task " + t.GetTaskId().GetValue()
		if err := charge(what, t.GetFrameworkId().GetValue(), list); err != nil {
			return err
		}
		if key := t.GetFrameworkId().GetValue() + "/" + t.GetTaskId().GetValue(); seen[key] {
			return fmt.Errorf("slave %s: %s is listed twice", id, what)
		} else {
			seen[key] = true
		}
	}
	for _, e := range m.GetExecutors() {
		if err := charge("executor "+e.GetExecutor().GetExecutorId().GetValue(), e.GetFrameworkId().GetValue(), e.GetExecutor().GetResources()); err != nil {
			return err
		}
	}
	return nil
}

// hasNow is what a slave has: its own resources, or what operations have made of them.
func hasNow(m *wire.ReregisterSlave) []*mesos.Resource {
	if len(m.GetResources()) > 0 {
		return m.GetResources()
	}
	return m.GetSlave().GetResources()
}

// readmitSlave has it persisted that a slave is back, or that it exists at all.
func (c *Core) readmitSlave(s *session, m *wire.ReregisterSlave) {
	info := m.GetSlave()
	id := info.GetId().GetValue()
	var change registry.Change = registry.AdmitSlave{Info: info}
	if _, ok := c.registry.Slaves[id]; ok {
		change = registry.UpdateSlave{Info: info}
	} else if _, ok := c.registry.Unreachable[id]; ok {
		change = registry.MarkReachable{Info: info}
	}
	c.changing[id] = []waiting{}
	c.persist(change, func(failure string) { c.slaveReadmitted(s, m, failure) })
}

func (c *Core) slaveReadmitted(s *session, m *wire.ReregisterSlave, failure string) {
	id := m.GetSlave().GetId().GetValue()
	gone := c.sessions[s.id] != s
	taken := c.checkSecret(m.GetSlave(), m.GetSecret()) // by one that was faster
	if _, admitted := c.registry.Slaves[id]; admitted && (gone || failure != "" || taken != nil) {
		c.await(id)
	}
	switch {
	case gone:
	case failure != "":
		c.refuse(s, fmt.Sprintf("slave %s could not be admitted again: %s", id, failure))
	case taken != nil:
		c.refuse(s, taken.Error())
	default:
		sl := c.addSlave(s, m.GetSlave(), hasNow(m), m.GetVersion())
		sl.secret, sl.reregistered = m.GetSecret(), c.now
		c.confirmSlave(sl, true)
		c.takeOver(sl, m)
		c.compareOperations(sl, m)
		c.deliverKills(sl)
		c.drainTasks(sl)
		c.counters.SlaveReregistrations++
		c.note("slave %s came back at %s with %v, %d tasks and %d executors", id, place(sl.info), c.allocator.Total(id), len(sl.tasks), len(sl.executors))
	}
	c.changed(id)
}

// slaveBack is the return of a slave that this master knows.
func (c *Core) slaveBack(sl *slave, s *session, m *wire.ReregisterSlave) {
	if sl.connected() {
		c.rescindAll(sl)
	}
	c.endedOn(sl)
	c.bind(s, sl)
	c.confirmSlave(sl, true)
	c.loseUnlisted(sl, m)
	if total := mustRead(hasNow(m)); !proto.Equal(sl.info, m.GetSlave()) || !c.allocator.Total(sl.id).Equal(total) {
		c.replaceInfo(sl, m.GetSlave(), total)
	}
	sl.version, sl.secret, sl.reregistered = m.GetVersion(), m.GetSecret(), c.now
	c.takeOver(sl, m)
	c.compareOperations(sl, m)
	c.deliverKills(sl)
	c.maybeActivate(sl)
	c.drainTasks(sl)
	c.counters.SlaveReregistrations++
	c.note("slave %s is connected again at %s, with %d tasks and %d executors", sl.id, place(sl.info), len(sl.tasks), len(sl.executors))
}

// replaceInfo takes over changed resources, attributes or place of a slave. Everything it has is accounted for again.
func (c *Core) replaceInfo(sl *slave, info *mesos.AgentInfo, total resource.Resources) {
	if c.places[place(sl.info)] == sl {
		delete(c.places, place(sl.info))
	}
	// What stays is what the slave lists too, and that fits: checkBelongings.
	c.allocator.RemoveSlave(sl.id)
	old := c.places[place(info)]
	changed := !proto.Equal(sl.info, info)
	sl.info = info
	c.entrust(sl, total)
	if w := c.timetable.find(sl); w != sl.window {
		sl.window = w
		c.touchSlave(sl.id)
		c.rescindInverse(sl)
	}
	c.places[place(info)] = sl
	for _, e := range sl.sortedExecutors() {
		c.mustCharge(e.framework.client(e.role), sl, e.resources)
	}
	for _, t := range sl.sortedTasks() {
		if !mesos.IsTerminal(t.state()) {
			c.mustCharge(t.framework.client(t.role), sl, t.resources)
		}
	}
	if old != nil {
		c.replaceSlave(old, sl)
	}
	if changed {
		c.persist(registry.UpdateSlave{Info: info}, func(string) {})
	}
}

// loseUnlisted ends the tasks and executors that the master knows of and the slave does not, and takes over how far the
// others have got.
func (c *Core) loseUnlisted(sl *slave, m *wire.ReregisterSlave) {
	listed := map[taskKey]*mesos.Task{}
	for _, t := range m.GetTasks() {
		listed[taskKey{t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue()}] = t
	}
	for _, t := range sl.sortedTasks() {
		if theirs := listed[t.key()]; theirs != nil {
			c.advance(t, theirs.GetState())
			continue
		}
		if mesos.IsTerminal(t.state()) {
			c.completeTask(t) // Its last update was acknowledged while nobody could say so here.
			continue
		}
		state := mesos.TaskState_TASK_GONE
		if t.state() == mesos.TaskState_TASK_STAGING {
			state = mesos.TaskState_TASK_DROPPED // It never arrived.
		}
		c.loseTask(t, state, mesos.TaskStatus_REASON_RECONCILIATION, fmt.Sprintf("slave %s came back without the task", sl.id))
	}
	executors := map[executorKey]bool{}
	for _, e := range m.GetExecutors() {
		executors[executorKey{e.GetFrameworkId().GetValue(), e.GetExecutor().GetExecutorId().GetValue()}] = true
	}
	for _, e := range sl.sortedExecutors() {
		if !executors[e.key()] {
			c.removeExecutor(e)
		}
	}
}

// takeOver makes the tasks and executors known that a slave brings and the master does not know. Those of frameworks that
// have ended, and tasks that were declared lost, are to end.
func (c *Core) takeOver(sl *slave, m *wire.ReregisterSlave) {
	ended := map[string]bool{}
	for _, info := range m.GetFrameworks() {
		if id := info.GetId().GetValue(); c.frameworks[id] == nil {
			if c.hasEnded(id) {
				ended[id] = true
				c.toSlave(sl, &wire.RemoveFramework{FrameworkId: info.GetId()})
			} else {
				c.recoverFramework(info)
			}
		}
	}
	for _, e := range m.GetExecutors() {
		key := executorKey{e.GetFrameworkId().GetValue(), e.GetExecutor().GetExecutorId().GetValue()}
		if !ended[key.framework] && sl.executors[key] == nil {
			r, role, _ := allocated(e.GetExecutor().GetResources(), resource.Unreserved)
			x := c.addExecutor(c.frameworks[key.framework], sl, e.GetExecutor(), r, role)
			c.mustCharge(x.framework.client(role), sl, r)
		}
	}
	for _, t := range m.GetTasks() {
		key := taskKey{t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue()}
		if ended[key.framework] || sl.tasks[key] != nil {
			continue
		}
		f := c.frameworks[key.framework]
		elsewhere := f.tasks[key.task] != nil
		if !elsewhere {
			c.adoptTask(sl, f, t)
		}
		if elsewhere || sl.forsaken[key] {
			// Its scheduler was told that it is lost, or has launched it again elsewhere: it must not run on.
			c.note("task %s of framework %s came back with slave %s and is killed: it was declared lost", key.task, key.framework, sl.id)
			c.toSlave(sl, &wire.KillTask{FrameworkId: t.GetFrameworkId(), TaskId: t.GetTaskId(), KilledBy: mesos.KilledByMaster})
		}
	}
	sl.forsaken = nil
}

// mustCharge accounts for what checkBelongings found to fit.
func (c *Core) mustCharge(client allocatorClient, sl *slave, r resource.Resources) {
	if err := c.allocator.Charge(client, sl.id, r); err != nil {
		panic(fmt.Sprintf("master: slave %s: %v", sl.id, err))
	}
}

// deliverKills repeats what could not be told to a slave while it was away.
func (c *Core) deliverKills(sl *slave) {
	for _, t := range sl.sortedTasks() {
		if t.kill != nil && !mesos.IsTerminal(t.state()) {
			c.maybeToSlave(sl, t.framework, t.kill)
		}
		t.kill = nil
	}
}

// mayReturn reports whether a slave that is not registered may still turn up with tasks, so that nobody can say yet what
// became of them: one that the registry expects, or one of a master's before this one, whose registry is lost. An empty
// id stands for any slave.
func (c *Core) mayReturn(f *framework, slaveID string) bool {
	if slaveID == "" {
		if c.view.expected.Len() > 0 {
			return true
		}
	} else if _, admitted := c.registry.Slaves[slaveID]; admitted || c.isChanging(slaveID) {
		return c.slaves[slaveID] == nil || c.isChanging(slaveID)
	}
	forgotten := !c.durable && c.now.Before(c.birth.Add(c.config.SlaveReregisterTimeout))
	return forgotten && !c.gave(f.id) && !c.gave(slaveID)
}

// gave reports whether an id is one of this master's.
func (c *Core) gave(id string) bool { return strings.HasPrefix(id, c.incarnation+"-") }
