package remote

import (
	"errors"
	"net"
	"syscall"

	"github.com/stoa-project/stoa/actor"
)

// direct writes to a connection as much as it takes at once. It belongs to whoever the writer has lent its place to.
type direct struct {
	conn  syscall.RawConn
	write func(fd uintptr) bool // of what is in bytes, made once
	bytes []byte
	n     int
	err   error
}

// newDirect is nil for connections that are not sockets, or that encrypt.
func newDirect(conn net.Conn) *direct {
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{conn: raw}
	d.write = func(fd uintptr) bool {
		d.n, d.err = writeSome(fd, d.bytes)
		return true
	}
	return d
}

// try writes what it can without waiting. That nothing could be written is not an error.
func (d *direct) try(b []byte) (int, error) {
	d.bytes, d.n, d.err = b, 0, nil
	err := d.conn.Write(d.write)
	d.bytes = nil
	if errors.Is(d.err, syscall.EAGAIN) || errors.Is(d.err, syscall.EINTR) {
		d.err = nil
	}
	return max(d.n, 0), errors.Join(err, d.err)
}

// writeInTurns writes all of a block and waits where it must. It copies while it has one of a number of turns, which it has for no
// longer: what is large takes as many processors as there are turns, and not those that others need who have little to say.
func (d *direct) writeInTurns(b []byte, turns chan struct{}) (written int, err error) {
	for written < len(b) {
		var failed error
		err := d.conn.Write(func(fd uintptr) bool {
			turns <- struct{}{}
			n, err := writeSome(fd, b[written:])
			<-turns
			written += max(n, 0)
			if err != nil && !errors.Is(err, syscall.EINTR) {
				failed = err
			}
			if errors.Is(err, syscall.EAGAIN) {
				failed = nil
				return false
			}
			return true
		})
		if err = errors.Join(err, failed); err != nil {
			return written, err
		}
	}
	return written, nil
}

// Flush implements actor.Connection. The writer is woken, unless it is at it; or the caller writes in its stead, which saves the time
// until it runs.
func (s *session) Flush(alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	if !s.idle {
		return
	}
	if !alone || !q.fewer(directBytes) || s.over.Load() {
		s.signal()
		return
	}
	if !s.take() {
		return
	}
	b := q.writing
	s.idle, s.lent = false, true
	s.mu.Unlock()
	n, err := s.direct.try(b.bytes)
	s.sentBytes.Add(int64(n))
	s.mu.Lock()
	s.lent = false
	if err != nil {
		s.endLocked(ending{reason: actor.Disconnected, err: err})
	}
	if n == len(b.bytes) {
		q.written()
	} else {
		q.writing = block{bytes: b.bytes[n:], messages: b.messages}
	}
	if s.over.Load() || len(q.writing.bytes) > 0 || !q.empty() {
		s.wake.Broadcast() // the writer, and at the end finish
		return
	}
	s.idle = true
}
