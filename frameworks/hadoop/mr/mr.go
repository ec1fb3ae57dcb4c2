// Package mr is MapReduce by typed Go functions, in a program of one's own:
//
//	job := mr.Job[string, int64]{
//		Name: "count words", Key: mr.String{}, Value: mr.Int{},
//		Map: func(line []byte, emit func(string, int64)) error { … },
//		Reduce: func(word string, counts iter.Seq[int64], out io.Writer) error { … },
//	}
//	os.Exit(job.Main(os.Args[1:]))
//
// The program takes the flags of `stoa hadoop`, but for mapper and reducer: these are the program itself. It is shown
// read-only to the containers of its tasks, as the inputs are, so it must lie at the same path on each slave. Between map
// and reduce a record is a line as every streaming job has it: codecs turn keys and values into bytes whose order is that
// of the keys, and what a line may not hold is escaped so that this order stays.
package mr

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// Job is a MapReduce. Key, Value, Map and Reduce are needed.
type Job[K, V any] struct {
	Name  string // of the job and its framework; "" is hadoop.DefaultName
	Key   Codec[K]
	Value Codec[V]

	// Map gets a line of the input without its \n, valid until it returns, and gives any number of records to emit.
	Map func(line []byte, emit func(K, V)) error
	// Combine sums up values of a key that are in the mapper's memory, before they leave it; nil is nobody. It may be called
	// any number of times, also with what it has emitted itself, and must not change what Reduce makes of the values.
	Combine func(key K, values iter.Seq[V], emit func(V)) error
	// Reduce gets each key with its values, in the order of keys, and writes lines of the output.
	Reduce func(key K, values iter.Seq[V], out io.Writer) error

	// Flags come before those of the command line: ["-inputformat", "wholefile"].
	Flags []string
}

// bufferBytes is how much is read and written at once.
const bufferBytes = 256 << 10

// Mapper is the job's mapper: lines in, records out. The error is Map's, or that of reading or writing.
func (j Job[K, V]) Mapper(in io.Reader, out io.Writer) error {
	w := j.writer(out)
	for line, err := range lines(in) {
		if err != nil {
			return err
		}
		if err := j.Map(line, w.emit); err != nil {
			return err
		}
		if w.err != nil {
			return w.err
		}
	}
	return w.flush()
}

// Reducer is the job's reducer: sorted records in, lines out.
func (j Job[K, V]) Reducer(in io.Reader, out io.Writer) error {
	w := bufio.NewWriterSize(out, bufferBytes)
	err := j.groups(in, func(key K, values iter.Seq[V]) error { return j.Reduce(key, values, w) })
	return errors.Join(err, w.Flush())
}

// Local runs the job in this process, in memory: what the program's tests need. The output is that of one reduce.
func (j Job[K, V]) Local(in io.Reader) (string, error) {
	var mapped, out bytes.Buffer
	if err := j.Mapper(in, &mapped); err != nil {
		return "", fmt.Errorf("map: %w", err)
	}
	if err := j.Reducer(bytes.NewReader(sortedRecords(mapped.Bytes())), &out); err != nil {
		return "", fmt.Errorf("reduce: %w", err)
	}
	return out.String(), nil
}

// sortedRecords sorts lines by key, stably.
func sortedRecords(b []byte) []byte {
	records := bytes.SplitAfter(b, []byte("\n"))
	slices.SortStableFunc(records, func(a, b []byte) int {
		keyA, _, _ := bytes.Cut(a, []byte("\t"))
		keyB, _, _ := bytes.Cut(b, []byte("\t"))
		return bytes.Compare(keyA, keyB)
	})
	return bytes.Join(records, nil)
}

// groups gives each key of sorted records with its values.
func (j Job[K, V]) groups(in io.Reader, group func(K, iter.Seq[V]) error) error {
	next, stop := iter.Pull2(lines(in))
	defer stop()
	g := &grouper[K, V]{job: j, next: next}
	if err := g.advance(); err != nil {
		return err
	}
	for g.more {
		g.current = append(g.current[:0], g.key...)
		text, err := unescape(nil, g.current)
		if err != nil {
			return err
		}
		key, err := j.Key.Parse(text)
		if err != nil {
			return fmt.Errorf("read a key: %w", err)
		}
		if err := errors.Join(group(key, g.values), g.err); err != nil {
			return err
		}
		for range g.values { // what the function did not want
		}
		if g.err != nil {
			return g.err
		}
	}
	return nil
}

// grouper reads records and stops where the key changes.
type grouper[K, V any] struct {
	job        Job[K, V]
	next       func() ([]byte, error, bool)
	key, value []byte // of the record that comes next, escaped
	more       bool   // there is one
	current    []byte // the group's key, escaped
	err        error
}

func (g *grouper[K, V]) advance() error {
	line, err, more := g.next()
	if err != nil {
		return err
	}
	g.more = more
	g.key, g.value, _ = bytes.Cut(line, []byte("\t"))
	return nil
}

func (g *grouper[K, V]) values(yield func(V) bool) {
	for g.err == nil && g.more && bytes.Equal(g.key, g.current) {
		text, err := unescape(nil, g.value)
		var value V
		if err == nil {
			value, err = g.job.Value.Parse(text)
		}
		if err == nil {
			err = g.advance()
		}
		if err != nil {
			g.err = fmt.Errorf("read a value: %w", err)
			return
		}
		if !yield(value) {
			return
		}
	}
}

// lines gives the lines of a text without their \n, each valid until the next.
func lines(in io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := bufio.NewReaderSize(in, bufferBytes)
		var long []byte
		for {
			part, err := r.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				long = append(long, part...)
				continue
			}
			line := part
			if len(long) > 0 {
				long = append(long, part...)
				line = long
			}
			ended := errors.Is(err, io.EOF)
			if err != nil && !ended {
				yield(nil, fmt.Errorf("read a line: %w", err))
				return
			}
			if ended && len(line) == 0 {
				return
			}
			if !yield(bytes.TrimSuffix(line, []byte("\n")), nil) || ended {
				return
			}
			long = long[:0]
		}
	}
}
