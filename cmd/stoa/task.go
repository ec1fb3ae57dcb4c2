package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func newTask(std stdio) *cobra.Command {
	return group("task", "The tasks of a cluster", groupLook, newTaskList(std), newTaskLogs(std), newTaskAttach(std), newTaskExec(std),
		newTaskLs(std), newTaskCat(std), newTaskDownload(std), newTaskStats(std), newTaskKill(std))
}

// task is a task as --json shows it, with the names of Mesos's /tasks.
type task struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	FrameworkID string            `json:"framework_id"`
	ExecutorID  string            `json:"executor_id"`
	SlaveID     string            `json:"slave_id"`
	State       string            `json:"state"`
	Role        string            `json:"role"`
	User        string            `json:"user,omitempty"`
	Resources   amounts           `json:"resources"`
	Labels      map[string]string `json:"labels,omitempty"`
	Statuses    []taskStatus      `json:"statuses"`
}

type taskStatus struct {
	State       string            `json:"state"`
	Timestamp   float64           `json:"timestamp"`
	Source      string            `json:"source,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Message     string            `json:"message,omitempty"`
	ContainerID string            `json:"container_id,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

func newTaskList(std stdio) *cobra.Command {
	var flags operatorFlags
	var all bool
	command := &cobra.Command{
		Use:   "list",
		Short: "List the tasks that have not ended",
		Example: `  stoa task list
  stoa task list --all
  stoa task list --all --json | jq -r '.[] | select(.state=="TASK_FAILED") | .id'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_TASKS)
			if err != nil {
				return err
			}
			var views []task
			for _, t := range listedTasks(answers[0].GetGetTasks(), all) {
				views = append(views, newTaskView(t))
			}
			if flags.json {
				return printJSON(std.out, views)
			}
			var rows [][]string
			for _, t := range views {
				rows = append(rows, t.row())
			}
			return table(std.out, []string{"ID", "NAME", "STATE", "NODE", "CPUS", "MEM (MB)", "AGE", "MESSAGE"}, rows)
		},
	}
	flags.add(command.Flags())
	command.Flags().BoolVar(&all, "all", false, "also those that have ended, as far as the master remembers")
	return withSettings(command)
}

func (t *task) row() []string {
	since, message := "-", ""
	if n := len(t.Statuses); n > 0 {
		since = age(unixSeconds(t.Statuses[n-1].Timestamp), time.Now())
		message = t.Statuses[n-1].told()
	}
	return []string{t.ID, t.Name, shortState(t.State), t.SlaveID, t.Resources.number("cpus"), t.Resources.number("mem"), since, orDash(message)}
}

// shortState is a state as tables show it: TASK_RUNNING as RUNNING.
func shortState(state string) string { return strings.TrimPrefix(state, "TASK_") }

func listedTasks(answer *masterpb.Response_GetTasks, all bool) []*mesos.Task {
	tasks := append(append([]*mesos.Task(nil), answer.GetTasks()...), answer.GetUnreachableTasks()...)
	if all {
		tasks = append(tasks, answer.GetCompletedTasks()...)
	}
	return tasks
}

func newTaskView(t *mesos.Task) task {
	view := task{
		ID: t.GetTaskId().GetValue(), Name: t.GetName(), FrameworkID: t.GetFrameworkId().GetValue(), ExecutorID: t.GetExecutorId().GetValue(),
		SlaveID: t.GetAgentId().GetValue(), State: t.GetState().String(), User: t.GetUser(),
		Resources: newAmounts(t.GetResources()), Labels: mesos.LabelMap(t.GetLabels()), Statuses: []taskStatus{},
	}
	for _, resource := range t.GetResources() {
		view.Role = resource.GetAllocationInfo().GetRole()
	}
	for _, s := range t.GetStatuses() {
		view.Statuses = append(view.Statuses, newStatusView(s))
	}
	return view
}

func newStatusView(s *mesos.TaskStatus) taskStatus {
	view := taskStatus{
		State: s.GetState().String(), Timestamp: s.GetTimestamp(), Message: s.GetMessage(),
		ContainerID: s.GetContainerStatus().GetContainerId().GetValue(), Labels: mesos.LabelMap(s.GetLabels()),
	}
	if s.Source != nil {
		view.Source = s.GetSource().String()
	}
	if s.Reason != nil {
		view.Reason = s.GetReason().String()
	}
	return view
}

func newTaskKill(std stdio) *cobra.Command {
	var flags operatorFlags
	var frameworkID string
	command := &cobra.Command{
		Use:   "kill ID",
		Short: "End a task; its framework is told",
		Example: `  stoa task kill sleep-0
  stoa task kill --framework 5f1c9a40-0003 sleep-0`,
		Args:              oneArg("task's id"),
		ValidArgsFunction: flags.completeRunning,
		RunE: func(command *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(command.Context(), connectTimeout)
			defer cancel()
			master, err := flags.dial(ctx)
			if err != nil {
				return err
			}
			defer master.Close()
			found, err := findTask(ctx, master, args[0], frameworkID, false)
			if err != nil {
				return err
			}
			if err := master.KillTask(ctx, found.GetFrameworkId(), found.GetTaskId()); err != nil {
				return err
			}
			if flags.json {
				return printJSON(std.out, []task{newTaskView(found)})
			}
			fmt.Fprintf(std.out, "Task %s is being killed.\n", found.GetTaskId().GetValue())
			return nil
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&frameworkID, "framework", "", "`ID` of the task's framework, where several have such a task")
	return withSettings(command)
}

// findTask finds the one task whose id is id or, failing that, starts with it. One that runs goes before those that have ended.
func findTask(ctx context.Context, master *client.Client, id, frameworkID string, all bool) (*mesos.Task, error) {
	answer, err := master.Call(ctx, &masterpb.Call{Type: masterpb.Call_GET_TASKS.Enum()})
	if err != nil {
		return nil, err
	}
	found := tasksOf(listedTasks(answer.GetGetTasks(), all), id, frameworkID)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if all {
			return nil, fmt.Errorf("%w %q; 'stoa task list --all' shows those that the master remembers", errUnknownTask, id)
		}
		return nil, fmt.Errorf("%w %q runs; 'stoa task list' shows those that do", errUnknownTask, id)
	default:
		return nil, fmt.Errorf("%q can be %d tasks: %s; give a whole id, and --framework if several frameworks have it", id, len(found), taskNames(found))
	}
}

// tasksOf are the tasks that an id can mean.
func tasksOf(tasks []*mesos.Task, id, frameworkID string) []*mesos.Task {
	var exact, prefixed []*mesos.Task
	for _, t := range tasks {
		if frameworkID != "" && t.GetFrameworkId().GetValue() != frameworkID {
			continue
		}
		if t.GetTaskId().GetValue() == id {
			exact = append(exact, t)
		} else if strings.HasPrefix(t.GetTaskId().GetValue(), id) {
			prefixed = append(prefixed, t)
		}
	}
	found := exact
	if len(found) == 0 {
		found = prefixed
	}
	running := slices.DeleteFunc(slices.Clone(found), func(t *mesos.Task) bool { return mesos.IsTerminal(t.GetState()) })
	if len(running) == 1 {
		return running
	}
	return found
}

// errUnknownTask is wrapped by findTask's error if there is no such task.
var errUnknownTask = errors.New("no task")

// maxNamedTasks is how many tasks an error names.
const maxNamedTasks = 5

func taskNames(tasks []*mesos.Task) string {
	var names []string
	for i, t := range tasks {
		if i == maxNamedTasks {
			names = append(names, "…")
			break
		}
		names = append(names, t.GetTaskId().GetValue()+" of framework "+t.GetFrameworkId().GetValue())
	}
	return strings.Join(names, ", ")
}
