package master_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// A cluster for measurements: the real master, and slaves and schedulers that only play their parts, each kind on a node
// of its own. All that they say is encoded and goes through connections on the loopback address.

// benchResources are those of Mesos's own benchmarks.
const benchResources = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]"

// half is what is used of a slave that is half used, one what a task needs.
var (
	half = resource.MustParse("cpus:12;mem:2048;disk:2048").ToProto()
	one  = resource.MustParse("cpus:1;mem:64").ToProto()
)

// awaitTimeout is how long a condition may take: 50,000 slaves on a machine with other work need long.
const awaitTimeout = time.Minute

// bench is such a cluster.
type bench struct {
	t         testing.TB
	master    *benchNode
	peers     *benchNode // of slaves
	address   string
	published *master.Published

	registered atomic.Int64 // slaves
	placed     atomic.Int64 // tasks whose RUNNING was acknowledged
	freed      atomic.Int64 // when a slave said last that a task has ended, in nanoseconds of Unix time
}

type benchNode struct {
	*actor.System
	remote *remote.Remote
}

func newBench(t testing.TB, config master.Config) *bench {
	t.Helper()
	b := &bench{t: t, published: &master.Published{}}
	config.Published = b.published
	b.master, b.address = b.node("master", wire.RoleMaster, true)
	b.master.Spawn(master.Name, master.New(config), actor.MailboxLimit(master.MailboxLimit))
	b.peers, _ = b.node("slaves", wire.RoleSlave, false)
	return b
}

// node starts a node, which ends with the test.
func (b *bench) node(name string, role actor.Role, listens bool) (*benchNode, string) {
	b.t.Helper()
	return b.nodeOf(name, role, listens, remote.Options{})
}

// nodeOf is node with options of its own.
func (b *bench) nodeOf(name string, role actor.Role, listens bool, options remote.Options) (*benchNode, string) {
	b.t.Helper()
	n := &benchNode{System: actor.NewSystem(actor.SystemOptions{Node: name, Role: role, Log: zerolog.Nop()})}
	options.System = n.System
	var err error
	address := ""
	if listens {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.t.Fatal(err)
		}
		address = listener.Addr().String()
		options.Advertise = address
		defer func() { go func() { _ = n.remote.Serve(listener) }() }()
	}
	if n.remote, err = remote.Start(options); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = n.Shutdown(ctx)
		_ = n.remote.Close(ctx)
	})
	return n, address
}

// addSlaves has slaves register and waits until all have.
func (b *bench) addSlaves(n int) {
	b.t.Helper()
	for i := range n {
		b.peers.Spawn(fmt.Sprintf("slave%d", i), func() actor.Actor { return &benchSlave{bench: b, name: fmt.Sprintf("s%d", i)} })
	}
	b.await("slaves have registered", func() bool { return b.registered.Load() == int64(n) })
}

func (b *bench) await(what string, done func() bool) {
	b.t.Helper()
	for begin := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > awaitTimeout {
			n, _ := b.published.Snapshot()
			b.t.Fatalf("%s: not within %v; the master: %+v", what, awaitTimeout, n)
		}
	}
}

// benchSlave registers, and runs tasks by saying so. Those named half never end; the others end when their RUNNING has been
// acknowledged.
type benchSlave struct {
	bench   *bench
	name    string
	id      *mesos.AgentID
	updates uint64
}

func (s *benchSlave) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Send(actor.At(s.bench.address, master.Name), registerSlave(s.name, benchResources))
	case *wire.SlaveRegistered:
		s.id = m.GetSlaveId()
		s.bench.registered.Add(1)
	case *wire.RunTask:
		s.update(ctx, m.GetFramework().GetId(), m.GetTask().GetTaskId(), mesos.TaskState_TASK_RUNNING)
	case *wire.AcknowledgeUpdate:
		if mesos.TaskState(m.GetUuid()[0]) == mesos.TaskState_TASK_RUNNING && m.GetTaskId().GetValue()[0] != 'h' {
			s.bench.placed.Add(1)
			s.bench.freed.Store(time.Now().UnixNano())
			s.update(ctx, m.GetFrameworkId(), m.GetTaskId(), mesos.TaskState_TASK_FINISHED)
		}
	}
}

func (s *benchSlave) update(ctx actor.Context, framework *mesos.FrameworkID, task *mesos.TaskID, state mesos.TaskState) {
	s.updates++
	uuid := make([]byte, 16)
	uuid[0] = byte(state)
	binary.LittleEndian.PutUint64(uuid[8:], s.updates)
	status := &mesos.TaskStatus{TaskId: task, State: state.Enum(), AgentId: s.id, Uuid: uuid, Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum()}
	ctx.Send(ctx.Sender(), &wire.TaskUpdate{FrameworkId: framework, Status: status, Latest: status})
}

// benchScheduler subscribes, acknowledges, and leaves offers to its author.
type benchScheduler struct {
	bench      *bench
	name       string
	offers     func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer)
	subscribed atomic.Bool
	updates    atomic.Int64
	node       *benchNode
	pid        actor.PID
	session    actor.PID
	id         *mesos.FrameworkID
	launched   int
	refuse     float64 // for so many seconds it wants nothing of what its tasks leave of an offer
}

// addScheduler subscribes a framework of a node of its own and waits until it has.
func (b *bench) addScheduler(name string, offers func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer)) *benchScheduler {
	b.t.Helper()
	return b.addSchedulerOf(name, remote.Options{}, offers)
}

// addSchedulerOf is addScheduler with options of its node.
func (b *bench) addSchedulerOf(name string, options remote.Options, offers func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer)) *benchScheduler {
	b.t.Helper()
	s := &benchScheduler{bench: b, name: name, offers: offers}
	s.node, _ = b.nodeOf(name, wire.RoleFramework, false, options)
	s.pid = s.node.Spawn(name, func() actor.Actor { return s }, actor.MailboxLimit(master.MailboxLimit))
	b.await(name+" has subscribed", s.subscribed.Load)
	return s
}

func (s *benchScheduler) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Send(actor.At(s.bench.address, master.Name), subscribe(s.name))
	case func(actor.Context):
		m(ctx)
	case *schedulerpb.Event:
		s.event(ctx, m)
	}
}

func (s *benchScheduler) event(ctx actor.Context, e *schedulerpb.Event) {
	switch e.GetType() {
	case schedulerpb.Event_SUBSCRIBED:
		s.session, s.id = ctx.Sender(), e.GetSubscribed().GetFrameworkId()
		s.subscribed.Store(true)
	case schedulerpb.Event_ERROR:
		ctx.Send(actor.At(s.bench.address, master.Name), subscribe(s.name))
	case schedulerpb.Event_OFFERS:
		s.offers(ctx, s, e.GetOffers().GetOffers())
	case schedulerpb.Event_UPDATE:
		s.updates.Add(1)
		if status := e.GetUpdate().GetStatus(); len(status.GetUuid()) > 0 {
			s.say(ctx, &schedulerpb.Call{Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), Acknowledge: &schedulerpb.Call_Acknowledge{
				AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid(),
			}})
		}
	}
}

func (s *benchScheduler) say(ctx actor.Context, call *schedulerpb.Call) {
	call.FrameworkId = s.id
	ctx.Send(s.session, call)
}

// launch puts a task of these resources on an offer; what is left of it goes back at once.
func (s *benchScheduler) launch(ctx actor.Context, offer *mesos.Offer, name string, resources []*mesos.Resource) {
	s.launched++
	id := fmt.Sprintf("%s%d", name, s.launched)
	s.say(ctx, &schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), Accept: &schedulerpb.Call_Accept{
		OfferIds: []*mesos.OfferID{offer.GetId()},
		Filters:  &mesos.Filters{RefuseSeconds: proto.Float64(s.refuse)},
		Operations: []*mesos.Offer_Operation{{
			Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{{
				Name: &id, TaskId: mesos.NewTaskID(id), AgentId: offer.GetAgentId(),
				Command: &mesos.CommandInfo{Value: proto.String("true")}, Resources: resources,
			}}},
		}},
	}})
}

// decline gives offers back for so many seconds.
func (s *benchScheduler) decline(ctx actor.Context, seconds float64, offers ...*mesos.Offer) {
	call := &schedulerpb.Call{Type: schedulerpb.Call_DECLINE.Enum(), Decline: &schedulerpb.Call_Decline{Filters: &mesos.Filters{RefuseSeconds: &seconds}}}
	for _, o := range offers {
		call.Decline.OfferIds = append(call.Decline.OfferIds, o.GetId())
	}
	s.say(ctx, call)
}

// setUp has so many slaves register, half used. Meanwhile garbage is left lying; from then on it is collected as daemons do.
func (b *bench) setUp(slaves int) {
	b.t.Helper()
	debug.SetGCPercent(4 * 100)
	b.addSlaves(slaves)
	b.halfUse(slaves)
	runtime.GC()
	debug.SetGCPercent(daemonGCPercent)
}

// halfUse has half of each slave used by tasks that do not end, by a framework of their own.
func (b *bench) halfUse(slaves int) {
	b.t.Helper()
	used := map[string]bool{}
	s := b.addScheduler("half", func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer) {
		for _, o := range offers {
			if id := o.GetAgentId().GetValue(); !used[id] {
				used[id] = true
				s.refuse = 1e6
				s.launch(ctx, o, "half", half)
			} else {
				s.decline(ctx, 1e6, o)
			}
		}
	})
	b.await("slaves are half used", func() bool { return s.updates.Load() == int64(slaves) })
	s.node.Send(s.pid, func(ctx actor.Context) { s.say(ctx, &schedulerpb.Call{Type: schedulerpb.Call_SUPPRESS.Enum()}) })
	b.await("nothing is offered", func() bool { n, _ := b.published.Snapshot(); return n.OffersOpen == 0 })
}
