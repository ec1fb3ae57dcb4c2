package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// soak is how long the same is done again and again. The long one is asked for by STOA_SOAK=1 in the environment.
type soak struct {
	runs, instances int
	memory          float64 // by which the second half may make a process grow, as a part of its size
	descriptors     int     // by which it may
}

// soaks tells whether tests may take minutes.
func soaks() bool { return os.Getenv("STOA_SOAK") == "1" }

var (
	shortSoak = soak{runs: 20, instances: 10, memory: 0.25, descriptors: 5} // history is not full yet
	longSoak  = soak{runs: 100, instances: 20, memory: 0.10, descriptors: 5}
)

// idleMemory is what an idle daemon may have, in bytes.
const idleMemory = 60e6

func TestManyRunsInARowLeaveADaemonAsItWas(t *testing.T) {
	g := newGround(t)
	s := shortSoak
	if soaks() {
		s = longSoak
	}
	// A master lets so much garbage grow that what it keeps could not be seen.
	master := g.startBy(func(command *exec.Cmd) error {
		command.Env = append(command.Env, "GOGC=50")
		return command.Start()
	}, "master", "--port", "0")
	address := g.addressIn(master, "master is up")
	daemons := []*program{master}
	for i := range 2 {
		daemons = append(daemons, g.start("slave", "--master", address, "--port", "0", "--resources", "cpus:4;mem:2048",
			"--work_dir", filepath.Join(g.tmp, "soak", fmt.Sprint("slave", i))))
	}
	g.await("both slaves are there", func() bool { return g.countNodes(address) == 2 })

	half := func() map[string]usage {
		began := time.Now()
		for range s.runs / 2 {
			p := g.stoa("run", "--master", address, "--cpus", "0.1", "--mem", "32", "--instances", fmt.Sprint(s.instances), "--", "sh", "-c", "echo $RANDOM; exit 0")
			p.expect(0)
			if lines := strings.Count(p.out.String(), "\n"); lines != s.instances {
				t.Errorf("%d lines of output, want %d:\n%s", lines, s.instances, p.out.String())
			}
			if t.Failed() {
				t.FailNow()
			}
		}
		took := time.Since(began)
		t.Logf("%d runs of %d instances in %v: %v each, %.1f tasks a second", s.runs/2, s.instances, took.Round(time.Millisecond),
			(took / time.Duration(s.runs/2)).Round(time.Millisecond), float64(s.runs/2*s.instances)/took.Seconds())
		g.await("no task is left", func() bool { return len(g.tasks()) == 0 })
		return g.usage()
	}
	first := half()
	second := half()
	if len(second) != 5 {
		t.Errorf("measured were %v, want a master, two slaves and two hosts", second)
	}
	for process, after := range second {
		before, ok := first[process]
		if !ok {
			t.Errorf("%s is another one than in the first half", process)
			continue
		}
		grown := float64(after.memory)/float64(before.memory) - 1
		t.Logf("%-22s %5.1f MB then %5.1f MB (%+.1f %%), %d descriptors then %d", process, float64(before.memory)/1e6, float64(after.memory)/1e6, 100*grown, before.descriptors, after.descriptors)
		if after.memory > idleMemory {
			t.Errorf("%s has %.1f MB when idle, allowed are %.0f MB", process, float64(after.memory)/1e6, idleMemory/1e6)
		}
		if grown > s.memory {
			t.Errorf("%s grew by %.1f %%, allowed are %.0f %%", process, 100*grown, 100*s.memory)
		}
		if more := after.descriptors - before.descriptors; more > s.descriptors {
			t.Errorf("%s has %d descriptors more, allowed are %d", process, more, s.descriptors)
		}
	}
	if left := g.containerCgroups(); len(left) > 0 {
		t.Errorf("containers are left: %v", left)
	}
	for _, p := range daemons {
		p.signal(syscall.SIGTERM)
	}
	for _, p := range daemons {
		p.expect(0)
	}
}

// usage is what a process has of the machine.
type usage struct {
	memory      int64 // resident, in bytes
	descriptors int
}

// usage measures this test's daemons, by name and process id.
func (g *ground) usage() map[string]usage {
	g.t.Helper()
	all := map[string]usage{}
	for _, name := range []string{"master", "slave", "host"} {
		for _, p := range g.daemons(name) {
			var u usage
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
			if err != nil {
				g.t.Fatal(err)
			}
			for line := range strings.Lines(string(status)) {
				if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &u.memory); err == nil {
					u.memory *= 1024
				}
			}
			descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
			if err != nil {
				g.t.Fatal(err)
			}
			u.descriptors = len(descriptors)
			all[fmt.Sprintf("%s (%d)", name, p.pid)] = u
		}
	}
	return all
}
