package host_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer/process"
	"github.com/stoa-project/stoa/slave/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a host whose slave is a probe.
type rig struct {
	t       *testing.T
	sys     *actor.System
	slave   *actortest.Probe
	host    actor.PID
	workDir string
	done    chan error
}

// newRig starts a host and registers it.
func newRig(t *testing.T, change func(*host.Config)) *rig {
	t.Helper()
	r := &rig{t: t, workDir: t.TempDir(), done: make(chan error, 1)}
	r.sys = actor.NewSystem(actor.SystemOptions{Node: "host-1", Role: wire.RoleHost})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), actortest.Deadline)
		defer cancel()
		if err := r.sys.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	r.slave = actortest.Named(t, r.sys, "slave")
	config := host.Config{ID: "h1", WorkDir: r.workDir, Done: func(err error) { r.done <- err }}
	if change != nil {
		change(&config)
	}
	if config.Containerizer == nil {
		containers, err := process.New(process.Options{})
		if err != nil {
			t.Fatal(err)
		}
		config.Containerizer = containers
	}
	r.host = r.sys.Spawn("host", host.New(config))
	registered := r.slave.Expect(t, &wire.RegisterHost{HostId: "h1", Pid: uint32(os.Getpid()), Isolation: config.Containerizer.Name()})
	r.slave.Send(registered.From, &wire.HostRegistered{})
	return r
}

// sandbox makes the directory in which container id runs.
func (r *rig) sandbox(id string) string {
	r.t.Helper()
	directory := filepath.Join(r.workDir, "slaves", "runs", id)
	if err := os.MkdirAll(directory, 0o755); err != nil {
		r.t.Fatal(err)
	}
	return directory
}

// launch has the host run a line of shell as an executor of a framework.
func (r *rig) launch(id, line string) (sandbox string) {
	r.t.Helper()
	sandbox = r.sandbox(id)
	r.slave.Send(r.host, &wire.LaunchExecutor{
		ContainerId: mesos.NewContainerID(id), Directory: sandbox,
		Executor: &mesos.ExecutorInfo{Command: &mesos.CommandInfo{Value: &line}},
	})
	return sandbox
}

func (r *rig) ended(id string) *wire.ContainerExit {
	r.t.Helper()
	ended := actortest.Await[*wire.ExecutorEnded](r.t, r.slave)
	if ended.GetContainerId().GetValue() != id {
		r.t.Fatalf("container %q ended, want %q", ended.GetContainerId().GetValue(), id)
	}
	return ended.GetExit()
}

func (r *rig) isDone() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(actortest.Deadline):
		r.t.Fatal("the host has not ended")
		return nil
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestACommandEndsAndIsReportedForWhatItIs(t *testing.T) {
	r := newRig(t, nil)
	for i, test := range []struct {
		name, line string
		status     int32
	}{
		{"exit 0", "exit 0", 0},
		{"exit 7", "exit 7", 7 << 8},
		{"a signal", "kill -TERM $$; sleep 100", int32(syscall.SIGTERM)},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := fmt.Sprintf("c%d", i)
			sandbox := r.launch(id, test.line)
			started := actortest.Await[*wire.ExecutorStarted](t, r.slave)
			if started.GetPid() == 0 {
				t.Error("no process id was reported")
			}
			exit := r.ended(id)
			if exit.GetCause() != wire.ContainerExit_EXITED || exit.GetWaitStatus() != test.status {
				t.Errorf("exit %v, want EXITED with status %#x", exit, test.status)
			}
			record, err := host.ReadExit(r.workDir, sandbox)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(exit, record, protocmp.Transform()); diff != "" {
				t.Errorf("exit record (-told +recorded):\n%s", diff)
			}
		})
	}
}

func TestOutputIsCollectedToTheByte(t *testing.T) {
	r := newRig(t, nil)
	sandbox := r.launch("c1", `printf 'a\0b\377'; printf err >&2`)
	r.ended("c1")
	if out := read(t, filepath.Join(sandbox, "stdout")); out != "a\x00b\xff" {
		t.Errorf("stdout %q", out)
	}
	if out := read(t, filepath.Join(sandbox, "stderr")); out != "err" {
		t.Errorf("stderr %q", out)
	}
}

func TestABurstOfOutputIsSlowedAndNotCut(t *testing.T) {
	const length = 10 << 20
	r := newRig(t, nil)
	sandbox := r.launch("c1", fmt.Sprintf("yes 0123456789abcdef | head -c %d", length))
	r.ended("c1")
	want := bytes.Repeat([]byte("0123456789abcdef\n"), length/17+1)[:length]
	got, err := os.ReadFile(filepath.Join(sandbox, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(got) != sha256.Sum256(want) {
		t.Errorf("stdout has %d bytes that are not the %d that were written", len(got), length)
	}
}

func TestACommandGainsNothingByReplacingItsOutputFile(t *testing.T) {
	r := newRig(t, nil)
	outside := filepath.Join(t.TempDir(), "outside")
	r.launch("c1", fmt.Sprintf("rm stdout; ln -s %s stdout; echo secret; exit 3", outside))
	if exit := r.ended("c1"); exit.GetWaitStatus() != 3<<8 {
		t.Errorf("exit %v, want status 3", exit)
	}
	if _, err := os.Lstat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link's target was written: %v", err)
	}
}

func TestWhatWasUnpackedAsStdoutIsNoWayOutOfTheSandbox(t *testing.T) {
	for name, place := range map[string]func(path, outside string) error{
		"a symbolic link": func(path, outside string) error { return os.Symlink(outside, path) },
		"a pipe":          func(path, _ string) error { return syscall.Mkfifo(path, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			outside := filepath.Join(t.TempDir(), "outside")
			sandbox := r.sandbox("c1")
			if err := place(filepath.Join(sandbox, "stdout"), outside); err != nil {
				t.Fatal(err)
			}
			r.launch("c1", "echo hello")
			r.ended("c1")
			if out := read(t, filepath.Join(sandbox, "stdout")); out != "hello\n" {
				t.Errorf("stdout %q", out)
			}
			if _, err := os.Lstat(outside); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the link's target was written: %v", err)
			}
		})
	}
}

func TestACommandMayCloseItsOutput(t *testing.T) {
	r := newRig(t, nil)
	sandbox := r.launch("c1", "echo before; exec >&- 2>&-; sleep 0.05; exit 4")
	if exit := r.ended("c1"); exit.GetWaitStatus() != 4<<8 {
		t.Errorf("exit %v, want status 4", exit)
	}
	if out := read(t, filepath.Join(sandbox, "stdout")); out != "before\n" {
		t.Errorf("stdout %q", out)
	}
}

func TestAGrandchildThatHoldsStdoutOpenDelaysNothing(t *testing.T) {
	r := newRig(t, nil)
	began := time.Now()
	sandbox := r.launch("c1", "(setsid sleep 300 &); echo done")
	if exit := r.ended("c1"); exit.GetWaitStatus() != 0 {
		t.Errorf("exit %v, want status 0", exit)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
	if out := read(t, filepath.Join(sandbox, "stdout")); out != "done\n" {
		t.Errorf("stdout %q", out)
	}
}

func TestACommandCanOpenItsStandardStreamsByName(t *testing.T) {
	r := newRig(t, nil)
	sandbox := r.launch("c1", "echo one > /dev/stdout; echo two > /dev/stderr; cat /dev/stdin")
	if exit := r.ended("c1"); exit.GetWaitStatus() != 0 {
		t.Errorf("exit %v, want status 0: %s", exit, read(t, filepath.Join(sandbox, "stderr")))
	}
	if out := read(t, filepath.Join(sandbox, "stdout")); out != "one\n" {
		t.Errorf("stdout %q", out)
	}
}

func TestACommandOfAnotherUserCanOpenThemToo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: runs a command as nobody")
	}
	r := newRig(t, nil)
	if err := os.Chmod(filepath.Dir(r.workDir), 0o755); err != nil { // a test's folder is for its own user only
		t.Fatal(err)
	}
	sandbox := r.sandbox("c1")
	r.slave.Send(r.host, &wire.LaunchExecutor{
		ContainerId: mesos.NewContainerID("c1"), Directory: sandbox, User: "nobody",
		Executor: &mesos.ExecutorInfo{Command: &mesos.CommandInfo{Value: proto.String("id -un > /dev/stdout")}},
	})
	if exit := r.ended("c1"); exit.GetCause() != wire.ContainerExit_EXITED || exit.GetWaitStatus() != 0 {
		t.Errorf("exit %v, want status 0: %s", exit, read(t, filepath.Join(sandbox, "stderr")))
	}
	if out := read(t, filepath.Join(sandbox, "stdout")); out != "nobody\n" {
		t.Errorf("stdout %q", out)
	}
}

func TestACommandSeesNothingOfTheHostsEnvironment(t *testing.T) {
	t.Setenv("STOA_SECRET_OF_THE_HOST", "x")
	r := newRig(t, nil)
	sandbox := r.launch("c1", "env -u PWD -u OLDPWD -u SHLVL -u _ | sort; pwd")
	r.ended("c1")
	out := read(t, filepath.Join(sandbox, "stdout"))
	for line := range strings.Lines(out) {
		name, _, isVariable := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if isVariable && name != "HOME" && name != "PATH" && name != "USER" && name != "STOA_BINARY" {
			t.Errorf("the command sees %s", name)
		}
	}
	if !strings.HasSuffix(out, "\n"+sandbox+"\n") {
		t.Errorf("the command does not run in its sandbox %s: %q", sandbox, out)
	}
}

func TestWhatCanNotBeStartedIsReportedOnce(t *testing.T) {
	r := newRig(t, nil)
	launch := func(id string, command *mesos.CommandInfo, directory string) {
		r.slave.Send(r.host, &wire.LaunchExecutor{
			ContainerId: mesos.NewContainerID(id), Directory: directory, Executor: &mesos.ExecutorInfo{Command: command},
		})
	}
	exec := func(path string) *mesos.CommandInfo {
		return &mesos.CommandInfo{Shell: proto.Bool(false), Value: &path}
	}
	for _, test := range []struct {
		id      string
		command *mesos.CommandInfo
		outside bool
		cause   wire.ContainerExit_Cause
		message string
	}{
		{"c1", exec("no-such-command"), false, wire.ContainerExit_NOT_FOUND, `"no-such-command"`},
		{"c2", exec("/etc/passwd"), false, wire.ContainerExit_NOT_EXECUTABLE, `"/etc/passwd"`},
		{"c3", exec("/"), false, wire.ContainerExit_NOT_EXECUTABLE, `"/"`},
		{"c4", &mesos.CommandInfo{}, false, wire.ContainerExit_LAUNCH_FAILED, "the command is empty"},
		{"c5", exec("/bin/true"), true, wire.ContainerExit_LAUNCH_FAILED, "below the work_dir"},
	} {
		directory := r.sandbox(test.id)
		if test.outside {
			directory = t.TempDir()
		}
		launch(test.id, test.command, directory)
		exit := r.ended(test.id)
		if exit.GetCause() != test.cause || !strings.Contains(exit.GetMessage(), test.message) {
			t.Errorf("%s: %s %q, want %s and %q", test.id, exit.GetCause(), exit.GetMessage(), test.cause, test.message)
		}
	}
	r.slave.ExpectNone(t)
}

func TestAKilledExecutorIsReportedWhenNothingOfItRuns(t *testing.T) {
	r := newRig(t, nil)
	r.launch("c1", "trap '' TERM; sleep 300")
	started := actortest.Await[*wire.ExecutorStarted](t, r.slave)
	r.slave.Send(r.host, &wire.KillExecutor{ContainerId: mesos.NewContainerID("c1")})
	if exit := r.ended("c1"); exit.GetCause() != wire.ContainerExit_KILLED {
		t.Errorf("exit %v, want KILLED", exit)
	}
	if err := syscall.Kill(int(started.GetPid()), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d still exists: %v", started.GetPid(), err)
	}
}

func TestTheHostEndsWithItsSlaveAndTakesAllContainersWithIt(t *testing.T) {
	r := newRig(t, nil)
	var pids []int
	for i := range 5 {
		r.launch(fmt.Sprintf("c%d", i), "sleep 300")
		pids = append(pids, int(actortest.Await[*wire.ExecutorStarted](t, r.slave).GetPid()))
	}
	r.sys.Stop(r.slave.PID())
	if err := r.isDone(); err == nil || !strings.Contains(err.Error(), "the slave") {
		t.Errorf("the host ended with %v, want that the slave is gone", err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d still exists: %v", pid, err)
		}
	}
}

func TestAHostThatIsTerminatedEndsInOrder(t *testing.T) {
	r := newRig(t, nil)
	r.launch("c1", "sleep 300")
	actortest.Await[*wire.ExecutorStarted](t, r.slave)
	r.sys.Send(r.host, host.Terminate{})
	if exit := r.ended("c1"); exit.GetCause() != wire.ContainerExit_KILLED {
		t.Errorf("exit %v, want KILLED", exit)
	}
	if err := r.isDone(); err != nil {
		t.Error(err)
	}
}

func TestAHostWhoseSlaveIsNotThereGivesUp(t *testing.T) {
	sys := actor.NewSystem(actor.SystemOptions{Node: "host-1"})
	defer sys.Shutdown(context.Background())
	done := make(chan error, 1)
	containers, err := process.New(process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sys.Spawn("host", host.New(host.Config{
		ID: "h1", WorkDir: t.TempDir(), Containerizer: containers, RegisterTimeout: time.Millisecond, Done: func(err error) { done <- err },
	}))
	select {
	case err := <-done:
		if err == nil {
			t.Error("a host without a slave ended without saying why")
		}
	case <-time.After(actortest.Deadline):
		t.Fatal("the host has not ended")
	}
}

func TestAHostThatIsRefusedSaysWhy(t *testing.T) {
	sys := actor.NewSystem(actor.SystemOptions{Node: "host-1"})
	defer sys.Shutdown(context.Background())
	slave := actortest.Named(t, sys, "slave")
	slave.React(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*wire.RegisterHost); ok {
			ctx.Reply(&wire.Refused{Reason: `host "h1" is not the one`})
		}
	})
	done := make(chan error, 1)
	containers, err := process.New(process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sys.Spawn("host", host.New(host.Config{ID: "h1", WorkDir: t.TempDir(), Containerizer: containers, Done: func(err error) { done <- err }}))
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), `host "h1" is not the one`) {
			t.Errorf("the host ended with %v", err)
		}
	case <-time.After(actortest.Deadline):
		t.Fatal("the host has not ended")
	}
}

func TestManyContainersAtOnce(t *testing.T) {
	const n = 50
	r := newRig(t, nil)
	for i := range n {
		r.launch(fmt.Sprintf("c%d", i), fmt.Sprintf("echo %d; exit %d", i, i))
	}
	for range n {
		ended := actortest.Await[*wire.ExecutorEnded](t, r.slave)
		var i int
		if _, err := fmt.Sscanf(ended.GetContainerId().GetValue(), "c%d", &i); err != nil {
			t.Fatal(err)
		}
		if status := ended.GetExit().GetWaitStatus(); status != int32(i<<8) {
			t.Errorf("container %d: wait status %#x", i, status)
		}
		if out := read(t, filepath.Join(r.sandbox(fmt.Sprintf("c%d", i)), "stdout")); out != fmt.Sprintf("%d\n", i) {
			t.Errorf("container %d: stdout %q", i, out)
		}
	}
}
