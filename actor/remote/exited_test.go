package remote

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// Every row is a story of node b, whose watcher is linked (twice) to an actor "echo" of node a.
func TestALinkAcrossNodesEndsWithExactlyOneExited(t *testing.T) {
	for _, c := range []struct {
		name   string
		target string // registered name; empty: the PID
		end    func(t *testing.T, n *MemoryNetwork, a, b *node, pid actor.PID)
		within time.Duration
		want   actor.Reason
	}{
		{name: "when the actor stops", want: actor.Stopped, end: func(_ *testing.T, _ *MemoryNetwork, a, _ *node, pid actor.PID) { a.Send(pid, text("stop")) }},
		{name: "when the actor panics", want: actor.Panicked, end: func(_ *testing.T, _ *MemoryNetwork, a, _ *node, pid actor.PID) { a.Send(pid, text("die")) }},
		{name: "when it is linked by its registered name and stops", target: "echo", want: actor.Stopped, end: func(_ *testing.T, _ *MemoryNetwork, a, _ *node, pid actor.PID) { a.Stop(pid) }},
		{name: "when its node shuts down", want: actor.NodeShutdown, end: func(t *testing.T, _ *MemoryNetwork, a, _ *node, _ actor.PID) { a.shutDown(t) }},
		{name: "when its node says goodbye while it lives", want: actor.NodeShutdown, end: func(t *testing.T, _ *MemoryNetwork, a, _ *node, _ actor.PID) {
			if err := a.remote.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		{name: "when its node dies", want: actor.Disconnected, end: func(t *testing.T, n *MemoryNetwork, a, _ *node, _ actor.PID) { a.kill(t, n, "b") }},
		{name: "when the connection breaks", want: actor.Disconnected, end: func(_ *testing.T, n *MemoryNetwork, _, _ *node, _ actor.PID) { n.Break("a", "b") }},
		{name: "when nothing passes any more", want: actor.Unreachable, within: DefaultSilenceTimeout, end: func(_ *testing.T, n *MemoryNetwork, _, _ *node, _ actor.PID) { n.Cut("a", "b") }},
		{name: "when nothing comes any more", want: actor.Unreachable, within: DefaultSilenceTimeout, end: func(_ *testing.T, n *MemoryNetwork, _, _ *node, _ actor.PID) { n.OneWay("a", "b") }},
		{name: "when the node is silent, and then wakes", want: actor.Unreachable, within: DefaultSilenceTimeout, end: func(_ *testing.T, n *MemoryNetwork, _, _ *node, _ actor.PID) {
			n.Cut("a", "b")
			time.AfterFunc(DefaultSilenceTimeout+time.Second, func() { n.Heal("a", "b") })
		}},
		{name: "when nothing goes out any more: the peer notices", want: actor.Disconnected, within: DefaultSilenceTimeout, end: func(_ *testing.T, n *MemoryNetwork, _, _ *node, _ actor.PID) { n.OneWay("b", "a") }},
		{name: "when it stops in the moment in which the connection breaks", end: func(_ *testing.T, n *MemoryNetwork, a, _ *node, pid actor.PID) {
			a.Stop(pid)
			n.Break("a", "b")
		}},
		{name: "when it overflows the other's mailbox for long", want: actor.Overflow, end: flood},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewMemoryNetwork()
				small := func(o *Options) { o.SendQueueMessages = 100 }
				a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", change: small, limit: 10})
				b := newNode(t, "b", nodeOptions{network: network.Host("b"), change: small})
				pid := a.Spawn("echo", echo)
				target := pid
				if c.target != "" {
					target = actor.At("a:1", c.target)
				}
				w := watch(b, target)
				back := watch(a, w.pid)
				synctest.Wait()
				if early := w.reasons(); len(early) != 0 {
					t.Fatalf("exits %v before anything happened", early)
				}
				c.end(t, network, a, b, pid)
				time.Sleep(c.within)
				synctest.Wait()
				got := w.reasons()
				if len(got) != 1 || got[0] != c.want && c.want != 0 {
					t.Errorf("exits %v within %v, expected one: %v", got, c.within, c.want)
				}
				time.Sleep(time.Minute)
				b.shutDown(t)
				a.shutDown(t)
				if late := w.reasons(); len(late) != 0 {
					t.Errorf("more exits: %v", late)
				}
				if n := len(back.reasons()); n > 1 {
					t.Errorf("the link back ended %d times", n)
				}
			})
		})
	}
}

// busyFor is how long a flooded actor works on a message: less than a test's shutdown waits for it.
const busyFor = 7 * time.Second

// flood floods a's actor, which is busy.
func flood(_ *testing.T, _ *MemoryNetwork, a, b *node, _ actor.PID) {
	busy := a.Spawn("busy", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*wrapperspb.BytesValue); ok {
				time.Sleep(busyFor)
			}
		})
	})
	for range 10 { // what the mailbox, the reader and the connection can hold, and then the queue
		b.Send(busy, wrapperspb.Bytes(make([]byte, 20<<10)))
	}
	synctest.Wait()
	for range 200 {
		b.Send(busy, wrapperspb.Bytes(make([]byte, 20<<10)))
	}
}

func TestALinkToWhatIsNotThereEndsAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		target actor.PID
		within time.Duration
		want   actor.Reason
	}{
		{"a name that nobody has", actor.At("a:1", "nobody"), 0, actor.NoSuchActor},
		{"an actor that is gone", actor.PID{Node: "a", Incarnation: 7, Name: "gone", Address: "a:1"}, 0, actor.NoSuchActor},
		{"an earlier life of the node", actor.PID{Node: "a", Incarnation: 6, Name: "echo", Address: "a:1"}, 0, actor.NewIncarnation},
		{"a later life of the node", actor.PID{Node: "a", Incarnation: 8, Name: "echo", Address: "a:1"}, 0, actor.NewIncarnation},
		{"another node at that address", actor.PID{Node: "z", Incarnation: 7, Name: "echo", Address: "a:1"}, 0, actor.NoSuchActor},
		{"an address where nobody listens", actor.At("a:2", "echo"), 0, actor.Unreachable},
		{"an address that does not answer", actor.At("cut:1", "echo"), DefaultDialTimeout, actor.Unreachable},
		{"a node without an address that is not connected", actor.PID{Node: "z", Incarnation: 1, Name: "echo"}, 0, actor.Unreachable},
		{"this node by another address", actor.At("b:2", "echo"), 0, actor.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewMemoryNetwork()
				network.Cut("b", "cut")
				a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", incarnation: 7})
				b := newNode(t, "b", nodeOptions{network: network.Host("b"), address: "b:1"})
				if _, err := b.remote.Listen("b:2"); err != nil {
					t.Fatal(err)
				}
				a.Spawn("echo", echo)
				probe := actortest.NewProbe(t, b.System)
				id := actor.AskID(0)
				probe.Do(func(ctx actor.Context) {
					ctx.Link(c.target)
					id = ctx.Ask(c.target, text("hello"), time.Hour)
				})
				time.Sleep(c.within)
				synctest.Wait()
				var answers, exits int
				for _, r := range probe.Received() {
					switch m := r.Message.(type) {
					case actor.Answer:
						answers++
						var exit *actor.ExitError
						if m.ID != id || !errors.As(m.Err, &exit) || exit.Reason != c.want {
							t.Errorf("answer %+v, expected %v", m, c.want)
						}
					case actor.Exited:
						exits++
						if m.PID != c.target || m.Reason != c.want {
							t.Errorf("%+v, expected %v", m, c.want)
						}
					}
				}
				if answers != 1 || exits != 1 {
					t.Errorf("%d answers and %d exits, expected 1 and 1: %+v", answers, exits, probe.Received())
				}
				b.shutDown(t)
				a.shutDown(t)
			})
		})
	}
}

func TestANodeThatReturnsIsANewcomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		old := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", incarnation: 1})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		oldPID := old.Spawn("echo", echo)
		probe := actortest.NewProbe(t, b.System)
		probe.Link(oldPID)
		synctest.Wait()
		old.kill(t, network, "b")
		probe.Expect(t, actor.Exited{PID: oldPID, Reason: actor.Disconnected, Err: errReset}, equateErrors())

		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", incarnation: 2})
		got := actortest.NewProbe(t, a.System)
		a.Spawn("echo", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if m, ok := ctx.Message().(*wrapperspb.StringValue); ok {
					ctx.Send(got.PID(), m)
				}
			})
		})
		probe.Send(oldPID, text("for one who is dead"))
		probe.Link(oldPID)
		probe.Expect(t, actor.Exited{PID: oldPID, Reason: actor.NewIncarnation})
		probe.Send(actor.At("a:1", "echo"), text("for the newcomer"))
		got.Expect(t, text("for the newcomer"))
		if lost := b.dead.Load(); lost != 1 {
			t.Errorf("%d dead letters, expected 1", lost)
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestANewLifeOfANodeEndsTheSessionOfTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1"})
		a.Spawn("echo", echo)
		old := newNode(t, "b", nodeOptions{network: network.Host("old b"), incarnation: 1})
		fromOld := actortest.NewProbe(t, old.System)
		fromOld.Link(actor.At("a:1", "echo"))
		synctest.Wait()
		w := watch(a, fromOld.PID())
		synctest.Wait()
		network.Cut("a", "old b") // its machine lost power
		b := newNode(t, "b", nodeOptions{network: network.Host("b"), incarnation: 2})
		if _, err := b.Ask(t.Context(), actor.At("a:1", "echo"), text("hello")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := w.reasons(); !slices.Equal(got, []actor.Reason{actor.NewIncarnation}) {
			t.Errorf("exits %v, expected %v", got, actor.NewIncarnation)
		}
		network.Heal("a", "old b") // and the old one comes back to life
		network.Break("a", "old b")
		synctest.Wait()
		fromOld.Link(actor.At("a:1", "echo"))
		synctest.Wait()
		last := fromOld.Received()[len(fromOld.Received())-1].Message.(actor.Exited)
		if last.Reason != actor.Refused || !strings.Contains(last.Err.Error(), "later incarnation") {
			t.Errorf("%+v, expected that it is refused as outlived", last)
		}
		old.shutDown(t)
		b.shutDown(t)
		a.shutDown(t)
	})
}

func TestALaterLifeIsFoundAtItsAddressWhileTheOldOneSeemsConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		old := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", incarnation: 1})
		b := newNode(t, "b", nodeOptions{network: network.Host("b")})
		w := watch(b, old.Spawn("echo", echo))
		synctest.Wait()
		network.Cut("a", "b")
		a := newNode(t, "a", nodeOptions{network: network.Host("elsewhere"), address: "elsewhere:1", incarnation: 2})
		if _, err := b.Ask(t.Context(), a.Spawn("echo", echo), text("hello")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := w.reasons(); !slices.Equal(got, []actor.Reason{actor.NewIncarnation}) {
			t.Errorf("exits %v, expected %v", got, actor.NewIncarnation)
		}
		b.shutDown(t)
		a.shutDown(t)
		old.shutDown(t)
	})
}

func TestARoleThatMayNotSendAMessageIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", change: func(o *Options) {
			o.May = func(role actor.Role, name protoreflect.FullName) bool {
				return role == "boss" || name == "google.protobuf.StringValue"
			}
		}})
		got := actortest.NewProbe(t, a.System)
		boss := newNode(t, "boss", nodeOptions{network: network.Host("boss"), role: "boss"})
		guest := newNode(t, "guest", nodeOptions{network: network.Host("guest"), role: "guest"})
		boss.Send(actor.At("a:1", "probe"), wrapperspb.Bool(true))
		if r := got.Expect(t, wrapperspb.Bool(true)); r.Role != "boss" {
			t.Errorf("the sender's role is %q, expected boss", r.Role)
		}
		w := watch(guest, got.PID())
		guest.Send(actor.At("a:1", "probe"), text("I may say this"))
		if r := got.Expect(t, text("I may say this")); r.Role != "guest" {
			t.Errorf("the sender's role is %q, expected guest", r.Role)
		}
		guest.Send(actor.At("a:1", "probe"), wrapperspb.Bool(true))
		synctest.Wait()
		got.ExpectNone(t)
		if exits := w.reasons(); !slices.Equal(exits, []actor.Reason{actor.Refused}) {
			t.Errorf("exits %v, expected %v", exits, actor.Refused)
		}
		if n := a.remote.Stats().RefusedMessages; n != 1 {
			t.Errorf("%d messages refused, expected 1", n)
		}
		for _, n := range []*node{boss, guest, a} {
			n.shutDown(t)
		}
	})
}

func TestOverflowIsSeenOnBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemoryNetwork()
		a := newNode(t, "a", nodeOptions{network: network.Host("a"), address: "a:1", limit: 10})
		b := newNode(t, "b", nodeOptions{network: network.Host("b"), change: func(o *Options) { o.SendQueueMessages = 100 }})
		pid := a.Spawn("echo", echo)
		w := watch(b, pid)
		synctest.Wait()
		back := watch(a, w.pid)
		synctest.Wait()
		flood(t, network, a, b, pid)
		synctest.Wait()
		if got := w.reasons(); !slices.Equal(got, []actor.Reason{actor.Overflow}) {
			t.Errorf("the sender's node saw %v, expected %v", got, actor.Overflow)
		}
		if lost := b.dead.Load(); lost < 50 { // how many were queued when it came to that depends on the writer
			t.Errorf("%d dead letters at the sender, expected what was queued", lost)
		}
		time.Sleep(5 * time.Minute)
		if got := back.reasons(); len(got) != 1 {
			t.Errorf("the receiver's node saw %v, expected one exit", got)
		}
		b.shutDown(t)
		a.shutDown(t)
	})
}
