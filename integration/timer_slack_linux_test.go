package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The timers of slaves and hosts may be late, for that costs less. Those of what they start may not.
func TestTimersOfCommandsAreAsPreciseAsAnywhere(t *testing.T) {
	onBothIsolations(t, func(t *testing.T, g *ground, c *localCluster, task string) {
		const usual, slack = "50000\n", "1000000\n" // nanoseconds; the first is the kernel's default
		run := c.on("run", "--", "cat", "/proc/self/timerslack_ns")
		run.expect(0)
		if got := run.out.String(); got != usual {
			t.Errorf("timers of a command may be %q ns late, want %q", got, usual)
		}
		if _, got, err := c.beside(nil, nil, task, "cat", "/proc/self/timerslack_ns"); got != usual {
			t.Errorf("timers of a further command may be %q ns late, want %q; %s", got, usual, err)
		}
		if os.Geteuid() != 0 {
			return // nothing changes for daemons without privileges
		}
		for _, p := range append(g.daemons("slave"), g.daemons("host")...) {
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.pid))
			if err != nil || len(threads) == 0 {
				t.Fatalf("threads of %v: %v", p, err)
			}
			for _, thread := range threads {
				got, err := os.ReadFile(filepath.Join("/proc", filepath.Base(thread), "timerslack_ns"))
				if err == nil && string(got) != slack { // or it has ended
					t.Errorf("timers of thread %s of %v may be %q ns late, want %q", thread, p, got, slack)
				}
			}
		}
	})
}
