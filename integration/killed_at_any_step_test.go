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
	return d.startBy(func(command *exec.Cmd) error {
		if len(faults) > 0 {
			command.Path, command.Env = faultyProgram(d.t), append(command.Env, faults...)
		}
		return command.Start()
	}, "slave", "--master", d.address, "--port", "0", "--work_dir", d.work, "--isolation", d.isolation, "--hostname", "doomed",
		"--resources", "cpus:1;mem:256", "--gc_delay", "1s")
}

// run starts a task of which a process runs away and another ends soon.
func (d *doomed) run() *program {
	d.t.Helper()
	return d.start("run", "--master", d.address, "--cpus", "0.1", "--mem", "32", "--", "sh", "-c", "(setsid sleep 1000 &); sleep 0.05")
}

// remains are the files of the work_dir that belong to a host or to a sandbox.
func (d *doomed) remains() []string {
	d.t.Helper()
	var found []string
	for _, pattern := range []string{"containers/*", "meta/hosts/*", "slaves/*/frameworks", "meta/slaves/*/frameworks"} {
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

// strays are the processes that nobody knows: those of containers without a living host of a living slave above them, hosts
// without a slave, and what is in a cgroup of a host that has ended.
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
		if p.is("master") || p.is("run") || ancestor(p.pid, known) {
			continue
		}
		strays = append(strays, p.String())
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
			d := newDoomed(t, isolation)
			trace := filepath.Join(d.tmp, "trace")
			slave := d.slave("STOA_FAULT_TRACE=" + trace)
			d.run().expect(0)
			steps := func() []string {
				lines, err := os.ReadFile(trace)
				if err != nil {
					t.Fatal(err)
				}
				return strings.Split(strings.TrimSuffix(string(lines), "\n"), "\n")
			}
			d.await("the sandbox is removed", func() bool { return slices.Contains(steps(), "slave removed a sandbox 1") })
			taken := steps()
			slave.end()
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
					killedAt(t, isolation, step, victims)
				})
			}
		}
	}
}

func killedAt(t *testing.T, isolation, step, victims string) {
	d := newDoomed(t, isolation)
	struck := filepath.Join(d.tmp, "struck")
	slave := d.slave("STOA_FAULT_POINT="+step, "STOA_FAULT_VICTIMS="+victims, "STOA_FAULT_STRUCK="+struck)
	run := d.run()
	d.await("the blow falls", func() bool { _, err := os.Stat(struck); return err == nil })
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
		run.wait()
		slave.signal(syscall.SIGTERM)
		slave.expect(0)
	}
	next := d.slave()
	run.wait()
	d.stoa("run", "--master", d.address, "--cpus", "0.1", "--mem", "32", "--", "true").expect(0)
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
