package task

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// Functions do a task's work in its own process, in the place of commands. Keys and values are any bytes.
type Functions struct {
	// Map begins a map of a split, or of a file if files are given whole. What is emitted is copied.
	Map func(split Split, emit func(key, value []byte) error) (Mapping, error)
	// Reduce gets each key with its values, in order; both are valid until the next value is asked for, the key until
	// Reduce returns. Values that are not asked for are passed over.
	Reduce func(key []byte, values iter.Seq2[[]byte, error], out io.Writer) error
}

// Mapping is a map under way.
type Mapping interface {
	// Line gets a line without its \n, valid until it returns.
	Line(line []byte) error
	// End is called after the last line.
	End() error
}

// Split is what a map reads. File is empty if it reads several.
type Split struct {
	File           string
	Offset, Length int64
}

func splitOf(chunks []*taskpb.Chunk) Split {
	if len(chunks) != 1 {
		return Split{}
	}
	return Split{File: string(chunks[0].GetPath()), Offset: chunks[0].GetOffset(), Length: chunks[0].GetLength()}
}

// mapFunction runs the function over chunks.
func (m *mapRun) mapFunction(chunks []*taskpb.Chunk, emit func(key, value []byte) error) error {
	return m.env.Functions.mapWritten(splitOf(chunks), emit, func(w io.Writer) error {
		m.input.to(w)
		return m.input.all(chunks)
	})
}

// MapLines runs the map function over the lines of in, outside of any task. The error is the function's, or that of reading.
func MapLines(f Functions, split Split, in io.Reader, emit func(key, value []byte) error) error {
	return f.mapWritten(split, emit, func(w io.Writer) error {
		_, err := io.CopyBuffer(w, struct{ io.Reader }{in}, make([]byte, blockBytes))
		return err
	})
}

// mapWritten runs the map function over the lines that write writes.
func (f Functions) mapWritten(split Split, emit func(key, value []byte) error, write func(io.Writer) error) error {
	mapping, err := f.Map(split, emit)
	if err != nil {
		return err
	}
	lines := lineFeed{line: mapping.Line}
	if err := write(&lines); err != nil {
		return err
	}
	if err := lines.end(); err != nil {
		return err
	}
	return mapping.End()
}

// lineFeed cuts what is written to it into lines. Errors are those of line.
type lineFeed struct {
	line func([]byte) error
	held []byte // a line that has not ended
}

// maxHeldLine bounds, in bytes, a line that a function gets: it must be held in memory.
const maxHeldLine = 1 << 30

func (l *lineFeed) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			if len(l.held)+len(rest) > maxHeldLine {
				return 0, fmt.Errorf("a line of the input is longer than %d bytes", maxHeldLine)
			}
			l.held = append(l.held, rest...)
			break
		}
		line := rest[:i]
		if len(l.held) > 0 {
			l.held = append(l.held, line...)
			line = l.held
		}
		if err := l.line(line); err != nil {
			return 0, err
		}
		l.held, rest = l.held[:0], rest[i+1:]
	}
	return len(b), nil
}

// end takes a last line without \n.
func (l *lineFeed) end() error {
	if len(l.held) == 0 {
		return nil
	}
	return l.line(l.held)
}

// AppendOutput writes a record as a line of the output of a job without reduces: the key, and a tab and the value if that
// has any bytes.
func AppendOutput(line, key, value []byte) []byte {
	line = append(line, key...)
	if len(value) > 0 {
		line = append(append(line, '\t'), value...)
	}
	return append(line, '\n')
}

// emitLines makes emitted records lines of the output.
func emitLines(w *bufio.Writer) func(key, value []byte) error {
	return func(key, value []byte) error {
		_, err := w.Write(AppendOutput(w.AvailableBuffer(), key, value))
		return err
	}
}

// reduceFunction runs the function over merged runs and counts the keys.
func reduceFunction(f Functions, runs []sortedRun, keys *keyRules, out io.Writer) (groups int64, err error) {
	m, err := openMerge(runs, 0, keys)
	if err != nil {
		return 0, err
	}
	defer m.close()
	w := bufio.NewWriterSize(out, blockBytes)
	g := &group{merge: m}
	values := g.values // made once: there may be many millions of keys
	if err := g.advance(); err != nil {
		return 0, err
	}
	for g.more {
		groups++
		g.key = append(g.key[:0], g.rec.key...)
		g.ended = false
		if err := f.Reduce(g.key, values, w); err != nil {
			return groups, fmt.Errorf("reduce: %w", err)
		}
		values(passOver) // what the function did not want
		if g.err != nil {
			return groups, g.err
		}
	}
	return groups, w.Flush()
}

// passOver takes a value that nobody wants. It is no loop's body, which would be made anew for each key.
func passOver([]byte, error) bool { return true }

// group gives a key's values and stops where the key changes.
type group struct {
	merge *merge
	rec   record // the one that comes next
	more  bool   // there is one
	key   []byte // the group's
	ended bool   // the next record is of another group
	err   error
}

func (g *group) advance() (err error) {
	g.rec, g.more, err = g.merge.next()
	return err
}

// values gives an error at most once, at last.
func (g *group) values(yield func([]byte, error) bool) {
	for g.err == nil && g.more && !g.ended {
		if g.merge.keys.compare(g.key, g.rec.key) != 0 {
			g.ended = true
			return
		}
		wanted := yield(g.rec.value, nil)
		if g.err = g.advance(); g.err != nil {
			if wanted {
				yield(nil, g.err)
			}
			return
		}
		if !wanted {
			return
		}
	}
}
