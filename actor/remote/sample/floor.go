package sample

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"time"

	"google.golang.org/protobuf/proto"
)

// floorEcho, as a length, asks the floor to send back each message that follows; other lengths above the largest message are a number of
// messages to come, of which only the last is answered.
const (
	floorEcho  = 1 << 31
	floorCount = 1 << 30
	// floorBuffer is the size of the floor's buffers, in bytes.
	floorBuffer = 64 << 10
)

// ServeFloor is the floor's other end, until l is closed.
func ServeFloor(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			w, r := bufio.NewWriterSize(conn, floorBuffer), bufio.NewReaderSize(conn, floorBuffer)
			for serveFloorRun(w, r) == nil {
			}
		}()
	}
}

// serveFloorRun reads a run's number of messages and whether they are to be sent back, and then the messages.
func serveFloorRun(w *bufio.Writer, r *bufio.Reader) error {
	run, err := readLength(r)
	if err != nil {
		return err
	}
	var buf []byte
	for n := run & (floorCount - 1); n > 0; n-- {
		m := &Update{}
		if buf, err = readFloor(r, buf, m); err != nil {
			return err
		}
		if run&floorEcho == 0 && n > 1 {
			continue
		}
		if buf, err = writeFloor(w, buf, m); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func readLength(r io.Reader) (uint32, error) {
	var head [4]byte
	_, err := io.ReadFull(r, head[:])
	return binary.BigEndian.Uint32(head[:]), err
}

func readFloor(r io.Reader, buf []byte, m proto.Message) ([]byte, error) {
	size, err := readLength(r)
	if err != nil {
		return buf, err
	}
	if cap(buf) < int(size) {
		buf = make([]byte, size)
	}
	if _, err := io.ReadFull(r, buf[:size]); err != nil {
		return buf, err
	}
	return buf, proto.Unmarshal(buf[:size], m)
}

func writeFloor(w io.Writer, buf []byte, m proto.Message) ([]byte, error) {
	buf, err := proto.MarshalOptions{}.MarshalAppend(append(buf[:0], 0, 0, 0, 0), m)
	if err != nil {
		return buf, err
	}
	binary.BigEndian.PutUint32(buf, uint32(len(buf)-4))
	_, err = w.Write(buf)
	return buf, err
}

// Floor is a bare TCP connection: buffers on both sides, a length of 4 bytes before each message, which is marshalled and unmarshalled.
// Nothing that carries protobuf messages over TCP one by one can be much faster.
type Floor struct {
	conn net.Conn
	w    *bufio.Writer
	r    *bufio.Reader
	buf  []byte
}

// DialFloor connects to where ServeFloor listens.
func DialFloor(address string) (*Floor, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Floor{conn: conn, w: bufio.NewWriterSize(conn, floorBuffer), r: bufio.NewReaderSize(conn, floorBuffer)}, nil
}

// Close ends the connection.
func (f *Floor) Close() error { return f.conn.Close() }

func (f *Floor) beginRun(n int, kind uint32) error {
	_, err := f.w.Write(binary.BigEndian.AppendUint32(nil, uint32(n)|kind))
	return err
}

// OneWay sends n messages and gives the time until the answer to the last.
func (f *Floor) OneWay(messages []*Update, n int) (time.Duration, error) {
	start := time.Now()
	err := f.beginRun(n, 0)
	for i := 0; i < n && err == nil; i++ {
		f.buf, err = writeFloor(f.w, f.buf, messages[i%len(messages)])
	}
	if err == nil {
		err = f.w.Flush()
	}
	if err == nil {
		f.buf, err = readFloor(f.r, f.buf, &Update{})
	}
	return time.Since(start), err
}

// RoundTrips sends n messages, each when the one before has come back, and appends the time of each to times.
func (f *Floor) RoundTrips(messages []*Update, n int, times []time.Duration) ([]time.Duration, error) {
	err := f.beginRun(n, floorEcho)
	for i := 0; i < n && err == nil; i++ {
		start := time.Now()
		if f.buf, err = writeFloor(f.w, f.buf, messages[i%len(messages)]); err == nil {
			err = f.w.Flush()
		}
		if err == nil {
			f.buf, err = readFloor(f.r, f.buf, &Update{})
		}
		times = append(times, time.Since(start))
	}
	return times, err
}
