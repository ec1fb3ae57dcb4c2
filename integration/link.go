package integration

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/stoa-project/stoa/actor/remote"
)

// tcp is the network of the machine.
type tcp struct{}

// Dial implements remote.Network.
func (tcp) Dial(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", address)
}

// Listen implements remote.Network.
func (tcp) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// errSevered is what a process that was killed would see, if it still could.
var errSevered = errors.New("the process was killed")

// link is the network as one life of a process has it. Severed, its connections are closed as the kernel does it for a
// process that was killed: peers get what was sent before, then the end. Held, nothing passes, not even the end of a
// connection, as for a process that is stopped.
type link struct {
	inner remote.Network

	mu        sync.Mutex
	severed   bool
	open      chan struct{} // closed while not held
	conns     map[*linkConn]struct{}
	listeners map[net.Listener]struct{}
}

func newLink(inner remote.Network) *link {
	l := &link{inner: inner, open: make(chan struct{}), conns: map[*linkConn]struct{}{}, listeners: map[net.Listener]struct{}{}}
	close(l.open)
	return l
}

// Dial implements remote.Network.
func (l *link) Dial(ctx context.Context, address string) (net.Conn, error) {
	select {
	case <-l.gate():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn, err := l.inner.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return l.adopt(conn)
}

// Listen implements remote.Network.
func (l *link) Listen(address string) (net.Listener, error) {
	inner, err := l.inner.Listen(address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.severed {
		inner.Close()
		return nil, errSevered
	}
	l.listeners[inner] = struct{}{}
	return &linkListener{Listener: inner, link: l}, nil
}

func (l *link) adopt(conn net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.severed {
		conn.Close()
		return nil, errSevered
	}
	made := &linkConn{Conn: conn, link: l, closed: make(chan struct{})}
	l.conns[made] = struct{}{}
	return made, nil
}

// gate is closed while something may pass.
func (l *link) gate() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// alive is errSevered when the process was killed.
func (l *link) alive() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.severed {
		return errSevered
	}
	return nil
}

// sever ends everything at once, for good.
func (l *link) sever() {
	l.release()
	l.mu.Lock()
	l.severed = true
	conns, listeners := l.conns, l.listeners
	l.conns, l.listeners = nil, nil
	l.mu.Unlock()
	for listener := range listeners {
		listener.Close()
	}
	for conn := range conns {
		conn.Conn.Close()
	}
}

// hold stops everything where it is.
func (l *link) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default: // held already
	}
}

// release ends hold. What was closed meanwhile is closed now.
func (l *link) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		return
	default:
	}
	close(l.open)
	for conn := range l.conns {
		select {
		case <-conn.closed:
			conn.Conn.Close()
			delete(l.conns, conn)
		default:
		}
	}
}

type linkListener struct {
	net.Listener
	link *link
}

// Accept implements net.Listener.
func (l *linkListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.link.adopt(conn)
}

// linkConn is a connection of a process.
type linkConn struct {
	net.Conn
	link   *link
	once   sync.Once
	closed chan struct{} // by this side
}

// pass waits until something may pass. Nothing does any more when the process was killed: what its actors make of the
// end of one connection must not leave by another that is about to be closed.
func (c *linkConn) pass() error {
	select {
	case <-c.link.gate():
		return c.link.alive()
	case <-c.closed:
		return net.ErrClosed
	}
}

// Read implements net.Conn.
func (c *linkConn) Read(b []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if blocked := c.pass(); blocked != nil {
		return 0, blocked
	}
	return n, err
}

// Write implements net.Conn.
func (c *linkConn) Write(b []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *linkConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	select {
	case <-c.link.open:
		delete(c.link.conns, c)
		return c.Conn.Close()
	default:
		// A process that is stopped closes nothing, release does. This side's readers and writers are to know it already.
		return c.Conn.SetDeadline(time.Unix(1, 0))
	}
}

// CloseWrite ends what is written while reading goes on, if the connection can do so.
func (c *linkConn) CloseWrite() error {
	if err := c.pass(); err != nil {
		return err
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
