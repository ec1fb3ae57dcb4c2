package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/frameworks/scheduler/schedulertest"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(scheduler.KilledEnv); dir != "" {
		scheduler.Count(dir)
	}
	goleak.VerifyTestMain(m)
}

// recorder is a framework that writes down what happens to it, and does what the test says.
type recorder struct {
	scheduler.Base
	events chan string
	driver *scheduler.Driver
	offers chan *scheduler.Offer
	update func(*mesos.TaskStatus)
}

func newRecorder() *recorder {
	return &recorder{events: make(chan string, 1000), offers: make(chan *scheduler.Offer, 1000)}
}

func (r *recorder) Subscribed(_ *scheduler.Driver, id string, again bool) {
	r.events <- fmt.Sprintf("subscribed again=%v", again)
}

func (r *recorder) Offers(_ *scheduler.Driver, offers []*scheduler.Offer) {
	for _, o := range offers {
		r.offers <- o
	}
}

func (r *recorder) Update(_ *scheduler.Driver, s *mesos.TaskStatus) {
	r.events <- strings.TrimPrefix(s.GetState().String(), "TASK_")
	if r.update != nil {
		r.update(s)
	}
}
func (r *recorder) Disconnected(*scheduler.Driver, error)            { r.events <- "disconnected" }
func (r *recorder) Error(*scheduler.Driver, error)                   { r.events <- "error" }
func (r *recorder) Rescinded(_ *scheduler.Driver, offer string)      { r.events <- "rescinded " + offer }
func (r *recorder) Failure(*scheduler.Driver, string, string, int32) { r.events <- "failure" }
func (r *recorder) Message(_ *scheduler.Driver, slave, executor string, data []byte) {
	r.events <- fmt.Sprintf("message %s %s %s", slave, executor, data)
}

// life is a scheduler that runs while a test goes on.
type life struct {
	*recorder
	t      *testing.T
	ended  chan error
	cancel context.CancelCauseFunc
}

func begin(t *testing.T, options scheduler.Options) *life {
	ctx, cancel := context.WithCancelCause(t.Context())
	l := &life{recorder: newRecorder(), t: t, ended: make(chan error, 1), cancel: cancel}
	ready := make(chan struct{})
	go func() {
		l.ended <- scheduler.RunWith(ctx, options, func(d *scheduler.Driver) scheduler.Scheduler {
			l.driver = d
			close(ready)
			return l.recorder
		})
	}()
	t.Cleanup(func() { cancel(nil) })
	select {
	case <-ready:
	case err := <-l.ended:
		l.ended <- err
	}
	return l
}

func (l *life) expect(want ...string) {
	l.t.Helper()
	for _, w := range want {
		select {
		case got := <-l.events:
			if got != w {
				l.t.Fatalf("the scheduler heard %q, want %q", got, w)
			}
		case <-time.After(2 * scheduler.DefaultReconnectTimeout):
			l.t.Fatalf("the scheduler did not hear %q", w)
		}
	}
}

func (l *life) nothingMore() {
	l.t.Helper()
	synctest.Wait()
	select {
	case got := <-l.events:
		l.t.Errorf("the scheduler heard %q, want nothing", got)
	default:
	}
}

func (l *life) do(f func(d *scheduler.Driver)) {
	done := make(chan struct{})
	l.driver.Do(func() { f(l.driver); close(done) })
	<-done
}

func (l *life) end() error {
	l.t.Helper()
	select {
	case err := <-l.ended:
		return err
	case <-time.After(2 * time.Minute):
		l.t.Fatal("Run does not return")
		return nil
	}
}

func sleeper(name string) scheduler.Task {
	return scheduler.Task{ID: name, Name: name, Args: []string{"sleep", "1"}, CPUs: 1, Mem: 32}
}

// launchOne brings a framework to where one task runs.
func launchOne(t *testing.T, m *schedulertest.Master, l *life) *mesos.TaskInfo {
	t.Helper()
	m.Subscription()
	l.expect("subscribed again=false")
	m.Offer(m.Slave("s1"), "cpus:2;mem:1024")
	offer := <-l.offers
	task, err := offer.Take(sleeper("a"))
	if err != nil {
		t.Fatal(err)
	}
	l.do(func(d *scheduler.Driver) { d.Launch(offer, task) })
	return m.Launched()
}

func inBubble(t *testing.T, story func(t *testing.T, m *schedulertest.Master)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(t, schedulertest.New(t)) })
}

func TestAFrameworkIntroducesItselfWithWhatItsDriverUnderstands(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		options := m.Options("f")
		options.Roles, options.FailoverTimeout = []string{"web"}, time.Minute
		begin(t, options)
		info := m.Subscription().GetSubscribe().GetFrameworkInfo()
		var capabilities []string
		for _, c := range info.GetCapabilities() {
			capabilities = append(capabilities, c.GetType().String())
		}
		want := []string{"MULTI_ROLE", "PARTITION_AWARE", "RESERVATION_REFINEMENT", "SHARED_RESOURCES", "TASK_KILLING_STATE"}
		if diff := cmp.Diff(want, capabilities); diff != "" {
			t.Errorf("capabilities (-want +got):\n%s", diff)
		}
		if info.GetName() != "f" || info.GetUser() != "somebody" || info.GetFailoverTimeout() != 60 || info.GetRoles()[0] != "web" {
			t.Errorf("info %v", info)
		}
	})
}

func TestATasksWayFromOfferToEndWithEachUpdateAcknowledgedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		task := launchOne(t, m, l)
		started := m.Update(task, mesos.TaskState_TASK_STARTING)
		l.expect("STARTING")
		if got := m.Next(schedulerpb.Call_ACKNOWLEDGE).GetAcknowledge(); string(got.GetUuid()) != string(started.GetUuid()) || got.GetAgentId().GetValue() != "slave-s1" {
			t.Errorf("acknowledged %v, want %v", got, started)
		}
		m.Update(task, mesos.TaskState_TASK_RUNNING)
		l.expect("RUNNING")
		m.Status(started) // late
		m.Update(task, mesos.TaskState_TASK_FINISHED)
		l.expect("FINISHED")
		l.nothingMore()
		if n := len(m.Calls(schedulerpb.Call_ACKNOWLEDGE)); n != 4 {
			t.Errorf("%d acknowledgements, want 4: three updates and one that came twice", n)
		}
		l.do(func(d *scheduler.Driver) { d.Teardown(nil) })
		m.Next(schedulerpb.Call_TEARDOWN)
		if err := l.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnUpdateWhoseHandlerPanicsIsNotAcknowledged(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		r := newRecorder()
		r.update = func(*mesos.TaskStatus) { panic("oops") }
		caught := make(chan any, 1)
		go func() {
			defer func() { caught <- recover() }()
			_ = scheduler.Run(t.Context(), m.Options("f"), r)
		}()
		m.Subscription()
		m.Status(m.NewStatus(&mesos.TaskInfo{TaskId: mesos.NewTaskID("a"), AgentId: mesos.NewAgentID("s")}, mesos.TaskState_TASK_RUNNING))
		if text := fmt.Sprint(<-caught); !strings.Contains(text, "oops") || !strings.Contains(text, "driver_test.go") {
			t.Errorf("Run panicked with %q, want the handler's words and its stack", text)
		}
		m.Disconnected()
		if n := len(m.Calls(schedulerpb.Call_ACKNOWLEDGE)); n != 0 {
			t.Errorf("%d acknowledgements of an update that nobody has handled", n)
		}
	})
}

func TestAMasterThatRestartsIsFoundAgainAndAskedAboutTasks(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		task := launchOne(t, m, l)
		m.Update(task, mesos.TaskState_TASK_RUNNING)
		l.expect("RUNNING")
		m.Stop()
		gone := time.Now()
		l.expect("disconnected")
		if told := time.Since(gone); told > time.Second {
			t.Errorf("told after %s, want at once", told)
		}
		time.Sleep(20 * time.Second) // an outage, in fake time
		m.Start()
		again := m.Subscription()
		if got := again.GetSubscribe().GetFrameworkInfo().GetId().GetValue(); got == "" || got != again.GetFrameworkId().GetValue() {
			t.Errorf("subscribed as %q, want with the id of before", got)
		}
		l.expect("subscribed again=true")
		reconcile := m.Next(schedulerpb.Call_RECONCILE).GetReconcile()
		want := &schedulerpb.Call_Reconcile{Tasks: []*schedulerpb.Call_Reconcile_Task{{TaskId: task.GetTaskId(), AgentId: task.GetAgentId()}}}
		if !proto.Equal(reconcile, want) {
			t.Errorf("asked %v, want %v", reconcile, want)
		}
		m.Update(task, mesos.TaskState_TASK_FINISHED) // the one that was lost
		l.expect("FINISHED")
	})
}

func TestAConnectionThatBreaksIsMadeAgainAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		m.Subscription()
		l.expect("subscribed again=false")
		for range 3 {
			m.Break()
			broke := time.Now()
			l.expect("disconnected")
			m.Subscription()
			l.expect("subscribed again=true")
			if took := time.Since(broke); took > time.Second {
				t.Errorf("back after %s", took)
			}
		}
		m.Offer(m.Slave("s1"), "cpus:1;mem:64")
		if o := <-l.offers; o.SlaveID() != "slave-s1" {
			t.Errorf("offer %v", o.Info)
		}
	})
}

func TestASilentMasterCountsAsGoneAndIsWelcomeBack(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		m.Subscription()
		l.expect("subscribed again=false")
		m.Cut()
		l.expect("disconnected")
		m.Heal()
		l.expect("subscribed again=true")
	})
}

func TestWithoutAMasterRunEndsAndSaysWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := schedulertest.New(t)
		m.Stop()
		began := time.Now()
		l := begin(t, m.Options("f"))
		l.expect("disconnected", "error")
		err := l.end()
		if !errors.Is(err, scheduler.ErrNoMaster) {
			t.Fatalf("error %v, want ErrNoMaster", err)
		}
		text := err.Error()
		if !strings.HasPrefix(text, "no master at master:5050 (") || !strings.HasSuffix(text, "); is it running? Tried for 10s") {
			t.Errorf("error %q", text)
		}
		if took := time.Since(began); took != scheduler.DefaultConnectTimeout {
			t.Errorf("gave up after %s", took)
		}
	})
}

func TestOverTCPTheErrorNamesTheAddressAndTheCause(t *testing.T) {
	err := scheduler.Run(t.Context(), scheduler.Options{Name: "f", Master: "127.0.0.1:1", ConnectTimeout: 50 * time.Millisecond}, &scheduler.Base{})
	want := "no master at 127.0.0.1:1 (dial tcp 127.0.0.1:1: connect: connection refused); is it running? Tried for 50ms"
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestAMasterThatStaysAwayEndsRunAfterReconnectTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		m.Subscription()
		l.expect("subscribed again=false")
		m.Stop()
		l.expect("disconnected", "error")
		err := l.end()
		if !errors.Is(err, scheduler.ErrLostMaster) || !strings.HasPrefix(err.Error(), "lost the master at master:5050 (") || !strings.Contains(err.Error(), "tried again for 30s") {
			t.Errorf("error %v", err)
		}
	})
}

func TestARefusedFrameworkEndsWithTheMastersWords(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		m.RefuseWith("role \"x\" is not allowed")
		l := begin(t, m.Options("f"))
		l.expect("error")
		if err := l.end(); !errors.Is(err, scheduler.ErrRefused) || !strings.Contains(err.Error(), `role "x" is not allowed`) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAnotherSchedulerWithTheSameIDEndsThisOne(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		m.Subscription()
		l.expect("subscribed again=false")
		m.Error("Framework failed over")
		l.expect("error")
		if err := l.end(); !errors.Is(err, scheduler.ErrRefused) || !strings.Contains(err.Error(), "Framework failed over") {
			t.Errorf("error %v", err)
		}
	})
}

func TestTheFrameworkIDIsKeptInItsFileUntilTeardown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "id")
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		options := m.Options("f")
		options.FrameworkIDFile = file
		l := begin(t, options)
		m.Subscription()
		l.expect("subscribed again=false")
		l.do(func(d *scheduler.Driver) { d.Stop(nil) })
		if err := l.end(); err != nil {
			t.Fatal(err)
		}
		l = begin(t, options)
		if got := m.Subscription().GetFrameworkId().GetValue(); got != m.FrameworkID() {
			t.Errorf("came back as %q, want %q", got, m.FrameworkID())
		}
		l.expect("subscribed again=false")
		if got := m.Next(schedulerpb.Call_RECONCILE).GetReconcile().GetTasks(); len(got) != 0 {
			t.Errorf("asked about %v, want about all", got)
		}
		l.do(func(d *scheduler.Driver) { d.Teardown(nil) })
		if err := l.end(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the id of a framework that is over is kept: %v", err)
		}
	})
}

func TestWhatADriverIsAskedReachesTheMaster(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		m.Answer(func(*masterpb.Call) proto.Message { return &wire.Refused{Reason: "not today"} })
		l := begin(t, m.Options("f"))
		task := launchOne(t, m, l)
		l.do(func(d *scheduler.Driver) {
			d.Kill("a", 7*time.Second)
			d.Reconcile("a")
			d.Suppress()
			d.Revive()
			d.Message("slave-s1", "e1", []byte("hi"))
			d.ShutdownExecutor("slave-s1", "e1")
			d.Ask(&masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()}, time.Second, func(_ *masterpb.Response, err error) {
				l.events <- err.Error()
			})
			timer := d.After(time.Second, func() { l.events <- "canceled timer" })
			timer.Cancel()
			d.After(2*time.Second, func() { l.events <- "timer" })
		})
		if k := m.Next(schedulerpb.Call_KILL).GetKill(); k.GetAgentId().GetValue() != task.GetAgentId().GetValue() || k.GetKillPolicy().GetGracePeriod().GetNanoseconds() != 7e9 {
			t.Errorf("kill %v", k)
		}
		for _, kind := range []schedulerpb.Call_Type{schedulerpb.Call_RECONCILE, schedulerpb.Call_SUPPRESS, schedulerpb.Call_REVIVE, schedulerpb.Call_MESSAGE, schedulerpb.Call_SHUTDOWN} {
			m.Next(kind)
		}
		l.expect("the master refused: not today", "timer")
	})
}

func TestADriverUsedOutsideOfItsHandlersSaysSo(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		m.Subscription()
		l.expect("subscribed again=false")
		synctest.Wait()
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, "Driver.Do") {
				t.Errorf("panic %q, want one that names the cure", text)
			}
		}()
		l.driver.Revive()
	})
}

func TestATaskIDThatIsInUseCanNotBeLaunchedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		task := launchOne(t, m, l)
		m.Offer(m.Slave("s2"), "cpus:1;mem:64")
		offer := <-l.offers
		l.do(func(d *scheduler.Driver) {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, `task id "a" is launched again`) {
					t.Errorf("panic %q", text)
				}
			}()
			d.Launch(offer, task)
		})
	})
}

func TestTheEndOfTheContextEndsRunWithItsCause(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		m.Subscription()
		cause := errors.New("enough")
		l.cancel(cause)
		if err := l.end(); !errors.Is(err, cause) {
			t.Errorf("error %v, want the context's cause", err)
		}
		m.Disconnected()
		if n := len(m.Calls(schedulerpb.Call_TEARDOWN)); n != 0 {
			t.Error("the framework was torn down, want it to stay for its failover timeout")
		}
	})
}

func TestBadOptionsAreToldWithTheirValues(t *testing.T) {
	for name, c := range map[string]struct {
		options scheduler.Options
		want    string
	}{
		"no port":          {scheduler.Options{Name: "f", Master: "somewhere"}, `master address "somewhere": wanted HOST:PORT, as in 127.0.0.1:5050`},
		"not a port":       {scheduler.Options{Name: "f", Master: "h:x"}, `master address "h:x": wanted HOST:PORT, as in 127.0.0.1:5050`},
		"negative timeout": {scheduler.Options{Name: "f", ConnectTimeout: -1}, `ConnectTimeout is -1ns: it must not be negative`},
		"minimum of nobody": {
			scheduler.Options{Name: "f", Roles: []string{"a"}, MinAllocatable: map[string][]resource.Quantities{"b": nil}},
			`MinAllocatable of role "b": it is none of the framework's roles ["a"]`,
		},
		"constraints of nobody": {
			scheduler.Options{Name: "f", OfferConstraints: map[string][]*scheduler.OfferGroup{"b": nil}},
			`OfferConstraints of role "b": it is none of the framework's roles ["*"]`,
		},
		"role": {scheduler.Options{Name: "f", Roles: []string{"/a"}}, `role`},
	} {
		t.Run(name, func(t *testing.T) {
			err := scheduler.Run(t.Context(), c.options, scheduler.Base{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestOnlyTheSessionOfNowIsHeard(t *testing.T) {
	inBubble(t, func(t *testing.T, m *schedulertest.Master) {
		l := begin(t, m.Options("f"))
		m.Subscription()
		l.expect("subscribed again=false")
		l.driver.Whisper(&wire.Refused{Reason: "go away"})
		l.nothingMore()
		m.Rescind("unknown")
		m.Offer(m.Slave("s1"), "cpus:1;mem:64")
		<-l.offers
	})
}
