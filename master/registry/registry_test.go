package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/proto/mesos"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func slave(id string) *mesos.AgentInfo {
	return &mesos.AgentInfo{Id: mesos.NewAgentID(id), Hostname: proto.String("h" + id), Port: proto.Int32(5051)}
}

// apply makes the changes and returns the error of the last.
func apply(t *testing.T, s *State, changes ...Change) error {
	t.Helper()
	var err error
	for _, change := range changes {
		err = s.Apply(change)
	}
	return err
}

func TestChanges(t *testing.T) {
	for name, test := range map[string]struct {
		changes []Change
		want    State
		err     string // of the last change
	}{
		"a slave that is admitted belongs to the cluster": {
			changes: []Change{AdmitSlave{slave("S0")}},
			want:    State{Slaves: map[string]*mesos.AgentInfo{"S0": slave("S0")}},
		},
		"a machine that is down is in the schedule until its maintenance stops": {
			changes: []Change{
				SetSchedule{[]Window{{Machines: []Machine{{Hostname: "a"}, {Hostname: "b"}}, Start: noon}}},
				StartMaintenance{[]Machine{{Hostname: "a"}}},
				SetSchedule{nil},
			},
			want: State{Maintenance: Maintenance{
				Windows: []Window{{Machines: []Machine{{Hostname: "a"}, {Hostname: "b"}}, Start: noon}}, Down: map[Machine]bool{{Hostname: "a"}: true},
			}},
			err: "schedule maintenance of 0 machines in 0 windows: machine a is down and not in the schedule: stop its maintenance first",
		},
		"a machine that is up again is out of the schedule": {
			changes: []Change{
				SetSchedule{[]Window{{Machines: []Machine{{Hostname: "a"}, {IP: "10.0.0.1"}}, Start: noon}}},
				StartMaintenance{[]Machine{{Hostname: "a"}}},
				StopMaintenance{[]Machine{{Hostname: "a"}}},
			},
			want: State{Maintenance: Maintenance{Windows: []Window{{Machines: []Machine{{IP: "10.0.0.1"}}, Start: noon}}}},
		},
		"machines are taken down all or none": {
			changes: []Change{
				SetSchedule{[]Window{{Machines: []Machine{{Hostname: "a"}}, Start: noon}}}, StartMaintenance{[]Machine{{Hostname: "a"}, {"b", "10.0.0.1"}}},
			},
			want: State{Maintenance: Maintenance{Windows: []Window{{Machines: []Machine{{Hostname: "a"}}, Start: noon}}}},
			err:  "start maintenance of a, b (10.0.0.1): machine b (10.0.0.1) is not in the schedule: schedule its maintenance first",
		},
		"a slave cannot be admitted twice": {
			changes: []Change{AdmitSlave{slave("S0")}, AdmitSlave{slave("S0")}},
			want:    State{Slaves: map[string]*mesos.AgentInfo{"S0": slave("S0")}},
			err:     "admit slave S0 at hS0:5051: it is admitted already",
		},
		"a slave that is away is unreachable and not admitted": {
			changes: []Change{AdmitSlave{slave("S0")}, MarkUnreachable{"S0", noon}},
			want:    State{Unreachable: map[string]time.Time{"S0": noon}},
		},
		"only an admitted slave can become unreachable": {
			changes: []Change{MarkUnreachable{"S0", noon}},
			err:     "mark slave S0 unreachable: it is not admitted",
		},
		"an unreachable slave can come back": {
			changes: []Change{AdmitSlave{slave("S0")}, MarkUnreachable{"S0", noon}, MarkReachable{slave("S0")}},
			want:    State{Slaves: map[string]*mesos.AgentInfo{"S0": slave("S0")}},
		},
		"a slave that was never away cannot come back": {
			changes: []Change{AdmitSlave{slave("S0")}, MarkReachable{slave("S0")}},
			want:    State{Slaves: map[string]*mesos.AgentInfo{"S0": slave("S0")}},
			err:     "mark slave S0 reachable: it is not unreachable",
		},
		"an admitted slave can change": {
			changes: []Change{AdmitSlave{slave("S0")}, UpdateSlave{&mesos.AgentInfo{Id: mesos.NewAgentID("S0"), Hostname: proto.String("other")}}},
			want:    State{Slaves: map[string]*mesos.AgentInfo{"S0": {Id: mesos.NewAgentID("S0"), Hostname: proto.String("other")}}},
		},
		"a slave that nobody knows cannot change": {
			changes: []Change{UpdateSlave{slave("S0")}},
			err:     "update slave S0: it is not admitted",
		},
		"an admitted slave can be removed":    {changes: []Change{AdmitSlave{slave("S0")}, RemoveSlave{"S0"}}},
		"an unreachable slave can be removed": {changes: []Change{AdmitSlave{slave("S0")}, MarkUnreachable{"S0", noon}, RemoveSlave{"S0"}}},
		"a slave that nobody knows cannot be removed": {
			changes: []Change{RemoveSlave{"S0"}},
			err:     "remove slave S0: it is neither admitted nor unreachable",
		},
		"a cluster is named once": {
			changes: []Change{SetClusterID{"athens"}, SetClusterID{"sparta"}},
			want:    State{ClusterID: "athens"},
			err:     "set cluster id sparta: the cluster is athens already",
		},
		"a weight of 1 is none": {
			changes: []Change{SetWeights{map[string]float64{"web": 2, "db": 3}}, SetWeights{map[string]float64{"web": 1}}},
			want:    State{Weights: map[string]float64{"db": 3}},
		},
		"a weight of 0 is refused, and the others with it": {
			changes: []Change{SetWeights{map[string]float64{"web": 2, "db": 0}}},
			err:     `set weights db=0 web=2: weight 0 of role "db": allowed are numbers above 0`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s State
			err := apply(t, &s, test.changes...)
			if got := fmt.Sprint(err); test.err != "" && got != test.err || test.err == "" && err != nil {
				t.Errorf("error: got %q, want %q", got, test.err)
			}
			if diff := cmp.Diff(test.want, s, protocmp.Transform(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheLongestAwayIsForgottenFirst(t *testing.T) {
	var s State
	for i := range MaxUnreachable + 2 {
		id := fmt.Sprintf("S%d", i)
		if err := apply(t, &s, AdmitSlave{slave(id)}, MarkUnreachable{id, noon.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.Unreachable) != MaxUnreachable {
		t.Errorf("%d unreachable slaves are remembered, want %d", len(s.Unreachable), MaxUnreachable)
	}
	for id, want := range map[string]bool{"S0": false, "S1": false, "S2": true} {
		if _, got := s.Unreachable[id]; got != want {
			t.Errorf("%s remembered: %v, want %v", id, got, want)
		}
	}
}

// TestRandomChanges holds for any changes in any order: no slave is in two places, an error changes nothing, and a clone
// does not follow.
func TestRandomChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s State
		for range rapid.IntRange(1, 50).Draw(t, "changes") {
			before := s.Clone()
			kept := before.Clone()
			change := randomChange(t)
			if err := s.Apply(change); err != nil {
				if diff := cmp.Diff(before, s, protocmp.Transform(), cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("%v failed and changed (-before +after):\n%s", change, diff)
				}
				if !strings.HasPrefix(err.Error(), change.String()) {
					t.Fatalf("error %q does not say what failed: %q", err, change)
				}
			}
			if diff := cmp.Diff(kept, before, protocmp.Transform(), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%v changed a clone:\n%s", change, diff)
			}
			checkMaintenance(t, s.Maintenance)
			for id := range s.Slaves {
				if _, both := s.Unreachable[id]; both {
					t.Fatalf("after %v slave %s is both admitted and unreachable", change, id)
				}
			}
		}
	})
}

// checkMaintenance holds that no machine is scheduled twice, and none is down that is not scheduled.
func checkMaintenance(t *rapid.T, m Maintenance) {
	seen := map[Machine]bool{}
	for _, w := range m.Windows {
		if len(w.Machines) == 0 {
			t.Fatalf("a window has no machines: %v", m)
		}
		for _, machine := range w.Machines {
			if seen[machine] {
				t.Fatalf("%v is scheduled twice: %v", machine, m)
			}
			seen[machine] = true
		}
	}
	for machine := range m.Down {
		if !seen[machine] {
			t.Fatalf("%v is down and not scheduled: %v", machine, m)
		}
	}
}

func randomChange(t *rapid.T) Change {
	machines := rapid.SliceOfN(rapid.SampledFrom([]Machine{{Hostname: "a"}, {IP: "10.0.0.1"}, {"a", "10.0.0.1"}}), 0, 2)
	id := rapid.SampledFrom([]string{"S0", "S1", "S2"}).Draw(t, "id")
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return SetClusterID{id}
	case 1:
		return AdmitSlave{slave(id)}
	case 2:
		return UpdateSlave{slave(id)}
	case 3:
		return MarkUnreachable{id, noon}
	case 4:
		return MarkReachable{slave(id)}
	case 7:
		return SetSchedule{[]Window{{Machines: machines.Draw(t, "machines"), Start: noon}}}
	case 8:
		return StartMaintenance{machines.Draw(t, "machines")}
	case 9:
		return StopMaintenance{machines.Draw(t, "machines")}
	case 5:
		return SetWeights{map[string]float64{id: rapid.Float64Range(-1, 3).Draw(t, "weight")}}
	}
	return RemoveSlave{id}
}
