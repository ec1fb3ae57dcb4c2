package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCtrlCEndsALocalClusterWithAllThatRunsOnIt(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "2", "--resources", "cpus:4;mem:1024")
	// One that goes when asked, one that does not, and one whose children have run away from it.
	obedient := g.start("run", "--master", c.master, "--cpus", "0.1", "--", "sleep", "1000")
	stubborn := g.start("run", "--master", c.master, "--cpus", "0.1", "--", "sh", "-c", "trap '' TERM INT; while :; do sleep 1; done")
	runaway := g.start("run", "--master", c.master, "--cpus", "0.1", "--", "sh", "-c", "setsid sh -c 'trap \"\" TERM; sleep 1001' & setsid sleep 1002; wait")
	g.await("all of it runs", func() bool { return len(g.tasksNamed("sleep")) >= 4 })
	began := time.Now()
	c.interrupt()
	took := time.Since(began)
	t.Logf("it took %v", took)
	if took > cleanWithin {
		t.Errorf("Ctrl-C took %v, want at most %v", took, cleanWithin)
	}
	for _, p := range g.tasks() {
		t.Errorf("of a task %v is left", p)
	}
	for _, run := range []*program{obedient, stubborn, runaway} {
		run.end() // some look for their master in vain
	}
	g.expectClean()
}

func TestCtrlCEndsADemoInTheMiddle(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	demo := g.start("demo", "--port", "0", "--output", filepath.Join(t.TempDir(), "out"))
	g.await("maps run", func() bool { return len(g.tasks()) > 0 || !demo.running() })
	demo.signal(syscall.SIGINT)
	began := time.Now()
	code := demo.wait()
	if took := time.Since(began); code == 0 || took > cleanWithin {
		t.Errorf("it ended with %d after %v, want a failure within %v", code, took, cleanWithin)
	}
	g.expectClean()
}

func TestCtrlCEndsARunWithItsTask(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--resources", "cpus:4;mem:1024")
	run := g.start("run", "--master", c.master, "--", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo here; sleep 1000 & wait")
	g.await("it runs", func() bool { return strings.Contains(run.out.String(), "here\n") })
	run.signal(syscall.SIGINT)
	run.expect(130)
	if got := run.out.String(); got != "here\nbye\n" {
		t.Errorf("it wrote %q, want what the task said when it was asked to end, too", got)
	}
	g.await("its task has ended", func() bool { return len(g.tasks()) == 0 })
	c.interrupt()
}

func TestTwoDemosRunSideBySide(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	in := nastyTree(t)
	want, err := countWords(in, countSlowly)
	if err != nil {
		t.Fatal(err)
	}
	var demos []*program
	var outs []string
	for i := range 2 {
		outs = append(outs, filepath.Join(t.TempDir(), fmt.Sprint("out", i)))
		demos = append(demos, g.start("demo", "--input", in, "--output", outs[i])) // both on the usual port, if they can
	}
	for i, demo := range demos {
		demo.expect(0)
		expectSameWords(t, readParts(t, outs[i]), want)
	}
}

func TestWhatACommandWritesArrivesToTheByte(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--resources", "cpus:4;mem:1024")
	// The stoa program itself is at hand on both sides, and has all bytes in it.
	program, err := os.ReadFile(stoaProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	const ofOut, ofErr = 20_000_000, 5_000_000
	p := c.on("run", "--", "sh", "-c", fmt.Sprintf(`head -c %d "$STOA_BINARY" & tail -c %d "$STOA_BINARY" >&2; wait`, ofOut, ofErr))
	p.expect(0)
	if got, want := p.out.String(), string(program[:ofOut]); got != want {
		t.Errorf("stdout has %d bytes, want %d, and the same", len(got), len(want))
	}
	if got, want := p.err.String(), string(program[len(program)-ofErr:]); got != want {
		t.Errorf("stderr has %d bytes, want %d, and the same", len(got), len(want))
	}
	c.interrupt()
}
