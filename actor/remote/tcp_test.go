package remote

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// peerEnv makes the test binary a peer process: it connects to the address in it, and echoes.
const peerEnv = "REMOTE_TEST_PEER"

// bePeer is the life of a peer process: it tells its parent the PID of its echo actor, and answers until it is killed.
func bePeer(address string) {
	sys := actor.NewSystem(actor.SystemOptions{Node: "peer"})
	if _, err := Start(Options{System: sys}); err != nil {
		panic(err)
	}
	sys.Spawn("echo", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case actor.Started:
				ctx.Send(actor.At(address, "probe"), text("ready"))
			case *wrapperspb.StringValue:
				ctx.Reply(m)
			case *wrapperspb.Int32Value:
				for range m.Value {
					to := ctx.Sender()
					ctx.Spawn("sender", func() actor.Actor { return &loadSender{target: to} })
				}
			}
		})
	})
	sys.Spawn("receiver", func() actor.Actor { return &loadReceiver{} })
	select {}
}

// startPeer runs a peer process that connects to the address, and gives its echo actor, once it is connected.
func startPeer(t *testing.T, address string, probe *actortest.Probe) (*exec.Cmd, actor.PID) {
	t.Helper()
	peer := exec.Command(os.Args[0])
	peer.Env = append(os.Environ(), peerEnv+"="+address)
	peer.Stderr = os.Stderr
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = peer.Process.Kill()
		_ = peer.Wait()
	})
	return peer, probe.Expect(t, text("ready")).From
}

func TestAProcessThatIsKilledOrStoppedOrCutOffIsNoticedOnce(t *testing.T) {
	const silence = 500 * time.Millisecond
	for _, c := range []struct {
		name   string
		do     func(process *os.Process, w *wire) error
		within time.Duration
		want   actor.Reason
	}{
		{"kill -9", func(p *os.Process, _ *wire) error { return p.Kill() }, 200 * time.Millisecond, actor.Disconnected},
		{"SIGSTOP", func(p *os.Process, _ *wire) error { return p.Signal(syscall.SIGSTOP) }, silence + 300*time.Millisecond, actor.Unreachable},
		{"a connection that is closed between the two", func(_ *os.Process, w *wire) error { return w.close() }, 200 * time.Millisecond, actor.Disconnected},
		{"a connection that carries nothing any more", func(_ *os.Process, w *wire) error { w.silent.Store(true); return nil }, silence + 300*time.Millisecond, actor.Unreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, "n", nodeOptions{address: "127.0.0.1:0", change: func(o *Options) { o.SilenceTimeout = silence }})
			probe := actortest.NewProbe(t, n.System)
			w := newWire(t, n.address)
			process, pid := startPeer(t, w.address, probe)
			probe.Link(pid)
			probe.Send(pid, text("hello"))
			probe.Expect(t, text("hello"))
			start := time.Now()
			if err := c.do(process.Process, w); err != nil {
				t.Fatal(err)
			}
			exited := actortest.Await[actor.Exited](t, probe)
			if took := time.Since(start); exited.Reason != c.want || took > 10*c.within {
				t.Errorf("got %v: %v after %v, expected %v within %v", exited.Reason, exited.Err, took, c.want, c.within)
			}
			n.shutDown(t)
			probe.ExpectNone(t)
		})
	}
}

// wire is a connection between two processes that a test can cut: a relay to an address, for one connection.
type wire struct {
	address string
	silent  atomic.Bool // what comes is thrown away
	conns   chan net.Conn
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: l.Addr().String(), conns: make(chan net.Conn, 2)}
	var running sync.WaitGroup
	running.Go(func() {
		from, err := l.Accept()
		if err != nil {
			return
		}
		onward, err := net.Dial("tcp", to)
		if err != nil {
			_ = from.Close()
			return
		}
		w.conns <- from
		w.conns <- onward
		running.Go(func() { w.carry(from, onward) })
		w.carry(onward, from)
	})
	t.Cleanup(func() {
		_ = l.Close()
		_ = w.close()
		running.Wait()
	})
	return w
}

func (w *wire) carry(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if w.silent.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// close ends the connection on both sides.
func (w *wire) close() error {
	for {
		select {
		case conn := <-w.conns:
			_ = conn.Close()
		default:
			return nil
		}
	}
}

func TestNodesTalkOverTCP(t *testing.T) {
	a := newNode(t, "a", nodeOptions{address: "127.0.0.1:0", role: "boss"})
	b := newNode(t, "b", nodeOptions{address: "[::1]:0"})
	a.Spawn("echo", echo)
	probe := actortest.NewProbe(t, b.System)
	target := actor.At(a.address, "echo")
	probe.Link(target)
	probe.Send(target, text("hello"))
	probe.Expect(t, text("hello to you, "))
	peers := b.remote.Peers()
	if len(peers) != 1 || peers[0].Node != "a" || peers[0].Role != "boss" || peers[0].SentMessages != 1 || peers[0].ReceivedMessages != 1 {
		t.Errorf("peers %+v", peers)
	}
	a.shutDown(t)
	probe.Expect(t, actor.Exited{PID: target, Reason: actor.NodeShutdown})
	b.shutDown(t)
}

func TestNodesThatDialEachOtherAtOnceShareAConnection(t *testing.T) {
	for range 50 {
		a := newNode(t, "a", nodeOptions{address: "127.0.0.1:0"})
		b := newNode(t, "b", nodeOptions{address: "127.0.0.1:0"})
		inA, inB := actortest.NewProbe(t, a.System), actortest.NewProbe(t, b.System)
		go a.Send(inB.PID(), text("from a"))
		b.Send(inA.PID(), text("from b"))
		inA.Expect(t, text("from b"))
		inB.Expect(t, text("from a"))
		if x, y := len(a.remote.Peers()), len(b.remote.Peers()); x != 1 || y != 1 {
			t.Fatalf("%d and %d sessions, expected one", x, y)
		}
		a.shutDown(t)
		b.shutDown(t)
	}
}

func TestHTTPIsServedOnTheSamePort(t *testing.T) {
	mux := http.NewServeMux()
	more := make(chan struct{})
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s", r.RemoteAddr) })
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "line %d\n", i)
			w.(http.Flusher).Flush()
			<-more
		}
	})
	a := newNode(t, "a", nodeOptions{address: "127.0.0.1:0", change: func(o *Options) { o.HTTP = mux }})
	b := newNode(t, "b", nodeOptions{})
	a.Spawn("echo", echo)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	ask := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := b.Ask(ctx, actor.At(a.address, "echo"), text("hello")); err != nil {
			t.Error(err)
		}
	}
	ask()
	var bodies []string
	for range 3 {
		answer, err := client.Get("http://" + a.address + "/hello")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		bodies = append(bodies, string(body))
	}
	if bodies[0] != bodies[1] || bodies[1] != bodies[2] || !strings.HasPrefix(bodies[0], "hello from 127.0.0.1:") {
		t.Errorf("got %q, expected three answers over one connection", bodies)
	}
	stream, err := client.Get("http://" + a.address + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stream.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("line %d", i) {
			t.Fatalf("line %d is %q: %v", i, lines.Text(), lines.Err())
		}
		ask()
		more <- struct{}{}
	}
	_ = stream.Body.Close()
	client.CloseIdleConnections()
	b.shutDown(t)
	a.shutDown(t)
}

func TestAnAddressThatSpeaksSomethingElseIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	b := newNode(t, "b", nodeOptions{})
	probe := actortest.NewProbe(t, b.System)
	probe.Link(actor.At(l.Addr().String(), "echo"))
	exited := actortest.Await[actor.Exited](t, probe)
	if !strings.Contains(exited.Err.Error(), `does not speak our protocol: it answered "HTTP/1.1"`) {
		t.Errorf("got %v: %v", exited.Reason, exited.Err)
	}
	b.shutDown(t)
}

func TestHostilePeersDoNoHarm(t *testing.T) {
	a := newNode(t, "a", nodeOptions{address: "127.0.0.1:0", change: func(o *Options) { o.HandshakeTimeout = 200 * time.Millisecond }})
	b := newNode(t, "b", nodeOptions{})
	a.Spawn("echo", echo)
	for name, say := range map[string]func(conn net.Conn){
		"nothing":                func(net.Conn) {},
		"half the magic":         func(conn net.Conn) { _, _ = io.WriteString(conn, magic[:4]) },
		"garbage":                func(conn net.Conn) { _, _ = conn.Write(make([]byte, 1000)) },
		"magic and garbage":      func(conn net.Conn) { _, _ = io.WriteString(conn, magic+"garbage that is long enough") },
		"a handshake of 4 GB":    func(conn net.Conn) { _, _ = io.WriteString(conn, magic+"H\xff\xff\xff\xff") },
		"half a handshake":       func(conn net.Conn) { _, _ = io.WriteString(conn, magic+"H\x00\x00\x00\x10abc") },
		"a frame of 4 GB":        func(conn net.Conn) { hostileSession(conn, binary.AppendUvarint(nil, 1<<32)) },
		"an unknown kind":        func(conn net.Conn) { hostileSession(conn, []byte{1, 200}) },
		"a reference to nowhere": func(conn net.Conn) { hostileSession(conn, []byte{5, byte(frameMessage), 20, 0, 40, 0}) },
		"an endless number":      func(conn net.Conn) { hostileSession(conn, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")) },
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", a.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			say(conn)
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("the connection was not closed: %v", err)
			}
			if _, err := b.Ask(t.Context(), actor.At(a.address, "echo"), text("hello")); err != nil {
				t.Error(err)
			}
		})
	}
	b.shutDown(t)
	a.shutDown(t)
}

// hostileSession shakes hands and then sends what no node sends.
func hostileSession(conn net.Conn, frames []byte) {
	limits := &LimitsMessage{MessageBytes: 1 << 20, TableEntries: 10}
	hello := &HelloMessage{LowestVersion: 1, HighestVersion: 1, Node: "hostile", Incarnation: uint64(time.Now().UnixNano()), Limits: limits}
	_ = writeHandshake(conn, magic, helloKind, hello)
	_ = readMagic(conn)
	_ = readAs(conn, helloKind, hello)
	_ = writeHandshake(conn, "", confirmKind, &ConfirmMessage{Order: 1})
	_ = readAs(conn, verdictKind, &VerdictMessage{})
	_, _ = conn.Write(frames)
}
