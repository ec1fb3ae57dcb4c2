package integration_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer/containertest"
	"github.com/stoa-project/stoa/slave/containerizer/libcontainer"
	"github.com/stoa-project/stoa/slave/containerizer/process"
)

// lifeOfAContainer are the steps of slave and host from their birth until the sandbox of a task's container is removed, as a
// program that is built with the tag faults tells them: who, what, and for which time. TestTheStepsOfALifeAreThoseOfTheTable
// fails if one is missing here; between any two of them somebody is killed.
var lifeOfAContainer = []string{
	"slave hears Born 1",
	"slave hears MasterFound 1",
	"slave hears Recovered 1",
	"slave does StartHost 1",
	"slave wrote a host's secret 1",
	"host says RegisterHost 1",
	"slave hears RegisterHost 1",
	"slave does Send HostRegistered 1",
	"slave does Send RegisterSlave 1",
	"slave hears SlaveRegistered 1",
	"slave does Persist SlaveAdmitted 1",
	"slave wrote SlaveAdmitted 1",
	"slave hears RunTask 1",
	"slave does Persist TaskAccepted 1",
	"slave wrote TaskAccepted 1",
	"slave does PrepareSandbox 1",
	"slave made a sandbox 1",
	"slave hears SandboxReady 1",
	"slave does Launch 1",
	"host hears HostRegistered 1",
	"host hears LaunchExecutor 1",
	"host says ExecutorStarted 1",
	"slave hears ExecutorStarted 1",
	"slave hears Call SUBSCRIBE 1",
	"slave does Send Event SUBSCRIBED 1",
	"slave does Send Event LAUNCH 1",
	"host hears StartContainer 1",
	"slave hears Call UPDATE 1",
	"slave does Persist UpdateStored 1",
	"slave wrote UpdateStored 1",
	"slave does Send Event ACKNOWLEDGED 1",
	"slave does Send TaskUpdate 1",
	"slave hears AcknowledgeUpdate 1",
	"slave does Persist UpdateAcknowledged 1",
	"slave wrote UpdateAcknowledged 1",
	"host made the folder of the exit record 1",
	"host container gathered 1",
	"host container created 1",
	"host container connected 1",
	"host container blocked 1",
	"host container reaping 1",
	"host container executed 1",
	"host hears ContainerStarted 1",
	"slave hears Call UPDATE 2",
	"slave does Persist UpdateStored 2",
	"slave wrote UpdateStored 2",
	"slave does Send Event ACKNOWLEDGED 2",
	"slave does Send TaskUpdate 2",
	"slave hears AcknowledgeUpdate 2",
	"slave does Persist UpdateAcknowledged 2",
	"slave wrote UpdateAcknowledged 2",
	"host container ended 1",
	"host container counted 1",
	"host container destroyed 1",
	"host container removed 1",
	"host records the exit 1",
	"host recorded the exit 1",
	"host hears ContainerExited 1",
	"slave hears Call UPDATE 3",
	"slave does Persist UpdateStored 3",
	"slave wrote UpdateStored 3",
	"slave does Send Event ACKNOWLEDGED 3",
	"slave does Send TaskUpdate 3",
	"host says ExecutorEnded 1",
	"slave hears ExecutorEnded 1",
	"slave does Persist ExecutorForgotten 1",
	"slave wrote ExecutorForgotten 1",
	"slave hears AcknowledgeUpdate 3",
	"slave does Persist UpdateAcknowledged 3",
	"slave wrote UpdateAcknowledged 3",
	"slave does Persist FrameworkForgotten 1",
	"slave wrote FrameworkForgotten 1",
	"slave does RemoveSandbox 1",
	"slave removed a sandbox 1",
}

// onlyIn says which isolation a step belongs to; empty: to all.
func onlyIn(step string) string {
	if strings.HasPrefix(step, "host container ") {
		return libcontainer.Name
	}
	return ""
}

// stepsOf are the steps with an isolation.
func stepsOf(isolation string) []string {
	return slices.DeleteFunc(slices.Clone(lifeOfAContainer), func(step string) bool {
		only := onlyIn(step)
		return only != "" && only != isolation
	})
}

// withFaults is where the stoa program with faults of this run of the tests lies: beside the one without.
var withFaults struct {
	once sync.Once
	path string
	err  error
}

// faultyProgram builds stoa with the tag faults, once.
func faultyProgram(t testing.TB) string {
	t.Helper()
	withFaults.once.Do(func() {
		withFaults.path = filepath.Join(filepath.Dir(stoaProgram(t)), "faulty", "stoa")
		command := exec.Command("go", "build", "-tags", "faults", "-o", withFaults.path, "./cmd/stoa")
		command.Dir = ".."
		if output, err := command.CombinedOutput(); err != nil {
			withFaults.err = fmt.Errorf("go build -tags faults ./cmd/stoa: %w\n%s", err, output)
		}
	})
	if withFaults.err != nil {
		t.Fatal(withFaults.err)
	}
	return withFaults.path
}

// doomed is a master and a slave, to which something is to happen.
type doomed struct {
	*ground
	isolation, address, work string
	flags                    []string // more of them, of the slave
	written                  bool     // a task has said that something is in its volume
	halfway                  func()   // kills, if that is to be done by the test; guarded by mu
}

func newDoomed(t *testing.T, isolation string) *doomed {
	g := newGround(t)
	master := g.start("master", "--port", "0")
	t.Cleanup(master.end)
	return &doomed{ground: g, isolation: isolation, address: g.addressIn(master, "master is up"), work: filepath.Join(g.tmp, "slave")}
}

// slave starts the slave, with faults or without.
func (d *doomed) slave(faults ...string) *program {
	d.t.Helper()
	args := []string{
		"slave", "--master", d.address, "--port", "0", "--work_dir", d.work, "--isolation", d.isolation, "--hostname", "doomed",
		"--resources", "cpus:1;mem:256;disk:1000", "--gc_delay", "1s",
	}
	return d.startBy(func(command *exec.Cmd) error {
		if len(faults) > 0 {
			command.Path, command.Env = faultyProgram(d.t), append(command.Env, faults...)
		}
		return command.Start()
	}, append(args, d.flags...)...)
}

// struck is the file that is there when the blow has fallen, or falls at this moment.
func (d *doomed) struck() string { return filepath.Join(d.tmp, "struck") }

func (d *doomed) isStruck() bool { return exists(d.struck()) }

// strikeHalfway has the test kill the victims as soon as the life is halfway.
func (d *doomed) strikeHalfway(slave *program, victims string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.halfway = sync.OnceFunc(func() {
		if err := os.WriteFile(d.struck(), nil, 0o600); err != nil {
			d.t.Error(err)
		}
		if strings.Contains(victims, "slave") {
			_ = slave.command.Process.Kill()
		}
		if strings.Contains(victims, "host") {
			for _, host := range d.daemons("host") {
				_ = syscall.Kill(host.pid, syscall.SIGKILL)
			}
		}
	})
}

// until waits for a condition, or the blow.
func (d *doomed) until(what string, condition func() bool) {
	d.t.Helper()
	d.await(what, func() bool { return d.isStruck() || condition() })
}

// run starts a small task of one instance, called doomed-0, that is a line for the shell.
func (d *doomed) run(line string, flags ...string) *program {
	d.t.Helper()
	args := append([]string{"run", "--master", d.address, "--name", "doomed", "--cpus", "0.1", "--mem", "32"}, flags...)
	return d.start(append(args, "--", "sh", "-c", line)...)
}

// life is what happens to one task or executor, from its slave's start until its sandbox is removed.
type life struct {
	name  string
	steps []string                       // at which somebody is killed
	flags []string                       // of the slave
	play  func(d *doomed) (leave func()) // lets it happen, up to the blow; leave has who wants something of the cluster end, and may be called twice
	proof func(d *doomed)                // after the next start of the slave: everything works
}

// aCommandThatEnds is the life that the most tasks have: a process of it runs away, another ends soon.
var aCommandThatEnds = life{
	name: "a command that ends",
	play: func(d *doomed) func() {
		run := d.run("(setsid sleep 1000 &); sleep 0.05")
		return func() { run.wait() }
	},
	proof: runsAgain,
}

func runsAgain(d *doomed) {
	d.t.Helper()
	d.run("true").expect(0)
}

// stepsTaken lets a life happen without a blow.
func stepsTaken(t *testing.T, l life, isolation string) []string {
	t.Helper()
	d := newDoomed(t, isolation)
	d.flags = l.flags
	trace := filepath.Join(d.tmp, "trace")
	slave := d.slave("STOA_FAULT_TRACE=" + trace)
	leave := l.play(d)
	steps := func() []string {
		lines, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(lines), "\n"), "\n")
	}
	leave()
	d.await("the sandbox is removed", func() bool { return slices.Contains(steps(), "slave removed a sandbox 1") })
	taken := steps()
	slave.end()
	return taken
}

// remains are the files of the work_dir that belong to a host or to a sandbox.
func (d *doomed) remains() []string {
	d.t.Helper()
	var found []string
	for _, pattern := range []string{"containers/*", "meta/hosts/*", "meta/discarded/*", "meta/fetcher/*", "slaves/*/frameworks", "meta/slaves/*/frameworks"} {
		matches, err := fs.Glob(os.DirFS(d.work), pattern)
		if err != nil {
			d.t.Fatal(err)
		}
		found = append(found, matches...)
	}
	return found
}

// rememberHosts notes whose cgroups are this test's, as long as that can be told.
func (d *doomed) rememberHosts() {
	for _, pattern := range []string{"containers/*", "meta/hosts/*"} {
		matches, _ := fs.Glob(os.DirFS(d.work), pattern)
		d.mu.Lock()
		for _, path := range matches {
			d.hosts[filepath.Base(path)] = true
		}
		d.mu.Unlock()
	}
}

// strays are the processes that nobody knows: those of containers, finished or not, without a living host of a living slave
// above them, hosts without a slave, and what is in a cgroup of a host that has ended.
func (d *doomed) strays() []string {
	known := map[int]bool{}
	for _, slave := range d.daemons("slave") {
		known[slave.pid] = true
	}
	living := map[string]bool{}
	for _, host := range d.daemons("host") {
		if i := slices.Index(host.args, "--id"); known[host.parent] {
			living[host.args[i+1]] = true
		}
	}
	var strays []string
	for _, p := range d.processes() {
		if p.is("master") || p.is("run") || p.is("task") || p.is("volume") || ancestor(p.pid, known) {
			continue
		}
		strays = append(strays, p.String())
	}
	for _, pid := range containertest.Inside(filepath.Join(d.work, "containers")) {
		if !ancestor(pid, known) {
			strays = append(strays, fmt.Sprint(pid, " sees a container's root"))
		}
	}
	for _, dir := range d.cgroups("") {
		if living[filepath.Base(dir)] {
			continue
		}
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Base(path) == "cgroup.procs" {
				pids, _ := os.ReadFile(path) // the cgroup may go at this moment
				for _, pid := range strings.Fields(string(pids)) {
					strays = append(strays, pid+" in "+filepath.Dir(path))
				}
			}
			return nil // it goes
		})
	}
	return strays
}

// ancestor tells whether a process, or one above it, is one of those.
func ancestor(pid int, of map[int]bool) bool {
	for pid > 1 && !of[pid] {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		if len(fields) < 2 {
			return true // it has ended meanwhile
		}
		pid, _ = strconv.Atoi(fields[1])
	}
	return of[pid]
}

func TestTheStepsOfALifeAreThoseOfTheTable(t *testing.T) {
	for _, isolation := range []string{libcontainer.Name, process.Name} {
		t.Run(isolation, func(t *testing.T) {
			needsRoot(t)
			taken := stepsTaken(t, aCommandThatEnds, isolation)
			for _, step := range taken {
				if !slices.Contains(lifeOfAContainer, step) {
					t.Errorf("the step %q has no row in the table: nobody is killed there", step)
				}
			}
			for _, step := range stepsOf(isolation) {
				if !slices.Contains(taken, step) {
					t.Errorf("the table has the step %q, which is none", step)
				}
			}
		})
	}
}

// Whoever is killed at whatever step: soon nothing runs that nobody knows, and the slave's next start finds what is left,
// removes it and works.
func TestAKillAtAnyStepOfALifeLeavesNothing(t *testing.T) {
	needsRoot(t)
	needsProcesses(t)
	for _, isolation := range []string{libcontainer.Name, process.Name} {
		for _, step := range stepsOf(isolation) {
			for _, victims := range []string{"slave host", "slave", "host"} {
				if isolation == process.Name && victims != "slave host" {
					continue // slave and host do the same whatever the isolation; with nobody left the containers are by themselves
				}
				t.Run(fmt.Sprintf("%s/%s/%s dies", isolation, step, victims), func(t *testing.T) {
					t.Parallel()
					killedAt(t, aCommandThatEnds, isolation, step, victims)
				})
			}
		}
	}
}

func killedAt(t *testing.T, l life, isolation, step, victims string) {
	d := newDoomed(t, isolation)
	d.flags = l.flags
	slave := d.slave("STOA_FAULT_POINT="+step, "STOA_FAULT_VICTIMS="+victims, "STOA_FAULT_STRUCK="+d.struck())
	if step == halfway {
		d.strikeHalfway(slave, victims)
	}
	leave := l.play(d)
	d.await("the blow falls", d.isStruck)
	if slaveDies := strings.Contains(victims, "slave"); slaveDies {
		if code := slave.wait(); code != -1 {
			t.Fatalf("the slave was not killed but ended with %d: %s", code, slave.err.String())
		}
	}
	d.rememberHosts()
	var strays []string
	if !within(cleanWithin, func() bool { strays = d.strays(); return len(strays) == 0 }) {
		t.Errorf("%v after the blow these run, and nobody knows them:\n%s", cleanWithin, strings.Join(strays, "\n"))
	}
	if slave.running() { // with its host gone it begins another, and goes on
		leave()
		slave.signal(syscall.SIGTERM)
		slave.expect(0)
	}
	next := d.slave()
	leave()
	l.proof(d)
	var left []string
	if !within(patience, func() bool {
		left = d.foreignCgroups()
		for _, path := range d.remains() {
			if !slices.Contains(d.livingHosts(), filepath.Base(path)) {
				left = append(left, path)
			}
		}
		return len(left) == 0
	}) {
		t.Errorf("%v after the next start there is still:\n%s\nIt says:\n%s", patience, strings.Join(left, "\n"), next.err.String())
	}
	next.signal(syscall.SIGTERM)
	next.expect(0)
	if left := d.remains(); len(left) > 0 {
		t.Errorf("a slave that has ended in peace left %q", left)
	}
}

// livingHosts are the ids of hosts that run.
func (d *doomed) livingHosts() []string {
	var ids []string
	for _, host := range d.daemons("host") {
		ids = append(ids, host.args[slices.Index(host.args, "--id")+1])
	}
	return ids
}

// foreignCgroups are the cgroups of this test's hosts that have ended.
func (d *doomed) foreignCgroups() []string {
	return slices.DeleteFunc(d.cgroups(""), func(dir string) bool { return slices.Contains(d.livingHosts(), filepath.Base(dir)) })
}

// within waits for a condition, and tells whether it came.
func within(limit time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(limit); !condition(); <-time.After(pollEvery) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
