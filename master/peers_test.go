package master_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// peersVariable makes this program peers of the master at an address, instead of tests: "KIND NUMBER ADDRESS".
const peersVariable = "STOA_BENCH_PEERS"

// What peers a process can be. A real master shares its process with none of them, and their work is not its own.
const (
	beReaders      = "read"        // so many who want everything again and again
	beDecliner     = "decline"     // a framework that declines all that it is offered at once
	beFlooder      = "flood"       // a framework that asks for resources so many times every millisecond
	beResubscriber = "resubscribe" // a framework that subscribes again so many times every millisecond
)

// readInterval is how often each reader wants everything.
const readInterval = 100 * time.Millisecond

// peers is such a process.
type peers struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
}

// startPeers starts such a process and waits until what it is has begun. They come behind all others of this machine: they
// stand for peers on machines of their own.
func startPeers(t testing.TB, what, address string, n int) *peers {
	t.Helper()
	p := &peers{t: t, cmd: exec.Command("nice", "-n", "19", os.Args[0])}
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", peersVariable, what, n, address), "GOMAXPROCS=1")
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stdin, p.stdout = stdin, bufio.NewReader(stdout)
	if line, err := p.stdout.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("peers that %s say %q: %v", what, line, err)
	}
	return p
}

// end ends the process. It returns how many answers its readers have had since all were ready, and of how many bytes, or how
// often its framework has said something.
func (p *peers) end() (answers, bytes int64) {
	p.t.Helper()
	_ = p.stdin.Close()
	if _, err := fmt.Fscan(p.stdout, &answers, &bytes); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatal(err)
	}
	return answers, bytes
}

// bePeers is the life of that process: until its standard input ends.
func bePeers(order string) error {
	var n int
	var what, address string
	if _, err := fmt.Sscan(order, &what, &n, &address); err != nil {
		return err
	}
	var answers, bytes, ready atomic.Int64
	switch what {
	case beReaders:
		for i := range n {
			if err := newBenchReader(address, "reader"+strconv.Itoa(i), &bytes, func() { answers.Add(1) }, func() { ready.Add(1) }); err != nil {
				return err
			}
		}
	case beDecliner:
		n = 1
		if err := newDecliner(address, func() { ready.Store(1) }); err != nil {
			return err
		}
	case beFlooder:
		newPeers(address).addRepeater("flooder", n, request, &answers)
		ready.Store(int64(n))
	case beResubscriber:
		newPeers(address).addRepeater("resubscriber", n, resubscribe, &answers)
		ready.Store(int64(n))
	}
	for ready.Load() < int64(n) {
		time.Sleep(time.Millisecond)
	}
	answers.Store(0)
	bytes.Store(0)
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Println(answers.Load(), bytes.Load())
	return nil
}

// alone stands for a test in a process that has none: what fails ends the process.
type alone struct{ testing.TB }

func (alone) Helper()        {}
func (alone) Cleanup(func()) {} // The process ends.

func (alone) Fatal(args ...any) { alone{}.Fatalf("%s", fmt.Sprint(args...)) }

func (alone) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// newPeers is a cluster without its master, which is at this address, and without slaves.
func newPeers(address string) *bench {
	return &bench{t: alone{}, address: address, published: &master.Published{}}
}

// newBenchReader has a node of its own ask for everything again and again. What it gets is thrown away unread: who reads
// is elsewhere, and what that costs is not the master's.
func newBenchReader(address, name string, bytes *atomic.Int64, answered, first func()) error {
	sys := actor.NewSystem(actor.SystemOptions{Node: name, Role: wire.RoleOperator})
	if _, err := remote.Start(remote.Options{System: sys, Network: careless{bytes}}); err != nil {
		return err
	}
	var next time.Time
	begun := false
	sys.Spawn(name, func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case actor.Started, actor.Wake:
				if next = next.Add(readInterval); next.Before(time.Now()) {
					next = time.Now() // It has waited for longer than that.
				}
				ctx.Ask(actor.At(address, master.Name), &masterpb.Call{Type: masterpb.Call_GET_STATE.Enum()}, time.Minute)
			case actor.Answer:
				if m.Err != nil {
					panic(m.Err)
				}
				answered()
				if !begun {
					begun = true
					first()
				}
				ctx.WakeAt(next)
			}
		})
	})
	return nil
}

// newDecliner has a framework decline all that it is offered, for no longer than the next cycle.
func newDecliner(address string, offered func()) error {
	sys := actor.NewSystem(actor.SystemOptions{Node: "decliner", Role: wire.RoleFramework})
	if _, err := remote.Start(remote.Options{System: sys}); err != nil {
		return err
	}
	sys.Spawn("decliner", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case actor.Started:
				ctx.Send(actor.At(address, master.Name), subscribe("decliner"))
			case *schedulerpb.Event:
				call := &schedulerpb.Call_Decline{Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)}}
				for _, o := range m.GetOffers().GetOffers() {
					call.OfferIds = append(call.OfferIds, o.GetId())
				}
				if len(call.OfferIds) > 0 {
					id := m.GetOffers().GetOffers()[0].GetFrameworkId()
					ctx.Reply(&schedulerpb.Call{Type: schedulerpb.Call_DECLINE.Enum(), FrameworkId: id, Decline: call})
					offered()
				}
			}
		})
	})
	return nil
}

// careless is TCP of which all chunks of large messages are thrown away as they come, and their bytes counted.
type careless struct{ bytes *atomic.Int64 }

func (careless) Listen(string) (net.Listener, error) { return nil, errors.ErrUnsupported }

func (c careless) Dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &carelessConn{Conn: conn, in: bufio.NewReaderSize(conn, 64<<10), bytes: c.bytes}, nil
}

// carelessConn is such a connection.
type carelessConn struct {
	net.Conn
	in    *bufio.Reader
	greet int    // messages of the handshake that have come: a hello behind the protocol's mark, and a verdict
	rest  []byte // that has come and is kept
	bytes *atomic.Int64
}

// How the protocol of actor/remote looks from outside.
const (
	markBytes = 8
	chunkKind = 10
)

func (c *carelessConn) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next reads what stands together.
func (c *carelessConn) next() error {
	if c.greet < 2 {
		size := 1 + 4
		if c.greet == 0 {
			size += markBytes
		}
		c.greet++
		head := make([]byte, size)
		if _, err := io.ReadFull(c.in, head); err != nil {
			return err
		}
		c.rest = append(head, make([]byte, binary.BigEndian.Uint32(head[size-4:]))...)
		_, err := io.ReadFull(c.in, c.rest[size:])
		return err
	}
	length, err := binary.ReadUvarint(c.in)
	if err != nil {
		return err
	}
	kind, err := c.in.ReadByte()
	if err != nil {
		return err
	}
	if kind == chunkKind {
		n, err := c.in.Discard(int(length) - 1)
		c.bytes.Add(int64(n))
		return err
	}
	c.rest = append(binary.AppendUvarint(nil, length), kind)
	head := len(c.rest)
	c.rest = append(c.rest, make([]byte, length-1)...)
	_, err = io.ReadFull(c.in, c.rest[head:])
	return err
}
