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
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

var (
	runs    = flag.Int("runs", 1000, "how many random lives of a cluster TestRandomEvents tries, a fifth of it with -short")
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
	lives := uint64(*runs)
	if testing.Short() {
		lives /= 5
	}
	for seed := range lives {
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

	reader Reader // of all lives of the master

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
	total     resource.Resources // with what operations have made of it
	tasks     map[taskKey]*modelTask
	infos     map[string]*mesos.FrameworkInfo
	executors map[executorKey]*mesos.ExecutorInfo
	// operations are those that it has carried out, and whose end is not acknowledged.
	operations map[operationKey]*wire.SlaveOperation
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
	inverse map[string]bool           // ids of the inverse offers that are open
	tasks   map[string]*mesos.AgentID // it believes that they run
	acks    []*mesos.TaskStatus

	operationAcks []*mesos.OperationStatus
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
	resources := []string{"cpus:4;mem:512;disk:100", "cpus:2;mem:256;ports:[1-9]", "cpus:1;mem:128;disk:50;cpus(a):2;mem(a):128;disk(a):50"}[i]
	return &modelSlave{
		name: fmt.Sprintf("s%d", i), resources: resources, total: resource.MustParse(resources), operations: map[operationKey]*wire.SlaveOperation{},
		tasks: map[taskKey]*modelTask{}, infos: map[string]*mesos.FrameworkInfo{}, executors: map[executorKey]*mesos.ExecutorInfo{},
	}
}

func (w *world) freshScheduler(i int) *modelScheduler {
	info := &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String(fmt.Sprintf("f%d", i))}
	var can []mesos.FrameworkInfo_Capability_Type
	switch i {
	case 0:
		can = append(can, mesos.FrameworkInfo_Capability_MULTI_ROLE, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT, mesos.FrameworkInfo_Capability_SHARED_RESOURCES)
		info.Roles = []string{"a", "b"}
	case 1:
		can = append(can, mesos.FrameworkInfo_Capability_PARTITION_AWARE, mesos.FrameworkInfo_Capability_SHARED_RESOURCES)
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
	w.core.workPerStep = 1
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
	if w.rand.IntN(4) == 0 {
		w.read()
	}
}

// read compares what a reader gets that remembers what it got before with what is made from scratch.
func (w *world) read() {
	kinds := []masterpb.Call_Type{
		masterpb.Call_GET_STATE, masterpb.Call_GET_AGENTS, masterpb.Call_GET_TASKS, masterpb.Call_GET_EXECUTORS, masterpb.Call_GET_FRAMEWORKS,
		masterpb.Call_GET_ROLES, masterpb.Call_GET_METRICS,
	}
	kind, view := kinds[w.rand.IntN(len(kinds))], w.core.View()
	got, want := &masterpb.Response{}, view.Answer(kind)
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(slices.Concat(w.reader.Encode(view, kind)...), got); err != nil {
		w.fatal("the answer to %v: %v", kind, err)
	}
	if !proto.Equal(got, want) {
		w.fatal("a reader is answered %v with\n%v\nwant\n%v", kind, got, want)
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
		case n < 95:
			w.maintains()
		case n < 97:
			w.operatorConverts()
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
	types := []masterpb.Call_Type{
		masterpb.Call_GET_STATE, masterpb.Call_GET_ROLES, masterpb.Call_GET_METRICS, masterpb.Call_TEARDOWN, masterpb.Call_UPDATE_WEIGHTS,
		masterpb.Call_UPDATE_QUOTA, masterpb.Call_DEACTIVATE_AGENT, masterpb.Call_REACTIVATE_AGENT, masterpb.Call_DRAIN_AGENT, masterpb.Call_MARK_AGENT_GONE,
	}
	call := &masterpb.Call{Type: types[w.rand.IntN(len(types))].Enum()}
	switch call.GetType() {
	case masterpb.Call_TEARDOWN:
		call.Teardown = &masterpb.Call_Teardown{FrameworkId: mesos.NewFrameworkID(w.schedulers[w.rand.IntN(3)].id)}
	case masterpb.Call_UPDATE_WEIGHTS:
		call.UpdateWeights = &masterpb.Call_UpdateWeights{WeightInfos: []*mesos.WeightInfo{{Role: proto.String("a"), Weight: proto.Float64(float64(w.rand.IntN(4)))}}}
	}
	id := mesos.NewAgentID(w.slaves[w.rand.IntN(len(w.slaves))].id)
	switch call.GetType() {
	case masterpb.Call_UPDATE_QUOTA:
		amount := func(cpus int) map[string]*mesos.Value_Scalar {
			return map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(float64(cpus))}}
		}
		config := &quotapb.QuotaConfig{Role: proto.String([]string{"a", "b"}[w.rand.IntN(2)])}
		if w.rand.IntN(2) == 0 {
			config.Limits = amount(2 + w.rand.IntN(4))
		}
		if w.rand.IntN(2) == 0 {
			config.Guarantees = amount(w.rand.IntN(4))
		}
		call.UpdateQuota = &masterpb.Call_UpdateQuota{Force: proto.Bool(w.rand.IntN(2) == 0), QuotaConfigs: []*quotapb.QuotaConfig{config}}
	case masterpb.Call_DEACTIVATE_AGENT:
		call.DeactivateAgent = &masterpb.Call_DeactivateAgent{AgentId: id}
	case masterpb.Call_REACTIVATE_AGENT:
		call.ReactivateAgent = &masterpb.Call_ReactivateAgent{AgentId: id}
	case masterpb.Call_DRAIN_AGENT:
		call.DrainAgent = &masterpb.Call_DrainAgent{AgentId: id, MarkGone: proto.Bool(w.rand.IntN(2) == 0)}
	case masterpb.Call_MARK_AGENT_GONE:
		call.MarkAgentGone = &masterpb.Call_MarkAgentGone{AgentId: id}
	}
	w.feed(Asked{w.request, call})
}

// settle brings everybody back and lets every update be acknowledged. Then the master and its slaves must agree.
func (w *world) settle() {
	w.confirm(false)
	for _, id := range slices.Sorted(maps.Keys(w.core.registry.Draining)) { // Else one could be given up at the very end.
		w.request++
		w.feed(Asked{w.request, &masterpb.Call{Type: masterpb.Call_REACTIVATE_AGENT.Enum(), ReactivateAgent: &masterpb.Call_ReactivateAgent{AgentId: mesos.NewAgentID(id)}}})
	}
	w.stopMaintenance()
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
			w.reports(s, true)
		}
		for _, f := range w.schedulers {
			operations := f.operationAcks
			f.operationAcks = nil
			for _, status := range operations {
				w.feed(Received{f.session, w.acknowledgesOperation(f, status)})
			}
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
		w.compareOperations(s)
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
