package remote

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
)

const (
	// benchmarkPayload is the size of a message.
	benchmarkPayload = 100
	// benchmarkWindow is how many messages are under way at once.
	benchmarkWindow = 20_000
)

// BenchmarkRemoteOneWay sends from one node to an actor of another over loopback, and counts there. Its floor is bare TCP with 64 KB
// buffers and the same message, marshalled and unmarshalled, in the same run.
func BenchmarkRemoteOneWay(b *testing.B) {
	floor := oneWayTCP(b, b.N)
	receiver := newNode(b, "receiver", nodeOptions{address: "127.0.0.1:0"})
	sender := newNode(b, "sender", nodeOptions{})
	acks := make(chan struct{}, b.N/(benchmarkWindow/2)+2)
	pid := receiver.Spawn("counter", func() actor.Actor {
		n := 0
		return actor.Func(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*wrapperspb.BytesValue); ok {
				if n++; n%(benchmarkWindow/2) == 0 || n == b.N {
					acks <- struct{}{}
				}
			}
		})
	})
	message := wrapperspb.Bytes(make([]byte, benchmarkPayload))
	b.SetBytes(benchmarkPayload)
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	for i := range b.N {
		sender.Send(pid, message)
		if sent := i + 1; sent >= benchmarkWindow && sent%(benchmarkWindow/2) == 0 {
			<-acks // of the first half of the window
		}
	}
	outstanding := (b.N + benchmarkWindow/2 - 1) / (benchmarkWindow / 2)
	for taken := max(0, b.N/(benchmarkWindow/2)-1); taken < outstanding; taken++ {
		<-acks
	}
	b.ReportMetric(float64(floor)/float64(time.Since(start)), "x-floor")
	b.StopTimer()
	if lost := sender.dead.Load() + receiver.dead.Load(); lost != 0 {
		b.Errorf("%d messages were lost", lost)
	}
	sender.shutDown(b)
	receiver.shutDown(b)
}

// oneWayTCP is the floor.
func oneWayTCP(b *testing.B, n int) time.Duration {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = receiveTCP(conn, n)
			_ = conn.Close()
		}
		done <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	message := wrapperspb.Bytes(make([]byte, benchmarkPayload))
	w := bufio.NewWriterSize(conn, 64<<10)
	var buf []byte
	start := time.Now()
	for range n {
		buf, _ = proto.MarshalOptions{}.MarshalAppend(binary.BigEndian.AppendUint32(buf[:0], 0), message)
		binary.BigEndian.PutUint32(buf, uint32(len(buf)-4))
		if _, err := w.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	_ = w.Flush()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func receiveTCP(conn net.Conn, n int) error {
	r := bufio.NewReaderSize(conn, 64<<10)
	var head [4]byte
	var buf []byte
	for range n {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(head[:]))
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		if _, err := io.ReadFull(r, buf[:size]); err != nil {
			return err
		}
		if err := proto.Unmarshal(buf[:size], &wrapperspb.BytesValue{}); err != nil {
			return err
		}
	}
	return nil
}
