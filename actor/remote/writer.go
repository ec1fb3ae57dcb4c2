package remote

import (
	"fmt"
	"io"
	"runtime"
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
	// blocksKept is how many blocks a connection keeps to use them again, while it sends.
	blocksKept = 32
	// heldBytes is how much may be held until it is flushed.
	heldBytes = 48 << 10
	// directBytes is how much a flush writes by itself; what is more is the writer's.
	directBytes = 16 << 10
)

// sendQueue is what waits to be written: blocks of frames, and behind them large messages, one of which is under way in chunks.
type sendQueue struct {
	blocks    [][]byte // empty ones with their full capacity
	full      []block  // before out
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
	payload [][]byte // what is left of it, in parts that others may send too: they are only read
	size    int      // of all that is left
	begun   bool     // some of it has been sent
	frame   bool     // payload is the body of a frame that refers to no table
}

// appendTo appends the first n bytes of the payload, and takes them from it.
func (b *bulk) appendTo(out []byte, n int) []byte {
	b.size -= n
	b.begun = true
	for n > 0 {
		part := b.payload[0]
		if n < len(part) {
			b.payload[0] = part[n:]
			return append(out, part[:n]...)
		}
		out = append(out, part...)
		n -= len(part)
		b.payload = b.payload[1:]
	}
	return out
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
	if last := len(q.blocks) - 1; last >= 0 {
		q.out, q.blocks[last], q.blocks = q.blocks[last], nil, q.blocks[:last]
	} else {
		q.out = make([]byte, 0, blockCapacity)
	}
}

// empty reports whether nothing waits, other than what the writer has in hand.
func (q *sendQueue) empty() bool { return q.fewer(1) }

// fewer reports whether what waits, other than what the writer has in hand, is in one block and less than n bytes.
func (q *sendQueue) fewer(n int) bool { return len(q.full) == 0 && len(q.bulks) == 0 && len(q.out) < n }

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
	if cap(buf) == blockCapacity && len(q.blocks) < blocksKept {
		q.blocks = append(q.blocks, buf)
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
	q.bulkBytes += b.size
	q.bulks = append(q.bulks, b)
}

// addFrame queues a frame that must not overtake messages.
func (q *sendQueue) addFrame(kind frameKind, body []byte) {
	if len(q.bulks) == 0 {
		q.out = appendFrame(q.out, kind, body)
		q.seal()
		return
	}
	q.addBulk(bulk{header: header{kind: kind}, payload: [][]byte{body}, size: len(body), frame: true})
}

// shrink gives back the buffers of a queue that has nothing to send.
func (q *sendQueue) shrink() {
	if cap(q.out) > sendIdleBytes && len(q.out) == 0 {
		q.out = nil
	}
	if cap(q.spare) > sendIdleBytes {
		q.spare = nil
	}
	q.blocks = nil
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
		part := min(b.size, chunkBytes-moved)
		if b.frame {
			part = b.size
		}
		q.bulkBytes -= part
		moved += max(part, 1)
		switch {
		case b.frame:
			q.out = b.appendTo(appendFrameHead(q.out, b.header.kind, part), part)
		case !b.begun && part == b.size:
			q.scratch = s.appendHeader(q.scratch[:0], b.header)
			q.out = append(appendFrameHead(q.out, b.header.kind, len(q.scratch)+part), q.scratch...)
			q.out = b.appendTo(q.out, part)
			q.outMessages++
		default:
			q.out = b.appendTo(appendFrameHead(q.out, frameChunk, part), part)
			if b.size > 0 {
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
		n, err := s.writeBlock(b.bytes)
		s.sentBytes.Add(int64(n))
		if s.wrote(err); err != nil {
			break
		}
		if len(b.bytes) >= blockBytes {
			runtime.Gosched() // Whoever has little to do need not wait until all of it is written.
		}
	}
	s.linger()
}

// writeBlock writes what takeOut gave: a full block in turns with other connections.
func (s *session) writeBlock(b []byte) (int, error) {
	if s.direct == nil || len(b) < blockBytes {
		return s.conn.Write(b)
	}
	return s.direct.writeInTurns(b, s.remote.turns)
}

// wrote takes note of what became of a write that takeOut gave.
func (s *session) wrote(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	if err == nil {
		s.queue.written()
	} else {
		s.endLocked(ending{reason: actor.Disconnected, err: err})
	}
	if s.over.Load() {
		s.wake.Broadcast()
	}
}

// take gives what is to be written next, which counts as sent before an answer to it can come. s.mu is held.
func (s *session) take() bool {
	if !s.queue.take() {
		return false
	}
	s.sentMessages.Add(int64(s.queue.writing.messages))
	return true
}

// takeOut waits for something to write; false if there will be nothing more.
func (s *session) takeOut() (block, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	for {
		if s.lent {
			s.wake.Wait()
			continue
		}
		if s.over.Load() && !s.ending.polite {
			return block{}, false
		}
		if len(q.writing.bytes) > 0 { // somebody else has begun with it
			s.busy = true
			return q.writing, true
		}
		if len(q.full) == 0 && len(q.bulks) > 0 {
			s.appendBulk()
		}
		if s.take() {
			s.busy = true
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
