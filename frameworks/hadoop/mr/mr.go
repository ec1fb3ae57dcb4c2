// Package mr is MapReduce by typed Go functions, in a program of one's own:
//
//	job := mr.Job[string, int64]{
//		Name: "count words", Key: mr.String{}, Value: mr.Int{},
//		Map: func(line []byte, emit func(string, int64)) error { … },
//		Reduce: func(word string, counts iter.Seq[int64], out io.Writer) error { … },
//	}
//	os.Exit(job.Main(os.Args[1:]))
//
// The program takes the flags of `stoa hadoop`, but for mapper and reducer: these are the program itself, which is sent to the
// slaves. In the containers it does the whole of a task, in one process: it reads its split, calls Map, sorts, spills and
// merges, and calls Reduce.
// Codecs turn keys and values into bytes whose order is that of the keys.
package mr

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
)

// Split is what a map reads: a piece of a file, or without a name several files.
type Split = task.Split

// Job is a MapReduce. Key, Value and Map are needed.
type Job[K, V any] struct {
	Name  string // of the job and its framework; "" is hadoop.DefaultName
	Key   Codec[K]
	Value Codec[V]

	// Begin is called before the first line of a split, or of each file with -inputformat wholefile; nil is nobody.
	Begin func(split Split) error
	// Map gets a line of the input without its \n, valid until it returns, and gives any number of records to emit.
	Map func(line []byte, emit func(K, V)) error
	// Combine sums up values of a key that are in the mapper's memory, before they leave it; nil is nobody. It may be called
	// any number of times, also with what it has emitted itself, and must not change what Reduce makes of the values.
	Combine func(key K, values iter.Seq[V], emit func(V)) error
	// Reduce gets each key with its values, in the order of keys, and writes lines of the output; what codecs read of bytes
	// is valid until the next value. nil makes a job of maps alone, whose output are the records: a line is the key's bytes,
	// and a tab and the value's if it has any.
	Reduce func(key K, values iter.Seq[V], out io.Writer) error

	// TotalOrder spreads keys over the reduces by their order, so that the parts follow each other: the first has the lowest
	// keys. Where one ends and the next begins is told by a sample of the input, which the program maps before it submits
	// the job.
	TotalOrder bool

	// Flags come before those of the command line: ["-inputformat", "wholefile"].
	Flags []string
}

// functions are the job's for tasks.
func (j Job[K, V]) functions() task.Functions {
	f := task.Functions{Map: func(split task.Split, emit func(key, value []byte) error) (task.Mapping, error) {
		if j.Begin != nil {
			if err := j.Begin(split); err != nil {
				return nil, fmt.Errorf("begin: %w", err)
			}
		}
		return j.writer(emit), nil
	}}
	if j.Reduce != nil {
		f.Reduce = j.reducer().reduce
	}
	return f
}

// reducer is Reduce for bytes. What it gives Reduce is made once and not for each key, of which there may be many millions.
type reducer[K, V any] struct {
	job    Job[K, V]
	values iter.Seq[V]              // of the key at hand
	source iter.Seq2[[]byte, error] // their bytes
	take   func([]byte, error) bool
	yield  func(V) bool
	failed error
}

func (j Job[K, V]) reducer() *reducer[K, V] {
	r := &reducer[K, V]{job: j}
	r.take = r.value
	r.values = func(yield func(V) bool) {
		r.yield = yield
		r.source(r.take)
	}
	return r
}

func (r *reducer[K, V]) reduce(keyBytes []byte, source iter.Seq2[[]byte, error], out io.Writer) error {
	key, err := r.job.Key.Parse(keyBytes)
	if err != nil {
		return fmt.Errorf("read a key: %w", err)
	}
	r.source, r.failed = source, nil
	if err = r.job.Reduce(key, r.values, out); r.failed != nil {
		err = errors.Join(r.failed, err)
	}
	return err
}

// value gives Reduce one value; false if it wants no more, or there is an error.
func (r *reducer[K, V]) value(b []byte, err error) bool {
	var value V
	if err == nil {
		if value, err = r.job.Value.Parse(b); err != nil {
			err = fmt.Errorf("read a value: %w", err)
		}
	}
	r.failed = err
	return err == nil && r.yield(value)
}

// Local runs the job in this process, in memory: what the program's tests need. The output is that of one reduce. What Begin
// gets has the name of in if that is an *os.File.
func (j Job[K, V]) Local(in io.Reader) (string, error) {
	records, err := j.mapped(in)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	if j.Reduce == nil {
		for _, r := range records {
			w.Write(task.AppendOutput(w.AvailableBuffer(), r.key, r.value))
		}
		err := w.Flush()
		return out.String(), err
	}
	slices.SortStableFunc(records, func(a, b keyValue) int { return bytes.Compare(a.key, b.key) })
	reducer := j.reducer()
	for len(records) > 0 {
		n := slices.IndexFunc(records, func(r keyValue) bool { return !bytes.Equal(r.key, records[0].key) })
		if n < 0 {
			n = len(records)
		}
		err := reducer.reduce(records[0].key, func(yield func([]byte, error) bool) {
			for _, r := range records[:n] {
				if !yield(r.value, nil) {
					return
				}
			}
		}, w)
		if err != nil {
			return "", fmt.Errorf("reduce: %w", err)
		}
		records = records[n:]
	}
	err = w.Flush()
	return out.String(), err
}

// keyValue is a record.
type keyValue struct{ key, value []byte }

// mapped are the records of some lines, in the order in which they are emitted.
func (j Job[K, V]) mapped(in io.Reader) ([]keyValue, error) {
	var records []keyValue
	f := j.functions()
	var split Split
	if file, ok := in.(*os.File); ok {
		split.File = file.Name()
	}
	err := task.MapLines(f, split, in, func(key, value []byte) error {
		records = append(records, keyValue{bytes.Clone(key), bytes.Clone(value)})
		return nil
	})
	return records, err
}
