package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stoa-project/stoa/actor"
)

const (
	// AuthorityLife is how long the certificate of a new authority is good.
	AuthorityLife = 10 * 365 * 24 * time.Hour
	// DefaultLife is how long a node's certificate is good if it is not said.
	DefaultLife = 365 * 24 * time.Hour
	// MaxNameBytes bounds a node's name: with what is added to it, it is that of a file.
	MaxNameBytes = 240

	// AuthorityName is the name of an authority's files: ca.pem and ca-key.pem.
	AuthorityName = "ca"
	// roleScheme starts the URI of a role in a certificate.
	roleScheme = "role"
	// clockSkew is how much a node's clock may be behind that of the machine on which its certificate was made.
	clockSkew = 5 * time.Minute
	// serialBits is the length of a certificate's number (RFC 5280, §4.1.2.2, allows 20 bytes).
	serialBits = 127

	// The types of blocks in PEM files.
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// Pair is where a certificate and its key lie.
type Pair struct{ Cert, Key string }

// PairIn is where the certificate and key of a name lie in a folder.
func PairIn(dir, name string) Pair {
	return Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem")}
}

// CreateAuthority makes the authority of a cluster and writes it into a folder, as PairIn(dir, AuthorityName). It never
// replaces one, for all certificates that it has made would be worth nothing.
func CreateAuthority(dir, cluster string) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: cluster}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := Authority{certificate: template, key: key}
	der, err := a.sign(template, key.Public(), AuthorityLife)
	if err != nil {
		return Pair{}, err
	}
	pair := PairIn(dir, AuthorityName)
	return pair, pair.write(der, key, false)
}

// OpenAuthority reads an authority.
func OpenAuthority(pair Pair) (*Authority, error) {
	certificates, err := readCertificates(pair.Cert)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(pair.Key)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, fmt.Errorf("%s: it has no %s in PEM", pair.Key, keyBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pair.Key, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a %T can't sign", pair.Key, parsed)
	}
	certificate := certificates[0]
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(certificate.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s", pair.Key, pair.Cert)
	}
	if !certificate.IsCA {
		return nil, fmt.Errorf("%s is the certificate of %q, which is no authority", pair.Cert, certificate.Subject.CommonName)
	}
	return &Authority{certificate: certificate, key: key}, nil
}

// Node says what a node's certificate is for.
type Node struct {
	// Name is shown to people, is the name of the files, and is good for being dialled if it is a host's.
	Name string
	// Roles are what the node may be, one at a time; at least one.
	Roles []actor.Role
	// Serves: other nodes dial it, at its name, at Hosts, at IPs, and from its own machine at localhost and the loopback addresses.
	Serves bool
	Hosts  []string
	IPs    []net.IP
	// Life is how long the certificate is good; 0 is DefaultLife. It is never longer than the authority's own.
	Life time.Duration
}

// Create makes a node's certificate and writes it into a folder, as PairIn(dir, node.Name). What is there already is only replaced
// if it is asked for.
func (a *Authority) Create(dir string, node Node, replace bool) (Pair, error) {
	if err := CheckName(node.Name); err != nil {
		return Pair{}, err
	}
	if len(node.Roles) == 0 {
		return Pair{}, errors.New("a certificate needs a role")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: node.Name}, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, role := range node.Roles {
		template.URIs = append(template.URIs, &url.URL{Scheme: roleScheme, Opaque: string(role)})
	}
	if node.Serves {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.DNSNames = append([]string{node.Name, "localhost"}, node.Hosts...)
		template.IPAddresses = append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, node.IPs...)
	}
	life := node.Life
	if life == 0 {
		life = DefaultLife
	}
	der, err := a.sign(template, key.Public(), life)
	if err != nil {
		return Pair{}, err
	}
	pair := PairIn(dir, node.Name)
	return pair, pair.write(der, key, replace)
}

// sign makes a certificate of a template, good for a while from now.
func (a *Authority) sign(template *x509.Certificate, public crypto.PublicKey, life time.Duration) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = now.Add(-clockSkew), now.Add(life)
	if last := a.certificate.NotAfter; !last.IsZero() && template.NotAfter.After(last) {
		template.NotAfter = last
	}
	return x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
}

// CheckName says what is wrong with a node's name, which must be a host's and a file's.
func CheckName(name string) error {
	allowed := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_'
	}
	if name == "" || len(name) > MaxNameBytes || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") ||
		strings.IndexFunc(name, func(r rune) bool { return !allowed(r) }) >= 0 {
		return fmt.Errorf("name %q: allowed are 1 to %d letters, digits and - . _, without - or . at its start", name, MaxNameBytes)
	}
	if name == AuthorityName {
		return fmt.Errorf("name %q is the authority's", name)
	}
	return nil
}

// write writes both files. The key, which only its owner may read, comes first: who reads a new certificate finds its key.
func (p Pair) write(der []byte, key crypto.Signer, replace bool) error {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if !replace {
		for _, path := range []string{p.Key, p.Cert} {
			if _, err := os.Lstat(path); err == nil {
				return fmt.Errorf("%s: %w", path, fs.ErrExist)
			}
		}
	}
	if err := writeFile(p.Key, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: secret}), 0o600); err != nil {
		return err
	}
	return writeFile(p.Cert, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}), 0o644)
}

// writeFile replaces a file as a whole.
func writeFile(path string, text []byte, mode fs.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // in vain once it has its name
	_, err = file.Write(text)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
