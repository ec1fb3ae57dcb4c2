package remote

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
)

// Every decoder of what a peer sends is given what no peer of ours would. It may refuse, but neither panic, nor wait, nor keep more than
// its limits. The corpus of each target lies in testdata/fuzz.

func FuzzCursor(f *testing.F) {
	f.Add([]byte{0x80})
	f.Add([]byte{3, 2, 'a', 'b', 3, 1, 'c', 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &cursor{rest: b}
		table := tableReader[string]{}
		for !c.failed && len(c.rest) > 0 {
			table.at(c, func(c *cursor) string { return c.text(maxNameBytes) })
			_ = readError(c)
		}
		if len(table.entries) > tableEntries {
			t.Errorf("%d entries", len(table.entries))
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, framePing, []byte{1}), frameChunk, make([]byte, 300)), uint8(7))
	f.Add([]byte{0}, uint8(1))
	f.Add(binary.AppendUvarint(nil, 1<<40), uint8(2))
	f.Fuzz(func(t *testing.T, wire []byte, step uint8) {
		source := bytes.NewReader(wire)
		r := frameReader{little: 1, read: func(b []byte) (int, error) { return source.Read(b[:min(len(b), int(step)+1)]) }}
		var again []byte
		for {
			frame, err := r.next()
			if err != nil {
				break
			}
			if len(frame) == 0 || len(frame) > maxFrameBytes {
				t.Fatalf("a frame of %d bytes", len(frame))
			}
			again = appendFrame(again, frameKind(frame[0]), frame[1:])
		}
		if len(again) > len(wire) {
			t.Errorf("%d bytes came out of %d", len(again), len(wire))
		}
		if len(r.buf) > maxFrameBytes+binary.MaxVarintLen64 {
			t.Errorf("the buffer is %d bytes", len(r.buf))
		}
	})
}

// fuzzConn gives what was fuzzed, and takes everything.
type fuzzConn struct {
	in  io.Reader
	out int
}

func (c *fuzzConn) Read(b []byte) (int, error) { return c.in.Read(b) }
func (c *fuzzConn) Write(b []byte) (int, error) {
	c.out += len(b)
	return len(b), nil
}
func (c *fuzzConn) Close() error                     { return nil }
func (c *fuzzConn) LocalAddr() net.Addr              { return handedOverAddr{} }
func (c *fuzzConn) RemoteAddr() net.Addr             { return handedOverAddr{} }
func (c *fuzzConn) SetDeadline(time.Time) error      { return nil }
func (c *fuzzConn) SetReadDeadline(time.Time) error  { return nil }
func (c *fuzzConn) SetWriteDeadline(time.Time) error { return nil }

// handshakeBytes are a message of the handshake as it travels.
func handshakeBytes(kind byte, m proto.Message) []byte {
	var b bytes.Buffer
	_ = writeHandshake(&b, "", kind, m)
	return b.Bytes()
}

func FuzzHandshake(f *testing.F) {
	hello := &HelloMessage{LowestVersion: 1, HighestVersion: 1, Node: "n", Incarnation: 1, Limits: &LimitsMessage{MessageBytes: 1 << 20, TableEntries: 10}}
	f.Add(append(handshakeBytes(helloKind, hello), handshakeBytes(confirmKind, &ConfirmMessage{Order: 1})...))
	f.Add(handshakeBytes(verdictKind, &VerdictMessage{Verdict: VerdictMessage_REFUSED, Text: "no"}))
	f.Add([]byte{helloKind, 0xff, 0xff, 0xff, 0xff})
	n := newNode(f, "fuzzed", nodeOptions{change: func(o *Options) { o.Cluster = "c" }})
	f.Fuzz(func(t *testing.T, b []byte) {
		accepted := &fuzzConn{in: bytes.NewReader(b)}
		if s, err := n.remote.accept(accepted, nil); s != nil {
			if err != nil || s.peer.Node == "" || s.peer.Credential != nil {
				t.Errorf("a session with %+v: %v", s.peer, err)
			}
			s.end(ending{reason: actor.Disconnected})
			s.finish()
		}
		dialled := &fuzzConn{in: io.MultiReader(bytes.NewReader([]byte(magic)), bytes.NewReader(b))}
		if g, err := n.remote.greetDialled(dialled, "a:1"); err == nil && g.hello.Node == "" {
			t.Error("a peer without a name was accepted")
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	payload, _ := proto.Marshal(wrapperspb.String("hello"))
	fields := append([]byte{3, 1, 4, 'e', 'c', 'h', 'o', 3, 1, 'a', 0, 3, 27}, "google.protobuf.StringValue"...)
	fields = append(fields, 1) // the question
	f.Add(appendFrame(nil, frameMessage, append(bytes.Clone(fields), payload...)))
	f.Add(appendFrame(appendFrame(nil, frameChunk, payload), frameMessage|frameChunked, fields))
	f.Add(appendFrame(appendFrame(nil, frameLink, []byte{3, 1, 4, 'e', 'c', 'h', 'o', 1}), frameUnlink, []byte{1}))
	f.Add(appendFrame(appendFrame(nil, framePing, []byte{1}), framePong, []byte{1}))
	f.Add(appendFrame(nil, frameExited, []byte{1, 2, 1, 'x', 0}))
	f.Add(appendFrame(nil, frameGoodbye, []byte{2, 1, 'x', 0}))
	f.Add(appendFrame(nil, frameFailure, []byte{3, 1, 4, 'e', 'c', 'h', 'o', 0, 1, 2, 1, 'x', 0}))
	n := newNode(f, "fuzzed", nodeOptions{change: func(o *Options) { o.MaxMessageBytes = 1 << 20 }})
	n.Spawn("echo", echo)
	f.Fuzz(func(t *testing.T, wire []byte) {
		conn := &fuzzConn{in: bytes.NewReader(wire)}
		peer := Hello{Node: "peer", Incarnation: 1, Remote: conn.RemoteAddr()}
		s := newSession(n.remote, greeting{conn: conn, hello: peer, limits: limits{messageBytes: 1 << 20, tableEntries: 10}}, 1)
		s.readAll()
		if !s.over.Load() || s.links != nil || s.watches != nil {
			t.Error("the session has not ended")
		}
		if cap(s.in.bulk) > 4<<20 || max(len(s.in.targets.entries), len(s.in.senders.entries), len(s.in.types.entries)) > tableEntries {
			t.Errorf("%d bytes of chunks and tables of %d, %d and %d are kept",
				cap(s.in.bulk), len(s.in.targets.entries), len(s.in.senders.entries), len(s.in.types.entries))
		}
	})
}
