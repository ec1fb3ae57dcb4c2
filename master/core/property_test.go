package core

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

var (
	runs    = flag.Int("runs", 1000, "how many random lives of a cluster TestRandomEvents tries")
	oneSeed = flag.Uint64("seed", 0, "the one seed that TestRandomEvents tries; 0: many")
)

// stepsPerRun is how many things happen in one life of a cluster.
const stepsPerRun = 120

// TestRandomEvents lets anything happen in any order to a small cluster, with every invariant checked after each step. In
// the end all peers come back, and the master and its slaves must know of the same tasks.
func TestRandomEvents(t *testing.T) {
	if *oneSeed != 0 {
		newWorld(t, *oneSeed).live()
		return
	}
	for seed := range uint64(*runs) {
		newWorld(t, seed+1).live()
	}
}

// TestTheSameEventsGiveTheSameOutputs is what recordings rely on.
func TestTheSameEventsGiveTheSameOutputs(t *testing.T) {
	for seed := range uint64(20) {
		first, second := newWorld(t, seed+1), newWorld(t, seed+1)
		first.live()
		second.live()
		if !slices.Equal(first.log, second.log) {
			t.Fatalf("seed %d: two lives of one master differ", seed+1)
		}
	}
}

// world is a cluster of models around a core.
type world struct {
	t    *testing.T
	seed uint64
	rand *rand.Rand
	core *Core
	now  time.Time
	life int
	log  []string // of what happened

	sessions   map[Session]any // *modelSlave or *modelScheduler; Invariant: those that the core has been told are open
	last       Session
	request    Request
	state      registry.State
	held       []Persist
	slaves     []*modelSlave
	schedulers []*modelScheduler
	tasks      int
}

// modelSlave runs what it is told and remembers it.
type modelSlave struct {
	name      string
	id        string
	cluster   string
	session   Session
	ready     bool // registered in this session
	resources string
	tasks     map[taskKey]*modelTask
	infos     map[string]*mesos.FrameworkInfo
	executors map[executorKey]*mesos.ExecutorInfo
}

type modelTask struct {
	info   *mesos.TaskInfo
	state  mesos.TaskState
	uuid   string // of the update that waits for its acknowledgement; empty: none
	told   mesos.TaskState
	serial int
}

// modelScheduler accepts what it likes.
type modelScheduler struct {
	name    string
	session Session
	info    *mesos.FrameworkInfo
	id      string
	offers  []*mesos.Offer
	tasks   map[string]*mesos.AgentID // it believes that they run
	acks    []*mesos.TaskStatus
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(1e9, 0), sessions: map[Session]any{}}
	for i := range 3 {
		w.slaves = append(w.slaves, w.freshSlave(i))
	}
	for i := range 3 {
		w.schedulers = append(w.schedulers, w.freshScheduler(i))
	}
	w.birth()
	return w
}

func (w *world) freshSlave(i int) *modelSlave {
	return &modelSlave{
		name: fmt.Sprintf("s%d", i), resources: []string{"cpus:4;mem:512", "cpus:2;mem:256;ports:[1-9]", "cpus:1;mem:128;cpus(a):2;mem(a):128"}[i],
		tasks: map[taskKey]*modelTask{}, infos: map[string]*mesos.FrameworkInfo{}, executors: map[executorKey]*mesos.ExecutorInfo{},
	}
}

func (w *world) freshScheduler(i int) *modelScheduler {
	info := &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String(fmt.Sprintf("f%d", i))}
	var can []mesos.FrameworkInfo_Capability_Type
	switch i {
	case 0:
		can = append(can, mesos.FrameworkInfo_Capability_MULTI_ROLE, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT)
		info.Roles = []string{"a", "b"}
	case 1:
		can = append(can, mesos.FrameworkInfo_Capability_PARTITION_AWARE)
		info.Role = proto.String("a")
	}
	for _, c := range can {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
	}
	info.Checkpoint = proto.Bool(w.rand.IntN(2) == 0)
	info.FailoverTimeout = proto.Float64(float64(w.rand.IntN(3) * 50))
	return &modelScheduler{name: info.GetName(), info: info, tasks: map[string]*mesos.AgentID{}}
}

// birth begins a master with an empty memory. Sometimes its registry is durable.
func (w *world) birth() {
	for _, s := range w.slaves {
		s.session, s.ready = 0, false
	}
	for _, f := range w.schedulers {
		f.session, f.offers = 0, nil
	}
	w.core, w.sessions, w.held = New(), map[Session]any{}, nil
	w.life++
	durable := w.rand.IntN(2) == 0
	if !durable {
		w.state = registry.State{}
	}
	config := Config{MaxCompletedFrameworks: 2, MaxCompletedTasksPerFramework: 3, MaxCompletedTasks: 5, MaxUnreachableTasksPerFramework: 2}
	w.feed(Born{Incarnation: fmt.Sprintf("M%d", w.life), Master: &mesos.MasterInfo{}, Config: config})
	w.feed(Seed{w.rand.Uint64()})
	w.feed(Recovered{w.state.Clone(), durable})
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	tail := w.log[max(0, len(w.log)-40):]
	w.t.Fatalf("%s\n%s\nreproduce: go test -run TestRandomEvents -seed %d", strings.Join(tail, "\n"), fmt.Sprintf(format, args...), w.seed)
}

// feed lets one event happen.
func (w *world) feed(e Event) {
	w.t.Helper()
	w.log = append(w.log, fmt.Sprintf("%T", e))
	if r, ok := e.(Received); ok {
		w.log[len(w.log)-1] = fmt.Sprintf("%v %T", w.nameOf(r.Session), r.Message)
	}
	outs := w.core.Step(w.now, e)
	for _, o := range outs {
		w.carryOut(o)
	}
	if err := w.core.Check(); err != nil {
		w.fatal("after %T: %v", e, err)
	}
}

func (w *world) nameOf(s Session) string {
	switch p := w.sessions[s].(type) {
	case *modelSlave:
		return p.name
	case *modelScheduler:
		return p.name
	}
	return fmt.Sprint(s)
}

func (w *world) carryOut(o Output) {
	switch o := o.(type) {
	case Send:
		p, open := w.sessions[o.Session]
		if !open {
			w.fatal("%v is sent to session %d, which is closed", o.Message, o.Session)
		}
		w.log = append(w.log, "  "+w.nameOf(o.Session)+" <- "+describe(o.Message))
		if s, ok := p.(*modelSlave); ok {
			w.slaveHears(s, o)
		} else {
			w.schedulerHears(p.(*modelScheduler), o)
		}
	case CloseSession:
		if _, open := w.sessions[o.Session]; !open {
			w.fatal("session %d is closed twice", o.Session)
		}
		w.log = append(w.log, "  "+w.nameOf(o.Session)+" closed: "+o.Reason)
		w.drop(o.Session)
	case Persist:
		w.log = append(w.log, "  persist "+o.Change.String())
		w.held = append(w.held, o)
	}
}

func (w *world) drop(number Session) {
	switch p := w.sessions[number].(type) {
	case *modelSlave:
		if p.session == number {
			p.session, p.ready = 0, false
		}
	case *modelScheduler:
		if p.session == number {
			p.session, p.offers = 0, nil
		}
	}
	delete(w.sessions, number)
}

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
		s.id, s.cluster = "", ""
		clear(s.tasks)
		clear(s.executors)
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
		f.id, f.offers = e.GetSubscribed().GetFrameworkId().GetValue(), nil
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
	case schedulerpb.Event_ERROR:
		if strings.Contains(e.GetError().GetMessage(), frameworkRemoved) {
			f.id = ""
			clear(f.tasks)
		}
	}
}

// open connects a peer anew.
func (w *world) open(p any) Session {
	w.last++
	w.sessions[w.last] = p
	switch p := p.(type) {
	case *modelSlave:
		p.session, p.ready = w.last, false
	case *modelScheduler:
		p.session, p.offers = w.last, nil
	}
	w.feed(Opened{Session: w.last})
	return w.last
}

// live lets many things happen, then brings everybody back.
func (w *world) live() {
	for range stepsPerRun {
		w.now = w.now.Add(time.Duration(w.rand.IntN(1000)) * time.Millisecond)
		switch n := w.rand.IntN(100); {
		case n < 30:
			w.slaveActs(w.slaves[w.rand.IntN(len(w.slaves))])
		case n < 70:
			w.schedulerActs(w.schedulers[w.rand.IntN(len(w.schedulers))])
		case n < 85:
			w.confirm(w.rand.IntN(10) == 0)
		case n < 88:
			w.now = w.now.Add(time.Duration(w.rand.IntN(100)) * time.Second)
		case n < 89:
			w.birth()
		case n < 92:
			w.ask()
		}
		for i := 0; !w.core.Deadline().IsZero() && !w.core.Deadline().After(w.now) && i < 50; i++ {
			w.feed(Tick{})
		}
	}
	w.settle()
}

// confirm answers what is to be persisted, or fails it.
func (w *world) confirm(fail bool) {
	held := w.held
	w.held = nil
	for _, p := range held {
		failure := ""
		if fail {
			failure = "no quorum"
		} else if err := w.state.Apply(p.Change); err != nil {
			failure = err.Error()
		}
		w.feed(Persisted{p.ID, failure})
	}
}

func (w *world) ask() {
	w.request++
	types := []masterpb.Call_Type{masterpb.Call_GET_STATE, masterpb.Call_GET_ROLES, masterpb.Call_GET_METRICS, masterpb.Call_TEARDOWN, masterpb.Call_UPDATE_WEIGHTS}
	call := &masterpb.Call{Type: types[w.rand.IntN(len(types))].Enum()}
	switch call.GetType() {
	case masterpb.Call_TEARDOWN:
		call.Teardown = &masterpb.Call_Teardown{FrameworkId: mesos.NewFrameworkID(w.schedulers[w.rand.IntN(3)].id)}
	case masterpb.Call_UPDATE_WEIGHTS:
		call.UpdateWeights = &masterpb.Call_UpdateWeights{WeightInfos: []*mesos.WeightInfo{{Role: proto.String("a"), Weight: proto.Float64(float64(w.rand.IntN(4)))}}}
	}
	w.feed(Asked{w.request, call})
}

func (w *world) slaveActs(s *modelSlave) {
	n := w.rand.IntN(100)
	switch {
	case s.session == 0 || n < 5:
		if n < 3 { // Its process has died and forgets everything.
			fresh := w.freshSlave(int(s.name[1] - '0'))
			s.id, s.cluster, s.tasks, s.executors = fresh.id, fresh.cluster, fresh.tasks, fresh.executors
		}
		w.slaveComes(s)
	case n < 10:
		session := s.session
		w.drop(session)
		w.feed(SessionClosed{session, "cut"})
	case n < 12 && s.ready:
		clear(s.tasks)
		clear(s.executors)
		w.feed(Received{s.session, &wire.UnregisterSlave{}})
		s.id = ""
	case n < 15 && s.ready && len(s.executors) > 0:
		w.executorEnds(s)
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
	m := &wire.ReregisterSlave{Slave: info, ClusterId: s.cluster}
	named := map[string]bool{}
	for _, key := range s.sorted() {
		t := s.tasks[key]
		named[key.framework] = true
		m.Tasks = append(m.Tasks, &mesos.Task{
			Name: t.info.Name, TaskId: t.info.TaskId, FrameworkId: mesos.NewFrameworkID(key.framework), AgentId: info.Id,
			State: t.state.Enum(), Resources: t.info.Resources, ExecutorId: t.info.GetExecutor().GetExecutorId(),
		})
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.executors), func(a, b executorKey) int { return strings.Compare(a.framework+a.executor, b.framework+b.executor) }) {
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
	for _, key := range slices.SortedFunc(maps.Keys(s.executors), func(a, b executorKey) int { return strings.Compare(a.framework+a.executor, b.framework+b.executor) }) {
		for _, t := range s.tasks {
			if t.info.GetExecutor().GetExecutorId().GetValue() == key.executor && !mesos.IsTerminal(t.state) {
				t.state = mesos.TaskState_TASK_LOST
			}
		}
		delete(s.executors, key)
		w.feed(Received{s.session, &wire.ExecutorExited{FrameworkId: mesos.NewFrameworkID(key.framework), ExecutorId: mesos.NewExecutorID(key.executor)}})
		return
	}
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
	launch := &mesos.Offer_Operation_Launch{}
	for range w.rand.IntN(3) {
		id := fmt.Sprintf("t%d", w.rand.IntN(6))
		task := &mesos.TaskInfo{Name: proto.String(id), TaskId: mesos.NewTaskID(id), AgentId: offer.GetAgentId(), Resources: w.some(offer)}
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
	call.Accept.Operations = []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: launch}}
	return call
}

func (w *world) some(offer *mesos.Offer) []*mesos.Resource {
	have, err := resource.FromProto(offer.GetResources())
	if err != nil {
		w.fatal("offer %v: %v", offer, err)
	}
	if w.rand.IntN(8) == 0 {
		return offer.GetResources()
	}
	if part, ok := have.Take(resource.MustParse("cpus:0.5;mem:32")); ok {
		return part.ToProto()
	}
	return resource.MustParse("cpus:64").ToProto()
}

// settle brings everybody back and lets every update be acknowledged. Then the master and its slaves must agree.
func (w *world) settle() {
	for range 3 { // What was refused in the first round may come in the second, as somebody else.
		w.confirm(false)
		for _, s := range w.slaves {
			if !s.ready {
				w.slaveComes(s)
				w.confirm(false)
				w.confirm(false)
			}
		}
		for _, f := range w.schedulers {
			if f.session == 0 {
				w.open(f)
				w.subscribes(f)
			}
		}
	}
	for range 40 {
		for _, s := range w.slaves {
			for _, key := range s.sorted() {
				w.forward(s, key)
			}
		}
		for _, f := range w.schedulers {
			acks := f.acks
			f.acks = nil
			for _, status := range acks {
				w.feed(Received{f.session, w.acknowledges(f, status)})
			}
		}
	}
	w.compare()
}

// compare holds the tasks that the master knows against those that slaves run.
func (w *world) compare() {
	for _, s := range w.slaves {
		if !s.ready || w.core.slaves[s.id] == nil {
			w.fatal("slave %s has not come back", s.name)
		}
		known := w.core.slaves[s.id].tasks
		for key, t := range s.tasks {
			connected := w.core.frameworks[key.framework] != nil && w.core.frameworks[key.framework].connected()
			if mesos.IsTerminal(t.state) && connected {
				w.fatal("task %v has ended on slave %s, and its scheduler, which is there, has not ended it", key, s.name)
			}
			if !mesos.IsTerminal(t.state) && (known[key] == nil || known[key].state() != t.state) {
				w.fatal("task %v is %v on slave %s, the master knows it as %+v", key, t.state, s.name, known[key])
			}
		}
		for key := range known {
			if s.tasks[key] == nil {
				w.fatal("task %v is known by the master, and not by slave %s", key, s.name)
			}
		}
	}
}
