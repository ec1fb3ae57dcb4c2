package remote

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/actor"
)

// await polls for a condition that has a name.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for this: %s", what)
		}
	}
}

func (a *admission) count() (all, addresses int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting.Len(), len(a.from)
}

// beginnings are what peers say that then say nothing more.
func beginnings() map[string]string {
	return map[string]string{
		"nothing":                 "",
		"half the magic":          magic[:4],
		"half a handshake":        magic + "H\x00\x00\x00\x10abc",
		"half a header of HTTP":   "GET /hello HTTP/1.1\r\nHost: x\r\n",
		"half a handshake of TLS": "\x16\x03\x01\x02\x00\x01",
	}
}

// dialFrom connects from an address of this machine.
func dialFrom(t *testing.T, ip, address string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 10 * time.Second}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// greets checks that a newcomer gets in.
func greets(t *testing.T, n *node) {
	t.Helper()
	newcomer := newNode(t, "newcomer", nodeOptions{})
	defer newcomer.shutDown(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := newcomer.Ask(ctx, actor.At(n.address, "echo"), text("hello")); err != nil {
		t.Errorf("a newcomer does not get in: %v", err)
	}
}

func TestUnfinishedHandshakesAreBoundedForEachAddressAndInAll(t *testing.T) {
	const connections = 10_000
	for _, c := range []struct {
		name      string
		addresses int
		most      int
	}{
		{"10,000 connections of one address leave 128", 1, DefaultHandshakesPerAddress},
		{"10,000 connections of 100 addresses leave 1,024", 100, DefaultHandshakes},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, "n", nodeOptions{address: "127.0.0.1:0", change: func(o *Options) { o.HandshakeTimeout = time.Minute }})
			n.Spawn("echo", echo)
			before := bytesInUse()
			starts := beginnings()
			kinds := []string{"nothing", "half the magic", "half a handshake"}
			for i := range connections {
				conn := dialFrom(t, fmt.Sprintf("127.0.0.%d", 1+i%c.addresses), n.address)
				_, _ = io.WriteString(conn, starts[kinds[i%len(kinds)]]) // it may be closed already
			}
			await(t, "as many handshakes as are allowed, and no more", func() bool {
				all, addresses := n.remote.waiting.count()
				return all == c.most && addresses == c.addresses
			})
			await(t, "the others are closed", func() bool { return n.remote.Stats().HandshakesClosed == int64(connections-c.most) })
			// Each that is left has a goroutine, and 16 KB are many for one.
			if grown := bytesInUse() - before; grown > int64(c.most)*16<<10+32<<20 {
				t.Errorf("%d bytes more in use after %d connections", grown, connections)
			}
			greets(t, n)
			n.shutDown(t)
		})
	}
}

// bytesInUse is that of heap and stacks, in bytes.
func bytesInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func TestTheOldestUnfinishedHandshakeMakesRoom(t *testing.T) {
	for name, start := range beginnings() {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, "n", nodeOptions{address: "127.0.0.1:0", change: func(o *Options) {
				o.HandshakeTimeout, o.HandshakesPerAddress, o.HTTP = time.Minute, 2, failingHandler(t)
				if strings.HasPrefix(start, "\x16") {
					o.TLS = &TLS{Config: noCertificate}
				}
			}})
			var conns []net.Conn
			for i := range 3 {
				conn := dialFrom(t, "127.0.0.1", n.address)
				_, _ = io.WriteString(conn, start)
				conns = append(conns, conn)
				await(t, "the connection is known", func() bool { all, _ := n.remote.waiting.count(); return all == min(i+1, 2) })
			}
			_ = conns[0].SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := conns[0].Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("the oldest connection gives %v, expected its end", err)
			}
			for _, conn := range conns[1:] {
				_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "timeout") {
					t.Errorf("a later connection gives %v, expected that it is open", err)
				}
			}
			n.shutDown(t)
		})
	}
}

func TestAPeerThatSpeaksSlowlyIsNotWaitedFor(t *testing.T) {
	const patience = 200 * time.Millisecond
	for name, start := range map[string]string{"our protocol": magic + "H\x00\x00\xff\xff", "HTTP": "GET /hello HTTP/1.1\r\nX: "} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, "n", nodeOptions{address: "127.0.0.1:0", change: func(o *Options) { o.HandshakeTimeout, o.HTTP = patience, failingHandler(t) }})
			conn := dialFrom(t, "127.0.0.1", n.address)
			_, _ = io.WriteString(conn, start)
			began := time.Now()
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_, _ = io.Copy(io.Discard, conn)
			}()
			for open := true; open; { // a byte now and then
				select {
				case <-closed:
					open = false
				case <-time.After(patience / 20):
					_, _ = io.WriteString(conn, "x")
				}
			}
			if took := time.Since(began); took < patience/2 || took > 20*patience {
				t.Errorf("closed after %v, expected about %v", took, patience)
			}
			await(t, "nothing is left of it", func() bool { all, _ := n.remote.waiting.count(); return all == 0 })
			n.shutDown(t)
		})
	}
}

func TestAPeerThatOpensAndClosesLeavesNothing(t *testing.T) {
	n := newNode(t, "n", nodeOptions{address: "127.0.0.1:0"})
	n.Spawn("echo", echo)
	for i := range 1_000 {
		conn, err := net.Dial("tcp", n.address)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_, _ = io.WriteString(conn, magic)
		}
		_ = conn.Close()
	}
	await(t, "nothing is left of them", func() bool {
		all, addresses := n.remote.waiting.count()
		return all == 0 && addresses == 0
	})
	greets(t, n)
	n.shutDown(t)
}

// failingHandler is for requests that must never be complete.
func failingHandler(t *testing.T) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("half a request was served: %v", r.URL) })
}

// noCertificate is the configuration of a node whose handshakes never come to its certificate.
func noCertificate() (*tls.Config, error) { return &tls.Config{}, nil }
