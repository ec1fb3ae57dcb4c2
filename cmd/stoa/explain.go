package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// shownExamples is how many slaves are named for each reason.
const shownExamples = 3

func newExplain(std stdio) *cobra.Command {
	var flags operatorFlags
	var need, role string
	command := &cobra.Command{
		Use:     "explain ROLE|FRAMEWORK|TASK-SPEC",
		GroupID: groupLook,
		Short:   "Say why something gets no offer, or not enough",
		Long: `Says why something gets no offer, or not enough: for each slave the first thing that is in the way, and what
holds for the role. FRAMEWORK is an id or a name; a TASK-SPEC is what a task needs, as cpus:2,mem:4096.`,
		Example: `  stoa explain web
  stoa explain --need cpus:2,mem:4096 5f1c9a40-0003
  stoa explain cpus:2,mem:4096 --role web --json`,
		Args: oneArg("role, framework, or what a task needs as cpus:2,mem:4096"),
		RunE: func(command *cobra.Command, args []string) error {
			if args[0] == "" {
				return usageError("explain: a role, a framework or what a task needs must be named; \"*\" is the default role")
			}
			ctx, cancel := context.WithTimeout(command.Context(), connectTimeout)
			defer cancel()
			master, err := flags.dial(ctx)
			if err != nil {
				return err
			}
			defer master.Close()
			question, err := explainQuestion(ctx, master, args[0], need, role)
			if err != nil {
				return err
			}
			answer, err := master.Explain(ctx, question)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(std.out, waitingViews(answer))
			}
			return printExplanation(std.out, answer)
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&need, "need", "", "`AMOUNTS` that are needed of one slave, as cpus:2,mem:4096 (default: what every offer has)")
	command.Flags().StringVar(&role, "role", "*", "`ROLE` that a TASK-SPEC would be run in")
	return withSettings(command)
}

// explainQuestion finds out what is meant: a task's need, a framework, or else a role.
func explainQuestion(ctx context.Context, master *client.Client, what, need, role string) (*wire.Explain, error) {
	if strings.Contains(what, ":") {
		if need != "" {
			return nil, usageError("explain %s: what is needed is said twice, as --need %s too", what, need)
		}
		amounts, err := neededAmounts(what)
		return &wire.Explain{Role: role, Need: amounts}, err
	}
	amounts, err := neededAmounts(need)
	if err != nil {
		return nil, err
	}
	answer, err := master.Call(ctx, &masterpb.Call{Type: masterpb.Call_GET_FRAMEWORKS.Enum()})
	if err != nil {
		return nil, err
	}
	for _, f := range answer.GetGetFrameworks().GetFrameworks() {
		if info := f.GetFrameworkInfo(); info.GetId().GetValue() == what || info.GetName() == what {
			return &wire.Explain{FrameworkId: mesos.NewFrameworkID(what), Need: amounts}, nil
		}
	}
	return &wire.Explain{Role: what, Need: amounts}, nil
}

func neededAmounts(text string) (map[string]float64, error) {
	amounts, err := parseAmounts("need", text)
	need := map[string]float64{}
	for name, amount := range amounts {
		need[name] = amount.GetValue()
	}
	return need, err
}

// waiting is why one framework, or anybody, waits in a role, as --json shows it.
type waiting struct {
	FrameworkID   string     `json:"framework_id,omitempty"`
	FrameworkName string     `json:"framework_name,omitempty"`
	Role          string     `json:"role"`
	Share         float64    `json:"share"`
	FairShare     float64    `json:"fair_share"`
	Reasons       []string   `json:"reasons"`
	Slaves        []obstacle `json:"slaves"`
	OtherSlaves   int32      `json:"other_slaves"`
}

// obstacle is what is in the way on one slave.
type obstacle struct {
	ID       string `json:"id"`
	Hostname string `json:"hostname"`
	Fits     bool   `json:"fits"`
	Reason   string `json:"reason"`
}

func waitingViews(answer *wire.Explanation) []waiting {
	var views []waiting
	for _, w := range answer.GetWaiting() {
		view := waiting{
			FrameworkID: w.GetFrameworkId().GetValue(), FrameworkName: w.GetFrameworkName(), Role: w.GetRole(),
			Share: w.GetShare(), FairShare: w.GetFairShare(), Reasons: append([]string{}, w.GetReasons()...), Slaves: []obstacle{}, OtherSlaves: w.GetOtherSlaves(),
		}
		for _, slave := range w.GetSlaves() {
			view.Slaves = append(view.Slaves, obstacle{slave.GetSlaveId().GetValue(), slave.GetHostname(), slave.GetFits(), slave.GetReason()})
		}
		views = append(views, view)
	}
	return views
}

// printExplanation shows on one screen what is in the way, the most frequent first.
func printExplanation(out io.Writer, answer *wire.Explanation) error {
	for i, w := range waitingViews(answer) {
		if i > 0 {
			fmt.Fprintln(out)
		}
		who := "Anybody in role " + w.Role
		if w.FrameworkID != "" {
			who = fmt.Sprintf("Framework %s (%s) in role %s", w.FrameworkName, w.FrameworkID, w.Role)
		}
		fmt.Fprintf(out, "%s: the role's share is %.2f, fair is %.2f.\n", who, w.Share, w.FairShare)
		for _, reason := range w.Reasons {
			fmt.Fprintf(out, "  %s\n", reason)
		}
		if len(w.Slaves) == 0 {
			continue
		}
		if err := table(out, []string{"SLAVES", "IN THE WAY", "FOR EXAMPLE"}, obstacleRows(w.Slaves)); err != nil {
			return err
		}
		if w.OtherSlaves > 0 {
			fmt.Fprintf(out, "%d more slaves were not looked at.\n", w.OtherSlaves)
		}
	}
	return nil
}

// obstacleRows puts slaves together that have the same in the way.
func obstacleRows(slaves []obstacle) [][]string {
	hosts := map[string][]string{}
	var reasons []string
	for _, s := range slaves {
		if hosts[s.Reason] == nil {
			reasons = append(reasons, s.Reason)
		}
		hosts[s.Reason] = append(hosts[s.Reason], s.Hostname)
	}
	slices.SortStableFunc(reasons, func(a, b string) int { return cmp.Compare(len(hosts[b]), len(hosts[a])) })
	var rows [][]string
	for _, reason := range reasons {
		names := hosts[reason]
		rows = append(rows, []string{itoa(len(names)), reason, strings.Join(names[:min(len(names), shownExamples)], " ")})
	}
	return rows
}
