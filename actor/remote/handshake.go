package remote

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
)

// magic is what each side sends first. It starts with a byte that no HTTP request and no TLS record starts with, and contains a
// line end so that a transport that changes those is noticed.
const magic = "\x00stoa\r\n\xff"

// The protocol versions that this code speaks.
const (
	lowestVersion  = 1
	highestVersion = 1
)

// The kinds of messages of the handshake, each before its length (4 bytes, big endian) and itself.
const (
	helloKind   = 'H'
	confirmKind = 'C'
	verdictKind = 'V'
)

// greeting is a connection whose peer has said who it is.
type greeting struct {
	conn    net.Conn
	hello   Hello
	limits  limits
	version uint32
}

// refusal is an error that the peer has been told, or has told us.
type refusal struct{ text string }

func (r *refusal) Error() string { return "refused: " + r.text }

// rejection is why this node does not accept a peer, which has been told.
type rejection struct{ error }

// isRefusal tells the errors of a handshake by which one side does not accept the other.
func isRefusal(err error) bool {
	var refused *refusal
	var rejected rejection
	var alert *net.OpError // as crypto/tls makes one of what its peer says
	return errors.As(err, &refused) || errors.As(err, &rejected) || errors.As(err, &alert) && alert.Op == "remote error"
}

func writeHandshake(w io.Writer, prefix string, kind byte, m proto.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	b := append([]byte(prefix), kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	_, err = w.Write(append(b, body...))
	return err
}

func readHandshake(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > maxHandshakeBytes {
		return 0, nil, fmt.Errorf("a handshake of %d bytes: at most %d are allowed", length, maxHandshakeBytes)
	}
	body = make([]byte, length)
	_, err = io.ReadFull(r, body)
	return head[0], body, err
}

// readAs reads a message of the handshake of the one kind that is expected. A refusal may come instead of any.
func readAs(r io.Reader, want byte, m proto.Message) error {
	kind, body, err := readHandshake(r)
	if err != nil {
		return err
	}
	if kind == verdictKind && want != verdictKind {
		verdict := &VerdictMessage{}
		if err := proto.Unmarshal(body, verdict); err != nil {
			return err
		}
		if verdict.Verdict == VerdictMessage_REFUSED {
			return &refusal{text: verdict.Text}
		}
		return errWithdrawn
	}
	if kind != want {
		return fmt.Errorf("a handshake message of kind %q: %q was expected", kind, want)
	}
	return proto.Unmarshal(body, m)
}

// errWithdrawn: the peer has another connection for us.
var errWithdrawn = errors.New("withdrawn for another connection")

func readMagic(r io.Reader) error {
	got := make([]byte, len(magic))
	n, err := io.ReadFull(r, got)
	if !bytes.Equal(got[:n], []byte(magic)[:n]) {
		return fmt.Errorf("does not speak our protocol: it answered %q", got[:n])
	}
	return err
}

func (r *Remote) ownHello(credential []byte) *HelloMessage {
	return &HelloMessage{
		LowestVersion: lowestVersion, HighestVersion: highestVersion, Cluster: r.Cluster(),
		Node: r.system.Node(), Incarnation: r.system.Incarnation(), Role: string(r.system.Role()), Address: r.options.Advertise,
		Limits:     &LimitsMessage{MessageBytes: uint64(r.options.MaxMessageBytes), TableEntries: tableEntries},
		Credential: credential,
	}
}

// meet judges what a peer says of itself. If it is refused, the error is to be told to it.
func (r *Remote) meet(conn net.Conn, m *HelloMessage, certificate *x509.Certificate, dialled bool) (greeting, error) {
	g := greeting{conn: conn, version: min(m.HighestVersion, highestVersion)}
	g.hello = Hello{
		Node: m.Node, Incarnation: m.Incarnation, Role: actor.Role(m.Role), Cluster: m.Cluster, Address: m.Address,
		Credential: m.Credential, Certificate: certificate, Remote: conn.RemoteAddr(), Dialled: dialled,
	}
	entries := m.GetLimits().GetTableEntries()
	g.limits = limits{messageBytes: int(min(m.GetLimits().GetMessageBytes(), 1<<40)), tableEntries: min(max(entries, 1), tableEntries)}
	own := r.Cluster()
	switch {
	case g.version < lowestVersion || g.version < m.LowestVersion:
		return g, fmt.Errorf("%s speaks protocol versions %d to %d, %s speaks %d to %d",
			r.system.Node(), lowestVersion, highestVersion, m.Node, m.LowestVersion, m.HighestVersion)
	case own != "" && m.Cluster != "" && own != m.Cluster:
		return g, fmt.Errorf("%s is of cluster %q, %s of %q", r.system.Node(), own, m.Node, m.Cluster)
	case m.Node == "" || max(len(m.Node), len(m.Address), len(m.Role), len(m.Cluster)) > maxNameBytes:
		return g, fmt.Errorf("the node's id is empty, or a name longer than %d bytes", maxNameBytes)
	case m.Node == r.system.Node() && m.Incarnation == r.system.Incarnation():
		return g, fmt.Errorf("%s is this node itself", conn.RemoteAddr())
	case m.Node == r.system.Node():
		return g, fmt.Errorf("two nodes have the id %q", m.Node)
	}
	if t := r.options.TLS; t != nil {
		if err := t.judgeRole(g.hello.Role, certificate); err != nil {
			return g, fmt.Errorf("%s: %w", m.Node, err)
		}
	}
	if r.options.Verify != nil {
		if err := r.options.Verify(g.hello); err != nil {
			return g, err
		}
	}
	g.hello.proof = sha256.Sum256(g.hello.Credential)
	g.hello.Credential = nil // it is nobody else's business
	return g, nil
}

// refuse tells a peer why there is no session, and returns it as a rejection.
func (r *Remote) refuse(conn net.Conn, prefix string, reason error) error {
	r.log.Warn().Stringer("remote", conn.RemoteAddr()).Err(reason).Msg("refused a peer")
	_ = writeHandshake(conn, prefix, verdictKind, &VerdictMessage{Verdict: VerdictMessage_REFUSED, Text: reason.Error()})
	return rejection{reason}
}

// greetDialled is the handshake of the side that has dialled, up to where it knows the peer.
func (r *Remote) greetDialled(conn net.Conn, address string) (greeting, error) {
	var certificate *x509.Certificate
	if r.options.TLS != nil {
		var err error
		if conn, certificate, err = r.secureDialled(conn, address); err != nil {
			return greeting{}, err
		}
	}
	var credential []byte
	if r.options.Credential != nil {
		credential = r.options.Credential(address)
	}
	if err := writeHandshake(conn, magic, helloKind, r.ownHello(credential)); err != nil {
		return greeting{}, err
	}
	if err := readMagic(conn); err != nil {
		return greeting{}, err
	}
	hello := &HelloMessage{}
	if err := readAs(conn, helloKind, hello); err != nil {
		return greeting{}, err
	}
	g, err := r.meet(conn, hello, certificate, true)
	if err != nil {
		return g, r.refuse(conn, "", err)
	}
	return g, nil
}

// accept is the handshake of the side that was dialled. The magic has been read.
func (r *Remote) accept(conn net.Conn, certificate *x509.Certificate) (*session, error) {
	hello := &HelloMessage{}
	if err := readAs(conn, helloKind, hello); err != nil {
		return nil, err
	}
	g, err := r.meet(conn, hello, certificate, false)
	if err != nil {
		return nil, r.refuse(conn, magic, err)
	}
	if err := writeHandshake(conn, magic, helloKind, r.ownHello(nil)); err != nil {
		return nil, err
	}
	confirm := &ConfirmMessage{}
	if err := readAs(conn, confirmKind, confirm); err != nil {
		if errors.Is(err, errWithdrawn) {
			return nil, nil
		}
		return nil, err
	}
	s, verdict := r.decide(g, confirm)
	if err := writeHandshake(conn, "", verdictKind, verdict); err != nil && s == nil {
		return nil, err
	}
	return s, nil
}

// sameIdentity tells whether two peers of one id can be the same node: its role and the name in its certificate never change, whereas an
// id is only a claim.
func sameIdentity(a, b Hello) bool {
	return a.Role == b.Role && nameOf(a.Certificate) == nameOf(b.Certificate)
}

// sameCredential tells the same of two peers that have dialled: a node's credential for another node never changes either.
func sameCredential(a, b Hello) bool {
	return a.Dialled || b.Dialled || subtle.ConstantTimeCompare(a.proof[:], b.proof[:]) == 1
}

func nameOf(certificate *x509.Certificate) string {
	if certificate == nil {
		return ""
	}
	return certificate.Subject.CommonName
}

// decide answers a peer that has confirmed its dial: at its time of asking it had no session with this node that it knew of.
func (r *Remote) decide(g greeting, confirm *ConfirmMessage) (*session, *VerdictMessage) {
	for {
		s, old, verdict := r.tryDecide(g, confirm)
		if old == nil {
			return s, verdict
		}
		if old.peer.Incarnation != g.hello.Incarnation {
			old.end(ending{reason: actor.NewIncarnation})
		} else {
			old.end(lastEnding(confirm))
		}
		<-old.finished
	}
}

// lastEnding is how the peer says that the last session has ended.
func lastEnding(confirm *ConfirmMessage) ending {
	e := ending{reason: actor.Disconnected, err: errors.New("the peer connected anew")}
	if confirm.LastReason != 0 {
		e.reason = actor.Reason(confirm.LastReason)
	}
	if confirm.LastError != "" {
		e.err = errors.New(confirm.LastError)
	}
	return e
}

// tryDecide makes the new session, unless there is an old one that has to end before, which it returns.
func (r *Remote) tryDecide(g greeting, confirm *ConfirmMessage) (s, old *session, verdict *VerdictMessage) {
	r.mu.Lock()
	node := g.hello.Node
	if r.closed {
		r.mu.Unlock()
		return nil, nil, &VerdictMessage{Verdict: VerdictMessage_REFUSED, Text: r.system.Node() + " is shutting down"}
	}
	if old := r.sessions[node]; old != nil {
		defer r.mu.Unlock()
		switch {
		case old.over.Load():
			return nil, old, nil
		case !sameIdentity(old.peer, g.hello) || !sameCredential(old.peer, g.hello):
			return nil, nil, &VerdictMessage{Verdict: VerdictMessage_REFUSED, Text: fmt.Sprintf("%s is the id of a %s that is connected", node, old.peer.Role)}
		case old.peer.Incarnation > g.hello.Incarnation:
			return nil, nil, &VerdictMessage{Verdict: VerdictMessage_OUTLIVED, Text: "a later incarnation of " + node + " is connected"}
		case old.peer.Incarnation == g.hello.Incarnation && confirm.Order < old.peerOrder:
			return nil, nil, &VerdictMessage{Verdict: VerdictMessage_DUPLICATE}
		}
		return nil, old, nil
	}
	var moved pending
	if d := r.confirmed[node]; d != nil {
		if r.system.Node() < node { // both have dialled: the lower id's connection is the one
			r.mu.Unlock()
			return nil, nil, &VerdictMessage{Verdict: VerdictMessage_DUPLICATE}
		}
		moved = r.withdraw(d)
	}
	r.order++
	order := r.order
	s = newSession(r, g, confirm.Order)
	failed := r.open(s, moved)
	r.mu.Unlock()
	r.fail(failed)
	return s, nil, &VerdictMessage{Verdict: VerdictMessage_READY, Order: order}
}

// begin runs a session that both sides have agreed on.
func (r *Remote) begin(s *session) {
	s.mu.Lock()
	if !s.over.Load() {
		_ = s.conn.SetDeadline(time.Time{})
	}
	s.mu.Unlock()
	r.logOf(s).Str("peer", s.peer.Node).Str("role", string(s.peer.Role)).Stringer("remote", s.peer.Remote).
		Bool("dialled", s.peer.Dialled).Msg("session began")
	s.start()
	if r.options.OnPeer != nil {
		r.options.OnPeer(s.describe())
	}
}
