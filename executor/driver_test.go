package executor_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/executor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const slaveAddress = "slave:5051"

// slave is a scripted slave on a node of its own.
type slave struct {
	t      *testing.T
	probe  *actortest.Probe
	peer   actor.PID // the executor that subscribed last
	secret atomic.Value
	stop   func()
}

func newSlave(t *testing.T, network remote.Network, address string) (*slave, string) {
	t.Helper()
	s := &slave{t: t}
	sys := actor.NewSystem(actor.SystemOptions{Node: "slave", Role: wire.RoleSlave})
	r, err := remote.Start(remote.Options{System: sys, Network: network, Verify: func(h remote.Hello) error {
		s.secret.Store(string(h.Role) + " " + string(h.Credential))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	listening, err := r.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	s.probe = actortest.Named(t, sys, "slave")
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), actortest.Deadline)
		defer cancel()
		if err := errors.Join(sys.Shutdown(ctx), r.Close(ctx)); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
	return s, listening.String()
}

func (s *slave) call(kind executorpb.Call_Type) *executorpb.Call {
	s.t.Helper()
	for {
		r := s.probe.Next(s.t)
		call, ok := r.Message.(*executorpb.Call)
		if !ok {
			continue
		}
		if call.GetType() != kind {
			s.t.Fatalf("the executor calls %v, want %s", call, kind)
		}
		s.peer = r.From
		return call
	}
}

func (s *slave) say(e *executorpb.Event) { s.probe.Send(s.peer, e) }

func (s *slave) subscribed() *executorpb.Call_Subscribe {
	s.t.Helper()
	call := s.call(executorpb.Call_SUBSCRIBE)
	s.say(&executorpb.Event{Type: executorpb.Event_SUBSCRIBED.Enum(), Subscribed: &executorpb.Event_Subscribed{
		ExecutorInfo:  &mesos.ExecutorInfo{ExecutorId: call.GetExecutorId()},
		FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")}, AgentInfo: &mesos.AgentInfo{Hostname: proto.String("h")},
	}})
	return call.GetSubscribe()
}

func (s *slave) launch(id, data string) {
	s.say(&executorpb.Event{Type: executorpb.Event_LAUNCH.Enum(), Launch: &executorpb.Event_Launch{Task: &mesos.TaskInfo{
		Name: proto.String(id), TaskId: mesos.NewTaskID(id), AgentId: mesos.NewAgentID("s1"), Data: []byte(data),
	}}})
}

func (s *slave) update(id string, state mesos.TaskState) *mesos.TaskStatus {
	s.t.Helper()
	status := s.call(executorpb.Call_UPDATE).GetUpdate().GetStatus()
	if status.GetTaskId().GetValue() != id || status.GetState() != state {
		s.t.Fatalf("update %v, want %s %s", status, id, state)
	}
	return status
}

func (s *slave) acknowledge(status *mesos.TaskStatus) {
	s.say(&executorpb.Event{Type: executorpb.Event_ACKNOWLEDGED.Enum(), Acknowledged: &executorpb.Event_Acknowledged{
		TaskId: status.GetTaskId(), Uuid: status.GetUuid(),
	}})
}

// worker runs each task on a goroutine of its own, until told to go on.
type worker struct {
	executor.Base
	goOn   chan error
	quit   chan struct{}
	events chan string
}

func (w worker) Launch(d *executor.Driver, task *mesos.TaskInfo) {
	id := task.GetTaskId().GetValue()
	d.Running(id)
	go func() {
		select {
		case err := <-w.goOn:
			d.Do(func() { d.Ended(id, err) })
		case <-w.quit:
		}
	}()
}

func (w worker) Kill(d *executor.Driver, id string, _ *mesos.KillPolicy) { d.Killed(id) }

func (w worker) Message(d *executor.Driver, data []byte) {
	d.Message(append([]byte("you said "), data...))
}

func (w worker) Disconnected(*executor.Driver, string) { w.events <- "disconnected" }

func (w worker) Shutdown(d *executor.Driver) {
	w.events <- "shutdown"
	d.Stop()
}

// environment is what a slave tells an executor.
func environment(address string, more ...string) func(string) string {
	all := map[string]string{
		"MESOS_FRAMEWORK_ID": "f1", "MESOS_EXECUTOR_ID": "e1", "MESOS_AGENT_ENDPOINT": address,
		"MESOS_EXECUTOR_AUTHENTICATION_TOKEN": hex.EncodeToString([]byte("the secret")),
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return func(name string) string { return all[name] }
}

// inMemory runs a test with a worker and a slave in fake time.
func inMemory(t *testing.T, variables []string, test func(t *testing.T, s *slave, w worker, network *remote.MemoryNetwork, ended chan error)) {
	synctest.Test(t, func(t *testing.T) {
		network := remote.NewMemoryNetwork()
		s, _ := newSlave(t, network.Host("slave"), slaveAddress)
		w := worker{goOn: make(chan error, 10), quit: make(chan struct{}), events: make(chan string, 10)}
		defer close(w.quit)
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			ended <- executor.Run(ctx, executor.Options{Environment: environment(slaveAddress, variables...), Network: network.Host("executor")}, w)
			close(ended)
		}()
		test(t, s, w, network, ended)
		cancel()
		for range ended { // until it is closed
		}
	})
}

func TestAnExecutorRunsTasksAndTalks(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *slave, w worker, _ *remote.MemoryNetwork, ended chan error) {
		s.subscribed()
		if got := s.secret.Load(); got != "executor the secret" {
			t.Errorf("the executor proves itself as %q", got)
		}
		s.launch("a", "")
		s.acknowledge(s.update("a", mesos.TaskState_TASK_RUNNING))
		w.goOn <- errors.New("bad luck")
		failed := s.update("a", mesos.TaskState_TASK_FAILED)
		if failed.GetMessage() != "bad luck" || failed.GetExecutorId().GetValue() != "e1" {
			t.Errorf("update %v", failed)
		}
		s.acknowledge(failed)
		s.launch("b", "")
		s.acknowledge(s.update("b", mesos.TaskState_TASK_RUNNING))
		s.say(&executorpb.Event{Type: executorpb.Event_KILL.Enum(), Kill: &executorpb.Event_Kill{TaskId: mesos.NewTaskID("b")}})
		s.acknowledge(s.update("b", mesos.TaskState_TASK_KILLED))
		s.say(&executorpb.Event{Type: executorpb.Event_MESSAGE.Enum(), Message: &executorpb.Event_Message{Data: []byte("hi")}})
		if got := string(s.call(executorpb.Call_MESSAGE).GetMessage().GetData()); got != "you said hi" {
			t.Errorf("message %q", got)
		}
		s.say(&executorpb.Event{Type: executorpb.Event_SHUTDOWN.Enum()})
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestWithoutCheckpointAnExecutorEndsWithItsSlave(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *slave, w worker, network *remote.MemoryNetwork, ended chan error) {
		s.subscribed()
		s.launch("a", "")
		s.update("a", mesos.TaskState_TASK_RUNNING)
		network.Break("slave", "executor")
		if err := <-ended; !errors.Is(err, executor.ErrLostSlave) {
			t.Errorf("ended with %v, want ErrLostSlave", err)
		}
		if first, second := <-w.events, <-w.events; first != "disconnected" || second != "shutdown" {
			t.Errorf("the author was told %s, %s", first, second)
		}
	})
}

func TestWithCheckpointAnExecutorTellsAgainWhatWasNotAcknowledged(t *testing.T) {
	inMemory(t, []string{"MESOS_CHECKPOINT", "1", "MESOS_RECOVERY_TIMEOUT", "1mins"}, func(t *testing.T, s *slave, w worker, network *remote.MemoryNetwork, ended chan error) {
		s.subscribed()
		s.launch("a", "")
		s.launch("b", "")
		s.acknowledge(s.update("a", mesos.TaskState_TASK_RUNNING))
		s.update("b", mesos.TaskState_TASK_RUNNING)
		s.stop()
		if event := <-w.events; event != "disconnected" {
			t.Errorf("the author was told %s", event)
		}
		w.goOn <- nil
		time.Sleep(30 * time.Second)
		again, _ := newSlave(t, network.Host("slave"), slaveAddress)
		subscribe := again.subscribed()
		var updates []string
		for _, u := range subscribe.GetUnacknowledgedUpdates() {
			updates = append(updates, u.GetStatus().GetTaskId().GetValue()+" "+u.GetStatus().GetState().String())
		}
		if got := strings.Join(updates, ", "); got != "b TASK_RUNNING, a TASK_FINISHED" && got != "b TASK_RUNNING, b TASK_FINISHED" {
			t.Errorf("unacknowledged updates %q", got)
		}
		if tasks := subscribe.GetUnacknowledgedTasks(); len(tasks) != 1 || tasks[0].GetTaskId().GetValue() != "b" {
			t.Errorf("unacknowledged tasks %v, want b", tasks)
		}
		again.launch("c", "")
		again.update("c", mesos.TaskState_TASK_RUNNING)
		again.stop()
		began := time.Now()
		if err := <-ended; !errors.Is(err, executor.ErrLostSlave) {
			t.Errorf("ended with %v, want ErrLostSlave", err)
		}
		if took := time.Since(began).Round(time.Second); took != time.Minute {
			t.Errorf("it waited %s for its slave, want 1m0s", took)
		}
	})
}

func TestTheEndOfTheContextIsAShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := remote.NewMemoryNetwork()
		s, _ := newSlave(t, network.Host("slave"), slaveAddress)
		ctx, cancel := context.WithCancel(context.Background())
		w := worker{events: make(chan string, 1)}
		ended := make(chan error)
		go func() {
			ended <- executor.Run(ctx, executor.Options{Environment: environment(slaveAddress), Network: network.Host("executor")}, w)
		}()
		s.subscribed()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if event := <-w.events; event != "shutdown" {
			t.Errorf("the author was told %s", event)
		}
	})
}

func TestWithoutASlaveRunSaysWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := remote.NewMemoryNetwork()
		err := executor.Run(context.Background(), executor.Options{Environment: environment(slaveAddress), Network: network.Host("executor")}, worker{})
		if !errors.Is(err, executor.ErrNoSlave) || !strings.Contains(err.Error(), slaveAddress) {
			t.Errorf("Run returns %v, want ErrNoSlave and the address", err)
		}
	})
}

func TestAnEnvironmentThatIsNoExecutorsIsSaidSo(t *testing.T) {
	for _, test := range []struct{ name, value string }{
		{"MESOS_FRAMEWORK_ID", ""},
		{"MESOS_EXECUTOR_ID", ""},
		{"MESOS_AGENT_ENDPOINT", ""},
		{"MESOS_AGENT_ENDPOINT", "nowhere"},
		{"MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "xyz"},
		{"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5s"},
	} {
		err := executor.Run(context.Background(), executor.Options{Environment: environment(slaveAddress, test.name, test.value)}, worker{})
		if err == nil || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%s=%q gives %v, want an error that names it", test.name, test.value, err)
		}
		if test.name == "MESOS_EXECUTOR_AUTHENTICATION_TOKEN" && strings.Contains(err.Error(), test.value) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func TestAPanicOfTheAuthorIsAPanicOfRun(t *testing.T) {
	network := remote.NewMemoryNetwork()
	s, _ := newSlave(t, network.Host("slave"), slaveAddress)
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		_ = executor.Run(context.Background(), executor.Options{Environment: environment(slaveAddress), Network: network.Host("executor")}, clumsy{})
	}()
	s.subscribed()
	s.launch("a", "")
	if text, _ := (<-panicked).(string); !strings.Contains(text, "out of luck") || !strings.Contains(text, "clumsy") {
		t.Errorf("Run panicked with %q", text)
	}
}

type clumsy struct{ executor.Base }

func (clumsy) Launch(*executor.Driver, *mesos.TaskInfo) { panic("out of luck") }

// The example is built, has its size, and runs as a slave would run it.
func TestTheExampleRuns(t *testing.T) {
	source := filepath.Join("..", "docs", "examples", "executor", "main.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 60 {
		t.Errorf("the example has %d lines, want at most 60", lines)
	}
	binary := filepath.Join(t.TempDir(), "executor")
	if out, err := exec.Command("go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	s, address := newSlave(t, nil, "127.0.0.1:0")
	process := exec.Command(binary)
	lookup := environment(address)
	for _, name := range []string{"MESOS_FRAMEWORK_ID", "MESOS_EXECUTOR_ID", "MESOS_AGENT_ENDPOINT", "MESOS_EXECUTOR_AUTHENTICATION_TOKEN"} {
		process.Env = append(process.Env, name+"="+lookup(name))
	}
	process.Stderr = io.Discard
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer process.Process.Kill()
	s.subscribed()
	s.launch("a", "0.01")
	s.acknowledge(s.update("a", mesos.TaskState_TASK_RUNNING))
	s.acknowledge(s.update("a", mesos.TaskState_TASK_FINISHED))
	s.launch("b", "1000")
	s.acknowledge(s.update("b", mesos.TaskState_TASK_RUNNING))
	s.say(&executorpb.Event{Type: executorpb.Event_MESSAGE.Enum(), Message: &executorpb.Event_Message{Data: []byte("hi")}})
	if got := string(s.call(executorpb.Call_MESSAGE).GetMessage().GetData()); got != `1 tasks run; you said "hi"` {
		t.Errorf("message %q", got)
	}
	s.say(&executorpb.Event{Type: executorpb.Event_KILL.Enum(), Kill: &executorpb.Event_Kill{TaskId: mesos.NewTaskID("b")}})
	s.acknowledge(s.update("b", mesos.TaskState_TASK_KILLED))
	s.launch("c", "soon")
	s.acknowledge(s.update("c", mesos.TaskState_TASK_FAILED))
	s.say(&executorpb.Event{Type: executorpb.Event_SHUTDOWN.Enum()})
	if err := process.Wait(); err != nil {
		t.Errorf("the example ended: %v", err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
