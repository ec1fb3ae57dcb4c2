package integration_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

// What one framework says, or has said to what it runs, costs no other framework of the slave its tasks, however much it is and
// however long it takes. While an end of a connection is stopped for a moment, more is to go over it than its queue can take.

const mib = 1 << 20

// flooded is a slave that runs a task of a framework which wants nothing but that it runs on, and what another does beside it.
type flooded struct {
	*ground
	t             testing.TB
	masterAddress string
	slaveAddress  string
	master, slave *program
	calm, loud    *boss
	executor      *mesos.ExecutorInfo // of the loud one, without id
	floodgate     string              // the file for which its executors wait
}

// floodExecutor builds testdata/flood for a test.
func floodExecutor(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flood")
	command := exec.Command("go", "build", "-o", path, "./testdata/flood")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build ./testdata/flood: %v\n%s", err, output)
	}
	return path
}

func newFlooded(t *testing.T) *flooded {
	g := newGround(t)
	f := &flooded{ground: g, t: t, floodgate: filepath.Join(g.tmp, "floodgate")}
	f.master = g.start("master", "--port", "0")
	f.masterAddress = g.addressIn(f.master, "master is up")
	f.slave = g.start("slave", "--master", f.masterAddress, "--port", "0", "--work_dir", filepath.Join(g.tmp, "slave"),
		"--isolation", "process", "--resources", "cpus:16;mem:16384")
	f.slaveAddress = g.addressIn(f.slave, "slave is up")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the master said\n%s\nthe slave said\n%s", f.master.err.String(), f.slave.err.String())
		}
	})
	files := &scheduler.Files{}
	uri, err := files.Add(floodExecutor(t))
	if err != nil {
		t.Fatal(err)
	}
	f.executor = waiterInfo("", uri, "exec ./flood")
	f.calm = employ(t, g, f.masterAddress, files)
	f.calm.launch(f.executorOf("calm", 0), "sit", "calm")
	f.calm.await(mesos.TaskState_TASK_RUNNING, "calm")
	f.loud = employ(t, g, f.masterAddress, files)
	return f
}

// executorOf is an executor of its own, which brings so many bytes of data.
func (f *flooded) executorOf(id string, bytes int) *mesos.ExecutorInfo {
	e := proto.CloneOf(f.executor)
	e.ExecutorId = mesos.NewExecutorID(id)
	if bytes > 0 {
		e.Data = make([]byte, bytes)
	}
	return e
}

// figure is the sum of a metric of a daemon; 0 if it has none of this name.
func (f *flooded) figure(address, name string) float64 {
	f.t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	sum := 0.0
	for _, found := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllStringSubmatch(string(body), -1) {
		value, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			f.t.Fatal(err)
		}
		sum += value
	}
	return sum
}

// while stops a process, does something, and waits for what comes of it before the process goes on.
func (f *flooded) while(stopped int, do func(), what string, condition func() bool) {
	f.t.Helper()
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = syscall.Kill(stopped, syscall.SIGCONT) })
	do()
	f.await(what, condition)
	if err := syscall.Kill(stopped, syscall.SIGCONT); err != nil {
		f.t.Fatal(err)
	}
}

func (f *flooded) open() {
	if err := os.WriteFile(f.floodgate, nil, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// expectCalm is what all this is for: the slave has never lost its master, nor its host, and the other framework's task runs.
func (f *flooded) expectCalm() {
	f.t.Helper()
	for _, s := range f.calm.heard()["calm"] {
		if s.GetState() != mesos.TaskState_TASK_RUNNING && s.GetState() != mesos.TaskState_TASK_STARTING {
			f.t.Errorf("the task of the other framework is %v: %s", s.GetState(), s.GetMessage())
		}
	}
	if n := f.figure(f.masterAddress, "stoa_master_slave_reregistrations_total"); n != 0 {
		f.t.Errorf("the slave came back %v times", n)
	}
	if n := f.slave.saysOften("the master is gone"); n != 0 {
		f.t.Errorf("the slave lost its master %d times", n)
	}
	f.calm.driver.Do(func() { f.calm.driver.Kill("calm", 0) })
	f.calm.await(mesos.TaskState_TASK_KILLED, "calm")
}

// floods launches tasks that say so much as soon as the gate is open, each under an executor of its own.
func (f *flooded) floods(what string, tasks, count, bytes int) (ids []string) {
	f.t.Helper()
	for i := range tasks {
		id := fmt.Sprintf("loud%d", i+1)
		f.loud.launch(f.executorOf(id, 0), fmt.Sprintf("%s %d %d %s", what, count, bytes, f.floodgate), id)
		ids = append(ids, id)
	}
	f.loud.await(mesos.TaskState_TASK_RUNNING, ids...)
	return ids
}

// runs waits until tasks of the loud one run. What is dropped is launched again.
func (f *flooded) runs(ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		f.await("task "+id+" runs", func() bool {
			s := f.loud.last(id)
			if s != nil && mesos.IsTerminal(s.GetState()) && s.GetState() != mesos.TaskState_TASK_DROPPED {
				f.t.Fatalf("task %s is %v: %s", id, s.GetState(), s.GetMessage())
			}
			return s != nil && s.GetState() == mesos.TaskState_TASK_RUNNING
		})
	}
}

func (f *flooded) lostMaster() bool { return f.figure(f.slaveAddress, "stoa_slave_registered") == 0 }

func TestMessagesOfExecutorsCostNobodyElseItsTasks(t *testing.T) {
	f := newFlooded(t)
	ids := f.floods("messages", 4, 10, 4*mib)
	f.while(f.master.command.Process.Pid, f.open, "messages are dropped", func() bool {
		return f.figure(f.slaveAddress, "stoa_slave_messages_dropped_total") > 0 || f.lostMaster()
	})
	f.loud.await(mesos.TaskState_TASK_FINISHED, ids...)
	f.expectCalm()
	if n := f.slave.saysOften("dropped a message of executor loud", "wait for the connection with the master"); n == 0 {
		t.Error("the log does not say that messages were dropped")
	}
}

func TestUpdatesWithDataCostNobodyElseItsTasks(t *testing.T) {
	f := newFlooded(t)
	ids := f.floods("updates", 10, 1, 12*mib)
	f.while(f.master.command.Process.Pid, f.open, "the updates wait", func() bool {
		return f.figure(f.slaveAddress, "stoa_slave_updates_unacknowledged") >= float64(2*len(ids)) || f.lostMaster()
	})
	f.loud.await(mesos.TaskState_TASK_FINISHED, ids...)
	for _, id := range ids {
		for _, s := range f.loud.heard()[id] {
			if s.GetMessage() == "more" && len(s.GetData()) != 12*mib {
				t.Errorf("an update of task %s came with %d bytes of data, want %d", id, len(s.GetData()), 12*mib)
			}
		}
	}
	f.expectCalm()
}

func TestWhatSchedulersSendToASlaveCostsNobodyElseItsTasks(t *testing.T) {
	f := newFlooded(t)
	f.loud.launch(f.executorOf("loud", 0), "sit", "loud")
	f.loud.await(mesos.TaskState_TASK_RUNNING, "loud")
	others := []*boss{employ(t, f.ground, f.masterAddress, nil), employ(t, f.ground, f.masterAddress, nil), employ(t, f.ground, f.masterAddress, nil)}
	flood := func() {
		f.loud.launch(f.executorOf("loud", 0), string(make([]byte, 15*mib)), "large1", "large2", "large3")
		for _, b := range others {
			b.driver.Do(func() {
				for range 3 {
					b.driver.Message(f.loud.slaveID, "loud", make([]byte, 20*mib))
				}
			})
		}
	}
	f.while(f.slave.command.Process.Pid, flood, "messages are dropped", func() bool {
		return f.figure(f.masterAddress, "stoa_master_messages_dropped_total") > 0 || f.figure(f.masterAddress, "stoa_master_slave_reregistrations_total") > 0 ||
			f.master.saysOften("disconnected") > 0
	})
	f.runs("loud", "large1", "large2", "large3")
	f.expectCalm()
}

func TestLargeExecutorsAndCommandsCostNobodyElseItsTasks(t *testing.T) {
	f := newFlooded(t)
	host := f.daemons("host")
	if len(host) != 1 {
		t.Fatalf("there are %d hosts", len(host))
	}
	var ids []string
	flood := func() {
		for i := range 4 {
			id := fmt.Sprintf("loud%d", i+1)
			f.loud.launch(f.executorOf(id, 18*mib), "sit", id)
			ids = append(ids, id)
		}
	}
	f.while(host[0].pid, flood, "the slave has the tasks", func() bool {
		return f.figure(f.slaveAddress, "stoa_slave_tasks_received_total") == 5 || f.figure(f.slaveAddress, "stoa_slave_host_connected") == 0
	})
	f.runs(ids...)
	// A command reads its data, and may be longer than the system executes.
	command := func(id string, data []byte, args ...string) *mesos.TaskInfo {
		return &mesos.TaskInfo{
			Name: &id, TaskId: mesos.NewTaskID(id), Data: data,
			Command: &mesos.CommandInfo{Shell: proto.Bool(false), Value: &args[0], Arguments: args},
		}
	}
	f.loud.add(command("reads", make([]byte, 40*mib), "sh", "-c", "test $(wc -c) = "+fmt.Sprint(40*mib)))
	f.loud.await(mesos.TaskState_TASK_FINISHED, "reads")
	f.loud.add(command("long", nil, "true", strings.Repeat("x", 50*mib)))
	f.loud.await(mesos.TaskState_TASK_FAILED, "long")
	f.expectCalm()
}

// A slave says all that it knows when it comes back: here more than fits into a message, or into the queue of a connection.
func TestASlaveComesBackHoweverMuchItKnows(t *testing.T) {
	f := newFlooded(t)
	var ids []string
	for i := range 5 {
		id := fmt.Sprintf("loud%d", i+1)
		f.loud.launch(f.executorOf(id, 20*mib), "sit", id)
		f.loud.await(mesos.TaskState_TASK_RUNNING, id)
		ids = append(ids, id)
	}
	f.master.signal(syscall.SIGKILL)
	f.master.wait()
	_, port, _ := strings.Cut(f.masterAddress, ":")
	f.master = f.start("master", "--port", port)
	f.addressIn(f.master, "master is up")
	f.await("the slave has come back", func() bool { return f.figure(f.masterAddress, "stoa_master_slave_reregistrations_total") == 1 })
	f.await("all tasks run", func() bool {
		running := 0
		for _, b := range []*boss{f.calm, f.loud} {
			for _, id := range append(ids, "calm") {
				if s := b.last(id); s != nil && s.GetState() == mesos.TaskState_TASK_RUNNING {
					running++
				}
			}
		}
		return running == 6
	})
	if n := f.figure(f.masterAddress, "stoa_master_tasks"); n != 6 {
		t.Errorf("the new master knows %v tasks, want 6", n)
	}
	for _, id := range ids {
		f.loud.driver.Do(func() { f.loud.driver.Kill(id, 0) })
	}
	f.loud.await(mesos.TaskState_TASK_KILLED, ids...)
	f.calm.driver.Do(func() { f.calm.driver.Kill("calm", 0) })
	f.calm.await(mesos.TaskState_TASK_KILLED, "calm")
}
