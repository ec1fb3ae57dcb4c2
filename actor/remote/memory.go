package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// memoryWindow is how many bytes a connection in memory holds in each direction before its writer waits.
	memoryWindow = 64 << 10
	// slowReadPause is how long a slow reader rests between reads, if it reads at least a byte in that time.
	slowReadPause = 100 * time.Millisecond
)

// MemoryNetwork connects the nodes of a test in memory. Its connections behave like TCP's: buffered, in order, with deadlines. What is
// written between hosts that are cut off waits, as packets are sent again, until they are healed. It works in a testing/synctest
// bubble, if it was made in it.
type MemoryNetwork struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
	faults    map[direction]fault
	pipes     map[*pipe]struct{}
	changed   chan struct{} // closed when faults change
	ports     int
}

// direction is from one host to another.
type direction struct{ from, to string }

type fault struct {
	cut   bool
	delay time.Duration
	rate  int // bytes that are read in a second; 0: no limit
}

// atOnce is how many bytes one read gives at most.
func (f fault) atOnce() int {
	if f.rate == 0 {
		return memoryWindow
	}
	return max(int(int64(f.rate)*int64(slowReadPause)/int64(time.Second)), 1)
}

// NewMemoryNetwork makes a network without hosts.
func NewMemoryNetwork() *MemoryNetwork {
	return &MemoryNetwork{
		listeners: make(map[string]*memoryListener), faults: make(map[direction]fault), pipes: make(map[*pipe]struct{}),
		changed: make(chan struct{}),
	}
}

// Host is the network as a host of that name sees it. It listens on addresses "name:port"; port 0 is a free one.
func (n *MemoryNetwork) Host(name string) Network { return memoryHost{network: n, name: name} }

// Cut has nothing pass between two hosts, in both directions, until Heal. Connections stay open.
func (n *MemoryNetwork) Cut(a, b string) {
	n.setFault(direction{a, b}, func(f *fault) { f.cut = true })
	n.setFault(direction{b, a}, func(f *fault) { f.cut = true })
}

// OneWay has nothing pass from one host to another, until Heal.
func (n *MemoryNetwork) OneWay(from, to string) {
	n.setFault(direction{from, to}, func(f *fault) { f.cut = true })
}

// Delay has all that is written between two hosts from now on arrive later by d.
func (n *MemoryNetwork) Delay(a, b string, d time.Duration) {
	n.setFault(direction{a, b}, func(f *fault) { f.delay = d })
	n.setFault(direction{b, a}, func(f *fault) { f.delay = d })
}

// Slow has a host read at most so many bytes in a second, at least one, of each connection with another host. What the other writes
// waits, first in the connection and then, when that is full, with its writer.
func (n *MemoryNetwork) Slow(reader, writer string, bytesPerSecond int) {
	n.setFault(direction{writer, reader}, func(f *fault) { f.rate = max(bytesPerSecond, 1) })
}

// Heal takes all faults between two hosts back. What waited arrives.
func (n *MemoryNetwork) Heal(a, b string) {
	n.setFault(direction{a, b}, func(f *fault) { *f = fault{} })
	n.setFault(direction{b, a}, func(f *fault) { *f = fault{} })
}

// Break ends all connections between two hosts at once, with an error on both sides. What was under way is lost.
func (n *MemoryNetwork) Break(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.pipes {
		if p.way == (direction{a, b}) || p.way == (direction{b, a}) {
			p.reset()
		}
	}
}

func (n *MemoryNetwork) setFault(d direction, change func(*fault)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.faults[d]
	change(&f)
	n.faults[d] = f
	close(n.changed)
	n.changed = make(chan struct{})
	for p := range n.pipes {
		if p.way == d {
			p.setFault(f)
		}
	}
}

// memoryHost is a Network.
type memoryHost struct {
	network *MemoryNetwork
	name    string
}

// Listen implements Network.
func (h memoryHost) Listen(address string) (net.Listener, error) {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if host, free := strings.CutSuffix(address, ":0"); free {
		n.ports++
		address = fmt.Sprintf("%s:%d", host, n.ports)
	}
	if n.listeners[address] != nil {
		return nil, fmt.Errorf("listen %s: address already in use", address)
	}
	l := &memoryListener{host: h, address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// Dial implements Network.
func (h memoryHost) Dial(ctx context.Context, address string) (net.Conn, error) {
	n := h.network
	for {
		n.mu.Lock()
		l := n.listeners[address]
		host, _, _ := strings.Cut(address, ":")
		if l != nil {
			host = l.host.name
		}
		there, back := n.faults[direction{h.name, host}], n.faults[direction{host, h.name}]
		changed := n.changed
		n.mu.Unlock()
		switch {
		case there.cut || back.cut:
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("dial %s: %w", address, ctx.Err())
			}
		case l == nil:
			return nil, fmt.Errorf("dial %s: connection refused", address)
		}
		if err := sleep(ctx, there.delay+back.delay); err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
		return h.connect(ctx, l)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	passed, cancel := context.WithTimeout(context.Background(), d) // not a timer's channel: see pipe.wait
	defer cancel()
	select {
	case <-passed.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h memoryHost) connect(ctx context.Context, l *memoryListener) (net.Conn, error) {
	n := h.network
	there, back := n.newPipe(direction{h.name, l.host.name}), n.newPipe(direction{l.host.name, h.name})
	near, far := memoryAddr(h.name), memoryAddr(l.address)
	mine := &memoryConn{in: back, out: there, local: near, remote: far}
	theirs := &memoryConn{in: there, out: back, local: far, remote: near}
	select {
	case l.conns <- theirs:
		return mine, nil
	case <-l.closed:
		_ = mine.Close()
		return nil, fmt.Errorf("dial %s: connection refused", l.address)
	case <-ctx.Done():
		_ = mine.Close()
		return nil, fmt.Errorf("dial %s: %w", l.address, ctx.Err())
	}
}

type memoryListener struct {
	host    memoryHost
	address string
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// Accept implements net.Listener.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *memoryListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		n := l.host.network
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.listeners, l.address)
	})
	return nil
}

// Addr implements net.Listener.
func (l *memoryListener) Addr() net.Addr { return memoryAddr(l.address) }

type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }

// memoryConn is one end of a connection.
type memoryConn struct {
	in, out       *pipe
	local, remote memoryAddr
	read, write   deadline
}

// Read implements net.Conn.
func (c *memoryConn) Read(b []byte) (int, error) { return c.in.read(b, &c.read) }

// Write implements net.Conn.
func (c *memoryConn) Write(b []byte) (int, error) { return c.out.write(b, &c.write) }

// Close implements net.Conn.
func (c *memoryConn) Close() error {
	c.out.closeWrite()
	c.in.closeRead()
	return nil
}

// CloseWrite ends what is written; reading goes on.
func (c *memoryConn) CloseWrite() error {
	c.out.closeWrite()
	return nil
}

// LocalAddr implements net.Conn.
func (c *memoryConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *memoryConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	c.in.wake()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	c.out.wake()
	return nil
}

type deadline struct {
	mu sync.Mutex
	at time.Time
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
}

func (d *deadline) get() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

var errReset = errors.New("connection reset by peer")

// pipe is one direction of a connection.
type pipe struct {
	network *MemoryNetwork
	way     direction

	mu      sync.Mutex
	parts   []part
	bytes   int
	fault   fault
	rested  time.Time // when a slow reader reads again
	ended   bool      // nothing more is written
	unread  bool      // nobody reads any more
	broken  bool
	changed chan struct{}
}

// part is what was written at once.
type part struct {
	bytes []byte
	due   time.Time
}

func (n *MemoryNetwork) newPipe(d direction) *pipe {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := &pipe{network: n, way: d, fault: n.faults[d], changed: make(chan struct{})}
	n.pipes[p] = struct{}{}
	return p
}

func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeLocked()
}

func (p *pipe) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pipe) setFault(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	p.wakeLocked()
}

func (p *pipe) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	p.parts = nil
	p.wakeLocked()
}

func (p *pipe) closeWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.wakeLocked()
}

func (p *pipe) closeRead() {
	p.mu.Lock()
	p.unread = true
	p.parts = nil
	p.wakeLocked()
	p.mu.Unlock()
	p.network.mu.Lock()
	defer p.network.mu.Unlock()
	delete(p.network.pipes, p)
}

// wait waits for a change, until the deadline or until due, if they are set.
func (p *pipe) wait(changed <-chan struct{}, d *deadline, due time.Time) error {
	at := d.get()
	if !at.IsZero() && !at.After(time.Now()) {
		return os.ErrDeadlineExceeded
	}
	if at.IsZero() || !due.IsZero() && due.Before(at) {
		at = due
	}
	if at.IsZero() {
		<-changed
		return nil
	}
	// Not a timer's channel: whoever receives from one that is due fires the timer himself, and two at a time in a bubble of
	// testing/synctest crash the race detector (golang/go#78156).
	then, cancel := context.WithDeadline(context.Background(), at)
	defer cancel()
	select {
	case <-changed:
	case <-then.Done():
	}
	return nil
}

func (p *pipe) read(b []byte, d *deadline) (int, error) {
	for {
		n, due, changed, err := p.tryRead(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		if err := p.wait(changed, d, due); err != nil {
			return 0, err
		}
	}
}

func (p *pipe) tryRead(b []byte) (n int, due time.Time, changed <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.unread:
		return 0, due, nil, net.ErrClosed
	case p.broken:
		return 0, due, nil, errReset
	case p.fault.cut:
		return 0, due, p.changed, nil
	case len(p.parts) == 0 && p.ended:
		return 0, due, nil, io.EOF
	case len(p.parts) == 0:
		return 0, due, p.changed, nil
	case p.parts[0].due.After(time.Now()):
		return 0, p.parts[0].due, p.changed, nil
	case p.fault.rate > 0 && p.rested.After(time.Now()):
		return 0, p.rested, p.changed, nil
	}
	first := &p.parts[0]
	n = copy(b[:min(len(b), p.fault.atOnce())], first.bytes)
	if p.fault.rate > 0 {
		p.rested = time.Now().Add(time.Duration(n) * time.Second / time.Duration(p.fault.rate))
	}
	if first.bytes = first.bytes[n:]; len(first.bytes) == 0 {
		p.parts = p.parts[1:]
	}
	p.bytes -= n
	p.wakeLocked()
	return n, due, nil, nil
}

func (p *pipe) write(b []byte, d *deadline) (int, error) {
	written := 0
	for written < len(b) {
		n, changed, err := p.tryWrite(b[written:])
		written += n
		if err == nil && n == 0 {
			err = p.wait(changed, d, time.Time{})
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (p *pipe) tryWrite(b []byte) (n int, changed <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
		return 0, nil, net.ErrClosed
	case p.broken, p.unread && !p.fault.cut: // a peer that is cut off can't say that it does not read
		return 0, nil, errReset
	}
	n = min(len(b), memoryWindow-p.bytes)
	if n == 0 {
		return 0, p.changed, nil
	}
	p.parts = append(p.parts, part{bytes: append([]byte(nil), b[:n]...), due: time.Now().Add(p.fault.delay)})
	p.bytes += n
	p.wakeLocked()
	return n, nil, nil
}
