package remote

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// What a peer may cost beyond what waits by the limits: batches, buffers of both ends, and what the collector has not yet taken.
const floodSlack = 96 << 20

// busy is an actor that handles nothing until it is let.
func busy(let <-chan struct{}) func() actor.Actor {
	return func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*wrapperspb.StringValue); ok {
				<-let
			}
		})
	}
}

// The sender waits in its own memory, and in the end its session overflows; the receiver, which may be slow for ever, holds what its limits allow.
func TestASenderThatFloodsWithLargeMessagesCostsTheReceiverNoMoreThanItsLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("a load that the race detector makes too slow")
	}
	const size, messages = 1 << 20, 1000
	a := newNode(t, "a", nodeOptions{address: "127.0.0.1:0"})
	let := make(chan struct{})
	a.Spawn("busy", busy(let))
	b := newNode(t, "b", nodeOptions{change: func(o *Options) { o.SendQueueBytes = 2 * size }})
	probe := actortest.NewProbe(t, b.System)
	target := actor.At(a.address, "busy")
	probe.Send(target, text("hello"))
	before := bytesInUse()
	letter := text(strings.Repeat("x", size)) // the same for all: it is the receiver that is measured
	sent, deadline := 0, time.Now().Add(10*time.Second)
	for sent < messages && time.Now().Before(deadline) {
		peers := b.remote.Peers()
		if len(peers) == 0 { // not connected yet
			continue
		}
		if peers[0].QueuedBytes > 0 { // a flooder that means it: it never lets its queue overflow
			if sent > 0 && stuck(a, b) {
				break
			}
			continue
		}
		b.Send(target, letter)
		sent++
	}
	if sent < actor.MaxLargeMailBytes/size || sent == messages {
		t.Errorf("%d messages of %d bytes were taken, want about as many as %d bytes hold", sent, size, actor.MaxLargeMailBytes)
	}
	if grown := bytesInUse() - before; grown > actor.MaxLargeMailBytes+floodSlack {
		t.Errorf("%d bytes more in use", grown)
	} else {
		t.Logf("%d MB were sent, %d MB more are in use", sent*size>>20, grown>>20)
	}
	close(let)
	b.shutDown(t)
	a.shutDown(t)
}

// stuck tells whether the receiver waits for room.
func stuck(a, b *node) bool {
	a.remote.mu.RLock()
	defer a.remote.mu.RUnlock()
	s := a.remote.sessions[b.Node()]
	return s != nil && s.waiting.Load()
}

// A process that is stopped reads nothing; who sends to it keeps what the limits allow, and gives it back when the session ends.
func TestAReceiverThatIsStoppedCostsTheSenderNoMoreThanItsLimit(t *testing.T) {
	const limit, size = 32 << 20, 64 << 10
	n := newNode(t, "n", nodeOptions{address: "127.0.0.1:0", change: func(o *Options) { o.SendQueueBytes = limit }})
	probe := actortest.NewProbe(t, n.System)
	process, echo := startPeer(t, n.address, probe)
	probe.Link(echo)
	if err := process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := bytesInUse()
	letter := text(strings.Repeat("x", size))
	most := int64(0)
	for range 4 * limit / size {
		n.Send(echo, letter)
		if peers := n.remote.Peers(); len(peers) > 0 {
			most = max(most, int64(peers[0].QueuedBytes))
		}
	}
	exited := actortest.Await[actor.Exited](t, probe)
	if exited.Reason != actor.Overflow {
		t.Errorf("the link ended for %v, want %v", exited.Reason, actor.Overflow)
	}
	if most < limit/2 || most > limit+1<<20 {
		t.Errorf("%d bytes waited, want about %d", most, limit)
	}
	await(t, "the memory is given back", func() bool { return bytesInUse()-before < 8<<20 })
	_ = process.Process.Signal(os.Kill)
	n.shutDown(t)
	probe.ExpectNone(t)
}
