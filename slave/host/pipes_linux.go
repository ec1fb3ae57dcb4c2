package host

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxReady is how many pipes with output are heard of at a time.
const maxReady = 64

// pipes wait for output in the pipes of all containers: with one goroutine, for each has a stack, and most commands are
// silent most of the time. A pipe that has output gets a goroutine until it is empty, so that nobody waits for another's
// file. The zero pipes are ready for use; while there are none, nothing waits.
type pipes struct {
	mu     sync.Mutex
	epoll  *os.File       // nil: there are no drains
	drains map[int]*drain // by descriptor
}

// add prepares to wait for a drain's output. The drain's descriptor belongs to p from now on, also if it fails.
func (p *pipes) add(d *drain) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil {
		return err
	}
	p.drains[d.fd] = d
	return p.control(unix.EPOLL_CTL_ADD, d, 0)
}

// open begins to wait if nobody does. p.mu is held.
func (p *pipes) open() error {
	if p.epoll != nil {
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // by which the Go runtime knows that it can wait for it
		return errors.Join(err, unix.Close(fd))
	}
	p.epoll, p.drains = os.NewFile(uintptr(fd), "epoll"), map[int]*drain{}
	go p.wait(p.epoll)
	return nil
}

// begin waits for a drain's output, once.
func (p *pipes) begin(d *drain) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drains[d.fd] != d {
		return // it is over
	}
	if err := p.control(unix.EPOLL_CTL_MOD, d, unix.EPOLLIN); err != nil {
		panic(err) // it was added, and is ours
	}
}

// control tells the kernel what a drain waits for. An event ends that. p.mu is held.
func (p *pipes) control(operation int, d *drain, events uint32) error {
	conn, err := p.epoll.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(epoll uintptr) {
		failed = unix.EpollCtl(int(epoll), operation, d.fd, &unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(d.fd)})
	})
	return errors.Join(err, os.NewSyscallError("epoll_ctl", failed))
}

// close ends the waiting for a drain and closes its pipe. It must be called once.
func (p *pipes) close(d *drain) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drains[d.fd] == d {
		// To close it does the same, but not while a process that is just being forked has a copy.
		_ = p.control(unix.EPOLL_CTL_DEL, d, 0)
		delete(p.drains, d.fd)
	}
	_ = unix.Close(d.fd)
	if len(p.drains) == 0 && p.epoll != nil {
		p.epoll.Close() // which ends wait
		p.epoll = nil
	}
}

// wait has pipes emptied that have output, until epoll is closed. A pipe may be another's by then: to look into that
// one does no harm.
func (p *pipes) wait(epoll *os.File) {
	conn, err := epoll.SyscallConn()
	if err != nil {
		return // it has been closed
	}
	events := make([]unix.EpollEvent, maxReady)
	for {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			var err error
			if n, err = unix.EpollWait(int(fd), events, 0); err != nil && err != unix.EINTR {
				panic(os.NewSyscallError("epoll_wait", err)) // it is open and ours
			}
			return n > 0
		})
		if err != nil {
			return
		}
		for _, event := range events[:n] {
			p.mu.Lock()
			d := p.drains[int(event.Fd)]
			p.mu.Unlock()
			if d != nil {
				go p.empty(d)
			}
		}
	}
}

func (p *pipes) empty(d *drain) {
	if !d.pump() {
		p.begin(d)
	}
}
