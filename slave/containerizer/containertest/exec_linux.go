package containertest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// Beside runs a further command in a container to its end. Like Run it fails the test if that is not possible.
func Beside(t testing.TB, container containerizer.Container, exec containerizer.Exec) (string, syscall.WaitStatus) {
	t.Helper()
	stdout := collect(t)
	process, err := container.Exec(exec, containerizer.Stdio{Stdout: stdout.end, Stderr: stdout.end})
	stdout.end.Close()
	if err != nil {
		t.Fatalf("exec %q: %v", exec.Args, err)
	}
	status, err := process.Wait()
	if err != nil {
		t.Fatalf("wait for %q: %v", exec.Args, err)
	}
	return <-stdout.text, status
}

func shell(script string) containerizer.Exec {
	return containerizer.Exec{Args: []string{"sh", "-c", script}}
}

func furtherCommand(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("main", "sleep 1000")
	spec.Env = append(spec.Env, "KEY=main", "OTHER=main")
	container := Start(t, c, spec)
	exec := shell("echo $KEY $OTHER; pwd; exit 7")
	exec.Env = []string{"KEY=own"}
	if out, status := Beside(t, container, exec); out != fmt.Sprintf("own main\n%s\n", spec.Sandbox) || status.ExitStatus() != 7 {
		t.Errorf("got %q, status %d", out, status.ExitStatus())
	}
	if _, status := Beside(t, container, shell("kill -TERM $$")); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("of one that a signal ends: %#x", status)
	}
	for command, want := range map[string]error{"no-such-command-anywhere": fs.ErrNotExist, "/etc/passwd": fs.ErrPermission} {
		var failed *containerizer.ExecError
		if _, err := container.Exec(containerizer.Exec{Args: []string{command}}, containerizer.Stdio{}); !errors.As(err, &failed) || !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", command, err, want)
		}
	}
	var bad *containerizer.SpecError
	if _, err := container.Exec(containerizer.Exec{}, containerizer.Stdio{}); !errors.As(err, &bad) {
		t.Errorf("without a command: %v", err)
	}
	// What it leaves running ends with it, and the container's own command goes on.
	Beside(t, container, shell("setsid sleep 1001 & sleep 1002 &"))
	Poll(t, "only the container's own command runs", Deadline, func() bool { return count(w, "sleep") == 1 })
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	Await(t, container)
	if _, err := container.Exec(shell("true"), containerizer.Stdio{}); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("in a container that is gone: %v", err)
	}
}

// count is how many processes of a name run.
func count(w *Watch, name string) int {
	return len(slices.DeleteFunc(w.Processes(), func(pid int) bool {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return err != nil || strings.TrimSpace(string(comm)) != name
	}))
}

func furtherCommandsEnd(t *testing.T, w *Watch, c containerizer.Containerizer) {
	container := Start(t, c, w.Spec("main", "sleep 1000"))
	killed, err := container.Exec(shell("trap '' TERM; sleep 1001; sleep 1002"), containerizer.Stdio{})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := container.Exec(shell("trap '' TERM; sleep 1003; sleep 1004"), containerizer.Stdio{})
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Kill(); err != nil {
		t.Error(err)
	}
	if status, err := killed.Wait(); err != nil || status.Signal() != syscall.SIGKILL {
		t.Errorf("the one that was killed: %#x, %v", status, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := taken.Wait()
		ended <- err
	}()
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	Await(t, container)
	select {
	case err := <-ended:
		if !errors.Is(err, containerizer.ErrTaken) {
			t.Errorf("the one that was there at the container's end: %v", err)
		}
	case <-time.After(Deadline):
		t.Errorf("a further command outlives its container")
	}
}

func terminals(t *testing.T, w *Watch, c containerizer.Containerizer) {
	container := Start(t, c, w.Spec("main", "sleep 1000"))
	exec := shell("tty; stty size; read line; echo got $line; echo also here >&2; exit 4")
	exec.Terminal, exec.Rows, exec.Columns = true, 12, 34
	process, err := container.Exec(exec, containerizer.Stdio{})
	if err != nil {
		t.Fatal(err)
	}
	terminal := process.Terminal()
	defer terminal.Close()
	if _, err := terminal.WriteString("typed\n"); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(terminal) // ends by an error: nobody has the other end
	if status, err := process.Wait(); err != nil || status.ExitStatus() != 4 {
		t.Errorf("status %d, %v", status.ExitStatus(), err)
	}
	for _, part := range []string{"/dev/pts/", "12 34\r\n", "got typed\r\n", "also here\r\n"} {
		if !strings.Contains(string(said), part) {
			t.Errorf("the terminal shows %q, without %q", said, part)
		}
	}
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	Await(t, container)
}
