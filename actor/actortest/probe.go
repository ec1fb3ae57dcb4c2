// Package actortest has probes: actors that a test looks through.
//
// A [Probe] records every message that it gets, in order, and does what the test tells it to do, as an actor. A test
// waits for what must come, never for time to pass:
//
//	probe := actortest.NewProbe(t, sys)
//	probe.Link(pid)
//	probe.Send(pid, &hello.Hello{Name: "you"})
//	probe.Expect(t, &hello.Welcome{Name: "you"})
//	exited := actortest.Await[actor.Exited](t, probe)
//
// It works with real time and in a testing/synctest bubble.
package actortest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/actor"
)

// Deadline is how long a probe waits for a message before the test fails.
const Deadline = 10 * time.Second

// Received is a message that a probe got.
type Received struct {
	From    actor.PID
	Role    actor.Role
	Message any
}

// Probe is an actor of a test. Its methods may be called from any goroutine but its own.
type Probe struct {
	sys *actor.System
	pid actor.PID

	mu      sync.Mutex
	got     []Received
	seen    int           // how many of got were asked for
	arrived chan struct{} // closed when there is more
	react   func(ctx actor.Context)
}

// do has the probe run f as itself.
type do struct {
	f    func(ctx actor.Context)
	done chan struct{}
}

// NewProbe spawns a probe, which is stopped when the test ends.
func NewProbe(t testing.TB, sys *actor.System) *Probe {
	t.Helper()
	return Named(t, sys, "probe")
}

// Named spawns a probe under a name of its own.
func Named(t testing.TB, sys *actor.System, name string) *Probe {
	t.Helper()
	p := &Probe{sys: sys, arrived: make(chan struct{})}
	p.pid = sys.Spawn(name, func() actor.Actor { return actor.Func(p.receive) })
	t.Cleanup(func() { sys.Stop(p.pid) })
	return p
}

func (p *Probe) receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started, actor.Stopping:
		return
	case do:
		defer close(m.done)
		m.f(ctx)
		return
	}
	p.mu.Lock()
	p.got = append(p.got, Received{From: ctx.Sender(), Role: ctx.SenderRole(), Message: ctx.Message()})
	close(p.arrived)
	p.arrived = make(chan struct{})
	react := p.react
	p.mu.Unlock()
	if react != nil {
		react(ctx)
	}
}

// PID is the probe's.
func (p *Probe) PID() actor.PID { return p.pid }

// Do runs f as the probe, and waits until it has run.
func (p *Probe) Do(f func(ctx actor.Context)) {
	m := do{f: f, done: make(chan struct{})}
	p.sys.Send(p.pid, m)
	select {
	case <-m.done:
	case <-p.sys.Done(p.pid):
	}
}

// React has the probe call f for every message from now on, after recording it: to answer, for example.
func (p *Probe) React(f func(ctx actor.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.react = f
}

// Send sends as the probe.
func (p *Probe) Send(to actor.PID, m any) { p.Do(func(ctx actor.Context) { ctx.Send(to, m) }) }

// Ask asks as the probe, which gets the actor.Answer.
func (p *Probe) Ask(to actor.PID, m any, timeout time.Duration) (id actor.AskID) {
	p.Do(func(ctx actor.Context) { id = ctx.Ask(to, m, timeout) })
	return id
}

// Link links the probe, which gets the actor.Exited.
func (p *Probe) Link(to actor.PID) { p.Do(func(ctx actor.Context) { ctx.Link(to) }) }

// Unlink takes a link of the probe back.
func (p *Probe) Unlink(to actor.PID) { p.Do(func(ctx actor.Context) { ctx.Unlink(to) }) }

// Next waits for the next message that was not asked for yet.
func (p *Probe) Next(t testing.TB) Received {
	t.Helper()
	r, err := p.next()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *Probe) next() (Received, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	for {
		p.mu.Lock()
		if p.seen < len(p.got) {
			p.seen++
			r := p.got[p.seen-1]
			p.mu.Unlock()
			return r, nil
		}
		arrived := p.arrived
		p.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return Received{}, fmt.Errorf("%v got no message within %v", p.pid, Deadline)
		}
	}
}

// Expect waits for the next message, which must be equal to want; protobufs are compared by their fields. It returns it with its sender.
func (p *Probe) Expect(t testing.TB, want any, opts ...cmp.Option) Received {
	t.Helper()
	r := p.Next(t)
	if diff := cmp.Diff(want, r.Message, append(opts, protocmp.Transform())...); diff != "" {
		t.Fatalf("%v got another message than expected (-want +got):\n%s", p.pid, diff)
	}
	return r
}

// Await waits for the next message of type T, and passes over those of other types.
func Await[T any](t testing.TB, p *Probe) T {
	t.Helper()
	for {
		r, err := p.next()
		if err != nil {
			var want T
			t.Fatalf("waiting for a %T: %v", want, err)
		}
		if m, ok := r.Message.(T); ok {
			return m
		}
	}
}

// Received is all that the probe got so far.
func (p *Probe) Received() []Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Received(nil), p.got...)
}

// ExpectNone fails the test if a message has arrived that was not asked for. In a testing/synctest bubble call
// synctest.Wait before; else something must have happened that would have come after it.
func (p *Probe) ExpectNone(t testing.TB) {
	t.Helper()
	p.Do(func(actor.Context) {})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.got[p.seen:] {
		t.Errorf("%v got a message that was not expected, from %v: %T %v", p.pid, r.From, r.Message, r.Message)
	}
}
