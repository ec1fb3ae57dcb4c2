package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop"
)

// What a user waits for when a command does nothing: stoa run -- true, against the bare command.
func BenchmarkTrueOnARunningCluster(b *testing.B) {
	g := newGround(b)
	c := g.local("--slaves", "2", "--resources", "cpus:4;mem:1024")
	c.on("run", "--", "true").expect(0)
	for b.Loop() {
		c.on("run", "--", "true").expect(0)
	}
	whole := b.Elapsed() / time.Duration(b.N)
	floor := fastest(b, func() error { return exec.Command("true").Run() })
	b.ReportMetric(float64(whole)/float64(floor), "x-floor")
	b.Logf("stoa run -- true takes %v, true alone %v", whole.Round(time.Microsecond), floor.Round(time.Microsecond))
	c.interrupt()
}

// The demo's job on a cluster that runs, against the shell's pipeline on the same files.
func BenchmarkWordCountOnARunningCluster(b *testing.B) {
	g := newGround(b)
	lib := library(b)
	c := g.local()
	job := 0
	for b.Loop() {
		job++
		c.on("hadoop", "-input", lib.dir, "-output", filepath.Join(b.TempDir(), fmt.Sprint(job)),
			"-mapper", "stoa hadoop wordcount-mapper", "-reducer", "stoa hadoop wordcount-reducer", "-numReduceTasks", "2", hadoop.RawInputFlag).expect(0)
	}
	whole := b.Elapsed() / time.Duration(b.N)
	floor := fastest(b, func() error {
		_, err := countWords(lib.dir, countQuickly)
		return err
	})
	b.ReportMetric(float64(whole)/float64(floor), "x-floor")
	b.Logf("the job takes %v, the shell's pipeline %v", whole.Round(time.Millisecond), floor.Round(time.Millisecond))
	c.interrupt()
}

// fastest is the time of the fastest of three.
func fastest(b *testing.B, f func() error) time.Duration {
	b.Helper()
	best := time.Duration(0)
	for range 3 {
		began := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		if took := time.Since(began); best == 0 || took < best {
			best = took
		}
	}
	return best
}

// What a task costs: a job of 1,000 maps that do nothing, in executors that stay, beside a container for each; the floor is
// as many shells that do nothing, as many at once as there are slots.
func BenchmarkAThousandEmptyMapsOnARunningCluster(b *testing.B) {
	const tasks, slots = 1000, 4
	for name, flags := range map[string][]string{
		"executors that stay":    nil,
		"one container per task": {"-D", "mapreduce.job.jvm.numtasks=1"},
	} {
		b.Run(name, func(b *testing.B) {
			g := newGround(b)
			c := g.local("--slaves", "2", "--resources", "cpus:2;mem:2048")
			in := filepath.Join(b.TempDir(), "in")
			if err := os.WriteFile(in, []byte(strings.Repeat("x\n", tasks)), 0o644); err != nil {
				b.Fatal(err)
			}
			job := 0
			for b.Loop() {
				job++
				c.on("hadoop", append([]string{
					"-input", in, "-inputformat", "nline", "-output", filepath.Join(b.TempDir(), fmt.Sprint(job)),
					"-mapper", "true", "-reducer", "NONE", "-mem", "128",
				}, flags...)...).expect(0)
			}
			whole := b.Elapsed() / time.Duration(b.N)
			floor := fastest(b, func() error {
				return exec.Command("/bin/sh", "-c", fmt.Sprintf("seq %d | xargs -P %d -n 1 sh -c true", tasks, slots)).Run()
			})
			b.ReportMetric(float64(whole)/float64(time.Millisecond)/tasks, "ms/task")
			b.ReportMetric(float64(whole)/float64(floor), "x-floor")
			b.Logf("%d empty maps in %d slots take %v, as many shells %v", tasks, slots, whole.Round(time.Millisecond), floor.Round(time.Millisecond))
			c.interrupt()
		})
	}
}
