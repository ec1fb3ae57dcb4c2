package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/maintenancepb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

func TestAmounts(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "-",
		"cpus:2":             "cpus:2",
		"mem:64,cpus:0.5":    "cpus:0.5,mem:64",
		"cpus:2; mem:1024":   "cpus:2,mem:1024",
		"gpus:0":             "gpus:0",
		"cpus":               `"cpus" is no amount`,
		"cpus:many":          `"cpus:many" is no amount`,
		"cpus:-1":            `"cpus:-1" is no amount`,
		"cpus:2,cpus:3":      `cpus is given twice`,
		":1":                 `":1" is no amount`,
		"ports:[31000-32000": `"ports:[31000-32000" is no amount`,
	} {
		amounts, err := parseAmounts("limit", text)
		got := amountList(newQuotaView(&quotapb.QuotaConfig{Role: proto.String("r"), Limits: amounts}).Limits)
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestCancellingWhatIsNotScheduledIsRefused(t *testing.T) {
	schedule := &maintenancepb.Schedule{}
	for _, args := range [][]string{{"n1/10.0.0.1"}, {"n2"}} {
		add, err := scheduleChange(args, "1h", 0, false, "")
		if err != nil {
			t.Fatal(err)
		}
		if schedule, err = add(schedule); err != nil {
			t.Fatal(err)
		}
	}
	for name, left := range map[string]int{"n1": -1, "10.0.0.1": -1, "n3": -1, "n2": 1, "n1/10.0.0.1": 1} {
		cancel, err := scheduleChange([]string{name}, "", 0, true, "")
		if err != nil {
			t.Fatal(err)
		}
		rest, err := cancel(schedule)
		if left < 0 && (err == nil || !strings.Contains(err.Error(), "machine "+name+" is not in the schedule")) {
			t.Errorf("cancelled %s: %v", name, err)
		}
		if left >= 0 && (err != nil || len(rest.GetWindows()) != left) {
			t.Errorf("cancelled %s: %v, %v is left, want %d", name, err, rest, left)
		}
	}
}

func TestARoleHoldsWhatThoseBelowItHold(t *testing.T) {
	role := func(name, resources string) *mesos.Role {
		return &mesos.Role{Name: proto.String(name), Weight: proto.Float64(2), Resources: resource.MustParse(resources).ToProto()}
	}
	var rows [][]string
	roles := []*mesos.Role{role("ads", "cpus:1"), role("eng/db", "cpus:1;mem:64"), role("eng/web", "cpus:2"), role("eng/web/test", "cpus:4")}
	for _, root := range roleTree(roles, []*quotapb.QuotaConfig{{Role: proto.String("eng/web"), Limits: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(8)}}}}) {
		rows = root.rows(rows, 0)
	}
	want := [][]string{
		{"ads", "2", "0", "1", "0", "-", "-"},
		{"eng", "1", "0", "7", "64", "-", "-"},
		{"  db", "2", "0", "1", "64", "-", "-"},
		{"  web", "2", "0", "6", "0", "-", "cpus:8"},
		{"    test", "2", "0", "4", "0", "-", "-"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}

func TestAnExplanationFitsOnOneScreen(t *testing.T) {
	answer := &wire.Explanation{Waiting: []*wire.Explanation_Waiting{{Role: "web", Share: 0.61, FairShare: 1.0 / 3, Reasons: []string{"quota: reached"}, OtherSlaves: 7}}}
	for _, host := range []string{"a", "b", "c", "d", "e"} {
		reason := "too small: has 2 of 4 cpus"
		if host == "a" {
			reason = "being drained"
		}
		answer.Waiting[0].Slaves = append(answer.Waiting[0].Slaves, &wire.Explanation_Slave{Hostname: host, Reason: reason})
	}
	var out bytes.Buffer
	if err := printExplanation(&out, answer); err != nil {
		t.Fatal(err)
	}
	want := `Anybody in role web: the role's share is 0.61, fair is 0.33.
  quota: reached
SLAVES  IN THE WAY                  FOR EXAMPLE
4       too small: has 2 of 4 cpus  b c d
1       being drained               a
7 more slaves were not looked at.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
