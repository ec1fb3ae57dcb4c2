package master_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// deafNetwork makes connections over TCP of which nothing is read any more once deaf is closed, although they stay open and
// are written to.
type deafNetwork struct{ deaf chan struct{} }

func (n *deafNetwork) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: conn, deaf: n.deaf, closed: make(chan struct{})}, nil
}

func (n *deafNetwork) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

type deafConn struct {
	net.Conn
	deaf, closed chan struct{}
	once         sync.Once
}

func (c *deafConn) Read(b []byte) (int, error) {
	select {
	case <-c.deaf:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return c.Conn.Read(b)
	}
}

// SetReadDeadline ends a Read by a time that is past, as its node does to end a session.
func (c *deafConn) SetReadDeadline(t time.Time) error {
	if !t.After(time.Now()) {
		c.once.Do(func() { close(c.closed) })
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// The scheduler writes for ever, so it is not silent; what it asks for and does not read waits in the master's memory until the
// limits of package remote end its session. Meanwhile its neighbour places tasks.
func TestASchedulerThatAsksAndNeverReadsLosesItsSession(t *testing.T) {
	if testing.Short() {
		t.Skip("a load that the race detector makes too slow")
	}
	const slaves, tasksPerCall = 10, 100
	b := newBench(t, master.Config{})
	b.addSlaves(slaves)
	var placing atomic.Bool
	placing.Store(true)
	b.addScheduler("neighbour", func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer) {
		for _, o := range offers {
			if placing.Load() {
				s.launch(ctx, o, "task", one)
			}
		}
	})
	network := &deafNetwork{deaf: make(chan struct{})}
	deaf := b.addSchedulerOf("deaf", remote.Options{Network: network, SilenceTimeout: time.Hour}, func(ctx actor.Context, s *benchScheduler, offers []*mesos.Offer) {
		s.decline(ctx, 1e6, offers...)
	})
	b.await("tasks are placed", func() bool { return b.placed.Load() > 100 })
	reconcile := &schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: &schedulerpb.Call_Reconcile{}}
	for i := range tasksPerCall {
		reconcile.Reconcile.Tasks = append(reconcile.Reconcile.Tasks, &schedulerpb.Call_Reconcile_Task{TaskId: mesos.NewTaskID(fmt.Sprintf("unknown%d", i))})
	}
	close(network.deaf)
	begin, before := time.Now(), b.placed.Load()
	calls, most := 0, b.peer("deaf")
	for p := most; p != nil; p = b.peer("deaf") {
		if p.QueuedMessages > most.QueuedMessages {
			most = p
		}
		if p.QueuedMessages > remote.DefaultSendQueueMessages || p.QueuedBytes > remote.DefaultSendQueueBytes || time.Since(begin) > 20*time.Second {
			n, _ := b.published.Snapshot()
			t.Fatalf("after %d calls the session still lives: %d messages with %d bytes wait; the master: %+v", calls, p.QueuedMessages, p.QueuedBytes, n)
		}
		calls += 10
		deaf.node.Send(deaf.pid, func(ctx actor.Context) {
			for range 10 {
				deaf.say(ctx, reconcile)
			}
		})
		time.Sleep(time.Millisecond)
	}
	took, placed := time.Since(begin), b.placed.Load()-before
	t.Logf("the session ended after %v and %d calls; at most %d messages with %d bytes waited; its neighbour placed %d tasks meanwhile",
		took.Round(time.Millisecond), calls, most.QueuedMessages, most.QueuedBytes, placed)
	if placed == 0 {
		t.Error("its neighbour placed nothing meanwhile")
	}
	b.await("one framework is connected", func() bool { n, _ := b.published.Snapshot(); return n.FrameworksConnected == 1 })
	after := b.placed.Load()
	b.await("the neighbour goes on", func() bool { return b.placed.Load() > after+100 })
	placing.Store(false)
}

// peer is the master's session with a node; nil: it has none.
func (b *bench) peer(node string) *remote.Peer {
	for _, p := range b.master.remote.Peers() {
		if p.Node == node {
			return &p
		}
	}
	return nil
}
