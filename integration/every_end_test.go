package integration_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

// told is what `stoa task list --json` tells of a task's last status.
type told struct {
	State, Reason, Message string
	Labels                 map[string]string
}

// ends lists the last status of each task, by its id.
func (g *ground) ends(master string) map[string]told {
	g.t.Helper()
	p := g.stoa("task", "list", "--master", master, "--all", "--json")
	p.expect(0)
	var list []struct {
		ID       string
		Statuses []told
	}
	if err := json.Unmarshal([]byte(p.out.String()), &list); err != nil {
		g.t.Fatalf("task list said %s: %v", p.out.String(), err)
	}
	all := map[string]told{}
	for _, task := range list {
		if n := len(task.Statuses); n > 0 {
			all[task.ID] = task.Statuses[n-1]
		}
	}
	return all
}

// number is a pattern of a label that has to be one, and is not known beforehand.
const number = `[0-9]+(\.[0-9]{3})?`

// taskEnd is how a task is to end.
type taskEnd struct {
	run     []string                    // flags of stoa run, -- and its command
	task    *mesos.TaskInfo             // or this, of another framework
	then    func(g *ground, p *program) // what happens when it runs; nil: it ends by itself
	state   string
	message string            // a pattern
	labels  map[string]string // patterns of all labels there must be, whole; those of what it used are allowed beside them
}

// usageLabels are the labels that a task has whose command ran.
var usageLabels = []string{mesos.LabelCPUSeconds, mesos.LabelWallSeconds, mesos.LabelMemoryPeakBytes, mesos.LabelMemoryLimitBytes}

// Each kind of end, for real, as `stoa task list --json` tells it.
func TestEachKindOfEndIsToldAsWhatItIs(t *testing.T) {
	needsRoot(t)
	g := newGround(t)
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	large := filepath.Join(g.tmp, "large")
	if err := os.WriteFile(large, make([]byte, 3_000_000), 0o644); err != nil {
		t.Fatal(err)
	}
	master := g.addressIn(g.start("master", "--port", "0"), "master is up")
	slave := g.start("slave", "--master", master, "--port", "0", "--work_dir", g.tmp+"/slave", "--hostname", "one", "--isolation", "libcontainer",
		"--resources", "cpus:8;mem:4096;disk:4096")
	g.await("the slave has registered", func() bool { return g.countNodes(master) == 1 })
	stoa := func(args ...string) func(g *ground, p *program) {
		return func(g *ground, _ *program) { g.stoa(append(args, "--master", master)...).expect(0) }
	}
	ready := func(then func(g *ground, p *program)) func(g *ground, p *program) {
		return func(g *ground, p *program) {
			g.await("it says that it is ready", func() bool { return p.out.String() == "ready\n" })
			then(g, p)
		}
	}
	sh := func(flags []string, line string) []string { return append(flags, "--", "sh", "-c", line) }
	cause := func(cause string, more ...string) map[string]string {
		labels := map[string]string{mesos.LabelCause: cause}
		for i := 0; i < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		return labels
	}
	killed := func(by string, more ...string) map[string]string {
		return cause(mesos.CauseKilled, append(more, mesos.LabelKilledBy, by)...)
	}
	term := []string{mesos.LabelSignal, "15"}
	command := func(line string) *mesos.CommandInfo { return &mesos.CommandInfo{Value: &line} }
	sleep := sh(nil, "exec sleep 1000")
	ends := map[string]taskEnd{
		"well":    {run: sh(nil, "exit 0"), state: "TASK_FINISHED", labels: cause(mesos.CauseExited, mesos.LabelExitStatus, "0")},
		"status":  {run: sh(nil, "exit 7"), state: "TASK_FAILED", message: "exited with status 7", labels: cause(mesos.CauseExited, mesos.LabelExitStatus, "7")},
		"caught":  {run: sh(nil, "trap 'exit 9' TERM; echo ready; sleep 1000 & wait"), then: ready(stoa("task", "kill", "caught-0")), state: "TASK_KILLED", labels: killed(mesos.KilledByOperator, mesos.LabelExitStatus, "9")},
		"signal":  {run: sh(nil, "kill -SEGV $$"), state: "TASK_FAILED", message: "(?i)segmentation|SIGSEGV|signal 11", labels: cause(mesos.CauseSignal, mesos.LabelSignal, "11")},
		"outside": {run: sleep, then: func(g *ground, _ *program) { g.kill(g.taskOf("outside-0")) }, state: "TASK_FAILED", labels: cause(mesos.CauseSignal, mesos.LabelSignal, "9")},
		"memory": {
			run: sh([]string{"--mem", "40"}, "exec tail /dev/zero"), state: "TASK_FAILED", message: "limit 40 MiB, peak (40|39)",
			labels: cause(mesos.CauseMemory, mesos.LabelSignal, "9", mesos.LabelMemoryLimitBytes, strconv.Itoa(40<<20), mesos.LabelMemoryPeakBytes, "(39|4[01])[0-9]{6}"),
		},
		"disk": {
			run: sh([]string{"--disk", "16"}, "head -c 40m /dev/zero > large; exec sleep 1000"), state: "TASK_FAILED", message: `limit 16 MiB, its sandbox has (1[6-9]|[234][0-9])[. ]`, // as it is looked at, and not when all is written

			labels: cause(mesos.CauseDisk, mesos.LabelSignal, "9", mesos.LabelDiskLimitBytes, strconv.Itoa(16<<20), mesos.LabelDiskUsedBytes, "(1[6-9]|[234][0-9])[0-9]{6}"),
		},
		"nameless": {
			run:   sh([]string{"--disk", "16"}, "exec 3>large; rm large; head -c 40m /dev/zero >&3; exec sleep 1000"),
			state: "TASK_FAILED", message: `limit 16 MiB, its sandbox has .* of it in files that were removed and still open`,
			labels: cause(mesos.CauseDisk, mesos.LabelSignal, "9", mesos.LabelDiskLimitBytes, strconv.Itoa(16<<20), mesos.LabelDiskUsedBytes, "(1[6-9]|[234][0-9])[0-9]{6}"),
		},
		"bereft": { // of a child, long before it fails
			run: sh([]string{"--mem", "40"}, "tail /dev/zero; sleep 3; exit 1"), state: "TASK_FAILED", message: "exited with status 1",
			labels: cause(mesos.CauseExited, mesos.LabelExitStatus, "1"),
		},
		"pids": {
			run: sh([]string{"--pids", "4"}, "for i in 1 2 3 4 5 6; do sleep 1000 & done; exit 5"), state: "TASK_FAILED", message: "limit of 4 processes",
			labels: cause(mesos.CausePIDs, mesos.LabelExitStatus, "[0-9]+", mesos.LabelPIDsLimit, "4"),
		},
		"nosuch": {run: []string{"--", "no-such-command"}, state: "TASK_FAILED", message: `"no-such-command" was not found`, labels: cause(mesos.CauseNotFound)},
		"plain":  {run: []string{"--", "/etc/passwd"}, state: "TASK_FAILED", message: `"/etc/passwd" can't be executed: permission denied`, labels: cause(mesos.CauseNotExecutable)},
		"volume": {run: sh([]string{"--volume", "/no/such:/x"}, "true"), state: "TASK_FAILED", message: "/no/such", labels: cause(mesos.CauseLaunchFailed)},
		"fetch": {
			run: sh([]string{"--uri", server.URL + "/file"}, "true"), state: "TASK_FAILED", message: "fetch " + server.URL + "/file: the server answered 404 Not Found",
			labels: cause(mesos.CauseFetchFailed, mesos.LabelFetchURL, server.URL+"/file"),
		},
		"toolarge": {
			run: sh([]string{"--disk", "1", "--uri", "file://" + large}, "true"), state: "TASK_FAILED",
			message: "fetch file://" + large + ": it has 3000000 bytes: the task's disk of 1048576 bytes has room for 10[0-9]+",
			labels:  cause(mesos.CauseFetchFailed, mesos.LabelFetchURL, "file://"+large),
		},
		"ctrlc":    {run: sleep, then: func(_ *ground, p *program) { p.signal(syscall.SIGINT) }, state: "TASK_KILLED", labels: killed(mesos.KilledByScheduler, term...)},
		"deaf":     {run: sh([]string{"--kill_grace", "100ms"}, "trap '' TERM; echo ready; sleep 1000"), then: ready(stoa("task", "kill", "deaf-0")), state: "TASK_KILLED", labels: killed(mesos.KilledByOperator, mesos.LabelSignal, "9")},
		"operator": {run: sleep, then: stoa("task", "kill", "operator-0"), state: "TASK_KILLED", labels: killed(mesos.KilledByOperator, term...)},
		"long": {
			task:  &mesos.TaskInfo{Command: command("exec sleep 1000"), MaxCompletionTime: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(200 * time.Millisecond))}},
			state: "TASK_FAILED", labels: cause(mesos.CauseMaxCompletionTime, mesos.LabelSignal, "9"), message: "max_completion_time|200",
		},
		"checked": {
			task:  &mesos.TaskInfo{Command: command("true"), HealthCheck: &mesos.HealthCheck{Type: mesos.HealthCheck_COMMAND.Enum(), Command: command("true")}},
			state: "TASK_FAILED", message: "health", labels: cause(mesos.CauseInvalid),
		},
		"lost": {
			task:  &mesos.TaskInfo{Executor: &mesos.ExecutorInfo{ExecutorId: mesos.NewExecutorID("short"), Type: mesos.ExecutorInfo_CUSTOM.Enum(), Command: command("exit 4")}},
			state: "TASK_GONE", message: "the executor ended: exit status 4", labels: cause(mesos.CauseExecutorLost),
		},
	}
	g.expectEnds(t, master, ends)

	// What ends more than one task: the framework, the host, the slave.
	g.expectEnds(t, master, map[string]taskEnd{
		"torn": {run: sleep, then: func(g *ground, _ *program) {
			g.stoa("framework", "teardown", g.frameworkOf(master, "torn-0"), "--master", master).expect(0)
		}, state: "TASK_KILLED", labels: killed(mesos.KilledByTeardown)},
	})
	g.expectEnds(t, master, map[string]taskEnd{
		"drained": {run: sleep, then: stoa("node", "drain", "one"), state: "TASK_KILLED", labels: killed(mesos.KilledByDrain, term...)},
	})
	g.await("the slave is empty and may be used again", func() bool { return g.stoa("node", "reactivate", "one", "--master", master).wait() == 0 })
	g.expectEnds(t, master, map[string]taskEnd{
		"hosted": {run: sleep, then: func(g *ground, _ *program) { g.kill(g.daemons("host")[0]) }, state: "TASK_(LOST|GONE)", message: "host", labels: cause(mesos.CauseHostLost)},
	})
	g.expectEnds(t, master, map[string]taskEnd{
		"stopped": {run: sleep, then: func(*ground, *program) { slave.signal(syscall.SIGTERM) }, state: "TASK_KILLED", labels: killed(mesos.KilledBySlave, term...)},
	})
	slave.expect(0)
}

// taskOf is the process of a task's command.
func (g *ground) taskOf(id string) runningProcess {
	g.t.Helper()
	for _, p := range g.tasks() {
		environment, _ := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/environ")
		if strings.Contains(string(environment), "MESOS_TASK_ID="+id+"\x00") {
			return p
		}
	}
	g.t.Fatalf("no process of task %s runs", id)
	return runningProcess{}
}

func (g *ground) frameworkOf(master, task string) string {
	g.t.Helper()
	p := g.stoa("task", "list", "--master", master, "--all", "--json")
	var list []listed
	if err := json.Unmarshal([]byte(p.out.String()), &list); err != nil {
		g.t.Fatal(err)
	}
	for _, one := range list {
		if one.ID == task {
			return one.FrameworkID
		}
	}
	g.t.Fatalf("no task %s", task)
	return ""
}

// expectEnds has tasks run at the same time, and compares how each has ended.
func (g *ground) expectEnds(t *testing.T, master string, ends map[string]taskEnd) {
	t.Helper()
	programs := map[string]*program{}
	var b *boss
	var last map[string]told
	defer func() {
		if t.Failed() {
			t.Logf("the tasks are %+v", last)
			if b != nil {
				t.Logf("their scheduler has heard %v", b.heard())
			}
		}
	}()
	for name, end := range ends {
		if end.task == nil {
			programs[name] = g.start(append([]string{"run", "--master", master, "--cpus", "0.1", "--mem", "64", "--name", name}, end.run...)...)
			continue
		}
		if b == nil {
			b = employ(t, g, master, nil)
		}
		end.task.Name, end.task.TaskId = &name, mesos.NewTaskID(name+"-0")
		b.add(end.task)
	}
	for name, end := range ends {
		if end.then == nil {
			continue
		}
		g.await(name+" runs", func() bool { return g.ends(master)[name+"-0"].State == "TASK_RUNNING" })
		end.then(g, programs[name])
	}
	for name, end := range ends {
		var got told
		g.await(name+" has ended", func() bool {
			last = g.ends(master)
			got = last[name+"-0"]
			state := mesos.TaskState(mesos.TaskState_value[got.State])
			return got.State != "" && mesos.IsTerminal(state)
		})
		if !regexp.MustCompile("^"+end.state+"$").MatchString(got.State) || !regexp.MustCompile(end.message).MatchString(got.Message) {
			t.Errorf("%s: it is %s: %s; want %s: what matches %q", name, got.State, got.Message, end.state, end.message)
		}
		for label, want := range end.labels {
			if !regexp.MustCompile("^(" + want + ")$").MatchString(got.Labels[label]) {
				t.Errorf("%s: label %s is %q, want %q: %+v", name, label, got.Labels[label], want, got)
			}
		}
		_, status := got.Labels[mesos.LabelExitStatus]
		_, signal := got.Labels[mesos.LabelSignal]
		for label, value := range got.Labels {
			_, wanted := end.labels[label]
			used := strings.Contains(strings.Join(usageLabels, " "), label) && (status || signal)
			if !wanted && !(used && regexp.MustCompile("^"+number+"$").MatchString(value)) {
				t.Errorf("%s: it has the label %s=%s, which is not wanted", name, label, value)
			}
		}
		for _, label := range usageLabels {
			if got.Labels[label] == "" && (status || signal) {
				t.Errorf("%s: it has no label %s", name, label)
			}
		}
	}
	if b != nil {
		b.driver.Do(func() { b.driver.Teardown(nil) })
	}
	for _, p := range programs {
		p.end()
	}
}

// elsewhere says which kinds of end real processes do not show, and what shows them: the cores' scripts and tests.
var elsewhere = map[string]string{
	mesos.LabelOutputLostBytes: "integration/full_disk_linux_test.go",
	mesos.CauseSlaveRestarted:  "slave/core/testdata/slave_restarts.txt",
	mesos.KilledByMaster:       "master/core/testdata/disconnect.txt",
}

// Users read the labels in one table. It has those of the code, and no others; and each cause and each killer has a task here
// that ends by it, or a script that does.
func TestTheTableOfLabelsIsThatOfTheCode(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	code := map[string]string{} // the value of each constant, by its name
	for _, found := range regexp.MustCompile(`(?m)^\t((?:Label|Cause|KilledBy)\w+)\s*= "([^"]+)"`).FindAllStringSubmatch(read("../proto/mesos/labels.go"), -1) {
		code[found[1]] = found[2]
	}
	if len(code) < 30 {
		t.Fatalf("only %d constants were found: the test looks at the wrong place", len(code))
	}
	_, page, _ := strings.Cut(read("../docs/containers.md"), "## How a task ended")
	page, _, _ = strings.Cut(page, "\n## ")
	told := map[string]bool{}
	for _, found := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| [^|]").FindAllStringSubmatch(page, -1) {
		told[found[1]] = true
	}
	tests := read("every_end_test.go")
	tests, _, _ = strings.Cut(tests, "// elsewhere says")
	for name, value := range code {
		if !told[value] {
			t.Errorf("docs/containers.md does not list %s", value)
		}
		delete(told, value)
		switch place := elsewhere[value]; {
		case place == "" && !strings.Contains(tests, "mesos."+name):
			t.Errorf("no task here ends so that it has %s", value)
		case place != "" && !strings.Contains(read("../"+place), value):
			t.Errorf("%s shows nothing of %s", place, value)
		}
	}
	for value := range told {
		t.Errorf("docs/containers.md lists %s, which the code does not have", value)
	}
}
