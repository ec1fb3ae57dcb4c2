package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// What the peers of TestRandomEvents do.

// slaveHears is a slave as it should be.
func (w *world) slaveHears(s *modelSlave, o Send) {
	if s.session != o.Session {
		return
	}
	switch m := o.Message.(type) {
	case *wire.SlaveRegistered:
		s.id, s.cluster, s.ready = m.GetSlaveId().GetValue(), m.GetClusterId(), true
	case *wire.SlaveReregistered:
		s.ready = true
	case *wire.Refused: // Its process ends; another begins in its place with nothing.
		s.id, s.cluster, s.total = "", "", resource.MustParse(s.resources)
		clear(s.tasks)
		clear(s.executors)
		clear(s.operations)
	case *wire.ApplyOperation:
		w.converts(s, m)
	case *wire.AcknowledgeOperation:
		delete(s.operations, operationKey{m.GetFrameworkId().GetValue(), m.GetOperationId().GetValue()})
	case *wire.RunTask:
		w.runs(s, m)
	case *wire.KillTask:
		if !s.ready {
			w.fatal("%s is told to kill before it is registered", s.name)
		}
		if t := s.tasks[taskKey{m.GetFrameworkId().GetValue(), m.GetTaskId().GetValue()}]; t != nil && !mesos.IsTerminal(t.state) {
			t.state = mesos.TaskState_TASK_KILLED
		}
	case *wire.RemoveFramework:
		id := m.GetFrameworkId().GetValue()
		maps.DeleteFunc(s.tasks, func(key taskKey, _ *modelTask) bool { return key.framework == id })
		maps.DeleteFunc(s.executors, func(key executorKey, _ *mesos.ExecutorInfo) bool { return key.framework == id })
		maps.DeleteFunc(s.operations, func(key operationKey, _ *wire.SlaveOperation) bool { return key.framework == id })
	case *wire.AcknowledgeUpdate:
		key := taskKey{m.GetFrameworkId().GetValue(), m.GetTaskId().GetValue()}
		if t := s.tasks[key]; t != nil && t.uuid != "" && string(uuid(t.uuid)) == string(m.GetUuid()) {
			t.uuid = ""
			if mesos.IsTerminal(t.told) {
				delete(s.tasks, key)
			}
		}
	}
}

func (w *world) runs(s *modelSlave, m *wire.RunTask) {
	if !s.ready {
		w.fatal("%s is told to run a task before it is registered", s.name)
	}
	id := m.GetFramework().GetId().GetValue()
	s.infos[id] = m.GetFramework()
	w.tasks++
	key := taskKey{id, m.GetTask().GetTaskId().GetValue()}
	if old := s.tasks[key]; old != nil && !mesos.IsTerminal(old.state) {
		w.fatal("%s is told to run %v twice", s.name, key)
	}
	s.tasks[key] = &modelTask{info: m.GetTask(), state: mesos.TaskState_TASK_STAGING, told: mesos.TaskState_TASK_STAGING}
	if e := m.GetTask().GetExecutor(); e != nil {
		s.executors[executorKey{id, e.GetExecutorId().GetValue()}] = e
	}
}

func (w *world) schedulerHears(f *modelScheduler, o Send) {
	e, ok := o.Message.(*schedulerpb.Event)
	if !ok || f.session != o.Session {
		return
	}
	switch e.GetType() {
	case schedulerpb.Event_SUBSCRIBED:
		f.id, f.offers, f.inverse = e.GetSubscribed().GetFrameworkId().GetValue(), nil, nil
	case schedulerpb.Event_INVERSE_OFFERS:
		w.isAsked(f, e.GetInverseOffers().GetInverseOffers())
	case schedulerpb.Event_RESCIND_INVERSE_OFFER:
		id := e.GetRescindInverseOffer().GetInverseOfferId().GetValue()
		if !f.inverse[id] {
			w.fatal("inverse offer %s is taken back, and was not open", id)
		}
		delete(f.inverse, id)
	case schedulerpb.Event_OFFERS:
		f.offers = append(f.offers, e.GetOffers().GetOffers()...)
	case schedulerpb.Event_RESCIND:
		f.offers = slices.DeleteFunc(f.offers, func(x *mesos.Offer) bool { return proto.Equal(x.GetId(), e.GetRescind().GetOfferId()) })
	case schedulerpb.Event_UPDATE:
		status := e.GetUpdate().GetStatus()
		if len(status.GetUuid()) > 0 {
			f.acks = append(f.acks, status)
		}
		if mesos.IsTerminal(status.GetState()) {
			delete(f.tasks, status.GetTaskId().GetValue())
		}
	case schedulerpb.Event_UPDATE_OPERATION_STATUS:
		if status := e.GetUpdateOperationStatus().GetStatus(); status.Uuid != nil {
			f.operationAcks = append(f.operationAcks, status)
		}
	case schedulerpb.Event_ERROR:
		if strings.Contains(e.GetError().GetMessage(), frameworkRemoved) {
			f.id = ""
			clear(f.tasks)
		}
	}
}

func (w *world) slaveActs(s *modelSlave) {
	n := w.rand.IntN(100)
	switch {
	case s.session == 0 || n < 5:
		if n < 3 { // Its process has died and forgets everything.
			fresh := w.freshSlave(int(s.name[1] - '0'))
			s.id, s.cluster, s.tasks, s.executors = fresh.id, fresh.cluster, fresh.tasks, fresh.executors
			s.total, s.operations = fresh.total, fresh.operations
		}
		w.slaveComes(s)
	case n < 10:
		session := s.session
		w.drop(session)
		w.feed(SessionClosed{session, "cut"})
	case n < 12 && s.ready:
		clear(s.tasks)
		clear(s.executors)
		clear(s.operations)
		s.total = resource.MustParse(s.resources)
		w.feed(Received{s.session, &wire.UnregisterSlave{}})
		s.id = ""
	case n < 15 && s.ready && len(s.executors) > 0:
		w.executorEnds(s)
	case n < 25 && s.ready:
		w.reports(s, false)
	case s.ready:
		w.updates(s)
	}
}

func (w *world) slaveComes(s *modelSlave) {
	info := &mesos.AgentInfo{Hostname: proto.String(s.name), Port: proto.Int32(5051), Resources: resource.MustParse(s.resources).ToProto()}
	session := w.open(s)
	if s.id == "" {
		w.feed(Received{session, &wire.RegisterSlave{Slave: info, ClusterId: s.cluster}})
		return
	}
	info.Id = mesos.NewAgentID(s.id)
	m := &wire.ReregisterSlave{Slave: info, ClusterId: s.cluster, Resources: s.total.ToProto(), Operations: s.sortedOperations()}
	named := map[string]bool{}
	for _, key := range s.sorted() {
		t := s.tasks[key]
		named[key.framework] = true
		m.Tasks = append(m.Tasks, &mesos.Task{
			Name: t.info.Name, TaskId: t.info.TaskId, FrameworkId: mesos.NewFrameworkID(key.framework), AgentId: info.Id,
			State: t.state.Enum(), Resources: t.info.Resources, ExecutorId: t.info.GetExecutor().GetExecutorId(),
		})
	}
	for _, key := range s.sortedExecutors() {
		named[key.framework] = true
		m.Executors = append(m.Executors, &wire.SlaveExecutor{FrameworkId: mesos.NewFrameworkID(key.framework), Executor: s.executors[key]})
	}
	for _, id := range slices.Sorted(maps.Keys(named)) {
		m.Frameworks = append(m.Frameworks, s.infos[id])
	}
	w.feed(Received{session, m})
}

func (s *modelSlave) sorted() []taskKey {
	return slices.SortedFunc(maps.Keys(s.tasks), func(a, b taskKey) int { return strings.Compare(a.framework+"/"+a.task, b.framework+"/"+b.task) })
}

// updates lets one task get further, and its slave say so if nothing else of the task waits for its acknowledgement.
func (w *world) updates(s *modelSlave) {
	keys := s.sorted()
	if len(keys) == 0 {
		return
	}
	key := keys[w.rand.IntN(len(keys))]
	t := s.tasks[key]
	if !mesos.IsTerminal(t.state) {
		states := []mesos.TaskState{mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_FAILED}
		t.state = states[w.rand.IntN(len(states))]
	}
	w.forward(s, key)
}

// forward sends the update of a task that waits for its acknowledgement, or a new one.
func (w *world) forward(s *modelSlave, key taskKey) {
	t := s.tasks[key]
	if t.uuid == "" {
		if t.told == t.state && t.state != mesos.TaskState_TASK_RUNNING {
			return
		}
		t.serial++
		t.told, t.uuid = t.state, fmt.Sprintf("%s%d", s.name, w.rand.Uint32())
	}
	status := &mesos.TaskStatus{TaskId: t.info.TaskId, State: t.told.Enum(), AgentId: mesos.NewAgentID(s.id), Uuid: uuid(t.uuid)}
	latest := proto.CloneOf(status)
	latest.State = t.state.Enum()
	w.feed(Received{s.session, &wire.TaskUpdate{FrameworkId: mesos.NewFrameworkID(key.framework), Status: status, Latest: latest}})
}

func (w *world) executorEnds(s *modelSlave) {
	key := s.sortedExecutors()[0]
	for _, t := range s.tasks {
		if t.info.GetExecutor().GetExecutorId().GetValue() == key.executor && !mesos.IsTerminal(t.state) {
			t.state = mesos.TaskState_TASK_LOST
		}
	}
	delete(s.executors, key)
	w.feed(Received{s.session, &wire.ExecutorExited{FrameworkId: mesos.NewFrameworkID(key.framework), ExecutorId: mesos.NewExecutorID(key.executor)}})
}

func (s *modelSlave) sortedExecutors() []executorKey {
	return slices.SortedFunc(maps.Keys(s.executors), func(a, b executorKey) int {
		return strings.Compare(a.framework+"/"+a.executor, b.framework+"/"+b.executor)
	})
}

func (w *world) callOf(f *modelScheduler, kind schedulerpb.Call_Type) *schedulerpb.Call {
	return &schedulerpb.Call{Type: kind.Enum(), FrameworkId: mesos.NewFrameworkID(f.id)}
}

func (w *world) schedulerActs(f *modelScheduler) {
	n := w.rand.IntN(100)
	if f.session == 0 || n < 3 {
		if n >= 2 || f.session == 0 {
			w.open(f) // Else it says it again in the same session.
		}
		w.subscribes(f)
		return
	}
	say := func(call *schedulerpb.Call) { w.feed(Received{f.session, call}) }
	switch {
	case n < 6:
		session := f.session
		w.drop(session)
		w.feed(SessionClosed{session, "cut"})
	case n < 7:
		say(w.callOf(f, schedulerpb.Call_TEARDOWN))
		f.id = ""
		clear(f.tasks)
	case n < 45 && len(f.offers) > 0:
		say(w.accepts(f))
	case n < 55 && len(f.offers) > 0:
		call := w.callOf(f, schedulerpb.Call_DECLINE)
		call.Decline = &schedulerpb.Call_Decline{OfferIds: []*mesos.OfferID{f.offers[0].GetId()}, Filters: w.filters()}
		f.offers = f.offers[1:]
		say(call)
	case n < 60 && len(f.operationAcks) > 0:
		status := f.operationAcks[0]
		f.operationAcks = f.operationAcks[1:]
		say(w.acknowledgesOperation(f, status))
	case n < 75 && len(f.acks) > 0:
		status := f.acks[0]
		f.acks = f.acks[1:]
		say(w.acknowledges(f, status))
	case n < 82 && len(f.tasks) > 0:
		id := slices.Sorted(maps.Keys(f.tasks))[0]
		call := w.callOf(f, schedulerpb.Call_KILL)
		call.Kill = &schedulerpb.Call_Kill{TaskId: mesos.NewTaskID(id), AgentId: f.tasks[id]}
		say(call)
	case n < 88:
		call := w.callOf(f, schedulerpb.Call_RECONCILE)
		call.Reconcile = &schedulerpb.Call_Reconcile{}
		if len(f.tasks) > 0 && n < 85 {
			id := slices.Sorted(maps.Keys(f.tasks))[0]
			call.Reconcile.Tasks = []*schedulerpb.Call_Reconcile_Task{{TaskId: mesos.NewTaskID(id), AgentId: f.tasks[id]}}
		}
		say(call)
	case n < 91:
		call := w.callOf(f, schedulerpb.Call_SUPPRESS)
		say(call)
	case n < 97:
		call := w.callOf(f, schedulerpb.Call_REVIVE)
		say(call)
	case n < 98 && len(f.inverse) > 0:
		say(w.answersInverse(f))
	case n < 99:
		say(w.changes(f))
	default:
		say(w.callOf(f, schedulerpb.Call_REQUEST))
	}
}

func (w *world) subscribes(f *modelScheduler) {
	info := proto.CloneOf(f.info)
	call := &schedulerpb.Call{Type: schedulerpb.Call_SUBSCRIBE.Enum(), Subscribe: &schedulerpb.Call_Subscribe{FrameworkInfo: info}}
	if f.id != "" {
		info.Id = mesos.NewFrameworkID(f.id)
		call.FrameworkId = info.Id
	}
	w.feed(Received{f.session, call})
}

func (w *world) acknowledges(f *modelScheduler, status *mesos.TaskStatus) *schedulerpb.Call {
	call := w.callOf(f, schedulerpb.Call_ACKNOWLEDGE)
	call.Acknowledge = &schedulerpb.Call_Acknowledge{AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid()}
	return call
}

func (w *world) filters() *mesos.Filters {
	return &mesos.Filters{RefuseSeconds: proto.Float64([]float64{0, 0, 1, 100}[w.rand.IntN(4)])}
}

// accepts takes one or two offers and launches some tasks, not all of them valid.
func (w *world) accepts(f *modelScheduler) *schedulerpb.Call {
	call := w.callOf(f, schedulerpb.Call_ACCEPT)
	call.Accept = &schedulerpb.Call_Accept{Filters: w.filters()}
	taken := 1 + w.rand.IntN(min(2, len(f.offers)))
	for _, o := range f.offers[:taken] {
		call.Accept.OfferIds = append(call.Accept.OfferIds, o.GetId())
	}
	offer := f.offers[0]
	if w.rand.IntN(10) > 0 {
		f.offers = f.offers[taken:] // Else it will accept them again.
	}
	role := offer.GetAllocationInfo().GetRole()
	if role == "" {
		role = or(f.info.GetRole(), mesos.DefaultRole)
	}
	have, err := resource.FromProto(offer.GetResources())
	if err != nil {
		w.fatal("offer %v: %v", offer, err)
	}
	for range w.rand.IntN(4) {
		var operation *mesos.Offer_Operation
		if operation, have = w.operates(role, have); operation != nil {
			call.Accept.Operations = append(call.Accept.Operations, operation)
		}
	}
	launch := &mesos.Offer_Operation_Launch{}
	for range w.rand.IntN(3) {
		id := fmt.Sprintf("t%d", w.rand.IntN(6))
		task := &mesos.TaskInfo{Name: proto.String(id), TaskId: mesos.NewTaskID(id), AgentId: offer.GetAgentId(), Resources: w.some(offer, have)}
		if w.rand.IntN(3) == 0 {
			task.Executor = &mesos.ExecutorInfo{
				ExecutorId: mesos.NewExecutorID("e"), Command: &mesos.CommandInfo{Value: proto.String("e")}, Resources: resource.MustParse("cpus:0.1").ToProto(),
			}
		} else {
			task.Command = &mesos.CommandInfo{Value: proto.String("true")}
		}
		launch.TaskInfos = append(launch.TaskInfos, task)
		f.tasks[id] = offer.GetAgentId()
	}
	call.Accept.Operations = append(call.Accept.Operations, &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: launch})
	return call
}

// some is what a task is to use of an offer, of which operations have made what the framework has.
func (w *world) some(offer *mesos.Offer, have resource.Resources) []*mesos.Resource {
	if w.rand.IntN(8) == 0 {
		return offer.GetResources()
	}
	if part, ok := have.Take(resource.MustParse("cpus:0.5;mem:32")); ok {
		if w.rand.IntN(2) == 0 {
			part = part.Add(have.Volumes().Once())
		}
		return part.ToProto()
	}
	return resource.MustParse("cpus:64").ToProto()
}
