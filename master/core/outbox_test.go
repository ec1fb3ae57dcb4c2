package core

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/flow"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

const mib = 1 << 20

// crowded is a slave and two frameworks, of which the first has a task there and an offer of the rest.
func crowded(t *testing.T) (s *script, slave, loud, calm *scriptPeer) {
	s = newScript(t)
	for _, line := range []string{
		"register s1 cpus:8;mem:4096", "subscribe f1", "accept f1 O0 refuse=0s launch t1 cpus:1;mem:64", "tick 2s", "subscribe f2",
	} {
		s.line = line
		s.run(strings.Fields(line))
	}
	return s, s.peer("s1"), s.peer("f1"), s.peer("f2")
}

func (s *script) does(p *scriptPeer, m proto.Message) []Output {
	outputs := s.core.Step(s.now, Received{p.session, m})
	if err := s.core.Check(); err != nil {
		s.fatal("%v", err)
	}
	return outputs
}

func (s *script) messages(f *scriptPeer, bytes int) []Output {
	call := s.callOf(f, schedulerpb.Call_MESSAGE)
	call.Message = &schedulerpb.Call_Message{AgentId: mesos.NewAgentID("M-S0"), ExecutorId: mesos.NewExecutorID("e"), Data: make([]byte, bytes)}
	return s.does(f, call)
}

// heard answers the marks among outputs, until there are no more, and returns what went to the slave.
func (s *script) heard(slave *scriptPeer, outputs []Output) (messages []proto.Message) {
	for len(outputs) > 0 {
		o, ok := outputs[0].(Send)
		outputs = outputs[1:]
		if !ok || o.Session != slave.session {
			continue
		}
		if mark, ok := o.Message.(*wire.Mark); ok {
			outputs = append(outputs, s.does(slave, &wire.Marked{Number: mark.GetNumber()})...)
			continue
		}
		messages = append(messages, o.Message)
	}
	return messages
}

func TestASchedulerThatSaysMoreThanASlaveHearsLosesItAndNobodyElseDoes(t *testing.T) {
	s, slave, loud, calm := crowded(t)
	var said []Output
	warnings := 0
	for range 100 {
		outputs := s.messages(loud, 4*mib)
		said = append(said, outputs...)
		for _, o := range outputs {
			if n, ok := o.(Note); ok && strings.Contains(n.Text, "framework M-0000: a FrameworkMessage to slave M-S0 was dropped, 1 of the framework's so far") {
				warnings++
			}
		}
	}
	if warnings != 1 {
		t.Errorf("the log says %d times that messages were dropped, want once", warnings)
	}
	said = append(said, s.messages(calm, 10)...)
	heard := s.heard(slave, said)
	at := -1
	for i, m := range heard {
		if m.(*wire.FrameworkMessage).GetFrameworkId().GetValue() == "M-0001" {
			at = i
		}
	}
	if at < 0 || at > flow.Window/(4*mib)+1 {
		t.Errorf("the message of the other framework came at place %d of %d", at, len(heard))
	}
	if dropped := int(s.core.counters.MessagesDropped); dropped == 0 || len(heard)+dropped != 101 {
		t.Errorf("%d messages were heard and %d dropped of 101", len(heard), dropped)
	}
}

func TestATaskForWhichThereIsNoRoomOnTheWayIsDropped(t *testing.T) {
	s, slave, loud, _ := crowded(t)
	var said []Output
	for range 40 {
		said = append(said, s.messages(loud, 4*mib)...)
	}
	call := s.callOf(loud, schedulerpb.Call_ACCEPT)
	call.Accept = &schedulerpb.Call_Accept{Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)}}
	for _, o := range sortedOffers(s.core.offers) {
		if o.framework.id == "M-0000" {
			call.Accept.OfferIds = append(call.Accept.OfferIds, o.message.Id)
		}
	}
	if len(call.Accept.OfferIds) == 0 {
		t.Fatal("the framework has no offer")
	}
	task := &mesos.TaskInfo{
		Name: proto.String("t"), TaskId: mesos.NewTaskID("t"), AgentId: mesos.NewAgentID("M-S0"), Data: make([]byte, mib),
		Command: &mesos.CommandInfo{Value: proto.String("true")}, Resources: resource.MustParse("cpus:1;mem:64").ToProto(),
	}
	call.Accept.Operations = []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}}
	outputs := s.does(loud, call)
	var told *mesos.TaskStatus
	for _, o := range outputs {
		if send, ok := o.(Send); ok && send.Session == loud.session {
			if e := send.Message.(*schedulerpb.Event); e.GetType() == schedulerpb.Event_UPDATE {
				told = e.GetUpdate().GetStatus()
			}
		}
	}
	if told.GetState() != mesos.TaskState_TASK_LOST || told.GetReason() != mesos.TaskStatus_REASON_INVALID_OFFERS || // it is not partition aware
		!strings.Contains(told.GetMessage(), fmt.Sprintf("a framework may have as much waiting as is left of %d bytes", flow.MaxWaitingBytes)) {
		t.Errorf("its scheduler is told %v", told)
	}
	if s.core.counters.LaunchesDropped != 1 || s.core.frameworks["M-0000"].tasks["t"] != nil {
		t.Errorf("%d launches are counted as dropped; the task is known: %t", s.core.counters.LaunchesDropped, s.core.frameworks["M-0000"].tasks["t"] != nil)
	}
	// A kill gets through behind all that: it is small.
	kill := s.callOf(loud, schedulerpb.Call_KILL)
	kill.Kill = &schedulerpb.Call_Kill{TaskId: mesos.NewTaskID("t1")}
	heard := s.heard(slave, append(said, s.does(loud, kill)...))
	if last, ok := heard[len(heard)-1].(*wire.KillTask); !ok || last.GetTaskId().GetValue() != "t1" {
		t.Errorf("the last that the slave hears is %T", heard[len(heard)-1])
	}
}

func TestASlaveComesBackInParts(t *testing.T) {
	s, slave, _, _ := crowded(t)
	info, secret := s.core.slaves["M-S0"].info, s.core.slaves["M-S0"].secret
	s.step(SessionClosed{slave.session, "gone"})
	slave.session = 0
	s.open(slave)
	part := func(more bool, tasks ...string) *wire.ReregisterSlave {
		m := &wire.ReregisterSlave{Slave: info, Version: "1", ClusterId: "M", Secret: secret, More: more}
		for _, id := range tasks {
			m.Frameworks = append(m.Frameworks, &mesos.FrameworkInfo{Id: mesos.NewFrameworkID("M-0000"), Name: proto.String("f1"), User: proto.String("ann")})
			m.Tasks = append(m.Tasks, &mesos.Task{
				Name: &id, TaskId: mesos.NewTaskID(id), FrameworkId: mesos.NewFrameworkID("M-0000"), AgentId: info.Id,
				State: mesos.TaskState_TASK_RUNNING.Enum(), Resources: resource.MustParse("cpus:1;mem:64").Allocate("*").ToProto(),
			})
		}
		return m
	}
	for _, m := range []proto.Message{part(true, "a"), &wire.Mark{}, part(true, "b")} {
		for _, o := range s.does(slave, m) {
			if send, ok := o.(Send); ok && send.Session == slave.session {
				if _, ok := send.Message.(*wire.Marked); !ok {
					t.Errorf("before all is said it hears %v", send.Message)
				}
			}
		}
		if s.core.slaves["M-S0"].connected() {
			t.Fatal("it is back before all is said")
		}
	}
	s.step(Received{slave.session, part(false, "c")})
	if sl := s.core.slaves["M-S0"]; !sl.connected() || len(sl.tasks) != 3 {
		t.Errorf("it is back: %t, with %d tasks; want 3", sl.connected(), len(sl.tasks))
	}
}

func TestASlaveThatBringsTooMuchIsToldSo(t *testing.T) {
	s, slave, _, _ := crowded(t)
	info, secret := s.core.slaves["M-S0"].info, s.core.slaves["M-S0"].secret
	s.step(SessionClosed{slave.session, "gone"})
	slave.session = 0
	s.open(slave)
	m := &wire.ReregisterSlave{Slave: info, Secret: secret, More: true, Tasks: []*mesos.Task{{Name: proto.String(strings.Repeat("x", 60*mib))}}}
	for range MaxRegistrationBytes/(60*mib) + 1 {
		for _, o := range s.does(slave, m) {
			if send, ok := o.(Send); ok {
				if r, ok := send.Message.(*wire.Refused); ok {
					if !strings.Contains(r.GetReason(), fmt.Sprintf("at most %d are allowed", MaxRegistrationBytes)) {
						t.Errorf("it is told %q", r.GetReason())
					}
					return
				}
			}
		}
	}
	t.Error("it was not refused")
}

// A slave says its resources in one message when it comes back, so labels must not make them as long as they like.
func TestLabelsOfReservationsAreBounded(t *testing.T) {
	s := newScript(t)
	for _, line := range []string{"register s1 cpus:8;mem:4096", "subscribe f1 roles=web can=multi,refined"} {
		s.line = line
		s.run(strings.Fields(line))
	}
	f := s.peer("f1")
	reserve := func(labels int) string {
		s.line = "tick 10s"
		s.run(strings.Fields(s.line))
		call := s.callOf(f, schedulerpb.Call_ACCEPT)
		call.Accept = &schedulerpb.Call_Accept{Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)}}
		for _, o := range sortedOffers(s.core.offers) {
			call.Accept.OfferIds = append(call.Accept.OfferIds, o.message.Id)
		}
		cpu := resource.MustParse("cpus:1").ToProto()
		cpu[0].Reservations = []*mesos.Resource_ReservationInfo{{
			Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: proto.String("web"), Labels: mesos.MakeLabels("l", strings.Repeat("x", labels)),
		}}
		call.Accept.Operations = []*mesos.Offer_Operation{{
			Type: mesos.Offer_Operation_RESERVE.Enum(), Id: &mesos.OperationID{Value: proto.String(fmt.Sprint("o", labels))}, Reserve: &mesos.Offer_Operation_Reserve{Resources: cpu},
		}}
		failure := ""
		for _, o := range s.does(f, call) {
			if send, ok := o.(Send); ok && send.Session == f.session {
				failure += send.Message.(*schedulerpb.Event).GetUpdateOperationStatus().GetStatus().GetMessage()
			}
		}
		return failure
	}
	if why := reserve(MaxResourcesBytes - 1000); why != "" {
		t.Errorf("what fits is refused: %s", why)
	}
	if why := reserve(1000); !strings.Contains(why, fmt.Sprintf("at most %d are allowed", MaxResourcesBytes)) {
		t.Errorf("what does not fit is answered by %q", why)
	}
}
