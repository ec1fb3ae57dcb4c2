package command

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/executor/core"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// play is a core whose outputs are read as lines.
type play struct {
	t     testing.TB
	core  *commandCore
	now   time.Time
	sent  []*mesos.TaskStatus
	start *wire.StartContainer
}

type option func(*wire.LaunchExecutor)

func killingState(l *wire.LaunchExecutor) {
	l.Framework.Capabilities = []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_TASK_KILLING_STATE.Enum()}}
}

func newPlay(t testing.TB, options ...option) *play {
	launch := &wire.LaunchExecutor{
		Framework:   &mesos.FrameworkInfo{Id: mesos.NewFrameworkID("f1")},
		Executor:    &mesos.ExecutorInfo{ExecutorId: mesos.NewExecutorID("t1")},
		ContainerId: mesos.NewContainerID("c1"), Directory: "/work/c1", User: "nobody", CommandExecutor: true,
		Environment: map[string]string{"MESOS_EXECUTOR_ID": "t1", "MESOS_EXECUTOR_AUTHENTICATION_TOKEN": "secret"},
	}
	for _, o := range options {
		o(launch)
	}
	p := &play{t: t, now: epoch, core: newCore(launch, core.Config{FrameworkID: "f1", ExecutorID: "t1", Incarnation: 1})}
	p.expect("birth", p.step(core.Start{}), "connect")
	return p
}

func (p *play) step(event any) []string {
	var lines []string
	for _, o := range p.core.Step(p.now, event) {
		lines = append(lines, p.line(o))
	}
	return lines
}

func (p *play) after(d time.Duration) []string {
	p.now = p.now.Add(d)
	return p.step(core.Tick{})
}

func (p *play) line(o any) string {
	switch o := o.(type) {
	case core.Connect:
		return "connect"
	case core.HangUp:
		return "hang up"
	case core.Send:
		status := o.Call.GetUpdate().GetStatus()
		p.sent = append(p.sent, status)
		return strings.TrimPrefix(status.GetState().String(), "TASK_")
	case *wire.StartContainer:
		p.start = o
		return "start " + o.GetContainerId().GetValue()
	case *wire.SignalContainer:
		return fmt.Sprintf("signal %d", o.GetSignal())
	case *wire.KillContainer:
		return "kill container"
	case finished:
		return fmt.Sprintf("finished: %v", o.Err)
	default:
		p.t.Fatalf("output %T", o)
		return ""
	}
}

func (p *play) expect(what string, got []string, want ...string) {
	p.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func (p *play) hear(e *executorpb.Event) []string {
	return p.step(core.Received{Session: 1, Event: e})
}

func (p *play) subscribed() []string {
	return p.hear(&executorpb.Event{Type: executorpb.Event_SUBSCRIBED.Enum(), Subscribed: &executorpb.Event_Subscribed{}})
}

func newTask(change func(*mesos.TaskInfo)) *mesos.TaskInfo {
	task := &mesos.TaskInfo{
		TaskId: mesos.NewTaskID("t1"), Command: &mesos.CommandInfo{Value: proto.String("work")}, Data: []byte("input"),
		Resources: resource.MustParse("cpus:1;mem:64").ToProto(), Container: &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum()},
	}
	if change != nil {
		change(task)
	}
	return task
}

func (p *play) launch(change func(*mesos.TaskInfo)) []string {
	return p.hear(&executorpb.Event{Type: executorpb.Event_LAUNCH.Enum(), Launch: &executorpb.Event_Launch{Task: newTask(change)}})
}

func policy(grace time.Duration) *mesos.KillPolicy {
	return &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(grace))}}
}

func (p *play) kill(policy *mesos.KillPolicy) []string {
	return p.hear(&executorpb.Event{Type: executorpb.Event_KILL.Enum(), Kill: &executorpb.Event_Kill{TaskId: mesos.NewTaskID("t1"), KillPolicy: policy}})
}

func (p *play) shutdown() []string {
	return p.hear(&executorpb.Event{Type: executorpb.Event_SHUTDOWN.Enum()})
}

func (p *play) started() []string {
	return p.step(&wire.ContainerStarted{ContainerId: mesos.NewContainerID("c1"), Pid: 7})
}

func (p *play) exited(exit *wire.ContainerExit) []string {
	return p.step(&wire.ContainerExited{ContainerId: mesos.NewContainerID("c1"), Exit: exit})
}

func (p *play) acknowledge() []string {
	var lines []string
	for _, status := range p.sent {
		lines = append(lines, p.hear(&executorpb.Event{Type: executorpb.Event_ACKNOWLEDGED.Enum(), Acknowledged: &executorpb.Event_Acknowledged{
			TaskId: status.GetTaskId(), Uuid: status.GetUuid(),
		}})...)
	}
	return lines
}

// running brings a task to RUNNING.
func (p *play) running(change func(*mesos.TaskInfo)) {
	p.t.Helper()
	p.subscribed()
	p.expect("launch", p.launch(change), "STARTING", "start c1")
	p.expect("started", p.started(), "RUNNING")
}

func (p *play) last() *mesos.TaskStatus { return p.sent[len(p.sent)-1] }

func TestATaskRunsAndItsExecutorEndsWithTheLastAcknowledgement(t *testing.T) {
	p := newPlay(t)
	p.running(nil)
	p.expect("exit", p.exited(&wire.ContainerExit{}), "FINISHED")
	p.expect("acknowledged", p.acknowledge(), "hang up", "finished: <nil>")
	p.expect("nothing follows", p.kill(nil))
}

func TestATaskIsToldWhichOfItsLimitsAreNotEnforced(t *testing.T) {
	p := newPlay(t)
	p.running(nil)
	if s := p.last(); s.GetLabels() != nil || s.GetMessage() != "" {
		t.Errorf("with all of them enforced: %v", s)
	}
	p = newPlay(t)
	p.core.without = []string{"cpus", "mem", "pids"}
	p.running(nil)
	if s := p.last(); mesos.LabelOf(s.GetLabels(), mesos.LabelNotEnforced) != "cpus mem pids" || s.GetMessage() != "limits are not enforced of cpus, mem, pids" {
		t.Errorf("got %v", s)
	}
	for mode, want := range map[mesos.Volume_Mode]string{mesos.Volume_RW: "cpus mem pids", mesos.Volume_RO: "cpus mem pids read_only_volumes"} {
		p = newPlay(t)
		p.core.without = []string{"cpus", "mem", "pids"}
		p.running(func(task *mesos.TaskInfo) {
			task.Container = &mesos.ContainerInfo{Volumes: []*mesos.Volume{{Mode: mode.Enum()}}}
		})
		if got := mesos.LabelOf(p.last().GetLabels(), mesos.LabelNotEnforced); got != want {
			t.Errorf("with a volume of mode %s: got %q, want %q", mode, got, want)
		}
	}
}

func TestTheContainerIsWhatTheTaskAsksFor(t *testing.T) {
	p := newPlay(t)
	p.running(nil)
	want := &wire.StartContainer{
		ContainerId: mesos.NewContainerID("c1"), Command: newTask(nil).GetCommand(), Container: newTask(nil).GetContainer(),
		Resources: newTask(nil).GetResources(), Directory: "/work/c1", User: "nobody", Stdin: []byte("input"),
		Environment: map[string]string{
			"MESOS_EXECUTOR_ID": "t1", "MESOS_TASK_ID": "t1", "MESOS_CONTAINER_ID": "c1",
			"MESOS_SANDBOX": "/work/c1", "MESOS_DIRECTORY": "/work/c1",
		},
	}
	if diff := cmp.Diff(want, p.start, protocmp.Transform()); diff != "" {
		t.Errorf("container (-want +got):\n%s", diff)
	}
}

func TestLimitsGoToTheContainer(t *testing.T) {
	p := newPlay(t)
	limits := map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(2)}}
	p.running(func(task *mesos.TaskInfo) {
		task.Limits, task.Labels = limits, mesos.MakeLabels("other", "x", mesos.LabelPIDs, "7")
	})
	if got := p.start.GetPids(); got != 7 {
		t.Errorf("%d processes, want 7", got)
	}
	if diff := cmp.Diff(limits, p.start.GetLimits(), protocmp.Transform()); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

// How far the task is when something happens to it.
type moment struct {
	name  string
	reach func(p *play)
}

var moments = []moment{
	{"before it subscribed", func(*play) {}},
	{"before the task came", func(p *play) { p.subscribed() }},
	{"starting", func(p *play) { p.subscribed(); p.launch(nil) }},
	{"running", func(p *play) { p.running(nil) }},
	{"being killed", func(p *play) { p.running(nil); p.kill(nil) }},
	{"killed while starting", func(p *play) { p.subscribed(); p.launch(nil); p.kill(nil) }},
	{"told to end", func(p *play) { p.running(nil); p.shutdown() }},
	{"over", func(p *play) { p.running(nil); p.exited(&wire.ContainerExit{}) }},
	{"gone", func(p *play) { p.running(nil); p.exited(&wire.ContainerExit{}); p.acknowledge() }},
}

// What may happen at any moment, and what it leads to: outputs joined by commas, for each moment in their order.
func TestEveryEventAtEveryMoment(t *testing.T) {
	killed := &wire.ContainerExit{Cause: wire.ContainerExit_KILLED, WaitStatus: int32(syscall.SIGKILL), StartedUnixNanos: 1}
	for _, test := range []struct {
		name string
		do   func(p *play) []string
		want [9]string
	}{
		{
			"KILL", func(p *play) []string { return p.kill(nil) },
			[9]string{"", "", "KILLING,kill container", "KILLING,signal 15", "", "", "", "", ""},
		},
		{
			"SHUTDOWN", (*play).shutdown,
			[9]string{"hang up,finished: <nil>", "hang up,finished: <nil>", "KILLING,kill container", "KILLING,signal 15", "", "", "", "", ""},
		},
		{
			"the container starts", (*play).started,
			[9]string{"", "", "RUNNING", "", "", "", "", "", ""},
		},
		{
			"the container exits", func(p *play) []string { return p.exited(&wire.ContainerExit{}) },
			[9]string{"", "", "FINISHED", "FINISHED", "KILLED", "KILLED", "KILLED", "", ""},
		},
		{
			"the container is killed", func(p *play) []string { return p.exited(killed) },
			[9]string{"", "", "FAILED", "FAILED", "KILLED", "KILLED", "KILLED", "", ""},
		},
		{
			"the kill grace passes", func(p *play) []string { return p.after(DefaultKillGrace) },
			[9]string{"", "", "", "", "kill container", "", "kill container", "", ""},
		},
		{
			"another task comes", func(p *play) []string {
				return p.launch(func(task *mesos.TaskInfo) { task.TaskId = mesos.NewTaskID("t2") })
			},
			[9]string{"start c1", "STARTING,start c1", "FAILED", "FAILED", "FAILED", "FAILED", "FAILED", "FAILED", ""},
		},
		{
			"the slave goes", func(p *play) []string { return p.step(core.Closed{Session: 1, Reason: "cut"}) },
			[9]string{
				"", "finished: lost the slave: cut", "kill container", "signal 15", "", "", "", "finished: lost the slave: cut", "",
			},
		},
	} {
		for i, moment := range moments {
			t.Run(test.name+" "+moment.name, func(t *testing.T) {
				p := newPlay(t, killingState)
				moment.reach(p)
				if got := strings.Join(test.do(p), ","); got != test.want[i] {
					t.Errorf("got %q, want %q", got, test.want[i])
				}
			})
		}
	}
}

func TestWithoutTheCapabilityNobodyHearsOfKilling(t *testing.T) {
	p := newPlay(t)
	p.running(nil)
	p.expect("kill", p.kill(nil), "signal 15")
	p.expect("exit", p.exited(&wire.ContainerExit{WaitStatus: int32(syscall.SIGTERM)}), "KILLED")
}

func TestTheGracePeriodIsTheKillsElseTheTasksElseTheDefault(t *testing.T) {
	for _, test := range []struct {
		name       string
		task, kill *mesos.KillPolicy
		want       time.Duration
	}{
		{"default", nil, nil, DefaultKillGrace},
		{"the task's", policy(time.Minute), nil, time.Minute},
		{"the kill's", policy(time.Minute), policy(time.Second), time.Second},
		{"none at all", policy(time.Minute), policy(0), 0},
		{"a kill policy without grace", policy(time.Minute), &mesos.KillPolicy{}, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlay(t)
			p.running(func(task *mesos.TaskInfo) { task.KillPolicy = test.task })
			if test.want == 0 {
				p.expect("kill", p.kill(test.kill), "signal 15", "kill container")
				return
			}
			p.expect("kill", p.kill(test.kill), "signal 15")
			p.expect("too early", p.after(test.want-1))
			p.expect("now", p.after(1), "kill container")
			p.expect("once", p.after(time.Hour))
		})
	}
}

func TestASecondKillMovesTheEndOfTheGracePeriod(t *testing.T) {
	p := newPlay(t)
	p.running(nil)
	p.kill(policy(time.Minute))
	p.after(10 * time.Second)
	p.expect("a shorter one", p.kill(policy(20*time.Second)))
	p.expect("too early", p.after(10*time.Second-1))
	p.expect("counted from the first kill", p.after(1), "kill container")

	p = newPlay(t)
	p.running(nil)
	p.kill(policy(time.Minute))
	p.after(10 * time.Second)
	p.expect("one that has passed already", p.kill(policy(5*time.Second)), "kill container")
}

func TestATaskMayRunOnlySoLong(t *testing.T) {
	p := newPlay(t)
	p.running(func(task *mesos.TaskInfo) {
		task.MaxCompletionTime = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(time.Minute))}
	})
	p.expect("in time", p.after(time.Minute-1))
	p.expect("over", p.after(1), "kill container")
	p.expect("exit", p.exited(&wire.ContainerExit{Cause: wire.ContainerExit_KILLED, WaitStatus: 9, StartedUnixNanos: 1}), "FAILED")
	if got := p.last(); got.GetReason() != mesos.TaskStatus_REASON_MAX_COMPLETION_TIME_REACHED || got.GetMessage() != "ran longer than the allowed 1m0s" {
		t.Errorf("status %v", got)
	}
}

func TestAKilledTaskDoesNotRunOutOfTime(t *testing.T) {
	p := newPlay(t)
	p.running(func(task *mesos.TaskInfo) {
		task.MaxCompletionTime = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(time.Second))}
	})
	p.kill(policy(time.Minute))
	p.expect("its time would be over", p.after(2*time.Second))
}

func TestWhatTheExecutorCanNotDoIsRefused(t *testing.T) {
	for name, change := range map[string]func(*mesos.TaskInfo){
		"health_check": func(task *mesos.TaskInfo) { task.HealthCheck = &mesos.HealthCheck{} },
		"check must":   func(task *mesos.TaskInfo) { task.Check = &mesos.CheckInfo{} },
		"a command":    func(task *mesos.TaskInfo) { task.Command = nil },
		`"many"`:       func(task *mesos.TaskInfo) { task.Labels = mesos.MakeLabels(mesos.LabelPIDs, "many") },
		`"4194304"`:    func(task *mesos.TaskInfo) { task.Labels = mesos.MakeLabels(mesos.LabelPIDs, "4194304") },
		`"0"`:          func(task *mesos.TaskInfo) { task.Labels = mesos.MakeLabels(mesos.LabelPIDs, "0") },
	} {
		p := newPlay(t)
		p.subscribed()
		p.expect(name, p.launch(change), "FAILED")
		if got := p.last(); got.GetReason() != mesos.TaskStatus_REASON_TASK_INVALID || !strings.Contains(got.GetMessage(), name) {
			t.Errorf("%s: status %v", name, got)
		}
		p.expect("acknowledged", p.acknowledge(), "hang up", "finished: <nil>")
	}
}

func TestATaskOfAnExecutorThatWasToldToEndIsKilled(t *testing.T) {
	p := newPlay(t)
	p.subscribed()
	p.core.driver.Step(p.now, core.Update{Status: &mesos.TaskStatus{TaskId: mesos.NewTaskID("x"), State: mesos.TaskState_TASK_LOST.Enum()}}) // keeps it waiting
	p.expect("shutdown", p.shutdown())
	p.expect("launch", p.launch(nil), "KILLED")
}

func TestAContainerThatDoesNotEndInTimeIsLeftToTheHost(t *testing.T) {
	p := newPlay(t)
	p.running(nil)
	p.expect("shutdown", p.shutdown(), "signal 15")
	p.expect("grace", p.after(DefaultKillGrace), "kill container")
	p.expect("the executor's own grace", p.after(core.DefaultShutdownGrace-DefaultKillGrace), "hang up", "kill container", "finished: <nil>")
}
