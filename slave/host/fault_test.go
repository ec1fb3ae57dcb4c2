package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
	"github.com/stoa-project/stoa/slave/host"
)

// broken is a containerizer that does one thing as a test wants, and the rest as the one in it.
type broken struct {
	containerizer.Containerizer
	start func(inner containerizer.Containerizer, ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error)
}

func (b broken) Start(ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error) {
	return b.start(b.Containerizer, ctx, spec, stdio)
}

// fakes is a rig whose commands are not run, in fake time.
func fakes(answer func(containerizer.Spec) fake.Behaviour, change func(*host.Config)) (*fake.Containerizer, func(*host.Config)) {
	containers := fake.New(fake.Options{Answer: answer})
	return containers, func(c *host.Config) {
		c.Containerizer, c.DirectOutput = containers, true
		if change != nil {
			change(c)
		}
	}
}

// commandExecutor is the simplest there is: it starts its container and passes on what the host says.
func commandExecutor(report func(ctx actor.Context, host actor.PID)) func(*wire.LaunchExecutor, actor.PID, actor.PID) func() actor.Actor {
	return func(launch *wire.LaunchExecutor, _, host actor.PID) func() actor.Actor {
		return func() actor.Actor {
			return actor.Func(func(ctx actor.Context) {
				if _, ok := ctx.Message().(actor.Started); ok {
					ctx.Send(host, &wire.StartContainer{
						ContainerId: launch.GetContainerId(), Command: &mesos.CommandInfo{Value: proto.String("work")}, Directory: launch.GetDirectory(),
					})
				}
				report(ctx, host)
			})
		}
	}
}

func (r *rig) launchCommandExecutor(id string) {
	r.t.Helper()
	r.slave.Send(r.host, &wire.LaunchExecutor{ContainerId: mesos.NewContainerID(id), Directory: r.sandbox(id), CommandExecutor: true})
}

func TestAKillDuringTheStartIsAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		containers, change := fakes(func(containerizer.Spec) fake.Behaviour {
			return fake.Behaviour{StartLasts: time.Hour, Lasts: fake.Forever}
		}, nil)
		r := newRig(t, change)
		r.launch("c1", "work")
		synctest.Wait()
		r.slave.Send(r.host, &wire.KillExecutor{ContainerId: mesos.NewContainerID("c1")})
		if exit := r.ended("c1"); exit.GetCause() != wire.ContainerExit_KILLED || exit.GetStartedUnixNanos() != 0 {
			t.Errorf("exit %v, want KILLED and never started", exit)
		}
		if n := containers.Running(); n != 0 {
			t.Errorf("%d containers run", n)
		}
	})
}

func TestAKillThatTheStartOutranIsAKillToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, change := fakes(func(containerizer.Spec) fake.Behaviour { return fake.Behaviour{Lasts: fake.Forever} }, nil)
		deaf := broken{inner, func(c containerizer.Containerizer, _ context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error) {
			time.Sleep(time.Minute) // a step of the start that does not look at its context
			return c.Start(context.Background(), spec, stdio)
		}}
		r := newRig(t, func(c *host.Config) { change(c); c.Containerizer = deaf })
		r.launch("c1", "work")
		synctest.Wait()
		r.slave.Send(r.host, &wire.KillExecutor{ContainerId: mesos.NewContainerID("c1")})
		if exit := actortest.Await[*wire.ExecutorEnded](t, awaitLong(r)).GetExit(); exit.GetCause() != wire.ContainerExit_KILLED {
			t.Errorf("exit %v, want KILLED", exit)
		}
		if n := inner.Running(); n != 0 {
			t.Errorf("%d containers run", n)
		}
	})
}

// awaitLong lets more fake time pass than a probe waits for.
func awaitLong(r *rig) *actortest.Probe {
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	return r.slave
}

func TestNoMoreContainersStartAtATimeThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const starts, limit, n = time.Second, 3, 7
		_, change := fakes(func(containerizer.Spec) fake.Behaviour { return fake.Behaviour{StartLasts: starts} }, func(c *host.Config) { c.ParallelStarts = limit })
		r := newRig(t, change)
		began := time.Now()
		for i := range n {
			r.launch("c"+string(rune('0'+i)), "work")
		}
		for range n {
			actortest.Await[*wire.ExecutorEnded](t, r.slave)
		}
		if took := time.Since(began); took != 3*starts {
			t.Errorf("%d starts, %d at a time, took %s, want 3 s", n, limit, took)
		}
	})
}

func TestTheCommandExecutorHearsOfItsContainerAndTheSlaveOfTheExecutor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		_, change := fakes(func(containerizer.Spec) fake.Behaviour {
			return fake.Behaviour{Lasts: time.Second, Status: fake.Exited(3)}
		}, func(c *host.Config) {
			c.CommandExecutor = commandExecutor(func(ctx actor.Context, _ actor.PID) {
				switch m := ctx.Message().(type) {
				case *wire.ContainerStarted:
					heard = append(heard, "started")
				case *wire.ContainerExited:
					heard = append(heard, m.GetExit().GetCause().String())
					ctx.After(time.Second, "acknowledged")
				case string:
					ctx.Stop(ctx.Self())
				}
			})
		})
		r := newRig(t, change)
		began := time.Now()
		r.launchCommandExecutor("c1")
		r.slave.Expect(t, &wire.ExecutorStarted{ContainerId: mesos.NewContainerID("c1")})
		if exit := r.ended("c1"); exit.GetWaitStatus() != 3<<8 {
			t.Errorf("exit %v, want status 3", exit)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the executor ended after %s: it lives until its last update is acknowledged, 2 s", took)
		}
		if got := strings.Join(heard, " "); got != "started EXITED" {
			t.Errorf("the executor heard %q", got)
		}
	})
}

func TestACommandExecutorThatFailsTakesItsContainerAlongAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		containers, change := fakes(func(spec containerizer.Spec) fake.Behaviour { return fake.Behaviour{Lasts: fake.Forever} }, func(c *host.Config) {
			c.CommandExecutor = commandExecutor(func(ctx actor.Context, _ actor.PID) {
				if _, ok := ctx.Message().(*wire.ContainerStarted); ok {
					panic("out of luck")
				}
			})
		})
		r := newRig(t, change)
		r.launch("c0", "work")
		actortest.Await[*wire.ExecutorStarted](t, r.slave)
		r.launchCommandExecutor("c1")
		exit := r.ended("c1")
		if exit.GetCause() != wire.ContainerExit_KILLED || exit.GetMessage() != "the command executor failed: panic: out of luck" {
			t.Errorf("exit %v", exit)
		}
		if n := containers.Running(); n != 1 {
			t.Errorf("%d containers run, want the other one", n)
		}
	})
}

func TestAContainerWhoseActorFailsIsKilledAndReported(t *testing.T) {
	for name, start := range map[string]func(inner containerizer.Containerizer, ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error){
		"in its start": func(containerizer.Containerizer, context.Context, containerizer.Spec, containerizer.Stdio) (containerizer.Container, error) {
			panic("out of luck")
		},
		"in its wait": func(inner containerizer.Containerizer, ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error) {
			c, err := inner.Start(ctx, spec, stdio)
			return unlucky{c}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner, change := fakes(func(containerizer.Spec) fake.Behaviour { return fake.Behaviour{Lasts: fake.Forever} }, nil)
				first := true
				r := newRig(t, func(c *host.Config) {
					change(c)
					c.Containerizer = broken{inner, func(b containerizer.Containerizer, ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error) {
						if first {
							first = false
							return start(b, ctx, spec, stdio)
						}
						return b.Start(ctx, spec, stdio)
					}}
				})
				r.launch("c1", "work")
				exit := r.ended("c1")
				if !strings.Contains(exit.GetMessage(), "the container's actor failed: panic: out of luck") {
					t.Errorf("exit %v", exit)
				}
				synctest.Wait()
				if n := inner.Running(); n != 0 {
					t.Errorf("%d containers run", n)
				}
				r.launch("c2", "work") // the host lives on
				actortest.Await[*wire.ExecutorStarted](t, r.slave)
			})
		})
	}
}

// unlucky is a container that nobody can wait for.
type unlucky struct{ containerizer.Container }

func (unlucky) Wait() (containerizer.Exit, error) { panic("out of luck") }

func TestOnlyTheOwnerOfAContainerCommandsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		containers, change := fakes(func(containerizer.Spec) fake.Behaviour { return fake.Behaviour{Lasts: fake.Forever} }, nil)
		r := newRig(t, change)
		r.launch("c1", "work")
		actortest.Await[*wire.ExecutorStarted](t, r.slave)
		stranger := actortest.Named(t, r.sys, "stranger")
		id := mesos.NewContainerID("c1")
		for _, m := range []any{
			&wire.KillContainer{ContainerId: id}, &wire.SignalContainer{ContainerId: id, Signal: 15}, &wire.KillExecutor{ContainerId: id},
			&wire.StartContainer{ContainerId: id},
		} {
			stranger.Send(r.host, m)
			r.sys.Send(r.host, m)
		}
		stranger.Send(r.host, &wire.LaunchExecutor{ContainerId: mesos.NewContainerID("c2"), Directory: r.sandbox("c2"), Executor: &mesos.ExecutorInfo{Command: &mesos.CommandInfo{Value: proto.String("x")}}})
		synctest.Wait()
		if n := containers.Running(); n != 1 {
			t.Errorf("%d containers run, want the one that nobody may touch", n)
		}
		r.slave.ExpectNone(t)
	})
}

func TestWithARecoveryTimeoutTheSlaveMayComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		containers, change := fakes(func(containerizer.Spec) fake.Behaviour { return fake.Behaviour{Lasts: 3 * time.Second} }, func(c *host.Config) { c.RecoveryTimeout = 10 * time.Second })
		r := newRig(t, change)
		r.launch("c1", "work")
		actortest.Await[*wire.ExecutorStarted](t, r.slave)
		r.sys.Stop(r.slave.PID())
		time.Sleep(5 * time.Second)
		if containers.Running() != 0 || len(r.done) != 0 {
			t.Fatal("the container should have ended by itself, and the host be there")
		}
		r.slave = actortest.Named(t, r.sys, "slave")
		registered := r.slave.Next(t)
		r.slave.Send(registered.From, &wire.HostRegistered{})
		if exit := r.ended("c1"); exit.GetCause() != wire.ContainerExit_EXITED { // told now, not lost
			t.Errorf("exit %v, want EXITED", exit)
		}
		r.sys.Stop(r.slave.PID())
		began := time.Now()
		if err := <-r.done; err == nil {
			t.Error("the host ended without saying why")
		}
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("the host waited for its slave for %s, want 10 s", took)
		}
	})
}

func TestWhoeverStillHoldsTheOutputOfAContainerThatIsGoneIsNotWaitedFor(t *testing.T) {
	held := make(chan *os.File, 1)
	inner := fake.New(fake.Options{Answer: func(containerizer.Spec) fake.Behaviour { return fake.Behaviour{Stdout: "last words"} }})
	r := newRig(t, func(c *host.Config) {
		c.Containerizer = broken{inner, func(b containerizer.Containerizer, ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error) {
			fd, err := syscall.Dup(int(stdio.Stdout.Fd()))
			if err != nil {
				return nil, err
			}
			held <- os.NewFile(uintptr(fd), "held")
			return b.Start(ctx, spec, stdio)
		}}
	})
	sandbox := r.launch("c1", "work")
	r.ended("c1")
	if out := read(t, filepath.Join(sandbox, "stdout")); out != "last words" {
		t.Errorf("stdout %q", out)
	}
	outsider := <-held
	defer outsider.Close()
	if _, err := outsider.Write([]byte("too late")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the pipe is still read: %v", err)
	}
}
