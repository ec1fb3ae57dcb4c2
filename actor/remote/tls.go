package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/stoa-project/stoa/actor"
)

// The names by which the protocols of a port are told apart over TLS (ALPN).
const (
	alpnOwn  = "stoa/1"
	alpnHTTP = "http/1.1"
)

// tlsRecord is the first byte of a connection over TLS: that of a handshake's record (RFC 8446, §5.1).
const tlsRecord = 0x16

// TLS secures all connections of a node, those of HTTP included: version 1.3, with certificates on both sides.
//
// A node that listens always shows its certificate, which must be good for the name or address that was dialled. A node that
// dials shows its own, unless its role is exempt. Certificates are judged by this package after the handshake of TLS and
// before anything else is said, so that the reason of a refusal is told to the peer in words.
type TLS struct {
	// Config gives this node's certificate, if it has one, and in RootCAs the authorities whose certificates it accepts. It is
	// called for each connection, so what it gives may change. Nothing else of it counts.
	Config func() (*tls.Config, error)
	// Roles tells the roles that a verified certificate proves. A peer may have one of them and no other.
	Roles func(*x509.Certificate) ([]actor.Role, error)
	// Exempt are roles that need no certificate to dial this node: Options.Verify has another proof of them.
	Exempt []actor.Role
}

// base is Config with what is the same for all connections.
func (t *TLS) base() (*tls.Config, error) {
	given, err := t.Config()
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return &tls.Config{
		Certificates: given.Certificates, RootCAs: given.RootCAs, MinVersion: tls.VersionTLS13,
		SessionTicketsDisabled: true, // a certificate is judged each time
	}, nil
}

// DialHTTP connects to a node for HTTP, which is to be a http.Transport's DialTLSContext.
func (t *TLS) DialHTTP(ctx context.Context, network, address string) (net.Conn, error) {
	config, err := t.base()
	if err != nil {
		return nil, err
	}
	config.NextProtos = []string{alpnHTTP}
	dialer := tls.Dialer{Config: config}
	return dialer.DialContext(ctx, network, address)
}

// secureDialled is the handshake of TLS of the side that has dialled. The error of a peer whose certificate is not good has been told
// to it.
func (r *Remote) secureDialled(conn net.Conn, address string) (net.Conn, *x509.Certificate, error) {
	config, err := r.options.TLS.base()
	if err != nil {
		return nil, nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	config.NextProtos, config.ServerName = []string{alpnOwn}, host
	config.InsecureSkipVerify = true // judge does it
	secure := tls.Client(conn, config)
	if err := secure.Handshake(); err != nil {
		var header tls.RecordHeaderError
		if errors.As(err, &header) {
			return nil, nil, rejection{errors.New("it does not speak TLS, and this node speaks nothing else")}
		}
		var broken net.Error
		if errors.As(err, &broken) || errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		return nil, nil, rejection{err} // TLS has told the peer
	}
	state := secure.ConnectionState()
	if state.NegotiatedProtocol != alpnOwn {
		return nil, nil, errors.New("does not speak our protocol: it is another program's TLS")
	}
	certificate, err := judge(state, x509.VerifyOptions{Roots: config.RootCAs, DNSName: host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err == nil && certificate == nil {
		err = errors.New("it shows no certificate")
	}
	if err != nil {
		return nil, nil, r.refuse(secure, magic, err)
	}
	return secure, certificate, nil
}

// secured is a connection that came over TLS, up to where it is known what it speaks.
type secured struct {
	*tls.Conn
	certificate *x509.Certificate // nil: none was shown
	fault       error             // of the certificate that was shown
	http        bool
}

// secureAccepted is the handshake of TLS of the side that was dialled.
func (r *Remote) secureAccepted(conn net.Conn) (secured, error) {
	config, err := r.options.TLS.base()
	if err != nil {
		return secured{}, err
	}
	config.NextProtos = []string{alpnOwn, alpnHTTP}
	config.ClientAuth = tls.RequestClientCert // judge verifies what comes
	s := secured{Conn: tls.Server(conn, config)}
	if err := s.Handshake(); err != nil {
		return s, err
	}
	state := s.ConnectionState()
	s.http = state.NegotiatedProtocol != alpnOwn
	s.certificate, s.fault = judge(state, x509.VerifyOptions{Roots: config.RootCAs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return s, nil
}

// judge verifies the certificate that the peer of a connection has shown; nil if there is none. That the peer has its key, TLS has
// made sure of.
func judge(state tls.ConnectionState, o x509.VerifyOptions) (*x509.Certificate, error) {
	if len(state.PeerCertificates) == 0 {
		return nil, nil
	}
	certificate := state.PeerCertificates[0]
	if o.Roots == nil {
		return nil, errors.New("there is no authority whose certificates this node accepts")
	}
	o.Intermediates = x509.NewCertPool()
	for _, between := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(between)
	}
	if _, err := certificate.Verify(o); err != nil {
		return nil, fmt.Errorf("the certificate of %q, by %q: %w", certificate.Subject.CommonName, certificate.Issuer.CommonName, err)
	}
	return certificate, nil
}

// judgeRole says whether a peer has the role that it claims. certificate is verified, or nil.
func (t *TLS) judgeRole(claimed actor.Role, certificate *x509.Certificate) error {
	if certificate == nil {
		if slices.Contains(t.Exempt, claimed) {
			return nil
		}
		return fmt.Errorf("it says that its role is %s, and shows no certificate of one", claimed)
	}
	roles, err := t.Roles(certificate)
	if err != nil {
		return fmt.Errorf("the certificate of %q: %w", certificate.Subject.CommonName, err)
	}
	if !slices.Contains(roles, claimed) {
		return fmt.Errorf("it says that its role is %s, and the certificate of %q is for %v", claimed, certificate.Subject.CommonName, roles)
	}
	return nil
}

// cut closes a connection without a word, and without waiting for the peer to take one.
func cut(conn net.Conn) error {
	if secure, ok := conn.(*tls.Conn); ok {
		return secure.NetConn().Close()
	}
	return conn.Close()
}
