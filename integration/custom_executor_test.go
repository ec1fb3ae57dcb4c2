package integration_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// boss is a scheduler, for real processes, of an executor of its own.
type boss struct {
	scheduler.Base
	g      *ground
	driver *scheduler.Driver
	ended  chan error

	mu       sync.Mutex
	wanted   []*mesos.TaskInfo // without slave and resources
	launched map[string]*mesos.TaskInfo
	statuses map[string][]*mesos.TaskStatus
	said     []string
	slaveID  string
	exits    int // of executors
}

// example is where the example of an executor of this run of the tests lies: beside the stoa program.
var example struct {
	once sync.Once
	path string
	err  error
}

// exampleExecutor builds docs/examples/executor, once.
func exampleExecutor(t testing.TB) string {
	t.Helper()
	example.once.Do(func() {
		example.path = filepath.Join(filepath.Dir(stoaProgram(t)), "examples", "waiter")
		command := exec.Command("go", "build", "-o", example.path, "./docs/examples/executor")
		command.Dir = ".."
		if output, err := command.CombinedOutput(); err != nil {
			example.err = fmt.Errorf("go build ./docs/examples/executor: %w\n%s", err, output)
		}
	})
	if example.err != nil {
		t.Fatal(example.err)
	}
	return example.path
}

// employ starts a scheduler with files of this machine.
func employ(t testing.TB, g *ground, master string, files *scheduler.Files) *boss {
	t.Helper()
	b := &boss{g: g, ended: make(chan error, 1), statuses: map[string][]*mesos.TaskStatus{}, launched: map[string]*mesos.TaskInfo{}}
	born := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		b.ended <- scheduler.RunWith(ctx, scheduler.Options{Master: master, Name: "boss", Files: files}, func(d *scheduler.Driver) scheduler.Scheduler {
			b.driver = d
			close(born)
			return b
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-b.ended
	})
	<-born
	return b
}

// Offers implements scheduler.Scheduler.
func (b *boss) Offers(d *scheduler.Driver, offers []*scheduler.Offer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range offers {
		b.slaveID = o.SlaveID()
		d.Launch(o, b.take(o)...)
	}
}

func (b *boss) take(o *scheduler.Offer) []*mesos.TaskInfo {
	for _, t := range b.wanted {
		t.AgentId = o.Info.GetAgentId()
		t.Resources = allocated(resource.MustParse("cpus:0.1;mem:64"), "*")
		if t.Executor != nil {
			t.Executor.Resources = allocated(resource.MustParse("cpus:0.2;mem:96"), "*")
		}
	}
	tasks := b.wanted
	b.wanted = nil
	for _, t := range tasks {
		b.launched[t.GetTaskId().GetValue()] = t
	}
	return tasks
}

func allocated(r resource.Resources, role string) []*mesos.Resource {
	all := r.ToProto()
	for _, one := range all {
		one.AllocationInfo = &mesos.Resource_AllocationInfo{Role: &role}
	}
	return all
}

// Update implements scheduler.Scheduler. What was dropped, because the master was out of reach for a moment, is launched again.
func (b *boss) Update(d *scheduler.Driver, s *mesos.TaskStatus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.GetState() == mesos.TaskState_TASK_DROPPED {
		b.wanted = append(b.wanted, b.launched[s.GetTaskId().GetValue()])
		d.Revive()
	}
	b.statuses[s.GetTaskId().GetValue()] = append(b.statuses[s.GetTaskId().GetValue()], s)
}

// Message implements scheduler.Scheduler.
func (b *boss) Message(_ *scheduler.Driver, _, _ string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, string(data))
}

// Failure implements scheduler.Scheduler.
func (b *boss) Failure(_ *scheduler.Driver, _, executor string, _ int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if executor != "" {
		b.exits++
	}
}

// launch has tasks run by an executor; each waits for its seconds.
func (b *boss) launch(executor *mesos.ExecutorInfo, seconds string, ids ...string) {
	done := make(chan struct{})
	b.driver.Do(func() {
		defer close(done)
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, id := range ids {
			b.wanted = append(b.wanted, &mesos.TaskInfo{
				Name: proto.String(id), TaskId: mesos.NewTaskID(id), Executor: proto.CloneOf(executor), Data: []byte(seconds),
			})
		}
		b.driver.Revive()
	})
	<-done
}

// add has tasks launched that say themselves what they are.
func (b *boss) add(tasks ...*mesos.TaskInfo) {
	done := make(chan struct{})
	b.driver.Do(func() {
		defer close(done)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wanted = append(b.wanted, tasks...)
		b.driver.Revive()
	})
	<-done
}

// heard lists the updates that came, by task.
func (b *boss) heard() map[string][]*mesos.TaskStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.statuses)
}

func (b *boss) last(id string) *mesos.TaskStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	if all := b.statuses[id]; len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

func (b *boss) await(state mesos.TaskState, ids ...string) {
	b.g.t.Helper()
	for _, id := range ids {
		b.g.await(fmt.Sprintf("task %s is %v", id, state), func() bool {
			if s := b.last(id); s != nil && mesos.IsTerminal(s.GetState()) && s.GetState() != state {
				b.g.t.Fatalf("task %s is %v, want %v: %s", id, s.GetState(), state, s.GetMessage())
			}
			return b.last(id).GetState() == state && b.last(id) != nil
		})
	}
}

// onSlaveOf is a cluster by hand, whose slave has flags of its own.
func onSlaveOf(g *ground, flags ...string) (master string) {
	g.t.Helper()
	address, _ := masterAndSlave(g, flags...)
	return address
}

func masterAndSlave(g *ground, flags ...string) (master string, slave *program) {
	g.t.Helper()
	address := g.addressIn(g.start("master", "--port", "0"), "master is up")
	slave = g.start(append([]string{"slave", "--master", address, "--port", "0", "--work_dir", filepath.Join(g.tmp, "slave"), "--resources", "cpus:4;mem:1024"}, flags...)...)
	g.await("the slave has registered", func() bool { return g.countNodes(address) == 1 })
	return address, slave
}

func waiterInfo(id string, uri *mesos.CommandInfo_URI, line string) *mesos.ExecutorInfo {
	return &mesos.ExecutorInfo{
		ExecutorId: mesos.NewExecutorID(id), Type: mesos.ExecutorInfo_CUSTOM.Enum(),
		Command: &mesos.CommandInfo{Shell: proto.Bool(true), Value: proto.String(line), Uris: []*mesos.CommandInfo_URI{uri}},
	}
}

func TestAnExecutorOfItsOwnHasAContainerForAllItsTasks(t *testing.T) {
	underEachIsolation(t, func(t *testing.T, g *ground, isolation string) {
		files := &scheduler.Files{}
		uri, err := files.Add(exampleExecutor(t)) // the file of this machine comes with the executor
		if err != nil {
			t.Fatal(err)
		}
		master := onSlaveOf(g, "--isolation", isolation)
		b := employ(t, g, master, files)
		waiter := waiterInfo("waiter", uri, "exec ./waiter")
		b.launch(waiter, "1000", "first", "second")
		b.await(mesos.TaskState_TASK_RUNNING, "first", "second")
		if n := len(g.processesNamed("waiter")); n != 1 {
			t.Errorf("%d processes of the executor run, want 1", n)
		}
		b.expectUsed(t, master, 0.4, 224) // the executor's own once, and the tasks'
		b.expectLimit(t, master, isolation, 224<<20)
		g.expectShares(t, isolation, 409) // of 1,024 for a cpu

		env := g.stoa("task", "exec", "--master", master, "first", "env").out.String()
		for _, name := range []string{
			"MESOS_FRAMEWORK_ID=", "MESOS_EXECUTOR_ID=waiter\n", "MESOS_DIRECTORY=/", "MESOS_SANDBOX=/", "MESOS_SLAVE_ID=", "MESOS_SLAVE_PID=slave(1)@127.0.0.1:",
			"MESOS_AGENT_ENDPOINT=127.0.0.1:", "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD=5secs\n", "MESOS_HTTP_COMMAND_EXECUTOR=0\n", "LIBPROCESS_PORT=0\n",
			"MESOS_EXECUTOR_AUTHENTICATION_TOKEN=",
		} {
			if !strings.Contains(env, name) {
				t.Errorf("the executor's environment has no %q:\n%s", name, env)
			}
		}

		b.driver.Do(func() { b.driver.Message(b.slaveID, "waiter", []byte("hello")) })
		g.await("the executor answers", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.said) == 1 })
		if want := `2 tasks run; you said "hello"`; b.said[0] != want {
			t.Errorf("it says %q, want %q", b.said[0], want)
		}
		b.driver.Do(func() { b.driver.Kill("first", 0) })
		b.await(mesos.TaskState_TASK_KILLED, "first")
		b.launch(waiter, "0.1", "third")
		b.await(mesos.TaskState_TASK_FINISHED, "third")
		b.launch(waiter, "nonsense", "fourth")
		b.await(mesos.TaskState_TASK_FAILED, "fourth")
		b.expectUsed(t, master, 0.3, 160)
		b.expectLimit(t, master, isolation, 160<<20)
		g.expectShares(t, isolation, 307)
		if n := len(g.processesNamed("waiter")); n != 1 {
			t.Errorf("%d processes of the executor run, want the one", n)
		}

		b.driver.Do(func() { b.driver.ShutdownExecutor(b.slaveID, "waiter") })
		g.await("the executor is gone", func() bool { return len(g.processesNamed("waiter")) == 0 })
		g.await("its end is told", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.exits == 1 })
		g.await("its last task has ended", func() bool { return mesos.IsTerminal(b.last("second").GetState()) })
		b.expectUsed(t, master, 0, 0)
		b.driver.Do(func() { b.driver.Teardown(nil) })
	})
}

// What an executor proves itself with is in its own environment, and nowhere else that anybody looks: not in a log, however
// much is logged, in an answer of an endpoint, or in what the command line shows.
func TestCVE_2019_12741_AndCVE_2025_1296_AnExecutorsSecretIsShownNowhere(t *testing.T) {
	g := newGround(t)
	files := &scheduler.Files{}
	uri, err := files.Add(exampleExecutor(t))
	if err != nil {
		t.Fatal(err)
	}
	master, slave := masterAndSlave(g, "--isolation", "process", "--log_level", "debug", "--log_messages")
	b := employ(t, g, master, files)
	b.launch(waiterInfo("waiter", uri, "exec ./waiter"), "1000", "first")
	b.await(mesos.TaskState_TASK_RUNNING, "first")
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", g.processesNamed("waiter")[0].pid))
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(string(environment), "MESOS_EXECUTOR_AUTHENTICATION_TOKEN=")
	secret, _, _ = strings.Cut(secret, "\x00")
	raw, err := hex.DecodeString(secret)
	if err != nil || len(raw) < 16 {
		t.Fatalf("the secret is %q, %v", secret, err)
	}
	for _, command := range [][]string{
		{"task", "list"},
		{"task", "list", "--json"},
		{"task", "stats", "first", "--json"},
		{"framework", "list", "--json"},
		{"node", "list", "--json"},
		{"node", "stats"},
		{"node", "gc", "--dry-run"},
		{"task", "ls", "first"},
		{"task", "logs", "first"},
	} {
		p := g.stoa(append(command, "--master", master)...)
		p.expect(0)
		expectHidden(t, strings.Join(command, " "), p.out.String()+p.err.String(), secret, raw)
	}
	address := g.addressIn(slave, "slave is up")
	for _, path := range []string{"/health", "/version", "/metrics", "/gc", "/state", "/containers", "/flags", "/files/browse?path=/"} {
		for _, daemon := range []string{address, master} {
			response, err := http.Get("http://" + daemon + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			expectHidden(t, daemon+path, string(body), secret, raw)
		}
	}
	b.driver.Do(func() { b.driver.Teardown(nil) })
	g.await("the executor is gone", func() bool { return len(g.processesNamed("waiter")) == 0 })
	if slave.saysOften("LaunchExecutor") == 0 {
		t.Errorf("the log shows no messages: this test looks at nothing")
	}
	expectHidden(t, "the log", slave.err.String(), secret, raw)
}

// expectHidden looks for a secret in all the ways in which it may be written.
func expectHidden(t *testing.T, where, text, secret string, raw []byte) {
	t.Helper()
	for _, form := range []string{secret, strings.ToUpper(secret), string(raw), base64.StdEncoding.EncodeToString(raw), fmt.Sprintf("%d", raw), strings.Trim(strconv.Quote(string(raw)), `"`)} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the executor's secret", where)
		}
	}
}

// processesNamed lists processes by the name of their program.
func (g *ground) processesNamed(name string) []runningProcess {
	var found []runningProcess
	for _, p := range g.processes() {
		if filepath.Base(p.args[0]) == name {
			found = append(found, p)
		}
	}
	return found
}

// expectUsed waits until the master has given a slave's resources away to such an amount.
func (b *boss) expectUsed(t *testing.T, master string, cpus, mem float64) {
	t.Helper()
	var used struct{ CPUs, Mem float64 }
	b.g.await(fmt.Sprintf("%v cpus and %v MB are charged", cpus, mem), func() bool {
		var nodes []struct {
			Used struct{ CPUs, Mem float64 } `json:"used_resources"`
		}
		p := b.g.stoa("node", "list", "--master", master, "--json")
		if err := json.Unmarshal([]byte(p.out.String()), &nodes); err != nil || len(nodes) != 1 {
			t.Fatalf("%v: %s", err, p.out.String())
		}
		used = nodes[0].Used
		return int(used.CPUs*1000+0.5) == int(cpus*1000+0.5) && used.Mem == mem
	})
}

// expectLimit waits until the executor's container has a memory limit, where there are any.
func (b *boss) expectLimit(t *testing.T, master, isolation string, bytes int) {
	t.Helper()
	if isolation != "libcontainer" {
		return
	}
	b.g.await(fmt.Sprintf("the limit of memory is %d bytes", bytes), func() bool {
		out := b.g.stoa("task", "stats", "--master", master, "--json", "second").out.String()
		return strings.Contains(out, fmt.Sprintf(`"memory_limit_bytes": %d`, bytes))
	})
}

// expectShares waits until the cgroup of the only container has a weight of the processor, by what the kernel itself says.
func (g *ground) expectShares(t *testing.T, isolation string, want int) {
	t.Helper()
	if isolation != "libcontainer" || !exists("/sys/fs/cgroup/cpu") { // with one hierarchy for all the weight is of another scale
		return
	}
	g.await(fmt.Sprintf("the container has %d shares", want), func() bool {
		for _, dir := range g.containerCgroups() {
			if shares, err := os.ReadFile(filepath.Join(dir, "cpu.shares")); err == nil {
				return strings.TrimSpace(string(shares)) == strconv.Itoa(want)
			}
		}
		return false
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestAnExecutorThatDoesNotRegisterIsEnded(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	script := filepath.Join(t.TempDir(), "mute")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntrap '' TERM\nsleep 1001\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := &scheduler.Files{}
	uri, err := files.Add(script)
	if err != nil {
		t.Fatal(err)
	}
	master := onSlaveOf(g, "--isolation", "process", "--executor-registration-timeout", "2s") // - and _ are the same
	b := employ(t, g, master, files)
	b.launch(waiterInfo("mute", uri, "./mute"), "1", "t")
	g.await("it runs", func() bool { return len(g.processesNamed("sleep")) == 1 })
	b.await(mesos.TaskState_TASK_FAILED, "t")
	if s := b.last("t"); s.GetReason() != mesos.TaskStatus_REASON_EXECUTOR_REGISTRATION_TIMEOUT || !strings.Contains(s.GetMessage(), "2secs") {
		t.Errorf("got %v: %s", s.GetReason(), s.GetMessage())
	}
	g.await("it is gone", func() bool { return len(g.processesNamed("sleep")) == 0 })
	b.expectUsed(t, master, 0, 0)
	b.driver.Do(func() { b.driver.Teardown(nil) })
}

// What an executor leaves running when it was told to end has until the grace period is over.
func TestAnExecutorThatDoesNotEndIsKilled(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	files := &scheduler.Files{}
	uri, err := files.Add(exampleExecutor(t))
	if err != nil {
		t.Fatal(err)
	}
	master := onSlaveOf(g, "--isolation", "process", "--executor_shutdown_grace_period", "2s")
	b := employ(t, g, master, files)
	b.launch(waiterInfo("stubborn", uri, "trap '' TERM; ./waiter; sleep 1002"), "1000", "t")
	b.await(mesos.TaskState_TASK_RUNNING, "t")
	began := time.Now()
	b.driver.Do(func() { b.driver.ShutdownExecutor(b.slaveID, "stubborn") })
	g.await("the program has ended, and left something running", func() bool { return len(g.processesNamed("waiter")) == 0 && len(g.processesNamed("sleep")) == 1 })
	g.await("all of it is gone", func() bool { return len(g.processesNamed("sleep")) == 0 })
	if took := time.Since(began); took < time.Second {
		t.Errorf("it was killed after %v, before its 2s were over", took)
	}
	b.expectUsed(t, master, 0, 0)
	b.driver.Do(func() { b.driver.Teardown(nil) })
}
