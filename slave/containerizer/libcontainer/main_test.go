//go:build linux && cgo

package libcontainer

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
)

// The main thread runs no goroutine that enters a container's namespaces: see cmd/stoa.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if os.Getenv(hostVariable) != "" {
		beHost() // never returns
	}
	if what := os.Getenv(hostileVariable); what != "" {
		beHostile(what) // never returns
	}
	if os.Geteuid() == 0 {
		if err := Seal(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// open makes a containerizer that the test must close.
func open(t testing.TB, w *containertest.Watch, host string) *Containerizer {
	t.Helper()
	containers, err := New(Options{
		StateDir: w.State, HostID: host, CgroupParent: w.Cgroup + "/" + host, WorkDir: w.Work,
	})
	if err != nil {
		t.Fatal(err)
	}
	return containers.(*Containerizer)
}

func TestContainersKeepTheContract(t *testing.T) {
	containertest.Root(t)
	containertest.Conform(t, func(t testing.TB, w *containertest.Watch) containerizer.Containerizer {
		return open(t, w, "host")
	})
}
