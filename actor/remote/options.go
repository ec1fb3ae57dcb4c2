package remote

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
)

// The defaults of Options, and other bounds of a session.
const (
	// DefaultSilenceTimeout is how long no byte may come from a peer before it counts as dead.
	DefaultSilenceTimeout = 5 * time.Second
	// heartbeatsPerSilence is how many heartbeats a peer sends in its SilenceTimeout, by default.
	heartbeatsPerSilence = 5
	// DefaultDialTimeout bounds the resolution of a name and the making of a connection.
	DefaultDialTimeout = 5 * time.Second
	// DefaultHandshakeTimeout bounds all that comes before the first message, or before the end of an HTTP request's header.
	DefaultHandshakeTimeout = 5 * time.Second
	// DefaultHandshakesPerAddress is how many connections of one address may be in the time that HandshakeTimeout bounds.
	DefaultHandshakesPerAddress = 128
	// DefaultHandshakes is how many of all addresses may.
	DefaultHandshakes = 1024
	// DefaultMaxMessageBytes is the largest message that a node takes, in bytes on the wire.
	DefaultMaxMessageBytes = 64 << 20
	// DefaultSendQueueBytes bounds what waits to be sent to one node. One message always fits, however large.
	DefaultSendQueueBytes = 64 << 20
	// DefaultSendQueueMessages bounds how many messages wait to be sent to one node.
	DefaultSendQueueMessages = 1 << 18

	// tableEntries is the length of the tables of targets, senders and types that a node keeps for each session.
	tableEntries = 4096
	// maxSessionLinks is how many links to actors of this node one peer may hold.
	maxSessionLinks = 1 << 17
	// chunkBytes is the size of the parts in which larger messages travel.
	chunkBytes = 64 << 10
	// maxFrameBytes is the largest frame: a chunk, or a message of its size with definitions of the names in it.
	maxFrameBytes = chunkBytes + 16<<10
	// maxNameBytes bounds names of actors, nodes, addresses and types on the wire.
	maxNameBytes = 1 << 10
	// maxTextBytes bounds errors and stacks on the wire; what is longer is cut.
	maxTextBytes = 4 << 10
	// maxHandshakeBytes bounds a message of the handshake.
	maxHandshakeBytes = 64 << 10
	// httpIdleTimeout is how long a connection for HTTP may wait for its next request.
	httpIdleTimeout = 2 * time.Minute
	// courtesyBytes is how much is read of what is said in another protocol, which is answered with a refusal.
	courtesyBytes = 4 << 10
	// lingerTimeout is how long a session that ends in words waits for the peer to take them.
	lingerTimeout = time.Second
	// endsRemembered is of how many nodes the end of the last session is remembered.
	endsRemembered = 4096
)

// Options make a Remote. Zero values are the named defaults.
type Options struct {
	// System is the node whose messages are carried. It must not have actors yet.
	System *actor.System
	// Cluster is the id of the cluster; empty while not known. Nodes of different clusters refuse each other.
	Cluster string
	// Network makes connections; nil: TCP.
	Network Network
	// Advertise is the address that others may dial, which goes into this node's PIDs; empty for a node that does not listen.
	Advertise string
	// HTTP serves connections that do not speak our protocol; nil: they are closed.
	HTTP http.Handler
	// TLS secures all connections, which are then refused without; nil: they are in the clear.
	TLS *TLS
	// May says who may send what: the role of the sending node, the full name of the message's type. nil allows everything.
	// A message that is refused ends its session.
	May func(from actor.Role, message protoreflect.FullName) bool
	// OwnSenders: a peer may name actors of its own node as senders only. A message that it passes on for another node's, as Forward does,
	// ends its session, because whose it was is only what the peer says. Set it where who sent a message decides what that may do.
	OwnSenders bool
	// Credential gives what this node proves its role with to the node at address, when dialling; nil: nothing.
	Credential func(address string) []byte
	// Verify accepts or refuses a peer at its handshake; nil accepts. Its error is told to the peer.
	Verify func(Hello) error
	// OnPeer, if set, is told of each session that begins. It must not block.
	OnPeer func(Peer)
	// Quiet, if set, names the roles of peers that come and go all the time: their sessions are logged for debugging only.
	Quiet func(actor.Role) bool
	// Trace, if set, is told of each message that is sent or received, in the order of each session. It must not block, nor change
	// or keep the message.
	Trace func(Traced)

	// HeartbeatInterval is the time between heartbeats; 0: a fifth of SilenceTimeout.
	HeartbeatInterval time.Duration
	SilenceTimeout    time.Duration
	DialTimeout       time.Duration
	HandshakeTimeout  time.Duration
	// HandshakesPerAddress and Handshakes bound the connections that have not finished their handshake, or the header of their
	// first HTTP request. At a limit the oldest is closed.
	HandshakesPerAddress int
	Handshakes           int
	MaxMessageBytes      int
	SendQueueBytes       int
	SendQueueMessages    int
}

func (o Options) withDefaults() Options {
	if o.Network == nil {
		o.Network = tcp{}
	}
	setDefault(&o.SilenceTimeout, DefaultSilenceTimeout)
	setDefault(&o.HeartbeatInterval, o.SilenceTimeout/heartbeatsPerSilence)
	setDefault(&o.DialTimeout, DefaultDialTimeout)
	setDefault(&o.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&o.HandshakesPerAddress, DefaultHandshakesPerAddress)
	setDefault(&o.Handshakes, DefaultHandshakes)
	setDefault(&o.MaxMessageBytes, DefaultMaxMessageBytes)
	setDefault(&o.SendQueueBytes, DefaultSendQueueBytes)
	setDefault(&o.SendQueueMessages, DefaultSendQueueMessages)
	return o
}

func setDefault[T time.Duration | int](value *T, byDefault T) {
	if *value == 0 {
		*value = byDefault
	}
}

// Network makes connections. Addresses are resolved at each dial.
type Network interface {
	Dial(ctx context.Context, address string) (net.Conn, error)
	Listen(address string) (net.Listener, error)
}

// tcp is the network for real.
type tcp struct{}

func (tcp) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

func (tcp) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// Hello is what a peer says of itself at the handshake.
type Hello struct {
	Node        string
	Incarnation uint64
	Role        actor.Role
	// Cluster is empty if the peer does not know yet.
	Cluster string
	// Address is where the peer says that it listens; empty if it does not.
	Address    string
	Credential []byte
	proof      [sha256.Size]byte // the credential's digest, which is all that is kept
	// Certificate is the one that the peer has shown over TLS, verified and good for its role; nil: none.
	Certificate *x509.Certificate
	// Remote is the other end of the connection.
	Remote net.Addr
	// Dialled: this node dialled the peer.
	Dialled bool
}

// Peer is a session.
type Peer struct {
	Hello
	// Since is when the session began.
	Since time.Time
	// SentMessages and SentBytes went out, ReceivedMessages and ReceivedBytes came in, since then.
	SentMessages, SentBytes, ReceivedMessages, ReceivedBytes int64
	// QueuedMessages and QueuedBytes wait to be sent.
	QueuedMessages, QueuedBytes int
	// RoundTrip is the time of the last heartbeat and its echo; 0 before the first.
	RoundTrip time.Duration
	// LastError is how the session before this one ended, if the node had one.
	LastError string
}

// Traced is a message as Options.Trace sees it.
type Traced struct {
	// Peer is who sent it, or whom it is sent to.
	Peer Hello
	// Sent: by this node.
	Sent bool
	// From is the sender's name, To the receiver's; empty for none.
	From, To string
	Message  proto.Message
}
