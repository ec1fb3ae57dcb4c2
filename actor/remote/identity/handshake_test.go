package identity_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines are a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// node is one side of a test.
type node struct {
	system  *actor.System
	remote  *remote.Remote
	address string
	log     *lines
}

type nodeOptions struct {
	name   string
	role   actor.Role
	listen bool
	tls    *remote.TLS
	http   http.Handler
	verify func(remote.Hello) error
	secret []byte
}

func start(t *testing.T, o nodeOptions) *node {
	t.Helper()
	n := &node{log: &lines{}}
	n.system = actor.NewSystem(actor.SystemOptions{Node: o.name, Role: o.role, Log: zerolog.New(n.log)})
	options := remote.Options{
		System: n.system, TLS: o.tls, HTTP: o.http, Verify: o.verify,
		Credential: func(string) []byte { return o.secret },
	}
	var listener net.Listener
	if o.listen {
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		n.address = listener.Addr().String()
		options.Advertise = n.address
	}
	var err error
	if n.remote, err = remote.Start(options); err != nil {
		t.Fatal(err)
	}
	n.system.Spawn("echo", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			if m, ok := ctx.Message().(*wrapperspb.StringValue); ok {
				ctx.Reply(m)
			}
		})
	})
	var serving sync.WaitGroup
	if listener != nil {
		serving.Go(func() { _ = n.remote.Serve(listener) })
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = n.system.Shutdown(ctx)
		_ = n.remote.Close(ctx)
		serving.Wait()
	})
	return n
}

func (n *node) ask(t *testing.T, address string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := n.system.Ask(ctx, actor.At(address, "echo"), wrapperspb.String("hello"))
	return err
}

func newAuthority(t *testing.T, dir, name string) *identity.Authority {
	t.Helper()
	pair, err := identity.CreateAuthority(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := identity.OpenAuthority(pair)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// security makes a certificate and reads it, as a node that accepts those of the authority in trusted.
func security(t *testing.T, a *identity.Authority, trusted string, want identity.Node) *remote.TLS {
	t.Helper()
	pair, err := a.Create(t.TempDir(), want, false)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, trusted, pair)
}

func open(t *testing.T, trusted string, pair identity.Pair) *remote.TLS {
	t.Helper()
	files, err := identity.Open(filepath.Join(trusted, "ca.pem"), pair, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &remote.TLS{Config: files.Config, Roles: identity.Roles, Exempt: []actor.Role{"guest"}}
}

func TestCertificatesAreJudgedAtTheHandshakeAndBothSidesAreToldWhy(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	authority, stranger := newAuthority(t, ours, "ours"), newAuthority(t, theirs, "theirs")
	server := identity.Node{Name: "server", Roles: []actor.Role{"boss"}, Serves: true}
	client := identity.Node{Name: "ann", Roles: []actor.Role{"worker", "clerk"}}
	good := func(t *testing.T, n identity.Node) *remote.TLS { return security(t, authority, ours, n) }
	for _, c := range []struct {
		name       string
		server     func(t *testing.T) *remote.TLS
		client     func(t *testing.T) *remote.TLS
		role       actor.Role
		wantServer actor.Role // what it says that it is
		refused    string     // part of both sides' lines; empty: it is accepted
		clientOnly string     // instead, where the server can't know
	}{
		{name: "a certificate for the role is accepted", role: "worker"},
		{name: "a certificate has several roles", role: "clerk"},
		{
			name: "a role that the certificate is not for", role: "boss",
			refused: `it says that its role is boss, and the certificate of \"ann\" is for [worker clerk]`,
		},
		{
			name: "a certificate of another authority", role: "worker",
			client:  func(t *testing.T) *remote.TLS { return security(t, stranger, ours, client) },
			refused: `the certificate of \"ann\", by \"theirs\": x509: certificate signed by unknown authority`,
		},
		{
			name: "a certificate that has expired", role: "worker",
			client: func(t *testing.T) *remote.TLS {
				return good(t, identity.Node{Name: "ann", Roles: client.Roles, Life: -time.Minute})
			},
			refused: `the certificate of \"ann\", by \"ours\": x509: certificate has expired`,
		},
		{
			name: "a certificate that is not good yet", role: "worker",
			client:  func(t *testing.T) *remote.TLS { return early(t, ours, "ann", "worker") },
			refused: `the certificate of \"ann\", by \"ours\": x509: certificate has expired or is not yet valid: current time`,
		},
		{
			name: "a certificate whose key is another's", role: "worker",
			client:     func(t *testing.T) *remote.TLS { return withoutItsKey(good(t, client)) },
			clientOnly: "remote error: tls: error decrypting message", refused: "tls: invalid signature by the client certificate",
		},
		{
			name: "a server whose certificate is not good yet", role: "worker",
			server:  func(t *testing.T) *remote.TLS { return early(t, ours, "server", "boss") },
			refused: `the certificate of \"server\", by \"ours\": x509: certificate has expired or is not yet valid: current time`,
		},
		{
			name: "a server whose certificate's key is another's", role: "worker",
			server:     func(t *testing.T) *remote.TLS { return withoutItsKey(good(t, server)) },
			clientOnly: "tls: invalid signature by the server certificate", refused: "tls: error decrypting message",
		},
		{
			name: "no certificate", role: "worker",
			client:  func(t *testing.T) *remote.TLS { return open(t, ours, identity.Pair{}) },
			refused: "it says that its role is worker, and shows no certificate of one",
		},
		{
			name: "no certificate of a role that is exempt", role: "guest",
			client: func(t *testing.T) *remote.TLS { return open(t, ours, identity.Pair{}) },
		},
		{
			name: "a certificate for others in a role that is exempt", role: "guest",
			refused: `it says that its role is guest, and the certificate of \"ann\" is for [worker clerk]`,
		},
		{
			name: "a server of another authority", role: "worker",
			server:  func(t *testing.T) *remote.TLS { return security(t, stranger, ours, server) },
			refused: `the certificate of \"server\", by \"theirs\": x509: certificate signed by unknown authority`,
		},
		{
			name: "a server whose certificate has expired", role: "worker",
			server: func(t *testing.T) *remote.TLS {
				return good(t, identity.Node{Name: "server", Roles: server.Roles, Serves: true, Life: -time.Minute})
			},
			refused: `the certificate of \"server\", by \"ours\": x509: certificate has expired`,
		},
		{
			name: "a server whose certificate is that of a client", role: "worker",
			server:  func(t *testing.T) *remote.TLS { return good(t, identity.Node{Name: "server", Roles: server.Roles}) },
			refused: `the certificate of \"server\", by \"ours\": x509: cannot validate certificate for 127.0.0.1`,
		},
		{
			name: "a server in a role that its certificate is not for", role: "worker", wantServer: "worker",
			refused: `it says that its role is worker, and the certificate of \"server\" is for [boss]`,
		},
		{
			name: "a server that speaks no TLS", role: "worker",
			server:     func(*testing.T) *remote.TLS { return nil },
			clientOnly: "it does not speak TLS, and this node speaks nothing else", refused: "it speaks TLS, and this node does not",
		},
		{
			name: "a client that speaks no TLS", role: "worker",
			client:  func(*testing.T) *remote.TLS { return nil },
			refused: "this node speaks TLS and nothing else",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			serverTLS, clientTLS := c.server, c.client
			if serverTLS == nil {
				serverTLS = func(t *testing.T) *remote.TLS { return good(t, server) }
			}
			if clientTLS == nil {
				clientTLS = func(t *testing.T) *remote.TLS { return good(t, client) }
			}
			role := c.wantServer
			if role == "" {
				role = "boss"
			}
			s := start(t, nodeOptions{name: "server", role: role, listen: true, tls: serverTLS(t), http: http.NotFoundHandler()})
			d := start(t, nodeOptions{name: "dialler", role: c.role, tls: clientTLS(t)})
			err := d.ask(t, s.address)
			if c.refused == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			told := c.refused
			if c.clientOnly != "" {
				told = c.clientOnly
			}
			var exit *actor.ExitError
			if !errors.As(err, &exit) || exit.Reason != actor.Refused || !strings.Contains(err.Error(), strings.ReplaceAll(told, `\"`, `"`)) {
				t.Errorf("the dialler got %v, expected that it is refused: %q", err, told)
			}
			await(t, fmt.Sprintf("the server logs %q", c.refused), func() bool { return strings.Contains(s.log.String(), c.refused) })
			if len(s.remote.Peers())+len(d.remote.Peers()) != 0 {
				t.Error("there is a session")
			}
		})
	}
}

// early makes a certificate that is good from tomorrow on, as somebody's program would that has the authority's key.
func early(t *testing.T, authority, name, role string) *remote.TLS {
	t.Helper()
	signer, err := tls.LoadX509KeyPair(filepath.Join(authority, "ca.pem"), filepath.Join(authority, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	tomorrow := time.Now().Add(24 * time.Hour)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: tomorrow, NotAfter: tomorrow.Add(time.Hour),
		URIs: []*url.URL{{Scheme: "role", Opaque: role}}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Leaf, public, signer.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return changed(open(t, authority, identity.Pair{}), func(config *tls.Config) {
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: secret}}
	})
}

// withoutItsKey is who shows a certificate without having its key.
func withoutItsKey(o *remote.TLS) *remote.TLS {
	return changed(o, func(config *tls.Config) {
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		config.Certificates = []tls.Certificate{{Certificate: config.Certificates[0].Certificate, PrivateKey: other}}
	})
}

// changed is security with another configuration.
func changed(o *remote.TLS, change func(*tls.Config)) *remote.TLS {
	made := *o
	made.Config = func() (*tls.Config, error) {
		config, err := o.Config()
		if err == nil {
			config = config.Clone()
			change(config)
		}
		return config, err
	}
	return &made
}

func TestACertificateIsGoodForTheAddressesThatItNames(t *testing.T) {
	dir := t.TempDir()
	authority := newAuthority(t, dir, "ours")
	serve := func(hosts []string, ips ...net.IP) *remote.TLS {
		return security(t, authority, dir, identity.Node{Name: "server", Roles: []actor.Role{"boss"}, Serves: true, Hosts: hosts, IPs: ips})
	}
	for _, c := range []struct {
		name, ip, dialled string
		tls               *remote.TLS
		refused           string
	}{
		{"the loopback address", "127.0.0.1", "127.0.0.1", serve(nil), ""},
		{"localhost", "127.0.0.1", "localhost", serve(nil), ""},
		{"an address that was asked for", "127.0.0.2", "127.0.0.2", serve(nil, net.ParseIP("127.0.0.2")), ""},
		{"another address", "127.0.0.2", "127.0.0.2", serve(nil), "x509: certificate is valid for 127.0.0.1, ::1, not 127.0.0.2"},
		{"the loopback address of IPv6", "::1", "::1", serve(nil), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", net.JoinHostPort(c.ip, "0"))
			if err != nil {
				t.Fatal(err)
			}
			s := start(t, nodeOptions{name: "server", role: "boss", tls: c.tls})
			served := make(chan struct{})
			go func() { defer close(served); _ = s.remote.Serve(listener) }()
			t.Cleanup(func() { _ = listener.Close(); <-served })
			d := start(t, nodeOptions{name: "dialler", role: "guest", tls: open(t, dir, identity.Pair{})})
			_, port, _ := net.SplitHostPort(listener.Addr().String())
			err = d.ask(t, net.JoinHostPort(c.dialled, port))
			switch {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("got %v, expected %q", err, c.refused)
			case c.refused != "":
				await(t, "the server logs why", func() bool { return strings.Contains(s.log.String(), c.refused) })
			}
		})
	}
}

func TestTheCredentialIsNotToldToAServerThatIsNotTrusted(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	newAuthority(t, ours, "ours")
	stranger := newAuthority(t, theirs, "theirs")
	heard := make(chan remote.Hello, 1)
	s := start(t, nodeOptions{
		name: "server", role: "boss", listen: true,
		tls:    security(t, stranger, theirs, identity.Node{Name: "server", Roles: []actor.Role{"boss"}, Serves: true}),
		verify: func(h remote.Hello) error { heard <- h; return nil },
	})
	d := start(t, nodeOptions{name: "dialler", role: "guest", secret: []byte("secret"), tls: open(t, ours, identity.Pair{})})
	if err := d.ask(t, s.address); err == nil {
		t.Error("an unknown authority's server was accepted")
	}
	select {
	case h := <-heard:
		t.Errorf("the server was told %+v", h)
	default:
	}
}

func TestHTTPAndOurProtocolShareAPortOverTLS(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	authority, stranger := newAuthority(t, ours, "ours"), newAuthority(t, theirs, "theirs")
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Fprintf(w, "hello %s", name)
	})
	ann := identity.Node{Name: "ann", Roles: []actor.Role{"worker"}}
	s := start(t, nodeOptions{
		name: "server", role: "boss", listen: true, http: who,
		tls: security(t, authority, ours, identity.Node{Name: "server", Roles: []actor.Role{"boss"}, Serves: true}),
	})
	d := start(t, nodeOptions{name: "dialler", role: "worker", tls: security(t, authority, ours, ann)})
	if err := d.ask(t, s.address); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name string
		tls  *remote.TLS
		want string // "": an error
	}{
		{"without a certificate", open(t, ours, identity.Pair{}), "hello nobody"},
		{"with a certificate", security(t, authority, ours, ann), "hello ann"},
		{"with a stranger's certificate", security(t, stranger, ours, ann), ""},
		{"of somebody who trusts another authority", open(t, theirs, identity.Pair{}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := &http.Client{Transport: &http.Transport{DialTLSContext: c.tls.DialHTTP}, Timeout: 5 * time.Second}
			defer client.CloseIdleConnections()
			answer, err := client.Get("https://" + s.address + "/")
			if err != nil {
				if c.want != "" {
					t.Error(err)
				}
				return
			}
			defer answer.Body.Close()
			if got, _ := io.ReadAll(answer.Body); string(got) != c.want {
				t.Errorf("got %q, expected %q", got, c.want)
			}
		})
	}
	t.Run("in the clear", func(t *testing.T) {
		answer, err := http.Get("http://" + s.address + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if got, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(got), "speaks HTTPS") {
			t.Errorf("got %d %q", answer.StatusCode, got)
		}
	})
	t.Run("by a version of TLS that is too old", func(t *testing.T) {
		_, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		if err == nil {
			t.Error("TLS 1.2 was accepted")
		}
	})
}

func TestCertificatesAreReadAgainWhenTheirFilesChange(t *testing.T) {
	dir, own := t.TempDir(), t.TempDir()
	authority := newAuthority(t, dir, "ours")
	server := identity.Node{Name: "server", Roles: []actor.Role{"boss"}, Serves: true}
	pair, err := authority.Create(own, server, false)
	if err != nil {
		t.Fatal(err)
	}
	var warned []error
	files, err := identity.Open(filepath.Join(dir, "ca.pem"), pair, func(err error) { warned = append(warned, err) })
	if err != nil {
		t.Fatal(err)
	}
	first := files.Certificate().SerialNumber
	if files.Certificate().SerialNumber.Cmp(first) != 0 || len(warned) > 0 {
		t.Fatalf("a certificate that has not changed is another now; warnings: %v", warned)
	}
	s := start(t, nodeOptions{name: "server", role: "boss", listen: true, tls: &remote.TLS{Config: files.Config, Roles: identity.Roles, Exempt: []actor.Role{"guest"}}})
	shown := func() string {
		t.Helper()
		guest := start(t, nodeOptions{name: "guest", role: "guest", tls: open(t, dir, identity.Pair{})})
		if err := guest.ask(t, s.address); err != nil {
			t.Fatal(err)
		}
		return guest.remote.Peers()[0].Certificate.SerialNumber.String()
	}
	if got := shown(); got != first.String() {
		t.Fatalf("shown is %s, expected %s", got, first)
	}
	if _, err := authority.Create(own, server, true); err != nil {
		t.Fatal(err)
	}
	second := shown()
	if second == first.String() {
		t.Error("the former certificate is shown although its file was replaced")
	}
	if err := os.WriteFile(pair.Cert, []byte("torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != second {
		t.Errorf("shown is %s, expected the last good one", got)
	}
	if len(warned) == 0 || !strings.Contains(warned[0].Error(), pair.Cert) {
		t.Errorf("warnings: %v, expected one that names %s", warned, pair.Cert)
	}
}

// await polls for a condition that has a name.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for this: %s", what)
		}
	}
}
