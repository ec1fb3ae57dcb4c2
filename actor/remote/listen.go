package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listen serves the address: other nodes, and HTTP. It returns the address that it listens on. What others may dial is
// Options.Advertise; who wants a free port there listens first, starts then, and calls Serve.
func (r *Remote) Listen(address string) (net.Addr, error) {
	l, err := r.options.Network.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if !r.run(func() { _ = r.Serve(l) }) {
		_ = l.Close()
		return nil, errClosed
	}
	return l.Addr(), nil
}

// acceptPause is how long Serve waits after a failed accept, for example for want of descriptors.
const acceptPause = 100 * time.Millisecond

// Serve accepts other nodes and HTTP from l, until Close. It closes l. The error is that of the listener if it fails before.
func (r *Remote) Serve(l net.Listener) error {
	defer l.Close()
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.listeners[l] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.listeners, l)
	}()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			if !r.run(func() { r.serveConn(conn) }) {
				_ = conn.Close()
			}
		case r.life.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			r.log.Warn().Err(err).Msg("accept failed")
			time.Sleep(acceptPause)
		}
	}
}

// serveConn finds out what a connection speaks.
func (r *Remote) serveConn(conn net.Conn) {
	if !r.track(conn) {
		_ = conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Now().Add(r.options.HandshakeTimeout))
	start, ours, err := sniff(conn)
	if err == nil && !ours {
		r.untrack(conn)
		_ = conn.SetDeadline(time.Time{})
		r.web.take(&replayConn{Conn: conn, start: start})
		return
	}
	if err == nil {
		var s *session
		if s, err = r.accept(conn); s != nil {
			r.untrack(conn)
			r.begin(s)
			return
		}
	}
	r.untrack(conn)
	_ = conn.Close()
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		r.log.Warn().Stringer("remote", conn.RemoteAddr()).Err(err).Msg("a peer refused us")
	case err != nil && !errors.Is(err, io.EOF):
		r.log.Debug().Stringer("remote", conn.RemoteAddr()).Err(err).Msg("a handshake failed")
	}
}

// sniff reads just enough to know whether a connection speaks our protocol, and gives what it read.
func sniff(conn io.Reader) (start []byte, ours bool, err error) {
	start = make([]byte, 0, len(magic))
	for len(start) < len(magic) {
		n, err := conn.Read(start[len(start):cap(start)])
		start = start[:len(start)+n]
		if !bytes.HasPrefix([]byte(magic), start) {
			return start, false, nil
		}
		if err != nil {
			return start, false, err
		}
	}
	return start, true, nil
}

// replayConn gives again what sniff has read.
type replayConn struct {
	net.Conn
	start []byte
}

// Read implements net.Conn.
func (c *replayConn) Read(b []byte) (int, error) {
	if len(c.start) > 0 {
		n := copy(b, c.start)
		c.start = c.start[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// ReadFrom lets the connection take files without a detour through memory, if it can.
func (c *replayConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite ends what is written while reading goes on, if the connection can do so.
func (c *replayConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// web serves HTTP on connections that the listeners hand over.
type web struct {
	server *http.Server
	conns  *handedOver
	served sync.WaitGroup
}

func newWeb(o Options) *web {
	if o.HTTP == nil {
		return &web{}
	}
	w := &web{
		server: &http.Server{Handler: o.HTTP, ReadHeaderTimeout: o.HandshakeTimeout},
		conns:  &handedOver{conns: make(chan net.Conn), closed: make(chan struct{})},
	}
	w.served.Go(func() { _ = w.server.Serve(w.conns) })
	return w
}

func (w *web) take(conn net.Conn) {
	if w.server == nil {
		_ = conn.Close()
		return
	}
	select {
	case w.conns.conns <- conn:
	case <-w.conns.closed:
		_ = conn.Close()
	}
}

// close lets requests finish until ctx ends.
func (w *web) close(ctx context.Context) {
	if w.server == nil {
		return
	}
	if w.server.Shutdown(ctx) != nil {
		_ = w.server.Close()
	}
	_ = w.conns.Close()
	w.served.Wait()
}

// handedOver is a listener for connections that others have accepted.
type handedOver struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (h *handedOver) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handedOver) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handedOver) Addr() net.Addr { return handedOverAddr{} }

type handedOverAddr struct{}

func (handedOverAddr) Network() string { return "tcp" }
func (handedOverAddr) String() string  { return "handed over" }
