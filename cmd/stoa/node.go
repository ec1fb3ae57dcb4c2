package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func newNode(std stdio) *cobra.Command {
	return group("node", "The machines of a cluster", groupLook, newNodeList(std), newNodeShow(std), newNodeStats(std), newNodeDu(std), newNodeGC(std),
		newNodeDrain(std), newNodeDeactivate(std), newNodeReactivate(std), newNodeGone(std))
}

// node is a slave as --json shows it, with the names of Mesos's /slaves.
type node struct {
	ID               string         `json:"id"`
	Hostname         string         `json:"hostname"`
	Port             int32          `json:"port"`
	Active           bool           `json:"active"`
	Deactivated      bool           `json:"deactivated"`
	Draining         string         `json:"draining,omitempty"` // draining or drained
	Version          string         `json:"version"`
	RegisteredTime   float64        `json:"registered_time"`
	ReregisteredTime float64        `json:"reregistered_time,omitempty"`
	Attributes       map[string]any `json:"attributes"`
	Resources        amounts        `json:"resources"`
	UsedResources    amounts        `json:"used_resources"`
	OfferedResources amounts        `json:"offered_resources"`
}

func newNodeList(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "list",
		Short: "List the slaves and what of them is used",
		Example: `  stoa node list
  stoa node list --json | jq -r '.[].hostname'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			answers, err := flags.ask(command.Context(), masterpb.Call_GET_AGENTS)
			if err != nil {
				return err
			}
			var nodes []node
			for _, slave := range answers[0].GetGetAgents().GetAgents() {
				nodes = append(nodes, newNodeView(slave))
			}
			if flags.json {
				return printJSON(std.out, nodes)
			}
			var rows [][]string
			for _, n := range nodes {
				rows = append(rows, []string{
					n.ID, n.Hostname, n.state(),
					used(n.UsedResources, n.Resources, "cpus"), used(n.UsedResources, n.Resources, "mem"), used(n.UsedResources, n.Resources, "disk"),
					age(unixSeconds(n.RegisteredTime), time.Now()),
				})
			}
			return table(std.out, []string{"ID", "HOSTNAME", "STATE", "CPUS", "MEM (MB)", "DISK (MB)", "AGE"}, rows)
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

func newNodeView(slave *masterpb.Response_GetAgents_Agent) node {
	info := slave.GetAgentInfo()
	return node{
		ID: info.GetId().GetValue(), Hostname: info.GetHostname(), Port: info.GetPort(),
		Active: slave.GetActive(), Deactivated: slave.GetDeactivated(), Draining: draining(slave), Version: slave.GetVersion(),
		RegisteredTime:   secondsOf(slave.GetRegisteredTime()),
		ReregisteredTime: secondsOf(slave.GetReregisteredTime()),
		Attributes:       attributeMap(info.GetAttributes()),
		Resources:        newAmounts(slave.GetTotalResources()),
		UsedResources:    newAmounts(slave.GetAllocatedResources()),
		OfferedResources: newAmounts(slave.GetOfferedResources()),
	}
}

// draining says how far a slave that is to be emptied is; empty if it is not to be.
func draining(slave *masterpb.Response_GetAgents_Agent) string {
	if slave.DrainInfo == nil {
		return ""
	}
	return strings.ToLower(slave.GetDrainInfo().GetState().String())
}

func attributeMap(attributes []*mesos.Attribute) map[string]any {
	shown := map[string]any{}
	for _, attribute := range attributes {
		switch attribute.GetType() {
		case mesos.Value_SCALAR:
			shown[attribute.GetName()] = attribute.GetScalar().GetValue()
		case mesos.Value_TEXT:
			shown[attribute.GetName()] = attribute.GetText().GetValue()
		default:
			resource := &mesos.Resource{Name: attribute.Name, Type: attribute.Type, Ranges: attribute.GetRanges(), Set: attribute.GetSet()}
			shown[attribute.GetName()] = newAmounts([]*mesos.Resource{resource})[attribute.GetName()]
		}
	}
	return shown
}

func secondsOf(t *mesos.TimeInfo) float64 { return float64(t.GetNanoseconds()) / float64(time.Second) }

func unixSeconds(seconds float64) time.Time {
	return time.Unix(0, int64(seconds*float64(time.Second)))
}
