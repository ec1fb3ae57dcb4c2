package task

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// blockBytes is how much is read from files and written to commands at once.
const blockBytes = 256 << 10

// splitWriter streams chunks of files into w as whole lines. Small files share a block, so that thousands of them
// cost few writes.
type splitWriter struct {
	w         io.Writer
	buf       []byte // its capacity is the block
	whole     bool   // files are given as they are, and an unfinished last line stays so
	separator byte   // the first of a line becomes a tab; a tab changes nothing
	separated bool   // the line at the end of buf has had its first
	environ   []string

	files, bytes, lines int64               // what was read
	seen                []*taskpb.InputSeen // files of which others read pieces too
}

func newSplitWriter(order *taskpb.MapTask) *splitWriter {
	s := &splitWriter{
		buf: make([]byte, 0, blockBytes), separator: '\t',
		whole: order.GetInputFormat() == taskpb.InputFormat_INPUT_FORMAT_WHOLE_FILE,
	}
	if text := order.GetInputSeparator(); text != "" && order.GetInputFormat() == taskpb.InputFormat_INPUT_FORMAT_KEY_VALUE {
		s.separator = text[0]
	}
	return s
}

// ReadLines writes the lines of a chunk: those whose first byte lies in it.
func ReadLines(c *taskpb.Chunk, w io.Writer) error {
	s := newSplitWriter(&taskpb.MapTask{})
	s.environ = os.Environ()
	s.to(w)
	return s.all([]*taskpb.Chunk{c})
}

// to makes w the next command's standard input.
func (s *splitWriter) to(w io.Writer) {
	s.w, s.buf, s.separated = w, s.buf[:0], false
}

// turnSeparators turns the first separator of each line into a tab.
func (s *splitWriter) turnSeparators() {
	for i, c := range s.buf {
		switch {
		case c == '\n':
			s.separated = false
		case c == s.separator && !s.separated:
			s.buf[i], s.separated = '\t', true
		}
	}
}

func (s *splitWriter) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	if s.separator != '\t' {
		s.turnSeparators()
	}
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// chunk writes the lines whose first byte lies in the chunk. So it looks at the byte before its first one to know
// whether a line begins there, and reads beyond its end to finish the last line: every line of a file belongs to
// exactly one chunk, wherever the cuts are. The file counts as what it was when it was listed: bytes that came later
// are not read, missing ones are an error. So is one that was written to while it was read and has not grown.
func (s *splitWriter) chunk(c *taskpb.Chunk) error {
	if c.GetOffset() == 0 {
		s.files++
	}
	if c.GetLength() == 0 {
		return nil
	}
	f, err := openInput(string(c.GetPath()), s.environ)
	if err != nil {
		return err
	}
	defer f.Close()
	before := seenNow(f)
	if err := s.opened(f, c); err != nil {
		return err
	}
	if before == nil {
		return nil
	}
	if after := seenNow(f); after != nil && SeenChanged(before, after) {
		return fmt.Errorf("input file %s has changed: it was written to while it was read", f.Name())
	}
	if c.GetLength() < c.GetFileSize() {
		before.Path = c.GetPath()
		s.seen = append(s.seen, before)
	}
	return nil
}

// seenNow is what the file system tells of an open file; nil if it is none of this machine.
func seenNow(f inputFile) *taskpb.InputSeen {
	file, ok := f.(*os.File)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	return &taskpb.InputSeen{Size: info.Size(), ModifiedNanos: info.ModTime().UnixNano(), Inode: inodeOf(info)}
}

// SeenChanged says whether a file that was looked at twice is another, or has been overwritten. One that has grown counts as the
// same: bytes that are added are not read. One that was last written to at the same time does too, for there are systems that
// give a file another inode now and then.
func SeenChanged(a, b *taskpb.InputSeen) bool {
	return a.GetModifiedNanos() != b.GetModifiedNanos() && (a.GetInode() != b.GetInode() || a.GetSize() == b.GetSize())
}

// opened is chunk after the file is open.
func (s *splitWriter) opened(f inputFile, c *taskpb.Chunk) error {
	switch {
	case c.GetCodec() == taskpb.Codec_CODEC_BZIP2 && c.GetLength() < c.GetFileSize():
		return s.bzip2Piece(f, f.Name(), c)
	case c.GetCodec() != taskpb.Codec_CODEC_NONE:
		return s.unpacked(f, c)
	}
	return s.stream(f, c)
}

// stream is opened for a file that is not compressed.
func (s *splitWriter) stream(f inputFile, c *taskpb.Chunk) error {
	pos, end, size := c.GetOffset(), c.GetOffset()+c.GetLength(), c.GetFileSize()
	skipping := pos > 0
	if skipping {
		pos--
		if _, err := f.Seek(pos, io.SeekStart); err != nil {
			return fmt.Errorf("input file: %w", err)
		}
	}
	last := byte('\n')
	for pos < size {
		if len(s.buf) == cap(s.buf) {
			if err := s.flush(); err != nil {
				return err
			}
		}
		free := s.buf[len(s.buf):cap(s.buf)]
		n, err := f.Read(free[:min(int64(len(free)), size-pos)])
		if n == 0 {
			return readError(f, c, pos, err)
		}
		start, block := pos, free[:n]
		pos += int64(n)
		if skipping {
			i := bytes.IndexByte(block, '\n')
			if i >= 0 {
				start += int64(i) + 1
				block = block[:copy(block, block[i+1:])]
				skipping = false
			}
			if (skipping && pos >= end) || start >= end {
				return nil // no line begins in this chunk
			}
			if skipping || len(block) == 0 {
				continue
			}
		}
		done := false
		if end < size && pos >= end {
			from := max(0, end-1-start)
			if i := bytes.IndexByte(block[from:], '\n'); i >= 0 {
				block, done = block[:from+int64(i)+1], true
			}
		}
		s.buf = s.buf[:len(s.buf)+len(block)]
		s.bytes += int64(len(block))
		s.lines += int64(bytes.Count(block, newline))
		last = block[len(block)-1]
		if done {
			return nil
		}
	}
	return s.finishLine(last)
}

var newline = []byte{'\n'}

// finishLine gives an unfinished last line of a file its end, so that the next file begins a line of its own.
func (s *splitWriter) finishLine(last byte) error {
	if last == '\n' || s.whole {
		return nil
	}
	if len(s.buf) == cap(s.buf) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.buf = append(s.buf, '\n')
	s.lines++
	return nil
}

// readError is why nothing could be read at pos.
func readError(f inputFile, c *taskpb.Chunk, pos int64, err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("input file: %w", err)
	}
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		pos = min(pos, end) // what was wanted may begin beyond the end
	}
	return fmt.Errorf("input file %s has changed: it ends after %d bytes and had %d when the job was planned",
		f.Name(), pos, c.GetFileSize())
}
