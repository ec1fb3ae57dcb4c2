package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/flow"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const mib = 1 << 20

// ready is a slave with executors of their own that have subscribed: f1/e1 with task t1, f2/e2 with task t2.
func ready(t *testing.T) *bench {
	b := newBench(t)
	for _, line := range []string{
		"born", "recovered", "host connects", "master found", "master registers id=S1 cluster=K",
		"run f1/t1 executor=e1", "sandbox f1/e1", "host started f1/e1 pid=41", "executor subscribes f1/e1",
		"run f2/t2 executor=e2", "sandbox f2/e2", "host started f2/e2 pid=42", "executor subscribes f2/e2",
	} {
		b.command(line)
	}
	return b
}

func (b *bench) says(framework, executor string, bytes int) []Output {
	return b.steps(Received{b.sessions[framework+"/"+executor], &executorpb.Call{
		Type: executorpb.Call_MESSAGE.Enum(), FrameworkId: mesos.NewFrameworkID(framework), ExecutorId: mesos.NewExecutorID(executor),
		Message: &executorpb.Call_Message{Data: make([]byte, bytes)},
	}})
}

func (b *bench) updates(framework, executor, task string, number, bytes int) []Output {
	status := executorStatus(task, "RUNNING", fmt.Sprint("u", number))
	status.Data = make([]byte, bytes)
	return b.steps(Received{b.sessions[framework+"/"+executor], &executorpb.Call{
		Type: executorpb.Call_UPDATE.Enum(), FrameworkId: mesos.NewFrameworkID(framework), ExecutorId: mesos.NewExecutorID(executor),
		Update: &executorpb.Call_Update{Status: status},
	}})
}

// heard answers the marks among outputs, until there are no more, and returns what went to the master.
func (b *bench) heard(outputs []Output) (messages []proto.Message) {
	master := b.sessions["master"]
	for len(outputs) > 0 {
		o, ok := outputs[0].(Send)
		outputs = outputs[1:]
		if !ok || o.Session != master {
			continue
		}
		if mark, ok := o.Message.(*wire.Mark); ok {
			outputs = append(outputs, b.steps(Received{master, &wire.Marked{Number: mark.GetNumber()}})...)
			continue
		}
		messages = append(messages, o.Message)
	}
	return messages
}

func toMaster(b *bench, outputs []Output) (messages []proto.Message) {
	for _, o := range outputs {
		if s, ok := o.(Send); ok && s.Session == b.sessions["master"] {
			messages = append(messages, s.Message)
		}
	}
	return messages
}

func TestAnExecutorThatSaysMoreThanTheMasterHearsLosesItAndNobodyElseDoes(t *testing.T) {
	b := ready(t)
	var said []Output
	under, complaints := 0, 0
	for range 100 {
		outputs := b.says("f1", "e1", 4*mib)
		said = append(said, outputs...)
		for _, m := range toMaster(b, outputs) {
			under += proto.Size(m)
		}
		for _, o := range outputs {
			if n, ok := o.(Note); ok && n.Level == Warn && strings.Contains(n.Text, "dropped a message of executor e1 of framework f1, 1 of the framework's so far") {
				complaints++
			}
		}
	}
	if under > flow.Window {
		t.Errorf("%d bytes went before any was heard, more than %d", under, flow.Window)
	}
	if complaints != 1 {
		t.Errorf("the log says %d times that messages were dropped, want once", complaints)
	}
	// The other one's come in their turn, and none is lost.
	said = append(said, b.says("f2", "e2", 10)...)
	heard := b.heard(said)
	var of []string
	for _, m := range heard {
		of = append(of, m.(*wire.FrameworkMessage).GetFrameworkId().GetValue())
	}
	if at := slices.Index(of, "f2"); at < 0 || at > flow.Window/(4*mib)+1 {
		t.Errorf("the message of f2 came at place %d of %v", at, of)
	}
	if dropped := int(b.core.counters.MessagesDropped); dropped == 0 || len(heard)+dropped != 101 {
		t.Errorf("%d messages were heard and %d dropped of 101", len(heard), dropped)
	}
}

func TestUpdatesWaitForRoomAndAreNeverDropped(t *testing.T) {
	b := ready(t)
	var said []Output
	for range 3 {
		said = append(said, b.says("f1", "e1", 5*mib)...)
	}
	first := b.updates("f1", "e1", "t1", 1, 15*mib)
	if m := toMaster(b, first); len(m) > 0 && m[0].ProtoReflect().Descriptor().Name() == "TaskUpdate" {
		t.Fatal("the update went although there was no room")
	}
	// It is not repeated while it waits, and only then planned to be.
	b.now = b.now.Add(time.Hour)
	said = append(append(said, first...), b.steps(Tick{})...)
	updates := 0
	for _, m := range b.heard(said) {
		if u, ok := m.(*wire.TaskUpdate); ok {
			if updates++; len(u.GetStatus().GetData()) != 15*mib {
				t.Errorf("the update has %d bytes of data", len(u.GetStatus().GetData()))
			}
		}
	}
	if updates != 1 {
		t.Fatalf("the update went %d times, want once", updates)
	}
	b.now = b.now.Add(UpdateRetryFirst)
	if again := toMaster(b, b.steps(Tick{})); len(again) == 0 {
		t.Error("it was not repeated")
	}
}

func TestAnUpdateThatWaitedForAMasterWhichIsGoneGoesToTheNext(t *testing.T) {
	b := ready(t)
	b.says("f1", "e1", 15*mib)
	b.updates("f1", "e1", "t1", 1, 15*mib)
	b.command("master closes")
	b.command("master found")
	var found bool
	for _, m := range toMaster(b, b.steps(Received{b.sessions["master"], &wire.SlaveReregistered{SlaveId: mesos.NewAgentID("S1"), ClusterId: "K"}})) {
		u, ok := m.(*wire.TaskUpdate)
		found = found || ok && len(u.GetStatus().GetData()) == 15*mib
	}
	if !found {
		t.Error("the next master does not hear of it")
	}
}

func TestAMessageThatIsTooLongForAnyMasterIsDropped(t *testing.T) {
	b := ready(t)
	if m := b.heard(b.says("f1", "e1", MaxFrameworkMessageBytes)); len(m) > 0 || b.core.counters.MessagesDropped != 1 {
		t.Errorf("%d messages went, %d were dropped", len(m), b.core.counters.MessagesDropped)
	}
	if m := b.heard(b.says("f1", "e1", MaxFrameworkMessageBytes-1000)); len(m) != 1 {
		t.Errorf("%d messages went, want 1", len(m))
	}
}

// runs has tasks run under executors of their own with so much data, each in a sandbox.
func (b *bench) runs(framework string, from, to, bytes int) (outputs []Output) {
	for i := from; i < to; i++ {
		id := fmt.Sprint("x", i)
		m := b.runTask(framework, id, arguments{t: b.t, args: map[string]string{"executor": id}})
		m.Task.Executor.Data = make([]byte, bytes)
		outputs = append(outputs, b.steps(Received{b.sessions["master"], m})...)
		if b.core.frameworks[framework].tasks[id] != nil {
			outputs = append(outputs, b.do("sandbox", arguments{t: b.t, names: []string{framework + "/" + id}})...)
		}
	}
	return outputs
}

func TestASlaveThatKnowsMuchSaysItInParts(t *testing.T) {
	b := ready(t)
	b.runs("f3", 0, 8, 20*mib)
	b.command("master closes")
	outputs := b.steps(MasterFound{b.open("master")})
	first := toMaster(b, outputs)
	if len(first) != 2 || !first[0].(*wire.ReregisterSlave).GetMore() || first[1].(*wire.Mark).GetNumber() != introduction {
		t.Fatalf("it begins with %d messages; the first part and a mark are wanted", len(first))
	}
	frameworks, executors, tasks := 0, 0, 0
	parts := b.heard(outputs)
	for i, m := range parts {
		part := m.(*wire.ReregisterSlave)
		frameworks, executors, tasks = frameworks+len(part.GetFrameworks()), executors+len(part.GetExecutors()), tasks+len(part.GetTasks())
		if size := proto.Size(part); size > 21*mib {
			t.Errorf("part %d has %d bytes", i, size)
		}
		if last := i == len(parts)-1; part.GetMore() == last {
			t.Errorf("part %d of %d: there is more: %t", i, len(parts), part.GetMore())
		}
	}
	if frameworks != 3 || executors != 10 || tasks != 10 {
		t.Errorf("it told of %d frameworks, %d executors and %d tasks; want 3, 10 and 10", frameworks, executors, tasks)
	}
}

func TestATaskThatWouldBeTooMuchToRememberIsDropped(t *testing.T) {
	b := ready(t)
	said := b.runs("f3", 0, 20, 20*mib)
	ran := len(b.core.frameworks["f3"].tasks)
	if want := MaxKnownBytes / 2 / (20 * mib); ran != want && ran != want+1 {
		t.Errorf("%d executors of 20 MiB run, want %d: half of %d bytes", ran, want, MaxKnownBytes)
	}
	dropped := 0
	for _, m := range b.heard(said) {
		if u, ok := m.(*wire.TaskUpdate); ok && u.GetStatus().GetState() == mesos.TaskState_TASK_LOST && strings.Contains(u.GetStatus().GetMessage(), "a framework may have as much as is left of 536870912") {
			dropped++
		}
	}
	if dropped+ran != 20 {
		t.Errorf("%d ran, %d were dropped of 20", ran, dropped)
	}
	b.runs("f4", 100, 101, 60*mib)
	if b.core.frameworks["f4"] == nil {
		t.Error("nothing is left for another framework")
	}
}

// launches are the ids of the executors that were given to the host.
func launches(outputs []Output) (ids []string) {
	for _, o := range outputs {
		if l, ok := o.(Launch); ok {
			ids = append(ids, l.Message.GetExecutor().GetExecutorId().GetValue())
		}
	}
	return ids
}

func TestLargeExecutorsAreGivenToTheHostOneAfterTheOther(t *testing.T) {
	b := ready(t)
	outputs := b.runs("f3", 0, 3, 12*mib)
	outputs = append(outputs, b.runs("f4", 3, 4, 10)...)
	if got := fmt.Sprint(launches(outputs)); got != "[x0]" {
		t.Fatalf("launched at once are %s, want [x0]", got)
	}
	started := func(name string) []string {
		return launches(b.do("host", arguments{t: t, names: []string{"started", name}}))
	}
	if got := fmt.Sprint(started("f3/x0")); got != "[x1]" {
		t.Errorf("then came %s, want [x1]", got)
	}
	b.command("kill f3/x2") // It is not awaited any more.
	if got := fmt.Sprint(started("f3/x1")); got != "[x3]" {
		t.Errorf("then came %s, want [x3]", got)
	}
}

func TestACommandWithMuchDataWaitsForOthersToArrive(t *testing.T) {
	b := ready(t)
	for _, id := range []string{"c1", "c2"} {
		m := b.runTask("f3", id, arguments{t: t})
		m.Task.Data = make([]byte, 12*mib)
		b.steps(Received{b.sessions["master"], m})
		b.command("sandbox f3/" + id)
		b.command("host started f3/" + id)
	}
	if got := b.command("executor subscribes f3/c1 secret=host"); !strings.Contains(strings.Join(got, "\n"), "LAUNCH c1") {
		t.Fatalf("the first gets %v", got)
	}
	if got := b.command("executor subscribes f3/c2 secret=host"); strings.Contains(strings.Join(got, "\n"), "LAUNCH") {
		t.Fatalf("the second gets %v", got)
	}
	if got := b.command("executor updates f3/c1 c1 STARTING u1"); !strings.Contains(strings.Join(got, "\n"), "LAUNCH c2") {
		t.Errorf("with the first one's update comes %v", got)
	}
}

// What a command executor can't use does not go over the connection that it shares with all others.
func TestACommandHearsNoMessagesAndOfAKillOnlyItsGrace(t *testing.T) {
	b := ready(t)
	for _, line := range []string{"run f3/c1", "sandbox f3/c1", "host started f3/c1", "executor subscribes f3/c1 secret=host"} {
		b.command(line)
	}
	master := b.sessions["master"]
	if got := b.steps(Received{master, &wire.FrameworkMessage{
		FrameworkId: mesos.NewFrameworkID("f3"), ExecutorId: mesos.NewExecutorID("c1"), Data: make([]byte, mib),
	}}); len(got) > 0 {
		t.Errorf("a message leads to %d outputs", len(got))
	}
	policy := &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(5)}}
	policy.ProtoReflect().SetUnknown(append([]byte{0xa2, 0x06, 0x80, 0x80, 0x40}, make([]byte, mib)...)) // field 100
	for _, o := range b.steps(Received{master, &wire.KillTask{FrameworkId: mesos.NewFrameworkID("f3"), TaskId: mesos.NewTaskID("c1"), KillPolicy: policy}}) {
		if send, ok := o.(Send); ok {
			kill := send.Message.(*executorpb.Event).GetKill()
			if kill.GetKillPolicy().GetGracePeriod().GetNanoseconds() != 5 || proto.Size(kill) > 100 {
				t.Errorf("it hears a kill of %d bytes with grace %v", proto.Size(kill), kill.GetKillPolicy().GetGracePeriod())
			}
			return
		}
	}
	t.Error("it hears of no kill")
}
