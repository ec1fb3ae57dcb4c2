package remote

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
)

// crowdEnv makes the test binary a process with many nodes, each of which connects to the address in it.
const crowdEnv = "REMOTE_TEST_CROWD"

const (
	crowdProcesses = 2
	crowdNodes     = 500 // of each process
	// crowdBackoff is how long a node of the crowd waits at most before it connects again, in a test that lasts seconds.
	crowdBackoff = time.Second
)

// beCrowd is the life of that process: it ends with its stdin.
func beCrowd(address string) {
	for i := range crowdNodes {
		sys := actor.NewSystem(actor.SystemOptions{Node: fmt.Sprintf("crowd%d-%d", os.Getpid(), i)})
		if _, err := Start(Options{System: sys}); err != nil {
			panic(err)
		}
		sys.Spawn("member", func() actor.Actor { return &member{hub: actor.At(address, "hub")} })
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// member tells the hub that it is there, again each time the link to it has ended, after a pause that is different for each.
type member struct{ hub actor.PID }

func (m *member) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case actor.Started, bool:
		ctx.Link(m.hub)
		ctx.Send(m.hub, wrapperspb.Bool(true))
	case actor.Exited:
		ctx.After(rand.N(crowdBackoff), true)
	}
}

func TestAThousandNodesThatAreCutOffAtOnceAreBackWithinSeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("a load that the race detector makes too slow")
	}
	n := newNode(t, "hub", nodeOptions{address: "127.0.0.1:0"})
	var mu sync.Mutex
	present := make(map[string]int) // how often each has come
	n.Spawn("hub", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*wrapperspb.BoolValue); ok {
				mu.Lock()
				defer mu.Unlock()
				present[ctx.Sender().Node]++
			}
		})
	})
	for range crowdProcesses {
		startCrowd(t, n.address)
	}
	await := func(times int) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			mu.Lock()
			back := 0
			for _, count := range present {
				if count >= times {
					back++
				}
			}
			mu.Unlock()
			if back == crowdProcesses*crowdNodes {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d nodes have come %d times", back, crowdProcesses*crowdNodes, times)
			}
		}
	}
	await(1)
	start := time.Now()
	n.remote.mu.RLock()
	for _, s := range n.remote.sessions {
		_ = s.conn.Close()
	}
	n.remote.mu.RUnlock()
	await(2)
	t.Logf("%d nodes of %d processes were back after %v, of which up to %v is their back-off",
		crowdProcesses*crowdNodes, crowdProcesses, time.Since(start).Round(time.Millisecond), crowdBackoff)
	mu.Lock()
	defer mu.Unlock()
	for node, count := range present {
		if count != 2 {
			t.Errorf("%s came %d times, expected 2", node, count)
		}
	}
	if peers := len(n.remote.Peers()); peers != crowdProcesses*crowdNodes {
		t.Errorf("%d sessions, expected %d", peers, crowdProcesses*crowdNodes)
	}
	n.shutDown(t)
}

func startCrowd(t *testing.T, address string) {
	t.Helper()
	crowd := exec.Command(os.Args[0])
	crowd.Env = append(os.Environ(), crowdEnv+"="+address)
	crowd.Stderr = os.Stderr
	stdin, err := crowd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := crowd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = crowd.Process.Kill()
		_ = crowd.Wait()
	})
}
