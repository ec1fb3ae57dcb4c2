package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop"
)

// kill ends a process by force. That it has gone by itself is no error.
func (g *ground) kill(p runningProcess) {
	g.t.Helper()
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		g.t.Fatalf("kill %v: %v", p, err)
	}
}

// Whatever is killed in the middle of the demo's job, the demo finishes with the right result, and nothing is left.
func TestTheDemoSurvivesTheDeathOf(t *testing.T) {
	for name, victims := range map[string]func(g *ground) []runningProcess{
		"a slave":     func(g *ground) []runningProcess { return first(g.daemons("slave")) },
		"a host":      func(g *ground) []runningProcess { return first(g.daemons("host")) },
		"a task":      func(g *ground) []runningProcess { return first(g.tasks()) },
		"an executor": func(g *ground) []runningProcess { return first(g.daemons(hadoop.ExecutorSubcommand)) },
		"the master":  func(g *ground) []runningProcess { return first(g.daemons("master")) },
		"every slave": func(g *ground) []runningProcess { return g.daemons("slave") },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			lib := library(t)
			out := filepath.Join(t.TempDir(), "out")
			demo := g.start("demo", "--port", "0", "--output", out)
			var doomed []runningProcess
			g.await("maps run", func() bool {
				if len(g.tasks()) == 0 {
					return !demo.running()
				}
				doomed = victims(g)
				return len(doomed) > 0
			})
			if len(doomed) == 0 {
				t.Error("there is nobody to be killed")
			}
			for _, p := range doomed {
				g.kill(p)
			}
			if strings.Contains(demo.err.String(), "reduce ") {
				t.Error("the job was nearly over when the blow fell: this test proves nothing")
			}
			demo.expect(0)
			expectSameWords(t, readParts(t, out), lib.counts)
			g.expectClean()
		})
	}
}

// first is the first of them, or none.
func first(list []runningProcess) []runningProcess { return list[:min(1, len(list))] }

// The children of a demo that is killed clean up after themselves: folders, containers and empty cgroups, too.
func TestAKilledDemoLeavesNothing(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	demo := g.start("demo", "--port", "0", "--output", filepath.Join(t.TempDir(), "out"))
	g.await("maps run", func() bool { return len(g.tasks()) > 0 || !demo.running() })
	demo.signal(syscall.SIGKILL)
	if code := demo.wait(); code != -1 {
		t.Errorf("the demo ended with %d before it was killed: this test proves nothing", code)
	}
	g.expectClean()
}

// What dies together with its cleaner is left to the next start, which never touches what a living cluster owns.
func TestADeadClustersRemainsAreSweptByTheNextStartAndALivingOnesAreNot(t *testing.T) {
	needsRoot(t)
	g := newGround(t)
	t.Parallel()
	living := g.local("--slaves", "1")
	sleeper := g.start("run", "--master", living.master, "--name", "living", "--cpus", "0.1", "--", "sleep", "1000")
	g.await("a task of the living cluster runs", func() bool { return len(g.tasks()) > 0 })
	alive := g.processes()

	dead := g.local("--slaves", "1")
	victims := g.start("run", "--master", dead.master, "--name", "dead", "--cpus", "0.1", "--", "sleep", "1000")
	own := func() []runningProcess {
		var list []runningProcess
		for _, p := range g.processes() {
			if !contains(alive, p) {
				list = append(list, p)
			}
		}
		return list
	}
	g.await("a task of the other runs", func() bool { return len(g.tasks()) > tasksAmong(g, alive) })
	// First all are stopped, so that nobody can clean up after another.
	for _, p := range own() {
		_ = syscall.Kill(p.pid, syscall.SIGSTOP)
	}
	for _, p := range own() {
		g.kill(p)
	}
	victims.wait()
	dead.wait()
	g.await("all of the dead cluster has ended", func() bool { return len(own()) == 0 && g.lockedFolders() == 1 })
	remains := g.folders()
	if len(remains) != 2 {
		t.Errorf("there are the folders %v, want one of a living and one of a dead cluster", remains)
	}

	next := g.local("--slaves", "1")
	if got := g.folders(); len(got) != 2 {
		t.Errorf("after the next start there are the folders %v, want one of each living cluster", got)
	}
	for _, p := range alive {
		if err := syscall.Kill(p.pid, 0); err != nil {
			t.Errorf("of the living cluster %v is gone", p)
		}
	}
	next.interrupt()
	if !sleeper.running() {
		t.Errorf("the living cluster's task has ended: %s", sleeper.err.String())
	}
	sleeper.signal(syscall.SIGINT)
	sleeper.expect(130)
	living.interrupt()
	g.expectClean()
}

func (g *ground) folders() []string {
	g.t.Helper()
	found, err := filepath.Glob(filepath.Join(g.tmp, "stoa-*"))
	if err != nil {
		g.t.Fatal(err)
	}
	return found
}

// lockedFolders counts the clusters' folders that a process holds: one that is killed does so for a moment longer than it
// is seen.
func (g *ground) lockedFolders() int {
	g.t.Helper()
	locked := 0
	for _, folder := range g.folders() {
		lock, err := os.Open(filepath.Join(folder, "lock"))
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			locked++
		}
		lock.Close()
	}
	return locked
}

func contains(list []runningProcess, p runningProcess) bool {
	for _, q := range list {
		if q.pid == p.pid {
			return true
		}
	}
	return false
}

// tasksAmong counts the tasks in a list.
func tasksAmong(g *ground, list []runningProcess) int {
	n := 0
	for _, p := range g.tasks() {
		if contains(list, p) {
			n++
		}
	}
	return n
}

// Daemons started by hand are nobody's children: what is killed stays dead until somebody starts it.
func TestDaemonsStartedByHand(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	work := filepath.Join(g.tmp, "by-hand")
	master := g.start("master", "--port", "0")
	address := g.addressIn(master, "master is up")
	slave := func(name string) *program {
		return g.start("slave", "--master", address, "--port", "0", "--work_dir", filepath.Join(work, name), "--resources", "cpus:2;mem:512", "--hostname", name)
	}
	s1, s2 := slave("s1"), slave("s2")
	g.await("both slaves are there", func() bool { return g.countNodes(address) == 2 })

	// A second slave has no business in the work_dir of the first, nor at its address.
	g.stoa("slave", "--master", address, "--port", "0", "--work_dir", filepath.Join(work, "s1")).expect(1, filepath.Join(work, "s1"), "in use")
	host, port, _ := strings.Cut(address, ":")
	g.stoa("master", "--ip", host, "--port", port).expect(1, address, "in use", "--port")

	run := g.start("run", "--master", address, "--instances", "4", "--", "sleep", "1000")
	g.await("four tasks run", func() bool { return len(g.tasksNamed("sleep")) == 4 })
	s1.signal(syscall.SIGKILL)
	s1.wait()
	g.await("the dead slave's tasks have ended", func() bool { return len(g.tasksNamed("sleep")) == 2 })
	run.signal(syscall.SIGINT)
	run.expect(130)
	s1 = slave("s1")
	g.await("both slaves are there again", func() bool { return g.countNodes(address) == 2 })
	g.stoa("run", "--master", address, "--instances", "4", "--", "true").expect(0)

	for _, p := range []*program{s1, s2, master} {
		p.signal(syscall.SIGTERM)
		p.expect(0)
	}
}
