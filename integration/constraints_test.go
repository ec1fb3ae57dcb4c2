package integration_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoa-project/stoa/frameworks/run"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

// Instances that are in each other's way run one after the other: who waits is placed when a place is free.
func TestInstancesWaitForTheirConstraints(t *testing.T) {
	for _, c := range []struct {
		constraint string
		instances  int
		minutes    time.Duration // until all have run, which takes a minute each
		hosts      []string      // of those that run first
	}{
		{"rack:UNIQUE", 5, 2, []string{"a", "b", "c"}},
		{"rack:MAX_PER:1", 8, 3, []string{"a", "b", "c"}},
		{"rack:CLUSTER:a", 5, 2, []string{"a", "a", "a", "a"}},
		{"rack:GROUP_BY:3", 8, 2, []string{"a", "a", "a", "b", "b", "c", "c"}},
		{"rack:LIKE:b", 3, 2, []string{"b", "b"}},
		{"rack:UNLIKE:a", 2, 1, []string{"c", "c"}},
	} {
		t.Run(c.constraint, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := integration.New(t, integration.Slaves(2), integration.Resources("cpus:2;mem:256"), integration.Attributes("rack:a"),
					integration.AnotherSlave("cpus:2;mem:256", "rack:b"), integration.AnotherSlave("cpus:2;mem:256", "rack:c"),
					integration.Commands(func(containerizer.Spec) fake.Behaviour { return fake.Behaviour{Lasts: time.Minute} }))
				constraint, err := scheduler.ParseConstraint(c.constraint)
				if err != nil {
					t.Fatal(err)
				}
				options := run.Options{
					Command: []string{"/bin/cmd"}, Instances: c.instances, Constraints: []scheduler.Constraint{constraint}, PlacementTimeout: 5 * time.Minute,
					Master: cluster.Master(), Network: cluster.Network("laptop"),
				}
				if c.constraint == "rack:UNLIKE:a" { // Of the others the master keeps one back.
					group, err := scheduler.ParseOfferConstraint("rack:NOT_EQUALS:b")
					if err != nil {
						t.Fatal(err)
					}
					options.OfferConstraints = []*scheduler.OfferGroup{group}
				}
				var out, errors bytes.Buffer
				began := time.Now()
				result, failure := run.Run(t.Context(), options, &out, &errors)
				if took := time.Since(began); failure != nil || result.ExitCode != 0 || took < c.minutes*time.Minute || took > c.minutes*time.Minute+20*time.Second {
					t.Errorf("result %+v, error %v after %v, want all to succeed within %d minutes and some seconds", result, failure, took, c.minutes)
				}
				racks := map[string]string{"slave1": "a", "slave2": "a", "slave3": "b", "slave4": "c"}
				var first []string
				for _, i := range result.Instances {
					if i.Started.Before(began.Add(50 * time.Second)) {
						first = append(first, racks[i.Hostname])
					}
				}
				slices.Sort(first)
				if diff := cmp.Diff(c.hosts, first); diff != "" {
					t.Errorf("those of the first minute are in racks (-want +got)\n%s\n%s", diff, errors.String())
				}
			})
		})
	}
}
