package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

func equateErrors() cmp.Option { return cmpopts.EquateErrors() }

func TestAQuestionAndItsAnswerCrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b"), role: "guest"})
		a.Spawn("echo", echo)
		probe := actortest.NewProbe(t, b.System)
		id := probe.Ask(actor.At("a:1", "echo"), text("hello"), time.Second)
		answer := actortest.Await[actor.Answer](t, probe)
		want := actor.PID{Node: "a", Incarnation: a.Incarnation(), Name: "echo", Address: "a:1"}
		if answer.ID != id || answer.From != want || !proto.Equal(answer.Message.(proto.Message), text("hello to you, guest")) {
			t.Errorf("got %+v from %v", answer, answer.From)
		}
		probe.Ask(answer.From, text("stop"), time.Hour) // it stops without an answer
		failed := actortest.Await[actor.Answer](t, probe)
		var exit *actor.ExitError
		if !errors.As(failed.Err, &exit) || exit.Reason != actor.Stopped {
			t.Errorf("got %+v, expected that it stopped", failed)
		}
		probe.Ask(answer.From, text("hello"), time.Hour)
		gone := actortest.Await[actor.Answer](t, probe)
		if !errors.As(gone.Err, &exit) || exit.Reason != actor.NoSuchActor {
			t.Errorf("got %+v, expected that there is no such actor", gone)
		}
		synctest.Wait()
		probe.ExpectNone(t)
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestForwardedMessagesKeepTheirSenderAcrossThreeNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b"), address: "b:1"})
		c := newNode(t, "c", nodeOptions{network: network.Host("c"), address: "c:1"})
		a.Spawn("echo", echo)
		b.Spawn("relay", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if _, ok := ctx.Message().(proto.Message); ok {
					ctx.Forward(actor.At("a:1", "echo"))
				}
			})
		})
		got, err := c.Ask(t.Context(), actor.At("b:1", "relay"), text("hello"))
		if err != nil || !proto.Equal(got.(proto.Message), text("hello to you, ")) {
			t.Errorf("got %v, %v", got, err)
		}
		for _, n := range []*node{a, b, c} {
			n.shutDown(t)
		}
	})
}

// A node where it matters who sent a message believes of its peers only what they say for themselves.
func TestWhoSpeaksInAnotherNodesNameIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		strict := func(o *Options) { o.OwnSenders = true }
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", change: strict})
		b := newNode(t, "b", nodeOptions{network: network.Host("b"), address: "b:1"})
		c := newNode(t, "c", nodeOptions{network: network.Host("c")})
		inA, inB, inC := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System), actortest.NewProbe(t, c.System)
		b.Spawn("relay", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if _, ok := ctx.Message().(proto.Message); ok {
					ctx.Forward(actor.At("a:1", "probe"))
				}
			})
		})
		inB.Link(actor.At("a:1", "probe"))
		inB.Send(actor.At("a:1", "probe"), text("in my own name"))
		if got := inA.Expect(t, text("in my own name")).From; !got.Is(inB.PID()) {
			t.Errorf("it came from %v, want %v", got, inB.PID())
		}
		inC.Send(actor.At("b:1", "relay"), text("in another's"))
		synctest.Wait()
		inA.ExpectNone(t)
		exited := actortest.Await[actor.Exited](t, inB)
		if want := "b may not send in the name of " + inC.PID().String(); exited.Reason != actor.Refused || !strings.Contains(exited.Err.Error(), want) {
			t.Errorf("the node that passed it on got %v: %v, want it refused: %s", exited.Reason, exited.Err, want)
		}
		for _, n := range []*node{a, b, c} {
			n.shutDown(t)
		}
	})
}

func TestNobodyIsDialledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")}) // listens nowhere
		inB := actortest.NewProbe(t, b.System)
		inA := actortest.NewProbe(t, a.System)
		inA.Send(inB.PID(), text("not connected yet"))
		if a.dead.Load() != 1 {
			t.Error("a message to a node that is not connected is not a dead letter")
		}
		inB.Send(actor.At("a:1", "probe"), text("hello"))
		from := inA.Expect(t, text("hello")).From
		if from.Address != "" {
			t.Errorf("%v has the address %q", from, from.Address)
		}
		inA.Send(from, text("over your connection"))
		inB.Expect(t, text("over your connection"))
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestTwoNodesShareOneConnectionWhoeverDials(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay time.Duration // of b's dial
	}{
		{"at the same time", 0},
		{"b a little later", time.Millisecond},
		{"b in the middle of a's handshake", 25 * time.Millisecond},
		{"b near the end of a's handshake", 45 * time.Millisecond},
		{"b when a's is done", 100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewMemoryNetwork()
				network.Delay("a", "b", 10*time.Millisecond)
				a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
				b := newNode(t, "b", nodeOptions{network: network.Host("b"), address: "b:1"})
				inA, inB := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System)
				inA.Do(func(ctx actor.Context) {
					ctx.Link(actor.At("b:1", "probe"))
					for i := range 10 {
						ctx.Send(actor.At("b:1", "probe"), wrapperspb.Int64(int64(i)))
					}
				})
				time.Sleep(c.delay)
				inB.Do(func(ctx actor.Context) {
					ctx.Link(actor.At("a:1", "probe"))
					for i := range 10 {
						ctx.Send(actor.At("a:1", "probe"), wrapperspb.Int64(int64(i)))
					}
				})
				for i := range 10 {
					inA.Expect(t, wrapperspb.Int64(int64(i)))
					inB.Expect(t, wrapperspb.Int64(int64(i)))
				}
				time.Sleep(time.Minute)
				inA.ExpectNone(t)
				inB.ExpectNone(t)
				network.mu.Lock()
				pipes := len(network.pipes)
				network.mu.Unlock()
				if len(a.remote.Peers()) != 1 || len(b.remote.Peers()) != 1 || pipes != 2 {
					t.Errorf("%d and %d sessions over %d connections, expected one", len(a.remote.Peers()), len(b.remote.Peers()), pipes/2)
				}
				a.shutDown(t)
				b.shutDown(t)
			})
		})
	}
}

// secondWay is a network that leads through one host first, and then through another.
type secondWay struct {
	Network
	first   Network
	dialled atomic.Bool
}

func (w *secondWay) Dial(ctx context.Context, address string) (net.Conn, error) {
	if w.dialled.Swap(true) {
		return w.Network.Dial(ctx, address)
	}
	return w.first.Dial(ctx, address)
}

func TestANodeThatLostItsSessionMayComeBackBeforeTheOtherNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: &secondWay{Network: network.Host("b"), first: network.Host("old b")}})
		a.Spawn("echo", echo)
		inB := actortest.NewProbe(t, b.System)
		inB.Link(actor.At("a:1", "echo"))
		synctest.Wait()
		w := watch(a, inB.PID())
		synctest.Wait()
		network.OneWay("a", "old b") // b hears nothing and gives up
		time.Sleep(2 * time.Second)
		network.OneWay("old b", "a") // and a would notice 2 s later
		if got := actortest.Await[actor.Exited](t, inB); got.Reason != actor.Unreachable {
			t.Errorf("b saw %+v", got)
		}
		start := time.Now()
		if _, err := b.Ask(t.Context(), actor.At("a:1", "echo"), text("again")); err != nil || time.Since(start) > 0 {
			t.Errorf("b came back after %v: %v", time.Since(start), err)
		}
		synctest.Wait()
		if got := w.reasons(); !slices.Equal(got, []actor.Reason{actor.Unreachable}) {
			t.Errorf("a saw %v, expected the reason that b gave", got)
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestABusyReceiverIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", limit: 2})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		var got []int64
		slow := a.Spawn("slow", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if m, ok := ctx.Message().(*wrapperspb.Int64Value); ok {
					time.Sleep(20 * time.Second)
					got = append(got, m.Value)
				}
			})
		})
		w := watch(b, slow)
		for i := range 20 {
			b.Send(slow, wrapperspb.Int64(int64(i)))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(got) != 20 || !slices.IsSorted(got) {
			t.Errorf("got %v, expected 0 to 19", got)
		}
		if exits := w.reasons(); len(exits) != 0 {
			t.Errorf("exits %v, expected none", exits)
		}
		if rtt := b.remote.Peers()[0].RoundTrip; rtt == 0 {
			t.Error("no round trip was measured")
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}

// newcomer is a message of a type that is in no registry, as from a later version.
func newcomer(t *testing.T) proto.Message {
	t.Helper()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("newcomer.proto"), Package: proto.String("later"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Newcomer")}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewMessage(file.Messages().ByName("Newcomer"))
}

func TestAMessageOfAnUnknownTypeIsCountedAndAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		a.Spawn("echo", echo)
		inA, inB := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System)
		w := watch(b, actor.At("a:1", "probe"))
		inB.Send(inA.PID(), newcomer(t))
		inB.Ask(actor.At("a:1", "echo"), newcomer(t), time.Hour)
		answer := actortest.Await[actor.Answer](t, inB)
		if answer.Err == nil || !strings.Contains(answer.Err.Error(), "a does not know messages of type later.Newcomer") {
			t.Errorf("got %+v", answer)
		}
		inB.Send(inA.PID(), text("still here"))
		inA.Expect(t, text("still here"))
		if n := a.remote.Stats().UnknownTypes; n != 2 {
			t.Errorf("%d unknown types counted, expected 2", n)
		}
		if exits := w.reasons(); len(exits) != 0 {
			t.Errorf("exits %v, expected none", exits)
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestALargeMessageArrivesAndATooLargeOneFailsAtItsSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		inA, inB := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System)
		target := actor.At("a:1", "probe")
		large := make([]byte, 5<<20)
		_, _ = rand.NewChaCha8([32]byte{}).Read(large)
		inB.Do(func(ctx actor.Context) {
			ctx.Link(target)
			ctx.Send(target, text("before"))
			ctx.Send(target, wrapperspb.Bytes(large))
			ctx.Send(target, text("after"))
		})
		inA.Expect(t, text("before"))
		if m, ok := inA.Next(t).Message.(*wrapperspb.BytesValue); !ok || !bytes.Equal(m.Value, large) {
			t.Error("5 MB arrived changed, or not in their turn")
		}
		inA.Expect(t, text("after"))
		inB.ExpectNone(t)

		inB.Send(target, wrapperspb.Bytes(make([]byte, 100<<20)))
		exited := actortest.Await[actor.Exited](t, inB)
		const says = "google.protobuf.BytesValue of 104857605 bytes: at most 67108864 bytes are allowed"
		if exited.Reason != actor.TooLarge || exited.Err.Error() != says {
			t.Errorf("got %v: %v; expected %q", exited.Reason, exited.Err, says)
		}
		inB.Ask(target, wrapperspb.Bytes(make([]byte, 100<<20)), time.Minute)
		if answer := actortest.Await[actor.Answer](t, inB); answer.Err == nil || !strings.Contains(answer.Err.Error(), says) {
			t.Errorf("got %+v, expected %q", answer, says)
		}
		inB.Send(target, text("the session lives"))
		inA.Expect(t, text("the session lives"))
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestWhatIsMarshalledAlreadyArrivesInItsTurnHoweverItIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		inA, inB := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System)
		target := actor.At("a:1", "probe")
		value := make([]byte, 300<<10)
		_, _ = rand.NewChaCha8([32]byte{}).Read(value)
		large, err := proto.Marshal(wrapperspb.Bytes(value))
		if err != nil {
			t.Fatal(err)
		}
		encoded := func(bytes []byte, cuts ...int) Encoded {
			e, last := Encoded{Message: &wrapperspb.BytesValue{}}, 0
			for _, cut := range append(cuts, len(bytes)) {
				e.Parts = append(e.Parts, bytes[last:cut])
				last = cut
			}
			return e
		}
		small, err := proto.Marshal(wrapperspb.Bytes([]byte("small")))
		if err != nil {
			t.Fatal(err)
		}
		twice := encoded(large, 1, 1, 100, chunkBytes, 3*chunkBytes+7)
		inB.Do(func(ctx actor.Context) {
			ctx.Send(target, text("before"))
			for _, e := range []Encoded{twice, encoded(small, 3), twice, encoded(nil)} {
				ctx.Send(target, e)
			}
			ctx.Send(target, text("after"))
		})
		inA.Expect(t, text("before"))
		for i, want := range [][]byte{value, []byte("small"), value, nil} {
			if m, ok := inA.Next(t).Message.(*wrapperspb.BytesValue); !ok || !bytes.Equal(m.Value, want) {
				t.Errorf("message %d arrived changed, or not in its turn", i)
			}
		}
		inA.Expect(t, text("after"))
		inB.ExpectNone(t)
		inB.Ask(target, encoded(make([]byte, 100<<20)), time.Minute)
		if answer := actortest.Await[actor.Answer](t, inB); answer.Err == nil || !strings.Contains(answer.Err.Error(), "of 104857600 bytes: at most 67108864 bytes are allowed") {
			t.Errorf("got %+v for one that is too large", answer)
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestHeartbeatsAndOthersOvertakeALargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		network.Delay("a", "b", 20*time.Millisecond) // 64 KB in 20 ms: 16 MB take more than the silence timeout
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		inA := actortest.NewProbe(t, a.System)
		big, small := actortest.Named(t, b.System, "big"), actortest.Named(t, b.System, "small")
		w := watch(b, inA.PID())
		big.Send(inA.PID(), wrapperspb.Bytes(make([]byte, 32<<20)))
		big.Send(inA.PID(), text("in its turn"))
		time.Sleep(time.Second)
		small.Send(inA.PID(), text("overtakes"))
		inA.Expect(t, text("overtakes"))
		time.Sleep(time.Minute)
		if m, ok := inA.Next(t).Message.(*wrapperspb.BytesValue); !ok || len(m.Value) != 32<<20 {
			t.Error("the large message did not come next")
		}
		inA.Expect(t, text("in its turn"))
		if exits := w.reasons(); len(exits) != 0 {
			t.Errorf("exits %v, expected none", exits)
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestWhatWasSentBeforeAShutdownArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		inA := actortest.NewProbe(t, a.System)
		b.Send(inA.PID(), text("first"))
		inA.Expect(t, text("first"))
		for range 100 {
			b.Send(inA.PID(), wrapperspb.Bytes(make([]byte, 10<<10)))
		}
		b.Send(inA.PID(), wrapperspb.Bytes(make([]byte, 1<<20)))
		b.shutDown(t)
		for range 101 {
			if m, ok := inA.Next(t).Message.(*wrapperspb.BytesValue); !ok {
				t.Fatalf("got %v", m)
			}
		}
		a.shutDown(t)
	})
}

func TestPeersRefuseEachOtherWithReasons(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b func(*Options)
		want string
	}{
		{"other clusters", func(o *Options) { o.Cluster = "one" }, func(o *Options) { o.Cluster = "two" }, `a is of cluster "one", b of "two"`},
		{"a wrong secret", func(o *Options) {
			o.Verify = func(h Hello) error {
				if string(h.Credential) != "open sesame" {
					return fmt.Errorf("%s does not know the secret", h.Node)
				}
				return nil
			}
		}, func(o *Options) { o.Credential = func(string) []byte { return []byte("open wheat") } }, "b does not know the secret"},
		{"a peer that does not please who dials", nil, func(o *Options) {
			o.Verify = func(h Hello) error { return fmt.Errorf("%s has the role %q", h.Node, h.Role) }
		}, `a has the role ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewMemoryNetwork()
				a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", change: c.a})
				b := newNode(t, "b", nodeOptions{network: network.Host("b"), change: c.b})
				probe := actortest.NewProbe(t, b.System)
				probe.Link(actor.At("a:1", "echo"))
				exited := actortest.Await[actor.Exited](t, probe)
				if !strings.Contains(exited.Err.Error(), c.want) {
					t.Errorf("got %v: %v; expected %q", exited.Reason, exited.Err, c.want)
				}
				b.shutDown(t)
				a.shutDown(t)
			})
		})
	}
}

func TestVersionsThatDoNotOverlapAreNamedOnBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		conn, err := network.Host("later").Dial(t.Context(), "a:1")
		if err != nil {
			t.Fatal(err)
		}
		hello := &HelloMessage{LowestVersion: highestVersion + 1, HighestVersion: highestVersion + 2, Node: "later"}
		if err := writeHandshake(conn, magic, helloKind, hello); err != nil {
			t.Fatal(err)
		}
		if err := readMagic(conn); err != nil {
			t.Fatal(err)
		}
		err = readAs(conn, helloKind, hello)
		const want = "refused: a speaks protocol versions 1 to 1, later speaks 2 to 3"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, expected %q", err, want)
		}
		_ = conn.Close()
		a.shutDown(t)
	})
}

func TestTheNodesOfAClusterLearnItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		peers := make(chan Peer, 1)
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", change: func(o *Options) {
			o.OnPeer = func(p Peer) { peers <- p }
		}})
		b := newNode(t, "b", nodeOptions{network: network.Host("b"), change: func(o *Options) { o.Cluster = "one" }})
		b.Send(actor.At("a:1", "nobody"), text("hello"))
		p := <-peers
		if p.Cluster != "one" || p.Node != "b" {
			t.Errorf("got %+v", p)
		}
		a.remote.SetCluster(p.Cluster)
		if a.remote.Cluster() != "one" {
			t.Error("the cluster was not taken")
		}
		synctest.Wait()
		b.shutDown(t)
		a.shutDown(t)
	})
}

// tardyNetwork is a network whose writers learn late that what they wrote has gone.
type tardyNetwork struct{ Network }

func (n tardyNetwork) Dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := n.Network.Dial(ctx, address)
	return tardyConn{conn}, err
}

type tardyConn struct{ net.Conn }

func (c tardyConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	time.Sleep(50 * time.Millisecond)
	return n, err
}

// The peer has what it was sent and says goodbye before the writer has seen that its write is done.
func TestWhatAPeerReadBeforeItsGoodbyeIsNoDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		b := newNode(t, "b", nodeOptions{network: tardyNetwork{network.Host("b")}})
		inA, inB := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System)
		inB.Send(actor.At("a:1", "probe"), text("hello"))
		inA.Expect(t, text("hello"))
		a.shutDown(t)
		synctest.Wait()
		if dead := b.dead.Load(); dead != 0 {
			t.Errorf("%d dead letters, want none: the message had arrived", dead)
		}
		b.shutDown(t)
	})
}
