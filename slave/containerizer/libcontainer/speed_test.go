//go:build linux && cgo

package libcontainer

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	runc "github.com/opencontainers/runc/libcontainer"

	"github.com/stoa-project/stoa/slave/containerizer"
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
// Wait. Its floor is the bare library, which makes a container of the very same
// configuration, runs the command as its first process and removes it again;
// x-exec is the multiple of a bare fork and exec.
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
	spec.MilliCPUs, spec.MemoryBytes, spec.PIDs = 1000, 64<<20, 100
	var floor, exe time.Duration
	for b.Loop() {
		b.StopTimer()
		exe += timed(b, func() error { return exec.Command("/bin/true").Run() })
		floor += timed(b, func() error { return bare(c, spec) })
		b.StartTimer()
		containertest.Await(b, containertest.Start(b, c, spec))
	}
	each := float64(b.Elapsed())
	b.ReportMetric(each/float64(floor), "x-floor")
	b.ReportMetric(float64(floor.Nanoseconds())/float64(b.N), "floor-ns/op")
	b.ReportMetric(each/float64(exe), "x-exec")
}

func timed(b *testing.B, do func() error) time.Duration {
	b.Helper()
	begun := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// bare runs spec's command by the library alone.
func bare(c *Containerizer, spec containerizer.Spec) error {
	one := &container{spec: spec, host: c}
	known, err := one.gather()
	if err != nil {
		return err
	}
	made, err := runc.Create(c.dir.containers(), spec.ID, configure(known))
	if err != nil {
		return err
	}
	process := &runc.Process{Init: true, Args: spec.Args, Env: spec.Env, Cwd: spec.Sandbox, UID: known.user.uid, GID: known.user.gid}
	err = made.Run(process)
	if err == nil {
		_, err = process.Wait()
	}
	return errors.Join(err, made.Destroy())
}
