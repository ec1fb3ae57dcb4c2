package master_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// Frameworks that behave badly, and what becomes of them and of their neighbours.

func TestAFrameworkThatHoardsOffersLosesThemToItsNeighbour(t *testing.T) {
	inClusterOf(t, master.Config{Core: core.Config{OfferTimeout: 5 * time.Second}}, func(t *testing.T, sys *actor.System, _ *master.Published) {
		slave, hoarder, neighbour := actortest.Named(t, sys, "slave"), actortest.Named(t, sys, "hoarder"), actortest.Named(t, sys, "neighbour")
		slave.Send(masterPID, registerSlave("s1", "cpus:4;mem:1024"))
		hoarder.Send(masterPID, subscribe("hoarder"))
		offer := event(t, hoarder, schedulerpb.Event_OFFERS).GetOffers().GetOffers()[0]
		begin := time.Now()
		neighbour.Send(masterPID, subscribe("neighbour"))
		if got := event(t, hoarder, schedulerpb.Event_RESCIND).GetRescind().GetOfferId(); !proto.Equal(got, offer.GetId()) {
			t.Errorf("offer %v was taken back, want %v", got, offer.GetId())
		}
		event(t, neighbour, schedulerpb.Event_OFFERS)
		if waited := time.Since(begin); waited > 7*time.Second {
			t.Errorf("the neighbour waited %v for an offer that times out after 5 s", waited)
		}
	})
}

func TestAFrameworkThatDeclinesEverythingAtOnceDoesNotGetAllOffers(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, _ *master.Published) {
		slave, decliner, neighbour := actortest.Named(t, sys, "slave"), actortest.Named(t, sys, "decliner"), actortest.Named(t, sys, "neighbour")
		declined := 0
		decliner.React(func(ctx actor.Context) {
			e, _ := ctx.Message().(*schedulerpb.Event)
			for _, o := range e.GetOffers().GetOffers() {
				declined++
				ctx.Reply(&schedulerpb.Call{Type: schedulerpb.Call_DECLINE.Enum(), FrameworkId: o.GetFrameworkId(), Decline: &schedulerpb.Call_Decline{
					OfferIds: []*mesos.OfferID{o.GetId()}, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)},
				}})
			}
		})
		slave.Send(masterPID, registerSlave("s1", "cpus:4;mem:1024"))
		decliner.Send(masterPID, subscribe("decliner"))
		event(t, decliner, schedulerpb.Event_OFFERS)
		neighbour.Send(masterPID, subscribe("neighbour"))
		event(t, neighbour, schedulerpb.Event_OFFERS)
		time.Sleep(time.Minute) // Of fake time, in which the neighbour keeps its offer.
		synctest.Wait()
		if declined == 0 || declined > 3 {
			t.Errorf("the decliner was offered something %d times, want it once or twice before the neighbour came", declined)
		}
	})
}

func TestASchedulerThatCallsTooOftenIsHeardAsOftenAsItMay(t *testing.T) {
	inClusterOf(t, master.Config{CallsPerSecond: 1000}, func(t *testing.T, sys *actor.System, published *master.Published) {
		flooder := actortest.Named(t, sys, "flooder")
		flooder.Send(masterPID, subscribe("flooder"))
		fid := event(t, flooder, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
		session := sessionOf(t, flooder)
		call := &schedulerpb.Call{Type: schedulerpb.Call_REQUEST.Enum(), FrameworkId: fid}
		flooder.Do(func(ctx actor.Context) {
			for range 11_000 {
				ctx.Send(session, call)
			}
		})
		// A second's worth at once, then the others as time passes.
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s, _ := published.Snapshot()
		if s.Calls < 5900 || s.Calls > 6200 || published.Delayed() == 0 {
			t.Errorf("%d calls were heard after 5 s, %d delays; want about 6,000", s.Calls, published.Delayed())
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if s, _ := published.Snapshot(); s.Calls != 11_001 || s.FrameworksConnected != 1 {
			t.Errorf("%d calls were heard in the end of %d frameworks, want all 11,001 of one", s.Calls, s.FrameworksConnected)
		}
	})
}

func TestAFloodEndsWithAnErrorThatNamesTheLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("a load that the race detector makes too slow")
	}
	inClusterOf(t, master.Config{CallsPerSecond: 100}, func(t *testing.T, sys *actor.System, _ *master.Published) {
		flooder := actortest.Named(t, sys, "flooder")
		flooder.Send(masterPID, subscribe("flooder"))
		fid := event(t, flooder, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
		session := sessionOf(t, flooder)
		const part = 10_000 // fits the session's mailbox
		for range master.SessionBacklog/part + 1 {
			flooder.Do(func(ctx actor.Context) {
				for range part {
					ctx.Send(session, &schedulerpb.Call{Type: schedulerpb.Call_REQUEST.Enum(), FrameworkId: fid})
				}
			})
			synctest.Wait()
		}
		if got := event(t, flooder, schedulerpb.Event_ERROR).GetError().GetMessage(); !strings.Contains(got, "more often than the 100 times per second") {
			t.Errorf("error is %q, want it to name the limit", got)
		}
	})
}

func TestASchedulerThatSubscribesTwiceHasOneSubscription(t *testing.T) {
	inCluster(t, func(t *testing.T, sys *actor.System, published *master.Published) {
		slave, first, second := actortest.Named(t, sys, "slave"), actortest.Named(t, sys, "first"), actortest.Named(t, sys, "second")
		slave.Send(masterPID, registerSlave("s1", "cpus:4;mem:1024"))
		first.Send(masterPID, subscribe("twice"))
		fid := event(t, first, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
		event(t, first, schedulerpb.Event_OFFERS)
		again := subscribe("twice")
		again.FrameworkId, again.Subscribe.FrameworkInfo.Id = fid, fid
		first.Send(sessionOf(t, first), again)
		if got := event(t, first, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId(); !proto.Equal(got, fid) {
			t.Errorf("it is framework %v on its session now, want %v", got, fid)
		}
		event(t, first, schedulerpb.Event_OFFERS)
		second.Send(masterPID, again)
		if got := event(t, first, schedulerpb.Event_ERROR).GetError().GetMessage(); got != "Framework failed over" {
			t.Errorf("the first session hears %q", got)
		}
		event(t, second, schedulerpb.Event_OFFERS)
		synctest.Wait()
		time.Sleep(time.Second)
		if s, _ := published.Snapshot(); s.FrameworksConnected != 1 || s.OffersOpen != 1 {
			t.Errorf("%d frameworks are connected with %d offers, want one with one", s.FrameworksConnected, s.OffersOpen)
		}
	})
}

func TestASchedulerThatSubscribesAgainAndAgainIsHeardNowAndThen(t *testing.T) {
	inClusterOf(t, master.Config{CallsPerSecond: 10_000}, func(t *testing.T, sys *actor.System, published *master.Published) {
		restless := actortest.Named(t, sys, "restless")
		restless.Send(masterPID, subscribe("restless"))
		fid := event(t, restless, schedulerpb.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
		session := sessionOf(t, restless)
		again := subscribe("restless")
		again.FrameworkId, again.Subscribe.FrameworkInfo.Id = fid, fid
		restless.Do(func(ctx actor.Context) {
			for range 100 {
				ctx.Send(session, again)
			}
		})
		// A burst's worth at once, then 10 a second.
		time.Sleep(3500 * time.Millisecond)
		synctest.Wait()
		if s, _ := published.Snapshot(); s.Calls < 35 || s.Calls > 38 {
			t.Errorf("%d calls were heard after 3.5 s, want about 36", s.Calls)
		}
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if s, _ := published.Snapshot(); s.Calls != 101 || s.FrameworksConnected != 1 {
			t.Errorf("%d calls were heard in the end of %d frameworks, want all 101 of one", s.Calls, s.FrameworksConnected)
		}
	})
}

// BenchmarkOffender measures how long a framework waits for what another task leaves to be offered, alone and beside one
// that behaves badly. 100 slaves; a task ends every millisecond, and one operation is probesPerRound of them. Who says
// much is a process of its own. x-floor is beside it against alone.
func BenchmarkOffender(b *testing.B) {
	alone := map[string]float64{}
	for _, x := range []struct {
		name   string
		offend func(b *testing.B, c *bench) *peers
	}{
		{"none", func(*testing.B, *bench) *peers { return nil }},
		{"hoards", func(_ *testing.B, c *bench) *peers {
			c.addScheduler("hoarder", func(actor.Context, *benchScheduler, []*mesos.Offer) {})
			return nil
		}},
		{"declines", func(b *testing.B, c *bench) *peers { return startPeers(b, beDecliner, c.address, 1) }},
		{"floods", func(b *testing.B, c *bench) *peers { return startPeers(b, beFlooder, c.address, 100) }},
		{"subscribes", func(b *testing.B, c *bench) *peers { return startPeers(b, beResubscriber, c.address, 1) }},
	} {
		b.Run(x.name+"/slaves=100/frameworks=2", func(b *testing.B) {
			c := newBench(b, master.Config{Core: core.Config{OfferTimeout: time.Second}})
			c.addSlaves(100)
			c.halfUse(100)
			p := c.addProbe()
			offender := x.offend(b, c)
			before, _ := c.published.Snapshot()
			var waits []time.Duration
			for b.Loop() {
				waits = append(waits, p.sample(probesPerRound, probeInterval)...)
			}
			slices.Sort(waits)
			s, _ := c.published.Snapshot()
			if offender != nil {
				said, _ := offender.end()
				b.ReportMetric(float64(said)/b.Elapsed().Seconds(), "said/s")
			}
			for name, at := range map[string]int{"median": len(waits) / 2, "p99": len(waits) * 99 / 100} {
				wait := float64(waits[at]) / 1e3
				b.ReportMetric(wait, name+"-µs")
				if x.name == "none" {
					alone[name] = wait
				} else if alone[name] > 0 { // Else only this one was asked for.
					b.ReportMetric(wait/alone[name], name+"-x-floor")
				}
			}
			b.ReportMetric(float64(s.Calls-before.Calls)/b.Elapsed().Seconds(), "calls/s")
			b.ReportMetric(float64(c.published.Delayed()), "delays")
		})
	}
}

func request(s *benchScheduler) *schedulerpb.Call {
	return &schedulerpb.Call{Type: schedulerpb.Call_REQUEST.Enum()}
}

func resubscribe(s *benchScheduler) *schedulerpb.Call {
	call := subscribe(s.name)
	call.Subscribe.FrameworkInfo.Id = s.id
	return call
}

// addRepeater subscribes a framework that says the same so many times every millisecond, as long as its process lives, and
// counts what it has said. When the master has had enough of it, it comes again.
func (b *bench) addRepeater(name string, times int, call func(*benchScheduler) *schedulerpb.Call, said *atomic.Int64) {
	s := b.addScheduler(name, func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer) { s.decline(ctx, 1e6, offers...) })
	go func() {
		for begin, due := time.Now(), 0; ; time.Sleep(time.Millisecond) {
			more := times*int(time.Since(begin)/time.Millisecond) - due
			due += more
			s.node.Send(s.pid, func(ctx actor.Context) {
				for range more {
					s.say(ctx, call(s))
				}
				said.Add(int64(more))
			})
		}
	}()
}
