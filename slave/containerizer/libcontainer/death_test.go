//go:build linux && cgo

package libcontainer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
)

// hostVariable makes this test binary a host of its own, to be killed: it holds
// the host id, and the other variables say where the host lives.
const (
	hostVariable = "STOA_TEST_HOST"
	workVariable = "STOA_TEST_WORK"
	markVariable = "STOA_TEST_MARK"

	// pointVariable is the Point at which a helper host kills itself, userVariable whom its commands run as.
	pointVariable = "STOA_TEST_POINT"
	userVariable  = "STOA_TEST_USER"

	// gone is how soon nothing may be left of a killed host's processes.
	gone = 2 * time.Second
)

// containersOfHost is how many containers a helper host starts.
const containersOfHost = 4

// beHost starts containers, says so, and waits to be killed.
func beHost() {
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	if os.Getenv("STOA_TEST_UNSEALED") == "" {
		fail(Seal())
	}
	host, work := os.Getenv(hostVariable), os.Getenv(workVariable)
	containers, err := New(Options{
		StateDir: filepath.Join(filepath.Dir(work), "state"), HostID: host,
		CgroupParent: os.Getenv("STOA_TEST_CGROUP") + "/" + host, WorkDir: work, Passed: dieAt(Point(os.Getenv(pointVariable))),
	})
	fail(err)
	command := `trap "" TERM HUP; (setsid sleep 1000 &); sleep 1000`
	if os.Getenv(pointVariable) != "" {
		command = `(setsid sleep 1000 &); sleep 0.05`
	}
	for i := range containersOfHost {
		sandbox := filepath.Join(work, fmt.Sprint(host, "-", i))
		fail(os.MkdirAll(sandbox, 0o755))
		container, err := containers.Start(context.Background(), containerizer.Spec{
			ID: fmt.Sprint("c", i), Sandbox: sandbox, Env: []string{"PATH=/usr/bin:/bin", os.Getenv(markVariable)},
			Args: []string{"sh", "-c", command}, User: os.Getenv(userVariable),
		}, containerizer.Stdio{})
		fail(err)
		go func() { _, _ = container.Wait() }()
	}
	comm, _ := os.ReadFile("/proc/self/comm")
	binary, err := Executable()
	fail(err)
	fmt.Printf("ready %d %s %s %s\n", os.Getpid(), os.Args[0], strings.TrimSpace(string(comm)), binary)
	select {}
}

// dieAt kills this process at a point, by its own hand: nobody is quicker.
func dieAt(point Point) func(Point) {
	return func(passed Point) {
		if passed == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal may reach another thread first
		}
	}
}

// helper is a host in a process of its own.
type helper struct {
	process *exec.Cmd
	ready   []string // the words of its first line
}

// hostCommand is a helper host that does not run yet.
func hostCommand(t *testing.T, w *containertest.Watch, id string, env ...string) *exec.Cmd {
	t.Helper()
	binary, err := Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Args = []string{"stoa-host", "host", "--some-flag"}
	cmd.Env = append([]string{
		"PATH=/usr/bin:/bin", hostVariable + "=" + id, workVariable + "=" + w.Work,
		markVariable + "=" + w.Marker(), "STOA_TEST_CGROUP=" + w.Cgroup,
	}, env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func startHost(t *testing.T, w *containertest.Watch, id string, env ...string) helper {
	t.Helper()
	cmd := hostCommand(t, w, id, env...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended already, unless the test failed
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready ") {
		t.Fatalf("host %s said %q, %v", id, line, err)
	}
	return helper{process: cmd, ready: strings.Fields(line)}
}

func (h helper) kill(t *testing.T) {
	t.Helper()
	if err := h.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.process.Wait() // says that it was killed
}

func TestNothingRunsOnWhenAHostIsKilled(t *testing.T) {
	containertest.Root(t)
	for _, how := range []string{"sealed", "unsealed"} {
		t.Run(how, func(t *testing.T) {
			w := containertest.New(t)
			var env []string
			if how == "unsealed" {
				env = []string{"STOA_TEST_UNSEALED=1"}
			}
			host := startHost(t, w, "doomed", env...)
			containertest.Poll(t, "three processes run in each container", containertest.Deadline, func() bool {
				return len(w.Processes()) == 3*containersOfHost
			})
			host.kill(t)
			containertest.Poll(t, "every process of the killed host has ended", gone, func() bool { return len(w.Processes()) == 0 })
			if len(w.Cgroups()) == 0 {
				t.Error("its cgroups are gone: this test has nothing to sweep")
			}

			next := open(t, w, "next")
			if err := next.Sweep(context.Background()); err != nil {
				t.Fatal(err)
			}
			for _, cgroup := range w.Cgroups() {
				if _, err := os.Stat(filepath.Join(cgroup, "doomed")); err == nil {
					t.Errorf("%s/doomed is left", cgroup)
				}
			}
			entries, err := os.ReadDir(w.State)
			if err != nil || len(entries) != 1 || entries[0].Name() != "next" {
				t.Errorf("the state directory has %v, %v", entries, err)
			}
			if err := next.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestASweepNeverTouchesALivingHost(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	host := startHost(t, w, "living")
	containertest.Poll(t, "three processes run in each container", containertest.Deadline, func() bool {
		return len(w.Processes()) == 3*containersOfHost
	})
	before := w.Processes()
	next := open(t, w, "next")
	if err := next.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Nor does a second host of its id, which is refused.
	if _, err := New(Options{StateDir: w.State, HostID: "living", CgroupParent: w.Cgroup + "/living", WorkDir: w.Work}); !errors.Is(err, errInUse) {
		t.Errorf("a second host of the same id: %v", err)
	}
	if after := w.Processes(); !slices.Equal(before, after) {
		t.Errorf("processes were %v and are %v", before, after)
	}
	if _, err := os.Stat(filepath.Join(w.State, "living", recordName)); err != nil {
		t.Error(err)
	}
	host.kill(t)
	containertest.Poll(t, "every process of the killed host has ended", gone, func() bool { return len(w.Processes()) == 0 })
	if err := next.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

// A host that starts again under its own id finds its remains and removes them.
func TestAHostTakesOverWhatItLeftItself(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	startHost(t, w, "host").kill(t)
	again := open(t, w, "host")
	spec := w.Spec("c0", "exit 2") // an id that is in use as far as the remains say
	if got := containertest.Run(t, again, spec).Exit; got.Status != 2<<8 {
		t.Errorf("got %+v", got)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// What survives without a reaper, such as a container that was being made, is
// found by its cgroup.
func TestASweepEndsWhatStillRunsInADeadHostsCgroup(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	startHost(t, w, "doomed").kill(t)
	survivor := exec.Command("sleep", "1000")
	survivor.Env = []string{w.Marker()}
	if err := survivor.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- survivor.Wait() }()
	tree, err := treeOf(w.Cgroup + "/doomed/half-made")
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.manager.Apply(survivor.Process.Pid); err != nil {
		t.Fatal(err)
	}
	next := open(t, w, "next")
	if err := next.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(gone):
		t.Error("it lives on")
		_ = survivor.Process.Kill()
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAHostMayBeKilledBetweenAnyTwoStepsOfAContainer has hosts die at each point, each with a container of root and one
// of another user. Nothing runs on, with nobody there to sweep, and what else is left the next host removes.
func TestAHostMayBeKilledBetweenAnyTwoStepsOfAContainer(t *testing.T) {
	containertest.Root(t)
	for _, point := range Points() {
		for _, user := range []string{"root", "nobody"} {
			t.Run(fmt.Sprintf("%s as %s", point, user), func(t *testing.T) {
				w := containertest.New(t)
				host := hostCommand(t, w, "doomed", pointVariable+"="+string(point), userVariable+"="+user)
				host.Stdout = os.Stderr
				if err := host.Run(); err == nil || host.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the host ended by itself: %v", err)
				}
				containertest.Poll(t, "nothing of the killed host runs", lifeline, func() bool {
					return len(w.Processes())+len(containertest.Inside(w.State))+len(cgroupProcesses(t, w)) == 0
				})
				next := open(t, w, "next")
				if err := errors.Join(next.Sweep(context.Background()), next.Close()); err != nil {
					t.Fatal(err)
				}
				if left := w.Cgroups(); len(left) > 0 {
					t.Errorf("cgroups are left: %v", left)
				}
			})
		}
	}
}

// lifeline is how soon nothing of a killed host may run, whoever else was killed with it.
const lifeline = 5 * time.Second

// cgroupProcesses lists the processes in all cgroups of a test.
func cgroupProcesses(t *testing.T, w *containertest.Watch) []int {
	t.Helper()
	all, err := treeOf(w.Cgroup)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := all.processes()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return pids
}

// A kill at any moment of a start leaves nothing that Sweep does not end.
func TestAHostMayBeKilledAtAnyMomentOfAStart(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	for i := range 15 {
		binary, err := Executable()
		if err != nil {
			t.Fatal(err)
		}
		host := exec.Command(binary, "host")
		host.Env = []string{
			"PATH=/usr/bin:/bin", hostVariable + "=early", workVariable + "=" + w.Work,
			markVariable + "=" + w.Marker(), "STOA_TEST_CGROUP=" + w.Cgroup, "STOA_TEST_UNSEALED=1",
		}
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(5+3*i) * time.Millisecond) // the moment is the point
		if err := host.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = host.Wait()
		// A process that it was about to start may hold the host's lock a moment longer than the host lived.
		containertest.Poll(t, fmt.Sprintf("nothing of the host killed in round %d is left", i), gone, func() bool {
			next := open(t, w, "next")
			if err := errors.Join(next.Sweep(context.Background()), next.Close()); err != nil {
				t.Fatal(err)
			}
			return len(w.Processes()) == 0 && len(w.Cgroups()) == 0
		})
	}
}

func TestASealedHostKeepsItsNameAndKnowsItsBinary(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	host := startHost(t, w, "sealed")
	binary, err := Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ready", strconv.Itoa(host.process.Process.Pid), "stoa-host", "stoa-host", binary}
	if !slices.Equal(host.ready, want) {
		t.Errorf("got %q, want %q", host.ready, want)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", host.process.Process.Pid))
	if want := "stoa-host\x00host\x00--some-flag\x00"; err != nil || string(line) != want {
		t.Errorf("its arguments are %q, %v", line, err)
	}
	if link, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", host.process.Process.Pid)); !strings.HasPrefix(link, "/memfd:") {
		t.Errorf("it runs from %s", link)
	}
	file, err := os.OpenFile(fmt.Sprintf("/proc/%d/exe", host.process.Process.Pid), os.O_WRONLY, 0)
	if err == nil {
		file.Close()
		t.Error("its binary can be opened for writing")
	}
	host.kill(t)
	next := open(t, w, "next")
	if err := errors.Join(next.Sweep(context.Background()), next.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestBadOptionsAreRefusedWithTheirValue(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	good := Options{StateDir: w.State, HostID: "h", CgroupParent: w.Cgroup, WorkDir: w.Work}
	for value, spoil := range map[string]func(*Options){
		"a/b":      func(o *Options) { o.HostID = "a/b" },
		"state":    func(o *Options) { o.StateDir = "state" },
		"work":     func(o *Options) { o.WorkDir = "work" },
		"/a/../b":  func(o *Options) { o.CgroupParent = "/a/../b" },
		"relative": func(o *Options) { o.CgroupParent = "relative" },
		"hidden":   func(o *Options) { o.Hide = []string{"hidden"} },
		"/no/dir":  func(o *Options) { o.WorkDir = "/no/dir" },
	} {
		options := good
		spoil(&options)
		_, err := New(options)
		if err == nil || !strings.Contains(err.Error(), value) {
			t.Errorf("%q: got %v", value, err)
		}
	}
	_ = os.Remove(w.State) // made before the last one was refused
}

func TestAvailableNamesWhatIsMissing(t *testing.T) {
	err := Available()
	if os.Geteuid() == 0 {
		return // whether containers work here is what all the other tests show
	}
	if err == nil || !strings.Contains(err.Error(), "root") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestTheCommandOfAnExitedHostIsKilledByTheKernel(t *testing.T) {
	// Without a host that reads, the reaper's last word goes nowhere, and it ends all the same.
	containertest.Root(t)
	w := containertest.New(t)
	host := startHost(t, w, "stopped")
	if err := host.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, pid := range w.Processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // one ends by the other
	}
	containertest.Poll(t, "the containers have ended although their host does not listen", gone, func() bool { return len(w.Processes()) == 0 })
	host.kill(t)
	next := open(t, w, "next")
	if err := errors.Join(next.Sweep(context.Background()), next.Close()); err != nil {
		t.Fatal(err)
	}
}
