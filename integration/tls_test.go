package integration_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A cluster whose daemons and commands prove by certificates who they are: everything works over TLS, and who has no
// certificate, or one for something else, gets in nowhere.
func TestAClusterWithTLSServesThoseWithCertificatesAndNobodyElse(t *testing.T) {
	g := newGround(t)
	says := func(p *program, parts ...string) {
		t.Helper()
		p.expect(0)
		for _, part := range parts {
			if !regexp.MustCompile(part).MatchString(p.out.String()) {
				t.Errorf("stoa %s said\n%swant what matches %q", strings.Join(p.command.Args[1:3], " "), p.out.String(), part)
			}
		}
	}
	pki := t.TempDir()
	says(g.stoa("tls", "ca", "create", "--dir", pki), "ca.pem")
	for _, who := range [][]string{
		{"--name", "master-1", "--role", "master"},
		{"--name", "slave-1", "--role", "slave"},
		{"--name", "ann", "--role", "framework", "--role", "operator"},
	} {
		says(g.stoa(append([]string{"tls", "cert", "create", "--dir", pki}, who...)...), "--tls_ca .*/ca.pem --tls_cert ")
	}
	as := func(name string, args ...string) []string {
		return append(args, "--tls_ca", filepath.Join(pki, "ca.pem"), "--tls_cert", filepath.Join(pki, name+".pem"), "--tls_key", filepath.Join(pki, name+"-key.pem"))
	}
	master := g.start(as("master-1", "master", "--port", "0")...)
	address := g.addressIn(master, "master is up")
	slave := g.start(as("slave-1", "slave", "--master", address, "--port", "0", "--work_dir", filepath.Join(g.tmp, "slave"))...)
	slaveAddress := g.addressIn(slave, "slave is up")
	ann := func(args ...string) []string { return as("ann", append(args, "--master", address)...) }
	g.await("the slave has registered", func() bool {
		p := g.stoa(ann("node", "list", "--json")...)
		return strings.Contains(p.out.String(), `"active": true`)
	})

	run := ann("run", "--cpus", "0.1", "--mem", "32")
	says(g.stoa(append(run, "--", "sh", "-c", "echo over TLS; echo $((6 * 7))")...), "over TLS", "42")
	says(g.stoa(ann("task", "logs", "sh-0")...), "over TLS")
	sleeper := g.start(append(run, "--name", "sleeper", "--", "sleep", "1000")...)
	g.await("the task runs", func() bool { return len(g.tasksNamed("sleep")) == 1 })
	says(g.stoa(append(ann("task", "exec"), "sleeper-0", "sh", "-c", "echo beside over TLS; echo $MESOS_TASK_ID")...), "beside over TLS", "sleeper-0")
	g.stoa(append(ann("task", "exec"), "sleeper-0", "sh", "-c", "exit 9")...).expect(9)
	if p := g.stoa("task", "exec", "--master", address, "sleeper-0", "true"); p.wait() != 125 {
		t.Errorf("without a certificate: %d, %s%s", p.wait(), p.out.String(), p.err.String())
	}
	sleeper.signal(syscall.SIGINT)
	sleeper.expect(130)
	says(g.stoa(ann("operator", "peers")...), "slave +.* slave-1 ", "operator +.* ann ")
	says(g.stoa(as("ann", "operator", "peers", "--slave", slaveAddress)...), "master +.* master-1 ", "host ")

	input := filepath.Join(g.tmp, "input")
	if err := os.WriteFile(input, []byte("b a\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	g.stoa(ann("hadoop", "-input", input, "-output", filepath.Join(g.tmp, "output"),
		"-mapper", "stoa hadoop wordcount-mapper", "-reducer", "stoa hadoop wordcount-reducer", "-cpus", "0.1", "-mem", "64")...).expect(0)
	if words, err := os.ReadFile(filepath.Join(g.tmp, "output", "part-00000")); err != nil || string(words) != "a\t1\nb\t2\n" {
		t.Errorf("counted are %q (%v)", words, err)
	}

	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"in the clear":                          {[]string{"node", "list", "--master", address}, "speaks TLS and nothing else"},
		"a scheduler in the clear":              {[]string{"run", "--master", address, "--", "true"}, "the master at " + address + ": connect to " + address + ": refused: this node speaks TLS and nothing else"},
		"a slave's certificate for an operator": {as("slave-1", "node", "list", "--master", address), `its role is operator, and the certificate of "slave-1" is for [slave]`},
	} {
		p := g.stoa(c.args...)
		if code := p.wait(); code == 0 || !strings.Contains(p.err.String(), c.want) || strings.Contains(p.err.String(), "is it running?") {
			t.Errorf("%s: exit code %d: %s", name, code, p.err.String())
		}
	}
	if got := fetch(t, filepath.Join(pki, "ca.pem"), "https://"+address+"/version"); !strings.Contains(got, `"version"`) {
		t.Errorf("/version is %q", got)
	}
	if got := fetch(t, filepath.Join(pki, "ca.pem"), "https://"+slaveAddress+"/metrics"); !strings.Contains(got, `stoa_slave_peer_received_messages_total{`) {
		t.Errorf("/metrics has no figures of connections:\n%s", got)
	}
	for _, p := range []*program{slave, master} {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			t.Errorf("a daemon ended with exit code %d:\n%s", code, p.err.String())
		}
	}
}

// fetch gets a page from a server that an authority has certified.
func fetch(t *testing.T, authority, url string) string {
	t.Helper()
	text, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	answer, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}
