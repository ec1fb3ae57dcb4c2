//go:build linux && cgo

package libcontainer

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
	"github.com/stoa-project/stoa/slave/disk"
)

func TestAHundredStarts(t *testing.T) {
	w, c := inside(t)
	const starts = 100
	var started, whole []time.Duration
	for i := range starts {
		spec := w.Spec(fmt.Sprint("start-", i), "")
		spec.Args = []string{"/bin/true"}
		begun := time.Now()
		container := containertest.Start(t, c, spec)
		started = append(started, time.Since(begun))
		if exit := containertest.Await(t, container); exit.Status != 0 {
			t.Fatalf("start %d: %+v", i, exit)
		}
		whole = append(whole, time.Since(begun))
	}
	slices.Sort(started)
	slices.Sort(whole)
	t.Logf("%d x /bin/true: until it runs p50 %v p95 %v, until nothing is left p50 %v p95 %v",
		starts, started[starts/2], started[starts*95/100], whole[starts/2], whole[starts*95/100])
}

// BenchmarkStart measures one container with /bin/true from Start to the end of
// Wait. Its floor is the bare library; x-exec is the multiple of a bare fork and
// exec.
func BenchmarkStart(b *testing.B) {
	c, specs := manySpecs(b, b.N)
	var floor, exe, whole time.Duration
	for _, spec := range specs {
		exe += timed(b, func() error { return exec.Command("/bin/true").Run() })
		bare, err := Bare(c, spec)
		if err != nil {
			b.Fatal(err)
		}
		floor += timed(b, bare)
		whole += timed(b, func() error { return startAndAwait(b, c, spec) })
	}
	b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N), "ns/op")
	b.ReportMetric(float64(floor.Nanoseconds())/float64(b.N), "floor-ns/op")
	b.ReportMetric(float64(whole)/float64(floor), "x-floor")
	b.ReportMetric(float64(whole)/float64(exe), "x-exec")
}

// BenchmarkParallelStarts is the same with as many at a time as a host starts.
func BenchmarkParallelStarts(b *testing.B) {
	const parallel = 8 // host.DefaultParallelStarts
	c, specs := manySpecs(b, b.N)
	all := func(do func(i int) error) time.Duration {
		return timed(b, func() error {
			var group errgroup.Group
			group.SetLimit(parallel)
			for i := range specs {
				group.Go(func() error { return do(i) })
			}
			return group.Wait()
		})
	}
	bare := make([]func() error, len(specs))
	for i := range specs {
		var err error
		if bare[i], err = Bare(c, specs[i]); err != nil {
			b.Fatal(err)
		}
	}
	floor := all(func(i int) error { return bare[i]() })
	whole := all(func(i int) error { return startAndAwait(b, c, specs[i]) })
	b.ReportMetric(float64(whole)/float64(floor), "x-floor")
	b.ReportMetric(float64(b.N)/whole.Seconds(), "starts/s")
	b.Logf("%d starts, %d at a time, take %v, of the bare library %v", b.N, parallel, whole.Round(time.Millisecond), floor.Round(time.Millisecond))
}

// manySpecs makes a containerizer, and specs of commands that end at once.
func manySpecs(b *testing.B, n int) (*Containerizer, []containerizer.Spec) {
	b.Helper()
	containertest.Root(b)
	w := containertest.New(b)
	c := open(b, w, "host")
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	specs := make([]containerizer.Spec, n)
	for i := range specs {
		specs[i] = w.Spec(fmt.Sprint("bench-", i), "")
		specs[i].Args = []string{"/bin/true"}
		specs[i].MilliCPUs, specs[i].MemoryBytes, specs[i].PIDs = 1000, 64<<20, 100
	}
	return c, specs
}

func startAndAwait(b *testing.B, c *Containerizer, spec containerizer.Spec) error {
	one, err := c.Start(b.Context(), spec, containerizer.Stdio{})
	if err != nil {
		return err
	}
	_, err = one.Wait()
	return err
}

func timed(b *testing.B, do func() error) time.Duration {
	b.Helper()
	begun := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// BenchmarkUnlinked is one look at what the processes of a container that sleeps have of its sandbox without a name; its floor a look
// at the sandbox itself.
func BenchmarkUnlinked(b *testing.B) {
	containertest.Root(b)
	w := containertest.New(b)
	c := open(b, w, "host")
	defer c.Close()
	spec := w.Spec("sleeper", "")
	spec.Args = []string{"/bin/sleep", "86400"}
	container := containertest.Start(b, c, spec)
	folder, err := os.Open(spec.Sandbox)
	if err != nil {
		b.Fatal(err)
	}
	defer folder.Close()
	begun, turns := time.Now(), 0
	for ; time.Since(begun) < 200*time.Millisecond; turns++ {
		if _, err := disk.Measure(b.Context(), folder); err != nil {
			b.Fatal(err)
		}
	}
	floor := time.Since(begun) / time.Duration(turns)
	for b.Loop() {
		found, err := disk.NewUnlinked(folder)
		if err == nil {
			err = container.Unlinked(b.Context(), found)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed()/time.Duration(b.N))/float64(floor), "x-floor")
	if err := container.Kill(); err != nil {
		b.Fatal(err)
	}
	containertest.Await(b, container)
}
