package integration_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/identity"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// A task can reach the ports of its slave and its master. What it claims to be there is refused, unless it can prove it.
func TestATaskThatClaimsToBeSomebodyElseIsRefused(t *testing.T) {
	const (
		noSecret   = "it must bring the secret that this slave made for it"
		noBusiness = "dialled by"
		noProof    = "shows no certificate of one"
	)
	for _, secured := range []bool{false, true} {
		t.Run(map[bool]string{false: "in the clear", true: "over TLS"}[secured], func(t *testing.T) {
			g := newGround(t)
			t.Parallel()
			pki := filepath.Join(g.tmp, "pki")
			as := func(name string, args ...string) []string { return args }
			if secured {
				g.stoa("tls", "ca", "create", "--dir", pki).expect(0)
				for _, role := range []string{"master", "slave", "operator"} {
					g.stoa("tls", "cert", "create", "--dir", pki, "--role", role, "--name", role+"-1").expect(0)
				}
				as = func(name string, args ...string) []string {
					return append(args, "--tls-ca", filepath.Join(pki, "ca.pem"), "--tls-cert", filepath.Join(pki, name+".pem"), "--tls-key", filepath.Join(pki, name+"-key.pem"))
				}
			}
			master := g.start(as("master-1", "master", "--port", "0")...)
			masterAddress := g.addressIn(master, "master is up")
			slave := g.start(as("slave-1", "slave", "--master", masterAddress, "--port", "0", "--work_dir", filepath.Join(g.tmp, "slave"))...)
			slaveAddress := g.addressIn(slave, "slave is up")
			g.await("the slave has registered", func() bool {
				p := g.stoa(as("operator-1", "node", "list", "--master", masterAddress, "--json")...)
				return strings.Contains(p.out.String(), `"active": true`)
			})
			secret, err := filepath.Glob(filepath.Join(g.tmp, "slave", "meta", "hosts", "*", "secret"))
			if err != nil || len(secret) != 1 {
				t.Fatalf("the secrets of hosts are %v (%v), want one", secret, err)
			}
			if info, err := os.Stat(secret[0]); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the host's secret has mode %v (%v), want that only its owner reads it", info.Mode(), err)
			}
			of := func(path string) []byte {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return text
			}
			for _, c := range []struct {
				claim      actor.Role
				at         string // the registered name of whom it speaks to
				credential []byte
				says       proto.Message
				clear, tls string // why it is refused; "": in the clear nobody can tell
			}{
				{wire.RoleHost, "slave", nil, &wire.RegisterHost{HostId: "H1"}, noSecret, noSecret},
				{wire.RoleHost, "slave", []byte(strings.Repeat("x", 64)), &wire.RegisterHost{HostId: "H1"}, noSecret, noSecret},
				{wire.RoleExecutor, "slave", nil, &executorpb.Call{}, noSecret, noSecret},
				{wire.RoleExecutor, "slave", of(secret[0]), &executorpb.Call{}, noSecret, noSecret}, // it is a host's
				{wire.RoleSlave, "slave", nil, &wire.RegisterSlave{}, noBusiness, noProof},
				{wire.RoleMaster, "slave", nil, &wire.RunTask{}, noBusiness, noProof},
				{wire.RoleFramework, "slave", nil, &schedulerpb.Call{}, noBusiness, noProof},
				{wire.RoleOperator, "slave", nil, &masterpb.Call{}, "", noProof},
				{wire.RoleHost, "master", nil, &wire.RegisterHost{HostId: "H1"}, noBusiness, noProof},
				{wire.RoleExecutor, "master", nil, &executorpb.Call{}, noBusiness, noProof},
				{wire.RoleMaster, "master", nil, &wire.RunTask{}, noBusiness, noProof},
				{wire.RoleSlave, "master", nil, &wire.ReregisterSlave{Slave: &mesos.AgentInfo{}}, "", noProof},
				{wire.RoleFramework, "master", nil, &schedulerpb.Call{}, "", noProof},
				{wire.RoleOperator, "master", nil, &masterpb.Call{}, "", noProof},
			} {
				why, address, log := c.clear, slaveAddress, slave
				if secured {
					why = c.tls
				}
				if c.at == "master" {
					address, log = masterAddress, master
				}
				if why == "" {
					continue
				}
				err := claim(t, "", c.claim, address, c.at, c.credential, c.says, secured, pki)
				var exit *actor.ExitError
				if !errors.As(err, &exit) || exit.Reason != actor.Refused || !strings.Contains(err.Error(), why) {
					t.Errorf("who claims to be a %s at the %s got %v, want it refused: %s", c.claim, c.at, err, why)
				}
				g.await(fmt.Sprintf("the %s says that it refuses a %s", c.at, c.claim), func() bool { return log.saysOften("refused a peer", string(c.claim), why) > 0 })
			}
			before := g.stoa(as("operator-1", "node", "list", "--master", masterAddress, "--json")...).out.String()
			if !secured {
				g.passForASlave(master, masterAddress, before)
			}
			for _, p := range []*program{slave, master} {
				if own := of(filepath.Join(g.tmp, "slave", "meta", "secret")); p.saysOften(string(own)) > 0 || p.saysOften(hex.EncodeToString(own)) > 0 {
					t.Error("the slave's secret is in a log")
				}
			}
			if p := g.stoa(as("operator-1", "node", "list", "--master", masterAddress, "--json")...); !strings.Contains(p.out.String(), `"active": true`) || p.out.String() != before || master.saysOften("disconnected: ") > 0 {
				t.Errorf("after that the slaves are %s%s", p.out.String(), p.err.String())
			}
			for _, p := range []*program{slave, master} {
				p.end()
			}
		})
	}
}

// passForASlave claims to be the only slave of a master that speaks without TLS: by its id, at its place, and by its node's id.
func (g *ground) passForASlave(master *program, address, list string) {
	t := g.t
	t.Helper()
	var nodes []struct {
		ID       string `json:"id"`
		Hostname string `json:"hostname"`
		Port     int32  `json:"port"`
	}
	if err := json.Unmarshal([]byte(list), &nodes); err != nil || len(nodes) != 1 || nodes[0].ID == "" {
		t.Fatalf("the slaves are %s (%v), want one with its id", list, err)
	}
	own := func(id string) *mesos.AgentInfo {
		info := &mesos.AgentInfo{Hostname: proto.String(nodes[0].Hostname), Port: proto.Int32(nodes[0].Port)}
		if id != "" {
			info.Id = mesos.NewAgentID(id)
		}
		return info
	}
	elsewhere := own(nodes[0].ID)
	elsewhere.Port = proto.Int32(1)
	const noSecret, taken = "does not bring the secret with which that slave registered", "is connected at"
	wrong := bytes.Repeat([]byte{1}, 32)
	for name, c := range map[string]struct {
		says proto.Message
		why  string
	}{
		"with its id":                      {&wire.ReregisterSlave{Slave: own(nodes[0].ID)}, noSecret},
		"with its id and another secret":   {&wire.ReregisterSlave{Slave: own(nodes[0].ID), Secret: wrong}, noSecret},
		"with its id from elsewhere":       {&wire.ReregisterSlave{Slave: elsewhere, Secret: wrong}, noSecret},
		"at its place":                     {&wire.RegisterSlave{Slave: own("")}, taken},
		"at its place with another secret": {&wire.RegisterSlave{Slave: own(""), Secret: wrong}, taken},
		"at its place with an id":          {&wire.ReregisterSlave{Slave: own("X-S1"), Secret: wrong}, taken},
	} {
		system := actor.NewSystem(actor.SystemOptions{Role: wire.RoleSlave})
		node, err := remote.Start(remote.Options{System: system})
		if err != nil {
			t.Fatal(err)
		}
		probe := actortest.NewProbe(t, system)
		probe.Send(actor.At(address, "master"), c.says)
		from := g.refused(probe, name, c.why)
		for session := range 3 { // one of them is the slave's
			from.Name = fmt.Sprintf("master/session-%d", session+1)
			probe.Send(from, &wire.UnregisterSlave{SlaveId: mesos.NewAgentID(nodes[0].ID)})
		}
		g.await("the master says that it refuses who comes "+name, func() bool { return master.saysOften("refused ", c.why) > 0 })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = system.Shutdown(ctx)
		_ = node.Close(ctx)
		cancel()
	}
	g.await("the master drops what is sent to the slave's session", func() bool { return master.saysOften("dropped *wire.UnregisterSlave") > 0 })
	id := g.nodeOf(address, wire.RoleSlave)
	const connected = "is the id of a slave that is connected"
	if err := claim(t, id, wire.RoleSlave, address, "master", nil, &wire.RegisterSlave{}, false, ""); err == nil || !strings.Contains(err.Error(), connected) {
		t.Errorf("who claims to be node %s got %v, want it refused: %s", id, err, connected)
	}
}

// refused awaits the refusal of a probe, and gives who sent it.
func (g *ground) refused(probe *actortest.Probe, name, why string) actor.PID {
	t := g.t
	t.Helper()
	for {
		got := probe.Next(t)
		if m, ok := got.Message.(*wire.Refused); ok {
			if !strings.Contains(m.GetReason(), why) {
				t.Errorf("who comes %s hears %q, want it refused: %s", name, m.GetReason(), why)
			}
			return got.From
		}
	}
}

// nodeOf asks a daemon for the id of its peer of a role.
func (g *ground) nodeOf(address string, role actor.Role) string {
	t := g.t
	t.Helper()
	system := actor.NewSystem(actor.SystemOptions{Role: wire.RoleOperator})
	node, err := remote.Start(remote.Options{System: system})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	defer func() {
		_ = system.Shutdown(ctx)
		_ = node.Close(ctx)
	}()
	answer, err := system.Ask(ctx, actor.At(address, wire.PeersName), &wire.ListPeers{})
	if err != nil {
		t.Fatal(err)
	}
	for _, peer := range answer.(*wire.Peers).GetPeers() {
		if peer.GetRole() == string(role) {
			return peer.GetNode()
		}
	}
	t.Fatalf("no %s is connected at %s", role, address)
	return ""
}

// claim connects as somebody, without a certificate, asks, and gives the error. An empty id of its node is one of its own.
func claim(t testing.TB, id string, role actor.Role, address, name string, credential []byte, message proto.Message, secured bool, pki string) error {
	t.Helper()
	system := actor.NewSystem(actor.SystemOptions{Node: id, Role: role})
	options := remote.Options{System: system, Credential: func(string) []byte { return credential }}
	if secured {
		files, err := identity.Open(filepath.Join(pki, "ca.pem"), identity.Pair{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		options.TLS = &remote.TLS{Config: files.Config, Roles: identity.Roles}
	}
	node, err := remote.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = system.Shutdown(ctx)
		_ = node.Close(ctx)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = system.Ask(ctx, actor.At(address, name), message)
	return err
}
