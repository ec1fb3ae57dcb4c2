package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// DefaultLogFiles is how many rotated files are kept of each stream where nothing else is said.
const DefaultLogFiles = 9

// MaxLogFiles bounds Rotation.MaxFiles: each rotation renames them all.
const MaxLogFiles = 1000

// Rotation says how large the files of a command's output may grow. The zero Rotation lets them grow.
//
// A file that is full is renamed: stdout becomes stdout.1, what was stdout.1 becomes stdout.2, and so on; the one with the
// highest number goes. Nothing is copied, so nobody who reads misses a byte of what is kept, and a file is cut between
// lines, unless a line has no room in a whole one.
type Rotation struct {
	MaxBytes int64 // of each file; 0: it is never full
	MaxFiles int   // rotated files that are kept beside the one that is written; 0: DefaultLogFiles
}

// logFile is the file that one stream goes into at the moment. It was opened before the command ran or by a rotation:
// whatever the command does with the name, the bytes go into that file.
type logFile struct {
	sandbox, name string
	rotation      Rotation
	file          *os.File
	size          int64 // of file
	full          int64 // the size at which it is rotated
}

// openLog opens the file of one stream in a sandbox.
func openLog(root *os.Root, sandbox, name string, rotation Rotation) (*logFile, error) {
	file, err := openOutput(root, name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &logFile{sandbox: sandbox, name: name, rotation: rotation, file: file, size: info.Size(), full: rotation.MaxBytes}, nil
}

// Write writes all of p, into several files if need be.
func (l *logFile) Write(p []byte) (int, error) {
	written := 0
	for l.rotation.MaxBytes > 0 && l.size+int64(len(p)) > l.full {
		n, err := l.file.Write(p[:l.room(p)])
		written, l.size, p = written+n, l.size+int64(n), p[n:]
		if err != nil {
			return written, err
		}
		if l.rotate() != nil {
			// The command may have put something in the way. Its output is worth more than the order of its files:
			// it goes on into this one, until the next try.
			l.full = l.size + l.rotation.MaxBytes
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return written + n, err
}

// room is how much of p the file still takes: whole lines, or all it can of a line that no file could take whole.
func (l *logFile) room(p []byte) int {
	room := max(0, l.full-l.size)
	if lines := bytes.LastIndexByte(p[:room], '\n') + 1; lines > 0 || l.size > 0 {
		return lines
	}
	return int(room)
}

// rotate begins a new file.
func (l *logFile) rotate() error {
	root, err := os.OpenRoot(l.sandbox)
	if err != nil {
		return err
	}
	defer root.Close()
	files := l.rotation.MaxFiles
	if files <= 0 {
		files = DefaultLogFiles
	}
	last := files
	for n := 1; n < files; n++ { // those up to the first gap move
		if _, err := root.Lstat(l.numbered(n)); errors.Is(err, fs.ErrNotExist) {
			last = n
			break
		}
	}
	for n := last; n > 0; n-- {
		err := root.Rename(l.numbered(n-1), l.numbered(n))
		if n == 1 && errors.Is(err, fs.ErrNotExist) {
			break // the command has removed it, and what it has written since
		}
		if err != nil {
			return err
		}
	}
	file, err := root.OpenFile(l.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, outputMode)
	if err != nil {
		return err
	}
	old := l.file
	l.file, l.size, l.full = file, 0, l.rotation.MaxBytes
	return old.Close()
}

// numbered is the name of the n-th file before the current one.
func (l *logFile) numbered(n int) string {
	if n == 0 {
		return l.name
	}
	return fmt.Sprintf("%s.%d", l.name, n)
}

func (l *logFile) Close() error { return l.file.Close() }
