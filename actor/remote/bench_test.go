package remote

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote/sample"
)

const (
	// benchmarkWindow is how many messages are under way at once, of all senders together.
	benchmarkWindow = 24_000
	// benchmarkRounds is in how many parts a run and its floor alternate, so that both see the same machine.
	benchmarkRounds = 10
)

// BenchmarkRemoteOneWay sends from actors of one process to as many of another over loopback, and counts there. Its floor is one
// connection of bare TCP.
func BenchmarkRemoteOneWay(b *testing.B) {
	for _, pairs := range []int{1, benchmarkPairs} {
		b.Run(fmt.Sprintf("senders=%d", pairs), func(b *testing.B) { benchmarkOneWay(b, pairs, nil) })
	}
}

// BenchmarkRemoteOneWayTLS is the same over TLS, beside the same floor, which is in the clear.
func BenchmarkRemoteOneWayTLS(b *testing.B) { benchmarkOneWay(b, 1, benchmarkCertificate(b)) }

func benchmarkOneWay(b *testing.B, pairs int, certificate []byte) {
	peer, n := startBenchmark(b, certificate)
	messages := sample.Updates(differentMessages)
	arrived := make(chan int64, pairs)
	senders := make([]actor.PID, pairs)
	for i := range senders {
		f := &torrent{target: actor.At(peer.node, fmt.Sprintf("counter%d", i)), messages: messages, credit: benchmarkWindow / pairs, arrived: arrived}
		senders[i] = n.Spawn("torrent", func() actor.Actor { return f })
	}
	var floor, ours time.Duration
	run := func(part int) {
		b.StopTimer()
		took, err := peer.floor.OneWay(messages, part)
		if err != nil {
			b.Fatal(err)
		}
		floor += took
		runtime.GC()
		b.StartTimer()
		start := time.Now()
		for i, pid := range senders {
			n.Send(pid, part*(i+1)/pairs-part*i/pairs)
		}
		got := 0
		for range senders {
			got += int(<-arrived)
		}
		ours += time.Since(start)
		if got != part {
			b.Errorf("%d messages arrived, expected %d", got, part)
		}
	}
	run(acknowledged) // connects
	floor, ours = 0, 0
	b.SetBytes(int64(proto.Size(messages[0])))
	b.ReportAllocs()
	b.ResetTimer()
	for round := range benchmarkRounds {
		if part := b.N*(round+1)/benchmarkRounds - b.N*round/benchmarkRounds; part > 0 {
			run(part)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(floor)/float64(ours), "x-floor")
	b.ReportMetric(float64(b.N)/floor.Seconds()/1e6, "floor-M/s")
	b.ReportMetric(float64(b.N)/ours.Seconds()/1e6, "M/s")
	n.shutDown(b)
}

// torrent sends as many messages as it is told, as fast as its window allows, and then asks how many have arrived.
type torrent struct {
	target   actor.PID
	messages []*sample.Update
	left     int
	credit   int
	asked    bool
	arrived  chan<- int64
}

func (f *torrent) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case int:
		f.left, f.asked = m, false
	case *wrapperspb.BoolValue:
		f.credit += acknowledged
	case *wrapperspb.Int64Value:
		f.credit += int(m.Value) % acknowledged // of which no acknowledgement came
		f.arrived <- m.Value
		return
	case actor.Started:
		f.asked = true
	default:
		return
	}
	for ; f.left > 0 && f.credit > 0; f.left-- {
		f.credit--
		ctx.Send(f.target, f.messages[f.left%len(f.messages)])
	}
	if f.left == 0 && !f.asked {
		f.asked = true
		ctx.Send(f.target, wrapperspb.String("how many?"))
	}
}

// BenchmarkRemoteRoundTrip sends from an actor of one process to one of another and back, one message at a time.
func BenchmarkRemoteRoundTrip(b *testing.B) { benchmarkRoundTrip(b, nil) }

// BenchmarkRemoteRoundTripTLS is the same over TLS, beside the same floor, which is in the clear.
func BenchmarkRemoteRoundTripTLS(b *testing.B) { benchmarkRoundTrip(b, benchmarkCertificate(b)) }

func benchmarkRoundTrip(b *testing.B, certificate []byte) {
	peer, n := startBenchmark(b, certificate)
	messages := sample.Updates(differentMessages)
	done := make(chan struct{})
	p := &pinger{target: actor.At(peer.node, "echo"), messages: messages, done: done}
	pid := n.Spawn("pinger", func() actor.Actor { return p })
	var floor []time.Duration
	run := func(part int) {
		b.StopTimer()
		var err error
		if floor, err = peer.floor.RoundTrips(messages, part, floor); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		n.Send(pid, part)
		<-done
	}
	run(100) // connects
	floor, p.times = nil, nil
	b.ReportAllocs()
	b.ResetTimer()
	rounds := 10 * benchmarkRounds
	for round := range rounds {
		if part := b.N*(round+1)/rounds - b.N*round/rounds; part > 0 {
			run(part)
		}
	}
	b.StopTimer()
	reportTimes(b, "floor-", floor, nil)
	reportTimes(b, "", p.times, floor)
	n.shutDown(b)
}

// reportTimes reports the median and the 99th percentile, and how many times the floor's they are.
func reportTimes(b *testing.B, name string, times, floor []time.Duration) {
	slices.Sort(times)
	p50, p99 := percentile(times, 50), percentile(times, 99)
	b.ReportMetric(float64(p50.Nanoseconds())/1000, name+"p50-µs")
	b.ReportMetric(float64(p99.Nanoseconds())/1000, name+"p99-µs")
	if floor != nil {
		b.ReportMetric(float64(p50)/float64(percentile(floor, 50)), "x-floor")
		b.ReportMetric(float64(p99)/float64(percentile(floor, 99)), "p99-x-floor")
	}
}

func percentile(sorted []time.Duration, p int) time.Duration { return sorted[len(sorted)*p/100] }

// pinger sends as many messages as it is told, each when the one before has come back.
type pinger struct {
	target   actor.PID
	messages []*sample.Update
	left     int
	sent     time.Time
	times    []time.Duration
	done     chan<- struct{}
}

func (p *pinger) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case int:
		p.left = m
	case *sample.Update:
		p.times = append(p.times, time.Since(p.sent))
		p.left--
	default:
		return
	}
	if p.left == 0 {
		p.done <- struct{}{}
		return
	}
	p.sent = time.Now()
	ctx.Send(p.target, p.messages[p.left%len(p.messages)])
}

// BenchmarkIdleConnection is the memory of a connection that has carried messages and waits, of both ends together.
func BenchmarkIdleConnection(b *testing.B) {
	const connections = 200
	quick := func(o *Options) {
		o.HeartbeatInterval = 5 * time.Millisecond
		o.SilenceTimeout = time.Minute
	}
	hub := newNode(b, "hub", nodeOptions{address: "127.0.0.1:0", change: quick})
	hub.Spawn("echo", echo)
	nodes := make([]*node, connections)
	for i := range nodes {
		nodes[i] = newNode(b, fmt.Sprintf("node%d", i), nodeOptions{change: quick})
	}
	before := memoryInUse()
	for _, n := range nodes {
		for range 10 {
			if _, err := n.Ask(b.Context(), actor.At(hub.address, "echo"), text("hello")); err != nil {
				b.Fatal(err)
			}
		}
	}
	awaitHeartbeats(b, hub, 3*readsBeforeShrink)
	b.ReportMetric(float64(memoryInUse()-before)/connections, "B/connection")
	b.StopTimer()
	for _, n := range nodes {
		n.shutDown(b)
	}
	hub.shutDown(b)
}

// awaitHeartbeats waits until each peer has sent a number of heartbeats more.
func awaitHeartbeats(b *testing.B, n *node, heartbeats int64) {
	const heartbeatBytes = 10
	base := make(map[string]int64)
	for _, p := range n.remote.Peers() {
		base[p.Node] = p.ReceivedBytes
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		waiting := slices.ContainsFunc(n.remote.Peers(), func(p Peer) bool {
			return p.ReceivedBytes < base[p.Node]+heartbeats*heartbeatBytes
		})
		if !waiting {
			return
		}
		if time.Now().After(deadline) {
			b.Fatal("the heartbeats did not come")
		}
	}
}

func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC() // what pools hold is freed by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
