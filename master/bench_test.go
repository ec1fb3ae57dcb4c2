package master_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// daemonGCPercent is how a master's daemon collects garbage (masterGCPercent in cmd/stoa/daemon.go).
const daemonGCPercent = 300

// BenchmarkPlacement measures placements per second: an ACCEPT is received, RunTask comes to the slave, its RUNNING is
// acknowledged; then the task ends and what it had is offered again. 1,000 slaves that are half used, one framework, one
// task per ACCEPT. With -benchtime=1000000x it shows that memory stays what it is: MB-live-… is what is alive after a tenth,
// half and all of the placements, heap-growth the last against the first.
func BenchmarkPlacement(b *testing.B) {
	const slaves = 1000
	b.Run(fmt.Sprintf("slaves=%d/frameworks=1", slaves), func(b *testing.B) {
		c := newBench(b, master.Config{})
		c.setUp(slaves)
		var want atomic.Int64
		b.ReportAllocs()
		b.ResetTimer()
		want.Store(int64(b.N))
		c.addScheduler("busy", func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer) {
			for _, o := range offers {
				if int64(s.launched) < want.Load() && hasRoom(o) {
					s.launch(ctx, o, "task", one)
				} else {
					s.decline(ctx, 1e6, o)
				}
			}
		})
		live := map[int]float64{} // MB, by percent
		for _, percent := range []int{10, 50, 100} {
			c.awaitPlaced(int64(b.N) * int64(percent) / 100)
			runtime.GC()
			live[percent] = float64(liveHeap()) / (1 << 20)
			b.ReportMetric(live[percent], fmt.Sprintf("MB-live-%d%%", percent))
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "placements/s")
		b.ReportMetric(live[100]/live[10], "heap-growth")
	})
}

// awaitPlaced waits until so many tasks have been placed, as long as there are more and more of them.
func (b *bench) awaitPlaced(n int64) {
	last, since := int64(-1), time.Now()
	for {
		placed := b.placed.Load()
		switch {
		case placed >= n:
			return
		case placed > last:
			last, since = placed, time.Now()
		case time.Since(since) > awaitTimeout:
			n, _ := b.published.Snapshot()
			b.t.Fatalf("%d tasks were placed, and none within %v; the master: %+v", placed, awaitTimeout, n)
		}
		time.Sleep(time.Millisecond)
	}
}

// BenchmarkLoopStall measures for how long the master's loop does not answer at worst, with 50,000 slaves, all of which are
// offered to a framework that declines them at once, again and again. One operation is one question to the loop, each
// half a millisecond after the last answer. The framework is a process of its own: what it does is not the master's. The last
// figure tells of other work on the machine: how long the master's threads together waited for a processor that others had.
func BenchmarkLoopStall(b *testing.B) {
	const slaves = 50_000
	c := newBench(b, master.Config{})
	c.setUp(slaves)
	decliner := startPeers(b, beDecliner, c.address, 1)
	defer decliner.end()
	b.Run(fmt.Sprintf("slaves=%d", slaves), func(b *testing.B) { // The cluster is set up once, whatever b.N.
		before, _ := c.published.Snapshot()
		waited := processorWait()
		b.ResetTimer()
		waits := c.ask(b.N)
		b.StopTimer()
		b.ReportMetric(100*float64(processorWait()-waited)/float64(b.Elapsed()), "%-queued")
		after, _ := c.published.Snapshot()
		if after.Declines == before.Declines {
			b.Log("too short: nothing has been offered meanwhile")
		}
		b.ReportMetric(float64(after.Declines-before.Declines)/b.Elapsed().Seconds(), "declines/s")
		b.ReportMetric(float64(waits[len(waits)-1])/1e6, "longest-ms")
		b.ReportMetric(float64(waits[len(waits)*999/1000])/1e6, "p99.9-ms")
		b.ReportMetric(float64(waits[len(waits)/2])/1e6, "median-ms")
	})
}

// ask asks the loop n times something that it answers itself, and returns how long it took, sorted.
func (b *bench) ask(n int) []time.Duration {
	waits := make([]time.Duration, 0, n)
	done := make(chan struct{})
	var asked time.Time
	b.master.Spawn("asker", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case actor.Started, actor.Wake:
				asked = time.Now()
				ctx.Ask(actor.At("", master.Name), &masterpb.Call{Type: masterpb.Call_LIST_FILES.Enum()}, time.Minute)
			case actor.Answer:
				waits = append(waits, time.Since(asked))
				if m.Err != nil {
					b.t.Error(m.Err)
				}
				if len(waits) == n {
					ctx.Stop(ctx.Self())
					close(done)
				} else {
					ctx.WakeAt(time.Now().Add(500 * time.Microsecond))
				}
			}
		})
	})
	<-done
	slices.Sort(waits)
	return waits
}

// BenchmarkReaders measures how long it takes from the end of a task to the offer of what it had, without readers and with
// 8 that each take everything 10 times a second. 10,000 slaves, half used; a task ends every millisecond. One operation is
// probesPerRound tasks without and as many with readers. The readers are a process of their own that takes what comes and
// throws it away: what it costs to make sense of it is not the master's. x-floor is with
// readers against without.
func BenchmarkReaders(b *testing.B) {
	const slaves, readers = 10_000, 8
	c := newBench(b, master.Config{})
	c.setUp(slaves)
	p := c.addProbe()
	b.Run(fmt.Sprintf("slaves=%d/readers=%d", slaves, readers), func(b *testing.B) { // The cluster is set up once, whatever b.N.
		var alone, read []time.Duration
		var answers, bytes int64
		var took time.Duration
		for b.Loop() {
			alone = append(alone, p.sample(probesPerRound, probeInterval)...)
			r := startPeers(b, beReaders, c.address, readers)
			begin := time.Now()
			read = append(read, p.sample(probesPerRound, probeInterval)...)
			took += time.Since(begin)
			a, n := r.end()
			answers, bytes = answers+a, bytes+n
		}
		slices.Sort(alone)
		slices.Sort(read)
		for name, at := range map[string]int{"median": len(read) / 2, "p99": len(read) * 99 / 100} {
			b.ReportMetric(float64(alone[at])/1e3, name+"-alone-µs")
			b.ReportMetric(float64(read[at])/1e3, name+"-read-µs")
			b.ReportMetric(float64(read[at])/float64(alone[at]), name+"-x-floor")
		}
		b.ReportMetric(float64(answers)/took.Seconds(), "answers/s")
		b.ReportMetric(float64(bytes)/float64(answers)/1e6, "MB/answer")
	})
}

// A probe's tasks in one round of BenchmarkReaders, and how often one begins at most.
const (
	probesPerRound = 4000
	probeInterval  = time.Millisecond
)

// offerProbe is a framework that has one slave's rest to itself: it runs a task on all of it, and waits until that is
// offered again.
type offerProbe struct {
	bench     *bench
	scheduler *benchScheduler
	last      *mesos.Offer
	wanted    int
	interval  time.Duration // between the beginnings of tasks, at least
	begun     time.Time     // the last of them
	waits     []time.Duration
	done      chan struct{}
}

// probeName is the hostname of the probe's slave.
const probeName = "probe"

// addProbe makes one, and waits until it has declined all other slaves.
func (b *bench) addProbe() *offerProbe {
	p := &offerProbe{bench: b}
	slaves := b.registered.Load()
	b.peers.Spawn("slave", func() actor.Actor { return &benchSlave{bench: b, name: probeName} })
	b.await("the slave has registered", func() bool { return b.registered.Load() == slaves+1 })
	var ready atomic.Bool
	p.scheduler = b.addScheduler("probe", func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer) {
		now := time.Now().UnixNano()
		for _, o := range offers {
			if o.GetHostname() != probeName {
				s.decline(ctx, 1e6, o)
				continue
			}
			p.last = o
			ready.Store(true)
			if p.wanted > 0 {
				p.waits = append(p.waits, time.Duration(now-b.freed.Load()))
				p.next(ctx)
			}
		}
	})
	b.await("one offer is open", func() bool { n, _ := b.published.Snapshot(); return ready.Load() && n.OffersOpen == 1 })
	return p
}

func (p *offerProbe) next(ctx actor.Context) {
	if len(p.waits) == p.wanted {
		p.wanted = 0
		close(p.done)
		return
	}
	if wait := time.Until(p.begun.Add(p.interval)); wait > 0 {
		ctx.After(wait, p.next)
		return
	}
	p.begun = time.Now()
	p.scheduler.launch(ctx, p.last, "probe", p.last.GetResources())
}

// sample returns n waits, of tasks that begin not more often than that.
func (p *offerProbe) sample(n int, interval time.Duration) []time.Duration {
	p.done = make(chan struct{})
	p.scheduler.node.Send(p.scheduler.pid, func(ctx actor.Context) {
		p.wanted, p.interval, p.waits = n, interval, nil
		p.next(ctx)
	})
	<-p.done
	return p.waits
}

// processorWait is for how long the threads of this process have been ready to run without a processor; 0 where the system
// does not say.
func processorWait() time.Duration {
	var sum time.Duration
	files, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		var ran, waited time.Duration
		_, _ = fmt.Sscan(string(text), &ran, &waited)
		sum += waited
	}
	return sum
}

// hasRoom reports whether a task fits an offer.
func hasRoom(o *mesos.Offer) bool {
	for _, r := range o.GetResources() {
		if r.GetName() == "cpus" {
			return r.GetScalar().GetValue() >= 1
		}
	}
	return false
}

// liveHeap is how many bytes were in use at the last collection of garbage.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
