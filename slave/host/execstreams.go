package host

import (
	"bytes"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/proto/wire"
)

// inputPipe is a pipe whose write end the Go runtime waits for.
func inputPipe() (reader, writer *os.File, err error) {
	if reader, writer, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	// Its reader is a command, which expects to be made to wait: so the read end must be in blocking mode, which Fd sees to.
	// One that runs as another user may open /dev/stdin, which is this pipe, where pipes have a mode.
	_ = syscall.Fchmod(int(reader.Fd()), 0o444)
	return reader, writer, nil
}

// outlet is a stream of output.
type outlet struct {
	file     *os.File
	stderr   bool
	terminal bool // to close it hangs up: not before the command has ended, which need not hold it open
}

// run reads as far as the window goes until the end of the stream, or a while after the command's.
func (o *outlet) run(w *window, past <-chan struct{}, got func([]byte), ended func()) {
	defer ended()
	defer func() {
		if o.terminal {
			<-past
		}
		o.file.Close()
	}()
	stop := make(chan struct{})
	defer close(stop)
	over := false
	go func() {
		select {
		case <-past:
			_ = o.file.SetReadDeadline(time.Now().Add(drainGrace))
		case <-stop:
		}
	}()
	for {
		n := w.acquire(wire.MaxExecChunk)
		if n == 0 {
			return
		}
		select {
		case <-past:
			over = true
		default:
		}
		if over {
			_ = o.file.SetReadDeadline(time.Now().Add(drainGrace))
		}
		data := make([]byte, n)
		read, err := o.file.Read(data)
		w.release(n - read)
		if read > 0 {
			got(data[:read])
		}
		if err != nil { // its end, which a terminal tells by EIO, or the deadline
			return
		}
	}
}

// window bounds what is on its way.
type window struct {
	mu     sync.Mutex
	room   int
	limit  int
	closed bool
	more   *sync.Cond
}

func newWindow(limit int) *window {
	w := &window{room: limit, limit: limit}
	w.more = sync.NewCond(&w.mu)
	return w
}

// acquire waits for room, and takes at most so much of it. It is 0 when the window is closed.
func (w *window) acquire(most int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.room == 0 && !w.closed {
		w.more.Wait()
	}
	if w.closed {
		return 0
	}
	n := min(most, w.room)
	w.room -= n
	return n
}

func (w *window) release(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.room = min(w.limit, w.room+max(0, n))
	w.more.Broadcast()
}

func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.more.Broadcast()
}

// inlet is what a command reads.
type inlet struct {
	file     *os.File
	terminal bool
	whole    func() // called when all of it, to its end, has been written; nil: nobody wants to know

	mu      sync.Mutex
	waiting [][]byte
	bytes   int // that wait or are being written
	end     bool
	closed  bool
	more    *sync.Cond
}

func newInlet(file *os.File, terminal bool) *inlet {
	i := &inlet{file: file, terminal: terminal}
	i.more = sync.NewCond(&i.mu)
	return i
}

// put adds to what is to be read; false if that is more than the window allows.
func (i *inlet) put(data []byte, end bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.bytes+len(data) > wire.ExecWindow {
		return false
	}
	if !i.end && len(data) > 0 {
		i.waiting, i.bytes = append(i.waiting, data), i.bytes+len(data)
	}
	i.end = i.end || end
	i.more.Broadcast()
	return true
}

func (i *inlet) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.more.Broadcast()
	if !i.terminal {
		_ = i.file.SetWriteDeadline(time.Unix(1, 0)) // nobody may read any more
	}
}

// next waits for what is to be written; false when nothing comes any more.
func (i *inlet) next() ([]byte, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.waiting) == 0 && !i.end && !i.closed {
		i.more.Wait()
	}
	if i.closed || len(i.waiting) == 0 {
		return nil, false
	}
	data := i.waiting[0]
	i.waiting = i.waiting[1:]
	return data, true
}

// run writes until the end of input. What a command does not want to read is dropped.
func (i *inlet) run(taken func(int)) {
	var failed error
	unended := false // a line of input, which the terminal still holds back
	for {
		data, more := i.next()
		if !more {
			break
		}
		unended = !bytes.HasSuffix(data, []byte{'\n'}) && !bytes.HasSuffix(data, []byte{'\r'})
		if failed == nil {
			_, failed = i.file.Write(data)
		}
		i.mu.Lock()
		i.bytes -= len(data)
		i.mu.Unlock()
		taken(len(data))
	}
	if i.terminal { // the file is that of the output
		if unended {
			_, _ = i.file.Write([]byte{endOfTransmission}) // hands over the line; only then it is the end
		}
		_, _ = i.file.Write([]byte{endOfTransmission})
		return
	}
	i.file.Close()
	i.mu.Lock()
	closed := i.closed
	i.mu.Unlock()
	if i.whole != nil && !closed {
		i.whole()
	}
}
