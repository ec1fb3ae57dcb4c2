package integration_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
)

// lanCluster is a cluster of real processes whose machines have a network to themselves: "master", "slave1", "slave2", … and
// "outside", for schedulers and commands.
type lanCluster struct {
	g       *ground
	lan     *integration.LAN
	address string // of the master
	master  *program
	slaves  []*program
}

// lanOptions say what is special about a lanCluster.
type lanOptions struct {
	slaves     int
	door       func(c *lanCluster) string // where slaves look for the master; nil: at its address
	flags      []string                   // of master and slaves
	slaveFlags []string
}

// newLANCluster starts a master and slaves, and waits until they are connected.
func newLANCluster(t *testing.T, o lanOptions) *lanCluster {
	t.Helper()
	g := newGround(t)
	names := []string{"master", "outside"}
	for i := range o.slaves {
		names = append(names, fmt.Sprintf("slave%d", i+1))
	}
	c := &lanCluster{g: g, lan: integration.NewLAN(t, names...)}
	c.master = c.start("master", append([]string{"master", "--ip", c.lan.Machine("master").IP().String(), "--insecure"}, o.flags...)...)
	c.address = g.addressIn(c.master, "master is up")
	at := c.address
	if o.door != nil {
		at = o.door(c)
	}
	for _, name := range names[2:] {
		m := c.lan.Machine(name)
		workDir := filepath.Join(g.tmp, name)
		if err := os.Mkdir(workDir, 0o755); err != nil {
			t.Fatal(err)
		}
		m.Own(workDir)
		flags := append(slices.Clone(o.flags), o.slaveFlags...)
		c.slaves = append(c.slaves, c.start(name, append([]string{
			"slave", "--master", at, "--ip", m.IP().String(), "--insecure",
			"--work_dir", workDir, "--hostname", name, "--resources", "cpus:8;mem:1024",
		}, flags...)...))
	}
	t.Cleanup(func() {
		for _, s := range append(slices.Clone(c.slaves), c.master) {
			_ = s.command.Process.Signal(syscall.SIGCONT) // it may have ended
			s.end()
		}
	})
	c.awaitSlaves(o.slaves)
	return c
}

// start starts stoa in a machine.
func (c *lanCluster) start(machine string, args ...string) *program {
	c.g.t.Helper()
	return c.g.startBy(c.lan.Machine(machine).Start, args...)
}

// stoa runs stoa outside, with the cluster's master, to its end.
func (c *lanCluster) stoa(args ...string) *program {
	c.g.t.Helper()
	p := c.start("outside", append(args, "--master", c.address)...)
	p.wait()
	return p
}

// json runs stoa outside and reads what it prints.
func (c *lanCluster) json(into any, args ...string) {
	c.g.t.Helper()
	p := c.stoa(append(args, "--json")...)
	if err := json.Unmarshal([]byte(p.out.String()), into); err != nil {
		c.g.t.Fatalf("stoa %s said %s%s: %v", strings.Join(args, " "), p.out.String(), p.err.String(), err)
	}
}

func (c *lanCluster) awaitSlaves(n int) {
	c.g.t.Helper()
	c.g.await(fmt.Sprintf("%d slaves are connected", n), func() bool {
		for _, s := range c.slaves {
			if !s.running() {
				c.g.t.Fatalf("a slave ended with %d: %s", s.wait(), s.err.String())
			}
		}
		var nodes []struct{ Active bool }
		c.json(&nodes, "node", "list")
		return len(slices.DeleteFunc(nodes, func(n struct{ Active bool }) bool { return !n.Active })) == n
	})
}

// subscribe starts a framework outside.
func (c *lanCluster) subscribe(t *testing.T, change ...func(*scheduler.Options)) *framework {
	t.Helper()
	options := scheduler.Options{
		Master: c.address, Name: "job", User: integration.DefaultUser, Network: c.lan.Machine("outside"),
	}
	for _, change := range change {
		change(&options)
	}
	f := beginWith(t, options)
	f.await("it is subscribed", func() bool { return len(f.news()) > 0 })
	return f
}

// countedTask is a wish for a command that notes in its sandbox that it was started, and lasts for so many seconds.
func countedTask(id string, seconds int) scheduler.Task {
	return scheduler.Task{
		ID: id, Name: id, Args: []string{"sh", "-c", fmt.Sprintf("echo started >> starts; exec sleep %d", seconds)}, CPUs: 0.1, Mem: 32,
	}
}

// starts is how often a command of countedTask was started, on whatever slave.
func (c *lanCluster) starts(id string) int {
	c.g.t.Helper()
	files, err := filepath.Glob(filepath.Join(c.g.tmp, "slave*", "slaves", "*", "frameworks", "*", "executors", id, "runs", "*-*", "starts"))
	if err != nil {
		c.g.t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		lines, err := os.ReadFile(file)
		if err != nil {
			c.g.t.Fatal(err)
		}
		n += strings.Count(string(lines), "started\n")
	}
	return n
}

// What a network does to a slave ends its session at most: its tasks run on, what became of them is heard when it is back, and no
// command is started twice.
func TestOnABadNetworkNothingIsLostAndNothingRunsTwice(t *testing.T) {
	for _, c := range []struct {
		name       string
		fault      func(slave *integration.Machine)
		heal       func(slave *integration.Machine)
		disconnect bool          // the session ends
		delay      time.Duration // of all that passes, from the beginning
	}{
		{"cut", (*integration.Machine).Unplug, (*integration.Machine).Plug, true, 0},
		{"nothing reaches the slave", func(m *integration.Machine) { m.LoseReceived(100) }, (*integration.Machine).Heal, true, 0},
		{"nothing of the slave arrives", func(m *integration.Machine) { m.LoseSent(100) }, (*integration.Machine).Heal, true, 0},
		{"a fifth of all packets is lost", func(m *integration.Machine) { m.Lose(20) }, (*integration.Machine).Heal, false, 0},
		{"everything takes 200 ms", func(*integration.Machine) {}, func(*integration.Machine) {}, false, 200 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			integration.NeedsRoot(t)
			integration.NeedsProgram(t, "nft", "nftables")
			needsProcesses(t)
			t.Parallel()
			options := lanOptions{slaves: 2}
			if c.delay > 0 {
				options.door = func(cluster *lanCluster) string {
					return delayed(t, cluster.lan.Machine("master"), cluster.address, c.delay)
				}
			}
			cluster := newLANCluster(t, options)
			f := cluster.subscribe(t, checkpointing)
			ids := []string{"short", "long", "other"}
			f.launchOn("slave1", countedTask("short", 3), countedTask("long", 1000))
			f.launchOn("slave2", countedTask("other", 1000))
			f.awaitStateFor(patience, mesos.TaskState_TASK_RUNNING, ids...)

			slave := cluster.lan.Machine("slave1")
			c.fault(slave)
			if c.disconnect {
				cluster.awaitSessionsEnd(slave)
				cluster.g.await("the short task ends, unheard", func() bool { return len(cluster.g.tasksNamed("sleep")) == 2 })
				if got := f.states("short"); got != "STARTING RUNNING" {
					t.Errorf("of a slave that is cut off the master heard that its task went through %s", got)
				}
			} else {
				for i := range 5 {
					id := fmt.Sprintf("meanwhile%d", i)
					ids = append(ids, id)
					f.launchOn("slave1", countedTask(id, 1))
				}
				f.awaitStateFor(2*patience, mesos.TaskState_TASK_FINISHED, ids[3:]...)
			}
			if c.delay > 0 {
				cluster.expectRoundTrips(2 * c.delay)
				if n := cluster.master.saysOften(`"session ended"`, `"role":"slave"`); n > 0 {
					t.Errorf("%d sessions of slaves have ended, because they are slow", n)
				}
			}
			c.heal(slave)
			cluster.awaitSlaves(2)
			f.awaitStateFor(patience, mesos.TaskState_TASK_FINISHED, "short")
			if c.disconnect && cluster.slaves[0].saysOften(`"session began"`, `"role":"master"`) < 2 {
				t.Errorf("the slave has not come back in a new session:\n%s", cluster.slaves[0].err.String())
			}
			f.reconciles(map[string]mesos.TaskState{"long": mesos.TaskState_TASK_RUNNING, "other": mesos.TaskState_TASK_RUNNING})
			f.kill("long")
			f.awaitStateFor(patience, mesos.TaskState_TASK_KILLED, "long")
			f.expectStates(map[string]string{"short": "STARTING RUNNING FINISHED", "long": "STARTING RUNNING KILLING KILLED", "other": "STARTING RUNNING"})
			for _, id := range ids {
				if n := cluster.starts(id); n != 1 {
					t.Errorf("the command of task %s was started %d times", id, n)
				}
			}
			f.kill("other")
			f.awaitStateFor(patience, mesos.TaskState_TASK_KILLED, "other")
		})
	}
}

// awaitSessionsEnd waits until both ends of a slave's connection with the master have noticed that it is over.
func (c *lanCluster) awaitSessionsEnd(slave *integration.Machine) {
	c.g.t.Helper()
	c.g.await("the master notices", func() bool { return c.master.saysOften(`"session ended"`, slave.IP().String()+":") > 0 })
	c.g.await("the slave notices", func() bool { return c.slaves[0].saysOften(`"session ended"`, `"role":"master"`) > 0 })
}

// reconciles asks the master about tasks, and expects that it says what they are.
func (f *framework) reconciles(want map[string]mesos.TaskState) {
	f.t.Helper()
	before := map[string]int{}
	for id := range want {
		before[id] = len(f.of(id))
	}
	f.do(func(d *scheduler.Driver) { d.Reconcile() })
	for id, state := range want {
		f.awaitFor(patience, "an answer about "+id, func() bool { return len(f.of(id)) > before[id] })
		if s := f.last(id); s.GetReason() != mesos.TaskStatus_REASON_RECONCILIATION || s.GetState() != state {
			f.t.Errorf("of task %s the master says %v, because of %v; want %v", id, s.GetState(), s.GetReason(), state)
		}
	}
}

// expectRoundTrips fails the test if the master has not measured that its slaves are so far away.
func (c *lanCluster) expectRoundTrips(least time.Duration) {
	c.g.t.Helper()
	c.g.await("a round trip is measured", func() bool {
		var peers []struct {
			Role             string
			RoundTripSeconds float64 `json:"round_trip_seconds"`
		}
		c.json(&peers, "operator", "peers")
		measured := 0
		for _, p := range peers {
			if p.Role == "slave" && p.RoundTripSeconds > 0 {
				measured++
				if p.RoundTripSeconds < least.Seconds() {
					c.g.t.Errorf("a round trip of %v s, want at least %v", p.RoundTripSeconds, least)
				}
			}
		}
		return measured == len(c.slaves)
	})
}

// delayed is a door to an address through which everything takes so long, in each direction. It gives the door's address, in the
// machine.
func delayed(t *testing.T, m *integration.Machine, to string, by time.Duration) string {
	t.Helper()
	listener, err := m.Listen(net.JoinHostPort(m.IP().String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			onward, err := m.Dial(t.Context(), to)
			if err != nil {
				_ = from.Close()
				continue
			}
			running.Go(func() { carryLate(from, onward, by) })
			running.Go(func() { carryLate(onward, from, by) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait() // connections end with the daemons
	})
	return listener.Addr().String()
}

// carryLate carries what comes of one connection to another, later.
func carryLate(from, to net.Conn, by time.Duration) {
	type part struct {
		bytes []byte
		due   time.Time
	}
	parts := make(chan part, 1000)
	go func() {
		defer close(parts)
		for {
			b := make([]byte, 4096)
			n, err := from.Read(b)
			if n > 0 {
				parts <- part{b[:n], time.Now().Add(by)}
			}
			if err != nil {
				return
			}
		}
	}()
	defer to.Close()
	for p := range parts {
		<-time.After(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			_ = from.Close() // which ends parts
		}
	}
}
