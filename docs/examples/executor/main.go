// An executor of its own: one process per slave that runs many tasks. Each task is a number of seconds to wait.
package main

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/stoa-project/stoa/executor"
	"github.com/stoa-project/stoa/proto/mesos"
)

// waiter remembers the tasks that run, to be able to end them.
type waiter struct {
	executor.Base
	running map[string]executor.Timer
}

// Launch starts a task: it is over when its time has passed.
func (w *waiter) Launch(d *executor.Driver, task *mesos.TaskInfo) {
	id := task.GetTaskId().GetValue()
	seconds, err := strconv.ParseFloat(string(task.GetData()), 64)
	if err != nil {
		d.Ended(id, fmt.Errorf("the task's data must be a number of seconds: %w", err))
		return
	}
	d.Running(id)
	w.running[id] = d.After(time.Duration(seconds*float64(time.Second)), func() {
		delete(w.running, id)
		d.Ended(id, nil)
	})
}

// Kill ends a task at once.
func (w *waiter) Kill(d *executor.Driver, id string, _ *mesos.KillPolicy) {
	if timer, runs := w.running[id]; runs {
		timer.Cancel()
		delete(w.running, id)
		d.Killed(id)
	}
}

// Message answers what the framework's scheduler says.
func (w *waiter) Message(d *executor.Driver, data []byte) {
	d.Message(fmt.Appendf(nil, "%d tasks run; you said %q", len(w.running), data))
}

func main() {
	if err := executor.Run(context.Background(), executor.Options{}, &waiter{running: map[string]executor.Timer{}}); err != nil {
		log.Fatal(err)
	}
}
