// Package remote carries the messages of package actor between nodes.
//
// [Start] makes a node's [Remote], which becomes the transport of its actor.System. From then on actors send to PIDs of other nodes, and to
// actor.At(address, name), as they do to their own.
//
// # Sessions
//
// Two nodes share one connection, whoever dialled it, for both directions: a session. It is dialled when something is to be sent to
// a node that is not connected and has an address. Nodes that do not listen are reached over the connection that they made,
// and nobody is dialled back. If both dial at once, one connection remains.
//
// A session starts with a handshake (remote.proto) that tells protocol versions, cluster, node, incarnation, role, limits and a
// credential. It ends when the connection does, when its peer has been silent for too long, when its send queue overflows, when a side
// sends what its role may not, or when a node starts anew. Then every link over it ends with the reason, once; what was queued is counted
// as dead letters; and the next message dials anew, at once: back-off is up to the sender.
//
// Within a session messages arrive once and in order for each pair of sender and receiver. Large ones travel in chunks, between
// which heartbeats and the messages of other pairs pass.
//
// # Flow
//
// Nothing blocks a sender. Messages are marshalled into the session's buffer, which a writer empties as fast as the connection takes it.
// The reader waits when the receiver's mailbox is full, so the peer's buffer fills, so its session overflows; meanwhile that
// peer's silence does not count, and its own heartbeats go on.
//
// # One port
//
// The first byte of our protocol is one that no HTTP request starts with, so a listener serves both: [Options.HTTP] gets the rest. With
// [TLS] ALPN tells them apart, and nothing is served without.
//
// # Who is who
//
// A node's id is a claim. Its role is too, unless a certificate ([TLS]) or a credential ([Options.Verify]) proves it. Certificates are
// judged after the handshake of TLS and before anything is said over it. An id that is connected is only taken over by a node
// of the same role and certificate's name.
//
// Connections that have not said who they are are bounded in time and number ([Options.Handshakes]): at a limit the oldest is closed.
//
// # Tests
//
// [MemoryNetwork] replaces dial and listen with connections in memory that can be cut, healed, broken, delayed and read slowly, and
// that work in a testing/synctest bubble. All else is the same code, TLS included.
package remote
