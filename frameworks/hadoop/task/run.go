package task

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// A run is a sequence of records in order. On disk and over the network a record is
//
//	uvarint length of the key · uvarint (0: no value, else 1 + length of the value) · key · value
//
// and that is all: no header, no trailer. A run's length and checksum travel in the summary.

// record is one line of a mapper, cut at its first tab. Its bytes are valid until the next record is read.
type record struct {
	key, value []byte
	hasValue   bool
}

// maxRecordHeader is the most bytes that the two lengths take.
const maxRecordHeader = 2 * binary.MaxVarintLen64

// crcTable is Castagnoli's polynomial, which processors compute by themselves.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// Checksum adds b to a checksum as Part.crc32c holds it; the first is 0.
func Checksum(sum uint32, b []byte) uint32 { return crc32.Update(sum, crcTable, b) }

// checksumWriter counts and sums what passes.
type checksumWriter struct {
	w     io.Writer
	bytes int64
	sum   uint32
}

func (c *checksumWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.bytes += int64(n)
	c.sum = Checksum(c.sum, b[:n])
	return n, err
}

// runWriter writes records.
type runWriter struct {
	file    *os.File
	sums    checksumWriter
	buf     []byte // not written yet
	records int64
	largest int64 // bytes of the largest record
}

func createRun(path string) (*runWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("keep records: %w", err)
	}
	w := &runWriter{file: f, buf: make([]byte, 0, blockBytes)}
	w.sums.w = f
	return w, nil
}

func (w *runWriter) write(r record) error {
	if len(w.buf)+maxRecordHeader+len(r.key)+len(r.value) > cap(w.buf) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.buf = binary.AppendUvarint(w.buf, uint64(len(r.key)))
	if r.hasValue {
		w.buf = binary.AppendUvarint(w.buf, uint64(len(r.value))+1)
	} else {
		w.buf = append(w.buf, 0)
	}
	w.records++
	w.largest = max(w.largest, int64(len(r.key)+len(r.value)+maxRecordHeader))
	if len(r.key)+len(r.value) > cap(w.buf)-maxRecordHeader { // it is long: not copied
		return errors.Join(w.flush(), w.long(r.key), w.long(r.value))
	}
	w.buf = append(append(w.buf, r.key...), r.value...)
	return nil
}

func (w *runWriter) flush() error {
	err := w.long(w.buf)
	w.buf = w.buf[:0]
	return err
}

// long writes bytes at once.
func (w *runWriter) long(b []byte) error {
	if _, err := w.sums.Write(b); err != nil {
		return fmt.Errorf("keep records: %w", err)
	}
	return nil
}

// offset is where the next record goes.
func (w *runWriter) offset() int64 { return w.sums.bytes + int64(len(w.buf)) }

// close ends the run and says what it is.
func (w *runWriter) close() (*taskpb.Part, error) {
	flushed := w.flush()
	writeOut(w.file, w.sums.bytes)
	if err := w.file.Close(); err != nil && flushed == nil {
		flushed = fmt.Errorf("keep records: %w", err)
	}
	if flushed != nil {
		return nil, flushed
	}
	return &taskpb.Part{Bytes: w.sums.bytes, Records: w.records, Crc32C: w.sums.sum, Largest: w.largest}, nil
}

// runReader reads the records of a run without copying them.
type runReader struct {
	src  io.Reader // nil: buf holds the whole run
	buf  []byte    // bytes read[pos:end] are not consumed yet
	pos  int
	end  int
	rank int               // breaks ties of equal keys: the lower comes first
	rec  record            // the current one
	from *taskpb.MapOutput // whose output it is, which is lost if it can not be read; nil: this task's own

	prefixed bool   // the order is bytewise: prefix is that of the current key
	prefix   uint64 // else 0
}

func memoryRun(b []byte, rank int) *runReader {
	return &runReader{buf: b, end: len(b), rank: rank}
}

// readBytes is the least buffer of a run that is read as a stream; it holds the run's largest record.
const readBytes = 64 << 10

func streamRun(src io.Reader, rank int, largest int64) *runReader {
	return &runReader{src: src, buf: make([]byte, max(readBytes, largest)), rank: rank}
}

var errTornRun = errors.New("kept records are damaged: a run ends in the middle of a record")

// next moves to the next record; false without an error is the run's end. The error of a map's output is a *LostError.
func (r *runReader) next() (bool, error) {
	more, err := r.advance()
	if err != nil && r.from != nil {
		err = &LostError{Lost: []*taskpb.LostOutput{lostOutput(r.from, err)}}
	}
	return more, err
}

func (r *runReader) advance() (bool, error) {
	for {
		key, keyN := binary.Uvarint(r.buf[r.pos:r.end])
		if keyN > 0 {
			value, valueN := binary.Uvarint(r.buf[r.pos+keyN : r.end])
			if valueN > 0 {
				return r.body(keyN+valueN, key, value)
			}
		}
		if more, err := r.fill(r.end - r.pos + 1); err != nil {
			return false, err
		} else if !more {
			if r.pos != r.end {
				return false, errTornRun
			}
			return false, nil
		}
	}
}

// body takes the record whose header was read.
func (r *runReader) body(head int, key, value uint64) (bool, error) {
	r.rec.hasValue = value > 0
	if value > 0 {
		value--
	}
	const limit = 1 << 40 // a damaged length must not become an allocation
	if key > limit || value > limit {
		return false, errTornRun
	}
	size := head + int(key) + int(value)
	for r.end-r.pos < size {
		if more, err := r.fill(size); err != nil {
			return false, err
		} else if !more {
			return false, errTornRun
		}
	}
	at := r.pos + head
	r.rec.key = r.buf[at : at+int(key)]
	if r.prefixed {
		r.prefix = keyPrefix(r.rec.key)
	}
	r.rec.value = r.buf[at+int(key) : r.pos+size]
	r.pos += size
	return true, nil
}

// fill reads more, making room for want unconsumed bytes; false is the source's end.
func (r *runReader) fill(want int) (bool, error) {
	if r.src == nil {
		return false, nil
	}
	if r.pos > 0 {
		r.end = copy(r.buf, r.buf[r.pos:r.end])
		r.pos = 0
	}
	if want > len(r.buf) {
		// Doubling, so that a damaged length ends at the source's end and not in one huge allocation.
		grown := make([]byte, 2*len(r.buf))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return true, nil
	}
	if err == nil || err == io.EOF {
		return err == nil, nil
	}
	return false, fmt.Errorf("read kept records: %w", err)
}
