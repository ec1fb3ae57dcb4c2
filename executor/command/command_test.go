package command_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/executor/command"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const slaveAddress = "slave:5051"

// node is one node of a test.
type node struct {
	*actor.System
	remote *remote.Remote
}

func newNode(t *testing.T, network *remote.MemoryNetwork, name string, role actor.Role, address string) node {
	t.Helper()
	sys := actor.NewSystem(actor.SystemOptions{Node: name, Role: role})
	r, err := remote.Start(remote.Options{System: sys, Network: network.Host(name), Advertise: address})
	if err != nil {
		t.Fatal(err)
	}
	if address != "" {
		if _, err := r.Listen(address); err != nil {
			t.Fatal(err)
		}
	}
	n := node{sys, r}
	t.Cleanup(func() { n.shutdown(t) })
	return n
}

func (n node) shutdown(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), actortest.Deadline)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := n.remote.Close(ctx); err != nil {
		t.Error(err)
	}
}

// rig is a command executor between a scripted slave on another node and a scripted host.
type rig struct {
	t           *testing.T
	network     *remote.MemoryNetwork
	slave, host *actortest.Probe
	executor    actor.PID
	session     actor.PID // the executor as the slave sees it
}

func newRig(t *testing.T) *rig {
	t.Helper()
	network := remote.NewMemoryNetwork()
	slaveNode := newNode(t, network, "slave", wire.RoleSlave, slaveAddress)
	hostNode := newNode(t, network, "host", wire.RoleHost, "")
	r := &rig{t: t, network: network, slave: actortest.Named(t, slaveNode.System, "slave"), host: actortest.NewProbe(t, hostNode.System)}
	launch := &wire.LaunchExecutor{
		Framework: &mesos.FrameworkInfo{Id: mesos.NewFrameworkID("f1")}, Executor: &mesos.ExecutorInfo{ExecutorId: mesos.NewExecutorID("t1")},
		ContainerId: mesos.NewContainerID("c1"), Directory: "/work/c1", CommandExecutor: true,
	}
	r.executor = hostNode.Spawn("executor", command.New(launch, actor.At(slaveAddress, "slave"), r.host.PID()))
	r.host.Link(r.executor)
	subscribe := r.slave.Next(t)
	call := subscribe.Message.(*executorpb.Call)
	if call.GetType() != executorpb.Call_SUBSCRIBE || call.GetExecutorId().GetValue() != "t1" || call.GetFrameworkId().GetValue() != "f1" {
		t.Fatalf("the executor says %v first", call)
	}
	r.session = subscribe.From
	return r
}

func (r *rig) say(e *executorpb.Event) { r.slave.Send(r.session, e) }

// launch subscribes the executor and gives it a task.
func (r *rig) launch() {
	r.t.Helper()
	r.say(&executorpb.Event{Type: executorpb.Event_SUBSCRIBED.Enum(), Subscribed: &executorpb.Event_Subscribed{
		ExecutorInfo:  &mesos.ExecutorInfo{ExecutorId: mesos.NewExecutorID("t1")},
		FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")}, AgentInfo: &mesos.AgentInfo{Hostname: proto.String("h")},
	}})
	r.say(&executorpb.Event{Type: executorpb.Event_LAUNCH.Enum(), Launch: &executorpb.Event_Launch{Task: &mesos.TaskInfo{
		Name: proto.String("t"), TaskId: mesos.NewTaskID("t1"), AgentId: mesos.NewAgentID("s1"),
		Command: &mesos.CommandInfo{Value: proto.String("work")},
	}}})
	r.update(mesos.TaskState_TASK_STARTING)
	start := actortest.Await[*wire.StartContainer](r.t, r.host)
	if start.GetCommand().GetValue() != "work" {
		r.t.Fatalf("the executor asks for %v", start)
	}
}

// update expects an update and acknowledges it.
func (r *rig) update(state mesos.TaskState) *mesos.TaskStatus {
	r.t.Helper()
	status := actortest.Await[*executorpb.Call](r.t, r.slave).GetUpdate().GetStatus()
	if status.GetState() != state || len(status.GetUuid()) != 16 || status.GetSource() != mesos.TaskStatus_SOURCE_EXECUTOR {
		r.t.Fatalf("update %v, want %s", status, state)
	}
	r.say(&executorpb.Event{Type: executorpb.Event_ACKNOWLEDGED.Enum(), Acknowledged: &executorpb.Event_Acknowledged{
		TaskId: status.GetTaskId(), Uuid: status.GetUuid(),
	}})
	return status
}

func (r *rig) gone() {
	r.t.Helper()
	if exited := actortest.Await[actor.Exited](r.t, r.host); exited.Reason != actor.Stopped {
		r.t.Errorf("the executor ended: %s %v, want stopped", exited.Reason, exited.Err)
	}
}

func TestACommandExecutorSpeaksToSlaveAndHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.launch()
		r.host.Send(r.executor, &wire.ContainerStarted{ContainerId: mesos.NewContainerID("c1"), Pid: 7})
		r.update(mesos.TaskState_TASK_RUNNING)
		r.host.Send(r.executor, &wire.ContainerExited{ContainerId: mesos.NewContainerID("c1"), Exit: &wire.ContainerExit{WaitStatus: 7 << 8}})
		status := r.update(mesos.TaskState_TASK_FAILED)
		if status.GetMessage() != "exited with status 7" {
			t.Errorf("message %q", status.GetMessage())
		}
		r.gone()
	})
}

func TestAKillIsSIGTERMAndAfterTheGracePeriodSIGKILL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.launch()
		r.host.Send(r.executor, &wire.ContainerStarted{ContainerId: mesos.NewContainerID("c1")})
		r.update(mesos.TaskState_TASK_RUNNING)
		r.say(&executorpb.Event{Type: executorpb.Event_KILL.Enum(), Kill: &executorpb.Event_Kill{TaskId: mesos.NewTaskID("t1")}})
		if signal := actortest.Await[*wire.SignalContainer](t, r.host); signal.GetSignal() != 15 {
			t.Errorf("signal %d, want SIGTERM", signal.GetSignal())
		}
		began := time.Now()
		actortest.Await[*wire.KillContainer](t, r.host)
		if took := time.Since(began).Round(time.Millisecond); took != command.DefaultKillGrace {
			t.Errorf("the grace period took %s", took)
		}
		r.host.Send(r.executor, &wire.ContainerExited{Exit: &wire.ContainerExit{Cause: wire.ContainerExit_KILLED, WaitStatus: 9, StartedUnixNanos: 1}})
		r.update(mesos.TaskState_TASK_KILLED)
		r.gone()
	})
}

func TestACommandExecutorWhoseSlaveIsGoneKillsItsContainerAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.launch()
		r.host.Send(r.executor, &wire.ContainerStarted{})
		r.update(mesos.TaskState_TASK_RUNNING)
		r.network.Break("slave", "host")
		actortest.Await[*wire.SignalContainer](t, r.host)
		actortest.Await[*wire.KillContainer](t, r.host)
		r.host.Send(r.executor, &wire.ContainerExited{Exit: &wire.ContainerExit{Cause: wire.ContainerExit_KILLED}})
		r.gone()
	})
}

func TestARefusedCommandExecutorEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.slave.Send(r.session, &wire.Refused{Reason: "not started by this slave"})
		r.gone()
		r.host.ExpectNone(t)
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
