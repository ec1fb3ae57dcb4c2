// Package integration runs a whole cluster in one process, for tests: a master, slaves and their hosts are the real
// actors, each on a node of its own, and talk over a network in memory that a test can cut, slow down and heal.
//
//	func TestHello(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) { // fake time; leave it out for real time
//			c := integration.New(t, integration.Slaves(2), integration.Resources("cpus:4;mem:1024"),
//				integration.Commands(func(spec containerizer.Spec) fake.Behaviour {
//					return fake.Behaviour{Stdout: "hello\n", Lasts: time.Minute}
//				}))
//			ended := make(chan error, 1)
//			go func() { ended <- scheduler.Run(t.Context(), c.Scheduler("hello"), &hello{}) }()
//			c.Await("a command runs", func() bool { return c.Running() == 1 })
//			c.Kill("master")
//			c.Restart("master") // it remembers nothing
//			if err := <-ended; err != nil {
//				t.Error(err)
//			}
//		})
//	}
//
// # Processes
//
// What is a process on a real machine has a name here: "master"; "slave1", "slave2", …; and "host1", the parent of
// slave1's containers. Kill ends one as SIGKILL does: without a word, its connections broken. Restart brings it back with
// an empty memory. Pause leaves it there, deaf and dumb, as SIGSTOP does; schedulers too, by their names.
//
// # Machines
//
// Partition cuts machines off from each other: "master"; "slave1", … (each with its host); and those of schedulers, by
// the names that Scheduler and Network were given. The connections stay and are silent, until Heal.
//
// # Commands
//
// Commands are not run: Commands scripts what they do, and by default they succeed at once. With Processes they are real
// ones, without isolation, and time must be real too. TCP has the cluster listen on the loopback address instead of in
// memory, for commands that fetch from it.
//
// The cluster ends with its test and leaves nothing behind. If the test fails, its log shows those of all processes.
package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/slave/containerizer"
)

const (
	// Patience is how long the methods that wait do so before they end the test. It is fake in a testing/synctest bubble.
	Patience = 30 * time.Second

	// DefaultResources are what each slave offers.
	DefaultResources = "cpus:4;mem:4096;disk:10240;ports:[31000-31099]"

	// DefaultUser is as whom schedulers run their tasks.
	DefaultUser = "root"

	// pollInterval is how often Await looks.
	pollInterval = 10 * time.Millisecond

	// settle is given, at the end of a test, to what ends by itself a moment after the test's context or after its node:
	// in a bubble time stands still once the test's function has returned.
	settle = 10 * time.Millisecond
)

// Cluster is a cluster in the hands of a test. Its methods may be called from any goroutine; what goes wrong in them ends
// the test, so those that wait belong into the test's own.
type Cluster struct {
	t       testing.TB
	config  config
	memory  *remote.MemoryNetwork
	log     *testLog
	dir     string
	address string // of the master

	master *masterProcess
	slaves []*slaveProcess
	ending sync.WaitGroup // processes that end by themselves

	mu      sync.Mutex
	outside map[string]*link // machines that are not the cluster's own, by name
	client  *client.Client
	hosts   []*hostProcess // all that ever were
}

// New starts a cluster and waits for its slaves to be registered.
func New(t testing.TB, options ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, config: defaultConfig(), memory: remote.NewMemoryNetwork(), outside: map[string]*link{}, dir: t.TempDir(), log: &testLog{t: t}}
	for _, option := range options {
		if err := option(&c.config); err != nil {
			t.Fatalf("integration.New: %v", err)
		}
	}
	t.Cleanup(c.end)
	c.master = &masterProcess{cluster: c}
	if err := c.master.start(); err != nil {
		t.Fatalf("integration.New: %v", err)
	}
	for i, about := range c.config.slaves {
		s := &slaveProcess{cluster: c, number: i + 1, about: about}
		c.slaves = append(c.slaves, s)
		if err := s.start(); err != nil {
			t.Fatalf("integration.New: %v", err)
		}
	}
	c.AwaitSlaves(len(c.slaves))
	return c
}

// Master is the master's address, HOST:PORT. It stays the same when the master is restarted.
func (c *Cluster) Master() string { return c.address }

// Network is the cluster's network as a machine of that name sees it. Any name will do that is none of the cluster's own.
func (c *Cluster) Network(machine string) remote.Network {
	c.t.Helper()
	if c.isOwn(machine) {
		c.t.Fatalf("machine %q belongs to the cluster; schedulers and clients need another", machine)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outside[machine] == nil {
		c.outside[machine] = newLink(c.ownNetwork(machine))
	}
	return c.outside[machine]
}

// ownNetwork is what a machine's processes are linked to.
func (c *Cluster) ownNetwork(machine string) remote.Network {
	if c.config.tcp {
		return tcp{}
	}
	return c.memory.Host(machine)
}

// isOwn tells whether a machine is one of the cluster.
func (c *Cluster) isOwn(machine string) bool {
	return machine == masterName || slices.ContainsFunc(c.slaves, func(s *slaveProcess) bool { return s.name() == machine })
}

// Scheduler is where a scheduler of that name, on a machine of that name, finds the master; to be completed and given to
// scheduler.Run.
func (c *Cluster) Scheduler(name string) scheduler.Options {
	return scheduler.Options{Master: c.address, Name: name, User: DefaultUser, Network: c.Network(name), Log: c.logger(name)}
}

// Client asks the master what an operator may ask. It ends with the cluster, and finds a restarted master by itself.
func (c *Cluster) Client() *client.Client {
	c.t.Helper()
	c.mu.Lock()
	made := c.client
	c.mu.Unlock()
	if made != nil {
		return made
	}
	network := c.Network("operator")
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	made, err := client.DialWith(ctx, client.Options{Network: network}, c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client == nil {
		c.client = made
	} else {
		made.Close()
	}
	return c.client
}

// Started lists the commands that were ever started, in order, on each slave in turn; those that failed to start, too. It
// is for scripted commands.
func (c *Cluster) Started() []containerizer.Spec {
	var all []containerizer.Spec
	for _, h := range c.allHosts() {
		if h.fake != nil {
			all = append(all, h.fake.Started()...)
		}
	}
	return all
}

// Running is how many scripted commands have not ended.
func (c *Cluster) Running() int {
	n := 0
	for _, h := range c.allHosts() {
		if h.fake != nil {
			n += h.fake.Running()
		}
	}
	return n
}

func (c *Cluster) allHosts() []*hostProcess {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.hosts)
}

// end ends all that still runs: nobody says goodbye, slaves first so that they do not look for another master.
func (c *Cluster) end() {
	c.mu.Lock()
	operator := c.client
	for _, outside := range c.outside {
		outside.release()
	}
	c.mu.Unlock()
	time.Sleep(settle)
	if operator != nil {
		operator.Close()
	}
	for _, s := range c.slaves {
		s.kill()
	}
	for _, h := range c.allHosts() {
		h.kill()
	}
	c.master.kill()
	c.ending.Wait()
	c.log.close()
}

func (c *Cluster) logger(name string) zerolog.Logger {
	level := zerolog.InfoLevel
	if testing.Verbose() {
		level = zerolog.DebugLevel
	}
	return zerolog.New(zerolog.ConsoleWriter{Out: c.log, NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName}}).
		Level(level).Hook(clock{}).With().Str("process", name).Logger()
}

// clock gives each line the time: zerolog's own has whole seconds only.
type clock struct{}

// Run implements zerolog.Hook.
func (clock) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str("at", time.Now().Format("15:04:05.000"))
}

// testLog hands lines to the test's log until the test is over.
type testLog struct {
	t    testing.TB
	mu   sync.Mutex
	over bool
}

// Write implements io.Writer.
func (l *testLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.t.Log(strings.TrimRight(string(line), "\n"))
	}
	return len(line), nil
}

func (l *testLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// allowed lists names for people.
func allowed[T any](names map[string]T) string {
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}

// workDir is where a slave keeps its sandboxes.
func (c *Cluster) workDir(slave int) string { return fmt.Sprintf("%s/slave%d", c.dir, slave) }
