//go:build linux && !cgo

package process_test

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
	"github.com/stoa-project/stoa/slave/containerizer/process"
)

// Without a reaper a command leads a process group, and that much holds.
func TestAProcessGroupIsStartedSignalledAndKilled(t *testing.T) {
	w := containertest.New(t)
	c, err := process.New(process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := containertest.Run(t, c, w.Spec("exit", "echo $PATH; sleep 1000 & exit 7")); got.Exit.Status != 7<<8 {
		t.Errorf("got %+v", got)
	}
	for command, want := range map[string]error{"no-such-command": fs.ErrNotExist, "/no/such": fs.ErrNotExist, "/etc/passwd": fs.ErrPermission} {
		spec := w.Spec("missing", "")
		spec.Args = []string{command}
		_, err := c.Start(context.Background(), spec, containerizer.Stdio{})
		var failed *containerizer.ExecError
		if !errors.As(err, &failed) || !errors.Is(err, want) {
			t.Errorf("%s: got %v", command, err)
		}
	}
	asked := containertest.Start(t, c, w.Spec("asked", "exec sleep 1000"))
	if err := asked.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := containertest.Await(t, asked); exit.Status.Signal() != syscall.SIGTERM || exit.Killed {
		t.Errorf("got %+v", exit)
	}
	killed := containertest.Start(t, c, w.Spec("killed", "trap '' TERM; sleep 1000 & sleep 1000"))
	if err := killed.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit := containertest.Await(t, killed); !exit.Killed {
		t.Errorf("got %+v", exit)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
