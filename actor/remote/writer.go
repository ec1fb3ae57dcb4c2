package remote

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/stoa-project/stoa/actor"
)

const (
	// blockBytes is how much is written at once. A frame begins in a block that is not full, and ends in the same.
	blockBytes = 64 << 10
	// blockCapacity holds a block to whose end the largest frame was appended.
	blockCapacity = blockBytes + maxFrameBytes
	// sendIdleBytes is the capacity that a connection keeps while nothing is sent.
	sendIdleBytes = 1 << 10
)

// sendQueue is what waits to be written: blocks of frames, and behind them large messages, one of which is under way in chunks.
type sendQueue struct {
	pool      *sync.Pool // of blocks with their full capacity
	full      []block    // before out
	fullBytes int
	out       []byte // whole frames
	bulks     []bulk
	bulkBytes int
	pairs     map[pair]int // of how many messages in bulks
	scratch   []byte
	spare     []byte // the small block that was written last, to be used again

	outMessages  int
	fullMessages int
	writing      block // what the writer has in hand
	dropped      int   // messages
}

// block is a number of frames.
type block struct {
	bytes    []byte
	messages int
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

func (q *sendQueue) messages() int {
	return q.outMessages + q.fullMessages + q.writing.messages + len(q.bulks)
}

func (q *sendQueue) bytes() int {
	return len(q.out) + q.fullBytes + len(q.writing.bytes) + q.bulkBytes
}

// seal begins a new block if the current one is full. It is called after each frame.
func (q *sendQueue) seal() {
	if len(q.out) < blockBytes {
		return
	}
	q.full = append(q.full, block{bytes: q.out, messages: q.outMessages})
	q.fullBytes += len(q.out)
	q.fullMessages += q.outMessages
	q.outMessages = 0
	if next, ok := q.pool.Get().(*[]byte); ok {
		q.out = *next
	} else {
		q.out = make([]byte, 0, blockCapacity)
	}
}

// take gives the first block, if there is one.
func (q *sendQueue) take() bool {
	switch {
	case len(q.full) > 0:
		q.writing = q.full[0]
		q.full[0] = block{}
		q.full = q.full[1:]
		q.fullBytes -= len(q.writing.bytes)
		q.fullMessages -= q.writing.messages
		if len(q.full) == 0 {
			q.full = nil
		}
	case len(q.out) > 0:
		q.writing = block{bytes: q.out, messages: q.outMessages}
		q.out, q.spare, q.outMessages = q.spare[:0], nil, 0
	default:
		return false
	}
	return true
}

// written takes back the block that take gave.
func (q *sendQueue) written() {
	buf := q.writing.bytes[:0]
	q.writing = block{}
	if cap(buf) == blockCapacity {
		q.pool.Put(&buf)
	} else if cap(buf) < blockCapacity {
		q.spare = buf
	}
}

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
		q.seal()
		return
	}
	q.addBulk(bulk{header: header{kind: kind}, payload: body, frame: true})
}

// shrink gives back the buffers of a queue that has nothing to send.
func (q *sendQueue) shrink() {
	if cap(q.out) > sendIdleBytes && len(q.out) == 0 {
		q.out = nil
	}
	if cap(q.spare) > sendIdleBytes {
		q.spare = nil
	}
}

func (q *sendQueue) drop() {
	q.dropped += q.outMessages + q.fullMessages + len(q.bulks)
	q.out, q.outMessages, q.full, q.fullBytes, q.fullMessages, q.bulks, q.bulkBytes = nil, 0, nil, 0, 0, nil, 0
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
				q.seal()
				return
			}
			q.scratch = s.appendHeader(q.scratch[:0], b.header)
			q.out = appendFrame(q.out, b.header.kind|frameChunked, q.scratch)
			q.outMessages++
		}
		s.popBulk()
	}
	q.seal()
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
		b, ok := s.takeOut()
		if !ok {
			break
		}
		s.sentMessages.Add(int64(b.messages)) // before an answer can come
		n, err := s.conn.Write(b.bytes)
		s.sentBytes.Add(int64(n))
		if err != nil {
			s.end(ending{reason: actor.Disconnected, err: err})
			break
		}
		s.mu.Lock()
		s.queue.written()
		s.mu.Unlock()
	}
	s.linger()
}

// takeOut waits for something to write; false if there will be nothing more.
func (s *session) takeOut() (block, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	for {
		if s.over.Load() && !s.ending.polite {
			return block{}, false
		}
		if len(q.full) == 0 && len(q.bulks) > 0 {
			s.appendBulk()
		}
		if q.take() {
			return q.writing, true
		}
		if s.over.Load() {
			return block{}, false
		}
		s.idle = true
		s.wake.Wait()
		if !s.over.Load() && len(q.full) == 0 {
			s.gather()
		}
	}
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
