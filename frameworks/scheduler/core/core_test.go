package core

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// driver plays the world around a core: outputs are kept as short lines.
type driver struct {
	t    *testing.T
	core *Core
	now  time.Time
	last error // of Disconnected and Ended
}

func start(t *testing.T, change func(*Config)) *driver {
	t.Helper()
	config := Config{
		Framework: &mesos.FrameworkInfo{Name: proto.String("f"), User: proto.String("u"), Roles: []string{"web", "db"}},
		Master:    "m:5050", ConnectTimeout: 10 * time.Second, ReconnectTimeout: 30 * time.Second, Seed: 1,
	}
	if change != nil {
		change(&config)
	}
	return &driver{t: t, core: New(config), now: time.Unix(1000, 0)}
}

func subscribedDriver(t *testing.T, change func(*Config)) *driver {
	t.Helper()
	d := start(t, change)
	d.step(Start{})
	d.hear(subscribedAs("f-1"))
	return d
}

func (d *driver) step(e Event) []string {
	d.t.Helper()
	var lines []string
	for _, o := range d.core.Step(d.now, e) {
		lines = append(lines, d.line(o))
	}
	return lines
}

func (d *driver) hear(m proto.Message) []string {
	d.t.Helper()
	return d.step(Received{Session: d.core.session, Message: m})
}

func (d *driver) tickAt(wait time.Duration) []string {
	d.t.Helper()
	d.now = d.now.Add(wait)
	return d.step(Tick{})
}

// toDeadline lets time pass to the core's next deadline.
func (d *driver) toDeadline() []string {
	d.t.Helper()
	if d.core.Deadline().IsZero() {
		d.t.Fatal("the core has no deadline")
	}
	return d.tickAt(d.core.Deadline().Sub(d.now))
}

func (d *driver) line(o Output) string {
	switch o := o.(type) {
	case Connect:
		return fmt.Sprintf("connect %s suppressed=%v", o.Call.GetFrameworkId().GetValue(), o.Call.GetSubscribe().GetSuppressedRoles())
	case Send:
		return "send " + callLine(o.Call)
	case HangUp:
		return "hang up"
	case Subscribed:
		return fmt.Sprintf("subscribed %s again=%v", o.FrameworkID, o.Again)
	case Offered:
		return fmt.Sprintf("offered %d", len(o.Offers))
	case Rescinded:
		return "rescinded " + o.OfferID
	case InverseOffered:
		return fmt.Sprintf("asked to leave %s by %s", o.Offers[0].GetAgentId().GetValue(), o.Offers[0].GetId().GetValue())
	case InverseRescinded:
		return "not asked any more by " + o.OfferID
	case Updated:
		return fmt.Sprintf("updated %s %s", o.Status.GetTaskId().GetValue(), strings.TrimPrefix(o.Status.GetState().String(), "TASK_"))
	case Heard:
		return fmt.Sprintf("heard %s %s %s", o.SlaveID, o.ExecutorID, o.Data)
	case Failed:
		return fmt.Sprintf("failed %s %s %d", o.SlaveID, o.ExecutorID, o.WaitStatus)
	case Disconnected:
		d.last = o.Err
		return "disconnected"
	case Ended:
		d.last = o.Err
		return "ended"
	}
	panic(fmt.Sprintf("%T", o))
}

func callLine(c *schedulerpb.Call) string {
	line := c.GetType().String()
	switch c.GetType() {
	case schedulerpb.Call_ACKNOWLEDGE:
		line += fmt.Sprintf(" %s %s", c.GetAcknowledge().GetTaskId().GetValue(), c.GetAcknowledge().GetUuid())
	case schedulerpb.Call_KILL:
		line += fmt.Sprintf(" %s@%s", c.GetKill().GetTaskId().GetValue(), c.GetKill().GetAgentId().GetValue())
	case schedulerpb.Call_RECONCILE:
		for _, t := range c.GetReconcile().GetTasks() {
			line += fmt.Sprintf(" %s@%s", t.GetTaskId().GetValue(), t.GetAgentId().GetValue())
		}
	case schedulerpb.Call_DECLINE:
		for _, id := range c.GetDecline().GetOfferIds() {
			line += " " + id.GetValue()
		}
	}
	if c.GetFrameworkId().GetValue() != "f-1" {
		line += " without framework id"
	}
	return line
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func subscribedAs(id string) *schedulerpb.Event {
	return &schedulerpb.Event{
		Type:       schedulerpb.Event_SUBSCRIBED.Enum(),
		Subscribed: &schedulerpb.Event_Subscribed{FrameworkId: mesos.NewFrameworkID(id)},
	}
}

func offers(ids ...string) *schedulerpb.Event {
	e := &schedulerpb.Event{Type: schedulerpb.Event_OFFERS.Enum(), Offers: &schedulerpb.Event_Offers{}}
	for _, id := range ids {
		e.Offers.Offers = append(e.Offers.Offers, &mesos.Offer{Id: mesos.NewOfferID(id), AgentId: mesos.NewAgentID("s1")})
	}
	return e
}

func status(task, state, uuid string) *mesos.TaskStatus {
	s := &mesos.TaskStatus{
		TaskId:  mesos.NewTaskID(task),
		AgentId: mesos.NewAgentID("s1"),
		State:   mesos.TaskState(mesos.TaskState_value["TASK_"+state]).Enum(),
	}
	if uuid != "" {
		s.Uuid = []byte(uuid)
	}
	return s
}

func update(task, state, uuid string) *schedulerpb.Event {
	return &schedulerpb.Event{Type: schedulerpb.Event_UPDATE.Enum(), Update: &schedulerpb.Event_Update{Status: status(task, state, uuid)}}
}

func launch(offer string, tasks ...string) Asked {
	op := &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{}}
	for _, id := range tasks {
		op.Launch.TaskInfos = append(op.Launch.TaskInfos, &mesos.TaskInfo{Name: proto.String(id), TaskId: mesos.NewTaskID(id), AgentId: mesos.NewAgentID("s1")})
	}
	return Asked{&schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), Accept: &schedulerpb.Call_Accept{
		OfferIds: []*mesos.OfferID{mesos.NewOfferID(offer)}, Operations: []*mesos.Offer_Operation{op},
	}}}
}

func killing(task string) Asked {
	return Asked{&schedulerpb.Call{Type: schedulerpb.Call_KILL.Enum(), Kill: &schedulerpb.Call_Kill{TaskId: mesos.NewTaskID(task)}}}
}

func declining(ids ...string) Asked {
	d := &schedulerpb.Call_Decline{}
	for _, id := range ids {
		d.OfferIds = append(d.OfferIds, mesos.NewOfferID(id))
	}
	return Asked{&schedulerpb.Call{Type: schedulerpb.Call_DECLINE.Enum(), Decline: d}}
}

func TestFirstConnectionIsTriedUntilConnectTimeoutAndTheErrorSaysWhatToDo(t *testing.T) {
	d := start(t, nil)
	expect(t, "start", d.step(Start{}), "connect  suppressed=[]")
	expect(t, "the first failure is told", d.step(Closed{Session: 1, Reason: "connection refused"}), "disconnected")
	began, attempts := d.now, 1
	for d.core.state != ended {
		switch got := d.toDeadline(); got[0] {
		case "connect  suppressed=[]":
			attempts++
			expect(t, "a later failure is not told again", d.step(Closed{Session: d.core.session, Reason: "connection refused"}))
		case "hang up":
			expect(t, "the end", got, "hang up", "ended")
		}
	}
	if tried := d.now.Sub(began); tried != 10*time.Second {
		t.Errorf("gave up after %s, want 10s", tried)
	}
	// 100 ms doubling to 2 s, half of that to one and a half, within 10 s.
	if attempts < 6 || attempts > 16 {
		t.Errorf("%d attempts in 10 s", attempts)
	}
	if want := "no master at m:5050 (connection refused); is it running? Tried for 10s"; d.last.Error() != want || !errors.Is(d.last, ErrNoMaster) {
		t.Errorf("error %q, want %q", d.last, want)
	}
	expect(t, "nothing happens afterwards", d.step(Start{}))
}

// A refusal at the handshake is for the user to mend. A scheduler that was subscribed before waits for the master to be mended.
func TestARefusalAtTheHandshakeIsTheEndUnlessThereWasASubscription(t *testing.T) {
	d := start(t, nil)
	d.step(Start{})
	expect(t, "refused", d.step(Closed{Session: d.core.session, Reason: "refused: it speaks TLS", Refused: true}), "hang up", "ended")
	if want := "the master at m:5050: refused: it speaks TLS"; d.last.Error() != want || !errors.Is(d.last, ErrRefused) {
		t.Errorf("error %q, want %q", d.last, want)
	}

	d = subscribedDriver(t, nil)
	d.step(Closed{Session: d.core.session, Reason: "connection reset"})
	d.toDeadline()
	d.step(Closed{Session: d.core.session, Reason: "refused: it speaks TLS", Refused: true})
	if d.core.state != connecting {
		t.Errorf("it is in state %v after a refusal while it reconnects, want it to try again", d.core.state)
	}
}

func TestAMasterThatNeverAnswersCountsAsNone(t *testing.T) {
	d := start(t, nil)
	d.step(Start{})
	expect(t, "after 10 s", d.toDeadline(), "hang up", "ended")
	if want := "no master at m:5050 (connected, but it does not answer); is it running? Tried for 10s"; d.last.Error() != want {
		t.Errorf("error %q, want %q", d.last, want)
	}
}

func TestAnOutageIsToldAtOnceAndEndsWithTheSameFramework(t *testing.T) {
	d := subscribedDriver(t, nil)
	old := d.core.session
	expect(t, "master gone", d.step(Closed{Session: old, Reason: "disconnected"}), "disconnected")
	if want := "lost the master at m:5050 (disconnected)"; d.last.Error() != want || !errors.Is(d.last, ErrLostMaster) {
		t.Errorf("error %q, want %q", d.last, want)
	}
	late := Received{Session: old, Message: &schedulerpb.Event{
		Type: schedulerpb.Event_ERROR.Enum(), Error: &schedulerpb.Event_Error{Message: proto.String("Framework failed over")},
	}}
	expect(t, "what the old session says late is not heard", d.step(late))
	expect(t, "retry", d.toDeadline(), "connect f-1 suppressed=[]")
	expect(t, "nor what it says still later", d.step(late))
	expect(t, "back", d.hear(subscribedAs("f-1")), "subscribed f-1 again=true")
	if at := d.core.Deadline(); !at.IsZero() {
		t.Errorf("deadline %s with nothing to wait for", at)
	}
}

func TestAnOutageOfReconnectTimeoutIsTheEnd(t *testing.T) {
	d := subscribedDriver(t, nil)
	d.step(Closed{Session: d.core.session, Reason: "disconnected"})
	began := d.now
	for d.core.state != ended {
		d.toDeadline()
		d.step(Closed{Session: d.core.session, Reason: "connection refused"})
	}
	if tried := d.now.Sub(began); tried != 30*time.Second {
		t.Errorf("gave up after %s, want 30s", tried)
	}
	if want := "lost the master at m:5050 (disconnected); tried again for 30s (connection refused)"; d.last.Error() != want || !errors.Is(d.last, ErrLostMaster) {
		t.Errorf("error %q, want %q", d.last, want)
	}
}

func TestRefusalsEndTheDriverWithTheMastersWords(t *testing.T) {
	for name, message := range map[string]proto.Message{
		"an ERROR event": &schedulerpb.Event{Type: schedulerpb.Event_ERROR.Enum(), Error: &schedulerpb.Event_Error{Message: proto.String("no such role")}},
		"a refusal":      &wire.Refused{Reason: "no such role"},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t, nil)
			d.step(Start{})
			expect(t, "while connecting", d.hear(message), "hang up", "ended")
			if want := "the master ended the subscription: no such role"; d.last.Error() != want || !errors.Is(d.last, ErrRefused) {
				t.Errorf("error %q, want %q", d.last, want)
			}
			d = subscribedDriver(t, nil)
			expect(t, "while subscribed", d.hear(message), "hang up", "ended")
		})
	}
}

func TestAMasterThatRenamesTheFrameworkIsNotBelieved(t *testing.T) {
	d := start(t, func(c *Config) { c.Framework.Id = mesos.NewFrameworkID("f-1") })
	d.step(Start{})
	expect(t, "another id", d.hear(subscribedAs("f-2")), "hang up", "ended")
}

func TestUpdatesAreHandedOverOnceInOrderAndAcknowledgedAfterwards(t *testing.T) {
	d := subscribedDriver(t, nil)
	d.hear(offers("o1"))
	expect(t, "launch", d.step(launch("o1", "a")), "send ACCEPT")
	for _, step := range []struct {
		name string
		say  *schedulerpb.Event
		want []string
	}{
		{"the first update", update("a", "STARTING", "1"), []string{"updated a STARTING", "send ACKNOWLEDGE a 1"}},
		{"its repetition is acknowledged again, and not handed over", update("a", "STARTING", "1"), []string{"send ACKNOWLEDGE a 1"}},
		{"an answer that overtakes", update("a", "RUNNING", ""), []string{"updated a RUNNING"}},
		{"the update that was overtaken, which says the same", update("a", "RUNNING", "2"), []string{"updated a RUNNING", "send ACKNOWLEDGE a 2"}},
		{"an answer that repeats the state", update("a", "RUNNING", ""), nil},
		{"a change of health", update("a", "RUNNING", "3"), []string{"updated a RUNNING", "send ACKNOWLEDGE a 3"}},
		{"an older state is acknowledged, and not handed over", update("a", "STARTING", "4"), []string{"send ACKNOWLEDGE a 4"}},
		{"the slave is away", update("a", "UNREACHABLE", ""), []string{"updated a UNREACHABLE"}},
		{"the slave is back", update("a", "RUNNING", ""), []string{"updated a RUNNING"}},
		{"the end", update("a", "FINISHED", "5"), []string{"updated a FINISHED", "send ACKNOWLEDGE a 5"}},
		{"nothing comes after the end", update("a", "RUNNING", ""), nil},
		{"not even another end", update("a", "LOST", "6"), []string{"send ACKNOWLEDGE a 6"}},
		{"a task of an earlier life", update("z", "RUNNING", "7"), []string{"updated z RUNNING", "send ACKNOWLEDGE z 7"}},
	} {
		expect(t, step.name, d.hear(step.say), step.want...)
	}
	if live := d.core.Tasks().Live(); len(live) != 1 || live[0].ID != "z" {
		t.Errorf("live tasks %v, want z alone", live)
	}
}

func TestAnAuthorWhoAcknowledgesByHandDoesSoOnceForEachTimeItIsHeard(t *testing.T) {
	d := subscribedDriver(t, func(c *Config) { c.ManualAcknowledge = true })
	ack := func() []string {
		return d.step(Asked{&schedulerpb.Call{Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), Acknowledge: &schedulerpb.Call_Acknowledge{
			AgentId: mesos.NewAgentID("s1"), TaskId: mesos.NewTaskID("a"), Uuid: []byte("1"),
		}}})
	}
	expect(t, "an update is the author's", d.hear(update("a", "RUNNING", "1")), "updated a RUNNING")
	expect(t, "a repetition before the decision is nobody's", d.hear(update("a", "RUNNING", "1")))
	expect(t, "the acknowledgement", ack(), "send ACKNOWLEDGE a 1")
	expect(t, "a second one is held back", ack())
	expect(t, "a repetition after it means that it got lost", d.hear(update("a", "RUNNING", "1")), "send ACKNOWLEDGE a 1")
	expect(t, "what the author never sees is the driver's", d.hear(update("a", "STARTING", "2")), "send ACKNOWLEDGE a 2")
}

func TestAnAcknowledgementByHandIsHeldBackWhereTheDriverHasSentIt(t *testing.T) {
	d := subscribedDriver(t, nil)
	d.hear(update("a", "RUNNING", "1"))
	expect(t, "the author's", d.step(Asked{&schedulerpb.Call{Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), Acknowledge: &schedulerpb.Call_Acknowledge{
		AgentId: mesos.NewAgentID("s1"), TaskId: mesos.NewTaskID("a"), Uuid: []byte("1"),
	}}}))
}

func TestTheAnswerToAnAuthorsQuestionIsNewsOnce(t *testing.T) {
	for name, tasks := range map[string][]*schedulerpb.Call_Reconcile_Task{"by name": {{TaskId: mesos.NewTaskID("a")}}, "all": nil} {
		t.Run(name, func(t *testing.T) {
			d := subscribedDriver(t, nil)
			d.hear(update("a", "RUNNING", "1"))
			expect(t, "unasked", d.hear(update("a", "RUNNING", "")))
			d.step(Asked{&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: &schedulerpb.Call_Reconcile{Tasks: tasks}}})
			expect(t, "asked", d.hear(update("a", "RUNNING", "")), "updated a RUNNING")
			expect(t, "again", d.hear(update("a", "RUNNING", "")))
		})
	}
}

func TestAfterAnOutageTasksAreAskedAboutUntilAllHaveBeenHeardOf(t *testing.T) {
	d := subscribedDriver(t, nil)
	d.hear(offers("o1"))
	d.step(launch("o1", "a", "b", "c"))
	d.hear(update("c", "FINISHED", "1"))
	d.step(killing("b"))
	d.step(Closed{Session: d.core.session, Reason: "disconnected"})
	expect(t, "a kill without a master", d.step(killing("a")))
	d.toDeadline()
	expect(t, "back", d.hear(subscribedAs("f-1")),
		"subscribed f-1 again=true", "send KILL a@s1", "send KILL b@s1", "send RECONCILE a@s1 b@s1")
	expect(t, "one is heard of", d.hear(update("a", "KILLED", "2")), "updated a KILLED", "send ACKNOWLEDGE a 2")
	asked := d.now
	expect(t, "the other is asked about again", d.toDeadline(), "send RECONCILE b@s1")
	if wait := d.now.Sub(asked); wait != ReconcileFirst {
		t.Errorf("asked again after %s, want %s", wait, ReconcileFirst)
	}
	expect(t, "and again, later", d.toDeadline(), "send RECONCILE b@s1")
	if wait := d.now.Sub(asked); wait != 3*ReconcileFirst {
		t.Errorf("asked a third time after %s, want %s", wait, 3*ReconcileFirst)
	}
	expect(t, "until it is heard of, with what is known already", d.hear(update("b", "STAGING", "")), "updated b STAGING")
	if at := d.core.Deadline(); !at.IsZero() {
		t.Errorf("deadline %s with nothing to ask", at)
	}
}

func TestASchedulerThatComesBackWithItsIDAsksForEverything(t *testing.T) {
	d := start(t, func(c *Config) { c.Framework.Id = mesos.NewFrameworkID("f-1") })
	expect(t, "start", d.step(Start{}), "connect f-1 suppressed=[]")
	expect(t, "subscribed", d.hear(subscribedAs("f-1")), "subscribed f-1 again=false", "send RECONCILE")
}

func TestLaunchesThatCanNotReachTheMasterAreDropped(t *testing.T) {
	d := subscribedDriver(t, nil)
	d.hear(offers("o1", "o2"))
	expect(t, "rescinded", d.hear(&schedulerpb.Event{Type: schedulerpb.Event_RESCIND.Enum(), Rescind: &schedulerpb.Event_Rescind{OfferId: mesos.NewOfferID("o1")}}), "rescinded o1")
	expect(t, "on an offer that is void", d.step(launch("o1", "a")), "updated a DROPPED")
	both := launch("o2", "b")
	both.Call.Accept.OfferIds = append(both.Call.Accept.OfferIds, mesos.NewOfferID("o1"))
	expect(t, "the valid one of two offers goes back", d.step(both), "updated b DROPPED", "send DECLINE o2")
	d.step(Closed{Session: d.core.session, Reason: "disconnected"})
	expect(t, "without a master", d.step(launch("o3", "c")), "updated c DROPPED")
	if task, _ := d.core.Tasks().Get("c"); task.Status.GetReason() != mesos.TaskStatus_REASON_MASTER_DISCONNECTED {
		t.Errorf("reason %s", task.Status.GetReason())
	}
	if live := d.core.Tasks().Live(); len(live) != 0 {
		t.Errorf("live tasks %v, want none", live)
	}
}

func TestOffersAreUsedOnce(t *testing.T) {
	d := subscribedDriver(t, nil)
	expect(t, "offers", d.hear(offers("o1", "o2")), "offered 2")
	expect(t, "declined", d.step(declining("o1", "o2")), "send DECLINE o1 o2")
	expect(t, "declined again", d.step(declining("o1")))
	expect(t, "an offer that is used up is not rescinded", d.hear(&schedulerpb.Event{Type: schedulerpb.Event_RESCIND.Enum(), Rescind: &schedulerpb.Event_Rescind{OfferId: mesos.NewOfferID("o1")}}))
	d.hear(offers("o3"))
	d.step(Closed{Session: d.core.session, Reason: "disconnected"})
	d.toDeadline()
	d.hear(subscribedAs("f-1"))
	expect(t, "an offer from before the outage", d.step(declining("o3")))
}

func TestSuppressedRolesAreRememberedForTheNextSubscription(t *testing.T) {
	d := subscribedDriver(t, nil)
	suppress := func(roles ...string) Asked {
		return Asked{&schedulerpb.Call{Type: schedulerpb.Call_SUPPRESS.Enum(), Suppress: &schedulerpb.Call_Suppress{Roles: roles}}}
	}
	expect(t, "all roles", d.step(suppress()), "send SUPPRESS")
	expect(t, "one is revived", d.step(Asked{&schedulerpb.Call{Type: schedulerpb.Call_REVIVE.Enum(), Revive: &schedulerpb.Call_Revive{Roles: []string{"db"}}}}), "send REVIVE")
	d.step(Closed{Session: d.core.session, Reason: "disconnected"})
	expect(t, "subscription", d.toDeadline(), "connect f-1 suppressed=[web]")
}

func TestTeardownWaitsForTheMastersEndOfTheSession(t *testing.T) {
	mine := errors.New("enough")
	t.Run("the master closes it", func(t *testing.T) {
		d := subscribedDriver(t, nil)
		expect(t, "teardown", d.step(Stop{Teardown: true, Err: mine}), "send TEARDOWN")
		expect(t, "nothing else is of interest", d.hear(update("a", "KILLED", "1")))
		expect(t, "nor said", d.step(killing("a")))
		expect(t, "closed", d.step(Closed{Session: d.core.session, Reason: "stopped"}), "hang up", "ended")
		if !errors.Is(d.last, mine) {
			t.Errorf("error %v, want the author's", d.last)
		}
	})
	t.Run("the master is slow", func(t *testing.T) {
		d := subscribedDriver(t, nil)
		d.step(Stop{Teardown: true})
		began := d.now
		expect(t, "time is up", d.toDeadline(), "hang up", "ended")
		if wait := d.now.Sub(began); wait != TeardownTimeout {
			t.Errorf("waited %s, want %s", wait, TeardownTimeout)
		}
	})
	t.Run("there is no master", func(t *testing.T) {
		d := start(t, nil)
		d.step(Start{})
		expect(t, "teardown", d.step(Stop{Teardown: true}), "hang up", "ended")
	})
	t.Run("without teardown it ends at once", func(t *testing.T) {
		d := subscribedDriver(t, nil)
		expect(t, "stop", d.step(Stop{}), "hang up", "ended")
	})
}

func TestEndedTasksAreForgottenOldestFirst(t *testing.T) {
	d := subscribedDriver(t, nil)
	for i := range EndedTasksKept + 1 {
		d.hear(update(fmt.Sprint(i), "FINISHED", ""))
	}
	if _, known := d.core.Tasks().Get("0"); known {
		t.Error("the oldest ended task is remembered")
	}
	if _, known := d.core.Tasks().Get("1"); !known {
		t.Error("the oldest but one is forgotten")
	}
}

func TestMessagesAndFailuresArePassedOn(t *testing.T) {
	d := subscribedDriver(t, nil)
	expect(t, "message", d.hear(&schedulerpb.Event{Type: schedulerpb.Event_MESSAGE.Enum(), Message: &schedulerpb.Event_Message{
		AgentId: mesos.NewAgentID("s1"), ExecutorId: mesos.NewExecutorID("e1"), Data: []byte("hi"),
	}}), "heard s1 e1 hi")
	expect(t, "executor ended", d.hear(&schedulerpb.Event{Type: schedulerpb.Event_FAILURE.Enum(), Failure: &schedulerpb.Event_Failure{
		AgentId: mesos.NewAgentID("s1"), ExecutorId: mesos.NewExecutorID("e1"), Status: proto.Int32(9),
	}}), "failed s1 e1 9")
	expect(t, "slave gone", d.hear(&schedulerpb.Event{Type: schedulerpb.Event_FAILURE.Enum(), Failure: &schedulerpb.Event_Failure{AgentId: mesos.NewAgentID("s1")}}), "failed s1  0")
	expect(t, "heartbeat", d.hear(&schedulerpb.Event{Type: schedulerpb.Event_HEARTBEAT.Enum()}))
}
