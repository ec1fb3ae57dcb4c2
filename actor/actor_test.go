package actor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a story in fake time, on a node that is shut down at its end.
func bubble(t *testing.T, o actor.SystemOptions, story func(t *testing.T, sys *actor.System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if o.Node == "" {
			o.Node = "here"
		}
		sys := actor.NewSystem(o)
		defer func() {
			if err := sys.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		story(t, sys)
	})
}

// puppet does as it is told: a func(actor.Context) runs, a panic of text is one, the rest is answered with itself.
func puppet() actor.Actor {
	return actor.Func(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case func(actor.Context):
			m(ctx)
		case string:
			ctx.Reply(m)
		}
	})
}

func die(actor.Context) { panic("as told") }

func stop(ctx actor.Context) { ctx.Stop(ctx.Self()) }

// ignoreErr compares exits by who and why.
func ignoreErr() cmp.Option { return cmpopts.IgnoreFields(actor.Exited{}, "Err") }

func TestMessagesArriveInOrderBetweenStartedAndStopping(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		var got []string
		pid := sys.Spawn("a", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				got = append(got, fmt.Sprintf("%T %v", ctx.Message(), ctx.Message()))
			})
		})
		for i := range 1000 {
			sys.Send(pid, i)
		}
		synctest.Wait()
		sys.Stop(pid)
		<-sys.Done(pid)
		want := []string{"actor.Started {}"}
		for i := range 1000 {
			want = append(want, fmt.Sprintf("int %d", i))
		}
		if diff := cmp.Diff(append(want, "actor.Stopping {}"), got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestALinkEndsWithExactlyOneExited(t *testing.T) {
	unknown := actor.PID{Node: "here", Incarnation: 1, Name: "nobody"}
	oldLife := actor.PID{Node: "here", Incarnation: 99, Name: "target"}
	elsewhere := actor.PID{Node: "there", Incarnation: 1, Name: "target"}
	for _, c := range []struct {
		name   string
		target actor.PID
		end    func(sys *actor.System, target actor.PID)
		want   actor.Reason
	}{
		{"when the actor is stopped", actor.PID{}, func(sys *actor.System, pid actor.PID) { sys.Stop(pid) }, actor.Stopped},
		{"when it stops itself", actor.PID{}, func(sys *actor.System, pid actor.PID) { sys.Send(pid, stop) }, actor.Stopped},
		{"when it panics", actor.PID{}, func(sys *actor.System, pid actor.PID) { sys.Send(pid, die) }, actor.Panicked},
		{"when it panics and is stopped", actor.PID{}, func(sys *actor.System, pid actor.PID) { sys.Send(pid, die); sys.Stop(pid); sys.Stop(pid) }, 0},
		{"when there is no such actor", unknown, nil, actor.NoSuchActor},
		{"when the PID is of another life of the node", oldLife, nil, actor.NewIncarnation},
		{"when the node can't be reached", elsewhere, nil, actor.Unreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, actor.SystemOptions{Incarnation: 1}, func(t *testing.T, sys *actor.System) {
				target := c.target
				if target.IsZero() {
					target = sys.Spawn("target", puppet)
				}
				probe := actortest.NewProbe(t, sys)
				probe.Do(func(ctx actor.Context) {
					ctx.Link(target)
					ctx.Link(target)
				})
				if c.end != nil {
					probe.ExpectNone(t)
					c.end(sys, target)
				}
				exited := actortest.Await[actor.Exited](t, probe)
				if exited.PID != target || (exited.Reason != c.want && c.want != 0) {
					t.Errorf("got %+v, expected %v of %v", exited, c.want, target)
				}
				synctest.Wait()
				probe.ExpectNone(t)

				probe.Link(target) // gone by now
				again := actortest.Await[actor.Exited](t, probe)
				if c.end != nil && again.Reason != actor.NoSuchActor {
					t.Errorf("a link to an actor that has gone ended with %v, expected %v", again.Reason, actor.NoSuchActor)
				}
				synctest.Wait()
				probe.ExpectNone(t)
			})
		})
	}
}

func TestAnUnlinkedActorExitsInSilence(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		target := sys.Spawn("target", puppet)
		probe := actortest.NewProbe(t, sys)
		probe.Link(target)
		probe.Unlink(target)
		sys.Stop(target)
		<-sys.Done(target)
		probe.Do(func(ctx actor.Context) {
			ctx.Link(target)
			ctx.Unlink(target) // its Exited is in the mailbox already
		})
		synctest.Wait()
		probe.ExpectNone(t)

		name := actor.At("", "probe/child")
		probe.Do(func(ctx actor.Context) {
			ctx.Link(name) // nobody has it: Exited is in the mailbox
			ctx.Unlink(name)
			ctx.Spawn("child", puppet)
			ctx.Link(name) // another link
		})
		synctest.Wait()
		probe.ExpectNone(t)
		child, _ := sys.Lookup("probe/child")
		sys.Stop(child)
		probe.Expect(t, actor.Exited{PID: child, Reason: actor.Stopped})
		probe.Expect(t, actor.Exited{PID: name, Reason: actor.Stopped})
	})
}

func TestExitedComesAfterTheLastMessageOfTheActor(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		target := sys.Spawn("target", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if _, last := ctx.Message().(actor.Stopping); last {
					ctx.Send(probe.PID(), "last words")
				}
			})
		})
		probe.Link(target)
		sys.Stop(target)
		probe.Expect(t, "last words")
		probe.Expect(t, actor.Exited{PID: target, Reason: actor.Stopped})
	})
}

func TestAnActorThatPanicsDiesWithItsChildrenAndItsMail(t *testing.T) {
	var lost []actor.DeadLetter
	var panics []any
	o := actor.SystemOptions{
		OnDeadLetter: func(d actor.DeadLetter) { lost = append(lost, d) },
		OnPanic:      func(_ actor.PID, value any, stack []byte) { panics = append(panics, value) },
	}
	bubble(t, o, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		parent := sys.Spawn("parent", puppet)
		var child actor.PID
		ready := make(chan struct{})
		sys.Send(parent, func(ctx actor.Context) {
			child = ctx.Spawn("child", puppet)
			close(ready)
		})
		<-ready
		probe.Link(parent)
		probe.Link(child)
		sys.Send(parent, func(ctx actor.Context) {
			ctx.Send(ctx.Self(), "never read")
			panic("as told")
		})
		probe.Expect(t, actor.Exited{PID: child, Reason: actor.Stopped})
		exited := actortest.Await[actor.Exited](t, probe)
		var panicked *actor.PanicError
		if exited.PID != parent || exited.Reason != actor.Panicked || !errors.As(exited.Err, &panicked) {
			t.Fatalf("got %+v, expected %v panicked", exited, parent)
		}
		if panicked.Value != "as told" || !slices.Equal(panics, []any{"as told"}) {
			t.Errorf("panic %v, reported as %v", panicked.Value, panics)
		}
		if len(lost) != 1 || lost[0].Message != "never read" || lost[0].To != parent || lost[0].From != parent {
			t.Errorf("dead letters %+v, expected what the actor had sent to itself", lost)
		}
		probe.ExpectNone(t)
	})
}

func TestEveryWayToFailIsADeath(t *testing.T) {
	for _, c := range []struct {
		name    string
		produce func() actor.Actor
	}{
		{"its producer panics", func() actor.Actor { panic("as told") }},
		{"Started panics", func() actor.Actor { return actor.Func(die) }},
		{"Async panics", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				ctx.Async(func(context.Context) any { panic("as told") })
			})
		}},
		{"Async ends its goroutine", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				ctx.Async(func(context.Context) any { runtime.Goexit(); return nil })
			})
		}},
		{"it ends its goroutine", func() actor.Actor { return actor.Func(func(actor.Context) { runtime.Goexit() }) }},
		{"Stopping panics", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				switch ctx.Message().(type) {
				case actor.Started:
					ctx.Stop(ctx.Self())
				case actor.Stopping:
					panic("as told")
				}
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
				probe := actortest.NewProbe(t, sys)
				var child actor.PID
				probe.Do(func(ctx actor.Context) { child = ctx.Spawn("child", c.produce) })
				probe.Expect(t, actor.Exited{PID: child, Reason: actor.Panicked}, ignoreErr())
				synctest.Wait()
				probe.ExpectNone(t)
				if panics := sys.Stats().Panics; panics != 1 {
					t.Errorf("%d panics counted, expected 1", panics)
				}
			})
		})
	}
}

func TestRebirthIsANewActorUnderTheOldRegisteredName(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		var old actor.PID
		lives := 0
		produce := func() actor.Actor { lives++; return puppet() }
		probe.Do(func(ctx actor.Context) {
			old = ctx.Spawn("child", produce, actor.Reborn(actor.Backoff{Min: time.Second, Max: 3 * time.Second, Deaths: 3}))
		})
		first := old
		for _, atLeast := range []time.Duration{800 * time.Millisecond, 1600 * time.Millisecond, 2400 * time.Millisecond} {
			start := time.Now()
			probe.Send(old, die)
			probe.Expect(t, actor.Exited{PID: old, Reason: actor.Panicked}, ignoreErr())
			born := actortest.Await[actor.Rebirth](t, probe)
			if pause := time.Since(start); pause < atLeast || pause > atLeast*3/2 {
				t.Errorf("a pause of %v, expected %v to %v", pause, atLeast, atLeast*3/2)
			}
			if born.Old != old || born.New.Is(old) {
				t.Fatalf("reborn %+v after the death of %v", born, old)
			}
			if now, ok := sys.Lookup("probe/child"); !ok || now != born.New {
				t.Errorf("the registered name is %v's (%v), expected %v", now, ok, born.New)
			}
			old = born.New
		}
		before := sys.Stats().DeadLetters
		sys.Send(first, "for one who is dead")
		sys.Send(actor.At("", "probe/child"), func(ctx actor.Context) { ctx.Send(probe.PID(), "for the living") })
		probe.Expect(t, "for the living")
		if lost := sys.Stats().DeadLetters - before; lost != 1 {
			t.Errorf("%d dead letters, expected 1: the new life must not get the old one's mail", lost)
		}
		if lives != 4 {
			t.Errorf("%d lives, expected 4", lives)
		}
	})
}

func TestAParentWhoseChildDiesTooOftenGivesUp(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		var supervisor actor.PID
		probe.Do(func(ctx actor.Context) {
			supervisor = ctx.Spawn("supervisor", actor.Supervise(
				actor.Child{Name: "steady", Produce: puppet},
				actor.Child{Name: "doomed", Produce: func() actor.Actor { return actor.Func(die) }, Backoff: actor.Backoff{Deaths: 5}},
			))
		})
		exited := actortest.Await[actor.Exited](t, probe)
		var gaveUp *actor.GaveUpError
		if exited.PID != supervisor || !errors.As(exited.Err, &gaveUp) || gaveUp.Deaths != 6 {
			t.Fatalf("got %+v, expected %v to give up after 6 deaths", exited, supervisor)
		}
		if _, alive := sys.Lookup("probe/supervisor/steady"); alive {
			t.Error("the other child outlived its parent")
		}
	})
}

func TestAnActorThatIsStoppedIsNotReborn(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		probe.Do(func(ctx actor.Context) { ctx.Stop(ctx.Spawn("child", puppet, actor.Reborn(actor.Backoff{}))) })
		if exited := actortest.Await[actor.Exited](t, probe); exited.Reason != actor.Stopped {
			t.Errorf("got %+v", exited)
		}
		root := sys.Spawn("root", puppet, actor.Reborn(actor.Backoff{}))
		sys.Send(root, die)
		<-sys.Done(root)
		time.Sleep(time.Second) // the back-off
		second, ok := sys.Lookup("root")
		if !ok || second.Is(root) {
			t.Fatalf("the root actor is %v (%v), expected a new life", second, ok)
		}
		sys.Stop(second)
		<-sys.Done(second)
		time.Sleep(time.Hour)
		if third, ok := sys.Lookup("root"); ok {
			t.Errorf("%v was born after its last life was stopped", third)
		}
		probe.ExpectNone(t)
	})
}

func TestAFullMailboxLosesTheMessageAndEndsTheLinks(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		busy := make(chan struct{})
		slow := sys.Spawn("slow", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if ctx.Message() == 0 {
					<-busy
				}
			})
		}, actor.MailboxLimit(10))
		sender, bystander := actortest.Named(t, sys, "sender"), actortest.Named(t, sys, "bystander")
		sender.Link(slow)
		bystander.Link(slow)
		sys.Send(slow, 0)
		synctest.Wait()
		for i := range 10 {
			sender.Send(slow, i+1)
		}
		sender.ExpectNone(t)
		id := sender.Ask(slow, "one too many", time.Minute)
		answer := actortest.Await[actor.Answer](t, sender)
		if answer.ID != id || !exitedWith(actor.Overflow)(answer.Err) {
			t.Errorf("got %+v, expected an overflow", answer)
		}
		sender.Expect(t, actor.Exited{PID: slow, Reason: actor.Overflow})
		if stats := sys.Stats(); stats.DeadLetters != 1 || stats.MailboxHighWater != 10 {
			t.Errorf("%+v, expected 1 dead letter and at most 10 waiting", stats)
		}
		close(busy)
		synctest.Wait()
		bystander.ExpectNone(t)
		sys.Stop(slow)
		bystander.Expect(t, actor.Exited{PID: slow, Reason: actor.Stopped})
		synctest.Wait()
		sender.ExpectNone(t)
	})
}

func TestATimerThatWasCancelledNeverComes(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		start := time.Now()
		probe.Do(func(ctx actor.Context) {
			ctx.After(3*time.Second, "third")
			ctx.After(time.Second, "first")
			ctx.After(2*time.Second, "cancelled").Cancel()
			now := ctx.After(0, "cancelled while it waits in the mailbox")
			time.Sleep(time.Millisecond)
			now.Cancel()
			now.Cancel()
			ctx.After(2*time.Second, "second")
		})
		probe.Expect(t, "first")
		probe.Expect(t, "second")
		probe.Expect(t, "third")
		if passed := time.Since(start); passed != 3*time.Second {
			t.Errorf("%v passed, expected 3s", passed)
		}
		time.Sleep(time.Minute)
		probe.ExpectNone(t)
		actor.Timer{}.Cancel()
	})
}

func TestAnActorWakesOnceAtTheTimeItLastAskedFor(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		start := time.Now()
		wakeAt := func(d time.Duration) { probe.Do(func(ctx actor.Context) { ctx.WakeAt(start.Add(d)) }) }
		wakeAt(time.Second)
		wakeAt(3 * time.Second)
		wakeAt(3 * time.Second)
		probe.Expect(t, actor.Wake{})
		if passed := time.Since(start); passed != 3*time.Second {
			t.Errorf("woke after %v, expected 3s", passed)
		}
		wakeAt(3 * time.Second) // past: at once
		probe.Expect(t, actor.Wake{})
		wakeAt(4 * time.Second)
		probe.Do(func(ctx actor.Context) { ctx.WakeAt(time.Time{}) })
		time.Sleep(time.Minute)
		probe.ExpectNone(t)
	})
}

func TestAsyncWorkEndsWithItsActor(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe := actortest.NewProbe(t, sys)
		probe.Do(func(ctx actor.Context) {
			ctx.Async(func(context.Context) any { return nil })
			ctx.Async(func(context.Context) any { time.Sleep(time.Second); return "done" })
		})
		probe.Expect(t, "done")
		ended := make(chan error, 1)
		worker := sys.Spawn("worker", func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if _, started := ctx.Message().(actor.Started); started {
					ctx.Async(func(ctx context.Context) any { <-ctx.Done(); ended <- ctx.Err(); return "nobody reads this" })
				}
			})
		})
		synctest.Wait()
		sys.Stop(worker)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the work's context ended with %v", err)
		}
		synctest.Wait()
		if lost := sys.Stats().DeadLetters; lost != 0 {
			t.Errorf("%d dead letters", lost)
		}
	})
}

func TestNamesAreUniqueInOneLifeOfANode(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		seen := make(map[string]bool)
		for range 100 {
			pid := sys.Spawn("session", puppet)
			if seen[pid.Name] {
				t.Fatalf("two actors have the name %q", pid.Name)
			}
			seen[pid.Name] = true
			if len(seen)%2 == 0 {
				sys.Stop(pid)
				<-sys.Done(pid)
			}
		}
		if !seen["session"] {
			t.Error("the first of a name did not get it")
		}
		if first, _ := sys.Lookup("session"); first.Name != "session" {
			t.Errorf("the registered name is %v's, expected that of the oldest that lives", first)
		}
		for _, bad := range []string{"", "a#1", strings.Repeat("long", actor.MaxNameBytes)} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("the name %q was taken", bad)
					}
				}()
				sys.Spawn(bad, puppet)
			}()
		}
	})
}

func TestOnlyAParentOrTheActorItselfCanStopIt(t *testing.T) {
	bubble(t, actor.SystemOptions{}, func(t *testing.T, sys *actor.System) {
		probe, stranger := actortest.NewProbe(t, sys), sys.Spawn("stranger", puppet)
		var child actor.PID
		probe.Do(func(ctx actor.Context) {
			ctx.Stop(stranger)
			child = ctx.Spawn("child", puppet)
			ctx.Stop(child)
			ctx.Stop(child)
		})
		probe.Expect(t, actor.Exited{PID: child, Reason: actor.Stopped})
		if _, alive := sys.Lookup("stranger"); !alive {
			t.Error("a stranger was stopped")
		}
	})
}

func TestShutdownEndsAllAndTellsWhoIsLinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := actor.NewSystem(actor.SystemOptions{Node: "here"})
		var order []string
		note := func(name string, produce func(ctx actor.Context)) func() actor.Actor {
			return func() actor.Actor {
				return actor.Func(func(ctx actor.Context) {
					switch m := ctx.Message().(type) {
					case actor.Started:
						produce(ctx)
					case actor.Stopping:
						order = append(order, name)
					case actor.Exited:
						t.Errorf("%s got %+v while it was stopping", name, m)
					}
				})
			}
		}
		sys.Spawn("grandparent", note("grandparent", func(ctx actor.Context) {
			ctx.Spawn("parent", note("parent", func(ctx actor.Context) { ctx.Spawn("child", note("child", func(actor.Context) {})) }))
		}))
		synctest.Wait()
		if n := sys.Stats().Actors; n != 3 {
			t.Fatalf("%d actors, expected 3", n)
		}
		reasons := make(chan actor.Reason, 1)
		watched, _ := sys.Lookup("grandparent/parent/child")
		w := sys.Watch(watched.Name, false, func(reason actor.Reason, _ error) { reasons <- reason })
		defer w.Cancel()
		if err := sys.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if reason := <-reasons; reason != actor.NodeShutdown {
			t.Errorf("the link ended with %v, expected %v", reason, actor.NodeShutdown)
		}
		if n := sys.Stats().Actors; n != 0 {
			t.Errorf("%d actors are left", n)
		}
		late := sys.Spawn("late", puppet)
		<-sys.Done(late)
		sys.Send(late, "anybody?")
		if n := sys.Stats().DeadLetters; n != 1 {
			t.Errorf("%d dead letters, expected 1", n)
		}
	})
}

func TestShutdownSaysWhoDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := actor.NewSystem(actor.SystemOptions{Node: "here"})
		release := make(chan struct{})
		sys.Spawn("stubborn", func() actor.Actor { return actor.Func(func(actor.Context) { <-release }) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := sys.Shutdown(ctx)
		if err == nil || err.Error() != "shut down: actor stubborn@here still runs: context deadline exceeded" {
			t.Errorf("got %v", err)
		}
		close(release)
		if err := sys.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
