package remote

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/stoa-project/stoa/actor"
)

const (
	// sendKeepBytes is the capacity of a send buffer that is kept; a larger one is given back when it is empty.
	sendKeepBytes = 256 << 10
	// sendIdleBytes is the capacity that is kept while nothing is sent.
	sendIdleBytes = 1 << 10
)

// sendQueue is what waits to be written: frames, and behind them large messages, one of which is under way in chunks.
type sendQueue struct {
	out         []byte // whole frames
	outMessages int
	bulks       []bulk
	bulkBytes   int
	pairs       map[pair]int // of how many messages in bulks
	scratch     []byte
	spare       []byte // the buffer that was written last, to be used again

	writing         int // bytes that the writer has in hand
	writingMessages int
	dropped         int // messages
}

// pair is a sender and a receiver, between which order is kept.
type pair struct {
	from string
	to   targetName
}

func (h *header) pair() pair { return pair{from: h.sender.Name, to: h.target} }

// bulk is a message that waits behind others, because it is large or because one before it is; or, with kind frame, a frame that
// must not overtake one.
type bulk struct {
	header  header
	payload []byte
	sent    int
	frame   bool // payload is the body of a frame that refers to no table
}

func (q *sendQueue) messages() int { return q.outMessages + q.writingMessages + len(q.bulks) }

func (q *sendQueue) bytes() int { return len(q.out) + q.writing + q.bulkBytes }

func (q *sendQueue) hasRoom(size int, o *Options) bool {
	bytes := q.bytes()
	return bytes == 0 || q.messages() < o.SendQueueMessages && bytes+size <= o.SendQueueBytes
}

func (q *sendQueue) overflowError() error {
	return fmt.Errorf("%d messages with %d bytes wait to be sent", q.messages(), q.bytes())
}

func (q *sendQueue) behindBulk(p pair) bool { return len(q.bulks) > 0 && q.pairs[p] > 0 }

func (q *sendQueue) addBulk(b bulk) {
	if !b.frame {
		if q.pairs == nil {
			q.pairs = make(map[pair]int)
		}
		q.pairs[b.header.pair()]++
	}
	q.bulkBytes += len(b.payload)
	q.bulks = append(q.bulks, b)
}

// addFrame queues a frame that must not overtake messages.
func (q *sendQueue) addFrame(kind frameKind, body []byte) {
	if len(q.bulks) == 0 {
		q.out = appendFrame(q.out, kind, body)
		return
	}
	q.addBulk(bulk{header: header{kind: kind}, payload: body, frame: true})
}

// shrink gives back the buffers of a queue that has nothing to send.
func (q *sendQueue) shrink() {
	if cap(q.out) > sendIdleBytes {
		q.out = nil
	}
	if cap(q.spare) > sendIdleBytes {
		q.spare = nil
	}
}

func (q *sendQueue) drop() {
	q.dropped += q.outMessages + len(q.bulks)
	q.out, q.outMessages, q.bulks, q.bulkBytes = nil, 0, nil, 0
}

func (q *sendQueue) sayGoodbye(e ending) {
	q.addFrame(frameGoodbye, appendError([]byte{byte(e.reason)}, e.err))
}

// appendBulk moves the next part of the large messages to out, at most a chunk's worth.
func (s *session) appendBulk() {
	q := &s.queue
	for moved := 0; len(q.bulks) > 0 && moved < chunkBytes; {
		b := &q.bulks[0]
		part := min(len(b.payload)-b.sent, chunkBytes-moved)
		q.bulkBytes -= part
		moved += max(part, 1)
		switch {
		case b.frame:
			q.bulkBytes -= len(b.payload) - part
			q.out = appendFrame(q.out, b.header.kind, b.payload)
		case b.sent == 0 && part == len(b.payload):
			q.scratch = append(s.appendHeader(q.scratch[:0], b.header), b.payload...)
			q.out = appendFrame(q.out, b.header.kind, q.scratch)
			q.outMessages++
		default:
			q.out = appendFrame(q.out, frameChunk, b.payload[b.sent:b.sent+part])
			b.sent += part
			if b.sent < len(b.payload) {
				return
			}
			q.scratch = s.appendHeader(q.scratch[:0], b.header)
			q.out = appendFrame(q.out, b.header.kind|frameChunked, q.scratch)
			q.outMessages++
		}
		s.popBulk()
	}
}

func (s *session) popBulk() {
	q := &s.queue
	b := &q.bulks[0]
	if !b.frame {
		p := b.header.pair()
		if q.pairs[p]--; q.pairs[p] == 0 {
			delete(q.pairs, p)
		}
	}
	*b = bulk{}
	q.bulks = q.bulks[1:]
	if len(q.bulks) == 0 {
		q.bulks = nil
	}
}

// writeAll writes what is queued, as much at a time as has come together, until the session is over.
func (s *session) writeAll() {
	for {
		buf, messages, ok := s.takeOut()
		if !ok {
			break
		}
		n, err := s.conn.Write(buf)
		s.sentBytes.Add(int64(n))
		s.mu.Lock()
		if err == nil {
			s.queue.writing, s.queue.writingMessages = 0, 0
		}
		if cap(buf) <= sendKeepBytes {
			s.queue.spare = buf
		}
		s.mu.Unlock()
		if err != nil {
			s.end(ending{reason: actor.Disconnected, err: err})
			break
		}
		s.sentMessages.Add(int64(messages))
	}
	s.linger()
}

// takeOut waits for something to write; false if there will be nothing more.
func (s *session) takeOut() (buf []byte, messages int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	for {
		if s.over.Load() && !s.ending.polite {
			return nil, 0, false
		}
		if len(q.bulks) > 0 {
			s.appendBulk()
		}
		if len(q.out) > 0 {
			break
		}
		if s.over.Load() {
			return nil, 0, false
		}
		s.idle = true
		s.wake.Wait()
		if !s.over.Load() && len(q.out) < chunkBytes {
			s.gather()
		}
	}
	buf, messages = q.out, q.outMessages
	q.out, q.spare, q.outMessages = q.spare[:0], nil, 0
	q.writing, q.writingMessages = len(buf), messages
	return buf, messages, true
}

// gather lets those who are about to send do so, for one write is cheaper than many.
func (s *session) gather() {
	s.mu.Unlock()
	runtime.Gosched()
	s.mu.Lock()
}

// linger closes the connection after the peer has taken the last words. What it still sends is thrown away, because a
// connection closed with unread bytes may lose what was written.
func (s *session) linger() {
	<-s.finished
	s.mu.Lock()
	polite := s.ending.polite
	s.mu.Unlock()
	if polite {
		if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		_ = s.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.Copy(io.Discard, s.conn)
	}
	_ = s.conn.Close()
}
