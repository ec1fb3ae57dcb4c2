package core

import (
	"maps"
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Counters count what happened in this life of the slave.
type Counters struct {
	TasksReceived       uint64 // by RunTask
	TasksLaunched       uint64 // delivered to their executors
	TasksEnded          map[mesos.TaskState]uint64
	ExecutorsEnded      uint64
	UpdatesForwarded    uint64 // to a master, repetitions included
	UpdatesRepeated     uint64
	UpdatesAcknowledged uint64 // by schedulers
	Refused             uint64 // messages of hosts and executors
	Operations          uint64 // on resources, that were carried out
	MessagesDropped     uint64 // of executors, for which there was no room
}

// View is a picture of a slave for readers. What it points to is never changed.
type View struct {
	SlaveID, ClusterID string // empty before the first registration

	Registered bool // with a master, now
	HasHost    bool // a host has registered and is there
	Counters   Counters
	Updates    int           // unacknowledged
	GC         Collection    // sandboxes that wait for their removal
	Grace      time.Duration // the longest that one of its executors may take to end

	Slave      *mesos.AgentInfo
	Frameworks []FrameworkView // by id

	CompletedFrameworks []*CompletedFramework // oldest first, like the next two
	CompletedExecutors  []*CompletedExecutor
	CompletedTasks      []*CompletedTask
}

// FrameworkView is a framework that has something on this slave.
type FrameworkView struct {
	Info      *mesos.FrameworkInfo
	Executors []ExecutorView // by id
	Tasks     []TaskView     // by id
}

// ExecutorView is an executor that is not gone.
type ExecutorView struct {
	Info        *mesos.ExecutorInfo
	State       string // preparing, launching, registering, running or terminating
	ContainerID string
	Directory   string // empty while preparing
	Command     bool
}

// TaskView is a task that is not forgotten.
type TaskView struct {
	Task       *mesos.Task
	ExecutorID string
	Queued     bool // its executor has not been told of it
}

// View makes a picture. It takes time in proportion to what runs and what is kept.
func (c *Core) View() *View {
	v := &View{
		SlaveID: c.slaveID, ClusterID: c.clusterID,
		Registered: c.master.registered, HasHost: c.host.session != 0,
		Counters: c.counters, GC: c.gc,
		Slave:               c.slaveInfo(),
		CompletedFrameworks: slices.Clone(c.completed.frameworks.entries),
		CompletedExecutors:  slices.Clone(c.completed.executors.entries),
		CompletedTasks:      slices.Clone(c.completed.tasks.entries),
	}
	v.Counters.TasksEnded = maps.Clone(c.counters.TasksEnded)
	for _, id := range sortedKeys(c.frameworks) {
		f := c.frameworks[id]
		view := FrameworkView{Info: f.info}
		for _, id := range sortedKeys(f.executors) {
			ex := f.executors[id]
			v.Grace = max(v.Grace, c.grace(ex))
			view.Executors = append(view.Executors, ExecutorView{
				Info: ex.info, State: ex.state.String(), ContainerID: ex.containerID, Directory: ex.directory, Command: ex.command,
			})
		}
		for _, id := range sortedKeys(f.tasks) {
			t := f.tasks[id]
			view.Tasks = append(view.Tasks, TaskView{Task: t.toProto(c.slaveID), ExecutorID: t.executorID, Queued: t.phase == queued})
			v.Updates += len(t.updates)
		}
		v.Frameworks = append(v.Frameworks, view)
	}
	return v
}
