package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stoa-project/stoa/integration"
)

const (
	// patience is how long a test with real processes waits for what must happen: long, for the machine may be busy.
	patience = 2 * time.Minute
	// pollEvery is how often a condition is looked at there.
	pollEvery = 20 * time.Millisecond
	// cleanWithin is how long what has ended may take to be gone.
	cleanWithin = 5 * time.Second
)

// built is where the stoa program of this run of the tests lies. TestMain removes it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	if program := os.Getenv(programEnv); program != "" {
		beProgram(program)
	}
	if ossignal.Ignored(os.Interrupt) {
		// It is for what a shell runs in the background, and the programs under test would inherit that: a Ctrl-C that comes before
		// they listen would be lost.
		ossignal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// stoaProgram builds the stoa program, once.
func stoaProgram(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "stoa-under-test-"); built.err != nil {
			return
		}
		command := exec.Command("go", "build", "-o", built.dir, "./cmd/stoa")
		command.Dir = ".."
		if output, err := command.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build ./cmd/stoa: %w\n%s", err, output)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "stoa")
}

// needsRoot skips a test for users without root, but not in CI.
func needsRoot(t testing.TB) {
	t.Helper()
	integration.NeedsRoot(t)
}

// needsProcesses skips a test with real processes where the system does not show them, and when little time is wanted.
func needsProcesses(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real clusters, which -short leaves out")
	}
	if runtime.GOOS != "linux" {
		t.Skip("looks for processes in /proc, which only Linux has")
	}
}

// ground is where the processes of one test live. They are known by the folder for temporary files that they were given,
// and nothing of them may be left when the test has ended.
type ground struct {
	t   testing.TB
	tmp string

	mu    sync.Mutex
	hosts map[string]bool // ids of hosts that were seen; their cgroups have these names
}

func newGround(t testing.TB) *ground {
	t.Helper()
	needsProcesses(t)
	stoaProgram(t)
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // tasks may run as other users
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g := &ground{t: t, tmp: filepath.Join(dir, "tmp"), hosts: map[string]bool{}}
	if err := os.Mkdir(g.tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	census.join(g)
	t.Cleanup(func() {
		census.leave(g)
		g.expectClean()
	})
	return g
}

// underEachIsolation runs a test that has a ground of its own with each --isolation, beside others.
func underEachIsolation(t *testing.T, test func(t *testing.T, g *ground, isolation string)) {
	for _, isolation := range []string{"libcontainer", "process"} {
		t.Run(isolation, func(t *testing.T) {
			if isolation == "libcontainer" {
				needsRoot(t)
			}
			g := newGround(t)
			t.Parallel()
			test(t, g, isolation)
		})
	}
}

// hostCensus looks for hosts while there are tests that want to know of theirs: at all processes once, however many tests run.
type hostCensus struct {
	mu      sync.Mutex
	grounds []*ground
	stop    chan struct{}
}

var census hostCensus

func (c *hostCensus) join(g *ground) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grounds = append(c.grounds, g)
	if len(c.grounds) == 1 {
		c.stop = make(chan struct{})
		go c.watch(c.stop)
	}
}

func (c *hostCensus) leave(g *ground) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grounds = slices.DeleteFunc(c.grounds, func(other *ground) bool { return other == g })
	if len(c.grounds) == 0 {
		close(c.stop)
	}
}

func (c *hostCensus) watch(stop chan struct{}) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		c.look()
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// look notes the hosts that live, each with the test whose folder its command names.
func (c *hostCensus) look() {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		line, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline")) // no process, or gone in the meantime
		p := runningProcess{args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")}
		if i := slices.Index(p.args, "--id"); i > 0 && i+1 < len(p.args) && p.is("host") {
			c.mu.Lock()
			for _, g := range c.grounds {
				if bytes.Contains(line, []byte(g.tmp+"/")) {
					g.saw(p.args[i+1])
				}
			}
			c.mu.Unlock()
		}
	}
}

// saw remembers a host that was seen.
func (g *ground) saw(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hosts[host] = true
}

// runningProcess is a process of this machine.
type runningProcess struct {
	pid    int
	parent int
	args   []string
}

// is tells whether it is the daemon of a name: "master", "slave", "host", "local", "demo".
func (p runningProcess) is(daemon string) bool {
	return len(p.args) > 1 && filepath.Base(p.args[0]) == "stoa" && p.args[1] == daemon
}

func (p runningProcess) String() string {
	return fmt.Sprintf("%d (child of %d): %s", p.pid, p.parent, strings.Join(p.args, " "))
}

// processes lists those of this test: stoa's, and what runs in their containers.
func (g *ground) processes() []runningProcess {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		g.t.Error(err)
	}
	var found []runningProcess
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline")) // gone in the meantime: not ours to find
		environment, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if !bytes.Contains(line, []byte(g.tmp+"/")) && !bytes.Contains(environment, []byte("="+g.tmp)) {
			continue
		}
		p := runningProcess{pid: pid, args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")}
		status, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if _, after, ok := strings.Cut(string(status), ") "); ok {
			_, _ = fmt.Sscanf(after[1:], "%d", &p.parent)
		}
		found = append(found, p)
	}
	return found
}

// daemons lists this test's daemons of a name.
func (g *ground) daemons(name string) []runningProcess {
	return slices.DeleteFunc(g.processes(), func(p runningProcess) bool { return !p.is(name) })
}

// tasks lists the processes that run in containers: those that are not stoa's own daemons and commands.
func (g *ground) tasks() []runningProcess {
	return slices.DeleteFunc(g.processes(), func(p runningProcess) bool {
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		return !bytes.Contains(environment, []byte("MESOS_TASK_ID="))
	})
}

// containerCgroups lists the cgroups of this test's containers.
func (g *ground) containerCgroups() []string {
	return g.cgroups("/*-*-*-*-*")
}

// cgroups lists the directories below the cgroups of this test's hosts that match a pattern, themselves if it is empty.
func (g *ground) cgroups(pattern string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []string
	for id := range g.hosts {
		for _, root := range []string{"/sys/fs/cgroup/stoa/", "/sys/fs/cgroup/*/stoa/"} {
			matches, err := filepath.Glob(root + id + pattern)
			if err != nil {
				g.t.Error(err)
			}
			found = append(found, matches...)
		}
	}
	return found
}

// leftovers is what is there of this test's clusters, for people: processes, cgroups, mounts and folders.
func (g *ground) leftovers() []string {
	var left []string
	for _, p := range g.processes() {
		left = append(left, "process "+p.String())
	}
	for _, dir := range g.cgroups("") {
		left = append(left, "cgroup "+dir)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, g.tmp) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	folders, _ := filepath.Glob(filepath.Join(g.tmp, "stoa-*"))
	for _, folder := range folders {
		left = append(left, "folder "+folder)
	}
	slices.Sort(left)
	return left
}

// expectClean fails the test if anything is left for longer than cleanWithin, and ends it then.
func (g *ground) expectClean() {
	g.t.Helper()
	deadline := time.Now().Add(cleanWithin)
	for {
		left := g.leftovers()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			g.t.Errorf("after %v this is left:\n%s", cleanWithin, strings.Join(left, "\n"))
			for _, p := range g.processes() {
				_ = syscall.Kill(p.pid, syscall.SIGKILL)
			}
			return
		}
		<-time.After(pollEvery)
	}
}

// await waits for a condition.
func (g *ground) await(what string, condition func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); <-time.After(pollEvery) {
		if time.Now().After(deadline) {
			g.t.Fatalf("not within %v: %s; there is:\n%s", patience, what, strings.Join(g.leftovers(), "\n"))
		}
	}
}

// environment is that of this process, without what would change stoa's flags.
func (g *ground) environment() []string {
	kept := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "STOA_") || strings.HasPrefix(entry, "TMPDIR=") || strings.HasPrefix(entry, "PATH=")
	})
	return append(kept, "TMPDIR="+g.tmp, "PATH="+filepath.Dir(stoaProgram(g.t))+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// buffer is a writer that a test may look at while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// program is a stoa process that a test started.
type program struct {
	g        *ground
	command  *exec.Cmd
	out, err buffer
	done     chan struct{}
}

// start starts stoa with arguments. It is killed with the test, if it lives so long.
func (g *ground) start(args ...string) *program {
	g.t.Helper()
	return g.startBy((*exec.Cmd).Start, args...)
}

// startBy is start, by a way to start a command.
func (g *ground) startBy(start func(*exec.Cmd) error, args ...string) *program {
	g.t.Helper()
	p := &program{g: g, command: exec.Command(stoaProgram(g.t), args...), done: make(chan struct{})}
	p.command.Env, p.command.Dir = g.environment(), g.tmp
	p.command.Stdout, p.command.Stderr = &p.out, &p.err
	if err := start(p.command); err != nil {
		g.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.command.Wait() // its status is asked for by wait
	}()
	g.t.Cleanup(func() {
		_ = p.command.Process.Kill() // ended already, mostly
		<-p.done
	})
	return p
}

// signal sends a signal.
func (p *program) signal(s syscall.Signal) {
	p.g.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.g.t.Fatalf("signal %v: %v", s, err)
	}
}

// wait waits for the end and gives the exit code, -1 if a signal ended it.
func (p *program) wait() int {
	p.g.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.g.t.Fatalf("stoa %s does not end; it said\n%s%s", strings.Join(p.command.Args[1:], " "), p.out.String(), p.err.String())
	}
	return p.command.ProcessState.ExitCode()
}

// end has the program end, if it has not done so by itself.
func (p *program) end() {
	p.g.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.g.t.Fatalf("signal: %v", err)
	}
	p.wait()
}

func (p *program) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stoa runs stoa to its end.
func (g *ground) stoa(args ...string) *program {
	g.t.Helper()
	p := g.start(args...)
	p.wait()
	return p
}

// expect fails the test if the program did not end with a code, or did not say on stderr what matches all patterns.
func (p *program) expect(code int, patterns ...string) {
	p.g.t.Helper()
	name := "stoa " + strings.Join(p.command.Args[1:], " ")
	if got := p.wait(); got != code {
		p.g.t.Errorf("%s ended with %d, want %d; it said\n%s%s", name, got, code, p.out.String(), p.err.String())
	}
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(p.err.String()) {
			p.g.t.Errorf("%s said\n%swant what matches %q", name, p.err.String(), pattern)
		}
	}
}

// saysOften is how many lines of a program's log have all these parts.
func (p *program) saysOften(parts ...string) int {
	n := 0
	for line := range strings.Lines(p.err.String()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	return n
}

// localCluster is one of `stoa local`.
type localCluster struct {
	*program
	master string
}

var masterLine = regexp.MustCompile(`its master is at (\S+)\. Logs`)

// local starts a cluster and waits for it.
func (g *ground) local(flags ...string) *localCluster {
	g.t.Helper()
	c := &localCluster{program: g.start(append([]string{"local", "--port", "0"}, flags...)...)}
	g.await("the cluster is up", func() bool {
		if !c.running() {
			g.t.Fatalf("stoa local ended with %d: %s", c.wait(), c.err.String())
		}
		if found := masterLine.FindStringSubmatch(c.out.String()); found != nil {
			c.master = found[1]
		}
		return c.master != ""
	})
	return c
}

// interrupt ends the cluster by Ctrl-C.
func (c *localCluster) interrupt() {
	c.g.t.Helper()
	c.signal(syscall.SIGINT)
	c.expect(0)
}

// on runs stoa with a cluster's master.
func (c *localCluster) on(command string, args ...string) *program {
	c.g.t.Helper()
	return c.g.stoa(append([]string{command, "--master", c.master}, args...)...)
}

var addressField = regexp.MustCompile(`address=\S*?(\d+\.\d+\.\d+\.\d+:\d+)|"address":"([^"]+)"`)

// addressIn waits for the line of a daemon's log that says where it listens.
func (g *ground) addressIn(p *program, message string) string {
	g.t.Helper()
	var address string
	g.await("it says "+message, func() bool {
		if !p.running() {
			g.t.Fatalf("stoa %s ended with %d: %s", strings.Join(p.command.Args[1:], " "), p.wait(), p.err.String())
		}
		for line := range strings.Lines(p.err.String()) {
			if found := addressField.FindStringSubmatch(line); found != nil && strings.Contains(line, message) {
				address = found[1] + found[2]
			}
		}
		return address != ""
	})
	return address
}

// countNodes is how many slaves are active, as the command line lists them.
func (g *ground) countNodes(master string) int {
	g.t.Helper()
	p := g.stoa("node", "list", "--master", master, "--json")
	var nodes []struct{ Active bool }
	if err := json.Unmarshal([]byte(p.out.String()), &nodes); err != nil {
		g.t.Fatalf("node list said %s%s: %v", p.out.String(), p.err.String(), err)
	}
	n := 0
	for _, node := range nodes {
		if node.Active {
			n++
		}
	}
	return n
}

// tasksNamed lists the tasks' processes of a name.
func (g *ground) tasksNamed(name string) []runningProcess {
	return slices.DeleteFunc(g.tasks(), func(p runningProcess) bool { return filepath.Base(p.args[0]) != name })
}
