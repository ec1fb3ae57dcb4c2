package core

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/maintenancepb"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// large is a cluster with a framework in a situation that concerns all of it, and what its master's steps were like.
type large struct {
	testing.TB
	c      *Core
	now    time.Time
	slaves int
	offers map[string]*mesos.Offer
	fid    *mesos.FrameworkID

	// Of what happens from the situation on:
	measure bool
	steps   int
	longest time.Duration
	worst   Event                // that took longest
	most    int                  // outputs of a step, without those of timers and offers, which have limits of their own
	said    map[Session][]string // what each session was told, without offers
}

func newLarge(t testing.TB, slaves int) *large {
	s := &large{TB: t, slaves: slaves, fid: mesos.NewFrameworkID("M-0000")}
	s.c, s.now, s.offers = benchCluster(t, slaves)
	return s
}

// benchSession is that of the framework of benchCluster.
const benchSession = Session(1 << 30)

// step lets one event happen, and what it asks for.
func (s *large) step(e Event) {
	begin := processorTime()
	outputs := s.c.Step(s.now, e)
	if took := processorTime() - begin; s.measure {
		s.steps++
		if took > s.longest {
			s.longest, s.worst = took, e
		}
		s.hear(outputs)
	}
	for _, o := range outputs {
		switch o := o.(type) {
		case Send:
			collectOffers(o, s.offers)
		case Persist:
			s.step(Persisted{ID: o.ID})
		case Reply:
			if refused, ok := o.Message.(*wire.Refused); ok {
				s.Fatal(refused.Reason)
			}
		}
	}
}

func (s *large) hear(outputs []Output) {
	n := 0
	for _, o := range outputs {
		o, ok := o.(Send)
		if !ok {
			continue
		}
		e, _ := o.Message.(*schedulerpb.Event)
		switch e.GetType() {
		case schedulerpb.Event_OFFERS, schedulerpb.Event_INVERSE_OFFERS:
			continue
		}
		n++
		if s.said != nil {
			s.said[o.Session] = append(s.said[o.Session], describe(o.Message))
		}
	}
	s.most = max(s.most, n)
}

func (s *large) call(call *schedulerpb.Call) {
	call.FrameworkId = s.fid
	s.step(Received{benchSession, call})
}

func (s *large) ask(m proto.Message) { s.step(Asked{1, m}) }

// settle lets all happen that is due.
func (s *large) settle() {
	for at := s.c.Deadline(); !at.IsZero() && !at.After(s.now); at = s.c.Deadline() {
		s.step(Tick{})
	}
}

// launch has the framework run a task on each slave. It does not want what is left there.
func (s *large) launch() {
	for i := range s.slaves {
		s.launchOn(i, 1)
	}
	s.settle()
}

// launchOn has it run tasks on a slave. Each has an update that is not acknowledged.
func (s *large) launchOn(i, tasks int) {
	slave := fmt.Sprintf("M-S%d", i)
	o := s.offers[slave]
	delete(s.offers, slave)
	var infos []*mesos.TaskInfo
	for k := range tasks {
		id := mesos.NewTaskID(fmt.Sprintf("t%d.%d", i, k))
		infos = append(infos, &mesos.TaskInfo{
			Name: id.Value, TaskId: id, AgentId: o.GetAgentId(), Command: &mesos.CommandInfo{Value: proto.String("true")}, Resources: tiny,
		})
	}
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), Accept: &schedulerpb.Call_Accept{
		OfferIds: []*mesos.OfferID{o.GetId()}, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(1e6)},
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: infos}}},
	}})
	for _, info := range infos {
		status := &mesos.TaskStatus{TaskId: info.TaskId, State: mesos.TaskState_TASK_RUNNING.Enum(), AgentId: info.AgentId, Uuid: uuid("u")}
		s.step(Received{Session(i + 1), &wire.TaskUpdate{FrameworkId: s.fid, Status: status}})
	}
}

// reoffer has all slaves offered again that are not.
func (s *large) reoffer() {
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_REVIVE.Enum()})
	s.settle()
	if len(s.offers) != s.slaves {
		s.Fatalf("%d offers, want %d", len(s.offers), s.slaves)
	}
}

var tiny = []*mesos.Resource{{Name: proto.String("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(0.01)}}}

// situation is something that concerns all slaves of a cluster, or many tasks, at once.
type situation struct {
	name    string
	prepare func(*large)
	happen  func(*large)
	whole   bool // it is one step, however many tasks there are: those of one slave or of one call
}

func situations(slaves int) []situation {
	all := func() []*mesos.MachineID {
		var list []*mesos.MachineID
		for i := range slaves {
			list = append(list, &mesos.MachineID{Hostname: proto.String(fmt.Sprintf("s%d", i))})
		}
		return list
	}
	schedule := func(ids []*mesos.MachineID) *masterpb.Call {
		return &masterpb.Call{Type: masterpb.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(), UpdateMaintenanceSchedule: &masterpb.Call_UpdateMaintenanceSchedule{
			Schedule: &maintenancepb.Schedule{Windows: []*maintenancepb.Window{{
				MachineIds: ids, Unavailability: &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(2e18)}},
			}}},
		}}
	}
	return []situation{
		{name: "teardown", prepare: func(s *large) { s.launch() }, happen: func(s *large) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
		}},
		{name: "teardown-of-offers", prepare: func(*large) {}, happen: func(s *large) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
		}},
		{name: "disconnected", prepare: func(s *large) { s.launch(); s.reoffer() }, happen: func(s *large) {
			s.step(SessionClosed{Session: benchSession, Reason: "connection lost"})
		}},
		{name: "subscribed-again", prepare: func(s *large) { s.launch(); s.reoffer() }, happen: func(s *large) {
			s.step(Opened{Session: benchSession + 1})
			s.step(Received{benchSession + 1, subscription(s.fid, "*")})
		}},
		{name: "failover-timeout", prepare: func(s *large) {
			s.launch()
			s.step(SessionClosed{Session: benchSession, Reason: "connection lost"})
			s.settle()
		}, happen: func(s *large) {
			s.now = s.now.Add(time.Hour)
		}},
		{name: "reconcile-all", prepare: func(s *large) { s.launch() }, happen: func(s *large) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: &schedulerpb.Call_Reconcile{}})
		}},
		{name: "reconcile-named", whole: true, prepare: func(s *large) { s.launch() }, happen: func(s *large) {
			m := &schedulerpb.Call_Reconcile{}
			for i := range 100 {
				m.Tasks = append(m.Tasks, &schedulerpb.Call_Reconcile_Task{TaskId: mesos.NewTaskID(fmt.Sprintf("t%d.0", i))})
			}
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: m})
		}},
		{name: "revive", prepare: func(s *large) { s.launch() }, happen: func(s *large) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_REVIVE.Enum()})
		}},
		{name: "role-left", prepare: func(*large) {}, happen: func(s *large) {
			info := subscription(s.fid, "other").Subscribe.FrameworkInfo
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_UPDATE_FRAMEWORK.Enum(), UpdateFramework: &schedulerpb.Call_UpdateFramework{FrameworkInfo: info}})
		}},
		{name: "weight", prepare: func(*large) {}, happen: func(s *large) {
			s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: &masterpb.Call_UpdateWeights{
				WeightInfos: []*mesos.WeightInfo{{Role: proto.String("*"), Weight: proto.Float64(2)}},
			}})
		}},
		{name: "quota-limit", prepare: func(s *large) {
			info := subscription(s.fid, "eng").Subscribe.FrameworkInfo
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_UPDATE_FRAMEWORK.Enum(), UpdateFramework: &schedulerpb.Call_UpdateFramework{FrameworkInfo: info}})
			s.settle()
		}, happen: func(s *large) {
			s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &masterpb.Call_UpdateQuota{
				QuotaConfigs: []*quotapb.QuotaConfig{{Role: proto.String("eng"), Limits: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(1)}}}},
			}})
		}},
		{name: "quota-guarantee", prepare: func(*large) {}, happen: func(s *large) {
			s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &masterpb.Call_UpdateQuota{
				QuotaConfigs: []*quotapb.QuotaConfig{{Role: proto.String("eng"), Guarantees: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(float64(slaves) * 20)}}}},
			}})
		}},
		{name: "quota-of-1000-roles", prepare: func(*large) {}, happen: func(s *large) {
			m := &masterpb.Call_UpdateQuota{}
			for i := range 1000 {
				m.QuotaConfigs = append(m.QuotaConfigs, &quotapb.QuotaConfig{
					Role: proto.String(fmt.Sprintf("eng%d", i)), Guarantees: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(1)}},
				})
			}
			s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: m})
		}},
		{name: "maintenance-schedule", prepare: func(*large) {}, happen: func(s *large) { s.ask(schedule(all())) }},
		{name: "maintenance-schedule-tasks", prepare: func(s *large) { s.launch() }, happen: func(s *large) { s.ask(schedule(all())) }},
		{name: "maintenance-status", prepare: func(s *large) { s.launch(); s.ask(schedule(all())); s.settle() }, happen: func(s *large) {
			s.ask(&masterpb.Call{Type: masterpb.Call_GET_MAINTENANCE_STATUS.Enum()})
		}},
		{name: "maintenance-get-schedule", prepare: func(s *large) { s.launch(); s.ask(schedule(all())); s.settle() }, happen: func(s *large) {
			s.ask(&masterpb.Call{Type: masterpb.Call_GET_MAINTENANCE_SCHEDULE.Enum()})
		}},
		{name: "maintenance-disconnected", prepare: func(s *large) { s.launch(); s.ask(schedule(all())); s.settle() }, happen: func(s *large) {
			s.step(SessionClosed{Session: benchSession, Reason: "connection lost"})
		}},
		{name: "maintenance-teardown", prepare: func(s *large) { s.launch(); s.ask(schedule(all())); s.settle() }, happen: func(s *large) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
		}},
		{name: "maintenance-start", prepare: func(s *large) { s.ask(schedule(all())); s.settle() }, happen: func(s *large) {
			s.ask(&masterpb.Call{Type: masterpb.Call_START_MAINTENANCE.Enum(), StartMaintenance: &masterpb.Call_StartMaintenance{Machines: all()}})
		}},
		{name: "maintenance-stop", prepare: func(s *large) {
			s.ask(schedule(all()))
			s.settle()
			s.ask(&masterpb.Call{Type: masterpb.Call_START_MAINTENANCE.Enum(), StartMaintenance: &masterpb.Call_StartMaintenance{Machines: all()}})
			s.settle()
		}, happen: func(s *large) {
			s.ask(&masterpb.Call{Type: masterpb.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &masterpb.Call_StopMaintenance{Machines: all()}})
		}},
		{name: "whitelist", prepare: func(*large) {}, happen: func(s *large) {
			var names []string
			for i := range slaves / 2 {
				names = append(names, fmt.Sprintf("s%d", i))
			}
			s.step(Whitelisted{Hostnames: names})
		}},
		{name: "slave-of-1000-tasks-lost", whole: true, prepare: func(s *large) { s.launchOn(0, 1000); s.settle() }, happen: func(s *large) {
			s.step(SessionClosed{Session: 1, Reason: "connection lost"})
			s.settle()
			s.now = s.now.Add(time.Hour)
		}},
		{name: "slave-of-1000-tasks-unreachable", whole: true, prepare: func(s *large) { s.checkpoints(); s.launchOn(0, 1000); s.settle() }, happen: func(s *large) {
			s.step(SessionClosed{Session: 1, Reason: "connection lost"})
			s.settle()
			s.now = s.now.Add(time.Hour)
		}},
		{name: "slave-of-1000-tasks-back", whole: true, prepare: func(s *large) {
			s.checkpoints()
			s.launchOn(0, 1000)
			s.settle()
			s.step(SessionClosed{Session: 1})
		}, happen: func(s *large) {
			s.step(Opened{Session: benchSession + 1})
			sl := s.c.slaves["M-S0"]
			m := &wire.ReregisterSlave{Slave: sl.info, Frameworks: []*mesos.FrameworkInfo{s.c.frameworks[s.fid.GetValue()].info}}
			for _, t := range sl.sortedTasks() {
				m.Tasks = append(m.Tasks, t.seen)
			}
			s.step(Received{benchSession + 1, m})
		}},
		{name: "accept-of-1000-tasks", whole: true, prepare: func(*large) {}, happen: func(s *large) { s.launchOn(0, 1000) }},
		{name: "frameworks-time-out", prepare: func(s *large) {
			for i := range min(slaves, 200) {
				sl := s.c.slaves[fmt.Sprintf("M-S%d", i)]
				f := &mesos.FrameworkInfo{Id: mesos.NewFrameworkID(fmt.Sprintf("f%03d", i)), User: proto.String("u"), Name: proto.String("f")}
				m := &wire.ReregisterSlave{Slave: sl.info, Frameworks: []*mesos.FrameworkInfo{f}}
				for k := range 250 {
					id := mesos.NewTaskID(fmt.Sprintf("t%d", k))
					m.Tasks = append(m.Tasks, &mesos.Task{
						Name: id.Value, TaskId: id, FrameworkId: f.Id, AgentId: sl.info.Id, State: mesos.TaskState_TASK_RUNNING.Enum(), Resources: tiny,
					})
				}
				s.step(Received{Session(i + 1), m})
			}
			s.settle()
		}, happen: func(s *large) { s.now = s.now.Add(time.Hour) }},
	}
}

// BenchmarkSteps measures the longest step of a master of 50,000 slaves in each situation: how long it answers nobody, in
// time of its thread's processor, so that other work on the machine is not in it but for what it does to the caches.
func BenchmarkSteps(b *testing.B) {
	const slaves = 50_000
	for _, situation := range situations(slaves) {
		b.Run(fmt.Sprintf("slaves=%d/%s", slaves, situation.name), func(b *testing.B) {
			var longest []time.Duration
			var s *large
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for b.Loop() {
				s = newLarge(b, slaves)
				situation.prepare(s)
				runtime.GC()
				s.measure = true
				situation.happen(s)
				s.settle()
				longest = append(longest, s.longest)
			}
			slices.Sort(longest)
			b.ReportMetric(float64(longest[len(longest)/2].Microseconds())/1000, "ms-longest-step-median")
			b.ReportMetric(float64(longest[0].Microseconds())/1000, "ms-longest-step-best")
			b.ReportMetric(float64(s.steps), "steps")
			b.Logf("longest: %T", s.worst)
		})
	}
}

func (s *large) checkpoints() {
	s.c.frameworks[s.fid.GetValue()].info.Checkpoint = proto.Bool(true)
}

// processorTime is how long the thread that it is called on has had a processor.
func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// subscription is a SUBSCRIBE of a framework that may be away for a minute.
func subscription(id *mesos.FrameworkID, role string) *schedulerpb.Call {
	return &schedulerpb.Call{Type: schedulerpb.Call_SUBSCRIBE.Enum(), FrameworkId: id, Subscribe: &schedulerpb.Call_Subscribe{
		FrameworkInfo: &mesos.FrameworkInfo{
			Id: id, User: proto.String("u"), Name: proto.String("f"), Role: proto.String(role), FailoverTimeout: proto.Float64(60),
		},
	}}
}
