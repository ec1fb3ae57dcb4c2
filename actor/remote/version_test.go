package remote

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// helloOf is the hello of a node that speaks other versions than this one, with a field that this one does not know.
func helloOf(lowest, highest uint32) *HelloMessage {
	hello := &HelloMessage{
		LowestVersion: lowest, HighestVersion: highest, Node: "other", Incarnation: 1,
		Limits: &LimitsMessage{MessageBytes: 1 << 20, TableEntries: 10},
	}
	hello.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "of a later version"))
	return hello
}

// otherVersions are nodes of other versions: what they offer, and the line that both sides get if there is none in common.
var otherVersions = []struct {
	name            string
	lowest, highest uint32
	refused         string
}{
	{"this version", lowestVersion, highestVersion, ""},
	{"one newer that still speaks this version", lowestVersion, highestVersion + 1, ""},
	{"one newer that does not", highestVersion + 1, highestVersion + 1, "n speaks protocol versions 1 to 1, other speaks 2 to 2"},
	{"one older that knows nothing of this version", lowestVersion - 1, lowestVersion - 1, "n speaks protocol versions 1 to 1, other speaks 0 to 0"},
	{"one older with a range up to this version", lowestVersion - 1, lowestVersion, ""},
}

func TestTheHighestCommonVersionIsUsedWhenDialled(t *testing.T) {
	for _, c := range otherVersions {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t, "n", nodeOptions{address: "127.0.0.1:0"})
			n.Spawn("echo", mirror)
			conn, err := net.Dial("tcp", n.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_ = writeHandshake(conn, magic, helloKind, helloOf(c.lowest, c.highest))
			if err := readMagic(conn); err != nil {
				t.Fatal(err)
			}
			err = readAs(conn, helloKind, &HelloMessage{})
			if c.refused != "" {
				if err == nil || err.Error() != "refused: "+c.refused {
					t.Errorf("got %v, expected %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = writeHandshake(conn, "", confirmKind, &ConfirmMessage{Order: 1})
			if err := readAs(conn, verdictKind, &VerdictMessage{}); err != nil {
				t.Fatal(err)
			}
			expectEcho(t, conn)
			n.shutDown(t)
		})
	}
}

// mirror answers a message with itself.
func mirror() actor.Actor {
	return actor.Func(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*wrapperspb.BytesValue); ok {
			ctx.Reply(m)
		}
	})
}

// expectEcho asks the node's echo over a session by hand, in a message with a field that it does not know, and reads until the answer
// has come with that field.
func expectEcho(t *testing.T, conn net.Conn) {
	t.Helper()
	m := wrapperspb.Bytes([]byte("hello"))
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 7)
	m.ProtoReflect().SetUnknown(unknown)
	payload, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	b := appendTarget([]byte{3}, targetName{name: "echo", registered: true})
	b = appendText(append(b, 3), "asker", maxNameBytes)
	b = append(b, 0)
	b = appendText(append(b, 3), string(m.ProtoReflect().Descriptor().FullName()), maxNameBytes)
	b = append(b, 1)
	if _, err := conn.Write(appendFrame(nil, frameMessage, append(b, payload...))); err != nil {
		t.Fatal(err)
	}
	r := frameReader{read: conn.Read, little: 1}
	for {
		frame, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if frameKind(frame[0]) == frameAnswer {
			if !strings.Contains(string(frame), string(unknown)) {
				t.Errorf("the answer %q has lost a field", frame)
			}
			return
		}
	}
}

func TestTheHighestCommonVersionIsUsedWhenDialling(t *testing.T) {
	for _, c := range otherVersions {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			told := make(chan error, 1)
			go func() { told <- answerAs(l, helloOf(c.lowest, c.highest)) }()
			n := newNode(t, "n", nodeOptions{})
			probe := actortest.NewProbe(t, n.System)
			probe.Link(actor.At(l.Addr().String(), "echo"))
			exited := actortest.Await[actor.Exited](t, probe)
			err = <-told
			if c.refused == "" {
				if err != nil || exited.Reason != actor.Disconnected {
					t.Errorf("got %v: %v; the other side: %v", exited.Reason, exited.Err, err)
				}
				return
			}
			if !strings.Contains(exited.Err.Error(), c.refused) || err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v: %v; the other side: %v", exited.Reason, exited.Err, err)
			}
		})
	}
}

// answerAs is the side that is dialled, of another version. Once the session has begun it ends the connection.
func answerAs(l net.Listener, hello *HelloMessage) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := readMagic(conn); err != nil {
		return err
	}
	if err := readAs(conn, helloKind, &HelloMessage{}); err != nil {
		return err
	}
	if err := writeHandshake(conn, magic, helloKind, hello); err != nil {
		return err
	}
	if err := readAs(conn, confirmKind, &ConfirmMessage{}); err != nil {
		return err
	}
	if err := writeHandshake(conn, "", verdictKind, &VerdictMessage{Verdict: VerdictMessage_READY, Order: 1}); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1)) // the link
	return err
}
