package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// BinaryVariable is the environment variable in which a slave tells the path of the stoa binary as its containers see it.
const BinaryVariable = "STOA_BINARY"

// shell runs mappers and reducers.
const shell = "/bin/sh"

// shownCommandBytes is how much of a command is quoted in an error.
const shownCommandBytes = 200

// CommandError says how a mapper, combiner or reducer failed.
type CommandError struct {
	What    string // mapper, combiner or reducer
	Command string
	Status  syscall.WaitStatus
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s `%s` ", e.What, shownCommand(e.Command))
	if e.Status.Signaled() {
		return text + fmt.Sprintf("was ended by signal %d (%v)", e.Status.Signal(), e.Status.Signal())
	}
	text += fmt.Sprintf("exited with status %d", e.Status.ExitStatus())
	switch e.Status.ExitStatus() { // as every shell means them
	case 126:
		text += ": the command is not executable"
	case 127:
		text += ": the command was not found"
	}
	return text
}

// shownCommand is the beginning of a command, on one line.
func shownCommand(command string) string {
	more := ""
	if len(command) > shownCommandBytes {
		command, more = command[:shownCommandBytes], "…"
	}
	return strings.Map(blankForControl, strings.ToValidUTF8(command, "")) + more
}

// blankForControl keeps a text on its line.
func blankForControl(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// errStopped says that the command reads no more: it has what it wants, or it has ended.
var errStopped = errors.New("the command has stopped reading")

// stdinWriter is a command's standard input.
type stdinWriter struct{ pipe *os.File }

func (w stdinWriter) Write(b []byte) (int, error) {
	n, err := w.pipe.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = errStopped
	}
	return n, err
}

// stderrPatience is how long a command's standard error is read on when the command has ended and a child of its still
// holds it open.
const stderrPatience = time.Second

// command is a mapper, combiner or reducer that runs.
type command struct {
	what, text string
	cmd        *exec.Cmd
	stderr     *reportWriter
	cancel     context.CancelFunc
	kill       func() error // ends the command and what it has started
	stdin      *os.File
	stdout     *os.File
}

func startCommand(ctx context.Context, what, text string, env Env, variables []string, r *reports) (*command, error) {
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the %s: %w", what, err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		closeAll(childIn, in)
		return nil, fmt.Errorf("start the %s: %w", what, err)
	}
	widen(in)
	widen(out)
	ctx, cancel := context.WithCancel(ctx)
	c := &command{what: what, text: text, cancel: cancel, stdin: in, stdout: out, stderr: &reportWriter{reports: r, rest: env.Stderr}}
	c.cmd = exec.CommandContext(ctx, shell, "-c", text)
	c.cmd.Dir = env.Sandbox
	c.cmd.Env = withBinary(append(append([]string{}, env.Environ...), variables...))
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = childIn, childOut, c.stderr
	c.cmd.WaitDelay = stderrPatience
	c.kill = ownGroup(c.cmd)
	err = c.cmd.Start()
	closeAll(childIn, childOut)
	if err != nil {
		cancel()
		closeAll(in, out)
		return nil, fmt.Errorf("start the %s: %w", what, err)
	}
	if env.Started != nil {
		env.Started(c.cmd.Process.Pid)
	}
	return c, nil
}

// ownGroup makes a process, before it starts, the leader of a group of its own, which ends with its context. kill ends the
// group: the process and what it has started.
func ownGroup(cmd *exec.Cmd) (kill func() error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd.Cancel
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// run feeds the command, reads what it prints until its end, and waits for it. feed's errStopped is no failure: a
// command need not read all its input. An input that cannot be read comes first among the errors, then what read says,
// then the command's own status; the first two end the command.
func (c *command) run(feed func(io.Writer) error, read func(io.Reader) error) error {
	defer c.cancel()
	fed := make(chan error, 1)
	go func() {
		err := feed(stdinWriter{c.stdin})
		if errors.Is(err, errStopped) {
			err = nil
		}
		c.stdin.Close()
		if err != nil {
			c.abandon()
		}
		fed <- err
	}()
	readErr := read(c.stdout)
	if readErr != nil {
		c.abandon()
	}
	c.stdout.Close()
	if readErr != nil {
		// A command that ignores its input keeps feed waiting for room in the pipe.
		_ = c.stdin.SetWriteDeadline(time.Now())
	}
	feedErr := <-fed
	waitErr := c.cmd.Wait()
	_ = c.kill() // whatever the command has left running
	if errors.Is(waitErr, exec.ErrWaitDelay) {
		waitErr = nil // the command is well, only its child goes on
	}
	if err := c.stderr.end(); waitErr == nil {
		waitErr = err
	}
	if readErr != nil && errors.Is(feedErr, os.ErrDeadlineExceeded) {
		feedErr = nil
	}
	if feedErr != nil {
		return feedErr
	}
	if readErr != nil {
		return readErr
	}
	return c.ended(waitErr)
}

// abandon ends the command without waiting for what it still might print.
func (c *command) abandon() {
	c.cancel()
	_ = c.stdout.SetReadDeadline(time.Now())
}

func (c *command) ended(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok {
			return &CommandError{What: c.what, Command: c.text, Status: status}
		}
	}
	if err != nil {
		return fmt.Errorf("wait for the %s: %w", c.what, err)
	}
	return nil
}

// attemptVariables tell a command who it is, as Hadoop Streaming does: property names with _ for each dot.
func attemptVariables(a *taskpb.Attempt, isMap bool, more ...string) []string {
	return append([]string{
		"mapreduce_job_name=" + a.GetJobName(),
		"mapreduce_task_id=" + a.GetTaskId(),
		"mapreduce_task_attempt_id=" + strconv.Itoa(int(a.GetNumber())),
		"mapreduce_task_partition=" + strconv.Itoa(int(a.GetTask())),
		"mapreduce_task_ismap=" + strconv.FormatBool(isMap),
	}, more...)
}

// withBinary makes the name stoa mean the binary that runs the task, so that its own mappers and reducers can be named
// without a path. The binary's directory goes to the end of PATH, or to the front if another stoa would be found first.
func withBinary(environ []string) []string {
	var binary, path string
	for _, v := range environ {
		if value, ok := strings.CutPrefix(v, BinaryVariable+"="); ok {
			binary = value
		}
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			path = value
		}
	}
	if binary == "" {
		return environ
	}
	dir := filepath.Dir(binary)
	for _, d := range filepath.SplitList(path) {
		if d == dir {
			return environ
		}
		if info, err := os.Stat(filepath.Join(d, filepath.Base(binary))); err == nil && !info.IsDir() {
			return append(environ, "PATH="+dir+string(filepath.ListSeparator)+path)
		}
	}
	if path != "" {
		dir = path + string(filepath.ListSeparator) + dir
	}
	return append(environ, "PATH="+dir)
}
