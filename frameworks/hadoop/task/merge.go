package task

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// MergeFactor is how many runs are merged at once, so that a merge needs at most that many buffers and descriptors.
// Hadoop's mapreduce.task.io.sort.factor is 10, for disks with heads.
const MergeFactor = 64

// sortedRun is a sorted run of each of a task's partitions, in memory or in a file.
type sortedRun struct {
	memory  func(partition, rank int) *runReader // nil: in the file
	path    string
	from    *taskpb.MapOutput // of the map whose file it is, to be checked and left there; nil: this task's own
	largest int64             // bytes of its largest record, for a file's reader
	ends    []int64           // where each partition's records end in the file; the first begin at 0
}

// open gives a reader for one partition, and what to close afterwards.
func (s sortedRun) open(partition, rank int) (*runReader, io.Closer, error) {
	if s.memory != nil {
		return s.memory(partition, rank), nil, nil
	}
	start := int64(0)
	if partition > 0 {
		start = s.ends[partition-1]
	}
	f, err := os.Open(s.path)
	if err != nil && s.from != nil {
		return nil, nil, &LostError{Lost: []*taskpb.LostOutput{lostOutput(s.from, err)}}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read kept records: %w", err)
	}
	section := readOnce(f, start, s.ends[partition]-start)
	if s.from == nil {
		return streamRun(section, rank, s.largest), f, nil
	}
	r := streamRun(&checkedPart{r: section, part: s.from.GetPart()}, rank, s.largest)
	r.from = s.from
	return r, f, nil
}

func (s sortedRun) remove() error {
	if s.path == "" || s.from != nil {
		return nil
	}
	return os.Remove(s.path)
}

// mergePartition gives all records of a partition to emit in order.
func mergePartition(runs []sortedRun, partition int, keys *keyRules, emit func(record) error) error {
	m, err := openMerge(runs, partition, keys)
	if err != nil {
		return err
	}
	defer m.close()
	for {
		r, more, err := m.next()
		if err != nil || !more {
			return err
		}
		if err := emit(r); err != nil {
			return err
		}
	}
}

// merge gives the records of a partition one by one in order: by key, then by run, then as in the run.
type merge struct {
	keys   *keyRules
	heap   []*runReader // by their current records
	files  []io.Closer
	served bool // the first of the heap has had its record given
}

func openMerge(runs []sortedRun, partition int, keys *keyRules) (*merge, error) {
	m := &merge{keys: keys}
	for rank, run := range runs {
		r, closer, err := run.open(partition, rank)
		if closer != nil {
			m.files = append(m.files, closer)
		}
		more := false
		if err == nil {
			r.prefixed = keys.bytewise
			more, err = r.next()
		}
		if err != nil {
			m.close()
			return nil, err
		}
		if more {
			m.heap = append(m.heap, r)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m, nil
}

// next gives a record, valid until the one after; false is the end.
func (m *merge) next() (record, bool, error) {
	if m.served {
		more, err := m.heap[0].next()
		if err != nil {
			return record{}, false, err
		}
		if !more {
			last := len(m.heap) - 1
			m.heap[0] = m.heap[last]
			m.heap = m.heap[:last]
		}
		m.sink(0)
	}
	if m.served = len(m.heap) > 0; !m.served {
		return record{}, false, nil
	}
	return m.heap[0].rec, true, nil
}

func (m *merge) close() {
	for _, file := range m.files {
		file.Close()
	}
}

func (m *merge) less(i, j int) bool {
	a, b := m.heap[i], m.heap[j]
	if a.prefix != b.prefix {
		return a.prefix < b.prefix
	}
	if c := m.keys.compare(a.rec.key, b.rec.key); c != 0 {
		return c < 0
	}
	return a.rank < b.rank
}

func (m *merge) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if child+1 < len(m.heap) && m.less(child+1, child) {
			child++
		}
		if !m.less(child, i) {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}

// compact merges runs that follow each other into files until at most MergeFactor are left, whose readers take at most budget
// bytes (or are two): in their order, because equal keys keep the order of their runs.
func compact(runs []sortedRun, partitions int, dir string, keys *keyRules, budget int64) ([]sortedRun, error) {
	for round := 0; mergeable(runs, budget) < len(runs); round++ {
		var merged []sortedRun
		for rest := runs; len(rest) > 0; {
			n := mergeable(rest, budget)
			run := rest[0]
			if n > 1 {
				var err error
				run, err = mergeToFile(rest[:n], partitions, filepath.Join(dir, fmt.Sprintf("merge-%d-%05d", round, len(merged))), keys)
				if err != nil {
					return nil, err
				}
			}
			merged, rest = append(merged, run), rest[n:]
		}
		runs = merged
	}
	return runs, nil
}

// mergeable is how many of the first runs can be merged at once.
func mergeable(runs []sortedRun, budget int64) int {
	n := 0
	for n < min(len(runs), MergeFactor) {
		budget -= runs[n].readerBytes()
		if n >= 2 && budget < 0 {
			break
		}
		n++
	}
	return n
}

// readerBytes is what reading the run takes.
func (s sortedRun) readerBytes() int64 {
	if s.memory != nil {
		return 0
	}
	return max(readBytes, s.largest)
}

func mergeToFile(runs []sortedRun, partitions int, path string, keys *keyRules) (sortedRun, error) {
	w, err := createRun(path)
	if err != nil {
		return sortedRun{}, err
	}
	out := sortedRun{path: path}
	for p := range partitions {
		if err := mergePartition(runs, p, keys, w.write); err != nil {
			return sortedRun{}, errors.Join(err, w.file.Close())
		}
		out.ends = append(out.ends, w.offset())
	}
	if _, err := w.close(); err != nil {
		return sortedRun{}, err
	}
	out.largest = w.largest
	return out, removeRuns(runs)
}

func removeRuns(runs []sortedRun) error {
	for _, run := range runs {
		if err := run.remove(); err != nil {
			return fmt.Errorf("remove merged records: %w", err)
		}
	}
	return nil
}
