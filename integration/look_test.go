package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What people see of tasks and slaves while something runs, and of what is left then.
func TestWhatRunsAndWhatIsLeftIsShown(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--isolation", "process", "--resources", "cpus:4;mem:1024")
	run := g.start("run", "--master", c.master, "--name", "holder", "--", "sh", "-c", "head -c 3m /dev/zero > big; exec 3> gone; rm gone; head -c 2m /dev/zero >&3; echo ready; exec sleep 1000")
	g.await("the task runs", func() bool { return strings.Contains(run.out.String(), "ready\n") })

	var usage []struct {
		ID        string
		Sandboxes []struct {
			ExecutorID string `json:"executor_id"`
			Bytes      int64
			Unlinked   int64 `json:"unlinked_bytes"`
			Running    bool
		}
	}
	du := c.on("node", "du", "--json")
	du.expect(0)
	if err := json.Unmarshal([]byte(du.out.String()), &usage); err != nil || len(usage) != 1 || len(usage[0].Sandboxes) != 1 {
		t.Fatalf("node du said %s: %v", du.out.String(), err)
	}
	if s := usage[0].Sandboxes[0]; s.ExecutorID != "holder-0" || !s.Running || s.Bytes < 5<<20 || s.Bytes > 6<<20 || s.Unlinked < 2<<20 || s.Unlinked > 3<<20 {
		t.Errorf("node du shows %+v, want holder-0 with 5 MiB, 2 of which have no name any more", s)
	}
	c.on("node", "du", "nobody").expect(1, `"nobody"`)

	watch := g.start("task", "stats", "-w", "--master", c.master, "holder-0")
	g.await("the statistics are shown again and again", func() bool { return strings.Count(watch.out.String(), "holder-0 ") >= 3 })
	watch.signal(syscall.SIGINT)
	watch.wait()
	lines := strings.Split(strings.TrimSpace(watch.out.String()), "\n")
	processes := strings.Index(lines[0], "PROCESSES")
	for _, line := range lines[1:] {
		if len(line) <= processes || line[processes] == ' ' || line[processes-1] != ' ' {
			t.Errorf("not in the columns of its header:\n%s\n%s", lines[0], line)
		}
	}
	c.on("task", "stats", "nobody").expect(1, `"nobody"`)

	if status, _, err := c.beside(nil, nil, "holder-0", "sh", "-c", "mkdir in; echo 1 > in/one; echo 2 > 'in/an other'"); status != 0 {
		t.Fatal(err)
	}
	for file, bytes := range map[string]string{"big": "3145728", "/in/an other": "2", "in/../in/one": "2"} {
		p := c.on("task", "ls", "holder-0", file)
		p.expect(0)
		if want := `^MODE .*\n-rw\S+ .* ` + bytes + ` .* ` + filepath.Base(file) + `\n$`; !regexp.MustCompile(want).MatchString(p.out.String()) {
			t.Errorf("ls of %q shows %q, want what matches %q", file, p.out.String(), want)
		}
	}

	// The ids of tasks that run, and of slaves, are completed where they are wanted.
	for _, command := range [][]string{{"task", "logs"}, {"task", "exec"}, {"task", "attach"}, {"task", "stats"}, {"task", "ls"}, {"task", "cat"}, {"task", "download"}, {"task", "kill"}} {
		g.expectCompleted(t, c, command, "ho", "holder-0")
	}
	for _, command := range [][]string{{"node", "stats"}, {"node", "du"}, {"node", "gc"}, {"node", "show"}, {"node", "drain"}} {
		g.expectCompleted(t, c, command, "", usage[0].ID)
	}

	plan := func() []collected {
		var plans []struct{ Sandboxes []collected }
		p := c.on("node", "gc", "--dry-run", "--json")
		p.expect(0)
		if err := json.Unmarshal([]byte(p.out.String()), &plans); err != nil || len(plans) != 1 {
			t.Fatalf("node gc said %s: %v", p.out.String(), err)
		}
		return plans[0].Sandboxes
	}
	if got := plan(); len(got) != 0 {
		t.Errorf("the plan has %v, and nothing has ended", got)
	}
	run.signal(syscall.SIGINT)
	run.expect(130)
	var left []collected
	g.await("the sandbox is in the plan", func() bool { left = plan(); return len(left) == 1 })
	if kept := left[0].Removed.Sub(left[0].Ended); !strings.Contains(left[0].Directory, "/executors/holder-0/runs/") || kept < time.Minute || kept > 7*24*time.Hour {
		t.Errorf("the plan is %+v, kept for %v", left[0], kept)
	}
	if _, err := os.Stat(filepath.Join(left[0].Directory, "big")); err != nil {
		t.Errorf("a dry run has removed something: %v", err)
	}
	c.on("node", "gc").expect(2, "--dry-run")
	c.interrupt()
}

// collected is what a plan says of a sandbox.
type collected struct {
	Directory      string
	Ended, Removed time.Time
}

// expectCompleted has the shell ask how a word may go on.
func (g *ground) expectCompleted(t *testing.T, c *localCluster, command []string, word, want string) {
	t.Helper()
	p := g.stoa(append(append([]string{"__complete"}, command...), "--master", c.master, word)...)
	p.expect(0)
	found := slices.ContainsFunc(splitLines(p.out.String()), func(line string) bool {
		offered, _, _ := strings.Cut(line, "\t")
		return offered == want
	})
	if !found {
		t.Errorf("%s %s: completed to %q, want %s", strings.Join(command, " "), word, p.out.String(), want)
	}
}

// Plain processes are held by few limits. Whoever submits a task is told so, and all that comes from it ends with it.
func TestWithoutIsolationTheSubmitterIsToldAndNothingRunsAway(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--isolation", "process", "--resources", "cpus:4;mem:1024")
	run := g.start("run", "--master", c.master, "--cpus", "0.1", "--mem", "32", "--instances", "2", "--name", "away", "--", "sh", "-c",
		"(setsid sh -c 'setsid sleep 3001 & sleep 3002' &) ; while ! pgrep -f 'sleep 300[1]' > /dev/null; do :; done; echo ready; sleep 3003")
	g.await("both run, and what ran away from them", func() bool { return strings.Count(run.out.String(), "ready") == 2 && len(g.tasksNamed("sleep")) == 6 })
	if n := strings.Count(run.err.String(), "limits are not enforced of cpus, mem, pids"); n != 1 {
		t.Errorf("that limits are not enforced is said %d times, want once: %s", n, run.err.String())
	}
	if list := c.on("task", "list", "--json").out.String(); strings.Count(list, `"stoa.not_enforced": "cpus mem pids"`) != 2 {
		t.Errorf("the list does not say it of both tasks: %s", list)
	}
	c.on("task", "kill", "away-0").expect(0)
	g.await("all of the one is gone, and nothing of the other", func() bool { return len(g.tasksNamed("sleep")) == 3 })
	run.signal(syscall.SIGINT)
	run.expect(130)
	g.await("all of the other is gone", func() bool { return len(g.tasksNamed("sleep")) == 0 })
	c.interrupt()
}
