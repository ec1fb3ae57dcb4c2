package executor

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/identity"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// An executor has no certificate. It knows its slave by the authority in its environment, and tells its secret to nobody else.
func TestAnExecutorTellsItsSecretToTheSlaveItKnowsAndToNobodyElse(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	for _, c := range []struct {
		name      string
		authority string // of the slave's certificate
		told      bool
	}{
		{"its slave", ours, true},
		{"an impostor", theirs, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair := identity.PairIn(c.authority, identity.AuthorityName)
			for _, dir := range []string{ours, theirs} {
				if _, err := identity.CreateAuthority(dir, "test"); err != nil && !errors.Is(err, os.ErrExist) {
					t.Fatal(err)
				}
			}
			authority, err := identity.OpenAuthority(pair)
			if err != nil {
				t.Fatal(err)
			}
			own, err := authority.Create(t.TempDir(), identity.Node{Name: "slave", Roles: []actor.Role{wire.RoleSlave}, Serves: true}, false)
			if err != nil {
				t.Fatal(err)
			}
			files, err := identity.Open(pair.Cert, own, nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // time enough for several attempts
			defer cancel()
			heard := make(chan remote.Hello, 10)
			address := secureSlave(t, &remote.TLS{Config: files.Config, Roles: identity.Roles, Exempt: []actor.Role{wire.RoleExecutor}}, func(h remote.Hello) error {
				heard <- h
				cancel()
				return errors.New("that is all this test wants to know")
			})
			known, err := os.ReadFile(filepath.Join(ours, "ca.pem"))
			if err != nil {
				t.Fatal(err)
			}
			secret := []byte("0123456789abcdef")
			env := map[string]string{
				"MESOS_FRAMEWORK_ID": "f", "MESOS_EXECUTOR_ID": "e", "MESOS_AGENT_ENDPOINT": address,
				"MESOS_AGENT_AUTHORITY": string(known), "MESOS_EXECUTOR_AUTHENTICATION_TOKEN": hex.EncodeToString(secret),
			}
			if err := Run(ctx, Options{Environment: func(name string) string { return env[name] }}, silent{}); err == nil && ctx.Err() == nil {
				t.Error("the executor was accepted")
			}
			select {
			case h := <-heard:
				if !c.told || h.Role != wire.RoleExecutor || string(h.Credential) != string(secret) || h.Certificate != nil {
					t.Errorf("the slave was told %+v", h)
				}
			default:
				if c.told {
					t.Error("the slave was told nothing")
				}
			}
		})
	}
}

func TestAnAuthorityThatCanNotBeReadIsNamed(t *testing.T) {
	env := map[string]string{"MESOS_FRAMEWORK_ID": "f", "MESOS_EXECUTOR_ID": "e", "MESOS_AGENT_ENDPOINT": "127.0.0.1:1", "MESOS_AGENT_AUTHORITY": "garbage"}
	err := Run(t.Context(), Options{Environment: func(name string) string { return env[name] }}, silent{})
	if err == nil || !strings.Contains(err.Error(), "MESOS_AGENT_AUTHORITY: it has no CERTIFICATE in PEM") {
		t.Errorf("got %v", err)
	}
}

// secureSlave is a node that listens, and gives its address.
func secureSlave(t *testing.T, security *remote.TLS, verify func(remote.Hello) error) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sys := actor.NewSystem(actor.SystemOptions{Role: wire.RoleSlave})
	r, err := remote.Start(remote.Options{System: sys, TLS: security, Verify: verify, Advertise: listener.Addr().String(), HandshakeTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = r.Serve(listener) }()
	t.Cleanup(func() {
		_ = sys.Shutdown(t.Context())
		_ = r.Close(t.Context())
		<-served
	})
	return listener.Addr().String()
}

// silent is an executor that does nothing.
type silent struct{ Base }

func (silent) Launch(*Driver, *mesos.TaskInfo) {}
