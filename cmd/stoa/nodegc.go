package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// collection is what one slave will do with the sandboxes of tasks that have ended: its answer to /gc.
type collection struct {
	Node          string              `json:"node"`
	DelaySeconds  float64             `json:"gc_delay_seconds"`
	DiskHeadroom  float64             `json:"gc_disk_headroom"`
	DiskUse       *float64            `json:"disk_use,omitempty"`
	MaxAgeSeconds float64             `json:"max_age_seconds"`
	Sandboxes     []collectionSandbox `json:"sandboxes"`
}

type collectionSandbox struct {
	Directory string    `json:"directory"`
	Ended     time.Time `json:"ended"`
	Removed   time.Time `json:"removed"`
}

func newNodeGC(std stdio) *cobra.Command {
	var flags operatorFlags
	var dryRun bool
	command := &cobra.Command{
		Use:   "gc --dry-run [NODE]",
		Short: "Show which sandboxes of ended tasks are removed when",
		Long: `Shows when each slave, or the one that is named, will remove the sandboxes of tasks that have ended.
Slaves do it by themselves: a sandbox is kept for gc_delay * (1 - gc_disk_headroom - the part of the
disk that is in use), by the slave's flags.`,
		Example: `  stoa node gc --dry-run
  stoa node gc --dry-run --json S0`,
		Args:              atMostOneArg("slave's id, the end of it as in S0, or its hostname"),
		ValidArgsFunction: flags.completeNodes,
		RunE: func(command *cobra.Command, args []string) error {
			if !dryRun {
				return usageError("slaves remove sandboxes by themselves; --dry-run shows which, and when")
			}
			slaves, err := flags.someNodes(command.Context(), args)
			if err != nil {
				return err
			}
			plans := []collection{}
			for _, slave := range slaves {
				plan, err := flags.collectionOf(command.Context(), slave)
				if err != nil {
					return fmt.Errorf("slave %s: %w", slave.GetAgentInfo().GetId().GetValue(), err)
				}
				plans = append(plans, plan)
			}
			if flags.json {
				return printJSON(std.out, plans)
			}
			return printCollections(std.out, plans, time.Now())
		},
	}
	flags.add(command.Flags())
	command.Flags().BoolVar(&dryRun, "dry-run", false, "show it and do nothing")
	return withSettings(command)
}

// someNodes are the slaves that are named, or all.
func (f *operatorFlags) someNodes(ctx context.Context, names []string) ([]*masterpb.Response_GetAgents_Agent, error) {
	if len(names) == 0 {
		answers, err := f.ask(ctx, masterpb.Call_GET_AGENTS)
		if err != nil {
			return nil, err
		}
		return answers[0].GetGetAgents().GetAgents(), nil
	}
	var slaves []*masterpb.Response_GetAgents_Agent
	for _, name := range names {
		slave, err := f.findNode(ctx, name)
		if err != nil {
			return nil, err
		}
		slaves = append(slaves, slave)
	}
	return slaves, nil
}

// collectionOf asks a slave for its plan.
func (f *operatorFlags) collectionOf(ctx context.Context, slave *masterpb.Response_GetAgents_Agent) (collection, error) {
	plan := collection{Node: slave.GetAgentInfo().GetId().GetValue()}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	scheme, asker := "http", http.DefaultClient
	security, err := f.tls.client(wire.RoleOperator)
	if err != nil {
		return plan, err
	}
	if security != nil {
		scheme, asker = "https", &http.Client{Transport: &http.Transport{DialTLSContext: security.DialHTTP}}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+slaveAddress(slave)+"/gc", nil)
	if err != nil {
		return plan, err
	}
	answer, err := asker.Do(request)
	if err != nil {
		return plan, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return plan, fmt.Errorf("it answers %s", answer.Status)
	}
	return plan, json.NewDecoder(answer.Body).Decode(&plan)
}

func printCollections(out io.Writer, plans []collection, now time.Time) error {
	var rows [][]string
	for _, plan := range plans {
		use := "not known yet"
		if plan.DiskUse != nil {
			use = fmt.Sprintf("%.0f %%", 100**plan.DiskUse)
		}
		fmt.Fprintf(out, "%s keeps %d sandboxes for %s each: its disk is in use by %s\n",
			plan.Node, len(plan.Sandboxes), wholeSeconds(plan.MaxAgeSeconds), use)
		for _, s := range plan.Sandboxes {
			left := "now"
			if s.Removed.After(now) {
				left = "in " + s.Removed.Sub(now).Round(time.Second).String()
			}
			rows = append(rows, []string{plan.Node, age(s.Ended, now), left, shortSandbox(s.Directory)})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return table(out, []string{"NODE", "ENDED", "REMOVED", "SANDBOX"}, rows)
}

func wholeSeconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}

// shortSandbox is the path of a sandbox without that of the work_dir, which is the same for all.
func shortSandbox(directory string) string {
	if at := strings.LastIndex(directory, "/frameworks/"); at >= 0 {
		return directory[at+1:]
	}
	return directory
}
