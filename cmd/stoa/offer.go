package main

import (
	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func newOffer(std stdio) *cobra.Command {
	return group("offer", "What frameworks are offered and have not answered", groupLook, newOfferList(std))
}

// offer is an offer as --json shows it, with the names of Mesos's /frameworks.
type offer struct {
	ID          string  `json:"id"`
	FrameworkID string  `json:"framework_id"`
	SlaveID     string  `json:"slave_id"`
	Hostname    string  `json:"hostname"`
	Resources   amounts `json:"resources"`
}

func newOfferList(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "list",
		Short: "List the offers that are open",
		Example: `  stoa offer list
  stoa offer list --json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_FRAMEWORKS)
			if err != nil {
				return err
			}
			var offers []offer
			var rows [][]string
			for _, f := range answers[0].GetGetFrameworks().GetFrameworks() {
				for _, o := range f.GetOffers() {
					view := offer{
						ID: o.GetId().GetValue(), FrameworkID: o.GetFrameworkId().GetValue(), SlaveID: o.GetAgentId().GetValue(),
						Hostname: o.GetHostname(), Resources: newAmounts(o.GetResources()),
					}
					offers = append(offers, view)
					rows = append(rows, []string{view.ID, f.GetFrameworkInfo().GetName(), view.SlaveID, view.Hostname, view.Resources.number("cpus"), view.Resources.number("mem")})
				}
			}
			if flags.json {
				return printJSON(std.out, offers)
			}
			return table(std.out, []string{"ID", "FRAMEWORK", "SLAVE", "HOSTNAME", "CPUS", "MEM (MB)"}, rows)
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}
