package task

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// sorter takes what a mapper prints, or the records that a function gives, and leaves them as one sorted run per partition.
//
// Lines are read straight into one big buffer and stay where they fell; what is sorted is a small entry per line. Lines
// and entries share the sort buffer. When it is full, the lines are written as a sorted run (a spill); at the end the
// spills and what is still in memory are merged. Memory that is never touched costs nothing, so a small task stays small.
type sorter struct {
	dir        string
	partitions int
	keys       *keyRules
	gap        int // bytes between a record's key and its value: the separator's, none if records come from a function

	buf       []byte
	fill      int // buf[:fill] has been read
	lineStart int // buf[lineStart:fill] is a line that has not ended yet
	entries   []entry
	sorted    []int // where each partition's entries end, once they are sorted

	spills []sortedRun
	memory *arena // buf and entries

	records, bytes, spilled int64

	seen byte // keeps fetch from being left out
}

// entry is a line in the buffer.
type entry struct {
	prefix    uint64 // the key's first eight bytes, so that most comparisons look nowhere else; 0 if the order is not bytewise
	offset    uint32
	length    uint32 // of the line without its \n
	keyLength uint32 // equal to length: there is no value
	partition uint32
}

// entryBytes is the memory that one entry takes.
const entryBytes = 24

// maxSortBufferBytes keeps offsets within 32 bits.
const maxSortBufferBytes = 4<<30 - 1

// leastRead is the room below which the buffer counts as full.
const leastRead = 4 << 10

func newSorter(dir string, partitions int, bufferBytes int64, keys *keyRules) (*sorter, error) {
	size := min(bufferBytes, maxSortBufferBytes) / entryBytes * entryBytes
	memory, err := newArena(2 * size) // of which at most half is touched
	if err != nil {
		return nil, err
	}
	entries, _ := memory.take(size)
	buf, _ := memory.take(size)
	return &sorter{
		dir: dir, partitions: partitions, keys: keys, gap: len(keys.separator), memory: memory, buf: buf, entries: entriesIn(entries),
	}, nil
}

// close gives the memory back: no record of the sorter is valid any more.
func (s *sorter) close() { s.memory.close() }

// room is how many bytes of the sort buffer are free.
func (s *sorter) room() int { return len(s.buf) - s.fill - entryBytes*len(s.entries) }

// readFrom takes lines until the end of r. A read takes at most half of the room, so that there is some for its entries.
func (s *sorter) readFrom(r io.Reader) error {
	for {
		if s.room() < leastRead {
			if err := s.makeRoom(); err != nil {
				return err
			}
			if s.room() < leastRead {
				return fmt.Errorf("a line of the mapper's output is longer than the sort buffer of %d bytes: give the task more memory", len(s.buf))
			}
		}
		n, err := r.Read(s.buf[s.fill : s.fill+min(blockBytes, s.room()/2)])
		s.bytes += int64(n)
		if err := s.lines(n); err != nil {
			return err
		}
		if err == io.EOF {
			return s.lastLine()
		}
		if err != nil {
			return fmt.Errorf("read the command's output: %w", err)
		}
	}
}

// lines finds the lines that the last n bytes have ended.
func (s *sorter) lines(n int) error {
	at := s.fill
	s.fill += n
	for {
		i := bytes.IndexByte(s.buf[at:s.fill], '\n')
		if i < 0 {
			return nil
		}
		if s.room() < entryBytes && len(s.entries) > 0 {
			moved := s.lineStart
			if err := s.makeRoom(); err != nil {
				return err
			}
			at -= moved
		}
		line := s.buf[s.lineStart : at+i]
		s.add(s.lineStart, len(line), s.keys.keyEnd(line))
		at += i + 1
		s.lineStart = at
	}
}

func (s *sorter) lastLine() error {
	if s.fill == s.lineStart {
		return nil
	}
	if s.room() < entryBytes && len(s.entries) > 0 {
		if err := s.makeRoom(); err != nil {
			return err
		}
	}
	line := s.buf[s.lineStart:s.fill]
	s.add(s.lineStart, len(line), s.keys.keyEnd(line))
	s.lineStart = s.fill
	return nil
}

// put takes a record of a function.
func (s *sorter) put(key, value []byte) error {
	size := len(key) + len(value)
	if s.room() < size+entryBytes {
		if err := s.makeRoom(); err != nil {
			return err
		}
		if len(s.buf) < size+entryBytes {
			return fmt.Errorf("a record of %d bytes is longer than the sort buffer of %d bytes: give the task more memory", size, len(s.buf))
		}
	}
	start := s.fill
	s.fill += copy(s.buf[s.fill:], key)
	s.fill += copy(s.buf[s.fill:], value)
	s.lineStart = s.fill
	s.bytes += int64(size)
	s.add(start, size, len(key))
	return nil
}

// add makes an entry of what lies in the buffer; there is room for it.
func (s *sorter) add(start, length, keyLength int) {
	key := s.buf[start : start+keyLength]
	prefix := uint64(0)
	if s.keys.bytewise {
		prefix = keyPrefix(key)
	}
	s.records++
	s.entries = append(s.entries, entry{
		prefix: prefix, offset: uint32(start), length: uint32(length), keyLength: uint32(keyLength),
		partition: uint32(s.keys.partition(key, s.partitions)),
	})
}

func keyPrefix(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// makeRoom empties the buffer of all but the line that has not ended.
func (s *sorter) makeRoom() error {
	if len(s.entries) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.fill = copy(s.buf, s.buf[s.lineStart:s.fill])
	s.lineStart = 0
	return nil
}

func (s *sorter) key(e entry) []byte { return s.buf[e.offset : e.offset+e.keyLength] }

func (s *sorter) record(e entry) record {
	line := s.buf[e.offset : e.offset+e.length]
	if e.keyLength == e.length {
		return record{key: line}
	}
	return record{key: line[:e.keyLength], value: line[int(e.keyLength)+s.gap:], hasValue: true}
}

// sortedEntries are those of one partition, after sort.
func (s *sorter) sortedEntries(partition int) []entry {
	from := 0
	if partition > 0 {
		from = s.sorted[partition-1]
	}
	return s.entries[from:s.sorted[partition]]
}

// spill writes the lines in memory as a sorted run.
func (s *sorter) spill() error {
	s.sort()
	run := sortedRun{path: filepath.Join(s.dir, fmt.Sprintf("spill-%05d", len(s.spills)))}
	w, err := createRun(run.path)
	if err != nil {
		return err
	}
	for p := range s.partitions {
		if err := s.eachInMemory(p, w.write); err != nil {
			w.file.Close()
			return err
		}
		run.ends = append(run.ends, w.offset())
	}
	if _, err := w.close(); err != nil {
		return err
	}
	run.largest = w.largest
	s.spilled += w.records
	s.spills = append(s.spills, run)
	s.entries = s.entries[:0]
	return nil
}

// finish writes each partition's records to the file that name gives and removes the spills.
func (s *sorter) finish(name func(partition int) string) ([]*taskpb.Part, error) {
	runs, err := s.settle()
	if err != nil {
		return nil, err
	}
	parts := make([]*taskpb.Part, s.partitions)
	for p := range s.partitions {
		w, err := createRun(name(p))
		if err != nil {
			return nil, err
		}
		if err := s.eachSorted(runs, p, w.write); err != nil {
			w.file.Close()
			return nil, err
		}
		if parts[p], err = w.close(); err != nil {
			return nil, err
		}
	}
	return parts, removeRuns(runs)
}

// settle ends the taking of lines: all are in memory, sorted, or all are in few enough runs.
func (s *sorter) settle() ([]sortedRun, error) {
	if len(s.spills) > 0 && len(s.entries) > 0 {
		if err := s.spill(); err != nil {
			return nil, err
		}
	}
	s.sort()
	return compact(s.spills, s.partitions, s.dir, s.keys, int64(len(s.buf)))
}

// eachSorted gives the records of a partition in order, after settle.
func (s *sorter) eachSorted(runs []sortedRun, partition int, emit func(record) error) error {
	if len(runs) > 0 {
		return mergePartition(runs, partition, s.keys, emit)
	}
	return s.eachInMemory(partition, emit)
}

// batchRecords is how many records are brought into the processor's cache together.
const batchRecords = 32

// eachInMemory gives the records of a partition that lie in the buffer, after sort. They lie all over it: so that a record is
// not waited for when it is copied, some are looked at together before, which the processor fetches at the same time.
func (s *sorter) eachInMemory(partition int, emit func(record) error) error {
	for batch := range slices.Chunk(s.sortedEntries(partition), batchRecords) {
		for _, e := range batch {
			s.fetch(e)
		}
		for _, e := range batch {
			if err := emit(s.record(e)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch looks at each cache line of the beginning of a record.
func (s *sorter) fetch(e entry) {
	const line, most = 64, 4 * 64
	for at := uint32(0); at < min(e.length, most); at += line {
		s.seen ^= s.buf[e.offset+at]
	}
	if e.length > 0 {
		s.seen ^= s.buf[e.offset+min(e.length, most)-1]
	}
}

// reset makes the sorter ready for other lines, in the same memory.
func (s *sorter) reset() {
	s.fill, s.lineStart, s.entries, s.spills = 0, 0, s.entries[:0], nil
}
