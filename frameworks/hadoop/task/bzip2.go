package task

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// A bzip2 file is a sequence of bits: blocks, each of which begins with a magic number and unpacks by itself, and at the end
// of each stream another one. So a map can be given a piece of such a file: the blocks that begin in it. The magic numbers
// begin at any bit; that 48 bits of a block's middle look like one happens once in 2^48 bits, and fails the map.
const (
	bzip2Block  = 0x314159265359 // the digits of π
	bzip2Footer = 0x177245385090 // and of its square root
	bzip2Mask   = 1<<48 - 1
)

// maxBzip2Block bounds a packed block, in bytes: it unpacks to 900,000 at most, and packing adds little.
const maxBzip2Block = 4 << 20

// bzip2Blocks reads the blocks of a file from some byte on.
type bzip2Blocks struct {
	src    io.Reader
	buf    []byte // buf[0] has the bit where the current block begins, if one does
	at     int    // bytes of buf that have been looked at
	window uint64 // the last 64 bits that were
	base   int64  // where buf lies in the file, in bytes

	start   int64 // bit in buf where the current block begins; -1: none does
	ended   bool  // src has
	pending int   // bits of buf[at-1] that have not been looked at
}

func newBzip2Blocks(src io.Reader, offset int64) *bzip2Blocks {
	return &bzip2Blocks{src: src, base: offset, start: -1}
}

// next unpacks the next block and tells the byte of the file in which it begins; io.EOF after the last.
func (b *bzip2Blocks) next() (unpacked []byte, begin int64, err error) {
	for {
		magic, end, err := b.find()
		if err != nil {
			return nil, 0, err
		}
		start, base := b.start, b.base
		var block []byte
		if start >= 0 {
			block = bzip2Alone(b.buf, start, end)
		}
		b.start = -1
		if magic == bzip2Block {
			b.start = end
		}
		b.drop(end / 8)
		if block == nil {
			if magic == 0 {
				return nil, 0, io.EOF
			}
			continue
		}
		unpacked, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(block)))
		return unpacked, base + start/8, err
	}
}

// find gives the next magic number and the bit of buf where it begins; 0 and where buf ends if there is none.
func (b *bzip2Blocks) find() (magic uint64, bit int64, err error) {
	for {
		for {
			if b.pending == 0 {
				if b.at == len(b.buf) {
					break
				}
				b.window = b.window<<8 | uint64(b.buf[b.at])
				b.at++
				b.pending = 8
			}
			for b.pending > 0 {
				b.pending--
				seen := int64(b.at)*8 - int64(b.pending)
				if m := b.window >> b.pending & bzip2Mask; seen >= 48 && (m == bzip2Block || m == bzip2Footer) {
					return m, seen - 48, nil
				}
			}
		}
		if b.ended {
			return 0, int64(len(b.buf)) * 8, nil
		}
		if b.start < 0 {
			b.drop(int64(max(0, len(b.buf)-8))) // a magic number may have begun
		} else if len(b.buf) > maxBzip2Block {
			return 0, 0, fmt.Errorf("bzip2 data invalid: a block has no end within %d bytes", maxBzip2Block)
		}
		if err := b.fill(); err != nil {
			return 0, 0, err
		}
	}
}

func (b *bzip2Blocks) fill() error {
	at := len(b.buf)
	b.buf = append(b.buf, make([]byte, blockBytes)...)
	n, err := io.ReadFull(b.src, b.buf[at:])
	b.buf = b.buf[:at+n]
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		b.ended, err = true, nil
	}
	return err
}

// drop forgets the first bytes of buf.
func (b *bzip2Blocks) drop(n int64) {
	b.buf = b.buf[:copy(b.buf, b.buf[n:])]
	b.at -= int(n)
	b.base += n
	if b.start >= 0 {
		b.start -= n * 8
	}
}

// bzip2Alone makes a file of its own of the block in buf's bits from start to end: a header before it, a footer behind it,
// whose checksum is the block's, which comes after its magic number.
func bzip2Alone(buf []byte, start, end int64) []byte {
	const header = "BZh9"
	out := append(make([]byte, 0, (end-start)/8+32), header...)
	var acc uint64 // bits that do not fill a byte yet, at its low end
	count := 0
	put := func(value uint64, bits int) {
		acc, count = acc<<bits|value, count+bits
		for count >= 8 {
			count -= 8
			out = append(out, byte(acc>>count))
		}
	}
	for bit := start; bit < end; {
		skip := int(bit % 8)
		n := min(8-skip, int(end-bit))
		put(uint64(buf[bit/8])<<skip&0xFF>>(8-n), n)
		bit += int64(n)
	}
	sum := uint64(0)
	if at := len(header) + 6; len(out) >= at+4 {
		sum = uint64(binary.BigEndian.Uint32(out[at:]))
	}
	put(bzip2Footer>>24, 24)
	put(bzip2Footer&(1<<24-1), 24)
	put(sum, 32)
	put(0, 7) // fills the last byte
	return out
}

// bzip2Piece writes the lines of a piece of a bzip2 file: those that begin in the blocks that begin in the piece, but for a
// line that begins exactly with the first block, which belongs to the piece before. So every piece but the first skips to
// behind the first \n, and reads on to the first \n after its blocks.
func (s *splitWriter) bzip2Piece(f io.ReadSeeker, name string, c *taskpb.Chunk) error {
	if _, err := f.Seek(c.GetOffset(), io.SeekStart); err != nil {
		return fmt.Errorf("input file: %w", err)
	}
	end := c.GetOffset() + c.GetLength()
	blocks := newBzip2Blocks(io.LimitReader(f, c.GetFileSize()-c.GetOffset()), c.GetOffset())
	skipping, last := c.GetOffset() > 0, byte('\n')
	s.bytes += c.GetLength()
	for {
		block, begin, err := blocks.next()
		if errors.Is(err, io.EOF) {
			return s.finishLine(last)
		}
		if err != nil {
			return fmt.Errorf("unpack input file %s: %w", name, noEOF(err))
		}
		beyond := begin >= end
		if skipping {
			if beyond {
				return nil // no line begins in this piece
			}
			i := bytes.IndexByte(block, '\n')
			if i < 0 {
				continue
			}
			block, skipping = block[i+1:], false
		}
		done := false
		if beyond {
			if i := bytes.IndexByte(block, '\n'); i >= 0 {
				block, done = block[:i+1], true
			}
		}
		if err := s.append(block); err != nil {
			return err
		}
		if len(block) > 0 {
			last = block[len(block)-1]
		}
		if done {
			return nil
		}
	}
}

// append takes bytes that have been read already.
func (s *splitWriter) append(b []byte) error {
	s.lines += int64(bytes.Count(b, newline))
	for len(b) > 0 {
		if len(s.buf) == cap(s.buf) {
			if err := s.flush(); err != nil {
				return err
			}
		}
		n := min(len(b), cap(s.buf)-len(s.buf))
		s.buf = append(s.buf, b[:n]...)
		b = b[n:]
	}
	return nil
}
