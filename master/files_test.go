package master_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// withTasks starts a framework and slaves that each have a task of it.
func withTasks(t *testing.T, sys *actor.System, slaves int) (fid *mesos.FrameworkID, scheduler *actortest.Probe, all []*actortest.Probe) {
	t.Helper()
	scheduler = actortest.Named(t, sys, "scheduler")
	scheduler.Send(masterPID, subscribe("lender"))
	fid = event(t, scheduler, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
	for n := range slaves {
		slave := actortest.Named(t, sys, fmt.Sprint("slave", n))
		slave.Send(masterPID, registerSlave(fmt.Sprint("s", n), "cpus:1;mem:1024"))
		offer := event(t, scheduler, schedulerpb.Event_OFFERS).GetOffers().GetOffers()[0]
		scheduler.Send(sessionOf(t, scheduler), launch(offer, fmt.Sprint("t", n)))
		actortest.Await[*wire.RunTask](t, slave)
		all = append(all, slave)
	}
	return fid, scheduler, all
}

// questions are those that a scheduler was asked, in order.
func questions(p *actortest.Probe) []*wire.ReadFile {
	synctest.Wait()
	var all []*wire.ReadFile
	for _, r := range p.Received() {
		if m, ok := r.Message.(*wire.ReadFile); ok {
			all = append(all, m)
		}
	}
	return all
}

func TestAMasterHasAtMostAWindowOfAFrameworksFilesInItsHands(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, _ *master.Published) {
		fid, scheduler, slaves := withTasks(t, sys, 3)
		const each = master.FileWindow/2 + 1
		for n, slave := range slaves {
			for id := range each {
				slave.Send(sessionOf(t, slave), &wire.ReadFile{FrameworkId: fid, Sha256: "x", Id: uint64(id + 1), Offset: int64(n*1000 + id), Length: 7})
			}
		}
		asked := questions(scheduler)
		if len(asked) != master.FileWindow {
			t.Fatalf("the scheduler was asked %d times, want %d", len(asked), master.FileWindow)
		}
		// An answer alone makes no room: the slave may not have dealt with it.
		session := sessionOf(t, scheduler)
		scheduler.Send(session, &wire.FileChunk{Id: asked[0].GetId(), Data: []byte("content"), Size: 7})
		owner := slaves[asked[0].GetOffset()/1000]
		chunk := actortest.Await[*wire.FileChunk](t, owner)
		if want := uint64(asked[0].GetOffset()%1000 + 1); chunk.GetId() != want || string(chunk.GetData()) != "content" {
			t.Errorf("the slave heard %v, want question %d answered", chunk, want)
		}
		if n := len(questions(scheduler)); n != master.FileWindow {
			t.Errorf("after an answer the scheduler was asked %d times", n)
		}
		owner.Send(sessionOf(t, owner), &wire.ReadFile{Taken: chunk.GetId()})
		if n := len(questions(scheduler)); n != master.FileWindow+1 {
			t.Errorf("after the answer was taken the scheduler was asked %d times, want one more", n)
		}
		// A slave that goes makes room for the others.
		last := (asked[0].GetOffset()/1000 + 1) % 3 // not the owner, one of whose questions is dealt with
		for n, slave := range slaves {
			if int64(n) != last {
				sys.Stop(slave.PID())
			}
		}
		fromLast := 0
		for _, q := range questions(scheduler) {
			if q.GetOffset()/1000 == last {
				fromLast++
			}
		}
		if fromLast != each {
			t.Errorf("%d questions of the slave that is left were asked, want %d", fromLast, each)
		}
		// A scheduler that goes leaves none of them unanswered.
		sys.Stop(scheduler.PID())
		for range each {
			if a := actortest.Await[*wire.FileChunk](t, slaves[last]); a.GetFailure() == "" || !a.GetLater() {
				t.Fatalf("without a scheduler the answer is %v", a)
			}
		}
	})
}

func TestASlaveReadsFilesOfThoseFrameworksAloneThatHaveSomethingOnIt(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, _ *master.Published) {
		fid, scheduler, _ := withTasks(t, sys, 1)
		stranger := actortest.Named(t, sys, "stranger")
		stranger.Send(masterPID, registerSlave("stranger", "cpus:1;mem:1024"))
		actortest.Await[*wire.SlaveRegistered](t, stranger)
		for _, framework := range []*mesos.FrameworkID{fid, mesos.NewFrameworkID("none")} {
			stranger.Send(sessionOf(t, stranger), &wire.ReadFile{FrameworkId: framework, Sha256: "x", Id: 5, Length: 7})
			want := &wire.FileChunk{Id: 5, Failure: fmt.Sprintf("framework %q has no task on slave M-S1", framework.GetValue())}
			if a := actortest.Await[*wire.FileChunk](t, stranger); !proto.Equal(a, want) {
				t.Errorf("got %v, want %v", a, want)
			}
		}
		if n := len(questions(scheduler)); n != 0 {
			t.Errorf("the scheduler was asked %d times", n)
		}
	})
}
