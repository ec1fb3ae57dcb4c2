package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop"
)

// The last map runs until a reduce has started, so the job ends only if reduces start while maps run.
func TestAReduceStartsWhileAMapRuns(t *testing.T) {
	g := newGround(t)
	cluster := g.local("--slaves", "2", "--resources", "cpus:2;mem:2048")
	tracker := cluster.jobTracker()
	in, out := numbered(t, 4), filepath.Join(t.TempDir(), "out")
	waits := fmt.Sprintf(`read n; if [ $n = 03 ]; then until [ -e %s/go ]; do sleep 0.05; done; fi; echo $n`, in)
	client := tracker.submit("-input", in, "-output", out, "-mapper", waits, "-reducer", "cat", "-mem", "128", splitEachFile)
	tracker.awaitJob("job-0001", "a reduce runs", func(h *hadoop.JobHistory) bool { return h.ReducesRunning == 1 && h.MapsDone == 3 })
	if err := os.WriteFile(filepath.Join(in, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	client.expect(0)
	expectSameWords(t, readParts(t, out), "00\n01\n02\n03\n")
	h := tracker.job("job-0001")
	reduce := h.Attempts[slices.IndexFunc(h.Attempts, func(a hadoop.Attempt) bool { return a.Kind == "reduce" })]
	if reduce.ShuffledMaps != 4 || reduce.ShuffleSeconds <= 0 || h.LaunchedAttempts != 5 {
		t.Errorf("the reduce: %+v, of %d attempts", reduce, h.LaunchedAttempts)
	}
	tracker.signal(syscall.SIGTERM)
	tracker.expect(0)
	cluster.interrupt()
}

// splitEachFile makes a map of each small file.
const splitEachFile = "-Dmapreduce.input.fileinputformat.split.maxsize=3"

// numbered is a folder of files, each a line with its number in two digits.
func numbered(t testing.TB, files int) string {
	t.Helper()
	in := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("file-%04d", i)), fmt.Appendf(nil, "%02d\n", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// onFirstSlave is a command of which one part runs on the first slave of a local cluster, the other elsewhere.
func onFirstSlave(there, elsewhere string) string {
	return fmt.Sprintf(`case "$MESOS_DIRECTORY" in */slave-1/*) %s;; *) %s;; esac`, there, elsewhere)
}

// On one slave maps and reduces do not end while the test runs: the job ends by the second attempts elsewhere.
func TestAJobEndsInSpiteOfASlaveThatIsSlow(t *testing.T) {
	g := newGround(t)
	cluster := g.local("--slaves", "3", "--resources", "cpus:2;mem:2048")
	tracker := cluster.jobTracker()
	in, out := numbered(t, 12), filepath.Join(t.TempDir(), "out")
	client := tracker.submit("-input", in, "-output", out, "-mapper", onFirstSlave("sleep 10000", "cat"), "-reducer", onFirstSlave("sleep 10000", "cat"),
		"-numReduceTasks", "3", "-mem", "128", splitEachFile)
	client.expect(0)
	expectSameWords(t, readParts(t, out), "00\n01\n02\n03\n04\n05\n06\n07\n08\n09\n10\n11\n")
	h, outrun := tracker.job("job-0001"), 0
	for _, a := range h.Attempts {
		slow := strings.Contains(a.Slave, "slave-1")
		switch {
		case slow && a.State == "succeeded":
			t.Errorf("%s has succeeded on the slave that is slow", a.ID)
		case slow && a.State == "dropped":
			outrun++
		}
		if a.Number > 0 && a.State == "succeeded" && slow {
			t.Errorf("the second attempt %s ran on the slow slave", a.ID)
		}
	}
	if outrun == 0 || h.SecondAttempts < outrun || h.FailedAttempts+h.LostAttempts > 0 {
		t.Errorf("%d attempts on the slow slave were outrun by %d second ones; %d failed and %d were lost", outrun, h.SecondAttempts, h.FailedAttempts, h.LostAttempts)
	}
	tracker.signal(syscall.SIGTERM)
	tracker.expect(0)
	cluster.interrupt()
}

// One of four slaves takes ten times as long for a line: what that does to a job of 64 maps of a fifth of a second.
func BenchmarkAJobWithASlaveThatIsSlow(b *testing.B) {
	g := newGround(b)
	cluster := g.local("--slaves", "4", "--resources", "cpus:1;mem:1024")
	in := numbered(b, 64)
	job := func(mapper string) time.Duration {
		began := time.Now()
		cluster.on("hadoop", "-input", in, "-output", filepath.Join(b.TempDir(), "out"), "-mapper", mapper, "-reducer", "cat", "-mem", "128", splitEachFile).expect(0)
		return time.Since(began)
	}
	for b.Loop() {
		floor := job("sleep 0.2; cat")
		slowed := job(onFirstSlave("sleep 2; cat", "sleep 0.2; cat"))
		b.ReportMetric(slowed.Seconds()/floor.Seconds(), "x-floor")
		b.Logf("the job takes %.1f s with a slave that is slow, %.1f s if all are alike", slowed.Seconds(), floor.Seconds())
	}
	cluster.interrupt()
}
