package core

import (
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
)

// history is what has ended and is kept for people to look at. Its entries are never changed.
type history struct {
	frameworks bounded[*CompletedFramework]
	executors  bounded[*CompletedExecutor]
	tasks      bounded[*CompletedTask]
	index      map[taskKey]bool // of tasks
}

type taskKey struct{ frameworkID, taskID string }

// CompletedFramework is a framework that had tasks or executors here.
type CompletedFramework struct {
	Info  *mesos.FrameworkInfo
	Ended time.Time
}

// CompletedExecutor is an executor that has ended.
type CompletedExecutor struct {
	FrameworkID, ExecutorID, ContainerID string

	Name, Source string
	Directory    string // its sandbox, which may have been removed since; empty: it had none
	Command      bool
	Ended        time.Time
}

// CompletedTask is a task whose end was acknowledged, or that nobody waits for any more.
type CompletedTask struct {
	FrameworkID, ExecutorID string

	Task  *mesos.Task
	Ended time.Time
}

func (h *history) addFramework(f *framework, now time.Time) {
	h.frameworks.add(&CompletedFramework{Info: f.info, Ended: now}, MaxCompletedFrameworks)
}

func (h *history) addExecutor(f *framework, ex *executor, now time.Time) {
	h.executors.add(&CompletedExecutor{
		FrameworkID: f.id, ExecutorID: ex.id, ContainerID: ex.containerID,
		Name: ex.info.GetName(), Source: ex.info.GetSource(),
		Directory: ex.directory, Command: ex.command, Ended: now,
	}, MaxCompletedExecutors)
}

func (h *history) addTask(t *task, slaveID string, now time.Time) {
	entry := &CompletedTask{FrameworkID: t.framework.id, ExecutorID: t.executorID, Task: t.toProto(slaveID), Ended: now}
	h.index[taskKey{t.framework.id, t.id}] = true
	if oldest, full := h.tasks.add(entry, MaxCompletedTasks); full {
		delete(h.index, taskKey{oldest.FrameworkID, oldest.Task.GetTaskId().GetValue()})
	}
}

// has says whether a task is known to have ended here.
func (h *history) has(frameworkID, taskID string) bool { return h.index[taskKey{frameworkID, taskID}] }

// bounded is a list that forgets its oldest entry when it is full.
type bounded[T any] struct{ entries []T }

// add appends an entry and returns the one that had to go for it, if any.
func (b *bounded[T]) add(entry T, limit int) (oldest T, full bool) {
	b.entries = append(b.entries, entry)
	if len(b.entries) <= limit {
		return oldest, false
	}
	var zero T
	oldest, b.entries[0] = b.entries[0], zero
	b.entries = b.entries[1:]
	return oldest, true
}
