//go:build linux && cgo

package libcontainer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoa-project/stoa/slave/containerizer"
)

func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTheAccountReadsBothKindsOfCgroups(t *testing.T) {
	v1 := map[string]string{
		"cpuacct": files(t, map[string]string{"cpuacct.usage": "1500000000\n"}),
		"memory": files(t, map[string]string{
			"memory.usage_in_bytes": "4096\n", "memory.max_usage_in_bytes": "8192\n", "memory.limit_in_bytes": "67108864\n",
			"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		}),
		"pids": files(t, map[string]string{"pids.current": "3\n"}),
	}
	v2 := map[string]string{"": files(t, map[string]string{
		"cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "memory.current": "4096\n", "memory.peak": "8192\n", "memory.max": "67108864\n",
		"memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 2\noom_group_kill 0\n", "pids.current": "3\n",
	})}
	want := containerizer.Stats{CPUSeconds: 1.5, MemoryBytes: 4096, MemoryPeakBytes: 8192, MemoryLimitBytes: 64 << 20, Processes: 2}
	for name, account := range map[string]account{"v1": accountOf(v1, false), "v2": accountOf(v2, true)} {
		got, err := account.stats()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
		if kills, err := account.oomKills(); kills != 2 || err != nil {
			t.Errorf("%s: %d processes were killed, %v; want 2", name, kills, err)
		}
	}
}

func TestNoLimitIsZeroAndAnOlderKernelHasNoFigure(t *testing.T) {
	v1 := map[string]string{
		"cpuacct": files(t, map[string]string{"cpuacct.usage": "0"}),
		"memory":  files(t, map[string]string{"memory.limit_in_bytes": "9223372036854771712\n", "memory.oom_control": "under_oom 0\n"}),
	}
	v2 := map[string]string{"": files(t, map[string]string{"cpu.stat": "", "memory.max": "max\n", "memory.events": ""})}
	for name, account := range map[string]account{"v1": accountOf(v1, false), "v2": accountOf(v2, true)} {
		if got, err := account.stats(); err != nil || got != (containerizer.Stats{}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		if kills, err := account.oomKills(); kills != 0 || err != nil {
			t.Errorf("%s: got %d, %v", name, kills, err)
		}
	}
}
