package main

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// runLine runs a command line that ends by itself.
func runLine(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(t.Context(), args, stdio{strings.NewReader(""), &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

func TestADaemonDoesNotListenBeyondThisMachineUnsecured(t *testing.T) {
	for _, c := range []struct {
		name              string
		ip                string
		secured, insecure bool
		refused           bool
	}{
		{name: "loopback", ip: "127.0.0.1"},
		{name: "another loopback address", ip: "127.8.0.1"},
		{name: "loopback of IPv6", ip: "::1"},
		{name: "loopback of IPv4 as IPv6 writes it", ip: "::ffff:127.0.0.1"},
		{name: "all addresses", ip: "0.0.0.0", refused: true},
		{name: "all addresses of IPv6", ip: "::", refused: true},
		{name: "an address", ip: "192.0.2.1", refused: true},
		{name: "a private address", ip: "10.0.0.1", refused: true},
		{name: "an address, with TLS", ip: "192.0.2.1", secured: true},
		{name: "an address, as was asked for", ip: "192.0.2.1", insecure: true},
	} {
		err := checkExposure(c.ip, c.secured, c.insecure)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			continue
		}
		for _, cure := range []string{c.ip, "--tls_ca", "--tls_cert", "--tls_key", "--insecure"} {
			if !strings.Contains(err.Error(), cure) {
				t.Errorf("%s: %q does not name %s", c.name, err, cure)
			}
		}
	}
	for _, daemon := range [][]string{{"master"}, {"slave", "--work_dir", t.TempDir()}, {"local"}, {"demo"}} {
		code, _, errs := runLine(t, append(daemon, "--ip", "0.0.0.0", "--port", "0")...)
		if code != exitUsage || !strings.Contains(errs, "--insecure") || !strings.Contains(errs, "--tls_ca") {
			t.Errorf("stoa %s: exit code %d: %s", daemon[0], code, errs)
		}
	}
}

func TestWhatOthersAreToldIsWhatTheFlagsSay(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	bound := netip.MustParseAddrPort(listener.Addr().String())
	for _, c := range []struct {
		name string
		e    exposure
		want string
	}{
		{"nothing", exposure{}, bound.String()},
		{"an address", exposure{advertiseIP: "192.0.2.1"}, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), bound.Port()).String()},
		{"a port", exposure{advertisePort: 99}, "127.0.0.1:99"},
		{"both, of IPv6", exposure{advertiseIP: "2001:db8::1", advertisePort: 99}, "[2001:db8::1]:99"},
	} {
		got, err := c.e.advertised(listener)
		if err != nil || got.String() != c.want {
			t.Errorf("%s: told is %v (%v), expected %s", c.name, got, err, c.want)
		}
	}
	for _, c := range []exposure{{advertiseIP: "0.0.0.0"}, {advertiseIP: "::"}, {advertiseIP: "master"}, {advertisePort: 65536}, {advertisePort: -1}} {
		if err := c.check(true); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestADaemonThatListensOnAllAddressesTellsOneThatOthersCanReach(t *testing.T) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if got := near(listener); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("its own machine is told %s", got)
	}
	told, err := (&exposure{}).advertised(listener)
	if err != nil {
		if !strings.Contains(err.Error(), "--advertise_ip") {
			t.Errorf("%q does not name the cure", err)
		}
		return // this machine has no other address
	}
	if told.Addr().IsUnspecified() || told.Addr().IsLoopback() {
		t.Errorf("others are told %v", told)
	}
}

func TestCertificatesAreMadeByTwoCommandsAndWrongOnesAreNamedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	flags := func(name string) []string {
		return []string{"--tls_ca", filepath.Join(dir, "ca.pem"), "--tls_cert", filepath.Join(dir, name+".pem"), "--tls_key", filepath.Join(dir, name+"-key.pem")}
	}
	for _, args := range [][]string{
		{"tls", "ca", "create", "--dir", dir},
		{"tls", "cert", "create", "--dir", dir, "--role", "master", "--name", "m1", "--ip", "192.0.2.1", "--ip", "2001:db8::1"},
		{"tls", "cert", "create", "--dir", dir, "--role", "framework", "--role", "operator", "--name", "ann", "--days", "30"},
		{"tls", "cert", "create", "--dir", dir, "--role", "framework", "--name", "bob"},
	} {
		if code, _, errs := runLine(t, args...); code != exitOK {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"an authority twice", []string{"tls", "ca", "create", "--dir", dir}, exitFailed, "never replaced"},
		{"a certificate twice", []string{"tls", "cert", "create", "--dir", dir, "--role", "master", "--name", "m1"}, exitFailed, "--force"},
		{"a role that there is not", []string{"tls", "cert", "create", "--dir", dir, "--role", "king", "--name", "k"}, exitUsage, "allowed are master, slave, framework, operator"},
		{"a host's certificate", []string{"tls", "cert", "create", "--dir", dir, "--role", "host", "--name", "h"}, exitUsage, `--role "host"`},
		{"no authority", []string{"tls", "cert", "create", "--dir", t.TempDir(), "--role", "master", "--name", "m"}, exitFailed, "stoa tls ca create"},
		{"a name for an address", []string{"tls", "cert", "create", "--dir", dir, "--role", "master", "--name", "m2", "--ip", "m2"}, exitUsage, "--host"},
		{"a path as name", []string{"tls", "cert", "create", "--dir", dir, "--role", "master", "--name", "../m2"}, exitUsage, `"../m2"`},
		{"one flag of three", []string{"node", "list", "--tls_ca", filepath.Join(dir, "ca.pem")}, exitUsage, "--tls_cert is missing"},
		{"a framework's certificate for a master", append([]string{"master", "--port", "0"}, flags("bob")...), exitUsage, "is for the role framework; this takes one for the role master"},
		{"nobody at a slave's address", []string{"operator", "peers", "--slave", "127.0.0.1:1"}, exitFailed, "no slave at 127.0.0.1:1 (connection refused); start one with 'stoa slave'"},
		{"a slave's address that is none", []string{"operator", "peers", "--slave", "here"}, exitFailed, `slave address "here" is not HOST:PORT`},
		{"a certificate that is none", []string{"node", "list", "--tls_ca", filepath.Join(dir, "bad.pem"), "--tls_cert", "x", "--tls_key", "x"}, exitUsage, "--tls_"},
	} {
		code, _, errs := runLine(t, c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Count(strings.TrimSpace(errs), "\n") > 1 {
			t.Errorf("%s: exit code %d, expected %d with %q:\n%s", c.name, code, c.code, c.want, errs)
		}
	}
}

func TestALoggedMessageIsALineWithoutSecrets(t *testing.T) {
	const secret = "hunter2"
	variable := &mesos.Environment_Variable{Name: proto.String("DB_PASSWORD"), Value: proto.String(secret)}
	command := &mesos.CommandInfo{
		Value: proto.String("serve\nforever"), Environment: &mesos.Environment{Variables: []*mesos.Environment_Variable{variable}},
		Uris: []*mesos.CommandInfo_URI{{Value: proto.String("https://ann:" + secret + "@example.org/x.tar?sig=" + secret)}},
	}
	for _, c := range []struct {
		name    string
		message proto.Message
		shown   []string
	}{
		{"a task", &wire.RunTask{Task: &mesos.TaskInfo{
			Name: proto.String("web"), TaskId: mesos.NewTaskID("web-0"), AgentId: mesos.NewAgentID("S1"), Command: command, Data: []byte(secret),
		}}, []string{"RunTask{", `name:"web"`, `task_id:"web-0"`, `"serve\nforever"`, "DB_PASSWORD", "example.org/x.tar", "data:(7 bytes)"}},
		{"an executor with its secret", &wire.LaunchExecutor{
			Secret: []byte(secret), Environment: map[string]string{"MESOS_EXECUTOR_AUTHENTICATION_TOKEN": secret, "A": secret}, User: "ann",
		}, []string{"LaunchExecutor{", `user:"ann"`, "A=… MESOS_EXECUTOR_AUTHENTICATION_TOKEN=…"}},
		{"a secret of Mesos", &wire.RunTask{Task: &mesos.TaskInfo{Container: &mesos.ContainerInfo{Volumes: []*mesos.Volume{{
			Source: &mesos.Volume_Source{Secret: &mesos.Secret{Type: mesos.Secret_REFERENCE.Enum(), Reference: &mesos.Secret_Reference{Name: proto.String(secret)}}},
		}}}}}, []string{"secret:…"}},
		{"an endless text", &wire.Refused{Reason: strings.Repeat("a", 1<<20)}, []string{`Refused{reason:"aaa`, "…"}},
		{"a long list", &wire.SlaveRegistered{Master: &mesos.MasterInfo{Capabilities: make([]*mesos.MasterInfo_Capability, 50)}}, []string{"and 42 more"}},
	} {
		line := describeMessage(c.message)
		if strings.Contains(line, secret) || strings.ContainsAny(line, "\n\r") || len(line) > maxMessageLine+10 {
			t.Errorf("%s: %d bytes: %s", c.name, len(line), line)
		}
		for _, part := range c.shown {
			if !strings.Contains(line, part) {
				t.Errorf("%s: %q is not in\n%s", c.name, part, line)
			}
		}
	}
}
