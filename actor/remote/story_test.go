package remote

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(peerEnv); address != "" {
		bePeer(address)
		return
	}
	if address := os.Getenv(crowdEnv); address != "" {
		beCrowd(address)
		return
	}
	if os.Getenv(benchmarkPeerEnv) != "" {
		beBenchmarkPeer()
		return
	}
	goleak.VerifyTestMain(m)
}

// node is one node of a test: an actor system and its Remote.
type node struct {
	*actor.System
	remote  *Remote
	address string
	dead    atomic.Int64 // dead letters
}

type nodeOptions struct {
	network     Network
	address     string // where it listens; empty: nowhere
	role        actor.Role
	incarnation uint64
	change      func(*Options)
	limit       int
}

func newNode(t testing.TB, name string, o nodeOptions) *node {
	t.Helper()
	n := &node{address: o.address}
	log := zerolog.New(zerolog.NewTestWriter(t)).With().Str("node", name).Logger()
	if _, fuzzing := t.(*testing.F); fuzzing || !testing.Verbose() { // a fuzz target may not log by its F
		log = zerolog.Nop()
	}
	n.System = actor.NewSystem(actor.SystemOptions{
		Node: name, Role: o.role, Incarnation: o.incarnation, MailboxLimit: o.limit, Log: log,
		OnDeadLetter: func(d actor.DeadLetter) { n.dead.Add(int64(d.Count)) },
	})
	options := Options{System: n.System, Network: o.network, Advertise: o.address}
	var listener net.Listener
	if o.address != "" {
		network := o.network
		if network == nil {
			network = tcp{}
		}
		var err error
		if listener, err = network.Listen(o.address); err != nil {
			t.Fatal(err)
		}
		n.address = listener.Addr().String()
		options.Advertise = n.address
	}
	if o.change != nil {
		o.change(&options)
	}
	var err error
	if n.remote, err = Start(options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.shutDown(t) }) // so that a test that fails ends
	if listener != nil {
		go func() { _ = n.remote.Serve(listener) }()
	}
	return n
}

// shutDown ends a node as a program would.
func (n *node) shutDown(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.System.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := n.remote.Close(ctx); err != nil {
		t.Error(err)
	}
}

// kill ends a node's connections as its death would: nobody says goodbye.
func (n *node) kill(t testing.TB, network *MemoryNetwork, others ...string) {
	t.Helper()
	for _, other := range others {
		network.Break(n.Node(), other)
	}
	n.shutDown(t)
}

func text(s string) *wrapperspb.StringValue { return wrapperspb.String(s) }

// echo answers what it is asked.
func echo() actor.Actor {
	return actor.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *wrapperspb.StringValue:
			if m.Value == "die" {
				panic("as told")
			}
			if m.Value == "stop" {
				ctx.Stop(ctx.Self())
				return
			}
			ctx.Reply(text(m.Value + " to you, " + string(ctx.SenderRole())))
		}
	})
}

// watcher links to PIDs and collects their exits.
type watcher struct {
	exits chan actor.Exited
	pid   actor.PID
}

// watch returns a watcher that has asked for its links.
func watch(n *node, targets ...actor.PID) *watcher {
	w, linked := &watcher{exits: make(chan actor.Exited, 1000)}, make(chan struct{})
	w.pid = n.Spawn("watcher", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case actor.Started:
				for _, target := range targets {
					ctx.Link(target)
					ctx.Link(target)
				}
				close(linked)
			case actor.Exited:
				w.exits <- m
			}
		})
	})
	<-linked
	return w
}

// reasons are the exits that have come so far.
func (w *watcher) reasons() []actor.Reason {
	var reasons []actor.Reason
	for {
		select {
		case e := <-w.exits:
			reasons = append(reasons, e.Reason)
		default:
			return reasons
		}
	}
}
