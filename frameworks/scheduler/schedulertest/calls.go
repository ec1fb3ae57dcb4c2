package schedulertest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// receive is the actor "master": it answers questions and makes a session of each subscription.
func (m *Master) receive(ctx actor.Context) {
	switch call := ctx.Message().(type) {
	case *masterpb.Call:
		ctx.Reply(m.answerTo(call))
	case *wire.Explain:
		ctx.Reply(m.explainTo(call))
	case *schedulerpb.Call:
		peer := ctx.Sender()
		ctx.Spawn("session", func() actor.Actor { return &session{master: m, peer: peer, subscribe: call} })
	}
}

func (m *Master) answerTo(call *masterpb.Call) proto.Message {
	m.mu.Lock()
	answer := m.answer
	m.mu.Unlock()
	if answer == nil {
		return &wire.Refused{Reason: "the test's master has no answer to " + call.GetType().String()}
	}
	return answer(call)
}

func (m *Master) explainTo(question *wire.Explain) proto.Message {
	m.mu.Lock()
	explain := m.explain
	m.mu.Unlock()
	if explain == nil {
		return &wire.Refused{Reason: "the test's master has no explanation"}
	}
	return explain(question)
}

// session is the actor that a subscribed scheduler talks to.
type session struct {
	master    *Master
	peer      actor.PID
	subscribe *schedulerpb.Call
}

// Receive passes on: events of the test to the scheduler, calls of the scheduler to the test.
func (s *session) Receive(ctx actor.Context) {
	switch message := ctx.Message().(type) {
	case actor.Started:
		ctx.Link(s.peer)
		ctx.Send(s.peer, s.master.subscribed(ctx.Self(), s.subscribe))
	case actor.Exited:
		s.master.closed(ctx.Self())
		ctx.Stop(ctx.Self())
	case *schedulerpb.Event:
		ctx.Send(s.peer, message)
	case *schedulerpb.Call:
		s.called(ctx, message)
	}
}

func (s *session) called(ctx actor.Context, call *schedulerpb.Call) {
	for _, status := range s.master.called(call) {
		ctx.Send(s.peer, statusEvent(status))
	}
	if call.GetType() == schedulerpb.Call_TEARDOWN {
		s.master.closed(ctx.Self())
		ctx.Stop(ctx.Self())
	}
}

// subscribed notes a session and gives the answer to its subscription.
func (m *Master) subscribed(pid actor.PID, call *schedulerpb.Call) proto.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(call)
	if m.refusal != nil {
		return m.refusal
	}
	m.session, m.roles = pid, call.GetSubscribe().GetFrameworkInfo().GetRoles()
	id := call.GetSubscribe().GetFrameworkInfo().GetId()
	if id.GetValue() == "" {
		m.serial++
		id = mesos.NewFrameworkID("framework-" + strconv.Itoa(m.serial))
	}
	m.id = id
	return &schedulerpb.Event{Type: schedulerpb.Event_SUBSCRIBED.Enum(), Subscribed: &schedulerpb.Event_Subscribed{FrameworkId: id}}
}

func (m *Master) closed(pid actor.PID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session.Is(pid) {
		m.session = actor.PID{}
		m.note(nil)
	}
}

// called notes a call, and returns the updates that follow from it by themselves.
func (m *Master) called(call *schedulerpb.Call) []*mesos.TaskStatus {
	m.mu.Lock()
	course := m.course
	tasks := launched(call)
	if course == nil {
		m.tasks = append(m.tasks, tasks...)
		tasks = nil
	}
	m.note(call)
	m.mu.Unlock()
	var updates []*mesos.TaskStatus
	for _, t := range tasks {
		for _, state := range course(t) {
			updates = append(updates, m.NewStatus(t, state))
		}
	}
	return updates
}

func launched(call *schedulerpb.Call) []*mesos.TaskInfo {
	var tasks []*mesos.TaskInfo
	for _, op := range call.GetAccept().GetOperations() {
		tasks = append(tasks, op.GetLaunch().GetTaskInfos()...)
		tasks = append(tasks, op.GetLaunchGroup().GetTaskGroup().GetTasks()...)
	}
	return tasks
}

// note wakes whoever waits.
func (m *Master) note(call *schedulerpb.Call) {
	if call != nil {
		m.calls, m.all = append(m.calls, call), append(m.all, call)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// await looks, under the lock and after each change, until look is content.
func (m *Master) await(what string, look func() bool) {
	m.t.Helper()
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	for {
		m.mu.Lock()
		content, changed := look(), m.changed
		m.mu.Unlock()
		if content {
			return
		}
		select {
		case <-changed:
		case <-patience.C:
			m.t.Fatalf("no %s within %s; calls so far: %s", what, Patience, m.history())
		}
	}
}

// Next waits for a call of a type and takes it; calls of other types stay.
func (m *Master) Next(kind schedulerpb.Call_Type) *schedulerpb.Call {
	m.t.Helper()
	return m.NextOf(kind)
}

// NextOf is Next for calls of several types: it takes the first of any of them.
func (m *Master) NextOf(kinds ...schedulerpb.Call_Type) (call *schedulerpb.Call) {
	m.t.Helper()
	m.await(fmt.Sprintf("%v call", kinds), func() bool {
		at := slices.IndexFunc(m.calls, func(c *schedulerpb.Call) bool { return slices.Contains(kinds, c.GetType()) })
		if at < 0 {
			return false
		}
		call = m.calls[at]
		m.calls = slices.Delete(m.calls, at, at+1)
		return true
	})
	return call
}

// Subscription waits for a framework to subscribe, and takes its call.
func (m *Master) Subscription() *schedulerpb.Call {
	m.t.Helper()
	return m.Next(schedulerpb.Call_SUBSCRIBE)
}

// Launched waits for a task to be launched, and takes it.
func (m *Master) Launched() (task *mesos.TaskInfo) {
	m.t.Helper()
	m.await("launched task", func() bool {
		if len(m.tasks) == 0 {
			return false
		}
		task, m.tasks = m.tasks[0], m.tasks[1:]
		return true
	})
	return task
}

// Disconnected waits until no framework is subscribed.
func (m *Master) Disconnected() {
	m.t.Helper()
	m.await("end of the session", func() bool { return m.session.IsZero() })
}

// Calls are all calls of a type so far, taken or not.
func (m *Master) Calls(kind schedulerpb.Call_Type) []*schedulerpb.Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	var calls []*schedulerpb.Call
	for _, c := range m.all {
		if c.GetType() == kind {
			calls = append(calls, c)
		}
	}
	return calls
}

func (m *Master) history() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := ""
	for _, c := range m.all {
		text += " " + c.GetType().String()
	}
	return text
}
