package master_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/master/recording"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

func TestMain(m *testing.M) {
	if order := os.Getenv(peersVariable); order != "" {
		if err := bePeers(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var masterPID = actor.At("", master.Name)

// inCluster runs f in fake time, beside a master on a node of its own, which is shut down in the end. What has happened to
// it is recorded, and must lead to the same outputs when it happens to a fresh core.
func inCluster(t *testing.T, f func(t *testing.T, sys *actor.System, published *master.Published)) {
	t.Helper()
	inClusterOf(t, master.Config{}, f)
}

func inClusterOf(t *testing.T, config master.Config, f func(t *testing.T, sys *actor.System, published *master.Published)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := zerolog.Nop()
		if testing.Verbose() {
			log = zerolog.New(zerolog.NewTestWriter(t))
		}
		sys := actor.NewSystem(actor.SystemOptions{Node: "test", Role: wire.RoleMaster, Log: log})
		published, record := &master.Published{}, &bytes.Buffer{}
		config.Incarnation, config.Published, config.Record = "M", published, record
		sys.Spawn(master.Name, master.New(config), actor.MailboxLimit(master.MailboxLimit))
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := sys.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			replay(t, record)
		})
		f(t, sys, published)
	})
}

func replay(t *testing.T, record *bytes.Buffer) {
	t.Helper()
	r, err := recording.NewReader(record)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := recording.Replay(r, func(int, recording.Step) {}, func(int, recording.Step, []core.Output) {})
	if err != nil || steps < 3 {
		t.Errorf("replayed %d steps: %v", steps, err)
	}
}

func registerSlave(name, resources string) *wire.RegisterSlave {
	return &wire.RegisterSlave{
		Slave: &mesos.AgentInfo{
			Hostname: proto.String(name), Port: proto.Int32(5051), Resources: resource.MustParse(resources).ToProto(),
		},
		Version: wire.Version,
	}
}

func subscribe(name string) *schedulerpb.Call {
	return &schedulerpb.Call{Type: schedulerpb.Call_SUBSCRIBE.Enum(), Subscribe: &schedulerpb.Call_Subscribe{
		FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String(name)},
	}}
}

// event waits for the next event of this type.
func event(t *testing.T, p *actortest.Probe, kind schedulerpb.Event_Type) *schedulerpb.Event {
	t.Helper()
	for {
		if e := actortest.Await[*schedulerpb.Event](t, p); e.GetType() == kind {
			return e
		}
	}
}

// sessionOf is who sent the first message to a probe.
func sessionOf(t *testing.T, p *actortest.Probe) actor.PID {
	t.Helper()
	got := p.Received()
	if len(got) == 0 {
		t.Fatal("the probe has heard nothing")
	}
	return got[0].From
}

func launch(offer *mesos.Offer, id string) *schedulerpb.Call {
	return &schedulerpb.Call{
		Type: schedulerpb.Call_ACCEPT.Enum(), FrameworkId: offer.GetFrameworkId(),
		Accept: &schedulerpb.Call_Accept{
			OfferIds: []*mesos.OfferID{offer.GetId()},
			Operations: []*mesos.Offer_Operation{{
				Type: mesos.Offer_Operation_LAUNCH.Enum(),
				Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{{
					Name: proto.String(id), TaskId: mesos.NewTaskID(id), AgentId: offer.GetAgentId(),
					Command: &mesos.CommandInfo{Value: proto.String("true")}, Resources: resource.MustParse("cpus:1;mem:64").ToProto(),
				}}},
			}},
		},
	}
}

func TestAJobGoesThroughSessions(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, published *master.Published) {
		slave, scheduler := actortest.Named(t, sys, "slave"), actortest.Named(t, sys, "scheduler")
		slave.Send(masterPID, registerSlave("s1", "cpus:4;mem:1024"))
		if id := actortest.Await[*wire.SlaveRegistered](t, slave).GetSlaveId().GetValue(); id != "M-S0" {
			t.Errorf("slave id is %s, want M-S0", id)
		}
		scheduler.Send(masterPID, subscribe("hello"))
		fid := event(t, scheduler, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
		offer := event(t, scheduler, schedulerpb.Event_OFFERS).GetOffers().GetOffers()[0]
		session := sessionOf(t, scheduler)
		if session.Name == master.Name {
			t.Errorf("the scheduler hears from the master itself, want a session of its own")
		}
		scheduler.Send(session, launch(offer, "t1"))
		run := actortest.Await[*wire.RunTask](t, slave)
		status := &mesos.TaskStatus{
			TaskId: run.GetTask().GetTaskId(), State: mesos.TaskState_TASK_FINISHED.Enum(), AgentId: offer.GetAgentId(), Uuid: []byte("0123456789abcdef"),
		}
		slave.Send(sessionOf(t, slave), &wire.TaskUpdate{FrameworkId: fid, Status: status})
		if got := event(t, scheduler, schedulerpb.Event_UPDATE).GetUpdate().GetStatus(); !proto.Equal(got, status) {
			t.Errorf("update is %v, want %v", got, status)
		}
		scheduler.Send(session, &schedulerpb.Call{
			Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), FrameworkId: fid,
			Acknowledge: &schedulerpb.Call_Acknowledge{AgentId: offer.GetAgentId(), TaskId: status.TaskId, Uuid: status.Uuid},
		})
		actortest.Await[*wire.AcknowledgeUpdate](t, slave)

		synctest.Wait()
		time.Sleep(time.Second) // Of fake time: the numbers are published.
		synctest.Wait()
		s, ok := published.Snapshot()
		if !ok || s.SlavesConnected != 1 || s.FrameworksConnected != 1 || s.Launches != 1 || s.TasksCompleted != 1 {
			t.Errorf("published %+v", s)
		}
	})
}

func TestAPeerThatGoesEndsItsSession(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, _ *master.Published) {
		slave, scheduler := actortest.Named(t, sys, "slave"), actortest.Named(t, sys, "scheduler")
		slave.Send(masterPID, registerSlave("s1", "cpus:4;mem:1024"))
		scheduler.Send(masterPID, subscribe("hello"))
		offer := event(t, scheduler, schedulerpb.Event_OFFERS).GetOffers().GetOffers()[0]
		scheduler.Send(sessionOf(t, scheduler), launch(offer, "t1"))
		actortest.Await[*wire.RunTask](t, slave)
		sys.Stop(slave.PID())
		status := event(t, scheduler, schedulerpb.Event_UPDATE).GetUpdate().GetStatus()
		if status.GetState() != mesos.TaskState_TASK_LOST || status.GetReason() != mesos.TaskStatus_REASON_AGENT_DISCONNECTED {
			t.Errorf("update is %v, want LOST because the slave disconnected", status)
		}
		begin := time.Now()
		time.Sleep(core.DefaultSlaveTimeout - time.Second) // Of fake time: probes do not wait so long.
		event(t, scheduler, schedulerpb.Event_FAILURE)
		if waited := time.Since(begin); waited != core.DefaultSlaveTimeout {
			t.Errorf("the slave failed after %v, want %v", waited, core.DefaultSlaveTimeout)
		}
	})
}

func TestACoreThatClosesASessionEndsItsActor(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, _ *master.Published) {
		scheduler := actortest.NewProbe(t, sys)
		scheduler.Send(masterPID, subscribe("hello"))
		fid := event(t, scheduler, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
		session := sessionOf(t, scheduler)
		scheduler.Link(session)
		scheduler.Send(session, &schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum(), FrameworkId: fid})
		exited := actortest.Await[actor.Exited](t, scheduler)
		if !exited.PID.Is(session) || exited.Reason != actor.Stopped {
			t.Errorf("got %+v, want the session stopped", exited)
		}
		// The same peer may begin anew.
		scheduler.Send(masterPID, subscribe("hello again"))
		if id := event(t, scheduler, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId().GetValue(); id != "M-0001" {
			t.Errorf("the second framework is %s, want M-0001", id)
		}
	})
}

func TestOperatorsAreAnswered(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, _ *master.Published) {
		slave, operator, scheduler := actortest.Named(t, sys, "slave"), actortest.Named(t, sys, "operator"), actortest.Named(t, sys, "scheduler")
		slave.Send(masterPID, registerSlave("s1", "cpus:4;mem:1024"))
		actortest.Await[*wire.SlaveRegistered](t, slave)
		call := &masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()}
		operator.Ask(masterPID, call, time.Second)
		answer := actortest.Await[actor.Answer](t, operator)
		if response, ok := answer.Message.(*masterpb.Response); !ok || len(response.GetGetAgents().GetAgents()) != 1 {
			t.Errorf("answer is %v, %v; want one slave", answer.Message, answer.Err)
		}
		operator.Ask(masterPID, &masterpb.Call{Type: masterpb.Call_LIST_FILES.Enum()}, time.Second)
		if refused, ok := actortest.Await[actor.Answer](t, operator).Message.(*wire.Refused); !ok || refused.GetReason() != "call LIST_FILES is not supported by this master" {
			t.Errorf("answer is %v, want a refusal that names the call", refused)
		}
		// A scheduler may ask over its session.
		scheduler.Send(masterPID, subscribe("hello"))
		event(t, scheduler, schedulerpb.Event_SUBSCRIBED)
		scheduler.Ask(sessionOf(t, scheduler), call, time.Second)
		if _, ok := actortest.Await[actor.Answer](t, scheduler).Message.(*masterpb.Response); !ok {
			t.Error("a scheduler that asks over its session got no response")
		}
	})
}

func TestAPeerThatFloodsEndsItsOwnSessionOnly(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, _ *master.Published) {
		flooder, other := actortest.Named(t, sys, "flooder"), actortest.Named(t, sys, "other")
		flooder.Send(masterPID, subscribe("flooder"))
		other.Send(masterPID, subscribe("other"))
		fid := event(t, flooder, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
		event(t, other, schedulerpb.Event_SUBSCRIBED)
		session := sessionOf(t, flooder)
		flooder.Link(session)
		call := &schedulerpb.Call{Type: schedulerpb.Call_REQUEST.Enum(), FrameworkId: fid}
		flooder.Do(func(ctx actor.Context) {
			for range 2 * master.SessionBacklog {
				ctx.Send(session, call)
			}
		})
		if exited := actortest.Await[actor.Exited](t, flooder); !exited.PID.Is(session) {
			t.Errorf("got %+v, want the flooder's session to end", exited)
		}
		synctest.Wait()
		if got := event(t, other, schedulerpb.Event_HEARTBEAT); got == nil {
			t.Error("the other scheduler hears no heartbeat")
		}
	})
}

func TestManySessionsComeAndGo(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, _ *master.Published) {
		for i := range 50 {
			p := actortest.Named(t, sys, fmt.Sprintf("scheduler%d", i))
			p.Send(masterPID, subscribe("hello"))
			event(t, p, schedulerpb.Event_SUBSCRIBED)
			sys.Stop(p.PID())
			<-sys.Done(p.PID())
		}
		synctest.Wait()
		if actors := sys.Stats().Actors; actors != 2 {
			t.Errorf("%d actors live, want the master and its reader alone", actors)
		}
	})
}
