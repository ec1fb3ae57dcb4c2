package main

import (
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
)

func newQuota(std stdio) *cobra.Command {
	return group("quota", "What roles are guaranteed, and the most that they may have", groupLook, newQuotaList(std), newQuotaSet(std), newQuotaRemove(std))
}

// quota is a quota as --json shows it, with the names of Mesos's QuotaConfig.
type quota struct {
	Role       string             `json:"role"`
	Guarantees map[string]float64 `json:"guarantees"`
	Limits     map[string]float64 `json:"limits"`
}

func newQuotaView(config *quotapb.QuotaConfig) quota {
	view := quota{Role: config.GetRole(), Guarantees: map[string]float64{}, Limits: map[string]float64{}}
	for name, amount := range config.GetGuarantees() {
		view.Guarantees[name] = amount.GetValue()
	}
	for name, amount := range config.GetLimits() {
		view.Limits[name] = amount.GetValue()
	}
	return view
}

// amountList shows amounts as people write them: cpus:2,mem:1024.
func amountList(values map[string]float64) string {
	var parts []string
	for name, value := range values {
		parts = append(parts, name+":"+strconv.FormatFloat(value, 'f', -1, 64))
	}
	sort.Strings(parts)
	return orDash(strings.Join(parts, ","))
}

func newQuotaList(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "list",
		Short: "List the roles that have a quota",
		Example: `  stoa quota list
  stoa quota list --json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_QUOTA)
			if err != nil {
				return err
			}
			var quotas []quota
			var rows [][]string
			for _, config := range answers[0].GetGetQuota().GetStatus().GetConfigs() {
				view := newQuotaView(config)
				quotas = append(quotas, view)
				rows = append(rows, []string{view.Role, amountList(view.Guarantees), amountList(view.Limits)})
			}
			if flags.json {
				return printJSON(std.out, quotas)
			}
			return table(std.out, []string{"ROLE", "GUARANTEED", "AT MOST"}, rows)
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

func newQuotaSet(std stdio) *cobra.Command {
	var flags operatorFlags
	var guarantee, limit []string
	var force bool
	command := &cobra.Command{
		Use:   "set ROLE",
		Short: "Give a role, with all roles below it, a quota",
		Long: `Gives a role, with all roles below it, a quota in the place of the one that it has.

What is guaranteed is kept free for the role when it does not use it. A limit is the most that the role can
have; what is not named has none. Reservations for the role count. Offers that are in the way are taken back.`,
		Example: `  stoa quota set web --limit cpus:40,mem:65536
  stoa quota set web --guarantee cpus:10 --limit cpus:40`,
		Args: oneArg("role"),
		RunE: func(command *cobra.Command, args []string) error {
			config := &quotapb.QuotaConfig{Role: proto.String(args[0])}
			var err error
			if config.Guarantees, err = parseAmounts("guarantee", strings.Join(guarantee, ",")); err != nil {
				return err
			}
			if config.Limits, err = parseAmounts("limit", strings.Join(limit, ",")); err != nil {
				return err
			}
			if len(config.Guarantees)+len(config.Limits) == 0 {
				return usageError("quota set %s: give --guarantee or --limit, or both; 'stoa quota remove %s' takes the quota away", args[0], args[0])
			}
			view := newQuotaView(config)
			return flags.change(command.Context(), std, quotaCall(config, force), view,
				"Quota of role %s: guaranteed %s, at most %s.", view.Role, amountList(view.Guarantees), amountList(view.Limits))
		},
	}
	flags.add(command.Flags())
	command.Flags().StringArrayVar(&guarantee, "guarantee", nil, "`AMOUNTS` that the role is sure to get, as cpus:10,mem:4096; may be repeated")
	command.Flags().StringArrayVar(&limit, "limit", nil, "`AMOUNTS` that are the most it can have, as cpus:40,mem:65536; may be repeated")
	command.Flags().BoolVar(&force, "force", false, "also if the role uses more already, or the cluster has less than is guaranteed")
	return withSettings(command)
}

func newQuotaRemove(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "remove ROLE",
		Short: "Take a role's quota away",
		Example: `  stoa quota remove web
  stoa quota remove --master 10.0.0.1:5050 web`,
		Args: oneArg("role"),
		RunE: func(command *cobra.Command, args []string) error {
			config := &quotapb.QuotaConfig{Role: proto.String(args[0])}
			return flags.change(command.Context(), std, quotaCall(config, false), newQuotaView(config), "Role %s has no quota.", args[0])
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

func quotaCall(config *quotapb.QuotaConfig, force bool) *masterpb.Call {
	return &masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &masterpb.Call_UpdateQuota{
		Force: proto.Bool(force), QuotaConfigs: []*quotapb.QuotaConfig{config},
	}}
}

// parseAmounts reads cpus:10,mem:4096; semicolons are as good as commas.
func parseAmounts(flag, text string) (map[string]*mesos.Value_Scalar, error) {
	amounts := map[string]*mesos.Value_Scalar{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' }) {
		name, number, ok := strings.Cut(strings.TrimSpace(part), ":")
		value, err := strconv.ParseFloat(number, 64)
		if !ok || name == "" || err != nil || !(value >= 0) {
			return nil, usageError("--%s %q: %q is no amount; for example cpus:10,mem:4096", flag, text, part)
		}
		if amounts[name] != nil {
			return nil, usageError("--%s %q: %s is given twice", flag, text, name)
		}
		amounts[name] = &mesos.Value_Scalar{Value: proto.Float64(value)}
	}
	return amounts, nil
}
