package integration_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// Ids are completed in shells as they are: a bash need not have the package bash-completion.
func TestIdsAreCompletedByTab(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--isolation", "process", "--resources", "cpus:4;mem:1024")
	for _, name := range []string{"holder", "other"} {
		g.start("run", "--master", c.master, "--name", name, "--", "sleep", "1000")
		g.await(name+" runs", func() bool { return c.on("task", "logs", name+"-0").wait() == 0 })
	}
	folder := filepath.Dir(stoaProgram(t))
	for _, shell := range []struct {
		name  string
		args  []string
		setup string
	}{
		{"bash", []string{"--norc", "--noprofile", "-i"}, "source <(stoa completion bash)"},
		{"zsh", []string{"-f", "-i"}, "autoload -Uz compinit; compinit -u -D; source <(stoa completion zsh)"},
	} {
		t.Run(shell.name, func(t *testing.T) {
			path, err := exec.LookPath(shell.name)
			if err != nil {
				t.Skip(err)
			}
			who := g.typistOf(t, 40, 200, exec.Command(path, shell.args...))
			who.types(g, fmt.Sprintf("PATH=%s:$PATH; export STOA_MASTER=%s; %s; echo set-up-$((40 + 2))\n", folder, c.master, shell.setup), "set-up-42")
			who.types(g, "stoa task exec hol\t", "der-0") // whether the shell writes the word anew or its rest
			who.types(g, "\x15echo $((6 * 7))-a\n", "42-a")
			// Flags with a colon in what they are given are no obstacle.
			who.types(g, "stoa task kill --master "+c.master+" oth\t", "er-0")
			who.types(g, "\x15stoa task logs \t\t", "other-0")
			who.types(g, "\x15exit\n", "")
		})
	}
	c.interrupt()
}
