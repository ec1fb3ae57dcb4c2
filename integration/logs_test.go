package integration_test

import (
	"fmt"
	"strings"
	"testing"
)

// A command that writes as fast as it can into files that are rotated: everybody who reads gets each byte once, while it
// writes and afterwards.
func TestOutputIsReadWholeAcrossRotations(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	master := onSlaveOf(g, "--isolation", "process", "--log-max-size", "1", "--log_max_files", "20")
	const lines = 1_500_000 // 11 MB
	var want strings.Builder
	for n := range lines {
		fmt.Fprintln(&want, n+1)
	}
	run := g.start("run", "--master", master, "--name", "writer", "--", "sh", "-c", fmt.Sprintf("seq 1 %d; setsid sleep 2001 & exit 0", lines))
	g.await("the task is known", func() bool {
		return strings.Contains(g.stoa("task", "list", "--all", "--master", master).out.String(), "writer-0")
	})
	follow := g.start("task", "logs", "-f", "--master", master, "writer-0")
	run.expect(0) // whoever still holds its output is not waited for
	follow.expect(0)
	after := g.stoa("task", "logs", "--master", master, "writer-0")
	for name, p := range map[string]*program{"stoa run": run, "stoa task logs -f": follow, "stoa task logs": after} {
		if got := p.out.String(); got != want.String() {
			t.Errorf("%s gave %d bytes, want the %d that were written", name, len(got), want.Len())
		}
	}
	files := g.stoa("task", "ls", "--master", master, "writer-0").out.String()
	for _, name := range []string{" stdout\n", " stdout.1\n", fmt.Sprintf(" stdout.%d\n", want.Len()>>20)} {
		if !strings.Contains(files, name) {
			t.Errorf("the sandbox has no %q:\n%s", name, files)
		}
	}
}
