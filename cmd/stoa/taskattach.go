package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos"
)

func newTaskAttach(std stdio) *cobra.Command {
	var flags taskFlags
	var fromStart, stdin bool
	command := &cobra.Command{
		Use:   "attach ID",
		Short: "Show what a task writes from now on, until it ends, and type into it",
		Long: `Shows what a task writes to its stdout and stderr from now on, each where it belongs, until the task ends
or Ctrl-C; the task does not notice. With -i it reads what is typed or piped here, if its stdin was kept open, as by
'stoa run --open_stdin'. Ctrl-D, or the end of the pipe, is the end of its stdin for good; after Ctrl-C somebody may attach again.
Into another task nothing can be typed: run a command beside its own with 'stoa task exec -it'.`,
		Example: `  stoa task attach server-0
  stoa task attach --from_start server-0
  stoa task attach -i console-0`,
		Args:              oneArg("task's id"),
		ValidArgsFunction: flags.completeRunning,
		RunE: func(command *cobra.Command, args []string) error {
			return flags.attach(command.Context(), std, args[0], fromStart, stdin)
		},
	}
	flags.addTask(command.Flags())
	command.Flags().BoolVarP(&stdin, "stdin", "i", false, "pass on what this program reads")
	command.Flags().BoolVar(&fromStart, "from_start", false, "also what the task has written before")
	return withSettings(command)
}

func (f *taskFlags) attach(ctx context.Context, std stdio, id string, fromStart, stdin bool) error {
	found, err := f.find(ctx, id, false)
	if err != nil {
		return err
	}
	defer found.master.Close()
	place, files, err := f.sandbox(found)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go watchEnd(ctx, std.err, found.master, found.task, ended)
	streams := map[string]io.Writer{"stdout": std.out, "stderr": std.err}
	from := map[string]sandbox.Position{}
	for file := range streams {
		if fromStart {
			continue
		}
		if from[file], err = files.End(ctx, place, file); err != nil {
			return interruptedOr(ctx, err)
		}
	}
	fmt.Fprintf(std.err, "stoa: attached to task %s; Ctrl-C ends that, and not the task\n", found.task.GetTaskId().GetValue())
	typed := make(chan error, 1)
	if stdin {
		go func() {
			err := f.typeInto(ctx, std.in, found)
			if err != nil {
				cancel()
			}
			typed <- err
		}()
	} else {
		typed <- nil
	}
	results := make(chan error, len(streams))
	for file, to := range streams {
		go func() {
			_, err := files.FollowFrom(ctx, to, place, file, from[file], ended)
			if err != nil {
				cancel() // one that can't be written is the end of both
			}
			results <- err
		}()
	}
	err = errors.Join(<-results, <-results)
	if failed := <-typed; failed != nil && !errors.Is(failed, context.Canceled) {
		return failed
	}
	switch {
	case errors.Is(err, sandbox.ErrNotFound):
		return fmt.Errorf("task %s has no output: it has not run, or its sandbox has been removed", id)
	case errors.Is(err, context.Canceled):
		return &exitError{code: exitInterrupted}
	case err != nil:
		return err
	}
	return f.attachedEnd(std, found)
}

// typeInto has a task read what this program reads, until the task ends or ctx does.
func (f *taskFlags) typeInto(ctx context.Context, in io.Reader, found *placedTask) error {
	slave, err := f.slaveClient(slaveAddress(found.slave))
	if err != nil {
		return err
	}
	defer slave.Close()
	task := found.task.GetTaskId().GetValue()
	if _, err = slave.Exec(ctx, client.Exec{Framework: found.task.GetFrameworkId().GetValue(), Task: task, Attach: true, Stdin: in}); err != nil {
		return fmt.Errorf("task %s: %w", task, err)
	}
	return nil
}

// attachedEnd tells how the task ended.
func (f *taskFlags) attachedEnd(std stdio, found *placedTask) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	t, err := findTask(ctx, found.master, found.task.GetTaskId().GetValue(), found.task.GetFrameworkId().GetValue(), true)
	if err != nil {
		return nil // forgotten since
	}
	message := ""
	if n := len(t.GetStatuses()); n > 0 {
		message = t.GetStatuses()[n-1].GetMessage()
	}
	if message != "" {
		message = ": " + message
	}
	fmt.Fprintf(std.err, "stoa: task %s is %s%s\n", t.GetTaskId().GetValue(), shortState(t.GetState().String()), message)
	if t.GetState() != mesos.TaskState_TASK_FINISHED {
		return &exitError{code: exitFailed}
	}
	return nil
}
