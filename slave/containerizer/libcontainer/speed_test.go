//go:build linux && cgo

package libcontainer

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer/containertest"
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
// Wait, and prints how many times that of a bare fork and exec it is.
func BenchmarkStart(b *testing.B) {
	containertest.Root(b)
	w := containertest.New(b)
	c := open(b, w, "host")
	defer func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	}()
	spec := w.Spec("bench", "")
	spec.Args = []string{"/bin/true"}
	var floor time.Duration
	for b.Loop() {
		b.StopTimer()
		begun := time.Now()
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		floor += time.Since(begun)
		b.StartTimer()
		containertest.Await(b, containertest.Start(b, c, spec))
	}
	floor /= time.Duration(b.N)
	each := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(each)/float64(floor), "x-floor")
	b.ReportMetric(float64(floor.Nanoseconds()), "floor-ns/op")
}
