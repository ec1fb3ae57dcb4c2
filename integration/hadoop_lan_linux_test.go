package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop"
	"github.com/stoa-project/stoa/integration"
)

// lanTracker is a JobTracker on a LAN's machine "outside".
type lanTracker struct {
	*lanCluster
	program *program
	address string
}

func (c *lanCluster) jobTracker() *lanTracker {
	c.g.t.Helper()
	ip := c.lan.Machine("outside").IP().String()
	t := &lanTracker{lanCluster: c, program: c.start("outside",
		"hadoop", "jobtracker", "--master", c.address, "--ip", ip, "--port", "0", "--insecure", "--state", filepath.Join(c.g.tmp, "state"))}
	t.address = c.g.addressIn(t.program, "jobtracker is up")
	return t
}

// history is what the JobTracker tells of its first job; nil: it has none.
func (t *lanTracker) history() *hadoop.JobHistory {
	t.g.t.Helper()
	p := t.start("outside", "hadoop", "job", "-jobtracker", t.address, "-history", "job-0001", "-json")
	if p.wait() != 0 {
		return nil
	}
	h := &hadoop.JobHistory{}
	if err := json.Unmarshal([]byte(p.out.String()), h); err != nil {
		t.g.t.Fatalf("%s: %v", p.out.String(), err)
	}
	return h
}

// killExecutor kills a job's executor on a slave.
func (t *lanTracker) killExecutor(slave string) {
	t.g.t.Helper()
	for _, p := range t.g.daemons(hadoop.ExecutorSubcommand) {
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		if bytes.Contains(environment, []byte("MESOS_DIRECTORY="+filepath.Join(t.g.tmp, slave)+"/")) {
			t.g.kill(p)
			return
		}
	}
	t.g.t.Fatalf("no executor on %s", slave)
}

// idleWithOutput is a slave where maps are done and nothing runs; "" if there is none.
func idleWithOutput(h *hadoop.JobHistory) string {
	outputs, busy := map[string]bool{}, map[string]bool{}
	for _, a := range h.Attempts {
		outputs[a.Slave] = outputs[a.Slave] || a.State == string(hadoop.Succeeded)
		busy[a.Slave] = busy[a.Slave] || a.State == "running"
	}
	for _, slave := range slices.Sorted(maps.Keys(outputs)) {
		if outputs[slave] && !busy[slave] {
			return slave
		}
	}
	return ""
}

// Slaves share nothing but the input: each has a network to itself, and a work_dir that the others see as an empty folder.
// So what a reduce gets of another slave's maps it gets over the network, also when their containers have gone. What was
// on a slave that is lost nobody else has: its maps run again. The output is that of a plain pipeline.
func TestSlavesShareNothingButTheInput(t *testing.T) {
	in := filepath.Join(library(t).dir, "net")
	want, err := countWords(in, countQuickly)
	if err != nil {
		t.Fatal(err)
	}
	const slaves, allMapsFirst = 4, "-Dmapreduce.job.reduce.slowstart.completedmaps=1"
	for name, c := range map[string]struct {
		flags   []string
		reduces int // that run while the last map does
		lose    func(*lanTracker, string)
	}{
		"nothing is lost":                 {nil, 2, nil},
		"a container for each attempt":    {[]string{"-Dmapreduce.job.jvm.numtasks=1"}, 0, nil},
		"the executor with output dies":   {nil, 2, (*lanTracker).killExecutor},
		"the machine with output is lost": {[]string{allMapsFirst}, 0, func(c *lanTracker, slave string) { c.lan.Machine(slave).Unplug() }},
	} {
		t.Run(name, func(t *testing.T) {
			integration.NeedsRoot(t)
			needsProcesses(t)
			cluster := newLANCluster(t, lanOptions{slaves: slaves})
			tracker := cluster.jobTracker()
			gate, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
			// The first map waits until the gate is open. It sees the gate, for a part of its input lies there.
			if err := os.WriteFile(filepath.Join(gate, "no-words"), []byte("\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			mapper := `if [ $mapreduce_task_partition = 0 ]; then until [ -e ` + gate + `/open ]; do sleep 0.05; done; fi; stoa hadoop wordcount-mapper`
			client := tracker.start("outside", append([]string{
				"hadoop", "-jobtracker", tracker.address, "-input", gate, "-input", in, "-output", out, "-mapper", mapper,
				"-reducer", "stoa hadoop wordcount-reducer", "-numReduceTasks", "2", "-mem", "128", "-cpus", "1", hadoop.RawInputFlag,
				"-Dmapreduce.input.fileinputformat.split.maxsize=200000",
			}, c.flags...)...)
			var h *hadoop.JobHistory
			tracker.g.await("all maps but one are done", func() bool {
				h = tracker.history()
				return h != nil && h.MapsDone == h.Maps-1 && h.ReducesRunning == c.reduces
			})
			slave := idleWithOutput(h)
			if c.lose != nil {
				if slave == "" {
					t.Fatalf("no slave has output alone: %+v", h.Attempts)
				}
				c.lose(tracker, slave)
			}
			if err := os.WriteFile(filepath.Join(gate, "open"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			client.expect(0)
			expectSameWords(t, readParts(t, out), want)
			h = tracker.history()
			used, lost := map[string]bool{}, 0
			for _, a := range h.Attempts {
				used[a.Slave] = true
				if a.State == string(hadoop.OutputLost) {
					lost++
				}
				if a.State == string(hadoop.OutputLost) && a.Slave != slave {
					t.Errorf("the output of %s on %s is lost, what was lost is %s", a.ID, a.Slave, slave)
				}
			}
			if (lost > 0) != (c.lose != nil) || len(used) != slaves {
				t.Errorf("%d outputs were lost and run again, %d slaves were used", lost, len(used))
			}
			tracker.program.end()
		})
	}
}
