package integration_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
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
	c := g.secured()
	address, slaveAddress, pki, says := c.master, c.slave, c.pki, c.says
	as := c.as
	ann := func(args ...string) []string { return as("ann", append(args, "--master", address)...) }

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
	c.end()
}

// securedCluster is a master and a slave that speak TLS, and certificates: master-1, slave-1, and ann, who is a framework and an
// operator.
type securedCluster struct {
	g                  *ground
	pki, master, slave string
	daemons            []*program
}

func (g *ground) secured() *securedCluster {
	g.t.Helper()
	c := &securedCluster{g: g, pki: g.t.TempDir()}
	c.says(g.stoa("tls", "ca", "create", "--dir", c.pki), "ca.pem")
	for _, who := range [][]string{
		{"--name", "master-1", "--role", "master"},
		{"--name", "slave-1", "--role", "slave"},
		{"--name", "ann", "--role", "framework", "--role", "operator"},
	} {
		c.says(g.stoa(append([]string{"tls", "cert", "create", "--dir", c.pki}, who...)...), "--tls_ca .*/ca.pem --tls_cert ")
	}
	master := g.start(c.as("master-1", "master", "--port", "0")...)
	c.master = g.addressIn(master, "master is up")
	slave := g.start(c.as("slave-1", "slave", "--master", c.master, "--port", "0", "--work_dir", filepath.Join(g.tmp, "slave"))...)
	c.slave = g.addressIn(slave, "slave is up")
	c.daemons = []*program{slave, master}
	g.await("the slave has registered", func() bool {
		p := g.stoa(c.as("ann", "node", "list", "--json", "--master", c.master)...)
		return strings.Contains(p.out.String(), `"active": true`)
	})
	return c
}

// as adds the flags by which somebody proves who it is.
func (c *securedCluster) as(name string, args ...string) []string {
	return append(args, c.flagsOf(name)...)
}

func (c *securedCluster) flagsOf(name string) []string {
	return []string{
		"--tls_ca", filepath.Join(c.pki, "ca.pem"), "--tls_cert", filepath.Join(c.pki, name+".pem"), "--tls_key", filepath.Join(c.pki, name+"-key.pem"),
	}
}

// says expects a program to end well, with what matches all parts.
func (c *securedCluster) says(p *program, parts ...string) {
	c.g.t.Helper()
	p.expect(0)
	for _, part := range parts {
		if !regexp.MustCompile(part).MatchString(p.out.String()) {
			c.g.t.Errorf("stoa %s said\n%swant what matches %q", strings.Join(p.command.Args[1:3], " "), p.out.String(), part)
		}
	}
}

// end ends the daemons in order.
func (c *securedCluster) end() {
	c.g.t.Helper()
	for _, p := range c.daemons {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			c.g.t.Errorf("a daemon ended with exit code %d:\n%s", code, p.err.String())
		}
	}
}

// A JobTracker of a cluster with TLS takes jobs of streaming and of programs from those with certificates, and serves its page as
// HTTPS; a program runs its job there by itself too.
func TestAJobTrackerWithTLSTakesJobsAndShowsThem(t *testing.T) {
	example := exampleMapReduce(t)
	g := newGround(t)
	c := g.secured()
	authority := filepath.Join(c.pki, "ca.pem")
	c.says(g.stoa("tls", "cert", "create", "--dir", c.pki, "--name", "tracker-1", "--role", "framework", "--ip", "127.0.0.1"), "tracker-1.pem")
	begin := func(name string) (*program, string) {
		p := g.start(c.as(name, "hadoop", "jobtracker", "--master", c.master, "--port", "0", "--state", filepath.Join(g.tmp, name))...)
		return p, g.addressIn(p, "jobtracker is up")
	}
	unreachable, _ := begin("ann") // her certificate is good for no address
	if said := unreachable.err.String(); !strings.Contains(said, "clients will refuse this certificate") || !strings.Contains(said, "127.0.0.1") {
		t.Errorf("a JobTracker that nobody can verify says %s", said)
	}
	unreachable.signal(syscall.SIGTERM)
	unreachable.expect(0)
	tracker, address := begin("tracker-1")
	if said := tracker.err.String(); strings.Contains(said, "certificate") {
		t.Errorf("a JobTracker that all can verify says %s", said)
	}
	input := filepath.Join(g.tmp, "input")
	if err := os.WriteFile(input, []byte("b a\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	job := func(name string, more ...string) (args []string, out string) {
		out = filepath.Join(g.tmp, name)
		return append(more, "-input", input, "-output", out, "-cpus", "0.1", "-mem", "64"), out
	}
	expect := func(out, want string) {
		t.Helper()
		if words, err := os.ReadFile(filepath.Join(out, "part-00000")); err != nil || string(words) != want {
			t.Errorf("%s has %q (%v), want %q", out, words, err, want)
		}
	}
	byProgram := func(args ...string) (string, error) {
		command := exec.Command(example, append([]string{"wordcount"}, args...)...)
		command.Env = g.environment()
		said, err := command.CombinedOutput()
		return string(said), err
	}

	args, out := job("streaming", "hadoop", "-jobtracker", address, "-mapper", "stoa hadoop wordcount-mapper", "-reducer", "stoa hadoop wordcount-reducer")
	p := g.stoa(c.as("ann", args...)...)
	p.expect(0)
	expect(out, "a\t1\nb\t2\n")
	if page := "https://" + address + "/#job-0001"; !strings.Contains(p.err.String(), page) {
		t.Errorf("it says %s\nwant the page %s in it", p.err.String(), page)
	}
	args, out = job("tracked", "-jobtracker", address)
	if said, err := byProgram(append(args, c.flagsOf("ann")...)...); err != nil || !strings.Contains(said, "https://"+address+"/#job-0002") {
		t.Errorf("a program with the JobTracker: %v\n%s", err, said)
	}
	expect(out, "a\t1\nb\t2\n")
	args, out = job("alone", "-master", c.master)
	if said, err := byProgram(append(args, c.flagsOf("ann")...)...); err != nil {
		t.Errorf("a program by itself: %v\n%s", err, said)
	}
	expect(out, "a\t1\nb\t2\n")

	for name, test := range map[string]struct {
		flags []string
		want  string
	}{
		"in the clear":                           {nil, "speaks TLS and nothing else"},
		"with a slave's certificate":             {c.flagsOf("slave-1"), `the certificate of "slave-1" is for [slave]`},
		"with an authority and no certificate":   {[]string{"-tls_ca", authority}, "--tls_cert is missing"},
		"with a certificate that is not there":   {c.flagsOf("nobody"), "nobody.pem"},
		"with the JobTracker's page as its port": {[]string{"-jobtracker", "https://" + address}, "is not HOST:PORT"},
	} {
		args, out := job("refused", "-jobtracker", address)
		said, err := byProgram(append(args, test.flags...)...)
		if _, left := os.Stat(out); err == nil || left == nil || !strings.Contains(said, test.want) {
			t.Errorf("%s: %v: %s", name, err, said)
		}
	}
	for path, has := range map[string]string{"/": "<title>JobTracker", "/page.js": "textContent", "/api/jobs": `"job-0002"`} {
		if got := fetch(t, authority, "https://"+address+path); !strings.Contains(got, has) {
			t.Errorf("%s is %.200q; want %s in it", path, got, has)
		}
	}
	if status, body := get(t, address, "/"); status != http.StatusBadRequest || !strings.Contains(body, "speaks HTTPS") {
		t.Errorf("in the clear the page is %d, %q", status, body)
	}
	if !strings.Contains(tracker.out.String(), "its page at https://"+address) {
		t.Errorf("the JobTracker says %q", tracker.out.String())
	}
	tracker.signal(syscall.SIGTERM)
	tracker.expect(0)
	c.end()
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
