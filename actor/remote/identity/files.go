package identity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
)

// Roles tells the roles that a certificate is for. It is meant for remote.TLS.
func Roles(certificate *x509.Certificate) ([]actor.Role, error) {
	var roles []actor.Role
	for _, uri := range certificate.URIs {
		if uri.Scheme == roleScheme && uri.Opaque != "" {
			roles = append(roles, actor.Role(uri.Opaque))
		}
	}
	if len(roles) == 0 {
		return nil, errors.New("it names no role")
	}
	return roles, nil
}

// Files are the certificates of a node, which are read again when they change: what a node had before it goes on with, if they can't be
// read then.
type Files struct {
	ca   string
	pair Pair // empty: no certificate of its own
	warn func(error)

	mu     sync.Mutex
	stamps stamps
	config *tls.Config
}

// stamps tell whether the files have changed: authority, certificate, key; nil for one that is not given.
type stamps [3]os.FileInfo

// same tells whether no file has been replaced or written since.
func (s stamps) same(as stamps) bool {
	for i, info := range s {
		other := as[i]
		if info != nil && (!os.SameFile(info, other) || info.Size() != other.Size() || !info.ModTime().Equal(other.ModTime())) {
			return false
		}
	}
	return true
}

// Open reads the certificates of the authorities that a node accepts, and its own with its key; without the latter two it has none.
// warn, if not nil, is told when files that have changed can't be read.
func Open(ca string, own Pair, warn func(error)) (*Files, error) {
	if (own.Cert == "") != (own.Key == "") {
		return nil, fmt.Errorf("certificate %q and key %q: one is of no use without the other", own.Cert, own.Key)
	}
	f := &Files{ca: ca, pair: own, warn: warn}
	stamps, err := f.look()
	if err != nil {
		return nil, err
	}
	f.stamps = stamps
	f.config, err = f.read()
	return f, err
}

// Config gives what the files have. It is meant for remote.TLS.
func (f *Files) Config() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stamps, err := f.look()
	if err == nil && stamps.same(f.stamps) {
		return f.config, nil
	}
	var config *tls.Config
	if err == nil {
		config, err = f.read()
	}
	if err != nil {
		if f.warn != nil {
			f.warn(fmt.Errorf("certificates have changed and can't be read, so the former ones stay: %w", err))
		}
		return f.config, nil
	}
	f.config, f.stamps = config, stamps
	return config, nil
}

func (f *Files) look() (found stamps, err error) {
	for i, path := range []string{f.ca, f.pair.Cert, f.pair.Key} {
		if path == "" {
			continue
		}
		if found[i], err = os.Stat(path); err != nil {
			return stamps{}, err
		}
	}
	return found, nil
}

func (f *Files) read() (*tls.Config, error) {
	authorities, err := readCertificates(f.ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	for _, authority := range authorities {
		config.RootCAs.AddCert(authority)
	}
	if f.pair.Cert == "" {
		return config, nil
	}
	own, err := tls.LoadX509KeyPair(f.pair.Cert, f.pair.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.pair.Cert, f.pair.Key, err)
	}
	config.Certificates = []tls.Certificate{own}
	return config, nil
}

// Certificate is the node's own, nil if it has none.
func (f *Files) Certificate() *x509.Certificate {
	config, _ := f.Config()
	if len(config.Certificates) == 0 {
		return nil
	}
	return config.Certificates[0].Leaf
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certificates, err := parseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certificates, nil
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != certificateBlock {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, fmt.Errorf("it has no %s in PEM", certificateBlock)
	}
	return certificates, nil
}

// Trust is the security of a node that has no certificate: it accepts those of the authorities whose certificates are in text, as PEM.
func Trust(text []byte) (*remote.TLS, error) {
	authorities, err := parseCertificates(text)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	for _, authority := range authorities {
		config.RootCAs.AddCert(authority)
	}
	return &remote.TLS{Config: func() (*tls.Config, error) { return config, nil }, Roles: Roles}, nil
}
