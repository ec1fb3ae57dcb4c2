package remote

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// A host that reads slowly is no host that is silent: what it is sent comes at its pace, in order, however long that takes.
func TestASlowReaderGetsEverythingAtItsPace(t *testing.T) {
	const size, messages, rate = 10 << 10, 100, 50 << 10
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		reader, writer := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System)
		network.Slow("a", "b", rate)
		start := time.Now()
		writer.Link(actor.At("a:1", "probe"))
		for i := range messages {
			letter := make([]byte, size)
			letter[0] = byte(i)
			writer.Send(actor.At("a:1", "probe"), wrapperspb.Bytes(letter))
		}
		for i := range messages / 2 {
			if m := actortest.Await[*wrapperspb.BytesValue](t, reader); m.Value[0] != byte(i) {
				t.Fatalf("message %d came in place of %d", m.Value[0], i)
			}
		}
		const want = size * messages / 2 * time.Second / rate
		if took := time.Since(start); took < want || took > want+time.Second {
			t.Errorf("half of them took %v, want %v or a little more", took, want)
		}
		synctest.Wait()
		if peers := b.remote.Peers(); len(peers) != 1 || peers[0].QueuedBytes < size*messages/4 {
			t.Errorf("want what was not read to wait with its writer; peers are %+v", peers)
		}
		network.Heal("a", "b")
		healed := time.Now()
		for range messages / 2 {
			actortest.Await[*wrapperspb.BytesValue](t, reader)
		}
		if took := time.Since(healed); took != 0 {
			t.Errorf("the rest took %v after the network was healed", took)
		}
		writer.ExpectNone(t)
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestOneThatSendsMoreThanASlowReaderTakesSeesItsQueueOverflow(t *testing.T) {
	const size, limit = 10 << 10, 1 << 20
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b"), change: func(o *Options) { o.SendQueueBytes = limit }})
		reader, writer := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System)
		network.Slow("a", "b", size) // a message in a second
		writer.Link(actor.At("a:1", "probe"))
		for range 2 * limit / size {
			writer.Send(actor.At("a:1", "probe"), wrapperspb.Bytes(make([]byte, size)))
			time.Sleep(100 * time.Millisecond)
		}
		if exited := actortest.Await[actor.Exited](t, writer); exited.Reason != actor.Overflow {
			t.Errorf("the link ended for %v, want %v", exited.Reason, actor.Overflow)
		}
		if len(reader.Received()) == 0 {
			t.Error("nothing was read before")
		}
		network.Heal("a", "b")
		b.shutDown(t)
		a.shutDown(t)
	})
}
