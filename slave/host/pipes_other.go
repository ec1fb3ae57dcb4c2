//go:build !linux

package host

import (
	"os"
	"sync"
)

// pipes wait for output with a goroutine for each pipe. The zero pipes are ready for use.
type pipes struct {
	mu    sync.Mutex
	files map[*drain]*os.File // for which the Go runtime waits
}

// add prepares to wait for a drain's output. The drain's descriptor belongs to p from now on.
func (p *pipes) add(d *drain) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files == nil {
		p.files = map[*drain]*os.File{}
	}
	p.files[d] = os.NewFile(uintptr(d.fd), "pipe")
	return nil
}

// begin waits for a drain's output, and moves it, until its end or until it is closed.
func (p *pipes) begin(d *drain) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn, err := p.files[d].SyscallConn()
	if err != nil {
		return // it has been closed
	}
	go func() { _ = conn.Read(func(uintptr) bool { return d.pump() }) }()
}

// close ends the waiting for a drain and closes its pipe. It must be called once.
func (p *pipes) close(d *drain) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[d].Close()
	delete(p.files, d)
}
