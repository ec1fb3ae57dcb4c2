package core

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// A framework that goes with offers of a large cluster in its hands stops nobody: they return in short steps.
func TestTheOffersOfAFrameworkThatGoesReturnInPieces(t *testing.T) {
	const slaves = 5*maxWorkPerStep + 1
	c, now, offers := benchCluster(t, slaves)
	accepted := offers["M-S0"]
	step := func(e Event) []Output {
		before := len(c.offers)
		out := c.Step(now, e)
		if gone := before - len(c.offers); gone > maxWorkPerStep {
			t.Fatalf("%T took back %d offers, want at most %d", e, gone, maxWorkPerStep)
		}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	step(SessionClosed{Session: 1 << 30, Reason: "connection lost"})
	if left := len(c.offers); left != slaves-maxWorkPerStep {
		t.Fatalf("%d offers are open behind the first step, want %d", left, slaves-maxWorkPerStep)
	}
	if id := accepted.GetId().GetValue(); c.offers[id] != nil && c.offers[id].isHeld() {
		t.Errorf("offer %s is still held", id)
	}
	steps := 1
	for ; c.Deadline().Equal(now); steps++ {
		step(Tick{})
	}
	if left := len(c.offers); left > 0 || steps < slaves/maxWorkPerStep {
		t.Errorf("%d offers are open after %d steps", left, steps)
	}
	if total, used, offered := c.allocator.Quantities(); len(offered) > 0 || len(used) > 0 || len(total) == 0 {
		t.Errorf("of %v is used %v and offered %v", total, used, offered)
	}
	if next := c.Deadline(); !next.IsZero() && next.Before(now.Add(time.Second)) {
		t.Errorf("the core wants a tick at %v, now is %v", next, now)
	}
}

// What a framework has lost is not its own any more, also before it has been withdrawn: it subscribes again, and accepts.
func TestAnOfferThatIsLostCannotBeAccepted(t *testing.T) {
	c, now, offers := benchCluster(t, maxWorkPerStep+1)
	var last *mesos.Offer
	for _, o := range offers {
		if last == nil || c.offers[o.GetId().GetValue()].number > c.offers[last.GetId().GetValue()].number {
			last = o
		}
	}
	c.Step(now, Received{1 << 30, &schedulerpb.Call{Type: schedulerpb.Call_SUBSCRIBE.Enum(), FrameworkId: last.FrameworkId, Subscribe: &schedulerpb.Call_Subscribe{
		FrameworkInfo: &mesos.FrameworkInfo{Id: last.FrameworkId, User: proto.String("u"), Name: proto.String("f")},
	}}})
	if c.offers[last.GetId().GetValue()] == nil {
		t.Fatal("all offers were withdrawn at once")
	}
	out := c.Step(now, Received{1 << 30, &schedulerpb.Call{
		Type: schedulerpb.Call_ACCEPT.Enum(), FrameworkId: last.FrameworkId, Accept: &schedulerpb.Call_Accept{
			OfferIds: []*mesos.OfferID{last.Id},
			Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{{
				Name: proto.String("t"), TaskId: mesos.NewTaskID("t"), AgentId: last.AgentId, Command: &mesos.CommandInfo{Value: proto.String("true")},
				Resources: resource.MustParse("cpus:1;mem:64").ToProto(),
			}}}}},
		},
	}})
	if len(c.frameworks[last.GetFrameworkId().GetValue()].tasks) > 0 {
		t.Errorf("a task was launched on a lost offer")
	}
	told := 0
	for _, o := range out {
		if s, ok := o.(Send); ok {
			if e, ok := s.Message.(*schedulerpb.Event); ok && e.GetUpdate().GetStatus().GetReason() == mesos.TaskStatus_REASON_INVALID_OFFERS {
				told++
			}
		}
	}
	if told != 1 {
		t.Errorf("the framework is told %d times that the offer is not valid: %v", told, out)
	}
}
