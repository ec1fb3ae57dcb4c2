package remote

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// TestAnActorThatIsSlowDelaysNobodyElse has an actor block in Receive, in the goroutine that reads the connection.
func TestAnActorThatIsSlowDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		release := make(chan struct{})
		a.Spawn("slow", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if _, ok := ctx.Message().(proto.Message); ok {
					<-release
					ctx.Reply(text("at last"))
				}
			})
		})
		a.Spawn("echo", echo)
		probe := actortest.NewProbe(t, b.System)
		for range 3 { // the reader is replaced more than once
			probe.Send(actor.At("a:1", "slow"), text("hello"))
			synctest.Wait()
			began := time.Now()
			probe.Send(actor.At("a:1", "echo"), text("hello"))
			probe.Expect(t, text("hello to you, "))
			if took := time.Since(began); took > 2*attendTimeout {
				t.Errorf("an answer came after %v, of an actor that has nothing else to do", took)
			}
			release <- struct{}{}
			probe.Expect(t, text("at last"))
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}

// TestAReaderOutlivesGoexit ends the goroutine that reads the connection from within an actor.
func TestAReaderOutlivesGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		a.Spawn("quitter", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if _, ok := ctx.Message().(proto.Message); ok {
					runtime.Goexit()
				}
			})
		})
		a.Spawn("echo", echo)
		probe := actortest.NewProbe(t, b.System)
		w := watch(b, actor.At("a:1", "quitter"))
		synctest.Wait()
		probe.Send(actor.At("a:1", "quitter"), text("hello"))
		probe.Send(actor.At("a:1", "echo"), text("hello"))
		probe.Expect(t, text("hello to you, "))
		synctest.Wait()
		if got := w.reasons(); len(got) != 1 || got[0] != actor.Panicked {
			t.Errorf("exits: %v, expected one: panicked", got)
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}

// TestWhatIsHeldIsSent sends to more nodes than an actor holds connections of, over real connections, which are written to directly.
func TestWhatIsHeldIsSent(t *testing.T) {
	var hosts []*node
	for range 10 {
		n := newNode(t, "", nodeOptions{address: "127.0.0.1:0"})
		n.Spawn("echo", echo)
		hosts = append(hosts, n)
	}
	n := newNode(t, "sender", nodeOptions{})
	answers := make(chan string, 1000)
	pid := n.Spawn("sender", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case int:
				for i := range m {
					ctx.Send(actor.At(hosts[i].address, "echo"), text("hello"))
				}
			case interface{ GetValue() string }:
				answers <- m.GetValue()
			}
		})
	})
	for _, receivers := range []int{1, 2, len(hosts)} {
		for range 20 {
			n.Send(pid, receivers)
			for range receivers {
				select {
				case <-answers:
				case <-time.After(10 * time.Second):
					t.Fatalf("with %d receivers a message did not arrive", receivers)
				}
			}
		}
	}
	n.shutDown(t)
	for _, host := range hosts {
		host.shutDown(t)
	}
}
