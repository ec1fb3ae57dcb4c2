package slave

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"sync"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/core"
)

// secretBytes is the length of the secrets that a slave makes.
const secretBytes = 32

// Secrets are what hosts and executors prove themselves with to the slave that made them. The handshake of a
// connection asks Verify; the slave's actor asks proof who is on the other end of a session. Both may be called at the
// same time. The zero value knows no secrets.
type Secrets struct {
	mu     sync.Mutex
	issued map[core.Proof][]byte
	nodes  map[string]provenNode // that have proved themselves, by node id
}

// provenNode is one life of a node that brought a secret.
type provenNode struct {
	incarnation uint64
	proof       core.Proof
}

// Verify refuses hosts and executors that do not bring a secret of this slave, and whoever else has no business with a
// slave: it is the one who dials its master. It is meant for remote.Options.
func (s *Secrets) Verify(hello remote.Hello) error {
	switch {
	case hello.Role == wire.RoleHost || hello.Role == wire.RoleExecutor:
	case hello.Dialled || hello.Role == wire.RoleOperator:
		return nil
	default:
		return fmt.Errorf("%s %q: a slave is dialled by its host, its executors and operators", hello.Role, hello.Node)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	proof := s.find(hello.Role, hello.Credential)
	if proof == (core.Proof{}) {
		return fmt.Errorf("%s %q: it must bring the secret that this slave made for it", hello.Role, hello.Node)
	}
	// A node's name belongs to the first secret that came with it, so that an executor can't pass for its host.
	if known, ok := s.nodes[hello.Node]; ok && known.proof != proof {
		return fmt.Errorf("%s %q: another one has this name", hello.Role, hello.Node)
	}
	if s.nodes == nil {
		s.nodes = map[string]provenNode{}
	}
	s.nodes[hello.Node] = provenNode{hello.Incarnation, proof}
	return nil
}

// find compares with every secret of a role, so that the time it takes tells nothing.
func (s *Secrets) find(role actor.Role, credential []byte) core.Proof {
	var found core.Proof
	for proof, secret := range s.issued {
		if (proof.HostID != "") == (role == wire.RoleHost) && subtle.ConstantTimeCompare(secret, credential) == 1 {
			found = proof
		}
	}
	return found
}

// proof returns what the node of an actor has proved; nothing if it is another life of that node.
func (s *Secrets) proof(pid actor.PID) core.Proof {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nodes[pid.Node]; n.incarnation == pid.Incarnation {
		return n.proof
	}
	return core.Proof{}
}

// issue makes a secret.
func (s *Secrets) issue(proof core.Proof) []byte {
	secret := make([]byte, secretBytes)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issued == nil {
		s.issued = map[core.Proof][]byte{}
	}
	s.issued[proof] = secret
	return secret
}

// forget lets a secret prove nothing any more. Connections that it opened go on until they end.
func (s *Secrets) forget(proof core.Proof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.issued, proof)
	for id, n := range s.nodes {
		if n.proof == proof {
			delete(s.nodes, id)
		}
	}
}
