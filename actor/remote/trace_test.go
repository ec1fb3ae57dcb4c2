package remote

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

func TestEachMessageIsTracedOnceOnBothSidesInOrder(t *testing.T) {
	type trace struct {
		mu    sync.Mutex
		lines []string
	}
	traced := func(into *trace) func(*Options) {
		return func(o *Options) {
			o.Trace = func(m Traced) {
				into.mu.Lock()
				defer into.mu.Unlock()
				into.lines = append(into.lines, fmt.Sprintf("%s %v %s %s", m.Peer.Node, m.Sent, m.To, m.Message.(*wrapperspb.StringValue).Value))
			}
		}
	}
	var inA, inB trace
	a := newNode(t, "a", nodeOptions{address: "127.0.0.1:0", change: traced(&inA)})
	b := newNode(t, "b", nodeOptions{change: traced(&inB)})
	a.Spawn("echo", echo)
	probe := actortest.Named(t, b.System, "probe")
	var wantA, wantB []string
	for i := range 3 {
		question := fmt.Sprint("question ", i)
		probe.Send(actor.At(a.address, "echo"), text(question))
		probe.Expect(t, text(question+" to you, "))
		wantA = append(wantA, "b false echo "+question, "b true probe "+question+" to you, ")
		wantB = append(wantB, "a true echo "+question, "a false probe "+question+" to you, ")
	}
	encoded := actortest.Named(t, a.System, "answerer")
	probe.Send(actor.At(a.address, "answerer"), text("in parts"))
	encoded.Send(encoded.Expect(t, text("in parts")).From, Encoded{Message: text(""), Parts: [][]byte{{10, 5, 'w'}, []byte("hole")}})
	probe.Expect(t, text("whole"))
	wantA = append(wantA, "b false answerer in parts", "b true probe whole")
	wantB = append(wantB, "a true answerer in parts", "a false probe whole")
	b.shutDown(t)
	a.shutDown(t)
	if !slices.Equal(inA.lines, wantA) || !slices.Equal(inB.lines, wantB) {
		t.Errorf("traced are\n%q\n%q, expected\n%q\n%q", inA.lines, inB.lines, wantA, wantB)
	}
}
