// An executor that says as much at a time as its task's data want: "messages N BYTES FILE" or "updates N BYTES FILE", as soon as
// the file is there; then the task has ended. With other data the task runs until it is killed.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/executor"
	"github.com/stoa-project/stoa/proto/mesos"
)

type flood struct{ executor.Base }

// Launch starts a task.
func (f *flood) Launch(d *executor.Driver, task *mesos.TaskInfo) {
	id := task.GetTaskId().GetValue()
	d.Running(id)
	var what, file string
	var count, size int
	if n, _ := fmt.Sscan(string(bytes.TrimRight(task.GetData(), "\x00")), &what, &count, &size, &file); n != 4 {
		return
	}
	var wait func()
	wait = func() {
		if _, err := os.Stat(file); err != nil {
			d.After(10*time.Millisecond, wait)
			return
		}
		for range count {
			if what == "messages" {
				d.Message(make([]byte, size))
			} else {
				d.Update(&mesos.TaskStatus{TaskId: task.GetTaskId(), State: mesos.TaskState_TASK_RUNNING.Enum(), Message: proto.String("more"), Data: make([]byte, size)})
			}
		}
		d.Ended(id, nil)
	}
	wait()
}

// Kill ends a task at once.
func (f *flood) Kill(d *executor.Driver, id string, _ *mesos.KillPolicy) { d.Killed(id) }

func main() {
	if err := executor.Run(context.Background(), executor.Options{}, &flood{}); err != nil {
		log.Fatal(err)
	}
}
