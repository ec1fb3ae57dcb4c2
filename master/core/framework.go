package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/allocatorpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// framework is a framework that subscribed with this master, or that a slave brought ("recovered"), or one that ended.
type framework struct {
	id      string
	info    *mesos.FrameworkInfo // with id; never changed, only replaced
	session *session             // nil: disconnected
	// recovered: known from slaves alone, its scheduler has not come yet.
	recovered bool

	registered   time.Time
	reregistered time.Time // zero: never
	unregistered time.Time // zero: it lives

	tasks       map[string]*task           // by id, until their terminal update is acknowledged
	unreachable []*mesos.Task              // on slaves that are unreachable, oldest first
	offers      *btree.Map[uint64, *offer] // by number. Invariant: none while disconnected
	executors   map[executorOn]*executor
	constraints *schedulerpb.OfferConstraints // which slaves it wants offers of; valid
	// kills are the tasks that its scheduler wants to end and that may yet come back with a slave.
	kills map[string]*mesos.KillPolicy

	dropped    uint64    // of what it wanted told to slaves
	complained time.Time // when the log last said so
}

// frameworkRemoved is what a framework hears that has ended and wants to subscribe; Mesos's clients know it.
const frameworkRemoved = "Framework has been removed"

type allocatorClient = allocator.Client

func (f *framework) client(role string) allocatorClient {
	return allocator.Client{Framework: f.id, Role: role}
}

func (f *framework) can(capability mesos.FrameworkInfo_Capability_Type) bool {
	return mesos.HasCapability(f.info, capability)
}

func (f *framework) connected() bool { return f.session != nil }

// call handles what a scheduler asks.
func (c *Core) call(s *session, call *schedulerpb.Call) {
	c.counters.Calls++
	if call.GetType() == schedulerpb.Call_SUBSCRIBE {
		c.subscribe(s, call)
		return
	}
	f := s.framework
	switch {
	case f == nil:
		c.frameworkError(s, fmt.Sprintf("%v before SUBSCRIBE: this session is no framework's", call.GetType()))
		return
	case call.GetFrameworkId().GetValue() != f.id:
		c.frameworkError(s, fmt.Sprintf("%v of framework %q: this session is that of framework %s", call.GetType(), call.GetFrameworkId().GetValue(), f.id))
		return
	}
	if !isComplete(call) {
		c.frameworkError(s, fmt.Sprintf("%v without its member: the call must say what it is about", call.GetType()))
		return
	}
	switch call.GetType() {
	case schedulerpb.Call_TEARDOWN:
		c.removeFramework(f, "its scheduler tore it down")
	case schedulerpb.Call_ACCEPT:
		c.accept(f, call.GetAccept())
	case schedulerpb.Call_DECLINE:
		c.decline(f, call.GetDecline())
	case schedulerpb.Call_REVIVE:
		c.revive(f, call.GetRevive().GetRoles())
	case schedulerpb.Call_SUPPRESS:
		c.suppress(f, call.GetSuppress().GetRoles())
	case schedulerpb.Call_KILL:
		c.killCall(f, call.GetKill())
	case schedulerpb.Call_SHUTDOWN:
		c.shutdownExecutor(f, call.GetShutdown())
	case schedulerpb.Call_ACKNOWLEDGE:
		c.acknowledge(f, call.GetAcknowledge())
	case schedulerpb.Call_RECONCILE:
		c.reconcile(f, call.GetReconcile())
	case schedulerpb.Call_ACKNOWLEDGE_OPERATION_STATUS:
		c.acknowledgeOperation(f, call.GetAcknowledgeOperationStatus())
	case schedulerpb.Call_RECONCILE_OPERATIONS:
		c.reconcileOperations(f, call.GetReconcileOperations())
	case schedulerpb.Call_MESSAGE:
		c.messageToExecutor(f, call.GetMessage())
	case schedulerpb.Call_ACCEPT_INVERSE_OFFERS:
		m := call.GetAcceptInverseOffers()
		c.answerInverse(f, m.GetInverseOfferIds(), m.GetFilters(), allocatorpb.InverseOfferStatus_ACCEPT)
	case schedulerpb.Call_DECLINE_INVERSE_OFFERS:
		m := call.GetDeclineInverseOffers()
		c.answerInverse(f, m.GetInverseOfferIds(), m.GetFilters(), allocatorpb.InverseOfferStatus_DECLINE)
	case schedulerpb.Call_UPDATE_FRAMEWORK:
		c.updateCall(f, call.GetUpdateFramework())
	case schedulerpb.Call_REQUEST: // A hint that this allocator, as Mesos's, does not take.
	default:
		c.warn("framework %s: call %v is not supported and was ignored", f.id, call.GetType())
	}
}

// isComplete reports whether the member is there that a call cannot do without.
func isComplete(call *schedulerpb.Call) bool {
	switch call.GetType() {
	case schedulerpb.Call_ACCEPT:
		return call.GetAccept() != nil
	case schedulerpb.Call_DECLINE:
		return call.GetDecline() != nil
	case schedulerpb.Call_ACCEPT_INVERSE_OFFERS:
		return call.GetAcceptInverseOffers() != nil
	case schedulerpb.Call_DECLINE_INVERSE_OFFERS:
		return call.GetDeclineInverseOffers() != nil
	case schedulerpb.Call_UPDATE_FRAMEWORK:
		return call.GetUpdateFramework() != nil
	case schedulerpb.Call_KILL:
		return call.GetKill() != nil
	case schedulerpb.Call_SHUTDOWN:
		return call.GetShutdown() != nil
	case schedulerpb.Call_ACKNOWLEDGE:
		return call.GetAcknowledge() != nil
	case schedulerpb.Call_RECONCILE:
		return call.GetReconcile() != nil
	case schedulerpb.Call_ACKNOWLEDGE_OPERATION_STATUS:
		return call.GetAcknowledgeOperationStatus() != nil
	case schedulerpb.Call_RECONCILE_OPERATIONS:
		return call.GetReconcileOperations() != nil
	case schedulerpb.Call_MESSAGE:
		return call.GetMessage() != nil
	default:
		return true
	}
}

// frameworkError tells a scheduler that its subscription is over, and why.
func (c *Core) frameworkError(s *session, message string) {
	c.warn("error to scheduler at %s: %s", or(s.address, "a peer"), message)
	c.send(s, &schedulerpb.Event{Type: schedulerpb.Event_ERROR.Enum(), Error: &schedulerpb.Event_Error{Message: proto.String(message)}})
	c.closeSession(s, message)
	if f := s.framework; f != nil {
		c.frameworkDisconnected(f, message)
	}
}

// tell sends an event to a framework's scheduler, if it is there.
func (c *Core) tell(f *framework, event *schedulerpb.Event) { c.send(f.session, event) }

// subscribe lets a scheduler in: for the first time, again on its session, or in the place of one before it.
func (c *Core) subscribe(s *session, call *schedulerpb.Call) {
	info := call.GetSubscribe().GetFrameworkInfo()
	if err := c.checkSubscribe(s, call); err != nil {
		c.frameworkError(s, err.Error())
		return
	}
	suppressed := call.GetSubscribe().GetSuppressedRoles()
	f := s.framework
	if f == nil {
		f = c.frameworks[info.GetId().GetValue()]
	}
	if f == nil {
		f = c.addFramework(info)
		f.registered = c.now
		c.note("framework %s (%s) subscribed with roles %q", f.id, info.GetName(), mesos.RolesOf(info))
	} else {
		c.resubscribe(f, s, info)
	}
	f.session, s.framework, f.recovered = s, f, false
	c.touchFramework(f)
	c.timers.cancel(failoverTimer, f.id)
	f.constraints = call.GetSubscribe().GetOfferConstraints()
	c.allocator.UpdateFramework(f.id, mesos.RolesOf(f.info), suppressed)
	c.allocator.SetTerms(f.id, f.terms())
	c.greet(f)
	c.allocator.ActivateFramework(f.id)
}

// checkSubscribe reports why a scheduler may not subscribe.
func (c *Core) checkSubscribe(s *session, call *schedulerpb.Call) error {
	info := call.GetSubscribe().GetFrameworkInfo()
	id := info.GetId().GetValue()
	if s.slave != nil || s.admitting {
		return fmt.Errorf("SUBSCRIBE: this session is a slave's")
	}
	if err := mesos.ValidateFrameworkInfo(info); err != nil {
		return err
	}
	if outer := call.GetFrameworkId().GetValue(); outer != id {
		return fmt.Errorf("SUBSCRIBE with framework_id %q and framework_info.id %q: both must be the same, or absent", outer, id)
	}
	if err := checkTerms(info, call.GetSubscribe().GetSuppressedRoles(), call.GetSubscribe().GetOfferConstraints()); err != nil {
		return err
	}
	switch {
	case s.framework != nil && id != "" && id != s.framework.id:
		return fmt.Errorf("SUBSCRIBE of framework %s: this session is that of framework %s", id, s.framework.id)
	case id == "":
	case c.hasEnded(id):
		return fmt.Errorf("%s: %s", frameworkRemoved, id)
	case c.gave(id) && c.frameworks[id] == nil:
		return fmt.Errorf("framework id %s is not one that this master gave: leave the id out to get one", id)
	}
	return nil
}

// hasEnded reports whether a framework of this id has been removed: it is among the completed ones, or it was, as its
// number has been given.
func (c *Core) hasEnded(id string) bool {
	if c.frameworks[id] != nil {
		return false
	}
	if c.history.framework(id) != nil || c.isEnding(id) {
		return true
	}
	digits, ok := strings.CutPrefix(id, c.incarnation+"-")
	number, err := strconv.ParseUint(digits, 10, 64)
	return ok && err == nil && number < c.frameworkCount && id == c.frameworkID(number)
}

func (c *Core) frameworkID(number uint64) string {
	return fmt.Sprintf("%s-%04d", c.incarnation, number)
}

// addFramework makes a framework known, with an id of its own if it has none.
func (c *Core) addFramework(info *mesos.FrameworkInfo) *framework {
	if info.GetId().GetValue() == "" {
		info = shallow(info)
		info.Id = mesos.NewFrameworkID(c.frameworkID(c.frameworkCount))
		c.frameworkCount++
	}
	f := &framework{
		id: info.GetId().GetValue(), info: info,
		tasks: map[string]*task{}, offers: &btree.Map[uint64, *offer]{}, executors: map[executorOn]*executor{}, kills: map[string]*mesos.KillPolicy{},
	}
	c.frameworks[f.id] = f
	c.allocator.AddFramework(f.id, mesos.RolesOf(info), nil)
	return f
}

// recoverFramework makes a framework known that a slave brought. Its scheduler has some time to come.
func (c *Core) recoverFramework(info *mesos.FrameworkInfo) {
	f := c.addFramework(info)
	f.recovered = true
	c.touchFramework(f)
	wait := max(f.failoverTimeout(), MinRecoveredFrameworkTimeout)
	c.timers.set(failoverTimer, f.id, c.now.Add(wait))
	c.note("framework %s (%s) is known from a slave and has %v to subscribe", f.id, info.GetName(), wait)
}

// resubscribe takes the framework from its old session, if that is another, and its offers.
func (c *Core) resubscribe(f *framework, s *session, info *mesos.FrameworkInfo) {
	again := f.session == s
	c.closeInverse(f)
	c.withdrawAll(f, again)
	if old := f.session; old != nil && !again {
		old.framework = nil
		c.send(old, &schedulerpb.Event{Type: schedulerpb.Event_ERROR.Enum(), Error: &schedulerpb.Event_Error{Message: proto.String("Framework failed over")}})
		c.closeSession(old, "framework "+f.id+" failed over")
	}
	c.allocator.DeactivateFramework(f.id)
	f.info = c.keepUnchangeable(f, info)
	if f.registered.IsZero() {
		f.registered = c.now
	}
	f.reregistered = c.now
	c.note("framework %s (%s) subscribed again with roles %q", f.id, info.GetName(), mesos.RolesOf(info))
}

// keepUnchangeable returns info with the id, and with what a framework cannot change once it has tasks: whether it
// checkpoints, and its principal.
func (c *Core) keepUnchangeable(f *framework, info *mesos.FrameworkInfo) *mesos.FrameworkInfo {
	if info.GetCheckpoint() != f.info.GetCheckpoint() || info.GetPrincipal() != f.info.GetPrincipal() {
		c.warn("framework %s: checkpoint and principal cannot change and stay %v and %q", f.id, f.info.GetCheckpoint(), f.info.GetPrincipal())
	}
	info = shallow(info)
	info.Id, info.Checkpoint, info.Principal = f.info.Id, f.info.Checkpoint, f.info.Principal
	return info
}

// greet is what a scheduler hears first: that it is subscribed, a heartbeat, and the updates that wait for it.
func (c *Core) greet(f *framework) {
	c.tell(f, &schedulerpb.Event{
		Type: schedulerpb.Event_SUBSCRIBED.Enum(),
		Subscribed: &schedulerpb.Event_Subscribed{
			FrameworkId:              f.info.Id,
			HeartbeatIntervalSeconds: proto.Float64(c.config.HeartbeatInterval.Seconds()),
			MasterInfo:               c.master,
		},
	})
	c.heartbeat(f)
	c.beginTelling(f, func(t *task) {
		if t.unacknowledged != nil {
			c.tellUpdate(f, t.unacknowledged)
		}
	}, func() {
		for _, o := range c.operationsOf(f.id).Values() {
			if o.status.Uuid != nil {
				c.tellOperation(o)
			}
		}
	})
}

func (c *Core) heartbeat(f *framework) {
	c.tell(f, &schedulerpb.Event{Type: schedulerpb.Event_HEARTBEAT.Enum()})
	c.timers.set(heartbeatTimer, f.id, c.now.Add(c.config.HeartbeatInterval))
}

// frameworkDisconnected is the end of a scheduler's session. The framework lives on for its failover timeout.
func (c *Core) frameworkDisconnected(f *framework, reason string) {
	f.session = nil
	c.touchFramework(f)
	c.timers.cancel(heartbeatTimer, f.id)
	c.withdrawAll(f, false)
	c.closeInverse(f)
	c.allocator.DeactivateFramework(f.id)
	if wait := f.failoverTimeout(); wait > 0 {
		c.note("framework %s (%s) disconnected: %s; it has %v to come back", f.id, f.info.GetName(), reason, wait)
		c.timers.set(failoverTimer, f.id, c.now.Add(wait))
		return
	}
	c.removeFramework(f, "it disconnected and its failover_timeout is 0: "+reason)
}

// maxFailoverTimeout bounds what a framework can ask for, so that adding it to any time makes sense.
const maxFailoverTimeout = 100 * 365 * 24 * time.Hour

func (f *framework) failoverTimeout() time.Duration {
	if seconds := f.info.GetFailoverTimeout(); seconds < maxFailoverTimeout.Seconds() {
		return time.Duration(seconds * float64(time.Second))
	}
	return maxFailoverTimeout
}

func (c *Core) failoverTimeout(f *framework) {
	c.removeFramework(f, "its scheduler has not come back in time")
}

// removeFramework ends a framework and all that it has.
func (c *Core) removeFramework(f *framework, why string) {
	c.note("framework %s (%s) is removed: %s", f.id, f.info.GetName(), why)
	c.withdrawAll(f, false)
	c.begin(&ending{framework: f, told: map[*slave]bool{}})
	for _, t := range f.unreachable {
		c.history.addTask(f.id, t)
	}
	f.unreachable, f.kills = nil, nil
	if s := f.session; s != nil {
		f.session, s.framework = nil, nil
		c.closeSession(s, "framework "+f.id+" is removed: "+why)
	}
	c.timers.cancel(heartbeatTimer, f.id)
	c.timers.cancel(failoverTimer, f.id)
	c.allocator.DeactivateFramework(f.id)
	c.allocator.RemoveFramework(f.id)
	delete(c.frameworks, f.id)
	f.unregistered = c.now
	c.touchFramework(f)
	c.history.addFramework(f)
	c.counters.FrameworksRemoved++
}

// ownRoles returns the roles that a REVIVE or SUPPRESS means: those it names, or all. One that is not the framework's
// makes the call void.
func (c *Core) ownRoles(f *framework, call schedulerpb.Call_Type, roles []string) ([]string, bool) {
	own := mesos.RolesOf(f.info)
	if len(roles) == 0 {
		return own, true
	}
	for _, role := range roles {
		if !slices.Contains(own, role) {
			c.warn("framework %s: %v of role %q was ignored: its roles are %q", f.id, call, role, own)
			return nil, false
		}
	}
	return roles, true
}

func (c *Core) revive(f *framework, roles []string) {
	if roles, ok := c.ownRoles(f, schedulerpb.Call_REVIVE, roles); ok {
		c.allocator.Revive(f.id, roles)
	}
}

func (c *Core) suppress(f *framework, roles []string) {
	if roles, ok := c.ownRoles(f, schedulerpb.Call_SUPPRESS, roles); ok {
		c.allocator.Suppress(f.id, roles)
	}
}
