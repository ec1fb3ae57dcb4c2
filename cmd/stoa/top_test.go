package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
)

func topAnswers(metrics map[string]float64, roles ...*mesos.Role) []*masterpb.Response {
	m := &masterpb.Response_GetMetrics{}
	for name, value := range metrics {
		m.Metrics = append(m.Metrics, &mesos.Metric{Name: proto.String(name), Value: proto.Float64(value)})
	}
	agents := &masterpb.Response_GetAgents{}
	for _, host := range []string{"small", "large"} {
		used := map[string]string{"small": "cpus:1;mem:10", "large": "cpus:6;mem:10"}[host]
		agents.Agents = append(agents.Agents, &masterpb.Response_GetAgents_Agent{
			AgentInfo: &mesos.AgentInfo{Hostname: proto.String(host), Id: mesos.NewAgentID("id-" + host)}, Active: proto.Bool(host == "large"),
			TotalResources: resource.MustParse("cpus:8;mem:100").ToProto(), AllocatedResources: resource.MustParse(used).ToProto(),
		})
	}
	return []*masterpb.Response{{GetMetrics: m}, {GetRoles: &masterpb.Response_GetRoles{Roles: roles}}, {GetAgents: agents}}
}

func topRoleOf(name string, weight float64, frameworks int, held string) *mesos.Role {
	r := &mesos.Role{Name: &name, Weight: &weight, Resources: resource.MustParse(held).ToProto()}
	for range frameworks {
		r.Frameworks = append(r.Frameworks, mesos.NewFrameworkID("F"))
	}
	return r
}

func TestTopShowsSharesAgainstWhatIsFair(t *testing.T) {
	metrics := map[string]float64{"master/cpus_total": 16, "master/mem_total": 200}
	s := newTopSample(time.Unix(0, 0), topAnswers(metrics,
		topRoleOf("eng", 3, 1, "cpus:4"), topRoleOf("eng/test", 2, 1, "mem:100"), topRoleOf("idle", 1, 0, "cpus:0.1"), topRoleOf("web", 1, 2, "cpus:2")), nil)
	got := map[string][2]float64{}
	for _, r := range s.Roles {
		got[r.Name] = [2]float64{r.Share, r.Fair}
	}
	// eng holds 4 of 16 cpus, and with eng/test 100 of 200 MB. Of weights 3 and 1 it could have 3/4, and eng/test of that 2/3,
	// beside eng's own framework of weight 1.
	for name, want := range map[string][2]float64{"eng": {0.5, 0.75}, "eng/test": {0.5, 0.5}, "idle": {0.1 / 16, 0}, "web": {0.125, 0.25}} {
		if x := got[name]; math.Abs(x[0]-want[0]) > 1e-9 || math.Abs(x[1]-want[1]) > 1e-9 {
			t.Errorf("%s has share and fair %v, want %v", name, x, want)
		}
	}
}

func TestTopShowsRatesOfOneLifeOfTheMaster(t *testing.T) {
	begin := time.Unix(100, 0)
	first := newTopSample(begin, topAnswers(map[string]float64{"stoa/offers_made": 10, "master/uptime_secs": 50}), nil)
	second := newTopSample(begin.Add(2*time.Second), topAnswers(map[string]float64{"stoa/offers_made": 30, "master/uptime_secs": 52}), first)
	if got := second.Rates["offers"]; got != 10 {
		t.Errorf("%v offers per second, want 10", got)
	}
	other := newTopSample(begin.Add(4*time.Second), topAnswers(map[string]float64{"stoa/offers_made": 3, "master/uptime_secs": 1}), second)
	if got := other.Rates["offers"]; got != 0 {
		t.Errorf("%v offers per second in the first sample of another life, want 0", got)
	}
}

func TestTopFitsTheTerminal(t *testing.T) {
	s := newTopSample(time.Unix(0, 0), topAnswers(map[string]float64{"master/cpus_total": 16}), nil)
	s.sortBy("use")
	if s.Nodes[0].Hostname != "large" {
		t.Errorf("the first node by use is %s, want large", s.Nodes[0].Hostname)
	}
	for _, size := range [][2]int{{120, 40}, {50, 12}, {10, 3}, {1, 1}, {0, 0}} {
		screen := s.screen("m:5050", "no master", "q quit", size[0], size[1])
		if lines := strings.Count(screen, "\n") + 1; lines > max(2, size[1]) {
			t.Errorf("%d lines on a screen of %d", lines, size[1])
		}
	}
	if screen := s.screen("m:5050", "", "q quit", 120, 8); !strings.Contains(screen, "more lines") {
		t.Errorf("nothing says that there is more:\n%s", screen)
	}
}
