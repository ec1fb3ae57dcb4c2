package remote

import (
	"strings"
	"testing"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// An id is only a claim. Who has another's role or certificate can't take over its session with it.

func TestAnIdThatIsConnectedInOneRoleIsRefusedInAnother(t *testing.T) {
	a := newNode(t, "a", nodeOptions{address: "127.0.0.1:0"})
	a.Spawn("echo", echo)
	b := newNode(t, "b", nodeOptions{role: "boss", incarnation: 1})
	probe := actortest.NewProbe(t, b.System)
	probe.Link(actor.At(a.address, "echo"))
	probe.Send(actor.At(a.address, "echo"), text("hello"))
	probe.Expect(t, text("hello to you, boss"))

	impostor := newNode(t, "b", nodeOptions{role: "worker", incarnation: 2})
	in := actortest.NewProbe(t, impostor.System)
	in.Link(actor.At(a.address, "echo"))
	exited := actortest.Await[actor.Exited](t, in)
	if exited.Reason != actor.Refused || !strings.Contains(exited.Err.Error(), "b is the id of a boss that is connected") {
		t.Errorf("the impostor got %v: %v", exited.Reason, exited.Err)
	}
	probe.Send(actor.At(a.address, "echo"), text("hello"))
	probe.Expect(t, text("hello to you, boss"))

	reborn := newNode(t, "b", nodeOptions{role: "boss", incarnation: 3})
	again := actortest.NewProbe(t, reborn.System)
	again.Send(actor.At(a.address, "echo"), text("hello"))
	again.Expect(t, text("hello to you, boss"))
	for _, n := range []*node{b, impostor, reborn, a} {
		n.shutDown(t)
	}
}

func TestWhatIsSentToAnAddressGoesToWhoAnswersThere(t *testing.T) {
	a := newNode(t, "a", nodeOptions{address: "127.0.0.1:0"})
	b := newNode(t, "b", nodeOptions{address: "127.0.0.1:0", role: "boss", incarnation: 1})
	b.Spawn("echo", echo)
	impostor := newNode(t, "b", nodeOptions{role: "worker", incarnation: 2})
	impostor.Spawn("echo", echo)
	a.Spawn("echo", echo)
	in := actortest.NewProbe(t, impostor.System)
	in.Send(actor.At(a.address, "echo"), text("hello"))
	in.Expect(t, text("hello to you, worker"))

	probe := actortest.NewProbe(t, a.System)
	probe.Send(actor.At(b.address, "echo"), text("hello"))
	if got := probe.Next(t); got.From.Incarnation != 1 {
		t.Errorf("%v of incarnation %d answered, expected the node at the address", got.Message, got.From.Incarnation)
	}
	for _, n := range []*node{b, impostor, a} {
		n.shutDown(t)
	}
}
