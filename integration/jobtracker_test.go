package integration_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop"
)

// jobTracker is a `stoa hadoop jobtracker` that a test started, and may start again.
type jobTracker struct {
	*program
	c       *localCluster
	address string
	flags   []string
}

func (c *localCluster) jobTracker(flags ...string) *jobTracker {
	c.g.t.Helper()
	t := &jobTracker{c: c, flags: append(flags, "--state", filepath.Join(c.g.t.TempDir(), "state"))}
	t.begin("0")
	return t
}

func (t *jobTracker) begin(port string) {
	t.c.g.t.Helper()
	t.program = t.c.g.start(append([]string{"hadoop", "jobtracker", "--master", t.c.master, "--port", port}, t.flags...)...)
	t.address = t.c.g.addressIn(t.program, "jobtracker is up")
}

// again starts it at the same address.
func (t *jobTracker) again() {
	t.c.g.t.Helper()
	t.begin(t.address[strings.LastIndex(t.address, ":")+1:])
}

// die is kill -9.
func (t *jobTracker) die() {
	t.c.g.t.Helper()
	t.signal(syscall.SIGKILL)
	t.wait()
}

// submit starts a client that submits a job and waits for it.
func (t *jobTracker) submit(args ...string) *program {
	t.c.g.t.Helper()
	return t.c.g.start(append([]string{"hadoop", "-jobtracker", t.address}, args...)...)
}

// job asks about a job; nil is that there is none.
func (t *jobTracker) job(id string) *hadoop.JobHistory {
	t.c.g.t.Helper()
	p := t.c.g.stoa("hadoop", "job", "-jobtracker", t.address, "-history", id, "--json")
	if p.wait() != 0 {
		return nil
	}
	h := &hadoop.JobHistory{}
	if err := json.Unmarshal([]byte(p.out.String()), h); err != nil {
		t.c.g.t.Fatalf("%s: %v", p.out.String(), err)
	}
	return h
}

// awaitJob waits until a job is so far.
func (t *jobTracker) awaitJob(id, what string, far func(*hadoop.JobHistory) bool) {
	t.c.g.t.Helper()
	t.c.g.await(what, func() bool {
		h := t.job(id)
		return h != nil && far(h)
	})
}

// slowCount are the arguments of a word count of some of Go's library that takes seconds.
func slowCount(in, out string) []string {
	return []string{
		"-input", in, "-output", out, "-mapper", "sleep 0.2; stoa hadoop wordcount-mapper", "-reducer", "sleep 1; stoa hadoop wordcount-reducer",
		"-numReduceTasks", "2", "-D", "mapreduce.input.fileinputformat.split.maxsize=100000", "-D", "io.compression.codecs=none", "-cpus", "0.5", "-mem", "128",
	}
}

// Whatever is killed while a JobTracker's job runs, the JobTracker itself included, the output is what it would have been.
func TestAJobTrackersJobSurvivesTheDeathOf(t *testing.T) {
	in := filepath.Join(library(t).dir, "net")
	want, err := countWords(in, countQuickly)
	if err != nil {
		t.Fatal(err)
	}
	inMaps := func(h *hadoop.JobHistory) bool { return h.MapsDone > 3 && h.MapsDone < h.Maps }
	waiting := func(h *hadoop.JobHistory) bool { return h.ReducesRunning > 0 && h.MapsDone < h.Maps }
	inReduces := func(h *hadoop.JobHistory) bool { return h.ReducesRunning > 0 && h.MapsDone == h.Maps }
	for name, c := range map[string]struct {
		when func(*hadoop.JobHistory) bool
		kill func(*ground, *jobTracker)
	}{
		"the JobTracker while maps run":                {inMaps, func(_ *ground, tracker *jobTracker) { tracker.die(); tracker.again() }},
		"the JobTracker while reduces run":             {inReduces, func(_ *ground, tracker *jobTracker) { tracker.die(); tracker.again() }},
		"the JobTracker while a reduce waits for maps": {waiting, func(_ *ground, tracker *jobTracker) { tracker.die(); tracker.again() }},
		"the JobTracker and every executor": {inMaps, func(g *ground, tracker *jobTracker) {
			tracker.die()
			for _, p := range g.daemons(hadoop.ExecutorSubcommand) {
				g.kill(p)
			}
			tracker.again()
		}},
		"an executor that has map output": {inReduces, func(g *ground, _ *jobTracker) {
			for _, p := range first(g.daemons(hadoop.ExecutorSubcommand)) {
				g.kill(p)
			}
		}},
		"the JobTracker, a slave and the master": {inMaps, func(g *ground, tracker *jobTracker) {
			tracker.die()
			for _, p := range append(first(g.daemons("slave")), g.daemons("master")...) {
				g.kill(p)
			}
			tracker.again()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			cluster := g.local("--slaves", "2", "--resources", "cpus:2;mem:2048")
			tracker := cluster.jobTracker()
			out := filepath.Join(t.TempDir(), "out")
			client := tracker.submit(slowCount(in, out)...)
			tracker.awaitJob("job-0001", "the job is where the blow is to fall", c.when)
			c.kill(g, tracker)
			client.expect(0)
			expectSameWords(t, readParts(t, out), want)
			if entries, err := os.ReadDir(out); err != nil || len(entries) != 3 {
				t.Errorf("the output has %v (%v), want two parts and _SUCCESS", entries, err)
			}
			if h := tracker.job("job-0001"); h == nil || h.State != hadoop.StateFinished || h.FailedAttempts > h.LaunchedAttempts/2 {
				t.Errorf("the history has %+v", h)
			}
			tracker.signal(syscall.SIGTERM)
			tracker.expect(0)
			cluster.interrupt()
		})
	}
}

// usedBy is what a framework of a name uses at the moment.
func (c *localCluster) usedBy(name string) (cpus, mem float64) {
	c.g.t.Helper()
	var list []struct {
		Name          string
		UsedResources struct{ Cpus, Mem float64 } `json:"used_resources"`
	}
	p := c.on("framework", "list", "--json")
	if err := json.Unmarshal([]byte(p.out.String()), &list); err != nil {
		c.g.t.Fatalf("%s: %v", p.out.String(), err)
	}
	for _, f := range list {
		if f.Name == name {
			cpus, mem = cpus+f.UsedResources.Cpus, mem+f.UsedResources.Mem
		}
	}
	return cpus, mem
}

// Slots come with demand and go without it; executors stay while a reduce may want what their maps have made, and go then.
func TestWhatIsIdleIsGivenBack(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	cluster := g.local("--slaves", "2", "--resources", "cpus:2;mem:2048")
	tracker := cluster.jobTracker()
	dir := t.TempDir() // is mounted into the executors' containers, as the input
	goOn := filepath.Join(dir, "go on")
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("a\nb\nc\nd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	client := tracker.submit("-input", dir, "-inputformat", "nline", "-output", filepath.Join(t.TempDir(), "out"), "-mapper", "sleep 1; cat",
		"-reducer", fmt.Sprintf("until [ -e '%s' ]; do sleep 0.1; done; cat", goOn), "-mem", "128", "-D", "mapreduce.reduce.speculative=false")
	g.await("maps run in all slots", func() bool { cpus, _ := cluster.usedBy("jobtracker"); return cpus == 4 })
	g.await("only the reduce is left, and the executors with what it may want", func() bool {
		cpus, mem := cluster.usedBy("jobtracker")
		return cpus == 1 && mem == 128+2*hadoop.ExecutorMem
	})
	if err := os.WriteFile(goOn, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	client.expect(0)
	g.await("all is given back", func() bool {
		cpus, mem := cluster.usedBy("jobtracker")
		return cpus == 0 && mem == 0 && len(g.daemons(hadoop.ExecutorSubcommand)) == 0
	})
	cluster.interrupt()
}

// A command that takes more than its task's memory is ended, and its neighbours in the executor are not.
func TestACommandInAnExecutorIsHeldToItsTasksMemory(t *testing.T) {
	needsRoot(t)
	g := newGround(t)
	t.Parallel()
	cluster := g.local("--slaves", "1", "--resources", "cpus:4;mem:2048")
	tracker := cluster.jobTracker()
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("a\nb\nhog\nc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	hog := `read word; if [ $word = hog ]; then head -c 700m /dev/zero | tail -c 690m | wc -c >&2; sleep 5; else sleep 2; fi; echo $word`
	client := tracker.submit("-input", in, "-inputformat", "nline", "-output", out, "-mapper", hog, "-reducer", "NONE", "-mem", "128", "-D", "mapreduce.map.maxattempts=1")
	client.expect(1, "MB of memory, allowed are")
	h := tracker.job("job-0001")
	if h == nil || h.State != hadoop.StateFailed {
		t.Fatalf("the job is %+v", h)
	}
	for _, a := range h.Attempts {
		if wrong := a.State == "failed"; wrong != (a.Task == 2) {
			t.Errorf("attempt %s: %s, %s", a.ID, a.State, a.Reason)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a job that has failed has left its output")
	}
	cluster.interrupt()
}

// What a demo that was kept tells to try, works as it is pasted elsewhere, also if the program is in nobody's PATH.
func TestWhatTheDemoSuggestsWorks(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	in := filepath.Join(t.TempDir(), "in, with a comma and a 'quote'")
	if err := os.MkdirAll(in, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in, "text"), []byte("some words and more words\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	environment := append(g.environment(), "PATH="+os.Getenv("PATH"))
	demo := g.startBy(func(command *exec.Cmd) error {
		command.Env = environment
		return command.Start()
	}, "demo", "--keep", "--port", "0", "--input", in, "--resources", "cpus:2;mem:2048")
	g.await("it has counted", func() bool {
		if !demo.running() {
			t.Fatalf("it ended: %s", demo.err.String())
		}
		return strings.Contains(demo.out.String(), "Ctrl-C ends it.")
	})
	_, after, _ := strings.Cut(demo.out.String(), "Try, in another terminal:\n")
	var lines []string
	for line := range strings.Lines(after) {
		if strings.HasPrefix(line, "  ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) != 5 {
		t.Fatalf("it suggests %d commands, want 5:\n%s", len(lines), after)
	}
	for i, line := range lines {
		command := exec.Command("/bin/sh", "-c", line)
		command.Env, command.Dir = environment, t.TempDir()
		said, err := command.CombinedOutput()
		if err != nil || len(said) == 0 {
			t.Errorf("%s: %v\n%s", line, err, said)
		}
		if list := strings.Fields(string(said)); i == 0 && len(list) > 0 { // the last field is where the words are
			if _, err := os.Stat(filepath.Join(list[len(list)-1], "_SUCCESS")); err != nil {
				t.Errorf("%s: %v\n%s", line, err, said)
			}
		}
	}
	demo.signal(syscall.SIGINT)
	demo.expect(0)
}

// The page comes from the binary, loads nothing from elsewhere, and shows what the command line shows; wrong questions get
// clear answers.
func TestAJobTrackerTellsOfItsJobs(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	cluster := g.local("--slaves", "1", "--resources", "cpus:2;mem:2048")
	tracker := cluster.jobTracker("--order", "fifo")
	ask := func(args ...string) *program {
		return g.stoa(append([]string{"hadoop", "job", "-jobtracker", tracker.address}, args...)...)
	}
	if status, body := get(t, tracker.address, "/api/jobs"); status != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("of no jobs it tells %d, %q", status, body)
	}
	ask("-list").expect(0)
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	name := "<b>name</b>\x1b[31m"
	tracker.submit("-name", name, "-input", in, "-output", filepath.Join(t.TempDir(), "out"), "-mapper", "echo my words >&2; exit 3", "-reducer", "cat").expect(1, "my words")
	status, body := get(t, tracker.address, "/api/jobs/job-0001")
	var h hadoop.JobHistory
	if err := json.Unmarshal([]byte(body), &h); status != 200 || err != nil || h.Name != name || len(h.Attempts) != hadoop.DefaultMaxAttempts {
		t.Errorf("of the job the page tells %d, %s (%v)", status, body, err)
	}
	if p := ask("--list"); strings.Contains(p.out.String(), "\x1b") || !strings.Contains(p.out.String(), "job-0001") {
		t.Errorf("-list says %q", p.out.String())
	}
	for _, attempt := range []string{"map-00000-1", "job-0001.map-00000-1"} {
		if p := ask("-Logs", "job-0001", attempt); strings.Count(p.out.String(), "my words\n") != 1 {
			t.Errorf("-Logs of %s says %q, %q", attempt, p.out.String(), p.err.String())
		}
	}
	if p := ask("-logs", "job-0001"); strings.Count(p.out.String(), "my words\n") != hadoop.DefaultMaxAttempts {
		t.Errorf("-logs says %q", p.out.String())
	}
	for path, has := range map[string]string{"/": "<title>JobTracker", "/page.js": "textContent", "/page.css": "svg", "/icon.svg": "<svg"} {
		if status, body := get(t, tracker.address, path); status != 200 || !strings.Contains(body, has) || strings.Contains(body, "//cdn") {
			t.Errorf("%s is %d, %.100q; want %s in it", path, status, body, has)
		}
	}
	if status, body := get(t, tracker.address, "/api/jobs/job-9999"); status != 404 || !strings.Contains(body, "job-9999") {
		t.Errorf("of a job that there is not it tells %d, %q", status, body)
	}
	ask("-kill", "job-0001").expect(1, "has ended already")
	ask("-status", "job-7").expect(1, `no job "job-7"`)
	ask("-status").expect(2, "the job is missing")
	ask("-logs", "job-0001", "nobody").expect(1, `no attempt "nobody"`)
	ask("-list", "-kill", "x").expect(2, "one at a time")
	ask().expect(2, "what to do is missing")
	g.stoa("hadoop", "job", "-jobtracker", cluster.master, "-list").expect(1, "JobTracker at "+cluster.master)
	tracker.submit("-role", "other", "-input", in, "-output", filepath.Join(t.TempDir(), "out"), "-mapper", "cat", "-reducer", "cat").expect(1, `role "other"`)
	tracker.submit("-input", in+"-not", "-output", filepath.Join(t.TempDir(), "out"), "-mapper", "cat", "-reducer", "cat").expect(1, in+"-not")
	g.stoa("hadoop", "jobtracker", "--master", cluster.master, "--port", "0", "--order", "lottery").expect(1, `order "lottery": allowed are fair and fifo`)
	g.stoa(append([]string{"hadoop", "jobtracker", "--master", cluster.master, "--port", "0"}, tracker.flags...)...).expect(1, "is used by another process")
	kept := g.start("hadoop", "-jobtracker", tracker.address, "-input", in, "-output", filepath.Join(t.TempDir(), "out"), "-mapper", "sleep 1000", "-reducer", "cat")
	tracker.awaitJob("job-0003", "the job runs", func(h *hadoop.JobHistory) bool { return h.MapsRunning == 1 })
	ask("-kill", "job-0003").expect(0)
	kept.expect(1, "the job was killed")
	g.await("its task has ended", func() bool { return len(g.tasks()) == 0 })
	cluster.interrupt()
}

// exampleMapReduce builds docs/examples/mapreduce.
func exampleMapReduce(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mapreduce")
	command := exec.Command("go", "build", "-o", path, "./docs/examples/mapreduce")
	command.Dir = ".."
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build ./docs/examples/mapreduce: %v\n%s", err, output)
	}
	return path
}

// A JobTracker runs a program that maps and reduces itself, from a copy of its own: the program may go, and the JobTracker
// may be killed. Where the parts of a total order begin is told by the program.
func TestAJobTrackerRunsAProgram(t *testing.T) {
	program := exampleMapReduce(t)
	g := newGround(t)
	cluster := g.local("--slaves", "2", "--resources", "cpus:1;mem:2048")
	tracker := cluster.jobTracker()
	in, out := numbered(t, 40), filepath.Join(t.TempDir(), "out")
	var said buffer
	command := exec.Command(program, "sort", "-jobtracker", tracker.address, "-verbose", "-input", in, "-output", out, "-numReduceTasks", "3", "-mem", "128", splitEachFile)
	command.Stderr, command.Env = &said, g.environment()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	tracker.awaitJob("job-0001", "some maps are done", func(h *hadoop.JobHistory) bool { return h.MapsDone > 0 })
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	tracker.die()
	tracker.again()
	if err := command.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	var got, want strings.Builder
	for part := range 3 {
		text, err := os.ReadFile(filepath.Join(out, fmt.Sprintf("part-%05d", part)))
		if err != nil || len(text) == 0 {
			t.Errorf("part %d has %d bytes (%v)", part, len(text), err)
		}
		got.Write(text)
	}
	for i := range 40 {
		fmt.Fprintf(&want, "%02d\n", i)
	}
	if got.String() != want.String() {
		t.Errorf("sorted is %q", got.String())
	}
	if !strings.Contains(said.String(), "map 40 of 40, job-0001.map-00039-0: starts on slave-") ||
		!strings.Contains(said.String(), "reduce 3 of 3, job-0001.reduce-00002-0: done on slave-") {
		t.Errorf("-verbose says %s", said.String())
	}
	if kept, err := os.ReadDir(filepath.Join(tracker.flags[len(tracker.flags)-1], "programs")); err != nil || len(kept) > 0 {
		t.Errorf("of the program there is still %v (%v)", kept, err)
	}
	tracker.signal(syscall.SIGTERM)
	tracker.expect(0)
	cluster.interrupt()
}
