package run

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/frameworks/scheduler/schedulertest"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
)

func constrained(t *testing.T, instances int, texts ...string) Options {
	t.Helper()
	o := Options{Instances: instances}
	for _, text := range texts {
		c, err := scheduler.ParseConstraint(text)
		if err != nil {
			t.Fatal(err)
		}
		o.Constraints = append(o.Constraints, c)
	}
	return o
}

// racks is a master with slaves that are named after their racks: a1 and a2 are in rack a.
type racks struct {
	*story
	slaves map[string]*schedulertest.Slave
}

// offer offers room for so many instances on each of the slaves, in one event, and returns on how many of them were
// launched on each.
func (r racks) offer(room int, hosts ...string) map[string]int {
	r.t.Helper()
	var offers []*mesos.Offer
	for _, host := range hosts {
		if r.slaves[host] == nil {
			r.slaves[host] = r.Slave(host)
		}
		o := r.slaves[host].NewOffer("cpus:1;mem:128")
		for _, x := range o.Resources {
			x.Scalar.Value = proto.Float64(x.GetScalar().GetValue() * float64(room))
		}
		o.Attributes = []*mesos.Attribute{{Name: proto.String("rack"), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: proto.String(host[:1])}}}
		offers = append(offers, o)
	}
	answered := map[string]bool{}
	hostOf := map[string]string{}
	for i, id := range r.Offers(offers...) {
		hostOf[id] = hosts[i]
	}
	got := map[string]int{}
	for len(answered) < len(offers) {
		call := r.answer()
		for _, id := range slices.Concat(call.GetAccept().GetOfferIds(), call.GetDecline().GetOfferIds()) {
			answered[id.GetValue()] = true
		}
		for _, op := range call.GetAccept().GetOperations() {
			got[hostOf[call.GetAccept().GetOfferIds()[0].GetValue()]] += len(op.GetLaunch().GetTaskInfos())
		}
	}
	return got
}

// answer waits for the next ACCEPT or DECLINE.
func (r racks) answer() *schedulerpb.Call {
	r.t.Helper()
	return r.NextOf(schedulerpb.Call_ACCEPT, schedulerpb.Call_DECLINE)
}

func TestEachConstraintDecidesWhereInstancesRun(t *testing.T) {
	type hosts = map[string]int
	for _, c := range []struct {
		constraint string
		instances  int
		first      hosts // of offers of a1, a2, b1 and c1 with room for three each
		second     hosts // of the same offers once more
	}{
		{"rack:UNIQUE", 5, hosts{"a1": 1, "b1": 1, "c1": 1}, hosts{}},
		{"hostname:UNIQUE", 5, hosts{"a1": 1, "a2": 1, "b1": 1, "c1": 1}, hosts{}},
		{"rack:CLUSTER", 7, hosts{"a1": 3, "a2": 3}, hosts{"a1": 1}},
		{"rack:CLUSTER:b", 5, hosts{"b1": 3}, hosts{"b1": 2}},
		{"rack:GROUP_BY", 9, hosts{"a1": 2, "a2": 1, "b1": 3, "c1": 3}, hosts{}},
		{"rack:GROUP_BY:4", 5, hosts{"a1": 1, "b1": 1, "c1": 1}, hosts{}},
		{"hostname:LIKE:[ab]1", 7, hosts{"a1": 3, "b1": 3}, hosts{"a1": 1}},
		{"rack:UNLIKE:[ab]", 4, hosts{"c1": 3}, hosts{"c1": 1}},
		{"rack:MAX_PER:2", 8, hosts{"a1": 1, "a2": 1, "b1": 2, "c1": 2}, hosts{}},
	} {
		t.Run(strings.ReplaceAll(c.constraint, ":", " "), func(t *testing.T) {
			tell(t, constrained(t, c.instances, c.constraint), func(s *story) {
				s.Subscription()
				r := racks{s, map[string]*schedulertest.Slave{}}
				for i, want := range []hosts{c.first, c.second} {
					if diff := cmp.Diff(want, r.offer(3, "a1", "a2", "b1", "c1")); diff != "" {
						t.Errorf("offers %d (-want +got)\n%s", i+1, diff)
					}
				}
				s.cancel()
				s.end()
			})
		})
	}
}

// An instance that waits for the place of another one is placed when that has ended, however long its offers were declined
// for: they are asked for again.
func TestAPlaceThatIsFreeAgainIsAskedFor(t *testing.T) {
	for _, constraint := range []string{"rack:UNIQUE", "rack:MAX_PER:1"} {
		t.Run(strings.ReplaceAll(constraint, ":", " "), func(t *testing.T) {
			o := constrained(t, 2, constraint)
			day := 24 * time.Hour
			o.Refuse = &day
			tell(t, o, func(s *story) {
				s.Subscription()
				r := racks{s, map[string]*schedulertest.Slave{}}
				r.offer(1, "a1")
				first := s.Launched()
				s.Update(first, mesos.TaskState_TASK_RUNNING)
				if got := r.offer(1, "a2"); len(got) != 0 {
					t.Fatalf("launched %v beside another instance in the rack", got)
				}
				if n := len(s.Calls(schedulerpb.Call_REVIVE)); n != 0 {
					t.Errorf("asked for offers %d times while nothing has changed", n)
				}
				s.write(first, "stdout", "")
				s.ends(first, mesos.TaskState_TASK_FINISHED, mesos.LabelExitStatus, "0")
				s.Next(schedulerpb.Call_REVIVE)
				if got := r.offer(1, "a2"); got["a2"] != 1 {
					t.Fatalf("launched %v when the rack was free", got)
				}
				s.cancel()
				s.end()
			})
		})
	}
}

// With GROUP_BY a placement elsewhere is what makes room.
func TestAGroupMayHaveMoreWhenOthersHaveCaughtUp(t *testing.T) {
	tell(t, constrained(t, 3, "rack:GROUP_BY:2"), func(s *story) {
		s.Subscription()
		r := racks{s, map[string]*schedulertest.Slave{}}
		r.offer(1, "a1")
		s.Next(schedulerpb.Call_REVIVE)
		if got := r.offer(1, "a2"); len(got) != 0 {
			t.Fatalf("launched %v while the other rack has none", got)
		}
		r.offer(1, "b1")
		s.Next(schedulerpb.Call_REVIVE)
		if got := r.offer(1, "a2"); got["a2"] != 1 {
			t.Fatalf("launched %v when both racks had one", got)
		}
		s.cancel()
		s.end()
	})
}

func TestWhatIsWantedOfOffersReachesTheMaster(t *testing.T) {
	group, err := scheduler.ParseOfferConstraint("rack:MATCHES:r[12];@zone:NOT_EQUALS:z1")
	if err != nil {
		t.Fatal(err)
	}
	refuse := 90 * time.Second
	tell(t, Options{
		Instances: 2, Roles: []string{"eng/web", "eng/db"}, Refuse: &refuse, FailoverTimeout: time.Minute,
		MinAllocatable: []resource.Quantities{resource.MustParse("cpus:2;mem:64").Quantities()}, OfferConstraints: []*scheduler.OfferGroup{group},
	}, func(s *story) {
		m := s.Subscription().GetSubscribe()
		info := m.GetFrameworkInfo()
		if diff := cmp.Diff([]string{"eng/web", "eng/db"}, info.GetRoles()); diff != "" || info.GetFailoverTimeout() != 60 {
			t.Errorf("roles and failover timeout %v %s", info.GetFailoverTimeout(), diff)
		}
		for _, role := range info.GetRoles() {
			sets := info.GetOfferFilters()[role].GetMinAllocatableResources().GetQuantities()
			if len(sets) != 1 || sets[0].GetQuantities()["cpus"].GetValue() != 2 || sets[0].GetQuantities()["mem"].GetValue() != 64 {
				t.Errorf("role %s has the minimum %v", role, sets)
			}
			groups := m.GetOfferConstraints().GetRoleConstraints()[role].GetGroups()
			if len(groups) != 1 || !proto.Equal(groups[0], group) {
				t.Errorf("role %s has the offer constraints %v", role, groups)
			}
		}
		s.Offer(s.slave, "cpus:0.5;mem:128")
		if got := s.Next(schedulerpb.Call_DECLINE).GetDecline().GetFilters().GetRefuseSeconds(); got != 90 {
			t.Errorf("declined for %v s, want 90", got)
		}
		s.Offer(s.slave, "cpus:1.5;mem:256")
		if got := s.Next(schedulerpb.Call_ACCEPT).GetAccept().GetFilters().GetRefuseSeconds(); got != 90 {
			t.Errorf("what is left is refused for %v s, want 90", got)
		}
		s.cancel()
		s.end()
	})
}
