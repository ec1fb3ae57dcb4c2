package host

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// attachment is the hold of somebody who types on the standard input of a container's own command. It stands in for a
// further command: it ends when he goes, or with the container.
type attachment struct {
	life *life
	once sync.Once
	over chan struct{} // closed by Kill
}

var _ containerizer.Process = (*attachment)(nil)

// attach gives somebody the standard input of the container's own command, if that is open and nobody else has it.
func (l *life) attach() execStarted {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.container == nil:
		return execStarted{err: errors.New("the task's command does not run yet")}
	case l.input == nil:
		return execStarted{err: errors.New("the task reads nothing: its stdin was not kept open, as by stoa run --open_stdin, or has come to its end")}
	case l.attached:
		return execStarted{err: errors.New("somebody else is attached to the task's stdin already")}
	}
	input, err := duplicate(l.input)
	if err != nil {
		return execStarted{err: err}
	}
	l.attached = true
	return execStarted{process: &attachment{life: l, over: make(chan struct{})}, input: input, whole: l.endInput}
}

// endInput is the end of what the command reads.
func (l *life) endInput() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.input != nil {
		l.input.Close()
		l.input = nil
	}
}

// duplicate is another descriptor of a pipe that the Go runtime waits for.
func duplicate(file *os.File) (*os.File, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	err = conn.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, os.NewSyscallError("fcntl", failed)); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

// PID is that of the container's command.
func (a *attachment) PID() int { return a.life.container.PID() }

// Terminal is none.
func (a *attachment) Terminal() *os.File { return nil }

// Wait blocks until the attachment is over.
func (a *attachment) Wait() (syscall.WaitStatus, error) {
	defer func() {
		a.life.mu.Lock()
		a.life.attached = false
		a.life.mu.Unlock()
	}()
	select {
	case <-a.over:
	case <-a.life.watch.Done(): // the container has ended
	}
	return 0, nil
}

// Signal does nothing: it is not the task that is interrupted.
func (a *attachment) Signal(syscall.Signal) error { return nil }

// Kill ends the attachment.
func (a *attachment) Kill() error {
	a.once.Do(func() { close(a.over) })
	return nil
}
