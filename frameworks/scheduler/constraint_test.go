package scheduler

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

// on is a place in a rack; without one if it is empty.
func on(hostname, rack string) Place {
	p := Place{Hostname: hostname}
	if rack != "" {
		p.Attributes = []*mesos.Attribute{{Name: proto.String("rack"), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &rack}}}
	}
	return p
}

func TestConstraints(t *testing.T) {
	a1, a2, b1, none := on("h1", "a"), on("h2", "a"), on("h3", "b"), on("h4", "")
	for _, x := range []struct {
		constraint string
		place      Place
		beside     []Place
		want       string // "": it is allowed
	}{
		{"rack:UNIQUE", a1, []Place{b1}, ""},
		{"rack:unique", a2, []Place{a1}, "rack a has an instance already"},
		{"hostname:UNIQUE", a2, []Place{a1}, ""},
		{"rack:UNIQUE", none, nil, "it has no rack"},
		{"rack:CLUSTER", b1, nil, ""},
		{"rack:CLUSTER", b1, []Place{none, a1}, "its rack is b, not a"},
		{"rack:CLUSTER", a2, []Place{a1}, ""},
		{"rack:CLUSTER:b", a1, nil, "its rack is a, not b"},
		{"rack:GROUP_BY", b1, []Place{a1}, ""},
		{"rack:GROUP_BY", a2, []Place{a1}, ""},
		{"rack:GROUP_BY:2", a2, []Place{a1}, "there are instances in 1 of 2 groups"},
		{"rack:GROUP_BY", a2, []Place{a1, a2, b1}, "rack a has 2 instances, b 1"},
		{"rack:GROUP_BY:2", a2, []Place{a1, b1}, ""},
		{"hostname:LIKE:h[12]", a1, nil, ""},
		{"hostname:LIKE:h", a1, nil, "its hostname is h1"},
		{"hostname:LIKE:h1|x", on("h1y", ""), nil, "its hostname is h1y"},
		{"rack:UNLIKE:a.*", a1, nil, "its rack is a"},
		{"rack:UNLIKE:a.*", none, nil, ""},
		{"rack:MAX_PER:2", a1, []Place{a2}, ""},
		{"rack:MAX_PER:2", a1, []Place{a2, a1}, "rack a has 2 instances already"},
	} {
		c, err := ParseConstraint(x.constraint)
		if err != nil {
			t.Errorf("%s: %v", x.constraint, err)
			continue
		}
		got := c.Allows(x.place, x.beside)
		if (got == nil) != (x.want == "") || got != nil && !strings.Contains(got.Error(), x.want) {
			t.Errorf("%s of %s beside %d: %v, want %q", x.constraint, x.place.Hostname, len(x.beside), got, x.want)
		}
	}
}

func TestConstraintsThatMakeNoSenseAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"": "wanted FIELD:OPERATOR", "rack": "wanted FIELD:OPERATOR", ":UNIQUE": "wanted FIELD:OPERATOR", "rack:FOO": `no operator "FOO"`,
		"rack:UNIQUE:1": `the value "1"`, "rack:LIKE": "needs a regular expression", "rack:LIKE:(": `the value "("`, "rack:MAX_PER": "MAX_PER has no value: it needs a number",
		"rack:MAX_PER:0": `the value "0"`, "rack:GROUP_BY:-1": `the value "-1"`,
	} {
		if c, err := ParseConstraint(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is read as %v, %v; want an error with %q", text, c, err, want)
		}
	}
}

func TestAttributesAreComparedAsText(t *testing.T) {
	p := Place{
		Attributes: []*mesos.Attribute{
			{Name: proto.String("cores"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(2.5)}},
			{Name: proto.String("ports"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: proto.Uint64(1), End: proto.Uint64(3)}, {Begin: proto.Uint64(7), End: proto.Uint64(7)}}}},
			{Name: proto.String("disks"), Type: mesos.Value_SET.Enum(), Set: &mesos.Value_Set{Item: []string{"ssd", "hdd"}}},
		},
		Domain: &mesos.DomainInfo{FaultDomain: &mesos.DomainInfo_FaultDomain{
			Region: &mesos.DomainInfo_FaultDomain_RegionInfo{Name: proto.String("eu")}, Zone: &mesos.DomainInfo_FaultDomain_ZoneInfo{Name: proto.String("eu-1")},
		}},
	}
	for field, want := range map[string]string{"cores": "2.5", "ports": "[1-3,7-7]", "disks": "{hdd,ssd}", "@region": "eu", "@zone": "eu-1"} {
		if got, _ := p.Value(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if _, has := p.Value("hostname"); has {
		t.Error("a place without a hostname has one")
	}
}

func TestTasksOfOneCallCountForEachOthersConstraints(t *testing.T) {
	c, err := ParseConstraint("rack:UNIQUE")
	if err != nil {
		t.Fatal(err)
	}
	offer := func(id, rack string) *Offer {
		o, err := NewOffer(&mesos.Offer{
			Id: mesos.NewOfferID(id), AgentId: mesos.NewAgentID(id), Hostname: proto.String(id), Attributes: on("", rack).Attributes,
			Resources: []*mesos.Resource{{Name: proto.String("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(4)}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	task := Task{Name: "t", Command: "true", CPUs: 1, Constraints: []Constraint{c}}
	placed, unplaced := MatchBeside([]*Offer{offer("s1", "a"), offer("s2", "a"), offer("s3", "b"), offer("s4", "c")}, []Task{task, task, task}, []Place{on("", "c")})
	if len(placed) != 2 || placed[0].Offer.ID() != "s1" || placed[1].Offer.ID() != "s3" || len(unplaced) != 1 {
		t.Fatalf("placed %v, unplaced %v; want one in rack a and one in b", placed, unplaced)
	}
	if got := unplaced[0].Reasons[3].Err.Error(); got != "constraint rack:UNIQUE: rack c has an instance already" {
		t.Errorf("the reason is %q", got)
	}
}
