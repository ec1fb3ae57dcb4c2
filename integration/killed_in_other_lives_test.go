package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/containerizer/libcontainer"
)

// halfway is no step of a program's: the test itself kills when it has played the life up to there.
const halfway = "half of a file is there"

// otherLives have steps that a command that ends has not, or come to the same steps in another way. Each step of theirs that
// lifeOfAContainer has not is a row here, as TestTheStepsOfOtherLivesAreThoseOfTheirTables sees to.
var otherLives = []life{
	{
		name: "a task that is killed",
		play: func(d *doomed) func() {
			run := d.run("trap '' TERM; (setsid sleep 1000 &); echo ready; while :; do sleep 1000; done", "--kill_grace", "200ms")
			d.until("it runs", func() bool { return run.out.String() == "ready\n" })
			interrupt(run)
			return func() { run.wait() }
		},
		proof: runsAgain,
		steps: []string{
			"slave hears KillTask 1",
			"slave does Send Event KILL 1",
			"host hears SignalContainer 1",
			"slave wrote UpdateStored 3", // that it is being killed
			"host hears KillContainer 1",
			"host container ended 1",
			"host recorded the exit 1",
			"slave hears Call UPDATE 4",
			"slave does Persist UpdateStored 4",
			"slave wrote UpdateStored 4",
			"slave does Send Event ACKNOWLEDGED 4",
			"slave does Send TaskUpdate 4",
			"slave hears AcknowledgeUpdate 4",
			"slave does Persist UpdateAcknowledged 4",
			"slave wrote UpdateAcknowledged 4",
		},
	},
	{
		name:  "an executor of its own with two tasks that is shut down",
		flags: []string{"--executor_shutdown_grace_period", "200ms"},
		play: func(d *doomed) func() {
			uri := &mesos.CommandInfo_URI{Value: proto.String(exampleExecutor(d.t)), Executable: proto.Bool(true)}
			b := employ(d.t, d.ground, d.address, nil)
			for _, id := range []string{"first", "second"} {
				b.launch(waiterInfo("waiter", uri, "trap '' TERM; ./waiter; sleep 1000"), "1000", id)
				d.until(id+" runs", func() bool { return b.last(id).GetState() == mesos.TaskState_TASK_RUNNING })
			}
			b.driver.Do(func() { b.driver.ShutdownExecutor(b.slaveID, "waiter") })
			d.until("both have ended", func() bool {
				return mesos.IsTerminal(b.last("first").GetState()) && mesos.IsTerminal(b.last("second").GetState())
			})
			return sync.OnceFunc(func() { b.driver.Do(func() { b.driver.Teardown(nil) }) })
		},
		proof: runsAgain,
		steps: []string{
			"slave does Launch 1",
			"host container blocked 1",
			"host container executed 1",
			"slave hears ExecutorStarted 1",
			"slave hears Call SUBSCRIBE 1",
			"slave hears RunTask 2",
			"slave does Persist TaskAccepted 2",
			"slave wrote TaskAccepted 2",
			"slave does Send ResizeExecutor 1",
			"slave does Send Event LAUNCH 2",
			"host hears ResizeExecutor 1",
			"slave hears ShutdownExecutor 1",
			"slave does Send Event SHUTDOWN 1",
			"slave does Send KillExecutor 1",
			"host hears KillExecutor 1",
			"host container ended 1",
			"host recorded the exit 1",
			"slave does ForgetSecret 1",
			"slave does Persist UpdateStored 4",
			"slave does Send ExecutorExited 1",
			"slave wrote UpdateStored 4",
			"slave does Send TaskUpdate 4",
			"slave hears AcknowledgeUpdate 4",
			"slave does Persist UpdateAcknowledged 4",
			"slave wrote UpdateAcknowledged 4",
		},
	},
	{
		name: "a task with a persistent volume",
		play: func(d *doomed) func() {
			run := d.runWithVolume("echo kept >> data/log; echo written; (setsid sleep 1000 &); sleep 0.05")
			return func() {
				run.wait()
				d.written = strings.Contains(run.out.String(), "written")
			}
		},
		proof: readsItsVolume,
		steps: []string{
			"slave hears ApplyOperation 1", // RESERVE
			"slave does Persist ResourcesConverted 1",
			"slave wrote ResourcesConverted 1",
			"slave does Send OperationUpdate 1",
			"slave hears ApplyOperation 2", // CREATE
			"slave does Persist ResourcesConverted 2",
			"slave wrote ResourcesConverted 2",
			"slave does MakeVolume 1",
			"slave made a volume 1",
			"slave does Send OperationUpdate 2",
			"slave hears AcknowledgeOperation 1",
			"slave does Persist OperationForgotten 1",
			"slave wrote OperationForgotten 1",
			"slave hears AcknowledgeOperation 2",
			"slave does Persist OperationForgotten 2",
			"slave wrote OperationForgotten 2",
			"slave does MakeVolume 2", // for the task
			"slave made a volume 2",
			"host container gathered 1",
			"host container blocked 1",
			"host container ended 1",
			"host container destroyed 1",
			"slave does Persist ExecutorForgotten 1",
			"slave removed a sandbox 1",
		},
	},
	{
		name: "a persistent volume that is destroyed",
		play: func(d *doomed) func() {
			run := d.runWithVolume("echo kept >> data/log")
			d.until("the task has ended", func() bool { return !run.running() })
			destroy := d.start("volume", "destroy", "--master", d.address, "doomed", "data")
			return func() { run.wait(); destroy.wait() }
		},
		proof: readsItsVolume,
		steps: []string{
			"slave hears ApplyOperation 3",
			"slave does Persist ResourcesConverted 3",
			"slave wrote ResourcesConverted 3",
			"slave does RemoveVolume 1",
			"slave removed a volume 1",
		},
	},
	{
		name: "a task whose file can't be fetched",
		play: func(d *doomed) func() {
			fetched := filepath.Join(d.work, "meta", "fetcher", "1")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "2000")
				_, _ = w.Write(make([]byte, 1000)) // the slave may have been killed
				w.(http.Flusher).Flush()
				for info, err := os.Stat(fetched); r.Context().Err() == nil && (err != nil || info.Size() < 1000); info, err = os.Stat(fetched) {
				}
				d.mu.Lock()
				strike := d.halfway
				d.mu.Unlock()
				if strike != nil {
					strike()
				}
				panic(http.ErrAbortHandler)
			}))
			d.t.Cleanup(server.Close)
			run := d.run("true", "--uri", server.URL+"/file")
			d.until("it has failed", func() bool { return !run.running() })
			return run.end // it would have the task started again, and fetched again what is left
		},
		proof: runsAgain,
		steps: []string{
			"slave made a sandbox 1",
			halfway,
			"slave hears SandboxReady 1",
			"slave does Persist UpdateStored 1",
			"slave wrote UpdateStored 1",
			"slave does Persist ExecutorForgotten 1",
			"slave wrote ExecutorForgotten 1",
			"slave does RemoveSandbox 1",
		},
	},
	{
		name: "a task with a further command",
		play: func(d *doomed) func() {
			run := d.run("exec sleep 1000", "--kill_grace", "200ms")
			d.until("the master knows that it runs", func() bool {
				return strings.Contains(d.stoa("task", "list", "--master", d.address).out.String(), "RUNNING")
			})
			beside := d.start("task", "exec", "--master", d.address, "doomed-0", "sh", "-c", "(setsid sleep 1000 &); sleep 0.05")
			d.until("the further command has ended", func() bool { return !beside.running() })
			interrupt(run)
			return func() { beside.wait(); run.wait() }
		},
		proof: runsAgain,
		steps: []string{
			"slave hears ExecTask 1",
			"slave does Send StartExec 1",
			"host hears StartExec 1",
			"host container entered 1",
			"host began a further command 1",
			"slave hears ExecStarted 1",
			"host hears of a further command's end 1",
			"slave hears ExecEnded 1",
		},
	},
}

// interrupt has a run kill its task, if a blow has not ended it.
func interrupt(run *program) {
	_ = run.command.Process.Signal(syscall.SIGINT)
}

// runWithVolume is run with a persistent volume that is made if there is none.
func (d *doomed) runWithVolume(line string) *program {
	d.t.Helper()
	return d.run(line, "--role", "db", "--persistent_volume", "data:data:100")
}

// readsItsVolume has a task read a persistent volume: it finds what is on the disk, and if there was a task that said so, what
// that wrote.
func readsItsVolume(d *doomed) {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.work, "volumes", "roles", "db", "data", "log"))
	if err != nil && (d.written || !os.IsNotExist(err)) {
		d.t.Error(err)
	}
	if d.written && string(text) != "kept\n" {
		d.t.Errorf("a task wrote to its volume, which has %q", text)
	}
	d.giveUpTheDead()
	again := d.runWithVolume("if test -e data/log; then cat data/log; fi")
	again.expect(0)
	if again.out.String() != string(text) {
		d.t.Errorf("the next task reads %q in the volume, which has %q", again.out.String(), text)
	}
}

// giveUpTheDead tells the master that slaves which are away will not be back, for else it is there that a volume is waited for.
func (d *doomed) giveUpTheDead() {
	d.t.Helper()
	var nodes []struct {
		ID     string
		Active bool
	}
	d.await("a slave is there", func() bool {
		p := d.stoa("node", "list", "--master", d.address, "--json")
		if err := json.Unmarshal([]byte(p.out.String()), &nodes); err != nil {
			d.t.Fatalf("node list said %s%s: %v", p.out.String(), p.err.String(), err)
		}
		for _, node := range nodes {
			if node.Active {
				return true
			}
		}
		return false
	})
	for _, node := range nodes {
		if !node.Active {
			d.stoa("node", "gone", "--master", d.address, node.ID).expect(0)
		}
	}
}

func TestTheStepsOfOtherLivesAreThoseOfTheirTables(t *testing.T) {
	needsRoot(t)
	for _, l := range otherLives {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			known := slices.Clone(lifeOfAContainer)
			for _, other := range otherLives { // what they share is a row of one of them
				known = append(known, other.steps...)
			}
			taken := stepsTaken(t, l, libcontainer.Name)
			for _, step := range taken {
				if !slices.Contains(known, step) {
					t.Errorf("the step %q has no row in a table: nobody is killed there", step)
				}
			}
			for _, step := range l.steps {
				if step != halfway && !slices.Contains(taken, step) {
					t.Errorf("the table has the step %q, which is none", step)
				}
			}
		})
	}
}

// With STOA_SOAK=1 in the environment everybody is killed at every step of every life, which takes minutes; else somebody else at
// each row of the tables.
func TestAKillAtAnyStepOfOtherLivesLeavesNothing(t *testing.T) {
	needsRoot(t)
	needsProcesses(t)
	everybody := []string{"slave host", "slave", "host"}
	for _, l := range otherLives {
		steps := l.steps
		if soaks() {
			steps = slices.Compact(slices.Sorted(slices.Values(append(stepsTaken(t, l, libcontainer.Name), steps...))))
		}
		for i, step := range steps {
			victims := everybody
			if !soaks() {
				victims = everybody[i%len(everybody) : i%len(everybody)+1]
			}
			for _, victim := range victims {
				t.Run(fmt.Sprintf("%s/%s/%s dies", l.name, step, victim), func(t *testing.T) {
					t.Parallel()
					killedAt(t, l, libcontainer.Name, step, victim)
				})
			}
		}
	}
}
