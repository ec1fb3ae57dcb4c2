package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A slave without root can't run a task as somebody else: whoever asks for that is told, instead of having it run as the slave.
func TestASlaveWithoutRootRefusesTasksOfOtherUsers(t *testing.T) {
	needsRoot(t) // to start one without
	g := newGround(t)
	t.Parallel()
	const nobody = 65534
	binary := filepath.Join(g.tmp, "stoa") // where nobody may execute it
	if err := os.Link(stoaProgram(t), binary); err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(g.tmp, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(work, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	master := g.start("master", "--port", "0")
	address := g.addressIn(master, "master is up")
	slave := g.startBy(func(command *exec.Cmd) error {
		command.Path = binary
		command.Dir = work
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return command.Start()
	}, "slave", "--master", address, "--port", "0", "--work_dir", work)
	g.addressIn(slave, "slave is up")

	for user, own := range map[string]bool{"": true, "nobody": true, "65534": true, "daemon": false, "root": false} {
		p := g.stoa("run", "--master", address, "--name", "as-"+user, "--user", user, "--", "id", "-un")
		if own {
			p.expect(0)
			if said := p.out.String(); said != "nobody\n" {
				t.Errorf("as %q a task ran as %q, want nobody", user, said)
			}
			continue
		}
		p.expect(125, `user "`+user+`": this slave has no root, and runs tasks as its own user alone, "nobody"`)
		if end := g.ends(address)["as-"+user+"-0"]; end.State != "TASK_FAILED" || end.Labels["stoa.cause"] != "launch_failed" {
			t.Errorf("as %q the task's end is %+v, want that it could not be launched", user, end)
		}
		if strings.Contains(p.out.String(), "nobody") {
			t.Errorf("as %q it ran: %s", user, p.out.String())
		}
	}
	for _, p := range []*program{slave, master} {
		p.signal(syscall.SIGTERM)
		p.expect(0)
	}
}
