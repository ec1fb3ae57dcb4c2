package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// topCalls are what `stoa top` asks, in this order.
var topCalls = []masterpb.Call_Type{masterpb.Call_GET_METRICS, masterpb.Call_GET_ROLES, masterpb.Call_GET_AGENTS}

// fairResources are the resources whose parts of the cluster make a share.
var fairResources = []string{"cpus", "mem", "disk", "gpus"}

// topSample is what `stoa top` shows, as --json prints it.
type topSample struct {
	At         time.Time          `json:"at"`
	Slaves     topSlaves          `json:"slaves"`
	Frameworks int                `json:"frameworks"`
	Offers     int                `json:"offers"`
	Tasks      map[string]int     `json:"tasks"` // by state, of those that have not ended
	Rates      map[string]float64 `json:"rates"` // per second: offers, launches, updates
	Resources  []topResource      `json:"resources"`
	Roles      []topRole          `json:"roles"`
	Nodes      []topNode          `json:"nodes"`

	counts map[string]float64 // since the master's birth
}

type topSlaves struct {
	Connected    int `json:"connected"`
	Disconnected int `json:"disconnected"`
}

type topResource struct {
	Name  string  `json:"name"`
	Total float64 `json:"total"`
	Used  float64 `json:"used"`
}

// topRole is a role: of what it and those below it hold, the largest part of the cluster, and what would be fair.
type topRole struct {
	Name       string  `json:"name"`
	Weight     float64 `json:"weight"`
	Frameworks int     `json:"frameworks"`
	Share      float64 `json:"share"`
	Fair       float64 `json:"fair"`
	Resources  amounts `json:"resources"`
}

type topNode struct {
	ID        string  `json:"id"`
	Hostname  string  `json:"hostname"`
	Active    bool    `json:"active"`
	Resources amounts `json:"resources"`
	Used      amounts `json:"used"`
	Offered   amounts `json:"offered"`
}

// topCounts are the metrics of which rates are shown.
var topCounts = map[string]string{"offers": "stoa/offers_made", "launches": "stoa/tasks_launched", "updates": "master/messages_status_update"}

// newTopSample makes a sample of the answers to topCalls. Its rates are those since the sample before it, if there is one
// of the same life of the master.
func newTopSample(at time.Time, answers []*masterpb.Response, before *topSample) *topSample {
	metrics := map[string]float64{}
	for _, m := range answers[0].GetGetMetrics().GetMetrics() {
		metrics[m.GetName()] = m.GetValue()
	}
	s := &topSample{
		At: at, Offers: int(metrics["master/outstanding_offers"]), Frameworks: int(metrics["master/frameworks_connected"]),
		Slaves: topSlaves{int(metrics["master/slaves_connected"]), int(metrics["master/slaves_disconnected"])},
		Tasks:  map[string]int{}, Rates: map[string]float64{}, counts: map[string]float64{"uptime": metrics["master/uptime_secs"]},
		Roles: []topRole{}, Nodes: []topNode{},
	}
	for _, state := range []string{"staging", "starting", "running", "killing"} {
		s.Tasks[state] = int(metrics["master/tasks_"+state])
	}
	for name, metric := range topCounts {
		s.counts[name], s.Rates[name] = metrics[metric], 0
		if before != nil && s.counts["uptime"] >= before.counts["uptime"] && at.After(before.At) {
			s.Rates[name] = (s.counts[name] - before.counts[name]) / at.Sub(before.At).Seconds()
		}
	}
	for _, name := range fairResources {
		if total := metrics["master/"+name+"_total"]; total > 0 {
			s.Resources = append(s.Resources, topResource{name, total, metrics["master/"+name+"_used"]})
		}
	}
	s.addRoles(answers[1].GetGetRoles().GetRoles())
	for _, a := range answers[2].GetGetAgents().GetAgents() {
		s.Nodes = append(s.Nodes, topNode{
			ID: a.GetAgentInfo().GetId().GetValue(), Hostname: a.GetAgentInfo().GetHostname(), Active: a.GetActive(),
			Resources: newAmounts(a.GetTotalResources()), Used: newAmounts(a.GetAllocatedResources()), Offered: newAmounts(a.GetOfferedResources()),
		})
	}
	return s
}

// addRoles works out each role's share, and its part by weights of what its parent could have: roles compete while they, or
// roles below them, have frameworks.
func (s *topSample) addRoles(roles []*mesos.Role) {
	var add func(siblings []*roleBranch, own float64, fair float64)
	add = func(siblings []*roleBranch, own float64, fair float64) {
		sum := own
		for _, b := range siblings {
			if b.competes() {
				sum += b.Weight
			}
		}
		for _, b := range siblings {
			r := topRole{Name: b.Name, Weight: b.Weight, Frameworks: len(b.Frameworks), Resources: b.Resources, Share: s.share(b.Resources)}
			if b.competes() {
				r.Fair = fair * b.Weight / sum
			}
			s.Roles = append(s.Roles, r)
			ownWeight := 0.0 // that of the role's own frameworks, beside the roles below it
			if len(b.Frameworks) > 0 {
				ownWeight = 1
			}
			add(b.Below, ownWeight, r.Fair)
		}
	}
	add(roleTree(roles, nil), 0, 1)
}

func (b *roleBranch) competes() bool {
	return len(b.Frameworks) > 0 || slices.ContainsFunc(b.Below, (*roleBranch).competes)
}

func (s *topSample) share(held amounts) float64 {
	share := 0.0
	for _, r := range s.Resources {
		amount, _ := held[r.Name].(float64)
		share = max(share, amount/r.Total)
	}
	return share
}

// topOrders are the orders of roles and nodes, in which the s key goes round.
var topOrders = []string{"use", "name"}

// sortBy puts roles and nodes into one of topOrders.
func (s *topSample) sortBy(order string) {
	slices.SortStableFunc(s.Roles, func(a, b topRole) int {
		if order == "use" && a.Share != b.Share {
			return cmp.Compare(b.Share, a.Share)
		}
		return strings.Compare(a.Name, b.Name)
	})
	slices.SortStableFunc(s.Nodes, func(a, b topNode) int {
		if x, y := a.load(), b.load(); order == "use" && x != y {
			return cmp.Compare(y, x)
		}
		return cmp.Or(strings.Compare(a.Hostname, b.Hostname), strings.Compare(a.ID, b.ID))
	})
}

// load is the largest used part of a node's cpus and memory.
func (n topNode) load() float64 {
	load := 0.0
	for _, name := range fairResources[:2] {
		used, _ := n.Used[name].(float64)
		if total, _ := n.Resources[name].(float64); total > 0 {
			load = max(load, used/total)
		}
	}
	return load
}
