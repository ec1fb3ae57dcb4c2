package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// findNode finds the one slave that is meant: by its id, by the end of its id, or by its hostname.
func (f *operatorFlags) findNode(ctx context.Context, name string) (*masterpb.Response_GetAgents_Agent, error) {
	answers, err := f.ask(ctx, masterpb.Call_GET_AGENTS)
	if err != nil {
		return nil, err
	}
	var found []*masterpb.Response_GetAgents_Agent
	for _, slave := range answers[0].GetGetAgents().GetAgents() {
		id, hostname := slave.GetAgentInfo().GetId().GetValue(), slave.GetAgentInfo().GetHostname()
		if id == name {
			return slave, nil
		}
		if hostname == name || strings.HasSuffix(id, "-"+name) {
			found = append(found, slave)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no slave that is registered has the id or the hostname %q; 'stoa node list' shows them", name)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d slaves are called %q, %s and %s among them: give the id", len(found), name,
		found[0].GetAgentInfo().GetId().GetValue(), found[1].GetAgentInfo().GetId().GetValue())
}

// nodeChange is a command that changes a slave.
func nodeChange(std stdio, use, short, example, done string, call func(*mesos.AgentID) (*masterpb.Call, error)) (*cobra.Command, *operatorFlags) {
	flags := &operatorFlags{}
	command := &cobra.Command{
		Use:               use + " NODE",
		Short:             short,
		Example:           example,
		Args:              oneArg("slave's id, the end of it as in S0, or its hostname"),
		ValidArgsFunction: flags.completeNodes,
		RunE: func(command *cobra.Command, args []string) error {
			id, err := flags.nodeID(command.Context(), args[0])
			if err != nil {
				return err
			}
			message, err := call(id)
			if err != nil {
				return err
			}
			view := struct {
				ID string `json:"id"`
			}{id.GetValue()}
			return flags.change(command.Context(), std, message, view, done, id.GetValue())
		},
	}
	flags.add(command.Flags())
	return command, flags
}

// nodeID is the id of the slave that is meant. One that is not registered now is known by its whole id only.
func (f *operatorFlags) nodeID(ctx context.Context, name string) (*mesos.AgentID, error) {
	slave, err := f.findNode(ctx, name)
	if err != nil {
		if strings.Contains(name, "-S") {
			return mesos.NewAgentID(name), nil
		}
		return nil, err
	}
	return slave.GetAgentInfo().GetId(), nil
}

func newNodeDeactivate(std stdio) *cobra.Command {
	command, _ := nodeChange(std, "deactivate", "Keep a slave from being offered; its tasks run on", "  stoa node deactivate S0",
		"Slave %s is not offered any more.", func(id *mesos.AgentID) (*masterpb.Call, error) {
			return &masterpb.Call{Type: masterpb.Call_DEACTIVATE_AGENT.Enum(), DeactivateAgent: &masterpb.Call_DeactivateAgent{AgentId: id}}, nil
		})
	return withSettings(command)
}

func newNodeReactivate(std stdio) *cobra.Command {
	command, _ := nodeChange(std, "reactivate", "Let a slave be offered again that was deactivated or drained", "  stoa node reactivate S0",
		"Slave %s is offered again.", func(id *mesos.AgentID) (*masterpb.Call, error) {
			return &masterpb.Call{Type: masterpb.Call_REACTIVATE_AGENT.Enum(), ReactivateAgent: &masterpb.Call_ReactivateAgent{AgentId: id}}, nil
		})
	return withSettings(command)
}

func newNodeGone(std stdio) *cobra.Command {
	command, _ := nodeChange(std, "gone", "Give a slave up: its tasks count as gone, and it can never come back", "  stoa node gone S0",
		"Slave %s is gone.", func(id *mesos.AgentID) (*masterpb.Call, error) {
			return &masterpb.Call{Type: masterpb.Call_MARK_AGENT_GONE.Enum(), MarkAgentGone: &masterpb.Call_MarkAgentGone{AgentId: id}}, nil
		})
	return withSettings(command)
}

func newNodeDrain(std stdio) *cobra.Command {
	var grace time.Duration
	var gone bool
	command, _ := nodeChange(std, "drain", "Empty a slave: it is not offered any more and its tasks end", `  stoa node drain S0
  stoa node drain --grace 1m --gone node17.example.com`,
		"Slave %s is being drained; 'stoa node list' shows when it is empty.", func(id *mesos.AgentID) (*masterpb.Call, error) {
			drain := &masterpb.Call_DrainAgent{AgentId: id, MarkGone: proto.Bool(gone)}
			if grace < 0 {
				return nil, usageError("--grace %v: it must not be below 0s", grace)
			}
			if grace > 0 {
				drain.MaxGracePeriod = durationpb.New(grace)
			}
			return &masterpb.Call{Type: masterpb.Call_DRAIN_AGENT.Enum(), DrainAgent: drain}, nil
		})
	command.Flags().DurationVar(&grace, "grace", 0, "the most time that a task gets to end by itself; 0s: as long as it asks for")
	command.Flags().BoolVar(&gone, "gone", false, "give the slave up when it is empty: it can never come back")
	return withSettings(command)
}

func newNodeShow(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "show NODE",
		Short: "Show a slave and the tasks on it",
		Example: `  stoa node show S0
  stoa node show --json node17.example.com`,
		Args:              oneArg("slave's id, the end of it as in S0, or its hostname"),
		ValidArgsFunction: flags.completeNodes,
		RunE: func(command *cobra.Command, args []string) error {
			slave, err := flags.findNode(command.Context(), args[0])
			if err != nil {
				return err
			}
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_TASKS)
			if err != nil {
				return err
			}
			view := struct {
				node
				Tasks []task `json:"tasks"`
			}{newNodeView(slave), []task{}}
			var rows [][]string
			for _, t := range answers[0].GetGetTasks().GetTasks() {
				if t.GetAgentId().GetValue() == view.ID {
					shown := newTaskView(t)
					view.Tasks = append(view.Tasks, shown)
					used := newAmounts(t.GetResources())
					rows = append(rows, []string{shown.ID, shown.FrameworkID, strings.TrimPrefix(t.GetState().String(), "TASK_"), used.number("cpus"), used.number("mem")})
				}
			}
			if flags.json {
				return printJSON(std.out, []any{view})
			}
			fmt.Fprintf(std.out, "%s at %s:%d, %s, %s\n", view.ID, view.Hostname, view.Port, view.state(), age(unixSeconds(view.RegisteredTime), time.Now()))
			for _, name := range []string{"cpus", "mem", "disk", "gpus"} {
				fmt.Fprintf(std.out, "  %-5s %s of %s used, %s offered\n", name, view.UsedResources.number(name), view.Resources.number(name), view.OfferedResources.number(name))
			}
			return table(std.out, []string{"TASK", "FRAMEWORK", "STATE", "CPUS", "MEM (MB)"}, rows)
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

// state is how a slave stands: active, or why it is not.
func (n *node) state() string {
	switch {
	case n.Draining != "":
		return n.Draining
	case n.Deactivated:
		return "deactivated"
	case !n.Active:
		return "disconnected"
	}
	return "active"
}
