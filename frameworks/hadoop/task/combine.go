package task

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// combineParts streams each partition's sorted lines through the combiner and keeps what it prints, sorted again, as the
// partition's part. The combiner reads and prints lines as the mapper prints them. It runs once for each partition that
// has lines, whatever the sort buffer.
func (m *mapRun) combineParts(ctx context.Context, sorted *sorter) ([]*taskpb.Part, error) {
	runs, err := sorted.settle()
	if err != nil {
		return nil, err
	}
	dir, err := m.env.freshDir("map/combine")
	if err != nil {
		return nil, err
	}
	combined, err := newSorter(dir, 1, m.bufferBytes, m.keys)
	if err != nil {
		return nil, err
	}
	defer combined.close()
	parts := make([]*taskpb.Part, sorted.partitions)
	for p := range parts {
		combined.reset()
		if err := m.combine(ctx, sorted, runs, p, combined); err != nil {
			return nil, err
		}
		made, err := combined.finish(func(int) string { return m.env.path(MapPartFile(p)) })
		if err != nil {
			return nil, err
		}
		parts[p] = made[0]
	}
	m.combineOutput, m.spilled = combined.records, m.spilled+combined.spilled
	return parts, errors.Join(removeRuns(runs), os.Remove(dir))
}

// errFound ends a look at records.
var errFound = errors.New("a record was found")

func (m *mapRun) combine(ctx context.Context, sorted *sorter, runs []sortedRun, partition int, into *sorter) error {
	err := sorted.eachSorted(runs, partition, func(record) error { return errFound })
	if !errors.Is(err, errFound) {
		return err // there is nothing to combine
	}
	combiner, err := startCommand(ctx, "combiner", m.order.GetCombiner(), m.env, m.variables, m.reports)
	if err != nil {
		return err
	}
	return combiner.run(func(stdin io.Writer) error {
		w := bufio.NewWriterSize(stdin, blockBytes)
		var line []byte
		err := sorted.eachSorted(runs, partition, func(r record) error {
			m.combineInput++
			line = appendLine(line[:0], r, m.keys.separator)
			_, err := w.Write(line)
			return err
		})
		if err != nil {
			return err
		}
		return w.Flush()
	}, into.readFrom)
}

// lineFile keeps what commands print as it is; each command's unfinished last line gets its end.
type lineFile struct {
	file  *os.File
	sums  checksumWriter
	lines int64
}

func createLines(path string) (*lineFile, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("keep a command's output: %w", err)
	}
	return &lineFile{file: f, sums: checksumWriter{w: f}}, nil
}

// Write takes some of the output; whoever writes ends the lines.
func (l *lineFile) Write(b []byte) (int, error) {
	l.lines += int64(bytes.Count(b, newline))
	n, err := l.sums.Write(b)
	if err != nil {
		return n, fmt.Errorf("keep a function's output: %w", err)
	}
	return n, nil
}

func (l *lineFile) readFrom(r io.Reader) error {
	count := lineCounter{last: '\n'}
	_, err := io.CopyBuffer(io.MultiWriter(&l.sums, &count), struct{ io.Reader }{r}, make([]byte, blockBytes))
	if err == nil && count.last != '\n' {
		count.lines++
		_, err = l.sums.Write(newline)
	}
	l.lines += count.lines
	if err != nil {
		return fmt.Errorf("keep a command's output: %w", err)
	}
	return nil
}

// close ends the file and says what it is.
func (l *lineFile) close() (*taskpb.Part, error) {
	if err := l.file.Close(); err != nil {
		return nil, fmt.Errorf("keep a command's output: %w", err)
	}
	return &taskpb.Part{Bytes: l.sums.bytes, Records: l.lines, Crc32C: l.sums.sum}, nil
}
