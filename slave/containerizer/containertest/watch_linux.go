package containertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
)

const (
	// Deadline is how long a test waits for what must happen.
	Deadline = 10 * time.Second

	// marker is the environment variable by which the processes of a test are
	// known, whoever their parent is by now.
	marker = "STOA_TEST"

	// pollPeriod is how often a condition is looked at.
	pollPeriod = 2 * time.Millisecond
)

// Root skips a test that needs root. In CI (the environment has CI=true) it
// fails instead: there nothing may be skipped.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this test needs root, and CI must not skip it")
	}
	t.Skip("needs root")
}

// Poll waits until condition holds and fails the test if it takes too long.
func Poll(t testing.TB, what string, within time.Duration, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !condition(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-time.After(pollPeriod)
	}
}

// Watch is the place and the conscience of one test.
type Watch struct {
	t      testing.TB
	id     string
	mounts []string

	// Work is the slave's work directory, empty at first.
	Work string

	// State is where a state directory may be made.
	State string

	// Cgroup is the cgroup below which the test may make its own.
	Cgroup string
}

// New starts a watch. When the test has ended, nothing of it may be left.
func New(t testing.TB) *Watch {
	t.Helper()
	// A name of the hard kind: spaces and colons are legal in paths.
	base := filepath.Join(t.TempDir(), "a place: with spaces")
	id := fmt.Sprintf("%d.%d", os.Getpid(), time.Now().UnixNano())
	w := &Watch{
		t: t, id: id, mounts: mounts(t),
		Work: filepath.Join(base, "work"), State: filepath.Join(base, "state"), Cgroup: "/stoa-test/" + id,
	}
	if err := os.MkdirAll(w.Work, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(base)), 0o755); err != nil { // for other users
		t.Fatal(err)
	}
	t.Cleanup(w.check)
	return w
}

// Env is a small environment that marks the processes of the test.
func (w *Watch) Env() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", w.Marker()}
}

// Marker is the entry of the environment by which its processes are known.
func (w *Watch) Marker() string { return marker + "=" + w.id }

// Sandbox makes the sandbox of container id.
func (w *Watch) Sandbox(id string) string {
	w.t.Helper()
	path := filepath.Join(w.Work, "slaves", "s:1", "runs", id)
	if err := os.MkdirAll(path, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// Spec is that of a shell command with a sandbox of its own.
func (w *Watch) Spec(id, script string) containerizer.Spec {
	return containerizer.Spec{
		ID: id, Args: []string{"sh", "-c", script}, Env: w.Env(), Sandbox: w.Sandbox(id),
	}
}

// Processes lists those that carry the marker: the commands and what came from
// them. A zombie counts until it is reaped, unless it has lost its environment.
func (w *Watch) Processes() []int {
	w.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Fatal(err)
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err == nil && slices.Contains(strings.Split(string(env), "\x00"), w.Marker()) {
			found = append(found, pid)
		}
	}
	return found
}

// Cgroups lists the directories of the test's cgroup in all hierarchies.
func (w *Watch) Cgroups() []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		matches, err := filepath.Glob(pattern + w.Cgroup)
		if err != nil {
			w.t.Fatal(err)
		}
		found = append(found, matches...)
	}
	return found
}

// check fails the test for everything that is left.
func (w *Watch) check() {
	w.t.Helper()
	if w.t.Failed() {
		return // what is left may be the very reason
	}
	if left := w.Processes(); len(left) > 0 {
		w.t.Errorf("processes are left: %v", left)
	}
	Poll(w.t, "no process is left that sees a container's root", Deadline, func() bool { return len(Inside(w.State)) == 0 })
	if left := children(); len(left) > 0 {
		w.t.Errorf("children of the host are left: %v", left)
	}
	if left := w.Cgroups(); len(left) > 0 {
		w.t.Errorf("cgroups are left: %v", left)
	}
	if _, err := os.Stat(w.State); err == nil {
		_ = filepath.WalkDir(w.State, func(path string, _ fs.DirEntry, err error) error {
			w.t.Errorf("state is left: %s %v", path, err)
			return nil
		})
	}
	for _, mount := range mounts(w.t) {
		if strings.Contains(mount, "stoa") && !slices.Contains(w.mounts, mount) {
			w.t.Errorf("a mount is left: %s", mount)
		}
	}
}

// children lists this process's children with their command lines.
func children() []string {
	var found []string
	for _, pid := range containerizer.Children() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		found = append(found, fmt.Sprintf("%d %s", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	}
	return found
}

func mounts(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "\n")
}

// Result is what a command that has ended said and did.
type Result struct {
	Stdout, Stderr string
	Exit           containerizer.Exit
}

// Run runs spec to its end.
func Run(t testing.TB, c containerizer.Containerizer, spec containerizer.Spec) Result {
	t.Helper()
	stdout, stderr := collect(t), collect(t)
	container, err := c.Start(context.Background(), spec, containerizer.Stdio{Stdout: stdout.end, Stderr: stderr.end})
	stdout.end.Close()
	stderr.end.Close()
	if err != nil {
		t.Fatalf("start %q: %v", spec.Args, err)
	}
	exit, err := container.Wait()
	if err != nil {
		t.Fatalf("wait for %q: %v", spec.Args, err)
	}
	return Result{Stdout: <-stdout.text, Stderr: <-stderr.text, Exit: exit}
}

// Start starts spec with its output thrown away.
func Start(t testing.TB, c containerizer.Containerizer, spec containerizer.Spec) containerizer.Container {
	t.Helper()
	container, err := c.Start(context.Background(), spec, containerizer.Stdio{})
	if err != nil {
		t.Fatalf("start %q: %v", spec.Args, err)
	}
	return container
}

// Await waits for the end of a container and fails the test if it takes too long.
func Await(t testing.TB, container containerizer.Container) containerizer.Exit {
	t.Helper()
	type answer struct {
		exit containerizer.Exit
		err  error
	}
	ended := make(chan answer, 1)
	go func() {
		exit, err := container.Wait()
		ended <- answer{exit, err}
	}()
	select {
	case got := <-ended:
		if got.err != nil {
			t.Fatalf("container %s: %v", container.ID(), got.err)
		}
		return got.exit
	case <-time.After(Deadline):
		t.Fatalf("container %s did not end within %v", container.ID(), Deadline)
	}
	panic("not reached")
}

// collected is a pipe that is read to its end.
type collected struct {
	end  *os.File
	text chan string
}

func collect(t testing.TB) collected {
	t.Helper()
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := collected{end: theirs, text: make(chan string, 1)}
	go func() {
		data, err := io.ReadAll(ours)
		if err != nil {
			data = append(data, err.Error()...)
		}
		ours.Close()
		c.text <- string(data)
	}()
	return c
}
