package integration_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The command line against a real cluster: each file of testdata/cli is a story. There are two commands besides those of
// testscript:
//
//	status N COMMAND...     like exec, for a command that must end with exit status N
//	oneline FILE            the file has exactly one line
func TestTheCommandLine(t *testing.T) {
	g := newGround(t)
	c := g.local("--slaves", "2", "--resources", "cpus:4;mem:2048;disk:1000;ports:[31000-31009]")
	t.Cleanup(c.interrupt) // after all scripts, which run at the same time
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:                 filepath.Join("testdata", "cli"),
			RequireExplicitExec: true,
			Setup: func(env *testscript.Env) error {
				if err := os.Chmod(env.WorkDir, 0o755); err != nil {
					return err
				}
				env.Setenv("PATH", filepath.Dir(stoaProgram(t))+string(filepath.ListSeparator)+os.Getenv("PATH"))
				env.Setenv("TMPDIR", g.tmp)
				env.Setenv("STOA_MASTER", c.master)
				return nil
			},
			Condition: func(name string) (bool, error) {
				switch name {
				case "libcontainer":
					return os.Geteuid() == 0, nil
				default:
					return false, fmt.Errorf("unknown condition %q", name)
				}
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"status": expectStatus, "oneline": expectOneLine,
			},
		})
	})
}

// expectStatus is the command status.
func expectStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// expectOneLine is the command oneline.
func expectOneLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: oneline FILE")
	}
	text := ts.ReadFile(args[0])
	lines := 0
	for _, b := range []byte(text) {
		if b == '\n' {
			lines++
		}
	}
	if lines != 1 || text[len(text)-1] != '\n' {
		ts.Fatalf("%s has %d lines, want one:\n%s", args[0], lines, text)
	}
}
