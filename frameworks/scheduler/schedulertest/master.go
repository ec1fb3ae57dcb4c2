// Package schedulertest is a master for tests of frameworks. It speaks the real protocol over an in-memory network, but does
// nothing by itself: the test makes offers, looks at the calls that come, says what becomes of tasks, and pulls the cable.
//
//	m := schedulertest.New(t)
//	go scheduler.Run(ctx, m.Options("my framework"), &myScheduler{})
//	slave := m.Slave("s1")
//	m.Subscription()                                  // waits for the framework
//	m.Offer(slave, "cpus:2;mem:1024")
//	task := m.Launched()                              // waits for the launch
//	m.Update(task, mesos.TaskState_TASK_RUNNING)
//	m.Next(schedulerpb.Call_ACKNOWLEDGE)              // waits for the acknowledgement
//	m.Break()                                         // and so on
//
// Everything works in a testing/synctest bubble, where time is fake. Whatever is waited for must come within Patience, else
// the test ends.
package schedulertest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// Patience is how long a test waits for what must come.
	Patience = 30 * time.Second
	// Address is where the master listens on its network.
	Address = masterHost + ":5050"

	masterHost    = "master"
	schedulerHost = "scheduler"
	slavePort     = 5051
	closeTimeout  = 5 * time.Second
	// settle is given to what ends by itself when the test's context has ended, the scheduler first of all: in a bubble time
	// stands still once its main goroutine has gone, and whoever waits for a timer then would wait forever.
	settle = 5 * time.Millisecond
)

// Master is a master in the hands of a test. Its methods may be called from any goroutine.
type Master struct {
	t       testing.TB
	network *remote.MemoryNetwork
	life    uint64

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something comes
	sys     *actor.System
	remote  *remote.Remote
	session actor.PID // zero: no framework is subscribed
	id      *mesos.FrameworkID
	roles   []string
	calls   []*schedulerpb.Call // that nobody has taken
	all     []*schedulerpb.Call
	refusal proto.Message
	answer  func(*masterpb.Call) proto.Message
	explain func(*wire.Explain) proto.Message
	course  func(*mesos.TaskInfo) []mesos.TaskState
	tasks   []*mesos.TaskInfo // launched and not taken by Launched
	serial  int
	slaves  []*Slave
}

// New makes a master that listens. It ends with the test.
func New(t testing.TB) *Master {
	t.Helper()
	m := &Master{t: t, network: remote.NewMemoryNetwork(), changed: make(chan struct{})}
	m.Start()
	t.Cleanup(m.close)
	return m
}

// Options are those of a scheduler on another host of the master's network.
func (m *Master) Options(name string) scheduler.Options {
	return scheduler.Options{Master: Address, Name: name, User: "somebody", Network: m.network.Host(schedulerHost)}
}

// Network is what the scheduler's host sees.
func (m *Master) Network() remote.Network { return m.network.Host(schedulerHost) }

// Start begins a life of the master that remembers nothing of those before. New has started the first.
func (m *Master) Start() {
	m.t.Helper()
	m.life++
	sys := actor.NewSystem(actor.SystemOptions{Node: "master", Incarnation: m.life, Role: wire.RoleMaster})
	r, err := remote.Start(remote.Options{System: sys, Network: m.network.Host(masterHost), Advertise: Address, May: may, OwnSenders: true})
	if err != nil {
		m.t.Fatal(err)
	}
	sys.Spawn("master", func() actor.Actor { return actor.Func(m.receive) })
	if _, err := r.Listen(Address); err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sys, m.remote = sys, r
}

// Stop ends the master's life, as kill -9 would: connections break, and nobody listens until Start.
func (m *Master) Stop() {
	m.t.Helper()
	m.network.Break(masterHost, schedulerHost)
	m.mu.Lock()
	sys, r := m.sys, m.remote
	m.sys, m.remote, m.session = nil, nil, actor.PID{}
	m.mu.Unlock()
	if sys == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		m.t.Error(err)
	}
	if err := sys.Shutdown(ctx); err != nil {
		m.t.Error(err)
	}
}

// Break ends the connection at once; the scheduler may come back as soon as it likes.
func (m *Master) Break() { m.network.Break(masterHost, schedulerHost) }

// Cut has nothing pass between scheduler and master until Heal: the connection is there, and silent.
func (m *Master) Cut() { m.network.Cut(masterHost, schedulerHost) }

// Heal ends Cut.
func (m *Master) Heal() { m.network.Heal(masterHost, schedulerHost) }

func (m *Master) close() {
	m.Heal()
	time.Sleep(settle)
	m.Stop()
	for _, s := range m.slaves {
		s.close()
	}
}

func may(from actor.Role, message protoreflect.FullName) bool { return wire.May(string(from), message) }

// say has the session's actor send an event. Without a session it is an error, unless the framework has ended: then there is
// nobody who could hear it, as with a real master.
func (m *Master) say(e *schedulerpb.Event) {
	m.t.Helper()
	m.mu.Lock()
	sys, session := m.sys, m.session
	m.mu.Unlock()
	if session.IsZero() && len(m.Calls(schedulerpb.Call_TEARDOWN)) > 0 {
		return
	}
	if session.IsZero() {
		m.t.Errorf("no framework is subscribed that could hear %s", e.GetType())
		return
	}
	sys.Send(session, e)
}

// Event sends any event to the framework.
func (m *Master) Event(e *schedulerpb.Event) { m.t.Helper(); m.say(e) }

// Offer offers resources of a slave, as in "cpus:2;mem:1024", to the framework's first role, and returns the offer's id.
func (m *Master) Offer(s *Slave, resources string) string {
	m.t.Helper()
	return m.Offers(s.offer(resources))[0]
}

// Offers sends several offers in one event, made by Slave.NewOffer, and returns their ids.
func (m *Master) Offers(offers ...*mesos.Offer) []string {
	m.t.Helper()
	var ids []string
	for _, o := range offers {
		m.mu.Lock()
		m.serial++
		o.Id = mesos.NewOfferID("offer-" + strconv.Itoa(m.serial))
		if o.AllocationInfo == nil && len(m.roles) > 0 {
			o.AllocationInfo = &mesos.Resource_AllocationInfo{Role: proto.String(m.roles[0])}
		}
		o.FrameworkId = m.id
		for _, r := range o.Resources {
			r.AllocationInfo = o.AllocationInfo
		}
		m.mu.Unlock()
		ids = append(ids, o.GetId().GetValue())
	}
	m.say(&schedulerpb.Event{Type: schedulerpb.Event_OFFERS.Enum(), Offers: &schedulerpb.Event_Offers{Offers: offers}})
	return ids
}

// Rescind takes an offer back.
func (m *Master) Rescind(offerID string) {
	m.t.Helper()
	m.say(&schedulerpb.Event{Type: schedulerpb.Event_RESCIND.Enum(), Rescind: &schedulerpb.Event_Rescind{OfferId: mesos.NewOfferID(offerID)}})
}

// Error ends the subscription with a message.
func (m *Master) Error(message string) {
	m.t.Helper()
	m.say(errorEvent(message))
}

func errorEvent(message string) *schedulerpb.Event {
	return &schedulerpb.Event{Type: schedulerpb.Event_ERROR.Enum(), Error: &schedulerpb.Event_Error{Message: proto.String(message)}}
}

// FrameworkID is the id of the framework that subscribed last.
func (m *Master) FrameworkID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id.GetValue()
}

// RefuseWith answers subscriptions from now on with an ERROR event of this text; "" accepts them again.
func (m *Master) RefuseWith(message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusal = nil
	if message != "" {
		m.refusal = errorEvent(message)
	}
}

// Answer has questions (Driver.Ask) answered by f, which gives a *masterpb.Response or a *wire.Refused.
func (m *Master) Answer(f func(*masterpb.Call) proto.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = f
}

// Explain has questions (Driver.Explain) answered by f, which gives a *wire.Explanation or a *wire.Refused.
func (m *Master) Explain(f func(*wire.Explain) proto.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.explain = f
}

// RunTasks has tasks that are launched from now on take a course by themselves: each state that course gives is sent as an
// update. Launched does not see them.
func (m *Master) RunTasks(course func(*mesos.TaskInfo) []mesos.TaskState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.course = course
}

// NewStatus is what a slave would say of a task: with a new uuid, a container and the time.
func (m *Master) NewStatus(task *mesos.TaskInfo, state mesos.TaskState) *mesos.TaskStatus {
	m.mu.Lock()
	m.serial++
	uuid := fmt.Sprintf("uuid-%011d", m.serial) // 16 bytes
	m.mu.Unlock()
	return &mesos.TaskStatus{
		TaskId: task.GetTaskId(), AgentId: task.GetAgentId(), State: state.Enum(), Uuid: []byte(uuid),
		Source:     mesos.TaskStatus_SOURCE_EXECUTOR.Enum(),
		ExecutorId: mesos.NewExecutorID(task.GetTaskId().GetValue()),
		Timestamp:  proto.Float64(float64(time.Now().UnixNano()) / float64(time.Second)),
		ContainerStatus: &mesos.ContainerStatus{
			ContainerId: mesos.NewContainerID(containerID(task.GetTaskId().GetValue())),
		},
	}
}

func containerID(taskID string) string { return "container-of-" + taskID }

// Update sends news of a task and returns what it sent.
func (m *Master) Update(task *mesos.TaskInfo, state mesos.TaskState) *mesos.TaskStatus {
	m.t.Helper()
	s := m.NewStatus(task, state)
	m.Status(s)
	return s
}

// Status sends a status as it is, which may also be one that was sent before.
func (m *Master) Status(s *mesos.TaskStatus) {
	m.t.Helper()
	m.say(statusEvent(s))
}

func statusEvent(s *mesos.TaskStatus) *schedulerpb.Event {
	return &schedulerpb.Event{Type: schedulerpb.Event_UPDATE.Enum(), Update: &schedulerpb.Event_Update{Status: s}}
}
