package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/disk"
)

// The names of a command's output in its sandbox.
const (
	stdoutName = "stdout"
	stderrName = "stderr"
)

// outputMode is that of their files: everybody on the machine who may enter the sandbox may read them.
const outputMode = 0o644

const (
	// drainBytes is how much of a command's output is moved at a time: what a pipe of Linux holds.
	drainBytes = 64 << 10
	// lastBytes is the most that is taken from a pipe whose container is gone: what the largest pipe holds that a
	// process without privileges can make. Whoever still writes into it is no part of the container.
	lastBytes = 1 << 20
)

// buffers are shared by all drains of a host: a command that is silent holds none.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[drainBytes]byte {
	if buffer, ok := b.pool.Get().(*[drainBytes]byte); ok {
		return buffer
	}
	return new([drainBytes]byte)
}

func (b *buffers) put(buffer *[drainBytes]byte) { b.pool.Put(buffer) }

// stdio is the host's side of one container's standard streams.
type stdio struct {
	ends   containerizer.Stdio // the container's
	drains []*drain            // none if the container writes into the files itself
	input  *os.File            // what is written here it reads; nil: there is nothing to write
}

// openStdio makes the standard streams of a container: its output goes through pipes into files of its sandbox, or,
// with direct output, right into them; its input comes from a file without a name, or through a pipe that stays open. scratch is
// a folder that only the host can reach.
func openStdio(sandbox, scratch string, input []byte, open bool, m *means) (*stdio, error) {
	root, err := os.OpenRoot(sandbox)
	if err != nil {
		return nil, fmt.Errorf("open sandbox: %w", err)
	}
	defer root.Close()
	s := &stdio{}
	for _, output := range []struct {
		name string
		end  **os.File
	}{{stdoutName, &s.ends.Stdout}, {stderrName, &s.ends.Stderr}} {
		file, err := openLog(root, sandbox, output.name, m.rotation)
		if err != nil {
			s.abandon()
			return nil, fmt.Errorf("open %s in sandbox: %w", output.name, err)
		}
		if m.directOutput {
			*output.end = file.file
			continue
		}
		d, end, err := newDrain(output.name, file, m)
		if err != nil {
			s.abandon()
			return nil, err
		}
		*output.end = end
		s.drains = append(s.drains, d)
	}
	switch {
	case open:
		if s.ends.Stdin, s.input, err = inputPipe(); err != nil {
			s.abandon()
			return nil, fmt.Errorf("make standard input: %w", err)
		}
	case len(input) > 0:
		if s.ends.Stdin, err = inputFile(scratch, input); err != nil {
			s.abandon()
			return nil, err
		}
	}
	return s, nil
}

// release closes the container's ends, which live on in the container.
func (s *stdio) release() {
	for _, end := range []*os.File{s.ends.Stdin, s.ends.Stdout, s.ends.Stderr} {
		if end != nil {
			end.Close()
		}
	}
	s.ends = containerizer.Stdio{}
}

// abandon closes everything of streams that no container has.
func (s *stdio) abandon() {
	s.release()
	if s.input != nil {
		s.input.Close()
	}
	for _, d := range s.drains {
		d.close()
	}
}

// drain begins to move output.
func (s *stdio) drain() {
	for _, d := range s.drains {
		d.pipes.begin(d)
	}
}

// finish is called when the container is gone: it moves what is left in the pipes, closes everything, and returns
// what could not be written.
func (s *stdio) finish() error {
	var failed []error
	for _, d := range s.drains {
		failed = append(failed, d.finish())
	}
	return errors.Join(failed...)
}

// lostBytes is how much could not be written of streams that are finished.
func (s *stdio) lostBytes() (all int64) {
	for _, d := range s.drains {
		all += d.lost
	}
	return all
}

// unlinked counts the files of the output that the command has removed: it goes on into them.
func (s *stdio) unlinked(found *disk.Unlinked) {
	for _, d := range s.drains {
		d.mu.Lock()
		if !d.over {
			found.File(d.file.file)
		}
		d.mu.Unlock()
	}
}

// inputFile is a file that holds input and has no name any more, open for reading. Its mode lets a command that runs
// as another user open /dev/stdin.
func inputFile(scratch string, input []byte) (*os.File, error) {
	file, err := os.CreateTemp(scratch, "stdin-*")
	if err != nil {
		return nil, fmt.Errorf("make standard input: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.Write(input); err != nil {
		return nil, fmt.Errorf("make standard input: %w", err)
	}
	if err := file.Chmod(0o444); err != nil {
		return nil, fmt.Errorf("make standard input: %w", err)
	}
	reader, err := os.Open(file.Name())
	if err != nil {
		return nil, fmt.Errorf("make standard input: %w", err)
	}
	return reader, nil
}

// drain moves one stream of output from its pipe into its file.
type drain struct {
	name    string
	fd      int // the read end
	pipes   *pipes
	buffers *buffers

	mu   sync.Mutex // held while bytes are moved, so that their order stays
	file *logFile
	over bool  // both are closed
	err  error // the first that failed
	lost int64 // bytes that could not be written
}

// newDrain returns a drain into file and the end of its pipe that the command writes into. It owns file, also if it
// fails.
func newDrain(name string, file *logFile, m *means) (*drain, *os.File, error) {
	fd, writer, err := newPipe()
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("make pipe for %s: %w", name, err)
	}
	d := &drain{name: name, fd: fd, file: file, pipes: &m.pipes, buffers: m.buffers}
	if err := d.pipes.add(d); err != nil {
		writer.Close()
		d.end()
		return nil, nil, fmt.Errorf("wait for %s: %w", name, err)
	}
	return d, writer, nil
}

// openOutput opens a file of the sandbox for appending. What is in its place and is no file of bytes, such as a
// link that was unpacked into the sandbox, is removed.
func openOutput(root *os.Root, name string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return root.OpenFile(name, flags|os.O_EXCL, outputMode)
	case err != nil:
		return nil, err
	case info.Mode().IsRegular():
		return root.OpenFile(name, flags|syscall.O_NOFOLLOW, outputMode)
	}
	if err := root.Remove(name); err != nil {
		return nil, err
	}
	return root.OpenFile(name, flags|os.O_EXCL, outputMode)
}

// newPipe makes a pipe whose read end never blocks, and whose write end does, as commands expect.
func newPipe() (reader int, writer *os.File, err error) {
	var ends [2]int
	syscall.ForkLock.RLock()
	err = syscall.Pipe(ends[:])
	if err == nil {
		syscall.CloseOnExec(ends[0])
		syscall.CloseOnExec(ends[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, nil, err
	}
	if err := syscall.SetNonblock(ends[0], true); err != nil {
		return 0, nil, errors.Join(err, syscall.Close(ends[0]), syscall.Close(ends[1]))
	}
	// A command that runs as another user may open /dev/stdout, which is this pipe. Where pipes have no mode there
	// is no such way to open them either.
	_ = syscall.Fchmod(ends[1], 0o622)
	return ends[0], os.NewFile(uintptr(ends[1]), "pipe"), nil
}

// pump moves what is in the pipe, and tells whether that was the last.
func (d *drain) pump() (over bool) {
	for {
		step := d.pumpOnce()
		if step != moved {
			return step == atEnd
		}
	}
}

func (d *drain) pumpOnce() readStep {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return atEnd
	}
	_, step := d.move()
	if step == atEnd {
		d.end()
	}
	return step
}

// finish moves what is in the pipe now, whoever still holds it open, and closes everything. It returns what could not be
// written.
func (d *drain) finish() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for total := 0; !d.over && total < lastBytes; {
		n, step := d.move()
		if step != moved {
			break
		}
		total += n
	}
	d.end()
	if d.lost > 0 {
		return fmt.Errorf("%d bytes of %s lost: %w", d.lost, d.name, d.err)
	}
	return d.err
}

type readStep int

const (
	moved readStep = iota
	nothingYet
	atEnd
)

// move moves what one read gives, without waiting. Output that can't be written is lost rather than the command
// stopped, and the loss is told with its end; what comes when there is room again is written. d.mu is held.
func (d *drain) move() (int, readStep) {
	buffer := d.buffers.get()
	defer d.buffers.put(buffer)
	n, err := unix.Read(d.fd, buffer[:])
	switch {
	case err == unix.EINTR:
		return 0, moved
	case err == unix.EAGAIN:
		return 0, nothingYet
	case err != nil:
		if d.err == nil {
			d.err = fmt.Errorf("read %s: %w", d.name, err)
		}
		return 0, atEnd
	case n == 0:
		return 0, atEnd
	}
	if written, err := d.file.Write(buffer[:n]); err != nil {
		d.lost += int64(n - written)
		if wrapped := (*fs.PathError)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // the stream has a name that is shorter
		}
		if d.err == nil {
			d.err = err
		}
	}
	return n, moved
}

// close closes everything; what is left in the pipe is lost.
func (d *drain) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
}

// end is close while d.mu is held.
func (d *drain) end() {
	if d.over {
		return
	}
	d.over = true
	d.pipes.close(d)
	if err := d.file.Close(); err != nil && d.err == nil {
		d.err = fmt.Errorf("%s lost: %w", d.name, err)
	}
}
