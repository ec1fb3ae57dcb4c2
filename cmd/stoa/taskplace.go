package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// taskFlags are those of commands about one task, where it runs.
type taskFlags struct {
	operatorFlags
	framework string
}

func (f *taskFlags) addTask(flags *pflag.FlagSet) {
	f.addMaster(flags)
	flags.StringVar(&f.framework, "framework", "", "`ID` of the task's framework, where several have such a task")
}

// placedTask is a task, the slave that it is on, and its master's client, which is to be closed.
type placedTask struct {
	master *client.Client
	task   *mesos.Task
	slave  *masterpb.Response_GetAgents_Agent
}

// find finds a task and its slave. With all it may have ended.
func (f *taskFlags) find(ctx context.Context, id string, all bool) (*placedTask, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	master, err := f.dial(ctx)
	if err != nil {
		return nil, err
	}
	placed := &placedTask{master: master}
	if placed.task, err = findTask(ctx, master, id, f.framework, all); err != nil && !all {
		if ended, known := findTask(ctx, master, id, f.framework, true); known == nil {
			placed.task, err = ended, nil
		}
	}
	switch {
	case err != nil:
	case !all && mesos.IsTerminal(placed.task.GetState()):
		err = fmt.Errorf("task %s has ended: it is %v", placed.task.GetTaskId().GetValue(), placed.task.GetState())
	default:
		placed.slave, err = slaveOf(ctx, master, placed.task)
	}
	if err != nil {
		master.Close()
		return nil, err
	}
	return placed, nil
}

// slaveOf finds the slave that a task is on.
func slaveOf(ctx context.Context, master *client.Client, t *mesos.Task) (*masterpb.Response_GetAgents_Agent, error) {
	answer, err := master.Call(ctx, &masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()})
	if err != nil {
		return nil, err
	}
	for _, slave := range answer.GetGetAgents().GetAgents() {
		if slave.GetAgentInfo().GetId().GetValue() == t.GetAgentId().GetValue() {
			return slave, nil
		}
	}
	return nil, fmt.Errorf("slave %s of task %s has gone, and what the task wrote with it", t.GetAgentId().GetValue(), t.GetTaskId().GetValue())
}

// sandbox is where the task's files are served, and what reads them.
func (f *taskFlags) sandbox(p *placedTask) (sandbox.Place, sandbox.Client, error) {
	place := sandboxAt(p.task, p.slave)
	files, err := f.sandboxes(&place)
	return place, files, err
}

// sandboxAt is where a task's files are served.
func sandboxAt(t *mesos.Task, slave *masterpb.Response_GetAgents_Agent) sandbox.Place {
	executor := t.GetExecutorId().GetValue()
	if executor == "" {
		executor = t.GetTaskId().GetValue() // a command task's executor has its name
	}
	return sandbox.Place{
		Slave:   "http://" + slaveAddress(slave),
		SlaveID: t.GetAgentId().GetValue(), FrameworkID: t.GetFrameworkId().GetValue(),
		ExecutorID: executor, ContainerID: containerOf(t),
	}
}

// slaveClient makes a client of a slave, which is connected with its first question.
func (f *operatorFlags) slaveClient(address string) (*client.Client, error) {
	security, err := f.tls.client(wire.RoleOperator)
	if err != nil {
		return nil, err
	}
	return client.Connect(client.Options{TLS: security, Slave: true}, address)
}
