package slave

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/core"
)

// talk is a session between two probes: one is the peer, the other is the slave.
type talk struct {
	slave, peer *actortest.Probe
	session     actor.PID
	system      *actor.System
}

func newTalk(t *testing.T) talk {
	system := actor.NewSystem(actor.SystemOptions{Role: wire.RoleMaster})
	t.Cleanup(func() { _ = system.Shutdown(context.Background()) })
	tk := talk{slave: actortest.Named(t, system, Name), peer: actortest.NewProbe(t, system), system: system}
	tk.session = system.Spawn("session", func() actor.Actor {
		return &session{number: 7, slave: tk.slave.PID(), peer: tk.peer.PID()}
	})
	return tk
}

func message(data byte) *wire.FrameworkMessage { return &wire.FrameworkMessage{Data: []byte{data}} }

func TestASessionPassesOnNoMoreThanTheSlaveTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tk := newTalk(t)
		for i := range SessionWindow + 10 {
			tk.peer.Send(tk.session, message(byte(i)))
		}
		for i := range SessionWindow {
			if m := actortest.Await[heard](t, tk.slave); m.session != 7 || !proto.Equal(m.message, message(byte(i))) {
				t.Fatalf("message %d is %v", i, m)
			}
		}
		synctest.Wait()
		tk.slave.ExpectNone(t)

		// The peer dies. What it said before is heard before that.
		tk.system.Stop(tk.peer.PID())
		synctest.Wait()
		tk.slave.ExpectNone(t)
		tk.slave.Send(tk.session, credit(4))
		tk.slave.Send(tk.session, credit(100))
		for i := SessionWindow; i < SessionWindow+10; i++ {
			if m := actortest.Await[heard](t, tk.slave); !proto.Equal(m.message, message(byte(i))) {
				t.Fatalf("message %d is %v", i, m)
			}
		}
		if m := actortest.Await[over](t, tk.slave); m.session != 7 || m.reason != "stopped" {
			t.Errorf("got %+v", m)
		}
	})
}

func TestAPeerThatSaysTooMuchLosesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tk := newTalk(t)
		tk.peer.Link(tk.session)
		tk.peer.Do(func(ctx actor.Context) {
			for range SessionWindow + SessionBacklog + 1 {
				ctx.Send(tk.session, message(1))
			}
		})
		actortest.Await[over](t, tk.slave)
		tk.slave.Send(tk.session, hangUp{})
		actortest.Await[actor.Exited](t, tk.peer)
	})
}

func TestASessionHearsItsPeerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tk := newTalk(t)
		stranger := actortest.NewProbe(t, tk.system)
		stranger.Send(tk.session, message(1))
		synctest.Wait()
		tk.slave.ExpectNone(t)
		// What is to be said is said before the end.
		tk.peer.Link(tk.session)
		tk.slave.Send(tk.session, say{message(2)})
		tk.slave.Send(tk.session, hangUp{})
		tk.peer.Expect(t, message(2))
		actortest.Await[actor.Exited](t, tk.peer)
	})
}

func TestWhatASecretProves(t *testing.T) {
	var s Secrets
	host, container := core.Proof{HostID: "H"}, core.Proof{ContainerID: "C"}
	hostSecret, containerSecret := s.issue(host), s.issue(container)
	hello := func(node string, incarnation uint64, role actor.Role, secret []byte) error {
		return s.Verify(remote.Hello{Node: node, Incarnation: incarnation, Role: role, Credential: secret})
	}
	dialled := func(role actor.Role) error {
		return s.Verify(remote.Hello{Node: "m", Incarnation: 1, Role: role, Dialled: true})
	}
	tests := []struct {
		name  string
		err   error
		fails bool
	}{
		{"a host with its secret", hello("h", 1, wire.RoleHost, hostSecret), false},
		{"an executor with its secret", hello("e", 1, wire.RoleExecutor, containerSecret), false},
		{"a master that was dialled needs none", dialled(wire.RoleMaster), false},
		{"a host that was dialled needs one", dialled(wire.RoleHost), true},
		{"an operator needs none", hello("o", 1, wire.RoleOperator, nil), false},
		{"a master that dials", hello("m", 1, wire.RoleMaster, nil), true},
		{"a slave that dials", hello("s", 1, wire.RoleSlave, nil), true},
		{"a framework that dials", hello("f", 1, wire.RoleFramework, nil), true},
		{"a role that nobody knows", hello("x", 1, "king", nil), true},
		{"a host without a secret", hello("h2", 1, wire.RoleHost, nil), true},
		{"a host with an executor's secret", hello("h2", 1, wire.RoleHost, containerSecret), true},
		{"an executor with a host's secret", hello("e2", 1, wire.RoleExecutor, hostSecret), true},
		{"an executor with a host's name", hello("h", 2, wire.RoleExecutor, containerSecret), true},
	}
	for _, test := range tests {
		if (test.err != nil) != test.fails {
			t.Errorf("%s: %v", test.name, test.err)
		}
	}
	pid := func(node string, incarnation uint64) actor.PID {
		return actor.PID{Node: node, Incarnation: incarnation, Name: "x"}
	}
	for at, want := range map[actor.PID]core.Proof{
		pid("h", 1): host, pid("e", 1): container, pid("h", 2): {}, pid("m", 1): {}, pid("", 0): {},
	} {
		if got := s.proof(at); got != want {
			t.Errorf("%v proved %v, want %v", at, got, want)
		}
	}
	s.forget(container)
	if err := hello("e", 1, wire.RoleExecutor, containerSecret); err == nil {
		t.Error("a forgotten secret still proves something")
	}
	if got := s.proof(pid("e", 1)); got != (core.Proof{}) {
		t.Errorf("after its executor's end a node proves %v", got)
	}
}
