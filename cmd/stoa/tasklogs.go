package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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

const (
	// followInterval is how often `task logs -f` asks whether the task has ended.
	followInterval = time.Second
	// followPatience is how long the master may not know the task: one that was restarted learns of it from its slave.
	followPatience = 15 * time.Second
)

func newTaskLogs(std stdio) *cobra.Command {
	var flags taskFlags
	var follow, stderr bool
	command := &cobra.Command{
		Use:   "logs ID",
		Short: "Show what a task has written",
		Example: `  stoa task logs hello-0
  stoa task logs -f --stderr hello-0`,
		Args:              oneArg("task's id"),
		ValidArgsFunction: flags.completeTasks,
		RunE: func(command *cobra.Command, args []string) error {
			ctx := command.Context()
			found, err := flags.find(ctx, args[0], true)
			if err != nil {
				return err
			}
			defer found.master.Close()
			place, files, err := flags.sandbox(found)
			if err != nil {
				return err
			}
			file := "stdout"
			if stderr {
				file = "stderr"
			}
			ended := make(chan struct{})
			if follow {
				go watchEnd(ctx, std.err, found.master, found.task, ended)
			} else {
				close(ended) // what is there now, predecessors first
			}
			_, err = files.Follow(ctx, std.out, place, file, ended)
			if ctx.Err() != nil {
				return &exitError{code: exitInterrupted}
			}
			if errors.Is(err, sandbox.ErrNotFound) {
				return fmt.Errorf("task %s has no %s: it has not run yet, or its sandbox has been removed", found.task.GetTaskId().GetValue(), file)
			}
			return err
		},
	}
	f := command.Flags()
	flags.addTask(f)
	f.BoolVarP(&follow, "follow", "f", false, "go on until the task has ended")
	f.BoolVar(&stderr, "stderr", false, "standard error instead of standard output")
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

// watchEnd closes ended when the task does not run any more, or nobody knows it. While there is no master it says so, once, and
// goes on.
func watchEnd(ctx context.Context, notes io.Writer, master *client.Client, t *mesos.Task, ended chan<- struct{}) {
	defer close(ended)
	var unknownSince time.Time
	away := false
	for {
		found, err := findTask(ctx, master, t.GetTaskId().GetValue(), t.GetFrameworkId().GetValue(), true)
		switch {
		case ctx.Err() != nil || err == nil && mesos.IsTerminal(found.GetState()):
			return
		case err == nil:
			unknownSince, away = time.Time{}, false
		case errors.Is(err, errUnknownTask):
			away = false
			if unknownSince.IsZero() {
				unknownSince = time.Now()
			} else if time.Since(unknownSince) > followPatience {
				return
			}
		case !away:
			away = true
			fmt.Fprintf(notes, "stoa: %v; the task is followed all the same\n", err)
		}
		select {
		case <-time.After(followInterval):
		case <-ctx.Done():
			return
		}
	}
}
