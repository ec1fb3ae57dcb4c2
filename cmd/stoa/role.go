package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
)

func newRole(std stdio) *cobra.Command {
	return group("role", "The roles that share a cluster", groupLook, newRoleList(std), newRoleTree(std), newRolePlot(std))
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

// roleBranch is a role with those below it.
type roleBranch struct {
	role
	Quota *quota        `json:"quota,omitempty"`
	Below []*roleBranch `json:"below"`
}

func newRoleTree(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "tree",
		Short: "Show the tree of roles; each holds what those below it hold",
		Example: `  stoa role tree
  stoa role tree --json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_ROLES, masterpb.Call_GET_QUOTA)
			if err != nil {
				return err
			}
			roots := roleTree(answers[0].GetGetRoles().GetRoles(), answers[1].GetGetQuota().GetStatus().GetConfigs())
			if flags.json {
				return printJSON(std.out, roots)
			}
			var rows [][]string
			for _, root := range roots {
				rows = root.rows(rows, 0)
			}
			return table(std.out, []string{"ROLE", "WEIGHT", "FRAMEWORKS", "CPUS", "MEM (MB)", "GUARANTEED", "AT MOST"}, rows)
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

// roleTree puts roles below those that their names begin with.
func roleTree(roles []*mesos.Role, quotas []*quotapb.QuotaConfig) []*roleBranch {
	var roots []*roleBranch
	known := map[string]*roleBranch{}
	var branch func(name string) *roleBranch
	branch = func(name string) *roleBranch {
		if b := known[name]; b != nil {
			return b
		}
		b := &roleBranch{role: role{Name: name, Weight: 1, Frameworks: []string{}, Resources: newAmounts(nil)}, Below: []*roleBranch{}}
		known[name] = b
		if i := strings.LastIndexByte(name, '/'); i > 0 {
			parent := branch(name[:i])
			parent.Below = append(parent.Below, b)
		} else {
			roots = append(roots, b)
		}
		return b
	}
	held := map[string][]*mesos.Resource{}
	for _, r := range roles {
		b := branch(r.GetName())
		b.Weight = r.GetWeight()
		for _, id := range r.GetFrameworks() {
			b.Frameworks = append(b.Frameworks, id.GetValue())
		}
		for name := r.GetName(); name != ""; name = name[:max(0, strings.LastIndexByte(name, '/'))] {
			held[name] = append(held[name], r.GetResources()...)
		}
	}
	for name, b := range known {
		b.Resources = newAmounts(held[name])
	}
	for _, config := range quotas {
		if b := known[config.GetRole()]; b != nil {
			view := newQuotaView(config)
			b.Quota = &view
		}
	}
	return roots
}

func (b *roleBranch) rows(rows [][]string, depth int) [][]string {
	guaranteed, limit := "-", "-"
	if b.Quota != nil {
		guaranteed, limit = amountList(b.Quota.Guarantees), amountList(b.Quota.Limits)
	}
	name := b.Name[strings.LastIndexByte(b.Name, '/')+1:]
	rows = append(rows, []string{
		strings.Repeat("  ", depth) + name, strconv.FormatFloat(b.Weight, 'g', -1, 64), itoa(len(b.Frameworks)),
		b.Resources.number("cpus"), b.Resources.number("mem"), guaranteed, limit,
	})
	for _, below := range b.Below {
		rows = below.rows(rows, depth+1)
	}
	return rows
}
