package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

// The container of an executor has what the executor and its tasks were given, no more and no less, as the kernel itself says;
// and who wants more is ended and told why.
func TestTheLimitsOfAnExecutorFollowItsTasks(t *testing.T) {
	needsRoot(t)
	g := newGround(t)
	t.Parallel()
	files := &scheduler.Files{}
	uri, err := files.Add(exampleExecutor(t))
	if err != nil {
		t.Fatal(err)
	}
	master := onSlaveOf(g)
	b := employ(t, g, master, files)
	// Told to, it holds 170 MB until it is told to let go, and wants all the memory there is. The executor itself runs on.
	waiter := waiterInfo("waiter", uri, `await() { until test -e $1; do sleep 0.05; done; }
./waiter &
{ await hold; head -c 170m /dev/zero | tail -c 170m | { await free; cat > /dev/null; }; } &
await go
exec tail /dev/zero`)
	runs := func(ids ...string) {
		b.launch(waiter, "1000", ids...)
		b.await(mesos.TaskState_TASK_RUNNING, ids...)
	}
	ends := func(id string) {
		b.driver.Do(func() { b.driver.Kill(id, 0) })
		b.await(mesos.TaskState_TASK_KILLED, id)
	}
	// An executor has 0.2 cpus and 96 MB, and each task 0.1 and 64.
	runs("first")
	g.expectMemory(160 << 20)
	g.expectShares(t, "libcontainer", 307) // of 1,024 for a cpu
	runs("second")
	g.expectMemory(224 << 20)
	g.expectShares(t, "libcontainer", 409)
	ends("first")
	g.expectMemory(160 << 20)
	g.expectShares(t, "libcontainer", 307)
	ends("second")
	g.expectMemory(96 << 20)
	g.expectShares(t, "libcontainer", 204)
	runs("third")
	g.expectMemory(160 << 20)
	// What is in use cannot be taken away, until it is given back.
	runs("fourth")
	g.expectMemory(224 << 20)
	g.stoa("task", "exec", "--master", master, "third", "touch", "hold").expect(0)
	g.await("more is in use than the executor and one task may have", func() bool { return g.memoryInUse() > 170<<20 })
	ends("fourth")
	g.expectShares(t, "libcontainer", 307)
	g.expectMemory(224 << 20)
	g.stoa("task", "exec", "--master", master, "third", "touch", "free").expect(0)
	g.expectMemory(160 << 20)

	g.stoa("task", "exec", "--master", master, "third", "touch", "go").expect(0)
	b.await(mesos.TaskState_TASK_FAILED, "third")
	s := b.last("third")
	limit := fmt.Sprint(160 << 20)
	if s.GetReason() != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY || !strings.Contains(s.GetMessage(), "out of memory: limit "+limit+" bytes") {
		t.Errorf("its end is %v: %s", s.GetReason(), s.GetMessage())
	}
	for key, want := range map[string]string{mesos.LabelCause: mesos.CauseMemory, mesos.LabelMemoryLimitBytes: limit} {
		if !slices.ContainsFunc(s.GetLabels().GetLabels(), func(l *mesos.Label) bool { return l.GetKey() == key && l.GetValue() == want }) {
			t.Errorf("its end has no label %s=%s: %v", key, want, s.GetLabels())
		}
	}
	b.expectUsed(t, master, 0, 0)
	b.driver.Do(func() { b.driver.Teardown(nil) })
}

// expectMemory waits until the cgroup of the only container has a limit of memory, and where swap is limited none of that, by what
// the kernel itself says.
func (g *ground) expectMemory(bytes int) {
	g.t.Helper()
	want := map[string]int{
		"memory.limit_in_bytes": bytes, "memory.memsw.limit_in_bytes": bytes, // of both together
		"memory.max": bytes, "memory.swap.max": 0,
	}
	var seen []string
	g.await(fmt.Sprintf("the kernel limits the container's memory to %d bytes", bytes), func() bool {
		seen = nil
		for _, dir := range g.containerCgroups() {
			for file, value := range want {
				text, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					continue // of the other version of cgroups, or another hierarchy
				}
				if seen = append(seen, file); strings.TrimSpace(string(text)) != strconv.Itoa(value) {
					return false
				}
			}
		}
		return len(seen) > 0
	})
}

// memoryInUse is what the only container has, in bytes, by what the kernel itself says.
func (g *ground) memoryInUse() int {
	for _, dir := range g.containerCgroups() {
		for _, file := range []string{"memory.usage_in_bytes", "memory.current"} {
			if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
				n, err := strconv.Atoi(strings.TrimSpace(string(text)))
				if err != nil {
					g.t.Fatal(err)
				}
				return n
			}
		}
	}
	return 0
}
