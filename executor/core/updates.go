package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
)

// kept is an update that the slave has not acknowledged.
type kept struct {
	call *executorpb.Call_Update
	told Session // in which the slave was last told; 0: it was not
}

// CheckStatus says what an author may not tell, as an error that names the value, or nil.
func CheckStatus(status *mesos.TaskStatus) error {
	switch {
	case status.GetTaskId().GetValue() == "":
		return fmt.Errorf("an update must name its task")
	case status.State == nil || status.GetState() == mesos.TaskState_TASK_STAGING:
		return fmt.Errorf("an update of task %q has state %s, which an executor can't set", status.GetTaskId().GetValue(), status.GetState())
	}
	return nil
}

// update completes what the author tells of a task, keeps it, and tells it.
func (c *Core) update(now time.Time, status *mesos.TaskStatus) {
	if err := CheckStatus(status); err != nil {
		panic("executor core: " + err.Error()) // the shell checks first
	}
	if len(c.updates) >= MaxUnacknowledged {
		c.end(fmt.Errorf("%w: %d", ErrTooManyUpdates, len(c.updates)))
		return
	}
	status = proto.CloneOf(status)
	status.Uuid = c.nextUUID()
	status.Source = mesos.TaskStatus_SOURCE_EXECUTOR.Enum()
	status.ExecutorId = mesos.NewExecutorID(c.config.ExecutorID)
	if status.Timestamp == nil {
		status.Timestamp = proto.Float64(float64(now.UnixNano()) / float64(time.Second))
	}
	c.updates = append(c.updates, kept{call: &executorpb.Call_Update{Status: status}})
	if c.state == subscribed {
		c.tell(c.updates[len(c.updates)-1:])
	}
}

// tell says what the slave has not been told in this session.
func (c *Core) tell(updates []kept) {
	for i := range updates {
		if updates[i].told == c.session {
			continue
		}
		updates[i].told = c.session
		call := c.call(executorpb.Call_UPDATE)
		call.Update = updates[i].call
		c.emit(Send{Session: c.session, Call: call})
	}
}

func (c *Core) acknowledged(e *executorpb.Event_Acknowledged) {
	taskID := e.GetTaskId().GetValue()
	at := slices.IndexFunc(c.updates, func(k kept) bool {
		return k.call.GetStatus().GetTaskId().GetValue() == taskID && bytes.Equal(k.call.GetStatus().GetUuid(), e.GetUuid())
	})
	if at < 0 {
		return // a repetition
	}
	c.updates = slices.Delete(c.updates, at, at+1)
	c.tasks = slices.DeleteFunc(c.tasks, func(t *mesos.TaskInfo) bool { return t.GetTaskId().GetValue() == taskID })
	c.maybeEnd()
}

// message is best effort, as all messages of frameworks: without a slave it is gone.
func (c *Core) message(data []byte) {
	if c.state != subscribed {
		return
	}
	call := c.call(executorpb.Call_MESSAGE)
	call.Message = &executorpb.Call_Message{Data: data}
	c.emit(Send{Session: c.session, Call: call})
}

// nextUUID is 16 bytes: the incarnation and a counter.
func (c *Core) nextUUID() []byte {
	c.counter++
	uuid := binary.BigEndian.AppendUint64(nil, c.config.Incarnation)
	return binary.BigEndian.AppendUint64(uuid, c.counter)
}
