package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// benchCluster is a core with slaves and one framework, whose offers it returns by slave.
func benchCluster(b testing.TB, slaves int) (c *Core, now time.Time, offers map[string]*mesos.Offer) {
	c, now, offers = New(), time.Unix(1e9, 0), map[string]*mesos.Offer{}
	var step func(Event)
	step = func(e Event) {
		for _, o := range c.Step(now, e) {
			switch o := o.(type) {
			case Persist:
				step(Persisted{ID: o.ID})
			case Send:
				collectOffers(o, offers)
			}
		}
	}
	step(Born{Incarnation: "M", Master: &mesos.MasterInfo{}})
	step(Seed{1})
	step(Recovered{registry.State{}, false})
	total := resource.MustParse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]").ToProto()
	for i := range slaves {
		session := Session(i + 1)
		step(Opened{session, "10.0.0.1:5051"})
		step(Received{session, &wire.RegisterSlave{Slave: &mesos.AgentInfo{Hostname: proto.String(fmt.Sprintf("s%d", i)), Resources: total}}})
	}
	step(Opened{Session: 1 << 30})
	step(Received{1 << 30, &schedulerpb.Call{Type: schedulerpb.Call_SUBSCRIBE.Enum(), Subscribe: &schedulerpb.Call_Subscribe{
		FrameworkInfo: subscription(nil, "*").Subscribe.FrameworkInfo,
	}}})
	for c.Deadline().Equal(now) {
		step(Tick{})
	}
	if len(offers) != slaves {
		b.Fatalf("%d offers, want %d", len(offers), slaves)
	}
	return c, now, offers
}

func collectOffers(o Send, offers map[string]*mesos.Offer) {
	if e, ok := o.Message.(*schedulerpb.Event); ok {
		for _, offer := range e.GetOffers().GetOffers() {
			offers[offer.GetAgentId().GetValue()] = offer
		}
	}
}

func decline(o *mesos.Offer) *schedulerpb.Call {
	return &schedulerpb.Call{Type: schedulerpb.Call_DECLINE.Enum(), FrameworkId: o.GetFrameworkId(), Decline: &schedulerpb.Call_Decline{
		OfferIds: []*mesos.OfferID{o.GetId()}, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)},
	}}
}

// BenchmarkPlacement measures the whole life of a task in the core: accepted, launched, finished, acknowledged, and its
// resources offered again.
func BenchmarkPlacement(b *testing.B) {
	for _, slaves := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("slaves=%d", slaves), func(b *testing.B) {
			c, now, offers := benchCluster(b, slaves)
			fid := mesos.NewFrameworkID("M-0000")
			resources := resource.MustParse("cpus:1;mem:64").ToProto()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				number := i % slaves
				slave := fmt.Sprintf("M-S%d", number)
				id := mesos.NewTaskID(fmt.Sprintf("t%d", i))
				step := func(session Session, m proto.Message) {
					for _, o := range c.Step(now, Received{session, m}) {
						if s, ok := o.(Send); ok {
							collectOffers(s, offers)
						}
					}
				}
				step(1<<30, &schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), FrameworkId: fid, Accept: &schedulerpb.Call_Accept{
					OfferIds: []*mesos.OfferID{offers[slave].GetId()},
					Filters:  &mesos.Filters{RefuseSeconds: proto.Float64(0)},
					Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{
						TaskInfos: []*mesos.TaskInfo{{
							Name: id.Value, TaskId: id, AgentId: offers[slave].GetAgentId(),
							Command: &mesos.CommandInfo{Value: proto.String("true")}, Resources: resources,
						}},
					}}},
				}})
				status := &mesos.TaskStatus{TaskId: id, State: mesos.TaskState_TASK_FINISHED.Enum(), AgentId: mesos.NewAgentID(slave), Uuid: uuid("u")}
				step(Session(number+1), &wire.TaskUpdate{FrameworkId: fid, Status: status})
				step(1<<30, &schedulerpb.Call{Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), FrameworkId: fid, Acknowledge: &schedulerpb.Call_Acknowledge{
					AgentId: mesos.NewAgentID(slave), TaskId: id, Uuid: status.Uuid,
				}})
				for c.Deadline().Equal(now) {
					for _, o := range c.Step(now, Tick{}) {
						if s, ok := o.(Send); ok {
							collectOffers(s, offers)
						}
					}
				}
			}
			if c.counters.Launches != uint64(b.N) {
				b.Fatalf("%d tasks were launched, want %d", c.counters.Launches, b.N)
			}
		})
	}
}

// BenchmarkLoopStall measures the longest step of a cycle in which a framework declines everything and all is offered
// again: how long the master does not answer anybody. What else the machine does is in it.
func BenchmarkLoopStall(b *testing.B) {
	for _, slaves := range []int{1000, 50000} {
		b.Run(fmt.Sprintf("slaves=%d", slaves), func(b *testing.B) {
			c, now, offers := benchCluster(b, slaves)
			var stalls []time.Duration // the longest step of each cycle
			longest := time.Duration(0)
			step := func(e Event) {
				begin := time.Now()
				outputs := c.Step(now, e)
				longest = max(longest, time.Since(begin))
				for _, o := range outputs {
					if s, ok := o.(Send); ok {
						collectOffers(s, offers)
					}
				}
			}
			for b.Loop() {
				longest = 0
				for _, offer := range offers {
					step(Received{1 << 30, decline(offer)})
				}
				now = now.Add(2 * time.Second)
				for clear(offers); len(offers) < slaves; {
					step(Tick{})
				}
				stalls = append(stalls, longest)
			}
			slices.Sort(stalls)
			b.ReportMetric(float64(stalls[len(stalls)/2].Microseconds())/1000, "ms-longest-step-median")
			b.ReportMetric(float64(stalls[0].Microseconds())/1000, "ms-longest-step-best")
		})
	}
}
