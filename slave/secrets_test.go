package slave

import (
	"bytes"
	"testing"

	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/core"
)

// Who comes without a secret, with a part of one, with one of another kind or with one that is over is nobody. That secrets are
// compared in constant time a test of the sources shows.
func TestCVE_2018_8023_OnlyALivingSecretOfTheRightKindIsOne(t *testing.T) {
	s := &Secrets{}
	host := s.issue(core.Proof{HostID: "h1"})
	executor := s.issue(core.Proof{ContainerID: "c1"})
	ended := s.issue(core.Proof{ContainerID: "c2"})
	s.forget(core.Proof{ContainerID: "c2"})
	flipped := bytes.Clone(executor)
	flipped[len(flipped)-1] ^= 1
	for name, hello := range map[string]remote.Hello{
		"nothing":                 {Role: wire.RoleExecutor},
		"a part":                  {Role: wire.RoleExecutor, Credential: executor[:len(executor)-1]},
		"more than all":           {Role: wire.RoleExecutor, Credential: append(bytes.Clone(executor), 0)},
		"one bit else":            {Role: wire.RoleExecutor, Credential: flipped},
		"zeros":                   {Role: wire.RoleExecutor, Credential: make([]byte, len(executor))},
		"a host's":                {Role: wire.RoleExecutor, Credential: host},
		"an executor's as a host": {Role: wire.RoleHost, Credential: executor},
		"one that is over":        {Role: wire.RoleExecutor, Credential: ended},
		"a framework":             {Role: wire.RoleFramework, Credential: executor},
	} {
		if hello.Node = name; s.Verify(hello) == nil {
			t.Errorf("%s: let in", name)
		}
	}
	for name, hello := range map[string]remote.Hello{
		"host": {Role: wire.RoleHost, Credential: host}, "executor": {Role: wire.RoleExecutor, Credential: executor},
	} {
		if hello.Node = name; s.Verify(hello) != nil {
			t.Errorf("%s: not let in", name)
		}
	}
}
