package containertest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// Conform tests what every containerizer that runs real processes owes its host.
// make makes one for a test; Conform closes it.
func Conform(t *testing.T, make func(t testing.TB, w *Watch) containerizer.Containerizer) {
	for _, behaviour := range []struct {
		name string
		test func(*testing.T, *Watch, containerizer.Containerizer)
	}{
		{"the exit is the command's own", exits},
		{"a command that can't be executed says why", notExecuted},
		{"a bad spec is refused with the value seen", refused},
		{"arguments, environment and directory arrive as given", asGiven},
		{"what is executed need not be the first argument", executable},
		{"limits of processes are those that were asked for", rlimits},
		{"a large environment arrives whole", largeEnvironment},
		{"a missing stream is empty", noStreams},
		{"standard input arrives", standardInput},
		{"SIGTERM ends sleep at once", signalEnds},
		{"a signal reaches a command that handles it", signalHandled},
		{"signals start out as defaults", signalsReset},
		{"Kill ends a command that ignores SIGTERM", killEnds},
		{"what is over can't be signalled and can be killed", afterTheEnd},
		{"orphans are reaped", orphansReaped},
		{"what a command leaves running is killed", leftoversKilled},
		{"a daemon that double-forked away is killed", daemonKilled},
		{"a grandchild that holds stdout open delays nothing", stdoutHeld},
		{"the end of stdout is seen when the command closes it", stdoutClosed},
		{"no descriptor of the host is inherited", noDescriptors},
		{"an id is used once at a time", idInUse},
		{"a start that is cancelled leaves nothing", cancelled},
		{"Close ends what runs", closeEnds},
		{"many run at the same time", many},
		{"statistics count processor time and memory", statistics},
		{"files that were removed count while a process has them", unlinked},
		{"a further command shares the container and tells its own end", furtherCommand},
		{"further commands end when they are killed and with their container", furtherCommandsEnd},
		{"a further command can have a terminal", terminals},
	} {
		t.Run(behaviour.name, func(t *testing.T) {
			watch := New(t)
			containers := make(t, watch)
			t.Cleanup(func() {
				if err := containers.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			behaviour.test(t, watch, containers)
		})
	}
}

func exits(t *testing.T, w *Watch, c containerizer.Containerizer) {
	for i, one := range []struct {
		script string
		want   syscall.WaitStatus
	}{
		{"exit 0", 0},
		{"exit 7", 7 << 8},
		{"exit 255", 255 << 8},
		{"kill -TERM $$", syscall.WaitStatus(syscall.SIGTERM)},
		{"kill -KILL $$", syscall.WaitStatus(syscall.SIGKILL)},
	} {
		before := time.Now()
		got := Run(t, c, w.Spec(fmt.Sprint("exit-", i), one.script)).Exit
		if got.Status != one.want || got.Killed || got.OutOfMemory {
			t.Errorf("%s: got %+v, want status %#x", one.script, got, one.want)
		}
		if got.Started.Before(before) || got.Finished.Before(got.Started) || got.Finished.After(time.Now()) {
			t.Errorf("%s: started %v, finished %v", one.script, got.Started, got.Finished)
		}
	}
}

func notExecuted(t *testing.T, w *Watch, c containerizer.Containerizer) {
	sandbox := w.Sandbox("x")
	plain := filepath.Join(sandbox, "plain")
	if err := os.WriteFile(plain, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"uninterpreted": "#!/no/such/interpreter\n", "foreign": "\x7fELF\x02\x01\x01\x00 of another machine", "script": "exit $(($# + 4))",
	} {
		if err := os.WriteFile(filepath.Join(sandbox, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []struct {
		command  string
		want     error
		notFound bool
	}{
		{"no-such-command-anywhere", fs.ErrNotExist, true},
		{"/no/such/command", fs.ErrNotExist, true},
		{"./no-such-command", fs.ErrNotExist, true},
		{"/etc/passwd/below-a-file", syscall.ENOTDIR, true},
		{plain, fs.ErrPermission, false},
		{sandbox, fs.ErrPermission, false},
		{"./uninterpreted", containerizer.NoInterpreter, false},
		{"./foreign", syscall.ENOEXEC, false},
	} {
		spec := w.Spec("x", "")
		spec.Args = []string{one.command, "argument"}
		_, err := c.Start(context.Background(), spec, containerizer.Stdio{})
		var failed *containerizer.ExecError
		if !errors.As(err, &failed) || failed.Path != one.command || !errors.Is(err, one.want) || failed.NotFound() != one.notFound {
			t.Errorf("%s: got error %#v %v, want %v", one.command, err, err, one.want)
		}
	}
	// A script that names no interpreter is the shell's, wherever it is found.
	for _, command := range []string{"./script", filepath.Join(sandbox, "script"), "script"} {
		spec := w.Spec("x", "")
		spec.Args, spec.Env = []string{command, "one", "two"}, []string{"PATH=/no/such/directory:/etc/passwd:."}
		if got := Run(t, c, spec).Exit.Status.ExitStatus(); got != 6 {
			t.Errorf("%s: exit status %d, want 6", command, got)
		}
	}
	// The id is free again, and so is the sandbox.
	if got := Run(t, c, w.Spec("x", "exit 3")).Exit.Status.ExitStatus(); got != 3 {
		t.Errorf("exit status %d after failed starts, want 3", got)
	}
}

func refused(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("ok", "true")
	spec.ID = "../escape"
	_, err := c.Start(context.Background(), spec, containerizer.Stdio{})
	var wrong *containerizer.SpecError
	if !errors.As(err, &wrong) || wrong.Value != "../escape" {
		t.Errorf("id with a slash: got %v", err)
	}
	spec = w.Spec("ok", "true")
	spec.User = "nobody-of-that-name"
	if _, err := c.Start(context.Background(), spec, containerizer.Stdio{}); !errors.As(err, &wrong) || wrong.Field != "User" {
		t.Errorf("unknown user: got %v", err)
	}
	spec = w.Spec("ok", "true")
	spec.Sandbox = filepath.Join(w.Work, "missing")
	var failed *containerizer.StartError
	if _, err := c.Start(context.Background(), spec, containerizer.Stdio{}); !errors.As(err, &failed) || !strings.Contains(err.Error(), spec.Sandbox) {
		t.Errorf("missing sandbox: got %v", err)
	}
	spec = w.Spec("ok", "true")
	spec.Volumes = []containerizer.Volume{{HostPath: "/no/such/volume", ContainerPath: "/no/such/volume"}}
	if _, err := c.Start(context.Background(), spec, containerizer.Stdio{}); !errors.As(err, &failed) || !strings.Contains(err.Error(), "/no/such/volume") {
		t.Errorf("missing volume: got %v", err)
	}
}

func asGiven(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("given", "")
	spec.Args = []string{"sh", "-c", `pwd; for a in "$0" "$@"; do echo "[$a]"; done; env | sort`, "zero", "", "two words", "a\nline", "über"}
	spec.Env = append(w.Env(), "EMPTY=", "SPACED=a b=c")
	got := Run(t, c, spec)
	want := []string{
		spec.Sandbox, "[zero]", "[]", "[two words]", "[a", "line]", "[über]",
		"EMPTY=", w.Env()[0], "PWD=" + spec.Sandbox, "SPACED=a b=c", w.Marker(),
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(got.Stdout), "\n")); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, got.Stderr)
	}
}

func executable(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("executable", "")
	spec.Executable, spec.Args = "sh", []string{"a name of its own", "-c", `tr '\0' '\n' < /proc/$$/cmdline | head -1; echo "$0"`, "zero"}
	if got := Run(t, c, spec); got.Stdout != "a name of its own\nzero\n" {
		t.Errorf("got %q %s", got.Stdout, got.Stderr)
	}
	spec.Executable = "no-such-command-anywhere"
	_, err := c.Start(context.Background(), spec, containerizer.Stdio{})
	var failed *containerizer.ExecError
	if !errors.As(err, &failed) || failed.Path != spec.Executable || !failed.NotFound() {
		t.Errorf("got %v", err)
	}
}

func rlimits(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("rlimits", "ulimit -Sn; ulimit -Hn; ulimit -c; (head -c 20000 /dev/zero > large); echo $?")
	spec.Rlimits = []containerizer.Rlimit{
		{Resource: unix.RLIMIT_NOFILE, Soft: 50, Hard: 60}, {Resource: unix.RLIMIT_CORE}, {Resource: unix.RLIMIT_FSIZE, Soft: 10_240, Hard: 10_240},
	}
	if got := Run(t, c, spec); got.Stdout != fmt.Sprintf("50\n60\n0\n%d\n", 128+int(syscall.SIGXFSZ)) {
		t.Errorf("got %q %s", got.Stdout, got.Stderr)
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	spec.Rlimits = []containerizer.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 50, Hard: own.Max}}
	if got := Run(t, c, spec); !strings.HasPrefix(got.Stdout, "50\n") {
		t.Errorf("the host's own limit: got %q %s", got.Stdout, got.Stderr)
	}
}

func largeEnvironment(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("large", `echo "${#BIG0} ${#BIG9}"`)
	for i := range 10 {
		spec.Env = append(spec.Env, fmt.Sprintf("BIG%d=%s", i, strings.Repeat("x", 100_000)))
	}
	if got := Run(t, c, spec).Stdout; got != "100000 100000\n" {
		t.Errorf("got %q", got)
	}
	spec.ID = "too-large"
	spec.Sandbox = w.Sandbox(spec.ID)
	spec.Env = append(spec.Env, "HUGE="+strings.Repeat("x", 10<<20))
	_, err := c.Start(context.Background(), spec, containerizer.Stdio{})
	var failed *containerizer.ExecError
	if !errors.As(err, &failed) || failed.Err != syscall.E2BIG {
		t.Errorf("ten megabytes of environment: got %v, want %v", err, syscall.E2BIG)
	}
}

func noStreams(t *testing.T, w *Watch, c containerizer.Containerizer) {
	container := Start(t, c, w.Spec("quiet", "cat && echo out && echo err >&2"))
	if exit := Await(t, container); exit.Status != 0 {
		t.Errorf("got status %#x", exit.Status)
	}
}

func standardInput(t *testing.T, w *Watch, c containerizer.Containerizer) {
	input := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(input, []byte("from the host\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(input)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	spec := w.Spec("input", "cat > got")
	container, err := c.Start(context.Background(), spec, containerizer.Stdio{Stdin: file})
	if err != nil {
		t.Fatal(err)
	}
	Await(t, container)
	if got, err := os.ReadFile(filepath.Join(spec.Sandbox, "got")); err != nil || string(got) != "from the host\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func signalEnds(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("sleep", "")
	spec.Args = []string{"sleep", "1000"}
	container := Start(t, c, spec)
	if pid := container.PID(); !slices.Contains(w.Processes(), pid) {
		t.Errorf("PID is %d, the test's processes are %v", pid, w.Processes())
	}
	sent := time.Now()
	if err := container.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exit := Await(t, container)
	if exit.Status != syscall.WaitStatus(syscall.SIGTERM) || exit.Killed {
		t.Errorf("got %+v", exit)
	}
	if took := time.Since(sent); took > time.Second {
		t.Errorf("ended after %v", took)
	}
}

func signalHandled(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("handler", `trap 'exit 9' USR1; touch ready; while :; do sleep 0.01; done`)
	container := Start(t, c, spec)
	awaitFile(t, filepath.Join(spec.Sandbox, "ready"))
	if err := container.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if exit := Await(t, container); exit.Status != 9<<8 {
		t.Errorf("got %+v", exit)
	}
}

func signalsReset(t *testing.T, w *Watch, c containerizer.Containerizer) {
	got := Run(t, c, w.Spec("masks", "grep -E '^Sig(Blk|Ign)' /proc/self/status")).Stdout
	want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func killEnds(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("deaf", `trap '' TERM; touch ready; while :; do sleep 0.01; done`)
	container := Start(t, c, spec)
	awaitFile(t, filepath.Join(spec.Sandbox, "ready"))
	if err := container.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	exit := Await(t, container)
	if exit.Status != syscall.WaitStatus(syscall.SIGKILL) || !exit.Killed || exit.OutOfMemory {
		t.Errorf("got %+v", exit)
	}
	again, err := container.Wait()
	if err != nil || again != exit {
		t.Errorf("the second Wait says %+v, %v", again, err)
	}
}

func afterTheEnd(t *testing.T, w *Watch, c containerizer.Containerizer) {
	container := Start(t, c, w.Spec("over", "true"))
	Await(t, container)
	if err := container.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Signal: got %v", err)
	}
	if _, err := container.Stats(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Stats: got %v", err)
	}
	if err := container.Kill(); err != nil {
		t.Errorf("Kill: got %v", err)
	}
	if exit, _ := container.Wait(); exit.Killed {
		t.Errorf("killed after its end: %+v", exit)
	}
}

func orphansReaped(t *testing.T, w *Watch, c containerizer.Containerizer) {
	// Each subshell's child loses its parent at once and ends a little later.
	spec := w.Spec("orphans", `for i in 1 2 3 4 5; do (sleep 0.05 &); done; touch ready; sleep 1000`)
	container := Start(t, c, spec)
	awaitFile(t, filepath.Join(spec.Sandbox, "ready"))
	parent := parentOf(t, container.PID())
	Poll(t, "the reaper has the command alone, and no zombie", Deadline, func() bool {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
		return err == nil && strings.TrimSpace(string(data)) == fmt.Sprint(container.PID())
	})
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	Await(t, container)
}

func leftoversKilled(t *testing.T, w *Watch, c containerizer.Containerizer) {
	got := Run(t, c, w.Spec("leftover", "sleep 1000 & sleep 1000 & exit 4"))
	if got.Exit.Status != 4<<8 || got.Exit.Killed {
		t.Errorf("got %+v", got.Exit)
	}
	if left := w.Processes(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func daemonKilled(t *testing.T, w *Watch, c containerizer.Containerizer) {
	// A new session, a double fork, every signal ignored, and children of its own.
	daemon := `(setsid sh -c 'trap "" TERM HUP INT; (sleep 1000 & sleep 1000 & wait) & touch ready; while :; do sleep 1; done' >/dev/null 2>&1 &)`
	for i, ending := range []string{"while [ ! -e ready ]; do sleep 0.01; done; exit 5", "sleep 1000"} {
		spec := w.Spec(fmt.Sprint("daemon-", i), daemon+"; "+ending)
		container := Start(t, c, spec)
		if i == 1 {
			awaitFile(t, filepath.Join(spec.Sandbox, "ready"))
			if err := container.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		if exit := Await(t, container); exit.Killed != (i == 1) {
			t.Errorf("%s: got %+v", ending, exit)
		}
		if left := w.Processes(); len(left) > 0 {
			t.Errorf("%s: left %v", ending, left)
		}
	}
}

func stdoutHeld(t *testing.T, w *Watch, c containerizer.Containerizer) {
	begun := time.Now()
	got := Run(t, c, w.Spec("holder", "(setsid sleep 1000 &) ; echo done")) // Run reads stdout to its end
	if got.Stdout != "done\n" || time.Since(begun) > 5*time.Second {
		t.Errorf("got %q after %v", got.Stdout, time.Since(begun))
	}
}

func stdoutClosed(t *testing.T, w *Watch, c containerizer.Containerizer) {
	stdout := collect(t)
	container, err := c.Start(context.Background(), w.Spec("closer", "echo said; exec >&-; sleep 1000"), containerizer.Stdio{Stdout: stdout.end})
	stdout.end.Close()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-stdout.text:
		if text != "said\n" {
			t.Errorf("got %q", text)
		}
	case <-time.After(Deadline):
		t.Error("stdout is held open by another process")
	}
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	Await(t, container)
}

func noDescriptors(t *testing.T, w *Watch, c containerizer.Containerizer) {
	// One that is not close-on-exec, as a host inherits from a careless parent.
	inherited, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	got := Run(t, c, w.Spec("descriptors", "exec ls /proc/self/fd")) // 3 is the directory itself
	if want := "0\n1\n2\n3\n"; got.Stdout != want {
		t.Errorf("got %q", got.Stdout)
	}
}

func idInUse(t *testing.T, w *Watch, c containerizer.Containerizer) {
	container := Start(t, c, w.Spec("one", "sleep 1000"))
	if _, err := c.Start(context.Background(), w.Spec("one", "true"), containerizer.Stdio{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the same id again: got %v", err)
	}
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	Await(t, container)
	Await(t, Start(t, c, w.Spec("one", "true")))
}

func cancelled(t *testing.T, w *Watch, c containerizer.Containerizer) {
	for i := range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
		container, err := c.Start(ctx, w.Spec(fmt.Sprint("cancelled-", i), "sleep 1000"), containerizer.Stdio{})
		if err == nil { // it was in time; ctx means nothing to it any more
			<-ctx.Done()
			if err := container.Signal(0); err != nil {
				t.Errorf("ended by the context of its start: %v", err)
			}
			if err := container.Kill(); err != nil {
				t.Error(err)
			}
			Await(t, container)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d ms: %v", i, err)
		}
		cancel()
		if left := w.Processes(); len(left) > 0 {
			t.Fatalf("after %d ms: left %v", i, left)
		}
	}
}

func closeEnds(t *testing.T, w *Watch, c containerizer.Containerizer) {
	var running []containerizer.Container
	for i := range 3 {
		running = append(running, Start(t, c, w.Spec(fmt.Sprint("open-", i), "trap '' TERM; sleep 1000")))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, container := range running {
		if exit := Await(t, container); !exit.Killed {
			t.Errorf("%s: got %+v", container.ID(), exit)
		}
	}
	if _, err := c.Start(context.Background(), w.Spec("late", "true"), containerizer.Stdio{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("start after Close: %v", err)
	}
}

func many(t *testing.T, w *Watch, c containerizer.Containerizer) {
	const containers, parallel = 40, 8
	slots := make(chan bool, parallel)
	var all sync.WaitGroup
	for i := range containers {
		all.Go(func() {
			slots <- true
			defer func() { <-slots }()
			container, err := c.Start(context.Background(), w.Spec(fmt.Sprint("many-", i), fmt.Sprintf("exit %d", i)), containerizer.Stdio{})
			if err != nil {
				t.Errorf("start %d: %v", i, err)
				return
			}
			if exit, err := container.Wait(); err != nil || exit.Status.ExitStatus() != i {
				t.Errorf("%d: got %+v, %v", i, exit, err)
			}
		})
	}
	all.Wait()
}

func statistics(t *testing.T, w *Watch, c containerizer.Containerizer) {
	spec := w.Spec("busy", "touch ready; while :; do :; done")
	container := Start(t, c, spec)
	awaitFile(t, filepath.Join(spec.Sandbox, "ready"))
	Poll(t, "some processor time and memory are counted", Deadline, func() bool {
		stats, err := container.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return stats.CPUSeconds >= 0.05 && stats.MemoryBytes > 0 && stats.Processes > 0
	})
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit := Await(t, container); exit.CPUSeconds < 0.05 {
		t.Errorf("used %v s of processor time, at least 0.05 were seen", exit.CPUSeconds)
	}
}

func awaitFile(t testing.TB, path string) {
	t.Helper()
	Poll(t, path+" exists", Deadline, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

func parentOf(t testing.TB, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var state string
	var parent int
	if _, err := fmt.Sscan(string(data[strings.LastIndexByte(string(data), ')')+1:]), &state, &parent); err != nil {
		t.Fatal(err)
	}
	return parent
}
