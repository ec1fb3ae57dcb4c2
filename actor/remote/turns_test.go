package remote

import (
	"bytes"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// deafNetwork is TCP whose listeners' connections are not read while it is deaf.
type deafNetwork struct {
	tcp
	deaf   atomic.Bool
	healed chan struct{}
}

func (n *deafNetwork) Listen(address string) (net.Listener, error) {
	listener, err := n.tcp.Listen(address)
	return deafListener{listener, n}, err
}

type deafListener struct {
	net.Listener
	network *deafNetwork
}

func (l deafListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return deafConn{conn, l.network}, err
}

type deafConn struct {
	net.Conn
	network *deafNetwork
}

func (c deafConn) Read(b []byte) (int, error) {
	if c.network.deaf.Load() {
		<-c.network.healed
	}
	return c.Conn.Read(b)
}

// TestPeersThatDoNotReadTakeNobodysTurn has as many peers as there are turns leave a large message unread. Another one gets its own.
func TestPeersThatDoNotReadTakeNobodysTurn(t *testing.T) {
	patient := func(o *Options) { o.SilenceTimeout = time.Hour }
	sender := newNode(t, "sender", nodeOptions{change: patient})
	probe := actortest.NewProbe(t, sender.System)
	large := bytes.Repeat([]byte("x"), 16<<20)
	for range cap(sender.remote.turns) {
		network := &deafNetwork{healed: make(chan struct{})}
		defer close(network.healed)
		deaf := newNode(t, "", nodeOptions{network: network, address: "127.0.0.1:0", change: patient})
		ear := actortest.Named(t, deaf.System, "ear")
		probe.Send(actor.At(deaf.address, "ear"), text("hello"))
		ear.Expect(t, text("hello"))
		network.deaf.Store(true)
		probe.Send(actor.At(deaf.address, "ear"), wrapperspb.Bytes(large))
	}
	for _, peer := range sender.remote.Peers() {
		for sent := int64(-1); sent != peer.SentBytes || sent < blockBytes; runtime.Gosched() { // until the socket takes no more
			sent = peer.SentBytes
			time.Sleep(10 * time.Millisecond)
			for _, now := range sender.remote.Peers() {
				if now.Node == peer.Node {
					peer = now
				}
			}
		}
	}
	listener := newNode(t, "", nodeOptions{address: "127.0.0.1:0"})
	ear := actortest.Named(t, listener.System, "ear")
	probe.Send(actor.At(listener.address, "ear"), wrapperspb.Bytes(large))
	if m, ok := ear.Next(t).Message.(*wrapperspb.BytesValue); !ok || !bytes.Equal(m.Value, large) {
		t.Error("16 MB arrived changed")
	}
}
