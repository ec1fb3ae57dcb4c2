package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func newFramework(std stdio) *cobra.Command {
	return group("framework", "The frameworks of a cluster", groupLook, newFrameworkList(std), newFrameworkTeardown(std))
}

// framework is a framework as --json shows it, with the names of Mesos's /frameworks.
type framework struct {
	ID               string   `json:"id"`
	Name             string   `json:"name"`
	User             string   `json:"user"`
	Roles            []string `json:"roles"`
	Principal        string   `json:"principal,omitempty"`
	WebuiURL         string   `json:"webui_url,omitempty"`
	Hostname         string   `json:"hostname"`
	FailoverTimeout  float64  `json:"failover_timeout"`
	Checkpoint       bool     `json:"checkpoint"`
	Active           bool     `json:"active"`
	Connected        bool     `json:"connected"`
	Recovered        bool     `json:"recovered"`
	RegisteredTime   float64  `json:"registered_time"`
	ReregisteredTime float64  `json:"reregistered_time,omitempty"`
	UnregisteredTime float64  `json:"unregistered_time"`
	UsedResources    amounts  `json:"used_resources"`
	OfferedResources amounts  `json:"offered_resources"`
	Completed        bool     `json:"completed"`
	Tasks            int      `json:"tasks"` // that have not ended
}

func newFrameworkList(std stdio) *cobra.Command {
	var flags operatorFlags
	var all bool
	command := &cobra.Command{
		Use:   "list",
		Short: "List the frameworks and what they use",
		Example: `  stoa framework list
  stoa framework list --all --json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_FRAMEWORKS, masterpb.Call_GET_TASKS)
			if err != nil {
				return err
			}
			frameworks := frameworkViews(answers[0].GetGetFrameworks(), answers[1].GetGetTasks(), all)
			if flags.json {
				return printJSON(std.out, frameworks)
			}
			var rows [][]string
			for _, f := range frameworks {
				rows = append(rows, []string{
					f.ID, f.Name, f.User, strings.Join(f.Roles, ","), f.state(), itoa(f.Tasks),
					f.UsedResources.number("cpus"), f.UsedResources.number("mem"), age(unixSeconds(f.RegisteredTime), time.Now()),
				})
			}
			return table(std.out, []string{"ID", "NAME", "USER", "ROLES", "STATE", "TASKS", "CPUS", "MEM (MB)", "AGE"}, rows)
		},
	}
	flags.add(command.Flags())
	command.Flags().BoolVar(&all, "all", false, "also those that have ended")
	return withSettings(command)
}

func (f *framework) state() string {
	switch {
	case f.Completed:
		return "ended"
	case f.Recovered:
		return "recovered"
	case !f.Connected:
		return "disconnected"
	case !f.Active:
		return "inactive"
	default:
		return "active"
	}
}

func frameworkViews(answer *masterpb.Response_GetFrameworks, tasks *masterpb.Response_GetTasks, all bool) []framework {
	running := map[string]int{}
	for _, task := range tasks.GetTasks() {
		running[task.GetFrameworkId().GetValue()]++
	}
	var shown []framework
	for _, f := range answer.GetFrameworks() {
		view := newFrameworkView(f)
		view.Tasks = running[view.ID]
		shown = append(shown, view)
	}
	if all {
		for _, f := range answer.GetCompletedFrameworks() {
			view := newFrameworkView(f)
			view.Completed = true
			shown = append(shown, view)
		}
	}
	return shown
}

func newFrameworkView(f *masterpb.Response_GetFrameworks_Framework) framework {
	info := f.GetFrameworkInfo()
	roles := info.GetRoles()
	if len(roles) == 0 {
		roles = []string{info.GetRole()}
	}
	return framework{
		ID: info.GetId().GetValue(), Name: info.GetName(), User: info.GetUser(), Roles: roles,
		Principal: info.GetPrincipal(), WebuiURL: info.GetWebuiUrl(), Hostname: info.GetHostname(),
		FailoverTimeout: info.GetFailoverTimeout(), Checkpoint: info.GetCheckpoint(),
		Active: f.GetActive(), Connected: f.GetConnected(), Recovered: f.GetRecovered(),
		RegisteredTime: secondsOf(f.GetRegisteredTime()), ReregisteredTime: secondsOf(f.GetReregisteredTime()), UnregisteredTime: secondsOf(f.GetUnregisteredTime()),
		UsedResources: newAmounts(f.GetAllocatedResources()), OfferedResources: newAmounts(f.GetOfferedResources()),
	}
}

func newFrameworkTeardown(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "teardown ID",
		Short: "End a framework and all of its tasks; it cannot come back",
		Example: `  stoa framework teardown 5f1c9a40-0003
  stoa framework teardown --json 5f1c9a40-0003`,
		Args:              oneArg("framework's id"),
		ValidArgsFunction: flags.completeFrameworks,
		RunE: func(command *cobra.Command, args []string) error {
			view := struct {
				ID string `json:"id"`
			}{args[0]}
			call := &masterpb.Call{Type: masterpb.Call_TEARDOWN.Enum(), Teardown: &masterpb.Call_Teardown{FrameworkId: mesos.NewFrameworkID(args[0])}}
			return flags.change(command.Context(), std, call, view, "Framework %s is torn down.", args[0])
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}
