package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A frame is its length as a varint, a kind, and fields. Targets, senders and types are references into tables that both
// sides keep for the session: 0 for none, else a number and whether the definition follows.

// frameKind is the first byte of a frame.
type frameKind byte

const (
	frameMessage frameKind = iota + 1 // target, sender, type, ask, payload
	frameAnswer                       // as a message; ask is the question
	frameFailure                      // target, sender, ask, reason, text: there is no answer
	frameVoid                         // target, sender, type: definitions of a message that could not be marshalled
	frameLink                         // target, number
	frameUnlink                       // number
	frameExited                       // number, reason, text, stack
	framePing                         // the sender's clock
	framePong                         // that clock
	frameChunk                        // a part of the payload of a message to come
	frameNotice                       // text for the log
	frameGoodbye                      // reason, text: the end of the session

	// frameChunked marks a message or answer whose payload came in chunks before it.
	frameChunked frameKind = 0x80
)

var errFrame = errors.New("malformed frame")

// tableWriter numbers names for the other side. When it is full, the oldest name makes room.
type tableWriter[K comparable] struct {
	numbers map[K]uint32
	names   []K
	next    uint32
	limit   uint32
	last    K
	lastRef uint64
}

// ref gives the reference for name, and whether its definition must follow.
func (t *tableWriter[K]) ref(name K) (ref uint64, define bool) {
	if t.lastRef != 0 && name == t.last {
		return t.lastRef, false
	}
	number, known := t.numbers[name]
	if !known {
		number = t.add(name)
	}
	t.last, t.lastRef = name, uint64(number+1)<<1
	if known {
		return t.lastRef, false
	}
	return t.lastRef | 1, true
}

func (t *tableWriter[K]) add(name K) uint32 {
	if t.numbers == nil {
		t.numbers = make(map[K]uint32)
	}
	number := t.next
	if int(number) < len(t.names) {
		delete(t.numbers, t.names[number])
		t.names[number] = name
	} else {
		t.names = append(t.names, name)
	}
	t.numbers[name] = number
	t.next = (number + 1) % t.limit
	return number
}

// tableReader is the other side's table.
type tableReader[T any] struct {
	entries []T
}

// at reads a reference. It returns nil for none; define reads a definition.
func (t *tableReader[T]) at(c *cursor, define func(c *cursor) T) *T {
	ref := c.uvarint()
	if ref == 0 {
		return nil
	}
	number := int(min(ref>>1, tableEntries+1)) - 1
	if ref&1 == 0 {
		if number < 0 || number >= len(t.entries) {
			c.failed = true
			return nil
		}
		return &t.entries[number]
	}
	if number < 0 || number >= tableEntries || number > len(t.entries) {
		c.failed = true
		return nil
	}
	entry := define(c)
	if number == len(t.entries) {
		t.entries = append(t.entries, entry)
	} else {
		t.entries[number] = entry
	}
	return &t.entries[number]
}

// cursor reads the fields of a frame. After a field that is not there it has failed, and gives zeros.
type cursor struct {
	rest   []byte
	failed bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.failed, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) byte() byte {
	if len(c.rest) == 0 {
		c.failed = true
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b
}

// text reads a string of at most limit bytes.
func (c *cursor) text(limit uint64) string {
	n := c.uvarint()
	if n > limit || n > uint64(len(c.rest)) {
		c.failed, c.rest = true, nil
		return ""
	}
	s := string(c.rest[:n])
	c.rest = c.rest[n:]
	return s
}

func appendText(b []byte, s string, limit int) []byte {
	if len(s) > limit {
		s = s[:limit]
	}
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendFrame appends a frame whose fields are all of body.
func appendFrame(out []byte, kind frameKind, body []byte) []byte {
	return append(appendFrameHead(out, kind, len(body)), body...)
}

// appendFrameHead appends what comes before the fields of a frame, which are so many bytes.
func appendFrameHead(out []byte, kind frameKind, size int) []byte {
	return append(binary.AppendUvarint(out, uint64(1+size)), byte(kind))
}

// The sizes of a frameReader's buffer: small while little comes, so that an idle connection is cheap.
const (
	readBufferSmall = 2 << 10
	readBufferLarge = 64 << 10
	// readsBeforeShrink is how many reads in a row must have brought little before a large buffer is given back.
	readsBeforeShrink = 16
)

// frameReader cuts what it reads into frames.
type frameReader struct {
	read     func([]byte) (int, error)
	buf      []byte
	from, to int // buf[from:to] is read and not yet used
	little   int
}

// next gives a frame, which is valid until the next call.
func (r *frameReader) next() ([]byte, error) {
	for {
		frame, want, err := r.cut()
		if frame != nil || err != nil {
			return frame, err
		}
		if err := r.fill(want); err != nil {
			return nil, err
		}
	}
}

// cut gives a frame out of what was read, which is valid until the next fill. If there is none yet it gives nil, and how many bytes the
// frame will have, if that is known.
func (r *frameReader) cut() (frame []byte, want int, err error) {
	length, n := binary.Uvarint(r.buf[r.from:r.to])
	switch {
	case n < 0 || length > maxFrameBytes:
		return nil, 0, fmt.Errorf("%w: length %d, at most %d", errFrame, length, maxFrameBytes)
	case n > 0 && length == 0:
		return nil, 0, fmt.Errorf("%w: length 0", errFrame)
	case n > 0 && r.to-r.from >= n+int(length):
		frame = r.buf[r.from+n : r.from+n+int(length)]
		r.from += n + int(length)
		return frame, 0, nil
	case n > 0:
		return nil, n + int(length), nil
	default:
		return nil, 0, nil
	}
}

// fill reads more, into a buffer that holds at least want bytes.
func (r *frameReader) fill(want int) error {
	r.makeRoom(want)
	n, err := r.read(r.buf[r.to:])
	r.to += n
	if n >= readBufferSmall/2 {
		r.little = 0
	} else {
		r.little++
	}
	if n > 0 {
		return nil
	}
	return err
}

func (r *frameReader) makeRoom(want int) {
	waiting := r.to - r.from
	size := max(len(r.buf), readBufferSmall)
	switch {
	case waiting == 0 && want == 0 && r.little >= readsBeforeShrink:
		size = readBufferSmall
	case want > size || waiting == size || (r.little == 0 && size < readBufferLarge):
		size = max(want, min(4*size, readBufferLarge), size)
	}
	if size != len(r.buf) {
		buf := make([]byte, size)
		copy(buf, r.buf[r.from:r.to])
		r.buf = buf
	} else if r.from > 0 {
		copy(r.buf, r.buf[r.from:r.to])
	}
	r.from, r.to = 0, waiting
}
