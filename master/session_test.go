package master

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// The core hears nothing. What a peer may have its session keep is bounded in bytes, however few messages they are.
func TestAFloodOfLargeMessagesCostsNoMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, flood = 1 << 20, 512
		var log bytes.Buffer
		system := actor.NewSystem(actor.SystemOptions{Log: zerolog.New(zerolog.SyncWriter(&log))})
		defer func() { _ = system.Shutdown(context.Background()) }()
		door, peer := actortest.Named(t, system, Name), actortest.NewProbe(t, system)
		session := system.Spawn("session", newSession(1, peer.PID(), door.PID(), &callLimits{}))
		peer.Link(session)
		before := heapInUse()
		var most int64
		for range flood / 16 {
			peer.Do(func(ctx actor.Context) {
				for range 16 {
					ctx.Send(session, &wire.FrameworkMessage{Data: make([]byte, size)})
				}
			})
			synctest.Wait()
			most = max(most, heapInUse()-before)
		}
		limit := int64(SessionBacklogBytes + SessionWindow*size + 32*size) // the window's, and those of a step
		t.Logf("%d messages of %d MiB cost %d MiB at most; %d MiB are allowed", flood, size>>20, most>>20, limit>>20)
		if most > limit {
			t.Errorf("a flood of %d MiB cost %d MiB, want at most %d MiB", flood*size>>20, most>>20, limit>>20)
		}
		actortest.Await[actor.Exited](t, peer)
		synctest.Wait()
		if !strings.Contains(log.String(), "or 67108864 bytes: the session ends") {
			t.Errorf("the log is %s, want the limit of bytes named", log.String())
		}
	})
}

// What a scheduler lists in one call is heard in pieces, in its order and before what the scheduler says next.
func TestALongListIsHeardInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := actor.NewSystem(actor.SystemOptions{Log: zerolog.Nop()})
		defer func() { _ = system.Shutdown(context.Background()) }()
		door, peer := actortest.Named(t, system, Name), actortest.NewProbe(t, system)
		session := system.Spawn("session", newSession(1, peer.PID(), door.PID(), &callLimits{}))
		const listed = 2*MaxListed + 1
		filters := &mesos.Filters{RefuseSeconds: proto.Float64(7)}
		decline := &schedulerpb.Call{
			FrameworkId: mesos.NewFrameworkID("f"), Type: schedulerpb.Call_DECLINE.Enum(), Decline: &schedulerpb.Call_Decline{Filters: filters},
		}
		reconcile := &schedulerpb.Call{
			FrameworkId: mesos.NewFrameworkID("f"), Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: &schedulerpb.Call_Reconcile{},
		}
		var ids []string
		for i := range listed {
			id := fmt.Sprint(i)
			ids = append(ids, id)
			decline.Decline.OfferIds = append(decline.Decline.OfferIds, mesos.NewOfferID(id))
			reconcile.Reconcile.Tasks = append(reconcile.Reconcile.Tasks, &schedulerpb.Call_Reconcile_Task{TaskId: mesos.NewTaskID(id)})
		}
		suppress := &schedulerpb.Call{FrameworkId: mesos.NewFrameworkID("f"), Type: schedulerpb.Call_SUPPRESS.Enum()}
		peer.Do(func(ctx actor.Context) {
			ctx.Send(session, decline)
			ctx.Send(session, reconcile)
			ctx.Send(session, suppress)
		})
		var declined, asked []string
		for len(asked) < listed {
			call := actortest.Await[heard](t, door).message.(*schedulerpb.Call)
			offers, tasks := call.GetDecline().GetOfferIds(), call.GetReconcile().GetTasks()
			if n := len(offers) + len(tasks); n == 0 || n > MaxListed {
				t.Fatalf("the core hears of %d at a time, want 1 to %d", n, MaxListed)
			}
			if !proto.Equal(call.FrameworkId, decline.FrameworkId) || len(offers) > 0 && !proto.Equal(call.Decline.Filters, filters) {
				t.Errorf("a piece is %v", call)
			}
			for _, id := range offers {
				declined = append(declined, id.GetValue())
			}
			for _, task := range tasks {
				asked = append(asked, task.GetTaskId().GetValue())
			}
		}
		if !slices.Equal(declined, ids) || !slices.Equal(asked, ids) {
			t.Errorf("the core hears of offers %v and tasks %v, want %v of each", declined, asked, ids)
		}
		if last := actortest.Await[heard](t, door).message; !proto.Equal(last, suppress) {
			t.Errorf("behind them is %v", last)
		}
	})
}

// A session's name is easily guessed. What comes to it from anybody but its peer is not heard as that peer's word.
func TestASessionHearsItsPeerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		system := actor.NewSystem(actor.SystemOptions{Log: zerolog.New(zerolog.SyncWriter(&log))})
		defer func() { _ = system.Shutdown(context.Background()) }()
		door, peer, other := actortest.Named(t, system, Name), actortest.NewProbe(t, system), actortest.NewProbe(t, system)
		session := system.Spawn("session", newSession(1, peer.PID(), door.PID(), &callLimits{}))
		for _, m := range []proto.Message{&wire.TaskUpdate{}, &schedulerpb.Call{}, &masterpb.Call{}, &wire.FileChunk{}, &wire.ReadFile{}} {
			other.Send(session, m)
			synctest.Wait()
			door.ExpectNone(t)
			if want := fmt.Sprintf("dropped %T: only the peer", m); !strings.Contains(log.String(), want) {
				t.Errorf("the log is %s, want %q", log.String(), want)
			}
		}
		peer.Send(session, &wire.TaskUpdate{})
		if got := actortest.Await[heard](t, door); got.session != 1 {
			t.Errorf("the peer's word came from session %d, want 1", got.session)
		}
	})
}

func TestALongMessageCountsAsSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := actor.NewSystem(actor.SystemOptions{Log: zerolog.Nop()})
		defer func() { _ = system.Shutdown(context.Background()) }()
		door, peer := actortest.Named(t, system, Name), actortest.NewProbe(t, system)
		session := system.Spawn("session", newSession(1, peer.PID(), door.PID(), &callLimits{}))
		long := &wire.FrameworkMessage{Data: make([]byte, SessionWindow*WindowBytes)}
		for range 3 {
			peer.Send(session, long)
		}
		for range 3 {
			m, ok := door.Next(t).Message.(heard)
			if !ok || m.weight <= SessionWindow {
				t.Fatalf("the master hears %+v, want a message that fills the window", m)
			}
			door.ExpectNone(t) // Before it has dealt with that one.
			door.Send(session, credit(m.weight))
		}
		for range SessionWindow + 1 {
			peer.Send(session, &wire.UnregisterSlave{})
		}
		for range SessionWindow {
			if m, ok := door.Next(t).Message.(heard); !ok || m.weight != 1 {
				t.Fatalf("the master hears %+v, want a short message", m)
			}
		}
		door.ExpectNone(t)
	})
}

// heapInUse is what is alive on the heap.
func heapInUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// What a core and a recording get is no use to whoever wants to pass for the slave.
func TestNoCoreGetsASlavesSecret(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	info := &mesos.AgentInfo{Hostname: proto.String("s1")}
	for _, m := range []interface {
		proto.Message
		GetSecret() []byte
		GetSlave() *mesos.AgentInfo
	}{&wire.RegisterSlave{Slave: info, Secret: secret}, &wire.ReregisterSlave{Slave: info, Secret: secret}} {
		got := withDigest(m).(interface {
			GetSecret() []byte
			GetSlave() *mesos.AgentInfo
		})
		if len(got.GetSecret()) != 32 || bytes.Equal(got.GetSecret(), secret) || !proto.Equal(got.GetSlave(), info) {
			t.Errorf("%T became %v", m, got)
		}
		if !bytes.Equal(m.GetSecret(), secret) {
			t.Errorf("the %T itself was changed", m)
		}
	}
	for _, m := range []proto.Message{&wire.RegisterSlave{Slave: info}, &wire.UnregisterSlave{}} {
		if withDigest(m) != m {
			t.Errorf("a %T without a secret became another message", m)
		}
	}
}
