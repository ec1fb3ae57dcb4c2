package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/frameworks/scheduler/schedulertest"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is a writer that a test may look at while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// story is a run against a master, and a slave, in the hands of a test.
type story struct {
	*schedulertest.Master
	t        *testing.T
	slave    *schedulertest.Slave
	out, err buffer
	cancel   context.CancelFunc
	done     chan struct{}
	result   Result
	failure  error
}

func tell(t *testing.T, o Options, f func(s *story)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &story{Master: schedulertest.New(t), t: t, done: make(chan struct{})}
		s.slave = s.Slave("s1")
		o.Master, o.Network = schedulertest.Address, s.Network()
		if o.Command == nil {
			o.Command = []string{"/bin/cmd"}
		}
		var ctx context.Context
		ctx, s.cancel = context.WithCancel(t.Context())
		defer s.cancel()
		go func() {
			defer close(s.done)
			s.result, s.failure = Run(ctx, o, &s.out, &s.err)
		}()
		f(s)
	})
}

func (s *story) end() Result {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(5 * time.Minute):
		s.t.Fatal("the run does not end")
	}
	return s.result
}

// place offers room for one instance and waits for its launch.
func (s *story) place() *mesos.TaskInfo {
	s.t.Helper()
	s.Offer(s.slave, "cpus:1;mem:128")
	return s.Launched()
}

func (s *story) write(task *mesos.TaskInfo, file, text string) {
	s.slave.Write(s.FrameworkID(), task.GetTaskId().GetValue(), file, text)
}

func (s *story) ends(task *mesos.TaskInfo, state mesos.TaskState, labels ...string) {
	s.t.Helper()
	s.Status(withLabels(s.NewStatus(task, state), labels...))
}

func withLabels(status *mesos.TaskStatus, labels ...string) *mesos.TaskStatus {
	for i := 0; i < len(labels); i += 2 {
		if status.Labels == nil {
			status.Labels = &mesos.Labels{}
		}
		status.Labels.Labels = append(status.Labels.Labels, &mesos.Label{Key: proto.String(labels[i]), Value: proto.String(labels[i+1])})
	}
	return status
}

func (s *story) expect(what, got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s is %q, want %q", what, got, want)
	}
}

// becomes waits, in fake time, until a text is there.
func (s *story) becomes(what string, b *buffer, want string) {
	s.t.Helper()
	for range 100 {
		if b.String() == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("%s is %q, want %q", what, b.String(), want)
}

func TestOneInstanceShowsItsOutputAsItComesToTheByte(t *testing.T) {
	tell(t, Options{Env: map[string]string{"K": "V"}, Command: []string{"/bin/cmd", "arg"}}, func(s *story) {
		info := s.Subscription().GetSubscribe().GetFrameworkInfo()
		s.expect("framework name", info.GetName(), "cmd")
		task := s.place()
		s.expect("task id", task.GetTaskId().GetValue(), "cmd-0")
		s.expect("arguments", fmt.Sprint(task.GetCommand().GetArguments()), "[/bin/cmd arg]")
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		binary := "a\x00\xff\r\nno newline"
		s.write(task, "stdout", binary)
		s.write(task, "stderr", "oh")
		s.becomes("stdout", &s.out, binary)
		s.becomes("stderr", &s.err, "oh")
		s.write(task, "stdout", strings.Repeat("x", 200_000))
		began := time.Now()
		s.ends(task, mesos.TaskState_TASK_FINISHED, mesos.LabelExitStatus, "0", mesos.LabelCause, mesos.CauseExited)
		r := s.end()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the end took %s of waiting", waited)
		}
		if s.out.String() != binary+strings.Repeat("x", 200_000) {
			t.Errorf("stdout has %d bytes, want %d", len(s.out.String()), len(binary)+200_000)
		}
		if r.ExitCode != 0 || r.Reason != ReasonFinished || s.failure != nil {
			t.Errorf("result %+v, error %v", r, s.failure)
		}
		s.Next(schedulerpb.Call_TEARDOWN)
	})
}

func TestACommandThatEndsBeforeItIsHeardOfShowsItsOutputToo(t *testing.T) {
	tell(t, Options{}, func(s *story) {
		s.Subscription()
		task := s.place()
		s.write(task, "stdout", "quick\n")
		s.write(task, "stderr", "")
		s.ends(task, mesos.TaskState_TASK_FAILED, mesos.LabelExitStatus, "7", mesos.LabelCause, mesos.CauseExited)
		r := s.end()
		s.expect("stdout", s.out.String(), "quick\n")
		s.expect("stderr", s.err.String(), "")
		if r.ExitCode != 7 || r.Reason != ReasonExited {
			t.Errorf("result %+v", r)
		}
	})
}

func TestSeveralInstancesArePrefixedAndTheHighestStatusCounts(t *testing.T) {
	tell(t, Options{Instances: 3}, func(s *story) {
		s.Subscription()
		s.Offer(s.slave, "cpus:2;mem:1024")
		first, second := s.Launched(), s.Launched()
		third := s.place()
		for i, task := range []*mesos.TaskInfo{first, second, third} {
			s.Update(task, mesos.TaskState_TASK_RUNNING)
			s.write(task, "stdout", fmt.Sprintf("line\nlast of %s", task.GetTaskId().GetValue()))
			s.write(task, "stderr", "")
			s.ends(task, mesos.TaskState_TASK_FAILED, mesos.LabelExitStatus, fmt.Sprint([]int{3, 9, 0}[i]))
		}
		r := s.end()
		got := map[string]int{}
		for line := range strings.Lines(s.out.String()) {
			got[line]++
		}
		want := map[string]int{}
		for i := range 3 {
			want[fmt.Sprintf("[%d] line\n", i)] = 1
			want[fmt.Sprintf("[%d] last of cmd-%d\n", i, i)] = 1
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		if r.ExitCode != 9 || len(r.Instances) != 3 || r.Instances[0].ExitCode != 3 || r.Instances[1].Hostname != "s1" {
			t.Errorf("result %+v", r)
		}
	})
}

func TestOffersAreNotKeptByWhoNeedsNone(t *testing.T) {
	tell(t, Options{}, func(s *story) {
		s.Subscription()
		s.Offer(s.slave, "cpus:0.5;mem:128")
		s.Next(schedulerpb.Call_DECLINE)
		s.place()
		s.Next(schedulerpb.Call_SUPPRESS)
		s.Offer(s.slave, "cpus:8;mem:1024")
		s.Next(schedulerpb.Call_DECLINE)
		s.cancel()
		s.end()
	})
}

func TestALaunchThatNeverReachedASlaveIsPlacedAgain(t *testing.T) {
	tell(t, Options{}, func(s *story) {
		s.Subscription()
		task := s.place()
		dropped := s.NewStatus(task, mesos.TaskState_TASK_DROPPED)
		dropped.Uuid, dropped.ContainerStatus = nil, nil
		dropped.Source, dropped.Reason = mesos.TaskStatus_SOURCE_MASTER.Enum(), mesos.TaskStatus_REASON_INVALID_OFFERS.Enum()
		s.Status(dropped)
		s.Next(schedulerpb.Call_REVIVE)
		task = s.place()
		s.expect("task id", task.GetTaskId().GetValue(), "cmd-0-again-1")
		s.write(task, "stdout", "")
		s.write(task, "stderr", "")
		s.ends(task, mesos.TaskState_TASK_FINISHED, mesos.LabelExitStatus, "0")
		if r := s.end(); r.ExitCode != 0 {
			t.Errorf("result %+v", r)
		}
	})
}

func TestALostTaskIsReportedAndNotRunAgain(t *testing.T) {
	for _, state := range []mesos.TaskState{mesos.TaskState_TASK_LOST, mesos.TaskState_TASK_GONE, mesos.TaskState_TASK_UNREACHABLE, mesos.TaskState_TASK_DROPPED} {
		t.Run(state.String(), func(t *testing.T) {
			tell(t, Options{}, func(s *story) {
				s.Subscription()
				task := s.place()
				s.Update(task, mesos.TaskState_TASK_RUNNING)
				s.write(task, "stdout", "so far")
				s.write(task, "stderr", "")
				s.becomes("stdout", &s.out, "so far")
				s.slave.Stop()
				lost := s.NewStatus(task, state)
				lost.Message = proto.String("slave s1 has gone")
				began := time.Now()
				s.Status(lost)
				r := s.end()
				if waited := time.Since(began); waited > time.Second {
					t.Errorf("waited %s for a slave that has gone", waited)
				}
				if r.ExitCode != ExitFailed || r.Reason != ReasonLost || r.Message != "slave s1 has gone" {
					t.Errorf("result %+v", r)
				}
				s.expect("stderr", s.err.String(), "stoa run: slave s1 has gone\n")
			})
		})
	}
}

func TestTheTimeoutCountsFromRunning(t *testing.T) {
	tell(t, Options{Timeout: 5 * time.Second}, func(s *story) {
		s.Subscription()
		time.Sleep(20 * time.Second)
		task := s.place()
		s.Update(task, mesos.TaskState_TASK_STARTING)
		time.Sleep(20 * time.Second)
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		s.write(task, "stdout", "")
		s.write(task, "stderr", "")
		began := time.Now()
		s.Next(schedulerpb.Call_KILL)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("killed after %s of running", waited)
		}
		s.Update(task, mesos.TaskState_TASK_KILLING)
		s.ends(task, mesos.TaskState_TASK_KILLED, mesos.LabelSignal, "15", mesos.LabelCause, mesos.CauseKilled)
		if r := s.end(); r.ExitCode != ExitTimeout || r.Reason != ReasonTimeout || r.Message != "ended by its timeout of 5s" || *r.Instances[0].Signal != 15 {
			t.Errorf("result %+v", r)
		}
	})
}

func TestATaskThatDoesNotEndWhenKilledIsNotWaitedForForever(t *testing.T) {
	tell(t, Options{Timeout: 5 * time.Second}, func(s *story) {
		s.Subscription()
		task := s.place()
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		s.write(task, "stdout", "")
		s.write(task, "stderr", "")
		if r := s.end(); r.ExitCode != ExitTimeout {
			t.Errorf("result %+v", r)
		}
		s.Next(schedulerpb.Call_TEARDOWN)
	})
}

// explained answers why it waits with a reason for each slave.
func explained(t *testing.T, hosts ...string) func(*wire.Explain) proto.Message {
	return func(m *wire.Explain) proto.Message {
		if m.GetFrameworkId().GetValue() == "" || m.GetNeed()["cpus"] != 4 {
			t.Errorf("asked why %v", m)
		}
		w := &wire.Explanation_Waiting{Role: "*", FairShare: 1}
		for i := 0; i < len(hosts); i += 2 {
			w.Slaves = append(w.Slaves, &wire.Explanation_Slave{SlaveId: mesos.NewAgentID("id-" + hosts[i]), Hostname: hosts[i], Reason: hosts[i+1]})
		}
		return &wire.Explanation{Waiting: []*wire.Explanation_Waiting{w}}
	}
}

func TestWhatIsNotPlacedInTimeSaysWhyForEachSlave(t *testing.T) {
	tell(t, Options{CPUs: 4, Instances: 2, PlacementTimeout: 30 * time.Second}, func(s *story) {
		s.Explain(explained(t, "a", "in use: has 3 of 4 cpus", "b", "too small: has 2 of 4 cpus"))
		s.Subscription()
		s.Offer(s.slave, "cpus:4;mem:1024")
		task := s.Launched()
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		s.write(task, "stdout", "")
		s.write(task, "stderr", "")
		s.becomes("stderr after two seconds", &s.err, "stoa run: 1 instance waits for resources:\n  a (id-a): in use: has 3 of 4 cpus\n  b (id-b): too small: has 2 of 4 cpus\n")
		s.Next(schedulerpb.Call_KILL)
		s.ends(task, mesos.TaskState_TASK_KILLED, mesos.LabelSignal, "15")
		r := s.end()
		if r.ExitCode != ExitTimeout || r.Reason != ReasonNotPlaced || len(r.Slaves) != 2 || r.Instances[1].Reason != ReasonNotPlaced {
			t.Errorf("result %+v", r)
		}
		s.expect("message", r.Message, "1 instance was not placed within 30s:\n  a (id-a): in use: has 3 of 4 cpus\n  b (id-b): too small: has 2 of 4 cpus")
		if !strings.HasSuffix(s.err.String(), "stoa run: "+r.Message+"\n") {
			t.Errorf("stderr %q", s.err.String())
		}
	})
}

func TestAnInterruptKillsTheTasksAndWaitsForTheirEnd(t *testing.T) {
	tell(t, Options{Instances: 2}, func(s *story) {
		s.Subscription()
		task := s.place()
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		s.write(task, "stdout", "partial")
		s.write(task, "stderr", "")
		s.becomes("stdout", &s.out, "")
		s.cancel()
		s.Next(schedulerpb.Call_KILL)
		s.write(task, "stdout", " and last words\n")
		s.ends(task, mesos.TaskState_TASK_KILLED, mesos.LabelSignal, "15")
		r := s.end()
		if r.ExitCode != ExitInterrupted || r.Reason != ReasonInterrupted || r.Instances[1].Reason != ReasonInterrupted {
			t.Errorf("result %+v", r)
		}
		s.expect("stdout", s.out.String(), "[0] partial and last words\n")
		s.Next(schedulerpb.Call_TEARDOWN)
	})
}

func TestAnInterruptDoesNotWaitForeverForATaskThatDoesNotEnd(t *testing.T) {
	tell(t, Options{}, func(s *story) {
		s.Subscription()
		task := s.place()
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		s.cancel()
		began := time.Now()
		if r := s.end(); r.ExitCode != ExitInterrupted {
			t.Errorf("result %+v", r)
		}
		if waited := time.Since(began); waited != InterruptTimeout {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestWithoutAMasterTheRunFails(t *testing.T) {
	tell(t, Options{}, func(s *story) {
		s.Stop()
		r := s.end()
		if r.ExitCode != ExitFailed || r.Reason != ReasonNoMaster || !errors.Is(s.failure, scheduler.ErrNoMaster) {
			t.Errorf("result %+v, error %v", r, s.failure)
		}
		if !strings.Contains(s.err.String(), "stoa run: no master at master:5050 (") || strings.Count(s.err.String(), "\n") != 1 {
			t.Errorf("stderr %q, want one line", s.err.String())
		}
	})
}

func TestAMasterThatRestartsInTheMiddleOfARun(t *testing.T) {
	tell(t, Options{}, func(s *story) {
		s.Subscription()
		task := s.place()
		id := s.FrameworkID()
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		s.Stop()
		time.Sleep(3 * time.Second)
		s.Start()
		s.Subscription()
		s.Next(schedulerpb.Call_RECONCILE)
		s.slave.Write(id, "cmd-0", "stdout", "done\n")
		s.slave.Write(id, "cmd-0", "stderr", "")
		s.ends(task, mesos.TaskState_TASK_FINISHED, mesos.LabelExitStatus, "0")
		if r := s.end(); r.ExitCode != 0 || s.failure != nil {
			t.Errorf("result %+v, error %v", r, s.failure)
		}
		s.expect("stdout", s.out.String(), "done\n")
		if text := s.err.String(); !strings.Contains(text, "lost the master at master:5050 (") || !strings.HasSuffix(text, "the master is back\n") {
			t.Errorf("stderr %q", text)
		}
	})
}

func TestAMasterThatStaysAwayEndsTheRun(t *testing.T) {
	tell(t, Options{ReconnectTimeout: 7 * time.Second}, func(s *story) {
		s.Subscription()
		task := s.place()
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		s.write(task, "stdout", "so far")
		s.write(task, "stderr", "")
		s.becomes("stdout", &s.out, "so far")
		s.Stop()
		began := time.Now()
		r := s.end()
		if waited := time.Since(began).Round(time.Second); waited != 7*time.Second {
			t.Errorf("gave up after %s", waited)
		}
		if r.ExitCode != ExitFailed || r.Reason != ReasonMasterLost || !errors.Is(s.failure, scheduler.ErrLostMaster) || len(r.Instances) != 1 {
			t.Errorf("result %+v, error %v", r, s.failure)
		}
	})
}

func TestOutputThatCanNotBeReadToItsEndIsAFailure(t *testing.T) {
	tell(t, Options{}, func(s *story) {
		s.Subscription()
		task := s.place()
		s.Update(task, mesos.TaskState_TASK_RUNNING)
		s.slave.Stop()
		s.ends(task, mesos.TaskState_TASK_FINISHED, mesos.LabelExitStatus, "0")
		r := s.end()
		if r.ExitCode != ExitFailed || r.Reason != ReasonOutputLost || !strings.Contains(s.err.String(), "stdout is not complete") {
			t.Errorf("result %+v, stderr %q", r, s.err.String())
		}
	})
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestOutputThatCanNotBeWrittenKillsTheTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := schedulertest.New(t)
		slave := m.Slave("s1")
		done := make(chan Result)
		go func() {
			r, err := Run(t.Context(), Options{Command: []string{"yes"}, Master: schedulertest.Address, Network: m.Network()}, brokenPipe{}, &buffer{})
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
		m.Subscription()
		m.Offer(slave, "cpus:1;mem:128")
		task := m.Launched()
		m.Update(task, mesos.TaskState_TASK_RUNNING)
		slave.Write(m.FrameworkID(), "yes-0", "stdout", "y\n")
		slave.Write(m.FrameworkID(), "yes-0", "stderr", "")
		m.Next(schedulerpb.Call_KILL)
		m.Update(task, mesos.TaskState_TASK_KILLED)
		if r := <-done; r.ExitCode != ExitFailed || r.Reason != ReasonOutputLost || r.Message != "write output: broken pipe" {
			t.Errorf("result %+v", r)
		}
	})
}

func TestTheResultAsJSON(t *testing.T) {
	status := 3
	at := time.Unix(1700000000, 0).UTC()
	r := Result{ExitCode: 3, Reason: ReasonExited, Message: "exited with status 3", FrameworkID: "f-1", Instances: []Instance{{
		TaskID: "a-0", SlaveID: "s-1", Hostname: "h", State: "TASK_FAILED", ExitCode: 3, Reason: ReasonExited, ExitStatus: &status, Started: &at,
		Labels: map[string]string{mesos.LabelCause: mesos.CauseExited},
	}}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"exit_code":3,"reason":"exited","message":"exited with status 3","framework_id":"f-1","instances":[{"instance":0,"task_id":"a-0",` +
		`"agent_id":"s-1","hostname":"h","state":"TASK_FAILED","exit_code":3,"reason":"exited","exit_status":3,"started":"2023-11-14T22:13:20Z","labels":{"stoa.cause":"exited"}}]}`
	if string(text) != want {
		t.Errorf("got %s", text)
	}
}
