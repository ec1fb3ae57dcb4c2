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

// stepsBench is a large cluster in one situation, and how long its master's steps took in it.
type stepsBench struct {
	testing.TB
	c       *Core
	now     time.Time
	slaves  int
	offers  map[string]*mesos.Offer
	fid     *mesos.FrameworkID
	measure bool
	longest time.Duration
	worst   Event // that took longest
	steps   int
}

// benchSession is that of the framework of benchCluster.
const benchSession = Session(1 << 30)

// step lets one event happen, and what it asks for.
func (s *stepsBench) step(e Event) {
	begin := processorTime()
	outputs := s.c.Step(s.now, e)
	if took := processorTime() - begin; s.measure {
		s.steps++
		if took > s.longest {
			s.longest, s.worst = took, e
		}
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

func (s *stepsBench) call(call *schedulerpb.Call) {
	call.FrameworkId = s.fid
	s.step(Received{benchSession, call})
}

func (s *stepsBench) ask(m proto.Message) { s.step(Asked{1, m}) }

// settle lets all happen that is due.
func (s *stepsBench) settle() {
	for at := s.c.Deadline(); !at.IsZero() && !at.After(s.now); at = s.c.Deadline() {
		s.step(Tick{})
	}
}

// launch has the framework run a task of so many thousandths of a cpu on each slave, by the offers that it has, and decline the rest
// of them for good. The tasks run, and each has an update that is not acknowledged.
func (s *stepsBench) launch(each int, checkpoint bool) {
	for i := range s.slaves {
		s.launchOn(i, each)
	}
	s.settle()
}

func (s *stepsBench) launchOn(i, tasks int) {
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
func (s *stepsBench) reoffer() {
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_REVIVE.Enum()})
	s.settle()
	if len(s.offers) != s.slaves {
		s.Fatalf("%d offers, want %d", len(s.offers), s.slaves)
	}
}

var tiny = []*mesos.Resource{{Name: proto.String("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(0.01)}}}

// BenchmarkSteps measures the longest step of a master of 50,000 slaves in situations that concern many of them, or many tasks, at
// once: how long it answers nobody. What else the machine does is in it.
func BenchmarkSteps(b *testing.B) {
	const slaves = 50_000
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
	for _, situation := range []struct {
		name    string
		prepare func(*stepsBench)
		happen  func(*stepsBench)
	}{
		{"teardown", func(s *stepsBench) { s.launch(1, false) }, func(s *stepsBench) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
		}},
		{"teardown-of-offers", func(*stepsBench) {}, func(s *stepsBench) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
		}},
		{"disconnected", func(s *stepsBench) { s.launch(1, false); s.reoffer() }, func(s *stepsBench) {
			s.step(SessionClosed{Session: benchSession, Reason: "connection lost"})
		}},
		{"subscribed-again", func(s *stepsBench) { s.launch(1, false); s.reoffer() }, func(s *stepsBench) {
			s.step(Opened{Session: benchSession + 1})
			s.step(Received{benchSession + 1, subscription(s.fid, "*")})
		}},
		{"failover-timeout", func(s *stepsBench) {
			s.launch(1, false)
			s.step(SessionClosed{Session: benchSession, Reason: "connection lost"})
			s.settle()
		}, func(s *stepsBench) {
			s.now = s.now.Add(time.Hour)
		}},
		{"reconcile-all", func(s *stepsBench) { s.launch(1, false) }, func(s *stepsBench) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: &schedulerpb.Call_Reconcile{}})
		}},
		{"reconcile-named", func(s *stepsBench) { s.launch(1, false) }, func(s *stepsBench) {
			m := &schedulerpb.Call_Reconcile{}
			for i := range 100 {
				m.Tasks = append(m.Tasks, &schedulerpb.Call_Reconcile_Task{TaskId: mesos.NewTaskID(fmt.Sprintf("t%d.0", i))})
			}
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: m})
		}},
		{"revive", func(s *stepsBench) { s.launch(1, false) }, func(s *stepsBench) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_REVIVE.Enum()})
		}},
		{"role-left", func(*stepsBench) {}, func(s *stepsBench) {
			info := subscription(s.fid, "other").Subscribe.FrameworkInfo
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_UPDATE_FRAMEWORK.Enum(), UpdateFramework: &schedulerpb.Call_UpdateFramework{FrameworkInfo: info}})
		}},
		{"weight", func(*stepsBench) {}, func(s *stepsBench) {
			s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: &masterpb.Call_UpdateWeights{
				WeightInfos: []*mesos.WeightInfo{{Role: proto.String("*"), Weight: proto.Float64(2)}},
			}})
		}},
		{"quota-limit", func(s *stepsBench) {
			info := subscription(s.fid, "eng").Subscribe.FrameworkInfo
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_UPDATE_FRAMEWORK.Enum(), UpdateFramework: &schedulerpb.Call_UpdateFramework{FrameworkInfo: info}})
			s.settle()
		}, func(s *stepsBench) {
			s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &masterpb.Call_UpdateQuota{
				QuotaConfigs: []*quotapb.QuotaConfig{{Role: proto.String("eng"), Limits: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(1)}}}},
			}})
		}},
		{"quota-guarantee", func(*stepsBench) {}, func(s *stepsBench) {
			s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &masterpb.Call_UpdateQuota{
				QuotaConfigs: []*quotapb.QuotaConfig{{Role: proto.String("eng"), Guarantees: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(slaves * 20)}}}},
			}})
		}},
		{"quota-of-1000-roles", func(*stepsBench) {}, func(s *stepsBench) {
			m := &masterpb.Call_UpdateQuota{}
			for i := range 1000 {
				m.QuotaConfigs = append(m.QuotaConfigs, &quotapb.QuotaConfig{
					Role: proto.String(fmt.Sprintf("eng%d", i)), Guarantees: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(1)}},
				})
			}
			s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: m})
		}},
		{"maintenance-schedule", func(*stepsBench) {}, func(s *stepsBench) { s.ask(schedule(all())) }},
		{"maintenance-schedule-tasks", func(s *stepsBench) { s.launch(1, false) }, func(s *stepsBench) { s.ask(schedule(all())) }},
		{"maintenance-status", func(s *stepsBench) { s.launch(1, false); s.ask(schedule(all())); s.settle() }, func(s *stepsBench) {
			s.ask(&masterpb.Call{Type: masterpb.Call_GET_MAINTENANCE_STATUS.Enum()})
		}},
		{"maintenance-get-schedule", func(s *stepsBench) { s.launch(1, false); s.ask(schedule(all())); s.settle() }, func(s *stepsBench) {
			s.ask(&masterpb.Call{Type: masterpb.Call_GET_MAINTENANCE_SCHEDULE.Enum()})
		}},
		{"maintenance-disconnected", func(s *stepsBench) { s.launch(1, false); s.ask(schedule(all())); s.settle() }, func(s *stepsBench) {
			s.step(SessionClosed{Session: benchSession, Reason: "connection lost"})
		}},
		{"maintenance-teardown", func(s *stepsBench) { s.launch(1, false); s.ask(schedule(all())); s.settle() }, func(s *stepsBench) {
			s.call(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
		}},
		{"maintenance-start", func(s *stepsBench) { s.ask(schedule(all())); s.settle() }, func(s *stepsBench) {
			s.ask(&masterpb.Call{Type: masterpb.Call_START_MAINTENANCE.Enum(), StartMaintenance: &masterpb.Call_StartMaintenance{Machines: all()}})
		}},
		{"maintenance-stop", func(s *stepsBench) {
			s.ask(schedule(all()))
			s.settle()
			s.ask(&masterpb.Call{Type: masterpb.Call_START_MAINTENANCE.Enum(), StartMaintenance: &masterpb.Call_StartMaintenance{Machines: all()}})
			s.settle()
		}, func(s *stepsBench) {
			s.ask(&masterpb.Call{Type: masterpb.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &masterpb.Call_StopMaintenance{Machines: all()}})
		}},
		{"whitelist", func(*stepsBench) {}, func(s *stepsBench) {
			var names []string
			for i := range slaves / 2 {
				names = append(names, fmt.Sprintf("s%d", i))
			}
			s.step(Whitelisted{Hostnames: names})
		}},
		{"slave-of-1000-tasks-lost", func(s *stepsBench) { s.launchOn(0, 1000); s.settle() }, func(s *stepsBench) {
			s.step(SessionClosed{Session: 1, Reason: "connection lost"})
			s.settle()
			s.now = s.now.Add(time.Hour)
		}},
		{"slave-of-1000-tasks-unreachable", func(s *stepsBench) { s.checkpoints(); s.launchOn(0, 1000); s.settle() }, func(s *stepsBench) {
			s.step(SessionClosed{Session: 1, Reason: "connection lost"})
			s.settle()
			s.now = s.now.Add(time.Hour)
		}},
		{"slave-of-1000-tasks-back", func(s *stepsBench) {
			s.checkpoints()
			s.launchOn(0, 1000)
			s.settle()
			s.step(SessionClosed{Session: 1})
		}, func(s *stepsBench) {
			s.step(Opened{Session: benchSession + 1})
			sl := s.c.slaves["M-S0"]
			m := &wire.ReregisterSlave{Slave: sl.info, Frameworks: []*mesos.FrameworkInfo{s.c.frameworks[s.fid.GetValue()].info}}
			for _, t := range sl.sortedTasks() {
				m.Tasks = append(m.Tasks, t.seen)
			}
			s.step(Received{benchSession + 1, m})
		}},
		{"accept-of-1000-tasks", func(*stepsBench) {}, func(s *stepsBench) { s.launchOn(0, 1000) }},
		{"200-frameworks-time-out", func(s *stepsBench) {
			for i := range 200 {
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
		}, func(s *stepsBench) { s.now = s.now.Add(time.Hour) }},
	} {
		b.Run(fmt.Sprintf("slaves=%d/%s", slaves, situation.name), func(b *testing.B) {
			var longest []time.Duration
			var s *stepsBench
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for b.Loop() {
				s = &stepsBench{TB: b, slaves: slaves}
				s.c, s.now, s.offers = benchCluster(b, slaves)
				s.fid = mesos.NewFrameworkID("M-0000")
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

func (s *stepsBench) checkpoints() {
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
