package integration_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

// inFakeTime tells a story about a cluster whose commands are those of behave.
func inFakeTime(t *testing.T, f func(t *testing.T, c *integration.Cluster), options ...integration.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, integration.New(t, append([]integration.Option{integration.Commands(behave)}, options...)...))
	})
}

// behave is what the commands of stories do:
//
//	sleep D      ends well after D
//	fail N D     ends with status N after D
//	forever      runs until it is ended
//	stubborn     ends only by force
//	slow D       takes D to start
func behave(spec containerizer.Spec) fake.Behaviour {
	duration := func(i int) time.Duration {
		d, err := time.ParseDuration(spec.Args[i])
		if err != nil {
			panic(err)
		}
		return d
	}
	switch spec.Args[0] {
	case "sleep":
		return fake.Behaviour{Lasts: duration(1)}
	case "fail":
		var status int
		fmt.Sscan(spec.Args[1], &status)
		return fake.Behaviour{Lasts: duration(2), Status: fake.Exited(status)}
	case "forever":
		return fake.Behaviour{Lasts: fake.Forever}
	case "stubborn":
		return fake.Behaviour{Lasts: fake.Forever, Ignores: []syscall.Signal{syscall.SIGTERM}}
	case "slow":
		return fake.Behaviour{StartLasts: duration(1), Lasts: fake.Forever}
	default:
		panic(fmt.Sprintf("no story knows the command %q", spec.Args))
	}
}

// task is a wish of one cpu for a command.
func task(id string, args ...string) scheduler.Task {
	return scheduler.Task{ID: id, Name: id, Args: args, CPUs: 1, Mem: 32}
}

// framework is a scheduler that a story tells what to run, and that remembers what it heard.
type framework struct {
	scheduler.Base
	t      testing.TB
	c      *integration.Cluster // nil: it is of real processes
	driver *scheduler.Driver
	cancel context.CancelCauseFunc
	ended  chan error

	mu       sync.Mutex
	id       string
	wishes   []wish
	heard    []string                       // news that is not of tasks
	statuses map[string][]*mesos.TaskStatus // by task, in the order of arrival
	hoard    bool                           // keep offers instead of declining them
	modest   bool                           // launch one task on each offer
	offers   []*scheduler.Offer             // hoarded
	onUpdate func(*mesos.TaskStatus)
}

type wish struct {
	on   string // the hostname of a slave, "" is any
	task scheduler.Task
}

// subscribe starts a framework on a machine of its name and waits until the master knows it.
func subscribe(t *testing.T, c *integration.Cluster, name string, change ...func(*scheduler.Options)) *framework {
	t.Helper()
	f := begin(t, c, name, change...)
	f.await("it is subscribed", func() bool { return len(f.news()) > 0 })
	return f
}

func begin(t *testing.T, c *integration.Cluster, name string, change ...func(*scheduler.Options)) *framework {
	t.Helper()
	options := c.Scheduler(name)
	for _, change := range change {
		change(&options)
	}
	f := beginWith(t, options)
	f.c = c
	return f
}

// beginWith starts a framework of whatever cluster.
func beginWith(t testing.TB, options scheduler.Options) *framework {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	f := &framework{t: t, cancel: cancel, ended: make(chan error, 1), statuses: map[string][]*mesos.TaskStatus{}}
	born := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		f.ended <- scheduler.RunWith(ctx, options, func(d *scheduler.Driver) scheduler.Scheduler {
			f.driver = d
			close(born)
			return f
		})
	}()
	t.Cleanup(func() {
		cancel(nil)
		<-gone
	})
	select {
	case <-born:
	case err := <-f.ended:
		t.Fatalf("%s: %v", options.Name, err)
	}
	return f
}

// Subscribed implements scheduler.Scheduler.
func (f *framework) Subscribed(_ *scheduler.Driver, id string, again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.id = id
	if again {
		f.heard = append(f.heard, "subscribed again")
	} else {
		f.heard = append(f.heard, "subscribed")
	}
}

// Offers implements scheduler.Scheduler.
func (f *framework) Offers(d *scheduler.Driver, offers []*scheduler.Offer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range offers {
		var taken []*mesos.TaskInfo
		f.wishes = slices.DeleteFunc(f.wishes, func(w wish) bool {
			if w.on != "" && w.on != o.Hostname() || f.modest && len(taken) > 0 {
				return false
			}
			info, err := o.Take(w.task)
			if err != nil {
				return false
			}
			taken = append(taken, info)
			return true
		})
		if len(taken) == 0 && f.hoard {
			f.offers = append(f.offers, o)
			continue
		}
		d.Launch(o, taken...)
	}
}

// Update implements scheduler.Scheduler.
func (f *framework) Update(_ *scheduler.Driver, status *mesos.TaskStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := status.GetTaskId().GetValue()
	f.statuses[id] = append(f.statuses[id], status)
	if f.onUpdate != nil {
		f.onUpdate(status)
	}
}

// Disconnected implements scheduler.Scheduler.
func (f *framework) Disconnected(*scheduler.Driver, error) { f.hear("disconnected") }

// Rescinded implements scheduler.Scheduler.
func (f *framework) Rescinded(_ *scheduler.Driver, offer string) { f.hear("rescinded " + offer) }

// Failure implements scheduler.Scheduler.
func (f *framework) Failure(_ *scheduler.Driver, slave, executor string, _ int32) {
	if executor == "" {
		f.hear("slave failed " + slave)
	}
}

func (f *framework) hear(news string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = append(f.heard, news)
}

// do runs a function among the handlers and waits for it.
func (f *framework) do(what func(d *scheduler.Driver)) {
	done := make(chan struct{})
	f.driver.Do(func() { what(f.driver); close(done) })
	select {
	case <-done:
	case <-time.After(integration.Patience):
		f.t.Error("the scheduler does nothing any more")
	}
}

// launch has tasks run wherever there is room.
func (f *framework) launch(tasks ...scheduler.Task) { f.launchOn("", tasks...) }

// launchOn has tasks run on the slave of a hostname.
func (f *framework) launchOn(hostname string, tasks ...scheduler.Task) {
	f.t.Helper()
	f.do(func(d *scheduler.Driver) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, t := range tasks {
			f.wishes = append(f.wishes, wish{hostname, t})
		}
		d.Revive()
	})
}

// kill asks for the end of a task.
func (f *framework) kill(id string) {
	f.do(func(d *scheduler.Driver) { d.Kill(id, 0) })
}

// news is what the framework heard that is not of tasks.
func (f *framework) news() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.heard)
}

// of gives the statuses of a task that the framework heard, in order.
func (f *framework) of(id string) []*mesos.TaskStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.statuses[id])
}

// states are those of a task in the order heard, each once in a row, as in "STARTING RUNNING FINISHED".
func (f *framework) states(id string) string {
	var states []string
	for _, s := range f.of(id) {
		states = append(states, strings.TrimPrefix(s.GetState().String(), "TASK_"))
	}
	return strings.Join(slices.Compact(states), " ")
}

// last is the last status of a task; nil if there is none.
func (f *framework) last(id string) *mesos.TaskStatus {
	all := f.of(id)
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// await waits for something that the framework is to hear.
func (f *framework) await(what string, is func() bool) {
	f.t.Helper()
	f.awaitFor(integration.Patience, what, is)
}

func (f *framework) awaitFor(patience time.Duration, what string, is func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); !is(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.t.Fatalf("not within %v: %s; the framework has heard %q, and of tasks %s", patience, what, f.heard, f.summary())
		}
	}
}

func (f *framework) summary() string {
	var lines []string
	for id, all := range f.statuses {
		for _, s := range all {
			lines = append(lines, fmt.Sprintf("%s %v %v %q", id, s.GetState(), s.GetReason(), s.GetMessage()))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// awaitState waits until tasks are in a state.
func (f *framework) awaitState(state mesos.TaskState, ids ...string) {
	f.t.Helper()
	f.awaitStateFor(integration.Patience, state, ids...)
}

func (f *framework) awaitStateFor(patience time.Duration, state mesos.TaskState, ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		f.awaitFor(patience, fmt.Sprintf("task %s is %v", id, state), func() bool { s := f.last(id); return s != nil && s.GetState() == state })
	}
}

// slaveOf is the id of the slave on which a task was seen last.
func (f *framework) slaveOf(id string) string {
	f.t.Helper()
	return f.last(id).GetAgentId().GetValue()
}

// end waits for the scheduler's end.
func (f *framework) end() error {
	f.t.Helper()
	select {
	case err := <-f.ended:
		return err
	case <-time.After(2 * integration.Patience):
		f.t.Fatal("the scheduler does not end")
		return nil
	}
}

// expectStates compares the story of tasks with what it has to be.
func (f *framework) expectStates(want map[string]string) {
	f.t.Helper()
	for id, states := range want {
		if got := f.states(id); got != states {
			f.t.Errorf("task %s went through %s, want %s", id, got, states)
		}
	}
}

// expectStartedOnce fails the test for each task whose command was started more than once, and if there is none.
func expectStartedOnce(t *testing.T, c *integration.Cluster) {
	t.Helper()
	if expectStartedAtMostOnce(t, c) == 0 {
		t.Error("no command has a MESOS_TASK_ID: nothing can be told about who ran twice")
	}
}

// expectStartedAtMostOnce fails the test for each task whose command was started more than once, and counts the others.
func expectStartedAtMostOnce(t *testing.T, c *integration.Cluster) int {
	t.Helper()
	seen := map[string]int{}
	for _, spec := range c.Started() {
		for _, entry := range spec.Env {
			if id, ok := strings.CutPrefix(entry, "MESOS_TASK_ID="); ok {
				seen[id]++
			}
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("task %s was started %d times", id, n)
		}
	}
	return len(seen)
}

// beModest has the framework launch one task on each offer, and leave the rest to others.
func (f *framework) beModest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.modest = true
}

// hoardOffers has the framework keep offers that it has no use for.
func (f *framework) hoardOffers() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hoard = true
}

// held lists the offers that were hoarded.
func (f *framework) held() []*scheduler.Offer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.offers)
}
