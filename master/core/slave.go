package core

import (
	"cmp"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// slave is a slave that has registered with this master and has not been removed or become unreachable since.
type slave struct {
	id      string
	info    *mesos.AgentInfo // with id; never changed, only replaced
	version string
	address string   // "ip:port" where it listens, empty if it did not say
	session *session // nil: disconnected
	secret  []byte   // what the shell lets through of its secret, a digest; empty: it brought none

	registered   time.Time
	reregistered time.Time // zero: never

	tasks     map[taskKey]*task // Invariant: each is in its framework's tasks too
	executors map[executorKey]*executor
	offers    map[string]*offer // Invariant: none while disconnected

	operations map[operationKey]*operation // whose end is not acknowledged
	window     *window                     // in which its machine is away; nil: none
	inverse    map[string]*inverseOffer    // by framework. Invariant: none without a window, none open while disconnected

	shown shown // of its last offer

	// forsaken are the tasks that were declared lost when the slave was disconnected: if it comes back with them, they are
	// to be killed.
	forsaken map[taskKey]bool
}

// waiting is a registration that waits until a change of its slave has been persisted.
type waiting struct {
	session *session
	message *wire.ReregisterSlave
}

// place is where a slave listens: two slaves cannot both live there.
func place(info *mesos.AgentInfo) string {
	return fmt.Sprintf("%s:%d", info.GetHostname(), info.GetPort())
}

// registerSlave handles a slave's first words: admitSlave if it may come.
func (c *Core) registerSlave(s *session, m *wire.RegisterSlave) {
	switch {
	case s.admitting:
		return // It repeats itself.
	case s.slave != nil:
		c.confirmSlave(s.slave, false) // It has not heard the answer.
		return
	case s.framework != nil:
		c.refuse(s, "RegisterSlave: this session is a framework's")
		return
	}
	if err := c.checkSlave(s, m.GetSlave(), m.GetClusterId()); err != nil {
		c.refuse(s, err.Error())
		return
	}
	if err := c.checkSecret(m.GetSlave(), m.GetSecret()); err != nil {
		c.refuse(s, err.Error())
		return
	}
	c.joinCluster(m.GetClusterId())
	c.admitSlave(s, m)
}

// checkSlave reports why a slave may not come.
func (c *Core) checkSlave(s *session, info *mesos.AgentInfo, clusterID string) error {
	if info.GetHostname() == "" {
		return fmt.Errorf("the slave has no hostname: it must be a name or an address under which others reach it")
	}
	if err := mesos.ValidateResources(info.GetResources()); err != nil {
		return fmt.Errorf("slave at %s: %w", place(info), err)
	}
	if err := c.checkDomain(info); err != nil {
		return err
	}
	if err := c.checkUp(s, info); err != nil {
		return err
	}
	if clusterID != "" && c.clusterID != "" && clusterID != c.clusterID {
		return fmt.Errorf("slave at %s belongs to cluster %s, this master to cluster %s: a slave stays with its cluster; for another one it needs an empty work_dir",
			place(info), clusterID, c.clusterID)
	}
	return nil
}

// checkSecret reports why whoever brings a secret may not have this id, or come to this place: another slave has it. The id
// is a slave's as long as it is known, its place only while it is connected: a machine may be set up anew.
func (c *Core) checkSecret(info *mesos.AgentInfo, secret []byte) error {
	if sl := c.slaves[info.GetId().GetValue()]; sl != nil && !sl.owns(secret) {
		return fmt.Errorf("slave %s at %s does not bring the secret with which that slave registered: it must start with the work_dir of slave %s, or with an empty one",
			sl.id, place(info), sl.id)
	}
	if sl := c.places[place(info)]; sl != nil && sl.connected() && !sl.owns(secret) {
		return fmt.Errorf("slave %s is connected at %s, and whoever comes now does not bring its secret: end that slave first, or choose another hostname or port",
			sl.id, place(info))
	}
	return nil
}

// owns says whether a secret is the slave's. One that brought none takes any.
func (sl *slave) owns(secret []byte) bool {
	return len(sl.secret) == 0 || subtle.ConstantTimeCompare(sl.secret, secret) == 1
}

// joinCluster names the cluster after the first slave's, or after this master if that has none.
func (c *Core) joinCluster(clusterID string) {
	if c.clusterID != "" {
		return
	}
	id := or(clusterID, c.incarnation)
	c.clusterID = id
	c.persist(registry.SetClusterID{ClusterID: id}, func(failure string) {
		if failure != "" {
			c.clusterID = c.registry.ClusterID
			c.warn("cluster id %s has not been persisted: %s", id, failure)
		}
	})
}

// admitSlave has a new slave persisted, under a new id.
func (c *Core) admitSlave(s *session, m *wire.RegisterSlave) {
	s.admitting = true
	info := shallow(m.GetSlave())
	info.Id = mesos.NewAgentID(fmt.Sprintf("%s-S%d", c.incarnation, c.slaveCount))
	c.slaveCount++
	c.persist(registry.AdmitSlave{Info: info}, func(failure string) { c.slaveAdmitted(s, m, info, failure) })
}

func (c *Core) slaveAdmitted(s *session, m *wire.RegisterSlave, info *mesos.AgentInfo, failure string) {
	s.admitting = false
	gone := c.sessions[s.id] != s
	switch {
	case failure != "" && !gone:
		c.refuse(s, fmt.Sprintf("slave at %s could not be admitted: %s", place(info), failure))
	case failure != "":
	case gone:
		c.removeUnborn(info.GetId().GetValue())
	default:
		if err := c.checkSecret(info, m.GetSecret()); err != nil { // Another was faster.
			c.removeUnborn(info.GetId().GetValue())
			c.refuse(s, err.Error())
			return
		}
		sl := c.addSlave(s, info, info.GetResources(), m.GetVersion())
		sl.secret = m.GetSecret()
		c.counters.SlaveRegistrations++
		c.note("slave %s registered at %s with %v", sl.id, place(info), c.allocator.Total(sl.id))
		c.confirmSlave(sl, false)
	}
}

// removeUnborn has a slave forgotten that went before it could learn its id.
func (c *Core) removeUnborn(id string) {
	c.persist(registry.RemoveSlave{ID: id}, func(failure string) {
		if failure != "" {
			c.await(id) // It will be marked unreachable instead.
		}
	})
}

// addSlave makes a persisted slave known, with what it has now. Whoever was known at its place is replaced.
func (c *Core) addSlave(s *session, info *mesos.AgentInfo, has []*mesos.Resource, version string) *slave {
	sl := &slave{
		id: info.GetId().GetValue(), info: info, version: version, address: s.address, registered: c.now,
		tasks: map[taskKey]*task{}, executors: map[executorKey]*executor{}, offers: map[string]*offer{},
		operations: map[operationKey]*operation{},
		inverse:    map[string]*inverseOffer{}, forsaken: c.forsaken[info.GetId().GetValue()],
	}
	delete(c.forsaken, sl.id)
	old := c.places[place(info)]
	c.slaves[sl.id] = sl
	c.places[place(info)] = sl
	c.entrust(sl, mustRead(has))
	c.timers.cancel(slaveTimer, sl.id)
	c.bind(s, sl)
	if old != nil {
		c.replaceSlave(old, sl)
	}
	return sl
}

// mustRead reads resources that were found to be valid.
func mustRead(list []*mesos.Resource) resource.Resources {
	r, err := resource.FromProto(list)
	if err != nil {
		panic(fmt.Sprintf("master: resources that were valid are not: %v", err))
	}
	return r.Unallocate()
}

// bind gives a slave its session. An older one is closed.
func (c *Core) bind(s *session, sl *slave) {
	if old := sl.session; old != nil && old != s {
		old.slave = nil
		c.closeSession(old, "slave "+sl.id+" has come back in another session")
	}
	s.slave, sl.session, sl.address = sl, s, s.address
	c.touchSlave(sl.id)
	c.timers.cancel(slaveTimer, sl.id)
	sl.window = c.timetable.find(sl)
	c.maybeAsk(sl)
}

// confirmSlave tells a slave that it belongs to the cluster.
func (c *Core) confirmSlave(sl *slave, again bool) {
	if again {
		c.send(sl.session, &wire.SlaveReregistered{SlaveId: sl.info.Id, ClusterId: c.clusterID, Master: c.master})
	} else {
		c.send(sl.session, &wire.SlaveRegistered{SlaveId: sl.info.Id, ClusterId: c.clusterID, Master: c.master})
	}
}

// replaceSlave removes a slave at whose place another has come: it cannot be alive.
func (c *Core) replaceSlave(old, by *slave) {
	s := old.session
	c.detach(old)
	if s != nil {
		c.closeSession(s, fmt.Sprintf("slave %s has come to %s", by.id, place(by.info)))
	}
	c.removeSlave(old, fmt.Sprintf("slave %s was replaced: slave %s has come to %s", old.id, by.id, place(by.info)))
}

// slaveDisconnected is the end of a slave's session. Tasks that are not checkpointed are lost at once, the others wait for
// it to come back.
func (c *Core) slaveDisconnected(sl *slave, reason string) {
	c.note("slave %s at %s disconnected: %s", sl.id, place(sl.info), reason)
	c.detach(sl)
	c.endedOn(sl)
	for _, t := range sl.sortedTasks() {
		if !t.framework.info.GetCheckpoint() && !mesos.IsTerminal(t.state()) {
			if sl.forsaken == nil {
				sl.forsaken = map[taskKey]bool{}
			}
			sl.forsaken[t.key()] = true
			c.loseTask(t, mesos.TaskState_TASK_LOST, mesos.TaskStatus_REASON_AGENT_DISCONNECTED,
				fmt.Sprintf("slave %s at %s disconnected, and framework %s does not checkpoint", sl.id, place(sl.info), t.framework.id))
		}
	}
	for _, e := range sl.sortedExecutors() {
		if !e.framework.info.GetCheckpoint() {
			c.removeExecutor(e)
		}
	}
	c.timers.set(slaveTimer, sl.id, c.now.Add(c.config.SlaveTimeout))
}

// detach takes a slave from its session, if it has one, and its offers from their frameworks.
func (c *Core) detach(sl *slave) {
	if s := sl.session; s != nil {
		s.slave, sl.session = nil, nil
	}
	c.touchSlave(sl.id)
	c.allocator.DeactivateSlave(sl.id)
	c.rescindAll(sl)
	c.rescindInverse(sl)
	c.maybeAsk(sl)
}

// await expects a slave of the registry to register again, or else marks it unreachable.
func (c *Core) await(id string) {
	c.timers.set(slaveTimer, id, c.now.Add(c.config.SlaveReregisterTimeout))
}

// slaveTimeout: a slave has been away for too long.
func (c *Core) slaveTimeout(id string) {
	if _, admitted := c.registry.Slaves[id]; admitted && !c.isChanging(id) {
		c.markUnreachable(id)
	}
}

// markUnreachable has it persisted that a slave is away.
func (c *Core) markUnreachable(id string) {
	c.changing[id] = []waiting{}
	c.persist(registry.MarkUnreachable{ID: id, At: c.now}, func(failure string) { c.slaveUnreachable(id, failure) })
}

func (c *Core) slaveUnreachable(id, failure string) {
	if failure != "" {
		c.warn("slave %s could not be marked unreachable: %s", id, failure)
		c.timers.set(slaveTimer, id, c.now.Add(c.config.SlaveTimeout))
		c.changed(id)
		return
	}
	c.counters.SlavesUnreachable++
	if sl := c.slaves[id]; sl != nil {
		c.warn("slave %s at %s is unreachable: not heard of for %v", id, place(sl.info), c.config.SlaveTimeout)
		c.endedOn(sl)
		for _, t := range sl.sortedTasks() {
			c.taskUnreachable(t, fmt.Sprintf("slave %s at %s has been unreachable since %s", id, place(sl.info), c.now.UTC().Format(time.RFC3339)))
		}
		c.loseOperations(sl, mesos.OperationState_OPERATION_UNREACHABLE, fmt.Sprintf("slave %s at %s is unreachable", id, place(sl.info)))
		if len(sl.forsaken) > 0 && len(c.forsaken) < MaxForsakenSlaves {
			c.forsaken[id] = sl.forsaken
		}
		c.forgetSlave(sl)
	} else {
		c.warn("slave %s is unreachable: it has not registered again within %v", id, c.config.SlaveReregisterTimeout)
	}
	c.slaveFailed(id)
	c.changed(id)
}

// removeSlave has it persisted that a slave will not come back.
func (c *Core) removeSlave(sl *slave, why string) {
	if c.isChanging(sl.id) {
		// It is being marked unreachable, which ends its tasks as well.
		c.removed.add(sl.id)
		c.persist(registry.RemoveSlave{ID: sl.id}, func(string) {})
		return
	}
	c.timers.cancel(slaveTimer, sl.id)
	c.changing[sl.id] = []waiting{}
	c.persist(registry.RemoveSlave{ID: sl.id}, func(failure string) { c.slaveRemoved(sl, why, failure) })
}

func (c *Core) slaveRemoved(sl *slave, why, failure string) {
	if failure != "" {
		c.warn("slave %s could not be removed: %s", sl.id, failure)
		c.timers.set(slaveTimer, sl.id, c.now.Add(c.config.SlaveTimeout))
		c.changed(sl.id)
		return
	}
	c.note("%s", why)
	c.counters.SlavesRemoved++
	c.removed.add(sl.id)
	c.endedOn(sl)
	for _, t := range sl.sortedTasks() {
		c.loseTask(t, mesos.TaskState_TASK_GONE, mesos.TaskStatus_REASON_AGENT_REMOVED, why)
	}
	c.loseOperations(sl, mesos.OperationState_OPERATION_DROPPED, why)
	c.forgetSlave(sl)
	c.slaveFailed(sl.id)
	c.changed(sl.id)
}

// forgetSlave drops a slave that is detached and whose tasks are gone.
func (c *Core) forgetSlave(sl *slave) {
	for _, e := range sl.sortedExecutors() {
		c.removeExecutor(e)
	}
	c.rescindInverse(sl)
	c.allocator.RemoveSlave(sl.id)
	c.timers.cancel(slaveTimer, sl.id)
	delete(c.slaves, sl.id)
	c.touchSlave(sl.id)
	if c.places[place(sl.info)] == sl {
		delete(c.places, place(sl.info))
	}
}

// slaveFailed tells every scheduler that a slave has gone.
func (c *Core) slaveFailed(id string) {
	for _, fid := range slices.Sorted(maps.Keys(c.frameworks)) {
		c.tell(c.frameworks[fid], &schedulerpb.Event{
			Type:    schedulerpb.Event_FAILURE.Enum(),
			Failure: &schedulerpb.Event_Failure{AgentId: mesos.NewAgentID(id)},
		})
	}
}

func (c *Core) isChanging(id string) bool { _, ok := c.changing[id]; return ok }

// changed lets registrations go on that waited for a change of the slave.
func (c *Core) changed(id string) {
	list := c.changing[id]
	delete(c.changing, id)
	for _, w := range list {
		if c.sessions[w.session.id] == w.session {
			c.reregisterSlave(w.session, w.message)
		}
	}
}

// unregisterSlave is a slave's goodbye.
func (c *Core) unregisterSlave(sl *slave) {
	why := fmt.Sprintf("slave %s at %s has unregistered", sl.id, place(sl.info))
	s := sl.session
	c.detach(sl)
	c.closeSession(s, why)
	c.removeSlave(sl, why)
}

// agentAddress splits where a slave listens into what the API shows; the ip is the hostname if that is one and the slave
// did not say.
func (sl *slave) agentAddress() *mesos.Address {
	ip := sl.info.GetHostname()
	if i := strings.LastIndexByte(sl.address, ':'); i > 0 {
		ip = strings.Trim(sl.address[:i], "[]")
	}
	return &mesos.Address{
		Hostname: proto.String(sl.info.GetHostname()),
		Ip:       proto.String(ip),
		Port:     proto.Int32(sl.info.GetPort()),
	}
}

func (sl *slave) connected() bool { return sl.session != nil }

func (sl *slave) sortedTasks() []*task {
	list := slices.Collect(maps.Values(sl.tasks))
	slices.SortFunc(list, func(a, b *task) int {
		return cmp.Or(cmp.Compare(a.framework.id, b.framework.id), cmp.Compare(a.id, b.id))
	})
	return list
}

func (sl *slave) sortedExecutors() []*executor {
	if len(sl.executors) == 0 {
		return nil
	}
	list := slices.Collect(maps.Values(sl.executors))
	slices.SortFunc(list, func(a, b *executor) int {
		return cmp.Or(cmp.Compare(a.framework.id, b.framework.id), cmp.Compare(a.id(), b.id()))
	})
	return list
}

// fromSlave handles what a registered slave says.
func (c *Core) fromSlave(sl *slave, message proto.Message) {
	switch m := message.(type) {
	case *wire.TaskUpdate:
		c.taskUpdate(sl, m)
	case *wire.OperationUpdate:
		c.operationUpdate(sl, m)
	case *wire.UnregisterSlave:
		c.unregisterSlave(sl)
	case *wire.FrameworkMessage:
		c.messageFromExecutor(sl, m)
	case *wire.ExecutorExited:
		c.executorExited(sl, m)
	case *wire.ReadFile:
		c.readFile(sl, m)
	default:
		c.warn("slave %s sent a %s, which no master expects", sl.id, message.ProtoReflect().Descriptor().Name())
	}
}
