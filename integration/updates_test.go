package integration_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// bareScheduler is a scheduler without the SDK: it does only what the test says.
type bareScheduler struct {
	*actortest.Probe
	t       *testing.T
	session actor.PID
	id      *mesos.FrameworkID
}

func bareSubscribe(t *testing.T, c *integration.Cluster, info *mesos.FrameworkInfo) *bareScheduler {
	t.Helper()
	system := actor.NewSystem(actor.SystemOptions{Role: wire.RoleFramework})
	node, err := remote.Start(remote.Options{System: system, Network: c.Network(info.GetName())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), integration.Patience)
		defer cancel()
		if err := system.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := node.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	s := &bareScheduler{Probe: actortest.Named(t, system, "scheduler"), t: t}
	s.Send(actor.At(c.Master(), "master"), &schedulerpb.Call{
		Type: schedulerpb.Call_SUBSCRIBE.Enum(), FrameworkId: info.GetId(), Subscribe: &schedulerpb.Call_Subscribe{FrameworkInfo: info},
	})
	first := s.Next(t)
	event, ok := first.Message.(*schedulerpb.Event)
	if !ok || event.GetType() != schedulerpb.Event_SUBSCRIBED {
		t.Fatalf("the master said %v, want SUBSCRIBED", first.Message)
	}
	s.session, s.id = first.From, event.GetSubscribed().GetFrameworkId()
	return s
}

// next waits for the next event of a type.
func (s *bareScheduler) next(kind schedulerpb.Event_Type) *schedulerpb.Event {
	s.t.Helper()
	for range 100 {
		if e := actortest.Await[*schedulerpb.Event](s.t, s.Probe); e.GetType() == kind {
			return e
		}
	}
	s.t.Fatalf("no %v among 100 events", kind)
	return nil
}

func (s *bareScheduler) call(call *schedulerpb.Call) {
	call.FrameworkId = s.id
	s.Send(s.session, call)
}

// runOnFirstOffer launches a command on the first offer that comes, and wants no more.
func (s *bareScheduler) runOnFirstOffer(id string, args ...string) {
	s.t.Helper()
	offers := s.next(schedulerpb.Event_OFFERS).GetOffers().GetOffers()
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_SUPPRESS.Enum()})
	offer := offers[0]
	for _, other := range offers[1:] {
		s.call(&schedulerpb.Call{Type: schedulerpb.Call_DECLINE.Enum(), Decline: &schedulerpb.Call_Decline{OfferIds: []*mesos.OfferID{other.GetId()}}})
	}
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), Accept: &schedulerpb.Call_Accept{
		OfferIds: []*mesos.OfferID{offer.GetId()},
		Operations: []*mesos.Offer_Operation{{
			Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{{
				Name: proto.String(id), TaskId: mesos.NewTaskID(id), AgentId: offer.GetAgentId(),
				Command:   &mesos.CommandInfo{Shell: proto.Bool(false), Value: proto.String(args[0]), Arguments: args},
				Resources: resource.MustParse("cpus:1;mem:64").ToProto(),
			}}},
		}},
	}})
}

func (s *bareScheduler) acknowledge(status *mesos.TaskStatus) {
	s.call(&schedulerpb.Call{Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), Acknowledge: &schedulerpb.Call_Acknowledge{
		AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid(),
	}})
}

func (s *bareScheduler) update(state mesos.TaskState) *mesos.TaskStatus {
	s.t.Helper()
	status := s.next(schedulerpb.Event_UPDATE).GetUpdate().GetStatus()
	if status.GetState() != state {
		s.t.Fatalf("the update is %v, want %v", status, state)
	}
	return status
}

func info(name string) *mesos.FrameworkInfo {
	return &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String(name)}
}

func TestAnUpdateIsRepeatedUntilItIsAcknowledgedAndTheNextWaitsForIt(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		s := bareSubscribe(t, c, info("slow"))
		s.runOnFirstOffer("t", "sleep", "1s")
		first := s.update(mesos.TaskState_TASK_STARTING)
		began := time.Now()
		// Mesos's retry: 10 s, and then twice as long each time.
		for _, pause := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
			time.Sleep(pause - time.Second) // of fake time: a probe does not wait so long
			again := s.update(mesos.TaskState_TASK_STARTING)
			if !proto.Equal(first, again) {
				t.Errorf("it was repeated as %v, and first was %v", again, first)
			}
		}
		if waited := time.Since(began).Round(time.Second); waited != 70*time.Second {
			t.Errorf("three repetitions came within %v, want 70s", waited)
		}
		// The task has ended long ago, and its resources are back: the master was told its latest state with each update.
		s.call(&schedulerpb.Call{Type: schedulerpb.Call_REVIVE.Enum()})
		offers := s.next(schedulerpb.Event_OFFERS).GetOffers().GetOffers()
		if got, _ := resource.FromProto(offers[0].GetResources()); got.Get("cpus") != 4*resource.Unit {
			t.Errorf("offered are %v, want all 4 cpus", got)
		}
		s.acknowledge(first)
		second := s.update(mesos.TaskState_TASK_RUNNING)
		s.acknowledge(second)
		third := s.update(mesos.TaskState_TASK_FINISHED)
		s.acknowledge(third)
		c.Await("the master has forgotten the task", func() bool { return len(c.Ask(masterpb.Call_GET_TASKS).GetGetTasks().GetTasks()) == 0 })
		time.Sleep(30 * time.Minute) // of fake time: nothing is repeated any more
		synctest.Wait()
		if n := countUpdates(s, third); n != 1 {
			t.Errorf("the last update came %d times, want 1", n)
		}
	})
}

func countUpdates(s *bareScheduler, status *mesos.TaskStatus) int {
	n := 0
	for _, r := range s.Received() {
		if e, ok := r.Message.(*schedulerpb.Event); ok && proto.Equal(e.GetUpdate().GetStatus(), status) {
			n++
		}
	}
	return n
}

func TestAcknowledgementsThatAreRepeatedWrongOrOldChangeNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		s := bareSubscribe(t, c, info("muddled"))
		s.runOnFirstOffer("t", "sleep", "1s")
		first := s.update(mesos.TaskState_TASK_STARTING)
		wrong := proto.CloneOf(first)
		wrong.Uuid = []byte("0123456789abcdef")
		s.acknowledge(wrong)
		s.acknowledge(first)
		s.acknowledge(first)
		second := s.update(mesos.TaskState_TASK_RUNNING)
		s.acknowledge(first) // old
		time.Sleep(5 * time.Second)
		if again := s.update(mesos.TaskState_TASK_RUNNING); !proto.Equal(second, again) {
			t.Errorf("got %v, want the second update again", again)
		}
		s.acknowledge(second)
		s.acknowledge(s.update(mesos.TaskState_TASK_FINISHED))
	})
}

func TestAnUpdateOutlivesTheMasterThatCarriedIt(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		about := info("job")
		about.FailoverTimeout, about.Checkpoint = proto.Float64(3600), proto.Bool(true)
		s := bareSubscribe(t, c, about)
		s.runOnFirstOffer("t", "sleep", "1s")
		first := s.update(mesos.TaskState_TASK_STARTING)
		c.Restart("master")
		c.AwaitSlaves(1)
		about.Id, about.Name = s.id, proto.String("job2")
		s = bareSubscribe(t, c, about)
		if again := s.update(mesos.TaskState_TASK_STARTING); !proto.Equal(first, again) {
			t.Errorf("after the master's death the update is %v, and was %v", again, first)
		}
		s.acknowledge(first)
		s.acknowledge(s.update(mesos.TaskState_TASK_RUNNING))
		s.acknowledge(s.update(mesos.TaskState_TASK_FINISHED))
		c.Await("the task is over", func() bool { return len(c.Ask(masterpb.Call_GET_TASKS).GetGetTasks().GetTasks()) == 0 })
	})
}

// The master knows the latest state of a task before its scheduler has got that far. If the slave is lost then, the
// scheduler is told an end all the same.
func TestASlaveDiesBeforeItsTasksEndWasTold(t *testing.T) {
	for name, checkpoint := range map[string]bool{"checkpointing": true, "not checkpointing": false} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
				about := info("slow")
				about.Checkpoint = proto.Bool(checkpoint)
				s := bareSubscribe(t, c, about)
				s.runOnFirstOffer("t", "sleep", "1s")
				s.update(mesos.TaskState_TASK_STARTING)
				time.Sleep(5 * time.Second) // of fake time
				s.update(mesos.TaskState_TASK_STARTING)
				c.Kill("slave1")
				time.Sleep(2 * time.Minute) // of fake time: until the slave is given up
				synctest.Wait()
				ends := 0
				for _, r := range s.Received() {
					if e, ok := r.Message.(*schedulerpb.Event); ok && e.GetType() == schedulerpb.Event_UPDATE {
						if state := e.GetUpdate().GetStatus().GetState(); mesos.IsTerminal(state) || state == mesos.TaskState_TASK_LOST {
							ends++
						}
					}
				}
				if ends != 1 {
					t.Errorf("%d ends of the task were told, want 1", ends)
				}
			})
		})
	}
}

func TestAFrameworkThatNeverReadsHarmsNobody(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		deaf := subscribe(t, c, "deaf")
		deaf.hoardOffers()
		deaf.launchOn("slave1", task("t", "forever"))
		deaf.awaitState(mesos.TaskState_TASK_RUNNING, "t")
		c.Pause("deaf")
		other := subscribe(t, c, "other")
		other.launchOn("slave2", task("o", "sleep", "10s"))
		other.awaitState(mesos.TaskState_TASK_FINISHED, "o")
		c.Await("the deaf framework has gone with its task", func() bool {
			return c.Running() == 0 && len(c.Ask(masterpb.Call_GET_FRAMEWORKS).GetGetFrameworks().GetFrameworks()) == 1
		})
		// What it sat on is for others.
		other.launchOn("slave1", task("o1", "sleep", "1s"))
		other.awaitState(mesos.TaskState_TASK_FINISHED, "o1")
	}, integration.Slaves(2))
}

func TestASchedulerThatIsStuckKeepsItsTasksAndHarmsNobody(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		s := bareSubscribe(t, c, info("busy"))
		s.runOnFirstOffer("t", "forever")
		s.acknowledge(s.update(mesos.TaskState_TASK_STARTING))
		s.acknowledge(s.update(mesos.TaskState_TASK_RUNNING))
		stuck := make(chan struct{})
		defer close(stuck)
		go s.Do(func(actor.Context) { <-stuck })
		time.Sleep(10 * time.Minute) // of fake time: heartbeats and offers pile up in its mailbox
		other := subscribe(t, c, "other")
		other.launch(task("o", "sleep", "1s"))
		other.awaitState(mesos.TaskState_TASK_FINISHED, "o")
		if n := c.Running(); n != 1 {
			t.Errorf("%d commands run, want 1: who answers heartbeats lives", n)
		}
	}, integration.Slaves(2))
}
