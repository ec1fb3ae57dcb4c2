//go:build cgo

package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
	"github.com/stoa-project/stoa/slave/containerizer/process"
)

// hostVariable makes this test binary a host, to be killed.
const (
	hostVariable = "STOA_TEST_HOST"
	markVariable = "STOA_TEST_MARK"

	// scriptVariable is what its command does: it kills it when it reads a line.
	scriptVariable = "STOA_TEST_SCRIPT"

	// gone is how soon nothing may be left of a killed host's processes.
	gone = 2 * time.Second

	daemons = `trap "" TERM HUP; (setsid sh -c "(setsid sleep 1000 &) ; sleep 1000" &); sleep 1000`
)

func TestMain(m *testing.M) {
	if os.Getenv(hostVariable) != "" {
		beHost()
	}
	goleak.VerifyTestMain(m)
}

func beHost() {
	containers, err := process.New(process.Options{Adopt: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	start := func(id, script string) (containerizer.Container, error) {
		return containers.Start(context.Background(), containerizer.Spec{
			ID: id, Args: []string{"sh", "-c", script}, Sandbox: os.Getenv(hostVariable),
			Env: []string{"PATH=/usr/bin:/bin", os.Getenv(markVariable)},
		}, containerizer.Stdio{})
	}
	container, err := start("c", os.Getenv(scriptVariable))
	fmt.Println("ready", err)
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); err != nil {
		select {}
	}
	// A neighbour is no orphan.
	neighbour, _ := start("n", "exec sleep 0.5")
	_ = container.Kill()
	exit, err := container.Wait()
	fmt.Println("ended", exit.Killed, err)
	exit, err = neighbour.Wait()
	fmt.Println("neighbour", exit.Status, err)
	select {}
}

// host starts a host with one command, and returns it with its input and output.
func host(t *testing.T, w *containertest.Watch, script string) (*exec.Cmd, io.Writer, *bufio.Reader) {
	t.Helper()
	host := exec.Command("/proc/self/exe")
	host.Env = []string{hostVariable + "=" + w.Sandbox("s"), markVariable + "=" + w.Marker(), scriptVariable + "=" + script}
	stdin, err := host.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = host.Process.Kill()
		_ = host.Wait() // says that it was killed
	})
	said := bufio.NewReader(stdout)
	if line, err := said.ReadString('\n'); err != nil || line != "ready <nil>\n" {
		t.Fatalf("the host said %q, %v", line, err)
	}
	return host, stdin, said
}

func open(t testing.TB) *process.Containerizer {
	t.Helper()
	containers, err := process.New(process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := containers.Close(); err != nil {
			t.Error(err)
		}
	})
	return containers
}

func TestPlainProcessesKeepTheContract(t *testing.T) {
	containertest.Conform(t, func(t testing.TB, _ *containertest.Watch) containerizer.Containerizer { return open(t) })
}

func TestNothingRunsOnWhenAHostIsKilled(t *testing.T) {
	w := containertest.New(t)
	host, _, _ := host(t, w, daemons)
	containertest.Poll(t, "the command and its daemons run", containertest.Deadline, func() bool { return len(w.Processes()) >= 4 })
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Poll(t, "every process of the killed host has ended", gone, func() bool { return len(w.Processes()) == 0 })
}

func TestACommandThatKillsItsReaperEndsToo(t *testing.T) {
	w := containertest.New(t)
	c := open(t)
	spec := w.Spec("patricide", "while [ ! -e go ]; do sleep 0.01; done; sleep 1000 & kill -9 $PPID; sleep 1000")
	container := containertest.Start(t, c, spec)
	if err := os.WriteFile(filepath.Join(spec.Sandbox, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	exit, err := container.Wait()
	if err == nil || !exit.Status.Signaled() || time.Since(begun) > containertest.Deadline {
		t.Errorf("got %+v, %v", exit, err)
	}
	containertest.Poll(t, "its processes have ended", gone, func() bool { return len(w.Processes()) == 0 })
}

// A command can do to its reaper what it can do to any process of its user.
func TestACommandCantEscapeByItsReaper(t *testing.T) {
	const away = `(setsid sh -c "(setsid sleep 1000 &) ; sleep 1000" &); `
	for name, one := range map[string]struct{ script, ended string }{
		"it stops it":            {away + "kill -STOP $PPID; trap '' TERM; : > done; sleep 1000", "ended true <nil>\n"},
		"it stops it ever again": {away + "(while :; do kill -STOP $0; done)& : > done; sleep 1000", "ended true <nil>\n"},
		"it kills it":            {away + "sleep 0.2; : > done; kill -9 $PPID; sleep 1000", "ended true the reaper ended without a word\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := containertest.New(t)
			_, stdin, said := host(t, w, strings.ReplaceAll(one.script, "$0", "$PPID"))
			containertest.Poll(t, "it has done it", containertest.Deadline, func() bool {
				_, err := os.Stat(filepath.Join(w.Sandbox("s"), "done"))
				return err == nil
			})
			if _, err := stdin.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{one.ended, "neighbour 0 <nil>\n"} {
				if line, err := said.ReadString('\n'); err != nil || line != want {
					t.Errorf("the host said %q, %v, want %q", line, err, want)
				}
			}
			containertest.Poll(t, "its processes have ended", gone, func() bool { return len(w.Processes()) == 0 })
		})
	}
}

// A reaper that is stopped does not see that its host is gone.
func TestNothingRunsOnWhenAHostIsKilledWhoseReaperIsStopped(t *testing.T) {
	w := containertest.New(t)
	host, _, _ := host(t, w, "kill -STOP $PPID; : > done; sleep 1000")
	containertest.Poll(t, "it has stopped its reaper", containertest.Deadline, func() bool {
		_, err := os.Stat(filepath.Join(w.Sandbox("s"), "done"))
		return err == nil
	})
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Poll(t, "every process of the killed host has ended", gone, func() bool { return len(w.Processes()) == 0 })
}

func TestVolumesAreLinksInTheSandboxOrRefused(t *testing.T) {
	w := containertest.New(t)
	c := open(t)
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := w.Spec("links", "cat in/put/file in/abs/file "+source+"/file")
	spec.Volumes = []containerizer.Volume{
		{HostPath: source, ContainerPath: "in/put", ReadOnly: true},
		{HostPath: source, ContainerPath: filepath.Join(spec.Sandbox, "in/abs")},
		{HostPath: source, ContainerPath: source},
	}
	for range 2 { // a second start in the same sandbox finds the links
		if got := containertest.Run(t, c, spec); got.Stdout != strings.Repeat("content\n", 3) {
			t.Errorf("got %q %s", got.Stdout, got.Stderr)
		}
	}
	spec.Volumes = []containerizer.Volume{{HostPath: source, ContainerPath: "/elsewhere"}}
	_, err := c.Start(context.Background(), spec, containerizer.Stdio{})
	var wrong *containerizer.SpecError
	if !errors.As(err, &wrong) || wrong.Value != "/elsewhere" {
		t.Errorf("got %v", err)
	}
	// A link in the sandbox must not lead the making of a volume's place out of it.
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(spec.Sandbox, "out")); err != nil {
		t.Fatal(err)
	}
	spec.Volumes = []containerizer.Volume{{HostPath: source, ContainerPath: "out/volume"}}
	if _, err := c.Start(context.Background(), spec, containerizer.Stdio{}); err == nil {
		t.Error("a volume was placed through a link out of the sandbox")
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("made outside: %v", entries)
	}
}

func TestAnotherUserNeedsRoot(t *testing.T) {
	w := containertest.New(t)
	c := open(t)
	spec := w.Spec("user", "id -u; id -g; (setsid sleep 1000 &) ; kill -TERM $$")
	spec.User = "nobody"
	if os.Geteuid() != 0 {
		spec.User = "root"
		_, err := c.Start(context.Background(), spec, containerizer.Stdio{})
		var wrong *containerizer.SpecError
		if !errors.As(err, &wrong) || wrong.Field != "User" {
			t.Errorf("got %v", err)
		}
		return
	}
	got := containertest.Run(t, c, spec)
	if got.Stdout != "65534\n65534\n" || got.Exit.Status != syscall.WaitStatus(syscall.SIGTERM) {
		t.Errorf("got %+v", got)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	c := open(t)
	if len(c.Missing()) == 0 || c.Name() != "process" || !filepath.IsAbs(c.Binary()) {
		t.Errorf("got %q, %q, %q", c.Name(), c.Binary(), c.Missing())
	}
}

// BenchmarkStart measures one command from Start to the end of Wait, and prints
// how many times that of a bare fork and exec it is.
func BenchmarkStart(b *testing.B) {
	w := containertest.New(b)
	c := open(b)
	spec := w.Spec("bench", "")
	spec.Args = []string{"/bin/true"}
	var floor time.Duration
	for b.Loop() {
		b.StopTimer()
		begun := time.Now()
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		floor += time.Since(begun)
		b.StartTimer()
		containertest.Await(b, containertest.Start(b, c, spec))
	}
	floor /= time.Duration(b.N)
	b.ReportMetric(float64(b.Elapsed()/time.Duration(b.N))/float64(floor), "x-floor")
	b.ReportMetric(float64(floor.Nanoseconds()), "floor-ns/op")
}
