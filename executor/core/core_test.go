package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// play is a core whose outputs are read as lines.
type play struct {
	t     testing.TB
	core  *Core
	now   time.Time
	uuids map[string][]byte // by "task state"
}

func newPlay(t testing.TB, config Config) *play {
	config.FrameworkID, config.ExecutorID, config.Incarnation = "f1", "e1", 7
	return &play{t: t, core: New(config), now: epoch, uuids: map[string][]byte{}}
}

// step gives the core an event and returns its outputs as lines.
func (p *play) step(e Event) []string {
	var lines []string
	for _, o := range p.core.Step(p.now, e) {
		lines = append(lines, p.line(o))
	}
	return lines
}

// after lets time pass up to d, stopping at each deadline.
func (p *play) after(d time.Duration) []string {
	until := p.now.Add(d)
	var lines []string
	for {
		next := p.core.Deadline()
		if next.IsZero() || next.After(until) {
			p.now = until
			return append(lines, p.step(Tick{})...)
		}
		if next.After(p.now) {
			p.now = next
		}
		before := len(lines)
		lines = append(lines, p.step(Tick{})...)
		if len(lines) == before && !p.core.Deadline().After(p.now) && !p.core.Deadline().IsZero() {
			p.t.Fatalf("the deadline %s is due and nothing happens", next)
		}
	}
}

func (p *play) line(o Output) string {
	switch o := o.(type) {
	case Connect:
		var tasks, updates []string
		for _, t := range o.Call.GetSubscribe().GetUnacknowledgedTasks() {
			tasks = append(tasks, t.GetTaskId().GetValue())
		}
		for _, u := range o.Call.GetSubscribe().GetUnacknowledgedUpdates() {
			updates = append(updates, p.update(u.GetStatus()))
		}
		return fmt.Sprintf("connect %d tasks=%v updates=%v", o.Session, tasks, updates)
	case Send:
		if o.Call.GetType() == executorpb.Call_UPDATE {
			return fmt.Sprintf("send %d %s", o.Session, p.update(o.Call.GetUpdate().GetStatus()))
		}
		return fmt.Sprintf("send %d %s", o.Session, o.Call.GetType())
	case HangUp:
		return fmt.Sprintf("hang up %d", o.Session)
	case Subscribed:
		return fmt.Sprintf("subscribed again=%v", o.Again)
	case Launch:
		return "launch " + o.Task.GetTaskId().GetValue()
	case Kill:
		return "kill " + o.TaskID
	case Heard:
		return "heard " + string(o.Data)
	case Disconnected:
		return "disconnected: " + o.Reason
	case Denied:
		return "denied: " + o.Reason
	case Shutdown:
		return fmt.Sprintf("shutdown within %s", o.Grace)
	case Ended:
		return fmt.Sprintf("ended: %v", o.Err)
	default:
		p.t.Fatalf("output %T", o)
		return ""
	}
}

func (p *play) update(status *mesos.TaskStatus) string {
	name := status.GetTaskId().GetValue() + " " + strings.TrimPrefix(status.GetState().String(), "TASK_")
	p.uuids[name] = status.GetUuid()
	return name
}

func (p *play) hear(session Session, e *executorpb.Event) []string {
	return p.step(Received{Session: session, Event: e})
}

func (p *play) subscribed(session Session) []string {
	return p.hear(session, &executorpb.Event{Type: executorpb.Event_SUBSCRIBED.Enum(), Subscribed: &executorpb.Event_Subscribed{}})
}

func (p *play) launch(session Session, id string) []string {
	return p.hear(session, &executorpb.Event{Type: executorpb.Event_LAUNCH.Enum(), Launch: &executorpb.Event_Launch{
		Task: &mesos.TaskInfo{TaskId: mesos.NewTaskID(id)},
	}})
}

func (p *play) acknowledge(session Session, name string) []string {
	id, _, _ := strings.Cut(name, " ")
	return p.hear(session, &executorpb.Event{Type: executorpb.Event_ACKNOWLEDGED.Enum(), Acknowledged: &executorpb.Event_Acknowledged{
		TaskId: mesos.NewTaskID(id), Uuid: p.uuids[name],
	}})
}

func (p *play) simple(session Session, kind executorpb.Event_Type) []string {
	return p.hear(session, &executorpb.Event{Type: kind.Enum()})
}

func (p *play) tell(id string, state mesos.TaskState) []string {
	return p.step(Update{Status: &mesos.TaskStatus{TaskId: mesos.NewTaskID(id), State: state.Enum()}})
}

func (p *play) expect(what string, got []string, want ...string) {
	p.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

const (
	running  = mesos.TaskState_TASK_RUNNING
	finished = mesos.TaskState_TASK_FINISHED
)

func TestAnUpdateIsKeptUntilItIsAcknowledged(t *testing.T) {
	p := newPlay(t, Config{Checkpoint: true})
	p.expect("start", p.step(Start{}), "connect 1 tasks=[] updates=[]")
	p.expect("answer", p.subscribed(1), "subscribed again=false")
	p.expect("two tasks", append(p.launch(1, "a"), p.launch(1, "b")...), "launch a", "launch b")
	p.expect("an update", p.tell("a", running), "send 1 a RUNNING")
	p.expect("another", p.tell("a", finished), "send 1 a FINISHED")
	p.expect("of the other task", p.tell("b", running), "send 1 b RUNNING")
	p.expect("acknowledged", p.acknowledge(1, "a RUNNING"))
	p.expect("acknowledged again", p.acknowledge(1, "a RUNNING"))

	p.expect("the slave goes", p.step(Closed{1, "cut"}), "disconnected: cut")
	p.expect("an update meanwhile", p.tell("b", finished))
	p.expect("a message meanwhile is lost", p.step(Message{Data: []byte("hi")}))
	p.expect("it is tried again", p.after(RetryFirst), "connect 2 tasks=[b] updates=[a FINISHED b RUNNING b FINISHED]")
	p.expect("what the old session says is not heard", p.launch(1, "c"))
	p.expect("it is back", p.subscribed(2), "subscribed again=true")
	p.expect("the old session's end is no news", p.step(Closed{1, "cut"}))
	p.expect("what was told with SUBSCRIBE is not told twice", p.acknowledge(2, "a FINISHED"))
	p.expect("the next goes out", p.step(Message{Data: []byte("hi")}), "send 2 MESSAGE")
}

func TestAnUpdateFromTheTimeBetweenSubscribeAndItsAnswerIsTold(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.expect("not yet", p.tell("a", running))
	p.expect("now", p.subscribed(1), "subscribed again=false", "send 1 a RUNNING")
}

func TestAnUpdateIsCompleted(t *testing.T) {
	c := New(Config{FrameworkID: "f1", ExecutorID: "e1", Incarnation: 0x0102030405060708})
	c.Step(epoch, Start{})
	c.Step(epoch, Received{1, &executorpb.Event{Type: executorpb.Event_SUBSCRIBED.Enum()}})
	given := &mesos.TaskStatus{TaskId: mesos.NewTaskID("a"), State: running.Enum()}
	out := c.Step(epoch.Add(1500*time.Millisecond), Update{given})
	status := out[0].(Send).Call.GetUpdate().GetStatus()
	want := &mesos.TaskStatus{
		TaskId: mesos.NewTaskID("a"), State: running.Enum(), Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), ExecutorId: mesos.NewExecutorID("e1"),
		Timestamp: proto.Float64(float64(epoch.Unix()) + 1.5), Uuid: []byte{1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1},
	}
	if !proto.Equal(status, want) {
		t.Errorf("update %v, want %v", status, want)
	}
	if given.Uuid != nil {
		t.Error("the author's own status was changed")
	}
}

func TestWithoutCheckpointALostSlaveIsTheEnd(t *testing.T) {
	p := newPlay(t, Config{ShutdownGrace: 2 * time.Second})
	p.step(Start{})
	p.subscribed(1)
	p.tell("a", running)
	p.expect("the slave goes", p.step(Closed{1, "cut"}), "disconnected: cut", "shutdown within 2s")
	p.expect("the author has time", p.after(1999*time.Millisecond))
	p.expect("but not more", p.after(time.Millisecond), "ended: lost the slave: cut")
	p.expect("nothing follows", p.tell("a", finished))
}

func TestAnAuthorThatStopsAdriftIsNotKept(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.subscribed(1)
	p.tell("a", running)
	p.step(Closed{1, "cut"})
	p.expect("stop", p.step(Stop{}), "ended: lost the slave: cut")
}

func TestACheckpointingExecutorWaitsForItsSlaveAsLongAsItMay(t *testing.T) {
	p := newPlay(t, Config{Checkpoint: true, RecoveryTimeout: time.Second, BackoffMost: 300 * time.Millisecond, ShutdownGrace: time.Second})
	p.step(Start{})
	p.subscribed(1)
	p.expect("the slave goes", p.step(Closed{1, "cut"}), "disconnected: cut")
	p.expect("first retry", p.after(100*time.Millisecond), "connect 2 tasks=[] updates=[]")
	p.expect("in vain", p.step(Closed{2, "refused"}))
	p.expect("second retry", p.after(200*time.Millisecond), "connect 3 tasks=[] updates=[]")
	p.step(Closed{3, "refused"})
	p.expect("third retry", p.after(300*time.Millisecond), "connect 4 tasks=[] updates=[]")
	p.step(Closed{4, "refused"})
	p.expect("it gives up", p.after(400*time.Millisecond), "connect 5 tasks=[] updates=[]", "shutdown within 1s")
	p.expect("and ends", p.after(time.Second), "ended: lost the slave: it did not come back within 1s")
}

func TestASlaveThatIsNotThereAtFirst(t *testing.T) {
	p := newPlay(t, Config{ConnectTimeout: 250 * time.Millisecond})
	p.step(Start{})
	p.expect("in vain", p.step(Closed{1, "connection refused"}))
	p.expect("again", p.after(100*time.Millisecond), "connect 2 tasks=[] updates=[]")
	p.step(Closed{2, "connection refused"})
	p.expect("the end", p.after(time.Second), "hang up 2", "ended: no slave: connection refused, for 250ms")
}

func TestARefusedExecutorEnds(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.expect("refused", p.step(Refused{1, "not started here"}), "hang up 1", "ended: refused by the slave: not started here")
}

func TestARefusedCallIsNotTheEnd(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.subscribed(1)
	p.expect("denied", p.step(Refused{1, "unknown task"}), "denied: unknown task")
}

func TestStopWaitsForAcknowledgements(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.subscribed(1)
	p.tell("a", running)
	p.tell("a", finished)
	p.expect("stop", p.step(Stop{}))
	p.expect("one of two", p.acknowledge(1, "a RUNNING"))
	p.expect("the last", p.acknowledge(1, "a FINISHED"), "hang up 1", "ended: <nil>")
}

func TestStopWithNothingToTellIsTheEnd(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.subscribed(1)
	p.expect("stop", p.step(Stop{}), "hang up 1", "ended: <nil>")
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	p := newPlay(t, Config{ShutdownGrace: time.Second})
	p.step(Start{})
	p.subscribed(1)
	p.tell("a", finished)
	p.step(Stop{})
	p.expect("no acknowledgement", p.after(time.Second), "hang up 1", "ended: <nil>")
}

func TestAnUpdateIsNotGivenUpByStopWhileTheSlaveMayComeBack(t *testing.T) {
	p := newPlay(t, Config{Checkpoint: true, RecoveryTimeout: time.Minute, ShutdownGrace: time.Second})
	p.step(Start{})
	p.subscribed(1)
	p.tell("a", finished)
	p.step(Closed{1, "cut"})
	p.step(Stop{})
	lines := p.after(10 * time.Second)
	if !slices.Contains(lines, "connect 2 tasks=[] updates=[a FINISHED]") || slices.Contains(lines, "ended: <nil>") {
		t.Errorf("after Stop: %v", lines)
	}
	p.subscribed(p.core.session)
	p.expect("acknowledged", p.acknowledge(p.core.session, "a FINISHED"), "hang up 2", "ended: <nil>")
}

func TestShutdownIsToldOnce(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.subscribed(1)
	p.expect("first", p.simple(1, executorpb.Event_SHUTDOWN), "shutdown within 5s")
	p.expect("second", p.simple(1, executorpb.Event_SHUTDOWN))
	p.expect("an executor that does not stop", p.after(5*time.Second), "hang up 1", "ended: <nil>")
}

func TestAnErrorOfTheSlaveEndsTheExecutorWithIt(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.subscribed(1)
	p.expect("error", p.hear(1, &executorpb.Event{Type: executorpb.Event_ERROR.Enum(), Error: &executorpb.Event_Error{Message: proto.String("gone")}}),
		"shutdown within 5s")
	out := p.core.Step(p.now, Stop{})
	if ended := out[len(out)-1].(Ended); !errors.Is(ended.Err, ErrRefused) {
		t.Errorf("ended with %v, want ErrRefused", ended.Err)
	}
}

func TestEventsReachTheAuthor(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.subscribed(1)
	p.expect("a heartbeat is nobody's business", p.simple(1, executorpb.Event_HEARTBEAT))
	p.expect("kill", p.hear(1, &executorpb.Event{Type: executorpb.Event_KILL.Enum(), Kill: &executorpb.Event_Kill{TaskId: mesos.NewTaskID("a")}}), "kill a")
	p.expect("message", p.hear(1, &executorpb.Event{Type: executorpb.Event_MESSAGE.Enum(), Message: &executorpb.Event_Message{Data: []byte("x")}}), "heard x")
	p.expect("a group is its tasks", p.hear(1, &executorpb.Event{Type: executorpb.Event_LAUNCH_GROUP.Enum(), LaunchGroup: &executorpb.Event_LaunchGroup{
		TaskGroup: &mesos.TaskGroupInfo{Tasks: []*mesos.TaskInfo{{TaskId: mesos.NewTaskID("a")}, {TaskId: mesos.NewTaskID("b")}}},
	}}), "launch a", "launch b")
}

func TestUpdatesWithoutEndAreTheEnd(t *testing.T) {
	p := newPlay(t, Config{})
	p.step(Start{})
	p.subscribed(1)
	for range MaxUnacknowledged {
		p.tell("a", running)
	}
	p.expect("one too many", p.tell("a", running), "hang up 1", "ended: too many unacknowledged updates: 4096")
}

// A slave that acknowledges whatever it is told, over a connection that is cut at random, hears every update at least
// once and, first sightings alone, in their order.
func TestUpdatesArriveInOrderWhateverBreaks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := New(Config{FrameworkID: "f", ExecutorID: "e", Checkpoint: true, RecoveryTimeout: time.Hour, ConnectTimeout: time.Hour})
		now := epoch
		var seen, told []string
		var session Session
		var wire []*mesos.TaskStatus // told to the slave in this session, not acknowledged yet
		hear := func(u *mesos.TaskStatus) {
			wire = append(wire, u)
			if id := u.GetMessage(); !slices.Contains(seen, id) {
				seen = append(seen, id)
			}
		}
		step := func(e Event) {
			for _, o := range c.Step(now, e) {
				switch o := o.(type) {
				case Connect:
					session, wire = o.Session, nil
					for _, u := range o.Call.GetSubscribe().GetUnacknowledgedUpdates() {
						hear(u.GetStatus())
					}
				case Send:
					hear(o.Call.GetUpdate().GetStatus())
				}
			}
		}
		step(Start{})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "event") {
			case 0:
				id := fmt.Sprint(len(told))
				told = append(told, id)
				step(Update{&mesos.TaskStatus{TaskId: mesos.NewTaskID("t"), State: running.Enum(), Message: &id}})
			case 1:
				if len(wire) > 0 && c.state == subscribed {
					u := wire[0]
					wire = wire[1:]
					step(Received{session, &executorpb.Event{Type: executorpb.Event_ACKNOWLEDGED.Enum(), Acknowledged: &executorpb.Event_Acknowledged{
						TaskId: u.GetTaskId(), Uuid: u.GetUuid(),
					}}})
				}
			case 2:
				step(Closed{session, "cut"})
				now = now.Add(time.Minute)
				step(Tick{})
			case 3:
				step(Received{session, &executorpb.Event{Type: executorpb.Event_SUBSCRIBED.Enum()}})
			}
		}
		step(Closed{session, "cut"})
		now = now.Add(time.Minute)
		step(Tick{})
		step(Received{session, &executorpb.Event{Type: executorpb.Event_SUBSCRIBED.Enum()}})
		if diff := cmp.Diff(told, seen); diff != "" {
			rt.Fatalf("the slave heard other updates than were told (-told +heard):\n%s", diff)
		}
	})
}

func TestTheEnvironmentOfASlaveIsUnderstood(t *testing.T) {
	environment := map[string]string{
		"MESOS_FRAMEWORK_ID": "f1", "MESOS_EXECUTOR_ID": "e1", "MESOS_CHECKPOINT": "1", "MESOS_RECOVERY_TIMEOUT": "15mins",
		"MESOS_SUBSCRIPTION_BACKOFF_MAX": "2secs", "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "500ms",
	}
	got, err := FromEnvironment(func(name string) string { return environment[name] })
	want := Config{
		FrameworkID: "f1", ExecutorID: "e1", Checkpoint: true,
		RecoveryTimeout: 15 * time.Minute, BackoffMost: 2 * time.Second, ShutdownGrace: 500 * time.Millisecond,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for name, value := range map[string]string{"MESOS_EXECUTOR_ID": "", "MESOS_RECOVERY_TIMEOUT": "15m"} {
		broken := func(n string) string {
			if n == name {
				return value
			}
			return environment[n]
		}
		if _, err := FromEnvironment(broken); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%q gives %v, want an error that names it", name, value, err)
		}
	}
}

func TestMesossDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5secs": 5 * time.Second, "1.5mins": 90 * time.Second, "2weeks": 14 * 24 * time.Hour, "1hrs": time.Hour, "3days": 72 * time.Hour,
		"7ns": 7, "8us": 8 * time.Microsecond, "0ns": 0,
		"": -1, "5": -1, "5s": -1, "secs": -1, "-5secs": -1, "1e3secs": -1, "99999999weeks": -1,
	} {
		got, err := ParseDuration(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("ParseDuration(%q) = %s, %v", text, got, err)
		}
	}
}
