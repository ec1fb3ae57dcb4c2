package task

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// MergeFactor is how many runs are merged at once, so that a merge needs at most that many buffers and descriptors.
// Hadoop's mapreduce.task.io.sort.factor is 10, for disks with heads.
const MergeFactor = 64

// sortedRun is a sorted run of each of a task's partitions, in memory or in a file.
type sortedRun struct {
	memory func(partition, rank int) *runReader // nil: in the file
	path   string
	ends   []int64 // where each partition's records end in the file; the first begin at 0
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
	if err != nil {
		return nil, nil, fmt.Errorf("read kept records: %w", err)
	}
	return streamRun(io.NewSectionReader(f, start, s.ends[partition]-start), rank), f, nil
}

func (s sortedRun) remove() error {
	if s.path == "" {
		return nil
	}
	return os.Remove(s.path)
}

// mergePartition gives all records of a partition to emit in order: by key, then by run, then as in the run.
func mergePartition(runs []sortedRun, partition int, compare func(a, b []byte) int, emit func(record) error) (err error) {
	heap := mergeHeap{compare: compare}
	for rank, run := range runs {
		r, closer, err := run.open(partition, rank)
		if err != nil {
			return err
		}
		if closer != nil {
			defer closer.Close()
		}
		more, err := r.next()
		if err != nil {
			return err
		}
		if more {
			heap.runs = append(heap.runs, r)
		}
	}
	for i := len(heap.runs)/2 - 1; i >= 0; i-- {
		heap.sink(i)
	}
	for len(heap.runs) > 0 {
		least := heap.runs[0]
		if err := emit(least.rec); err != nil {
			return err
		}
		more, err := least.next()
		if err != nil {
			return err
		}
		if !more {
			heap.runs[0] = heap.runs[len(heap.runs)-1]
			heap.runs = heap.runs[:len(heap.runs)-1]
		}
		heap.sink(0)
	}
	return nil
}

// mergeHeap is a heap of runs by their current record.
type mergeHeap struct {
	runs    []*runReader
	compare func(a, b []byte) int
}

func (h *mergeHeap) less(i, j int) bool {
	a, b := h.runs[i], h.runs[j]
	if c := h.compare(a.rec.key, b.rec.key); c != 0 {
		return c < 0
	}
	return a.rank < b.rank
}

func (h *mergeHeap) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.runs) {
			return
		}
		if child+1 < len(h.runs) && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return
		}
		h.runs[i], h.runs[child] = h.runs[child], h.runs[i]
		i = child
	}
}

// compact merges runs that follow each other into files until at most MergeFactor are left: in their order, because equal keys keep
// the order of their runs.
func compact(runs []sortedRun, partitions int, dir string, compare func(a, b []byte) int) ([]sortedRun, error) {
	for round := 0; len(runs) > MergeFactor; round++ {
		var merged []sortedRun
		for i := 0; i < len(runs); i += MergeFactor {
			group := runs[i:min(i+MergeFactor, len(runs))]
			run, err := mergeToFile(group, partitions, filepath.Join(dir, fmt.Sprintf("merge-%d-%05d", round, len(merged))), compare)
			if err != nil {
				return nil, err
			}
			merged = append(merged, run)
		}
		runs = merged
	}
	return runs, nil
}

func mergeToFile(runs []sortedRun, partitions int, path string, compare func(a, b []byte) int) (sortedRun, error) {
	w, err := createRun(path)
	if err != nil {
		return sortedRun{}, err
	}
	out := sortedRun{path: path}
	for p := range partitions {
		if err := mergePartition(runs, p, compare, w.write); err != nil {
			return sortedRun{}, errors.Join(err, w.file.Close())
		}
		out.ends = append(out.ends, w.offset())
	}
	if _, err := w.close(); err != nil {
		return sortedRun{}, err
	}
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
