package core

import (
	"bytes"
	"slices"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// EndedTasksKept is how many tasks that have ended a Tracker remembers, the latest ones: their late updates are known
// to be late. Tasks that have not ended are all remembered.
const EndedTasksKept = 1000

// News says what an update is worth.
type News int

const (
	// Fresh: it tells something new.
	Fresh News = iota
	// Repeated: the same update was heard before.
	Repeated
	// Stale: what it tells has been overtaken.
	Stale
)

// Task is what a Tracker knows of a task.
type Task struct {
	ID      string
	Name    string // "" if an earlier life of the scheduler launched it
	SlaveID string // "" if not known
	State   mesos.TaskState
	Status  *mesos.TaskStatus // the last news; nil before the first
}

// Tracker remembers each task's last state and tells news from repetition. NewTracker makes one.
type Tracker struct {
	tasks map[string]*tracked
	ended []string // in the order of their ends
}

type tracked struct {
	Task
	uuid  []byte // of the last update that had one
	acked bool   // uuid was acknowledged
	asked bool   // the author wants to hear the next answer whatever it says
	kill  *schedulerpb.Call_Kill
}

// NewTracker makes a Tracker that knows no task.
func NewTracker() *Tracker { return &Tracker{tasks: map[string]*tracked{}} }

// Get returns what is known of a task.
func (t *Tracker) Get(id string) (Task, bool) {
	task, ok := t.tasks[id]
	if !ok {
		return Task{}, false
	}
	return task.Task, true
}

// Live lists the tasks that have not ended, by id.
func (t *Tracker) Live() []Task {
	var live []Task
	for _, id := range sortedKeys(t.tasks) {
		if task := t.tasks[id]; !mesos.IsTerminal(task.State) {
			live = append(live, task.Task)
		}
	}
	return live
}

// launched notes a task that is about to be launched. An id may be used again when its task has ended.
func (t *Tracker) launched(info *mesos.TaskInfo) {
	id := info.GetTaskId().GetValue()
	t.ended = slices.DeleteFunc(t.ended, func(e string) bool { return e == id })
	t.tasks[id] = &tracked{Task: Task{
		ID: id, Name: info.GetName(), SlaveID: info.GetAgentId().GetValue(), State: mesos.TaskState_TASK_STAGING,
	}}
}

// update takes a status into the memory and says what it is worth.
func (t *Tracker) update(status *mesos.TaskStatus) News {
	id := status.GetTaskId().GetValue()
	task, known := t.tasks[id]
	if !known {
		task = &tracked{Task: Task{ID: id, State: mesos.TaskState_TASK_STAGING}, asked: true}
		t.tasks[id] = task
	}
	if news := task.weigh(status); news != Fresh {
		return news
	}
	if uuid := status.GetUuid(); len(uuid) > 0 {
		task.uuid, task.acked = uuid, false
	}
	task.State, task.Status, task.asked = status.GetState(), status, false
	if slave := status.GetAgentId().GetValue(); slave != "" {
		task.SlaveID = slave
	}
	if mesos.IsTerminal(task.State) {
		t.end(id)
	}
	return Fresh
}

// weigh compares a status with what is known. The states of a task come in the order of life, but the answer to a
// question may overtake an update that waits for its acknowledgement.
func (t *tracked) weigh(status *mesos.TaskStatus) News {
	if uuid := status.GetUuid(); len(uuid) > 0 && bytes.Equal(uuid, t.uuid) {
		return Repeated
	}
	now, then := age(status.GetState()), age(t.State)
	switch {
	case mesos.IsTerminal(t.State) && t.Status != nil:
		return Stale
	case now != unknown && now < then:
		return Stale
	case len(status.GetUuid()) == 0 && t.Status != nil && status.GetState() == t.State && !t.asked:
		return Repeated
	}
	return Fresh
}

// unknown is the age of the states that say nothing about how far a task got: it may come back from them.
const unknown = -1

func age(s mesos.TaskState) int {
	switch s {
	case mesos.TaskState_TASK_STAGING:
		return 0
	case mesos.TaskState_TASK_STARTING:
		return 1
	case mesos.TaskState_TASK_RUNNING:
		return 2
	case mesos.TaskState_TASK_KILLING:
		return 3
	case mesos.TaskState_TASK_UNREACHABLE, mesos.TaskState_TASK_UNKNOWN:
		return unknown
	}
	return 4
}

// end moves a task among those that are kept only for a while.
func (t *Tracker) end(id string) {
	t.ended = append(t.ended, id)
	for len(t.ended) > EndedTasksKept {
		delete(t.tasks, t.ended[0])
		t.ended = t.ended[1:]
	}
}

// acknowledge notes that an update is acknowledged; false if that had been done and it was not repeated since.
func (t *Tracker) acknowledge(id string, uuid []byte) bool {
	task, ok := t.tasks[id]
	if !ok || !bytes.Equal(task.uuid, uuid) {
		return true // a stale update's, or one that an earlier life of the scheduler had left open
	}
	first := !task.acked
	task.acked = true
	return first
}

func (t *Tracker) acknowledged(id string, uuid []byte) bool {
	task, ok := t.tasks[id]
	return ok && task.acked && bytes.Equal(task.uuid, uuid)
}
