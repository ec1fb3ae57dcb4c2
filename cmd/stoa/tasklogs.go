package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// followInterval is how often `task logs -f` asks whether the task has ended.
const followInterval = time.Second

func newTaskLogs(std stdio) *cobra.Command {
	var flags operatorFlags
	var frameworkID string
	var follow, stderr bool
	command := &cobra.Command{
		Use:   "logs ID",
		Short: "Show what a task has written",
		Example: `  stoa task logs hello-0
  stoa task logs -f --stderr hello-0`,
		Args: oneArg("task's id"),
		RunE: func(command *cobra.Command, args []string) error {
			ctx := command.Context()
			dialled, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			master, err := flags.dial(dialled)
			if err != nil {
				return err
			}
			defer master.Close()
			found, err := findTask(dialled, master, args[0], frameworkID, true)
			if err != nil {
				return err
			}
			place, err := sandboxOf(dialled, master, found)
			if err != nil {
				return err
			}
			files, err := flags.sandboxes(&place)
			if err != nil {
				return err
			}
			file := "stdout"
			if stderr {
				file = "stderr"
			}
			if follow {
				ended := make(chan struct{})
				go watchEnd(ctx, master, found, ended)
				_, err = files.Follow(ctx, std.out, place, file, ended)
			} else {
				ended := make(chan struct{})
				close(ended) // what is there now, predecessors first
				_, err = files.Follow(ctx, std.out, place, file, ended)
			}
			if ctx.Err() != nil {
				return &exitError{code: exitInterrupted}
			}
			if errors.Is(err, sandbox.ErrNotFound) {
				return fmt.Errorf("task %s has no %s: it has not run yet, or its sandbox has been removed", found.GetTaskId().GetValue(), file)
			}
			return err
		},
	}
	f := command.Flags()
	flags.addMaster(f)
	f.BoolVarP(&follow, "follow", "f", false, "go on until the task has ended")
	f.BoolVar(&stderr, "stderr", false, "standard error instead of standard output")
	f.StringVar(&frameworkID, "framework", "", "`ID` of the task's framework, where several have such a task")
	return withSettings(command)
}

// sandboxes is what reads sandboxes as the flags say. It completes the place.
func (f *operatorFlags) sandboxes(place *sandbox.Place) (sandbox.Client, error) {
	security, err := f.tls.client(wire.RoleOperator)
	if err != nil || security == nil {
		return sandbox.Client{}, err
	}
	place.Slave = "https" + strings.TrimPrefix(place.Slave, "http")
	return sandbox.Client{HTTP: &http.Client{Transport: &http.Transport{DialTLSContext: security.DialHTTP, DisableCompression: true}}}, nil
}

// sandboxOf finds where a task's output is served.
func sandboxOf(ctx context.Context, master *client.Client, t *mesos.Task) (sandbox.Place, error) {
	answer, err := master.Call(ctx, &masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()})
	if err != nil {
		return sandbox.Place{}, err
	}
	executor := t.GetExecutorId().GetValue()
	if executor == "" {
		executor = t.GetTaskId().GetValue() // a command task's executor has its name
	}
	for _, slave := range answer.GetGetAgents().GetAgents() {
		if slave.GetAgentInfo().GetId().GetValue() == t.GetAgentId().GetValue() {
			return sandbox.Place{
				Slave:   "http://" + slaveAddress(slave),
				SlaveID: t.GetAgentId().GetValue(), FrameworkID: t.GetFrameworkId().GetValue(),
				ExecutorID: executor, ContainerID: containerOf(t),
			}, nil
		}
	}
	return sandbox.Place{}, fmt.Errorf("slave %s of task %s has gone, and what the task wrote with it", t.GetAgentId().GetValue(), t.GetTaskId().GetValue())
}

func containerOf(t *mesos.Task) string {
	for _, status := range t.GetStatuses() {
		if id := status.GetContainerStatus().GetContainerId().GetValue(); id != "" {
			return id
		}
	}
	return ""
}

// slaveAddress is where a slave serves its sandboxes: what follows the @ of its pid, as Mesos writes it, and else its
// hostname.
func slaveAddress(slave *masterpb.Response_GetAgents_Agent) string {
	if _, address, found := strings.Cut(slave.GetPid(), "@"); found {
		return address
	}
	info := slave.GetAgentInfo()
	return net.JoinHostPort(info.GetHostname(), strconv.Itoa(int(info.GetPort())))
}

// watchEnd closes ended when the task does not run any more, or nobody knows it.
func watchEnd(ctx context.Context, master *client.Client, t *mesos.Task, ended chan<- struct{}) {
	defer close(ended)
	for {
		found, err := findTask(ctx, master, t.GetTaskId().GetValue(), t.GetFrameworkId().GetValue(), true)
		if err != nil || mesos.IsTerminal(found.GetState()) {
			return
		}
		select {
		case <-time.After(followInterval):
		case <-ctx.Done():
			return
		}
	}
}
