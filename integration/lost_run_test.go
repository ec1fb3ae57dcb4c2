package integration_test

import (
	"syscall"
	"testing"
)

// A task that stoa run has started is not run a second time, whatever dies: what became of it is said instead.
func TestARunTellsWhatBecameOfItsTask(t *testing.T) {
	for name, story := range map[string]struct {
		victim func(g *ground) []runningProcess
		code   int
		says   string
	}{
		"its slave dies":   {func(g *ground) []runningProcess { return g.daemons("slave") }, 125, `slave \S+ .*disconnected`},
		"its host dies":    {func(g *ground) []runningProcess { return g.daemons("host") }, 125, "the host process ended"},
		"its process dies": {func(g *ground) []runningProcess { return g.tasksNamed("sleep") }, 137, "SIGKILL"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			t.Parallel()
			c := g.local("--slaves", "1")
			run := g.start("run", "--master", c.master, "--", "sleep", "1000")
			g.await("its task runs", func() bool { return len(g.tasksNamed("sleep")) == 1 })
			for _, p := range story.victim(g) {
				g.kill(p)
			}
			run.expect(story.code, story.says)
			g.await("nothing of the task is left", func() bool { return len(g.tasks()) == 0 })
			// What died is there again, and takes tasks.
			c.on("run", "--", "true").expect(0)
			c.interrupt()
		})
	}
}

func TestARunOutlivesTheMaster(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "2")
	run := g.start("run", "--master", c.master, "--instances", "2", "--cpus", "0.5", "--", "sh", "-c", "echo begin; sleep 3; echo end")
	g.await("its tasks run", func() bool { return len(g.tasksNamed("sleep")) == 2 })
	for _, p := range g.daemons("master") {
		g.kill(p)
	}
	run.expect(0, "lost the master at "+c.master, "the master is back")
	lines := map[string]int{}
	for _, line := range splitLines(run.out.String()) {
		lines[line]++
	}
	for _, want := range []string{"[0] begin", "[0] end", "[1] begin", "[1] end"} {
		if lines[want] != 1 {
			t.Errorf("it wrote %q, want each line once", run.out.String())
		}
	}
	c.interrupt()
}

func TestARunWhoseMasterStaysAwayGivesUp(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1")
	run := g.start("run", "--master", c.master, "--reconnect_timeout", "1s", "--", "sleep", "1000")
	g.await("its task runs", func() bool { return len(g.tasksNamed("sleep")) == 1 })
	c.signal(syscall.SIGSTOP) // else it starts another master
	for _, p := range g.daemons("master") {
		g.kill(p)
	}
	run.expect(125, "lost the master at "+c.master)
	c.signal(syscall.SIGCONT)
	c.interrupt()
}

func TestAPausedSlaveIsMissedAndWelcomeAgain(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "2")
	victim := g.daemons("slave")[0]
	if err := syscall.Kill(victim.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	g.await("it is missed", func() bool { return g.countNodes(c.master) == 1 })
	if err := syscall.Kill(victim.pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	g.await("it is back", func() bool { return g.countNodes(c.master) == 2 })
	c.on("run", "--instances", "4", "--cpus", "0.5", "--", "true").expect(0)
	c.interrupt()
}
