package actor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

func TestAnAskHasExactlyOneAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		act   func(ctx actor.Context)
		want  any
		after time.Duration
		err   func(err error) bool
	}{
		{name: "when it is answered", act: func(ctx actor.Context) { ctx.Reply("yes") }, want: "yes"},
		{name: "when it is answered twice", act: func(ctx actor.Context) { ctx.Reply("yes"); ctx.Reply("no") }, want: "yes"},
		{name: "when it is answered later", want: "later", after: time.Second, act: func(ctx actor.Context) {
			asked := ctx.Asked()
			ctx.After(time.Second, func(ctx actor.Context) { ctx.ReplyTo(asked, "later") })
		}},
		{name: "when another one answers", want: "from behind", act: func(ctx actor.Context) {
			behind := ctx.Spawn("behind", func() actor.Actor {
				return actor.Func(func(ctx actor.Context) {
					if _, asked := ctx.Message().(func(actor.Context)); asked {
						ctx.Reply("from behind")
					}
				})
			})
			ctx.Forward(behind)
		}},
		{name: "when it is not", act: func(actor.Context) {}, after: time.Minute, err: func(err error) bool { return errors.Is(err, actor.ErrTimeout) }},
		{name: "when the answer is too late", after: time.Minute, err: func(err error) bool { return errors.Is(err, actor.ErrTimeout) }, act: func(ctx actor.Context) {
			asked := ctx.Asked()
			ctx.After(2*time.Minute, func(ctx actor.Context) { ctx.ReplyTo(asked, "too late") })
		}},
		{name: "when the actor panics", act: die, err: exitedWith(actor.Panicked)},
		{name: "when the actor stops", act: stop, err: exitedWith(actor.Stopped)},
		{name: "when the question is still in its mailbox", err: exitedWith(actor.NoSuchActor), act: nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
				probe := actortest.NewProbe(t, sys)
				pid := sys.Spawn("asked", puppet)
				start := time.Now()
				if c.act == nil {
					sys.Stop(pid)
					<-sys.Done(pid)
				}
				id := probe.Ask(pid, c.act, time.Minute)
				answer := actortest.Await[actor.Answer](t, awaitLong(probe, time.Minute))
				if answer.ID != id || answer.Message != c.want || time.Since(start) != c.after {
					t.Errorf("after %v: %+v; expected %v after %v", time.Since(start), answer, c.want, c.after)
				}
				if (c.err == nil) != (answer.Err == nil) || c.err != nil && !c.err(answer.Err) {
					t.Errorf("error %v", answer.Err)
				}
				time.Sleep(time.Hour)
				probe.ExpectNone(t)
			})
		})
	}
}

// awaitLong lets fake time pass that is longer than a probe waits.
func awaitLong(p *actortest.Probe, d time.Duration) *actortest.Probe {
	synctest.Wait()
	for range 60 {
		if len(p.Received()) > 0 {
			break
		}
		time.Sleep(d / 60)
		synctest.Wait()
	}
	return p
}

func exitedWith(reason actor.Reason) func(error) bool {
	return func(err error) bool {
		var exit *actor.ExitError
		return errors.As(err, &exit) && exit.Reason == reason
	}
}

func TestManyAsksKeepFewLinks(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		for i := range 100 {
			pid := sys.Spawn(fmt.Sprintf("asked%d", i), puppet)
			for range 3 {
				probe.Ask(pid, "x", time.Second)
				probe.Expect(t, actor.Answer{From: pid, Message: "x"}, cmpopts.IgnoreFields(actor.Answer{}, "ID"))
			}
			if i%2 == 0 {
				probe.Link(pid)
				sys.Stop(pid)
				probe.Expect(t, actor.Exited{PID: pid, Reason: actor.Stopped})
			}
		}
		time.Sleep(time.Minute)
		probe.ExpectNone(t)
	})
}

func TestAskFromOutsideOfActors(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		pid := sys.Spawn("asked", puppet)
		if got, err := sys.Ask(t.Context(), pid, "hello"); got != "hello" || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
		if got, err := sys.Ask(t.Context(), pid, die); !exitedWith(actor.Panicked)(err) {
			t.Errorf("got %v, %v; expected that it panicked", got, err)
		}
		if got, err := sys.Ask(t.Context(), pid, "hello"); !exitedWith(actor.NoSuchActor)(err) {
			t.Errorf("got %v, %v; expected that there is no such actor", got, err)
		}
		silent := sys.Spawn("silent", func() actor.Actor { return actor.Func(func(actor.Context) {}) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := sys.Ask(ctx, silent, "hello"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v; expected a timeout", got, err)
		}
	})
}
