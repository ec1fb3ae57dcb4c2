package core

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

const (
	// ReconcileFirst is how long a question about tasks may stay unanswered before it is asked again. A master that
	// has just been born stays silent about the tasks of slaves that have not come back to it yet.
	ReconcileFirst = 5 * time.Second
	// ReconcileLongest bounds that wait, which doubles from ReconcileFirst.
	ReconcileLongest = time.Minute
)

// reconciliation is the question about tasks that follows an outage. It is repeated until each has been heard of.
type reconciliation struct {
	open map[string]bool // task ids
	at   time.Time       // of the next repetition; zero for none
	wait time.Duration
}

// update takes news of a task: what is new goes to the author, what carries a uuid is acknowledged.
func (c *Core) update(status *mesos.TaskStatus) {
	id := status.GetTaskId().GetValue()
	delete(c.reconcile.open, id)
	if len(c.reconcile.open) == 0 {
		c.reconcile.at = time.Time{}
	}
	news := c.tracker.update(status)
	if news == Fresh {
		c.emit(Updated{Status: status})
	}
	if len(status.GetUuid()) == 0 || status.GetAgentId() == nil {
		return // nobody waits for an acknowledgement
	}
	// An author who acknowledges by hand has not yet decided on what is fresh or was repeated before the decision; what
	// the author will never see, and what is repeated because the acknowledgement got lost, is ours.
	if c.config.ManualAcknowledge && news != Stale && !c.tracker.acknowledged(id, status.GetUuid()) {
		return
	}
	c.tracker.acknowledge(id, status.GetUuid())
	c.sendIfConnected(&schedulerpb.Call{
		Type: schedulerpb.Call_ACKNOWLEDGE.Enum(),
		Acknowledge: &schedulerpb.Call_Acknowledge{
			AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid(),
		},
	})
}

// catchUp finds out what was missed: by name after an outage, by asking for everything if an earlier life of the
// scheduler had tasks that this one does not know.
func (c *Core) catchUp(now time.Time, again, returning bool) {
	switch {
	case again:
		c.killAgain()
		c.reconcile = reconciliation{open: map[string]bool{}, wait: ReconcileFirst}
		for _, t := range c.tracker.Live() {
			c.reconcile.open[t.ID] = true
		}
		c.askOpen(now)
	case returning:
		c.send(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: &schedulerpb.Call_Reconcile{}})
	}
}

func (c *Core) killAgain() {
	for _, t := range c.tracker.Live() {
		if kill := c.tracker.tasks[t.ID].kill; kill != nil {
			c.send(&schedulerpb.Call{Type: schedulerpb.Call_KILL.Enum(), Kill: kill})
		}
	}
}

func (c *Core) maybeReconcileAgain(now time.Time) {
	if due(c.reconcile.at, now) {
		c.reconcile.wait = min(2*c.reconcile.wait, ReconcileLongest)
		c.askOpen(now)
	}
}

// askOpen asks about the tasks that nothing was heard of since the outage.
func (c *Core) askOpen(now time.Time) {
	if len(c.reconcile.open) == 0 {
		c.reconcile.at = time.Time{}
		return
	}
	reconcile := &schedulerpb.Call_Reconcile{}
	for _, id := range sortedKeys(c.reconcile.open) {
		question := &schedulerpb.Call_Reconcile_Task{TaskId: &mesos.TaskID{Value: proto.String(id)}}
		if slave := c.tracker.tasks[id].SlaveID; slave != "" {
			question.AgentId = &mesos.AgentID{Value: proto.String(slave)}
		}
		reconcile.Tasks = append(reconcile.Tasks, question)
	}
	c.send(&schedulerpb.Call{Type: schedulerpb.Call_RECONCILE.Enum(), Reconcile: reconcile})
	c.reconcile.at = now.Add(c.reconcile.wait)
}

// wantAnswers notes the tasks that the author asks about: the next answer is news even if it repeats what is known.
func (c *Core) wantAnswers(reconcile *schedulerpb.Call_Reconcile) {
	if len(reconcile.GetTasks()) == 0 {
		for _, t := range c.tracker.Live() {
			c.tracker.tasks[t.ID].asked = true
		}
	}
	for _, q := range reconcile.GetTasks() {
		if t, ok := c.tracker.tasks[q.GetTaskId().GetValue()]; ok {
			t.asked = true
		}
	}
}
