package integration_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// listedVolume is what a list of persistent volumes has of each.
type listedVolume struct {
	ID      string  `json:"id"`
	Role    string  `json:"role"`
	SlaveID string  `json:"slave_id"`
	MB      float64 `json:"disk"`
	Users   int     `json:"users"`
	Shared  bool    `json:"shared"`
}

func (c *localCluster) listVolumes() []listedVolume {
	c.g.t.Helper()
	p := c.on("volume", "list", "--json")
	p.expect(0)
	var list []listedVolume
	if err := json.Unmarshal([]byte(p.out.String()), &list); err != nil {
		c.g.t.Fatalf("volume list said %s: %v", p.out.String(), err)
	}
	return list
}

// volumeFolders are the directories of persistent volumes of the role db on this ground.
func (g *ground) volumeFolders() []string {
	g.t.Helper()
	found, err := filepath.Glob(filepath.Join(g.tmp, "stoa-*", "*", "volumes", "roles", "db", "*"))
	if err != nil {
		g.t.Fatal(err)
	}
	return found
}

// Reserve, create, write, end, read, destroy: what a task writes into a persistent volume is there for the next, also when the
// master has been killed in between, until somebody destroys it.
func TestWhatATaskWritesToAPersistentVolumeIsThereForTheNext(t *testing.T) {
	underEachIsolation(t, func(t *testing.T, g *ground, isolation string) {
		c := g.local("--slaves", "2", "--isolation", isolation, "--resources", "cpus:4;mem:1024;disk:1000")
		run := func(script string) *program {
			return c.on("run", "--role", "db", "--persistent_volume", "data:data:100", "--", "sh", "-c", script)
		}
		first := run("echo one > data/log; cat data/log")
		first.expect(0, "is made on slave")
		volumes := c.listVolumes()
		if len(volumes) != 1 || volumes[0].ID != "data" || volumes[0].Role != "db" || volumes[0].MB != 100 || volumes[0].Users != 0 {
			t.Fatalf("after the first run the volumes are %v", volumes)
		}
		if folders := g.volumeFolders(); len(folders) != 1 {
			t.Fatalf("the volumes' folders are %v, want one", folders)
		}

		masters := g.daemons("master")
		if len(masters) != 1 {
			t.Fatalf("there are %d masters, want one", len(masters))
		}
		g.kill(masters[0])
		g.await("the slaves are back with a new master", func() bool { return g.countNodes(c.master) == 2 })
		if again := c.listVolumes(); len(again) != 1 || again[0] != volumes[0] {
			t.Errorf("a new master lists %v, the one before it %v", again, volumes)
		}
		second := run("cat data/log; echo two >> data/log; cat data/log")
		second.expect(0)
		if got := second.out.String(); got != "one\none\ntwo\n" {
			t.Errorf("the second run read %q, want what the first had written", got)
		}

		slave := volumes[0].SlaveID
		holds := g.start("run", "--master", c.master, "--role", "db", "--persistent_volume", "data:data:100", "--", "sleep", "1000")
		g.await("a task uses the volume", func() bool { return len(g.tasksNamed("sleep")) == 1 })
		c.on("volume", "destroy", slave, "data").expect(1, "in use")
		holds.signal(syscall.SIGINT)
		holds.expect(130)

		c.on("unreserve", slave, "disk:100", "--role", "db").expect(1, "nothing reserved")
		c.on("volume", "destroy", slave, "data", "--role", "web").expect(1, `no persistent volume "data" of role "web"`)
		c.on("volume", "destroy", slave, "data").expect(0)
		g.await("its folder is gone", func() bool { return len(g.volumeFolders()) == 0 })
		c.on("unreserve", slave, "disk:100", "--role", "db").expect(0)
		if left := c.listVolumes(); len(left) != 0 {
			t.Errorf("after its end the volumes are %v", left)
		}
		c.interrupt()
	})
}

// Two tasks in containers of their own see one shared volume at the same time: each goes on when it reads what the other wrote
// there. Nobody destroys it under them.
func TestTasksShareAVolume(t *testing.T) {
	underEachIsolation(t, func(t *testing.T, g *ground, isolation string) {
		c := g.local("--slaves", "1", "--isolation", isolation, "--resources", "cpus:4;mem:1024;disk:1000")
		c.on("reserve", "slave-1", "disk:100", "--role", "db").expect(0)
		c.on("volume", "create", "slave-1", "data", "--role", "db", "--size", "100", "--shared").expect(0)
		start := func(mine, theirs string) *program {
			script := fmt.Sprintf("echo from %s > data/%s; until test -s data/%s; do sleep 0.05; done; cat data/%s; until test -e data/enough; do sleep 0.05; done", mine, mine, theirs, theirs)
			return g.start("run", "--master", c.master, "--name", mine, "--role", "db", "--persistent_volume", "data:data:1", "--", "sh", "-c", script)
		}
		one, two := start("one", "two"), start("two", "one")
		g.await("both have read what the other wrote", func() bool {
			return one.out.String() == "from two\n" && two.out.String() == "from one\n"
		})
		volumes := c.listVolumes()
		if len(volumes) != 1 || volumes[0].Users != 2 || !volumes[0].Shared {
			t.Errorf("the volumes are %v, want one that is shared and has two users", volumes)
		}
		c.on("volume", "destroy", "slave-1", "data").expect(1, "in use")
		c.on("run", "--role", "db", "--persistent_volume", "data:data:1", "--", "touch", "data/enough").expect(0)
		one.expect(0)
		two.expect(0)
		g.await("nobody uses it", func() bool { v := c.listVolumes(); return len(v) == 1 && v[0].Users == 0 })
		c.on("volume", "destroy", "slave-1", "data").expect(0)
		g.await("its folder is gone", func() bool { return len(g.volumeFolders()) == 0 })
		c.interrupt()
	})
}

func TestOperatorsReserveAndMakeVolumes(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--isolation", "process", "--resources", "cpus:4;mem:1024;disk:1000")
	c.on("reserve", "slave-1", "cpus:3;disk:300", "--role", "db").expect(0)
	waits := c.on("run", "--cpus", "2", "--placement_timeout", "3s", "--", "true")
	waits.expect(124, `reserved for db: has 1 of 2 cpus`)
	c.on("explain", "cpus:2").expect(0)
	if p := c.on("explain", "cpus:2"); !strings.Contains(p.out.String(), "reserved for db: has 1 of 2 cpus") {
		t.Errorf("explain said %s", p.out.String())
	}
	c.on("run", "--role", "db", "--cpus", "3", "--", "true").expect(0)

	c.on("volume", "create", "slave-1", "data", "--role", "db", "--size", "400").expect(1, "reserve it first")
	c.on("volume", "create", "slave-1", "data", "--role", "db", "--size", "200", "--path", "data").expect(0)
	c.on("volume", "create", "slave-1", "data", "--role", "db", "--size", "50").expect(1, "already")
	c.on("volume", "create", "slave-1", "../up", "--role", "db", "--size", "50").expect(1, "not allowed")
	g.await("its folder is there", func() bool { return len(g.volumeFolders()) == 1 })
	if err := os.WriteFile(filepath.Join(g.volumeFolders()[0], "seed"), []byte("sown\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := c.on("run", "--role", "db", "--persistent_volume", "data:mine:1", "--", "cat", "mine/seed"); p.out.String() != "sown\n" {
		t.Errorf("a task read %q from a volume that an operator made; %s", p.out.String(), p.err.String())
	}

	for _, bad := range []struct {
		args  []string
		error string
	}{
		{[]string{"reserve", "slave-9", "cpus:1", "--role", "db"}, "slave-9"},
		{[]string{"reserve", "slave-1", "cpus:9", "--role", "db"}, "does not have"},
		{[]string{"unreserve", "slave-1", "cpus:9", "--role", "db"}, "cpus:9"},
	} {
		c.on(bad.args[0], bad.args[1:]...).expect(1, bad.error)
	}
	for _, bad := range []struct {
		args  []string
		error string
	}{
		{[]string{"reserve", "slave-1", "cpus:1"}, "--role"},
		{[]string{"reserve", "slave-1", "cpus:1", "--role", "*"}, "--role"},
		{[]string{"reserve", "slave-1", "cpus(db):1", "--role", "db"}, "--role"},
		{[]string{"reserve", "slave-1", "cpus:x", "--role", "db"}, "cpus:x"},
		{[]string{"reserve", "slave-1"}, "two arguments"},
		{[]string{"volume", "create", "slave-1", "v", "--role", "db"}, "--size"},
	} {
		c.on(bad.args[0], bad.args[1:]...).expect(2, bad.error)
	}
	for text, want := range map[string]string{"data": "ID:CONTAINER_PATH:MB", "data:/d:0": "above 0", "data:../d:1": "sandbox"} {
		c.on("run", "--role", "db", "--persistent_volume", text, "--", "true").expect(125, want)
	}
	c.on("run", "--persistent_volume", "data:data:1", "--", "true").expect(125, "a role of its own")
	c.interrupt()
}
