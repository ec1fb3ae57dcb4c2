package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// maxAside is how much a step says beside those that it deals with.
const maxAside = 3

// What is done in many steps ends as it does in one: all hear the same, and the same is left.
func TestManyStepsEndAsOneDoes(t *testing.T) {
	const slaves, few = 40, 3
	for _, situation := range situations(slaves) {
		t.Run(situation.name, func(t *testing.T) {
			happen := func(perStep int) *large {
				s := newLarge(t, slaves)
				situation.prepare(s)
				s.c.workPerStep = perStep
				s.measure, s.said = true, map[Session][]string{}
				situation.happen(s)
				s.settle()
				s.now = s.now.Add(2 * time.Second) // In the next cycle all is offered that was not yet free at its turn.
				s.settle()
				if err := s.c.Check(); err != nil {
					t.Fatal(err)
				}
				return s
			}
			one, many := happen(1<<30), happen(few)
			if len(one.c.chores)+len(many.c.chores) > 0 {
				t.Errorf("%d and %d chores are left", len(one.c.chores), len(many.c.chores))
			}
			if many.most > few+maxAside && !situation.whole {
				t.Errorf("a step said %d things, want at most %d", many.most, few+maxAside)
			}
			if one, many := one.left(), many.left(); one != many {
				t.Errorf("one step leaves\n%s\nmany leave\n%s", one, many)
			}
			for session, said := range one.said {
				if got := many.said[session]; !slices.Equal(sorted(got), sorted(said)) {
					t.Errorf("session %d is told by many steps\n%s\nby one\n%s", session, strings.Join(got, "\n"), strings.Join(said, "\n"))
				}
			}
			if len(one.said) != len(many.said) {
				t.Errorf("%d and %d sessions were told something", len(one.said), len(many.said))
			}
		})
	}
}

// left is what there is in the end, for people. Who is offered which slave may differ, how much is offered may not.
func (s *large) left() string {
	var b strings.Builder
	v := s.c.View()
	tasks := v.getTasks()
	for what, list := range map[string][]*mesos.Task{"task": tasks.GetTasks(), "unreachable": tasks.GetUnreachableTasks(), "completed": tasks.GetCompletedTasks()} {
		for _, t := range list {
			fmt.Fprintf(&b, "%s %s of %s %v %v\n", what, t.GetTaskId().GetValue(), t.GetFrameworkId().GetValue(), t.GetState(), statusText(t))
		}
	}
	frameworks := v.getFrameworks()
	for _, f := range slices.Concat(frameworks.GetFrameworks(), frameworks.GetCompletedFrameworks()) {
		fmt.Fprintf(&b, "framework %s %v %v, offered %v\n", f.GetFrameworkInfo().GetId().GetValue(), f.GetConnected(), f.GetUnregisteredTime(), text(f.GetOfferedResources()))
	}
	for _, a := range v.getAgents().GetAgents() {
		fmt.Fprintf(&b, "slave %s active %v uses %s\n", a.GetAgentInfo().GetId().GetValue(), a.GetActive(), text(a.GetAllocatedResources()))
	}
	for _, m := range v.getMaintenance().GetStatus().GetDrainingMachines() {
		fmt.Fprintf(&b, "%s is drained, %d answers\n", machineText(m.GetId()), len(m.GetStatuses()))
	}
	for _, m := range v.getMaintenance().GetStatus().GetDownMachines() {
		fmt.Fprintf(&b, "%s is down\n", machineText(m))
	}
	return strings.Join(sorted(strings.Split(b.String(), "\n")), "\n")
}

func statusText(t *mesos.Task) string {
	var states []string
	for _, s := range t.GetStatuses() {
		states = append(states, s.GetState().String())
	}
	return strings.Join(states, " ")
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// What a quota has taken away cannot be accepted, also before it is the offer's turn to be taken back.
func TestAnOfferBeyondANewLimitCannotBeAccepted(t *testing.T) {
	s := newLarge(t, 10)
	s.c.workPerStep = 1
	info := subscription(s.fid, "eng").Subscribe.FrameworkInfo
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_UPDATE_FRAMEWORK.Enum(), UpdateFramework: &schedulerpb.Call_UpdateFramework{FrameworkInfo: info}})
	s.settle()
	s.ask(&masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &masterpb.Call_UpdateQuota{
		QuotaConfigs: []*quotapb.QuotaConfig{{Role: proto.String("eng"), Limits: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(0.001)}}}},
	}})
	if left := len(s.c.offers); left < 8 {
		t.Fatalf("%d offers are open behind the first step: they were taken back all at once", left)
	}
	s.launchAnyway(9)
	if used := s.c.allocator.Consumption("eng"); used.Get("cpus") > 10*24_000 || s.c.counters.Launches > 0 {
		t.Errorf("a task was launched; %v is used", used)
	}
	s.settle()
	if used := s.c.allocator.Consumption("eng").Get("cpus"); used > 1 {
		t.Errorf("%d thousandths of cpus count against a limit of 1", used)
	}
}

// The same is so for a role that the framework has left.
func TestAnOfferOfARoleThatWasLeftCannotBeAccepted(t *testing.T) {
	s := newLarge(t, 10)
	s.c.workPerStep = 1
	info := subscription(s.fid, "eng").Subscribe.FrameworkInfo
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_UPDATE_FRAMEWORK.Enum(), UpdateFramework: &schedulerpb.Call_UpdateFramework{FrameworkInfo: info}})
	if left := len(s.c.offers); left < 8 {
		t.Fatalf("%d offers are open behind the first step: they were taken back all at once", left)
	}
	s.launchAnyway(9)
	if s.c.counters.Launches > 0 {
		t.Error("a task was launched")
	}
	s.settle()
	if err := s.c.Check(); err != nil {
		t.Error(err)
	}
}

// launchAnyway accepts an offer of a slave that may have been taken back.
func (s *large) launchAnyway(i int) {
	slave := fmt.Sprintf("M-S%d", i)
	id := mesos.NewTaskID("late")
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), Accept: &schedulerpb.Call_Accept{
		OfferIds: []*mesos.OfferID{s.offers[slave].GetId()},
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{{
			Name: id.Value, TaskId: id, AgentId: mesos.NewAgentID(slave), Command: &mesos.CommandInfo{Value: proto.String("true")}, Resources: tiny,
		}}}}},
	}})
}

// A slave that goes while the tasks of a framework that has ended are still being ended finds them ended, not lost.
func TestASlaveThatGoesMeanwhileFindsTheTasksEnded(t *testing.T) {
	s := newLarge(t, 10)
	s.launch()
	s.c.workPerStep = 1
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
	last := s.c.slaves["M-S9"]
	if len(last.tasks) != 1 {
		t.Fatal("all tasks were ended at once")
	}
	s.step(SessionClosed{Session: 10, Reason: "connection lost"})
	if len(last.tasks) > 0 {
		t.Error("the slave has tasks of a framework that has ended")
	}
	s.settle()
	for _, task := range s.c.View().getTasks().GetCompletedTasks() {
		if task.GetState() != mesos.TaskState_TASK_KILLED {
			t.Errorf("task %s is %v", task.GetTaskId().GetValue(), task.GetState())
		}
	}
	if n := len(s.c.View().getTasks().GetCompletedTasks()); n != 10 {
		t.Errorf("%d tasks have ended", n)
	}
}

// The id of a framework that has ended is not given again, however many have ended since: its tasks would be the other's.
func TestAFrameworkCannotComeBackWhileItIsBeingEnded(t *testing.T) {
	s := newLarge(t, 10)
	s.launch()
	s.c.workPerStep, s.c.history.maxFrameworks = 0, 0
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
	s.c.incarnation = "N" // As if a master before this one had given it.
	s.step(Opened{Session: benchSession + 1})
	s.step(Received{benchSession + 1, subscription(s.fid, "*")})
	if s.c.frameworks[s.fid.GetValue()] != nil {
		t.Error("it is back before it has been ended")
	}
	s.c.workPerStep = maxWorkPerStep
	s.settle()
	if n := s.c.history.tasks.Len(); n != 0 {
		t.Errorf("%d tasks of a framework that is forgotten are remembered", n)
	}
}

// Who asks for everything again and again is answered twice at most: what is under way, and once behind the last question.
func TestImplicitReconciliationsAreAnsweredTogether(t *testing.T) {
	s := newLarge(t, 10)
	s.launch()
	s.c.workPerStep = 3
	s.measure, s.said = true, map[Session][]string{}
	for range 100 {
		s.call(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: &schedulerpb.Call_Reconcile{}})
	}
	s.settle()
	if n := len(s.said[benchSession]); n != 20 {
		t.Errorf("%d answers for 10 tasks, want 20", n)
	}
}

// What was asked in one session is not answered in the next one.
func TestAReconciliationEndsWithItsSession(t *testing.T) {
	s := newLarge(t, 10)
	s.launch()
	s.c.workPerStep = 3
	s.measure, s.said = true, map[Session][]string{}
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: &schedulerpb.Call_Reconcile{}})
	s.step(Opened{Session: benchSession + 1})
	s.step(Received{benchSession + 1, subscription(s.fid, "*")})
	s.settle()
	for session, want := range map[Session]int{benchSession: 3, benchSession + 1: 0} {
		n := 0
		for _, line := range s.said[session] {
			if strings.Contains(line, "RECONCILIATION") {
				n++
			}
		}
		if n != want {
			t.Errorf("%d answers in session %d, want %d: %q", n, session, want, s.said[session])
		}
	}
}
