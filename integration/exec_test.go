package integration_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// onBothIsolations tells a story on a cluster of one slave with a task that sleeps.
func onBothIsolations(t *testing.T, story func(t *testing.T, g *ground, c *localCluster, task string)) {
	underEachIsolation(t, func(t *testing.T, g *ground, isolation string) {
		c := g.local("--slaves", "1", "--isolation", isolation, "--resources", "cpus:4;mem:1024")
		g.start("run", "--master", c.master, "--name", "sleeper", "--env", "GREETING=hello", "--", "sleep", "1000")
		g.await("the task runs", func() bool { return len(g.tasksNamed("sleep")) == 1 })
		g.await("the master knows", func() bool {
			return strings.Contains(c.on("task", "list").out.String(), "RUNNING")
		})
		story(t, g, c, "sleeper-0")
		c.interrupt()
	})
}

// beside runs a command beside a task's own, with some input.
func (c *localCluster) beside(input io.Reader, flags []string, task string, args ...string) (status int, out, err string) {
	c.g.t.Helper()
	command := exec.Command(stoaProgram(c.g.t), append(append(append([]string{"task", "exec", "--master", c.master}, flags...), task), args...)...)
	command.Env, command.Dir, command.Stdin = c.g.environment(), c.g.tmp, input
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	failed := command.Run()
	if command.ProcessState == nil {
		c.g.t.Fatal(failed)
	}
	return command.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func TestACommandBesideATaskHasItsSurroundingsAndTellsItsOwnEnd(t *testing.T) {
	onBothIsolations(t, func(t *testing.T, g *ground, c *localCluster, task string) {
		for name, test := range map[string]struct {
			flags, args []string
			status      int
			out, err    string
		}{
			"the task's environment": {nil, []string{"sh", "-c", "echo $GREETING $MESOS_TASK_ID; test $PWD = $MESOS_SANDBOX"}, 0, "hello sleeper-0\n", ""},
			"its own environment":    {[]string{"--env", "GREETING=bye"}, []string{"sh", "-c", "echo $GREETING"}, 0, "bye\n", ""},
			"bytes as they are":      {nil, []string{"printf", `\000\377\r\n`}, 0, "\x00\xff\r\n", ""},
			"stderr apart":           {nil, []string{"sh", "-c", "echo out; echo err >&2; exit 9"}, 9, "out\n", "err\n"},
			"a signal":               {nil, []string{"sh", "-c", "kill -TERM $$"}, 128 + 15, "", ""},
			"nothing to read":        {nil, []string{"cat"}, 0, "", ""},
			"not found":              {nil, []string{"no-such-command"}, 127, "", `stoa: command "no-such-command" was not found` + "\n"},
			"not executable":         {nil, []string{"/etc/passwd"}, 126, "", `stoa: command "/etc/passwd" can't be executed: permission denied` + "\n"},
		} {
			status, out, err := c.beside(nil, test.flags, task, test.args...)
			if status != test.status || out != test.out || err != test.err {
				t.Errorf("%s: status %d, stdout %q, stderr %q; want %d, %q, %q", name, status, out, err, test.status, test.out, test.err)
			}
		}
		if status, _, err := c.beside(nil, nil, "nobody", "true"); status != 125 || !strings.Contains(err, `no task "nobody"`) {
			t.Errorf("of no task: %d, %q", status, err)
		}
	})
}

func TestInputOfAnySizeReachesACommandBesideATask(t *testing.T) {
	onBothIsolations(t, func(t *testing.T, g *ground, c *localCluster, task string) {
		for _, size := range []int{0, 1, 5_000_000} {
			input := make([]byte, size)
			rand.NewChaCha8([32]byte{}).Read(input)
			status, out, err := c.beside(bytes.NewReader(input), []string{"-i"}, task, "cat")
			if status != 0 || out != string(input) {
				t.Errorf("of %d bytes %d came back; status %d, %s", size, len(out), status, err)
			}
		}
		// One that does not want to read is not waited for, and its input goes nowhere.
		if status, out, err := c.beside(bytes.NewReader(make([]byte, 5_000_000)), []string{"-i"}, task, "echo", "done"); status != 0 || out != "done\n" {
			t.Errorf("status %d, %q, %s", status, out, err)
		}
	})
}

func TestACommandBesideATaskEndsWithWhoeverStartedIt(t *testing.T) {
	onBothIsolations(t, func(t *testing.T, g *ground, c *localCluster, task string) {
		p := g.start("task", "exec", "--master", c.master, task, "sh", "-c", "setsid sleep 2001 & sleep 2002")
		g.await("it runs", func() bool { return len(g.tasksNamed("sleep")) == 3 })
		p.signal(syscall.SIGKILL)
		g.await("all of it is gone", func() bool { return len(g.tasksNamed("sleep")) == 1 })
		if status, out, _ := c.beside(nil, nil, task, "echo", "there"); status != 0 || out != "there\n" {
			t.Errorf("the task's container is not what it was: %d, %q", status, out)
		}
	})
}

func TestACommandBesideATaskGetsTheSignalsOfWhoeverStartedIt(t *testing.T) {
	onBothIsolations(t, func(t *testing.T, g *ground, c *localCluster, task string) {
		for i, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM} {
			script := fmt.Sprintf("trap 'exit %d' %d; echo ready; while :; do sleep 0.01; done", 40+i, int(signal))
			p := g.start("task", "exec", "--master", c.master, task, "sh", "-c", script)
			g.await("it runs", func() bool { return p.out.String() == "ready\n" })
			p.signal(signal)
			p.expect(40 + i)
		}
	})
}

func TestACommandBesideATaskEndsWithTheTask(t *testing.T) {
	onBothIsolations(t, func(t *testing.T, g *ground, c *localCluster, task string) {
		p := g.start("task", "exec", "--master", c.master, task, "sleep", "2001")
		g.await("it runs", func() bool { return len(g.tasksNamed("sleep")) == 2 })
		c.on("task", "kill", task).wait()
		p.expect(125, "the container ended and took the command with it")
		g.await("the task's end is known", func() bool {
			status, _, err := c.beside(nil, nil, task, "true")
			return status == 125 && strings.Contains(err, "task sleeper-0 has ended: it is TASK_KILLED")
		})
	})
}

// attachTo begins to show what a task writes, and passes on what is written to input.
func (c *localCluster) attachTo(task string, flags ...string) (p *program, input *os.File) {
	c.g.t.Helper()
	read, input, err := os.Pipe()
	if err != nil {
		c.g.t.Fatal(err)
	}
	defer read.Close()
	p = c.g.startBy(func(command *exec.Cmd) error {
		command.Stdin = read
		return command.Start()
	}, append(append([]string{"task", "attach", "--master", c.master}, flags...), task)...)
	return p, input
}

func TestATaskReadsWhatIsTypedToIt(t *testing.T) {
	underEachIsolation(t, func(t *testing.T, g *ground, isolation string) {
		c := g.local("--slaves", "1", "--isolation", isolation, "--resources", "cpus:4;mem:1024")
		run := g.start("run", "--master", c.master, "--name", "reader", "--open_stdin", "--", "sh", "-c", "read line; echo got $line; wc -c; exit 3")
		g.start("run", "--master", c.master, "--name", "sleeper", "--", "sleep", "1000")
		g.await("the master knows of both", func() bool {
			return strings.Count(c.on("task", "list").out.String(), "RUNNING") == 2
		})
		type typed struct {
			*program
			input *os.File
		}
		attach := func(task string) typed {
			p, input := c.attachTo(task, "-i", "--from_start")
			return typed{p, input}
		}
		write := func(to typed, data []byte) {
			t.Helper()
			if _, err := to.input.Write(data); err != nil {
				t.Error(err)
			}
		}

		// It stays open when whoever was first goes.
		first := attach("reader-0")
		write(first, []byte("hello\n"))
		g.await("the task has read", func() bool { return strings.Contains(first.out.String(), "got hello\n") })
		second := attach("reader-0")
		second.expect(1, "somebody else is attached to the task's stdin already")
		first.signal(syscall.SIGINT)
		first.expect(130)
		if !run.running() {
			t.Error("the task has ended with whoever was attached: ", run.out.String())
		}

		// To its end, of any size.
		input := make([]byte, 3_000_000)
		third := attach("reader-0")
		write(third, input)
		third.input.Close()
		third.expect(1, "task reader-0 is FAILED")
		if got := third.out.String(); got != "got hello\n3000000\n" {
			t.Errorf("the task wrote %q", got)
		}
		run.expect(3)

		none := attach("sleeper-0")
		none.expect(1, "its stdin was not kept open")
		for _, one := range []typed{first, second, none} {
			one.input.Close()
		}
		c.interrupt()
	})
}

// typist is who sits at the terminal of a program.
type typist struct {
	t    *testing.T
	keys console.Console
	seen buffer
}

// at starts stoa at a terminal of its own.
func (g *ground) at(t *testing.T, rows, columns uint16, args ...string) (*typist, *exec.Cmd) {
	t.Helper()
	command := exec.Command(stoaProgram(t), args...)
	return g.typistOf(t, rows, columns, command), command
}

// typistOf starts a program at a terminal of its own.
func (g *ground) typistOf(t *testing.T, rows, columns uint16, command *exec.Cmd) *typist {
	t.Helper()
	master, path, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	who := &typist{t: t, keys: master}
	who.resize(rows, columns)
	command.Env, command.Dir = append(g.environment(), "TERM=vt100"), g.tmp
	command.Stdin, command.Stdout, command.Stderr = theirs, theirs, theirs
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&who.seen, master) // ends by an error: nobody has the other end
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // ended already, mostly
		<-read
		master.Close()
	})
	return who
}

func (w *typist) resize(rows, columns uint16) {
	w.t.Helper()
	if err := w.keys.Resize(console.WinSize{Height: rows, Width: columns}); err != nil {
		w.t.Fatal(err)
	}
}

// types presses keys, and waits for something to be seen then.
func (w *typist) types(g *ground, keys, want string) {
	w.t.Helper()
	before := len(w.seen.String())
	if _, err := io.WriteString(w.keys, keys); err != nil {
		w.t.Fatal(err)
	}
	g.await(fmt.Sprintf("%q is seen after %q; all that was seen is %q", want, keys, w.seen.String()), func() bool {
		return strings.Contains(w.seen.String()[before:], want)
	})
}

func TestATerminalBesideATask(t *testing.T) {
	onBothIsolations(t, func(t *testing.T, g *ground, c *localCluster, task string) {
		who, command := g.at(t, 41, 101, "task", "exec", "-it", "--master", c.master, task, "sh")
		who.types(g, "echo begin; stty size; echo $TERM-\n", "vt100-\r\n")
		if !strings.Contains(who.seen.String(), "41 101\r\n") {
			t.Errorf("the terminal's first size is not there: %q", who.seen.String())
		}
		who.resize(33, 77)
		g.await("the new size", func() bool {
			who.types(g, "stty size; echo again-\n", "again-\r\n")
			return strings.Contains(who.seen.String(), "33 77\r\n")
		})
		who.types(g, "trap 'echo caught' INT; sleep 2001; echo after-\n", "")
		g.await("it sleeps", func() bool { return len(g.tasksNamed("sleep")) == 2 })
		who.types(g, "\x03", "after-\r\n") // Ctrl-C ends the sleep, not the shell or this program
		who.types(g, "tty; exit 9\n", "/dev/pts/")
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatalf("it does not end: %q", who.seen.String())
		}
		if got := command.ProcessState.ExitCode(); got != 9 {
			t.Errorf("exit status %d, want 9; seen: %q", got, who.seen.String())
		}
		// Who lets go of its terminal is not hung up on.
		if status, _, err := c.beside(nil, []string{"-t"}, task, "sh", "-c", "exec <&- >&- 2>&-; sleep 0.3; exit 9"); status != 9 {
			t.Errorf("without its terminal: status %d, %q, want 9", status, err)
		}
		// Input that is no terminal ends with the terminal's own sign for it.
		if status, out, err := c.beside(strings.NewReader("echo $((6 * 7))\n"), []string{"-it"}, task, "sh"); status != 0 || !strings.Contains(out, "42\r\n") {
			t.Errorf("status %d, %q, %q", status, out, err)
		}
		// So does a last line that nothing ends.
		if status, out, err := c.beside(strings.NewReader("a line\nits rest"), []string{"-it"}, task, "timeout", "-s", "KILL", "10", "cat"); status != 0 || !strings.HasSuffix(out, "its rest") {
			t.Errorf("status %d, %q, %q", status, out, err)
		}
	})
}

func TestWhatATaskWritesFromNowOnIsShown(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--isolation", "process", "--resources", "cpus:4;mem:1024")
	g.start("run", "--master", c.master, "--name", "writer", "--", "sh", "-c",
		"echo before; while ! test -e go; do sleep 0.1; done; echo out; echo err >&2; exit 3")
	g.await("it has begun", func() bool { return strings.Contains(c.on("task", "logs", "writer").out.String(), "before\n") })
	p := g.start("task", "attach", "--master", c.master, "writer-0")
	all := g.start("task", "attach", "--from_start", "--master", c.master, "writer-0")
	g.await("all is shown", func() bool { return all.out.String() == "before\n" })
	g.await("it is attached", func() bool { return strings.Contains(p.err.String(), "attached to task writer-0") })
	if status, _, err := c.beside(nil, nil, "writer-0", "touch", "go"); status != 0 {
		t.Fatal(err)
	}
	p.expect(1, "err\n", "task writer-0 is FAILED: .*3")
	all.expect(1, "err\n")
	if got := p.out.String(); got != "out\n" {
		t.Errorf("stdout from now on is %q", got)
	}
	if got := all.out.String(); got != "before\nout\n" {
		t.Errorf("stdout is %q", got)
	}
	c.interrupt()
}
