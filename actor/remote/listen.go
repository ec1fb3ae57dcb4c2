package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
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
	applicant := r.waiting.enter(conn)
	_ = conn.SetDeadline(time.Now().Add(r.options.HandshakeTimeout))
	web, s, err := r.greet(conn)
	r.untrack(conn)
	if web != nil {
		_ = conn.SetDeadline(time.Time{})
		r.web.take(&webConn{Conn: web, admitted: func() { r.waiting.leave(applicant) }})
		return
	}
	r.waiting.leave(applicant)
	if s != nil {
		r.begin(s)
		return
	}
	_ = cut(conn)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		r.log.Warn().Stringer("remote", conn.RemoteAddr()).Err(err).Msg("a peer refused us")
	case err != nil && !errors.Is(err, io.EOF):
		r.log.Debug().Stringer("remote", conn.RemoteAddr()).Err(err).Msg("a handshake failed")
	}
}

// greet makes a session of a connection, or gives it back if it is to be served over HTTP.
func (r *Remote) greet(conn net.Conn) (web net.Conn, s *session, err error) {
	if r.options.TLS != nil {
		return r.greetSecured(conn)
	}
	start, ours, err := sniff(conn)
	switch {
	case err != nil:
		return nil, nil, err
	case ours:
		s, err = r.accept(conn, nil)
		return nil, s, err
	case start[0] == tlsRecord:
		takeRest(conn)
		_, _ = io.WriteString(conn, magic) // which no TLS takes for its own
		return nil, nil, r.notServed(conn, "it speaks TLS, and this node does not")
	}
	return &replayConn{Conn: conn, start: start}, nil, nil
}

// greetSecured is greet over TLS.
func (r *Remote) greetSecured(conn net.Conn) (web net.Conn, s *session, err error) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return nil, nil, err
	}
	switch first[0] {
	case tlsRecord:
	case magic[0]:
		// Who speaks our protocol understands a refusal, also in the clear.
		return nil, nil, r.refuseHello(&replayConn{Conn: conn, start: first}, errors.New("this node speaks TLS and nothing else"))
	default:
		takeRest(conn)
		_, _ = io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nThis port speaks HTTPS.\n")
		return nil, nil, r.notServed(conn, "it does not speak TLS, and this node speaks nothing else")
	}
	secure, err := r.secureAccepted(&replayConn{Conn: conn, start: first})
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil, err
	case err != nil:
		return nil, nil, r.notServed(conn, err.Error())
	case secure.http && secure.fault != nil:
		return nil, nil, r.notServed(conn, secure.fault.Error())
	case secure.http:
		return secure.Conn, nil, nil
	}
	if secure.fault != nil {
		return nil, nil, r.refuseHello(secure, secure.fault)
	}
	if err := readMagic(secure); err != nil {
		return nil, nil, err
	}
	s, err = r.accept(secure.Conn, secure.certificate)
	return nil, s, err
}

// refuseHello refuses a peer whatever it says of itself, which is read before: else the reason could be lost.
func (r *Remote) refuseHello(conn net.Conn, reason error) error {
	if err := readMagic(conn); err != nil {
		return err
	}
	hello := &HelloMessage{}
	if err := readAs(conn, helloKind, hello); err != nil {
		return err
	}
	return r.refuse(conn, magic, reason)
}

// takeRest reads what has come of a connection that will be closed: what is not read would have the answer lost.
func takeRest(conn net.Conn) { _, _ = conn.Read(make([]byte, courtesyBytes)) }

// notServed logs why a connection is closed whose peer would not understand the reason.
func (r *Remote) notServed(conn net.Conn, reason string) error {
	r.log.Warn().Stringer("remote", conn.RemoteAddr()).Str("error", reason).Msg("refused a connection")
	return nil
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
		server: &http.Server{
			Handler: admitting(o.HTTP), ReadHeaderTimeout: o.HandshakeTimeout, IdleTimeout: httpIdleTimeout,
			ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
				return context.WithValue(ctx, connKey{}, conn)
			},
		},
		conns: &handedOver{conns: make(chan net.Conn), closed: make(chan struct{})},
	}
	w.served.Go(func() { _ = w.server.Serve(w.conns) })
	return w
}

// connKey finds the connection in the context of a request.
type connKey struct{}

// admitting tells each connection when the header of a request has come over it.
func admitting(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connKey{}).(*webConn); ok {
			conn.admitted()
			if secure, ok := conn.Conn.(*tls.Conn); ok {
				state := secure.ConnectionState()
				r.TLS = &state
			}
		}
		handler.ServeHTTP(w, r)
	})
}

// webConn is a connection for HTTP, which is over when it is closed.
type webConn struct {
	net.Conn
	admitted func() // may be called more than once
}

// Close implements net.Conn.
func (c *webConn) Close() error {
	c.admitted()
	return c.Conn.Close()
}

// ReadFrom lets the connection take files without a detour through memory, if it can.
func (c *webConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite ends what is written while reading goes on, if the connection can do so.
func (c *webConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
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
