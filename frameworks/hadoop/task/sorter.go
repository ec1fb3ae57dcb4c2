package task

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// sorter takes what a mapper prints and leaves it as one sorted run per partition.
//
// Lines are read straight into one big buffer and stay where they fell; what is sorted is a small entry per line. Half
// of the sort buffer holds lines, half entries. When either is full, the lines are written as a sorted run (a spill);
// at the end the spills and what is still in memory are merged. Memory that is never touched costs nothing, so a small
// task stays small.
type sorter struct {
	dir        string
	partitions int
	keys       *keyRules

	buf       []byte
	fill      int // buf[:fill] has been read
	lineStart int // buf[lineStart:fill] is a line that has not ended yet
	entries   []entry
	sorted    []int // where each partition's entries end, once they are sorted

	spills []sortedRun

	records, bytes, spilled int64
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
const maxSortBufferBytes = 4 << 30

func newSorter(dir string, partitions int, bufferBytes int64, keys *keyRules) *sorter {
	half := min(bufferBytes, maxSortBufferBytes) / 2
	return &sorter{
		dir:        dir,
		partitions: partitions,
		keys:       keys,
		buf:        make([]byte, half),
		entries:    make([]entry, 0, half/entryBytes),
	}
}

// readFrom takes lines until the end of r.
func (s *sorter) readFrom(r io.Reader) error {
	for {
		if s.fill == len(s.buf) {
			if err := s.makeRoom(); err != nil {
				return err
			}
		}
		n, err := r.Read(s.buf[s.fill:])
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
		if err := s.add(s.lineStart, at+i); err != nil {
			return err
		}
		at += i + 1
		s.lineStart = at
	}
}

func (s *sorter) lastLine() error {
	if s.fill == s.lineStart {
		return nil
	}
	err := s.add(s.lineStart, s.fill)
	s.lineStart = s.fill
	return err
}

func (s *sorter) add(start, end int) error {
	if len(s.entries) == cap(s.entries) {
		if err := s.spill(); err != nil {
			return err
		}
	}
	line := s.buf[start:end]
	key := line[:s.keys.keyEnd(line)]
	prefix := uint64(0)
	if s.keys.bytewise {
		prefix = keyPrefix(key)
	}
	s.records++
	s.entries = append(s.entries, entry{
		prefix:    prefix,
		offset:    uint32(start),
		length:    uint32(len(line)),
		keyLength: uint32(len(key)),
		partition: uint32(s.keys.partition(key, s.partitions)),
	})
	return nil
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
	if s.lineStart == 0 {
		return fmt.Errorf("a line of the mapper's output is longer than the %d bytes that half of the sort buffer holds", len(s.buf))
	}
	if err := s.spill(); err != nil {
		return err
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
	return record{key: line[:e.keyLength], value: line[int(e.keyLength)+len(s.keys.separator):], hasValue: true}
}

// sort orders the entries by partition, key and arrival, and notes where each partition ends.
func (s *sorter) sort() {
	slices.SortFunc(s.entries, func(a, b entry) int {
		if a.partition != b.partition {
			return cmp.Compare(a.partition, b.partition)
		}
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		if c := s.keys.compare(s.key(a), s.key(b)); c != 0 {
			return c
		}
		return cmp.Compare(a.offset, b.offset)
	})
	s.sorted = s.sorted[:0]
	at := 0
	for p := range uint32(s.partitions) {
		for at < len(s.entries) && s.entries[at].partition == p {
			at++
		}
		s.sorted = append(s.sorted, at)
	}
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
		for _, e := range s.sortedEntries(p) {
			if err := w.write(s.record(e)); err != nil {
				w.file.Close()
				return err
			}
		}
		run.ends = append(run.ends, w.offset())
	}
	if _, err := w.close(); err != nil {
		return err
	}
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
	return compact(s.spills, s.partitions, s.dir, s.keys.compare)
}

// eachSorted gives the records of a partition in order, after settle.
func (s *sorter) eachSorted(runs []sortedRun, partition int, emit func(record) error) error {
	if len(runs) > 0 {
		return mergePartition(runs, partition, s.keys.compare, emit)
	}
	for _, e := range s.sortedEntries(partition) {
		if err := emit(s.record(e)); err != nil {
			return err
		}
	}
	return nil
}

// reset makes the sorter ready for other lines, in the same memory.
func (s *sorter) reset() {
	s.fill, s.lineStart, s.entries, s.spills = 0, 0, s.entries[:0], nil
}
