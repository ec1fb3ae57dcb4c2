package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stoa-project/stoa/integration"
)

// slavePort is where a slave listens if it is not told otherwise.
const slavePort = 5051

// linkEnd is a line of a log: an actor was told, by an Exited, of the end of its link to an actor of another node.
type linkEnd struct {
	Actor, Linked, Role, Reason, Peer, Message string
}

// linkEnds are those in a log. Nobody links to a command, which only asks: of that, it is the end of the session, unless the command
// has said goodbye.
func linkEnds(log string) []linkEnd {
	var ends []linkEnd
	for line := range strings.Lines(log) {
		var e linkEnd
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		if e.Message == "link ended" || e.Message == "session ended" && e.Role == "operator" && e.Reason != "node shutdown" {
			ends = append(ends, e)
		}
	}
	return ends
}

// notes are what a command has said of the end of its connection with the master, for people.
func notes(stderr string) []linkEnd {
	var ends []linkEnd
	for line := range strings.Lines(stderr) {
		ends = append(ends, linkEnd{Role: "master", Message: line})
	}
	return ends
}

// linked is a cluster in which every pair of processes that link does: a master, a slave, its host, a framework, its executor, and
// a command that asks the master again and again.
type linked struct {
	*lanCluster
	framework *program
	command   *program
	host      runningProcess
	executor  runningProcess
}

func newLinked(t *testing.T) *linked {
	t.Helper()
	options := lanOptions{slaves: 1, flags: []string{"--log_level", "debug"}, slaveFlags: []string{"--isolation", "process"}}
	c := &linked{lanCluster: newLANCluster(t, options)}
	c.framework = c.g.startBy(func(command *exec.Cmd) error {
		command.Path, command.Args = os.Args[0], []string{os.Args[0]}
		command.Env = append(command.Env, programEnv+"="+frameworkProgram, masterEnv+"="+c.address)
		return c.lan.Machine("outside").Start(command)
	})
	c.g.await("the framework's executor runs", func() bool {
		var tasks []listed
		c.json(&tasks, "task", "list")
		return len(tasks) == 1 && tasks[0].State == "TASK_RUNNING"
	})
	hosts, executors := c.g.daemons("host"), c.g.executors()
	if len(hosts) != 1 || len(executors) != 1 {
		t.Fatalf("there are the hosts %v and the executors %v, want one of each", hosts, executors)
	}
	c.host, c.executor = hosts[0], executors[0]
	c.command = c.start("outside", "task", "logs", "-f", "idle", "--master", c.address)
	c.g.await("a command follows the task", func() bool { return c.command.out.String() == "launched\n" })
	return c
}

// log is what processes of that kind have logged. A host's lines are among those of its slave, and are known by the role of
// whom they speak.
func (c *linked) log(process string) string {
	c.g.t.Helper()
	switch process {
	case "master":
		return c.master.err.String()
	case "slave", "host":
		return c.slaves[0].err.String()
	case "framework":
		return c.framework.err.String()
	case "executor":
		files, err := filepath.Glob(filepath.Join(c.g.tmp, "slave1", "slaves", "*", "frameworks", "*", "executors", "idle", "runs", "*-*", executorLog))
		if err != nil || len(files) == 0 {
			c.g.t.Fatalf("the executor's log is in %v (%v)", files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			c.g.t.Fatal(err)
		}
		return string(text)
	}
	c.g.t.Fatalf("no process %q", process)
	return ""
}

// pid is that of the process of a kind.
func (c *linked) pid(process string) int {
	return map[string]int{
		"master": c.master.command.Process.Pid, "slave": c.slaves[0].command.Process.Pid, "host": c.host.pid,
		"framework": c.framework.command.Process.Pid, "executor": c.executor.pid, "command": c.command.command.Process.Pid,
	}[process]
}

// portOf is the port from which the slave's only peer of a role has connected.
func (c *linked) portOf(role string) int {
	c.g.t.Helper()
	p := c.start("outside", "operator", "peers", "--slave", netip.AddrPortFrom(c.lan.Machine("slave1").IP(), slavePort).String(), "--json")
	p.expect(0)
	var peers []struct{ Role, Address string }
	if err := json.Unmarshal([]byte(p.out.String()), &peers); err != nil {
		c.g.t.Fatal(err)
	}
	i := slices.IndexFunc(peers, func(peer struct{ Role, Address string }) bool { return peer.Role == role })
	if i < 0 {
		c.g.t.Fatalf("the slave has the peers %v, want one that is a %s", peers, role)
	}
	return int(netip.MustParseAddrPort(peers[i].Address).Port())
}

// pair is a process, and the role of the one whose end it sees.
type pair struct{ process, role string }

// seen is how the process saw the ends of its links to nodes of the role.
func (c *linked) seen(p pair) []linkEnd {
	c.g.t.Helper()
	if p.process == "command" {
		return notes(c.command.err.String())
	}
	return slices.DeleteFunc(linkEnds(c.log(p.process)), func(e linkEnd) bool { return e.Role != p.role })
}

// step is a part of a fault, and who sees the end of whom for it.
type step struct {
	do     func(c *linked)
	seen   []pair
	reason string // "": any
}

// What is done to processes and cables.

func signal(s syscall.Signal, process string) func(*linked) {
	return func(c *linked) {
		c.g.t.Helper()
		if err := syscall.Kill(c.pid(process), s); err != nil {
			c.g.t.Fatalf("signal %v to the %s: %v", s, process, err)
		}
	}
}

func kill(process string) func(*linked) { return signal(syscall.SIGKILL, process) }
func stop(process string) func(*linked) { return signal(syscall.SIGSTOP, process) }
func wake(process string) func(*linked) { return signal(syscall.SIGCONT, process) }

func unplug(machine string) func(*linked) { return func(c *linked) { c.lan.Machine(machine).Unplug() } }

func plug(machine string) func(*linked) { return func(c *linked) { c.lan.Machine(machine).Plug() } }

// cut has nothing pass any more between the slave and its peer of a role on the same machine, in one direction or both.
func cut(role string, toPeer, fromPeer bool) func(*linked) {
	return func(c *linked) {
		port := c.portOf(role)
		if toPeer {
			c.lan.Machine("slave1").CutLoopback(slavePort, port)
		}
		if fromPeer {
			c.lan.Machine("slave1").CutLoopback(port, slavePort)
		}
	}
}

// Each row is what happens to one process or one cable; who was linked with what it has cut off sees exactly one Exited. Together the
// rows are all pairs that link, each with one of the two killed, one stopped, and the connection cut.
func TestTheEndOfAPeerIsSeenExactlyOnce(t *testing.T) {
	const killed, silent = "disconnected", "unreachable"
	ofMaster := []pair{{"slave", "master"}, {"framework", "master"}, {"command", "master"}}
	for name, steps := range map[string][]step{
		"the master is killed": {{kill("master"), ofMaster, killed}},
		"the master is stopped": {
			{stop("master"), ofMaster, silent},
			{wake("master"), []pair{{"master", "slave"}, {"master", "framework"}}, ""},
		},
		// A host is held where it would end the executor before that has seen anything.
		"the slave is killed": {
			{stop("host"), nil, ""},
			{kill("slave"), []pair{{"master", "slave"}, {"executor", "slave"}}, killed},
			{wake("host"), []pair{{"host", "slave"}}, ""},
		},
		"the slave is stopped": {
			{stop("host"), nil, ""},
			{stop("slave"), []pair{{"master", "slave"}, {"executor", "slave"}}, silent},
			{wake("host"), []pair{{"host", "slave"}}, silent},
			{wake("slave"), []pair{{"slave", "master"}}, ""},
		},
		"the host is killed":  {{kill("host"), nil, ""}}, // its slave is told by the kernel too, perhaps sooner
		"the host is stopped": {{stop("host"), []pair{{"slave", "host"}}, silent}},
		"the executor is killed": {
			{stop("host"), nil, ""},
			{kill("executor"), []pair{{"slave", "executor"}}, killed},
		},
		"the executor is stopped": {{stop("executor"), []pair{{"slave", "executor"}}, silent}},
		"the framework is killed": {{kill("framework"), []pair{{"master", "framework"}}, killed}},
		"the framework is stopped": {
			{stop("framework"), []pair{{"master", "framework"}}, silent},
			{wake("framework"), []pair{{"framework", "master"}}, ""},
		},
		"the command is killed": {{kill("command"), []pair{{"master", "operator"}}, killed}},
		"the command is stopped": {
			{stop("command"), []pair{{"master", "operator"}}, silent},
		},
		"the slave's cable is cut": {
			{unplug("slave1"), []pair{{"master", "slave"}, {"slave", "master"}}, silent},
			{plug("slave1"), nil, ""},
		},
		"the cable of framework and command is cut": {
			{unplug("outside"), []pair{{"master", "framework"}, {"framework", "master"}, {"master", "operator"}, {"command", "master"}}, silent},
			{plug("outside"), nil, ""},
		},
		"the host hears nothing of the slave": {{cut("host", true, false), []pair{{"host", "slave"}}, silent}},
		"the slave hears nothing of the host": {{cut("host", false, true), []pair{{"slave", "host"}}, silent}},
		"the executor is cut off":             {{cut("executor", true, true), []pair{{"slave", "executor"}, {"executor", "slave"}}, silent}},
	} {
		t.Run(name, func(t *testing.T) {
			integration.NeedsRoot(t)
			integration.NeedsProgram(t, "nft", "nftables")
			needsProcesses(t)
			t.Parallel()
			c := newLinked(t)
			for _, s := range steps {
				s.do(c)
				for _, p := range s.seen {
					c.g.await(fmt.Sprintf("the %s sees the end of the %s", p.process, p.role), func() bool { return len(c.seen(p)) > 0 })
					if got := c.seen(p)[0].Reason; s.reason != "" && got != s.reason && p.process != "command" {
						t.Errorf("the %s saw the end of the %s for %q, want %q", p.process, p.role, got, s.reason)
					}
				}
			}
			switch name {
			case "the host is killed":
				ended := fmt.Sprintf("host %s ended", c.host.args[slices.Index(c.host.args, "--id")+1])
				c.g.await("the slave says so", func() bool { return c.slaves[0].saysOften(ended) > 0 })
			case "the slave is killed", "the slave's cable is cut":
				c.awaitMetrics()
			}
			c.endAll()
			c.expectEachEndOnce()
		})
	}
}

// endAll ends what still runs, so that nothing more can come.
func (c *linked) endAll() {
	c.g.t.Helper()
	for _, process := range []string{"command", "framework", "slave", "master"} {
		_ = syscall.Kill(c.pid(process), syscall.SIGCONT) // it may be gone
	}
	for _, p := range []*program{c.command, c.framework, c.slaves[0], c.master} {
		p.end()
	}
}

// expectEachEndOnce fails the test for each link whose owner saw its end twice. A link is known by both its actors, whose names are
// unique among all lives of their nodes.
func (c *linked) expectEachEndOnce() {
	c.g.t.Helper()
	for _, process := range []string{"master", "slave", "framework", "executor"} {
		times := map[linkEnd]int{}
		for _, e := range linkEnds(c.log(process)) {
			e.Reason = ""
			if times[e]++; times[e] == 2 && e.Role != "" { // without a role it was never connected: an attempt, as there are many
				c.g.t.Errorf("the %s: %s was told twice that %s%s has ended", process, e.Actor, e.Linked, e.Peer)
			}
		}
	}
	if said := notes(c.command.err.String()); len(said) > 1 || len(said) == 1 && !strings.Contains(said[0].Message, "the task is followed all the same") {
		c.g.t.Errorf("the command said %v, want at most one line", said)
	}
}

// awaitMetrics waits until the master's metrics count what its actors were told, as its log has it.
func (c *linked) awaitMetrics() {
	c.g.t.Helper()
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		return c.lan.Machine("master").Dial(ctx, address)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	c.g.await("the metrics agree with the log", func() bool {
		answer, err := client.Get("http://" + c.address + "/metrics")
		if err != nil {
			c.g.t.Fatal(err)
		}
		defer answer.Body.Close()
		got := map[string]int{}
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if name, count, found := strings.Cut(lines.Text(), "} "); found && strings.HasPrefix(name, "stoa_master_links_ended_total{") {
				got[name], _ = strconv.Atoi(count)
			}
		}
		want := map[string]int{}
		for _, e := range linkEnds(c.log("master")) {
			if e.Message == "link ended" {
				want[fmt.Sprintf("stoa_master_links_ended_total{reason=%q,role=%q", e.Reason, e.Role)]++
			}
		}
		return len(want) > 0 && maps.Equal(got, want)
	})
}
