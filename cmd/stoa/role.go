package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func newRole(std stdio) *cobra.Command {
	return group("role", "The roles that share a cluster", groupLook, newRoleList(std))
}

// role is a role as --json shows it, with the names of Mesos's /roles.
type role struct {
	Name       string   `json:"name"`
	Weight     float64  `json:"weight"`
	Frameworks []string `json:"frameworks"`
	Resources  amounts  `json:"resources"`
}

func newRoleList(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "list",
		Short: "List the roles, their weights and what they use",
		Example: `  stoa role list
  stoa role list --json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_ROLES)
			if err != nil {
				return err
			}
			var roles []role
			var rows [][]string
			for _, r := range answers[0].GetGetRoles().GetRoles() {
				view := role{Name: r.GetName(), Weight: r.GetWeight(), Frameworks: []string{}, Resources: newAmounts(r.GetResources())}
				for _, id := range r.GetFrameworks() {
					view.Frameworks = append(view.Frameworks, id.GetValue())
				}
				roles = append(roles, view)
				rows = append(rows, []string{view.Name, strconv.FormatFloat(view.Weight, 'g', -1, 64), itoa(len(view.Frameworks)), view.Resources.number("cpus"), view.Resources.number("mem")})
			}
			if flags.json {
				return printJSON(std.out, roles)
			}
			return table(std.out, []string{"ROLE", "WEIGHT", "FRAMEWORKS", "CPUS", "MEM (MB)"}, rows)
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

func itoa(n int) string { return strconv.Itoa(n) }
