package actor_test

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	proto "github.com/asynkron/protoactor-go/actor"

	"github.com/stoa-project/stoa/actor"
)

// benchmarkWindow is how many messages are under way at once, so that queues stay short.
const benchmarkWindow = 1000

// BenchmarkTell sends from outside to one actor. Its floor is protoactor's own tell, measured in the same run.
func BenchmarkTell(b *testing.B) {
	floor := tellProtoactor(b.N)
	sys := actor.NewSystem(actor.SystemOptions{})
	defer func() { _ = sys.Shutdown(context.Background()) }()
	window := make(chan struct{}, 2)
	pid := sys.Spawn("counter", func() actor.Actor {
		n := 0
		return actor.Func(func(ctx actor.Context) {
			if ctx.Message() == any(window) {
				n++
				window <- struct{}{}
			}
		})
	})
	var message any = 1
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	for i := range b.N {
		sys.Send(pid, message)
		if i%benchmarkWindow == benchmarkWindow-1 {
			sys.Send(pid, window)
			<-window
		}
	}
	sys.Send(pid, window)
	<-window
	b.ReportMetric(float64(floor)/float64(time.Since(start)), "x-floor")
}

func tellProtoactor(n int) time.Duration {
	system := proto.NewActorSystem(proto.WithLoggerFactory(silent))
	window := make(chan struct{}, 2)
	pid := system.Root.Spawn(proto.PropsFromFunc(func(ctx proto.Context) {
		if ctx.Message() == any(window) {
			window <- struct{}{}
		}
	}))
	defer system.Root.Stop(pid)
	var message any = 1
	start := time.Now()
	for i := range n {
		system.Root.Send(pid, message)
		if i%benchmarkWindow == benchmarkWindow-1 {
			system.Root.Send(pid, window)
			<-window
		}
	}
	system.Root.Send(pid, window)
	<-window
	return time.Since(start)
}

// BenchmarkAsk asks from an actor, one question at a time. Its floor is protoactor's RequestFuture.
func BenchmarkAsk(b *testing.B) {
	floor := askProtoactor(b.N)
	sys := actor.NewSystem(actor.SystemOptions{})
	defer func() { _ = sys.Shutdown(context.Background()) }()
	asked := sys.Spawn("asked", puppet)
	done := make(chan struct{})
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	n := 0
	sys.Spawn("asker", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			if n == b.N {
				close(done)
			} else {
				ctx.Ask(asked, "x", time.Minute)
			}
			n++
			if n > b.N+1 {
				n = b.N + 1
			}
		})
	})
	<-done
	b.ReportMetric(float64(floor)/float64(time.Since(start)), "x-floor")
}

func askProtoactor(n int) time.Duration {
	system := proto.NewActorSystem(proto.WithLoggerFactory(silent))
	pid := system.Root.Spawn(proto.PropsFromFunc(func(ctx proto.Context) {
		if m, ok := ctx.Message().(string); ok {
			ctx.Respond(m)
		}
	}))
	defer system.Root.Stop(pid)
	start := time.Now()
	for range n {
		if _, err := system.Root.RequestFuture(pid, "x", time.Minute).Result(); err != nil {
			panic(err)
		}
	}
	return time.Since(start)
}

// idleActors is of how many actors the memory is measured.
const idleActors = 10_000

// BenchmarkIdleActor is the memory of an actor that has started and waits. Its floor is one of protoactor's.
func BenchmarkIdleActor(b *testing.B) {
	floor := idleProtoactor()
	sys := actor.NewSystem(actor.SystemOptions{})
	before := memoryInUse()
	for range b.N {
		for range idleActors {
			sys.Spawn("idle", func() actor.Actor { return actor.Func(func(actor.Context) {}) })
		}
	}
	for sys.Stats().Actors < int64(idleActors*b.N) {
		runtime.Gosched()
	}
	bytes := float64(memoryInUse()-before) / float64(idleActors*b.N)
	b.ReportMetric(bytes, "B/actor")
	b.ReportMetric(floor, "floor-B/actor")
	b.ReportMetric(bytes/floor, "x-floor")
	_ = sys.Shutdown(context.Background())
}

func idleProtoactor() float64 {
	system := proto.NewActorSystem(proto.WithLoggerFactory(silent))
	before := memoryInUse()
	pids := make([]*proto.PID, idleActors)
	var started sync.WaitGroup
	started.Add(idleActors)
	for i := range pids {
		pids[i] = system.Root.Spawn(proto.PropsFromFunc(func(ctx proto.Context) {
			if _, ok := ctx.Message().(*proto.Started); ok {
				started.Done()
			}
		}))
	}
	started.Wait()
	bytes := float64(memoryInUse()-before) / idleActors
	for _, pid := range pids {
		system.Root.Stop(pid)
	}
	return bytes
}

func memoryInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func silent(*proto.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
