package core

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Change is one thing that a slave must remember. Changes are applied to a Checkpoint in the order in which they
// were asked for.
type Change interface{ change() }

// SlaveAdmitted remembers that a master gave this slave its id.
type SlaveAdmitted struct{ SlaveID, ClusterID string }

// TaskAccepted remembers a task, its framework as it is now, and the executor that is to run it.
type TaskAccepted struct {
	Framework *mesos.FrameworkInfo
	Executor  ExecutorRecord
	Task      *mesos.TaskInfo
}

// ExecutorRecord is what is remembered of an executor.
type ExecutorRecord struct {
	Info        *mesos.ExecutorInfo
	ContainerID string
	Command     bool // the built-in command executor
}

// UpdateStored remembers an update that nobody has acknowledged yet.
type UpdateStored struct {
	FrameworkID string
	Status      *mesos.TaskStatus // with uuid
}

// UpdateAcknowledged ends the oldest update of a task. If that was terminal the task is forgotten.
type UpdateAcknowledged struct {
	FrameworkID, TaskID string
	UUID                []byte
}

// ExecutorForgotten remembers that an executor has ended. Its tasks stay until their updates are acknowledged.
type ExecutorForgotten struct{ FrameworkID, ExecutorID, ContainerID string }

// ResourcesConverted remembers what operations have made of the slave's resources: all of it, in the place of what was
// remembered before. With it goes the operation that did so last, if somebody waits for its end.
type ResourcesConverted struct {
	Resources []*mesos.Resource
	Operation OperationKey
	Status    *mesos.OperationStatus // nil: nobody waits
}

// OperationForgotten remembers that the end of an operation is known to its framework.
type OperationForgotten struct{ Operation OperationKey }

// FrameworkForgotten forgets a framework with all its tasks and executors.
type FrameworkForgotten struct{ FrameworkID string }

func (SlaveAdmitted) change()      {}
func (TaskAccepted) change()       {}
func (UpdateStored) change()       {}
func (UpdateAcknowledged) change() {}
func (ResourcesConverted) change() {}
func (OperationForgotten) change() {}
func (ExecutorForgotten) change()  {}
func (FrameworkForgotten) change() {}

// Checkpoint is all that a slave remembers. The zero value is that of a slave that has never run.
type Checkpoint struct {
	SlaveID, ClusterID string // empty before the first registration

	Frameworks map[string]*FrameworkRecord // by id

	Resources  []*mesos.Resource // what operations have made of the slave's own
	Operations []OperationRecord // whose end is not acknowledged
}

// OperationRecord is what is remembered of an operation.
type OperationRecord struct {
	Operation OperationKey
	Status    *mesos.OperationStatus
}

// FrameworkRecord is what is remembered of a framework.
type FrameworkRecord struct {
	Info      *mesos.FrameworkInfo
	Executors map[string]ExecutorRecord // by executor id: those that have not ended
	Tasks     map[string]*TaskRecord    // by task id
}

// TaskRecord is what is remembered of a task.
type TaskRecord struct {
	Info       *mesos.TaskInfo
	ExecutorID string
	Command    bool
	Latest     *mesos.TaskStatus   // nil: no update yet
	Updates    []*mesos.TaskStatus // unacknowledged, oldest first
}

// Apply makes one change. A change that contradicts what is remembered is an error: the checkpoint is damaged.
func (c *Checkpoint) Apply(change Change) error {
	switch ch := change.(type) {
	case SlaveAdmitted:
		c.SlaveID, c.ClusterID = ch.SlaveID, ch.ClusterID
		return nil
	case TaskAccepted:
		return c.acceptTask(ch)
	case UpdateStored:
		return c.storeUpdate(ch)
	case UpdateAcknowledged:
		return c.acknowledge(ch)
	case ExecutorForgotten:
		// The framework may have been forgotten before its last executor ended.
		if f := c.Frameworks[ch.FrameworkID]; f != nil && f.Executors[ch.ExecutorID].ContainerID == ch.ContainerID {
			delete(f.Executors, ch.ExecutorID)
		}
		return nil
	case ResourcesConverted:
		c.Resources = ch.Resources
		if ch.Status != nil {
			c.Operations = append(c.Operations, OperationRecord{ch.Operation, ch.Status})
		}
		return nil
	case OperationForgotten:
		c.Operations = slices.DeleteFunc(c.Operations, func(record OperationRecord) bool { return record.Operation == ch.Operation })
		return nil
	case FrameworkForgotten:
		delete(c.Frameworks, ch.FrameworkID)
		return nil
	default:
		panic(fmt.Sprintf("slave checkpoint: no rule for change %T", change))
	}
}

func (c *Checkpoint) acceptTask(ch TaskAccepted) error {
	id, taskID := ch.Framework.GetId().GetValue(), ch.Task.GetTaskId().GetValue()
	if c.Frameworks == nil {
		c.Frameworks = map[string]*FrameworkRecord{}
	}
	f := c.Frameworks[id]
	if f == nil {
		f = &FrameworkRecord{Executors: map[string]ExecutorRecord{}, Tasks: map[string]*TaskRecord{}}
		c.Frameworks[id] = f
	}
	if f.Tasks[taskID] != nil {
		return fmt.Errorf("task %q of framework %q was accepted before", taskID, id)
	}
	executorID := ch.Executor.Info.GetExecutorId().GetValue()
	f.Info = ch.Framework
	f.Executors[executorID] = ch.Executor
	f.Tasks[taskID] = &TaskRecord{Info: ch.Task, ExecutorID: executorID, Command: ch.Executor.Command}
	return nil
}

func (c *Checkpoint) storeUpdate(ch UpdateStored) error {
	t, err := c.task(ch.FrameworkID, ch.Status.GetTaskId().GetValue())
	if err != nil {
		return err
	}
	t.Latest = ch.Status
	t.Updates = append(t.Updates, ch.Status)
	return nil
}

func (c *Checkpoint) acknowledge(ch UpdateAcknowledged) error {
	t, err := c.task(ch.FrameworkID, ch.TaskID)
	if err != nil {
		return err
	}
	if len(t.Updates) == 0 || !slices.Equal(t.Updates[0].GetUuid(), ch.UUID) {
		return fmt.Errorf("acknowledged update %x is not the oldest of task %q of framework %q", ch.UUID, ch.TaskID, ch.FrameworkID)
	}
	terminal := mesos.IsTerminal(t.Updates[0].GetState())
	if t.Updates = t.Updates[1:]; terminal {
		delete(c.Frameworks[ch.FrameworkID].Tasks, ch.TaskID)
	}
	return nil
}

func (c *Checkpoint) task(frameworkID, taskID string) (*TaskRecord, error) {
	f := c.Frameworks[frameworkID]
	if f == nil || f.Tasks[taskID] == nil {
		return nil, fmt.Errorf("task %q of framework %q is not in the checkpoint", taskID, frameworkID)
	}
	return f.Tasks[taskID], nil
}

// Clone returns a copy that shares only messages, which nobody changes.
func (c Checkpoint) Clone() Checkpoint {
	frameworks := make(map[string]*FrameworkRecord, len(c.Frameworks))
	for id, f := range c.Frameworks {
		copied := &FrameworkRecord{
			Info:      f.Info,
			Executors: make(map[string]ExecutorRecord, len(f.Executors)),
			Tasks:     make(map[string]*TaskRecord, len(f.Tasks)),
		}
		for id, e := range f.Executors {
			copied.Executors[id] = e
		}
		for id, t := range f.Tasks {
			task := *t
			task.Updates = slices.Clone(t.Updates)
			copied.Tasks[id] = &task
		}
		frameworks[id] = copied
	}
	c.Frameworks = frameworks
	c.Operations = slices.Clone(c.Operations)
	return c
}

// clone copies a message of any type.
func clone[M proto.Message](m M) M { return proto.Clone(m).(M) }
