package allocator

import (
	"strings"
	"testing"

	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

type (
	constraintProto = schedulerpb.AttributeConstraint
	predicateProto  = schedulerpb.AttributeConstraint_Predicate
	selectorProto   = schedulerpb.AttributeConstraint_Selector
)

func attribute(name string) *selectorProto {
	return &selectorProto{Selector: &schedulerpb.AttributeConstraint_Selector_AttributeName{AttributeName: name}}
}

func pseudo(kind schedulerpb.AttributeConstraint_Selector_PseudoattributeType) *selectorProto {
	return &selectorProto{Selector: &schedulerpb.AttributeConstraint_Selector_PseudoattributeType_{PseudoattributeType: kind}}
}

func textEquals(name, value string) *constraintProto {
	return &constraintProto{Selector: attribute(name), Predicate: equalTo(value)}
}

func equalTo(value string) *predicateProto {
	return &predicateProto{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextEquals_{TextEquals: &schedulerpb.AttributeConstraint_Predicate_TextEquals{Value: &value}}}
}

func notEqualTo(value string) *predicateProto {
	return &predicateProto{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextNotEquals_{TextNotEquals: &schedulerpb.AttributeConstraint_Predicate_TextNotEquals{Value: &value}}}
}

func matching(regex string) *predicateProto {
	return &predicateProto{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextMatches_{TextMatches: &schedulerpb.AttributeConstraint_Predicate_TextMatches{Regex: &regex}}}
}

func notMatching(regex string) *predicateProto {
	return &predicateProto{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextNotMatches_{TextNotMatches: &schedulerpb.AttributeConstraint_Predicate_TextNotMatches{Regex: &regex}}}
}

var (
	there    = &predicateProto{Predicate: &schedulerpb.AttributeConstraint_Predicate_Exists_{}}
	notThere = &predicateProto{Predicate: &schedulerpb.AttributeConstraint_Predicate_NotExists_{}}
)

// TestConstraints is what each predicate says of an attribute that is there, that is not, and that is no text.
func TestConstraints(t *testing.T) {
	slave := &Traits{
		Hostname: "node1.eu", Region: "eu", // No zone.
		Attributes: []Attribute{{Name: "rack", Value: "a", Text: true}, {Name: "rack", Value: "b", Text: true}, {Name: "size", Value: "3"}},
	}
	hostname, region, zone := pseudo(schedulerpb.AttributeConstraint_Selector_HOSTNAME), pseudo(schedulerpb.AttributeConstraint_Selector_REGION), pseudo(schedulerpb.AttributeConstraint_Selector_ZONE)
	for name, test := range map[string]struct {
		selector  *selectorProto
		predicate *predicateProto
		want      bool
	}{
		"an attribute exists":                        {attribute("rack"), there, true},
		"one that is not there does not":             {attribute("shelf"), there, false},
		"not exists is the opposite":                 {attribute("rack"), notThere, false},
		"not exists, of one that is not there":       {attribute("shelf"), notThere, true},
		"equals":                                     {attribute("rack"), equalTo("a"), true},
		"of two of one name the first counts":        {attribute("rack"), equalTo("b"), false},
		"not equals":                                 {attribute("rack"), notEqualTo("a"), false},
		"not equals, of another":                     {attribute("rack"), notEqualTo("b"), true},
		"what is not there equals nothing":           {attribute("shelf"), equalTo(""), false},
		"what is not there is not equal to anything": {attribute("shelf"), notEqualTo(""), true},
		"a number meets whatever is asked of texts":  {attribute("size"), equalTo("4"), true},
		"and the opposite":                           {attribute("size"), notEqualTo("3"), true},
		"a number matches everything":                {attribute("size"), matching("x"), true},
		"and nothing":                                {attribute("size"), notMatching(".*"), true},
		"matches":                                    {attribute("rack"), matching("[ab]"), true},
		"the whole text must match":                  {hostname, matching("node"), false},
		"alternatives too":                           {hostname, matching("node|node1.eu"), true},
		"not matches":                                {attribute("rack"), notMatching("[ab]"), false},
		"what is not there matches nothing":          {attribute("shelf"), matching(".*"), false},
		"what is not there does not match":           {attribute("shelf"), notMatching(".*"), true},
		"the hostname":                               {hostname, equalTo("node1.eu"), true},
		"the region":                                 {region, equalTo("eu"), true},
		"a zone that is not there":                   {zone, there, false},
	} {
		c, err := ReadConstraints(&schedulerpb.OfferConstraints_RoleConstraints{Groups: []*schedulerpb.OfferConstraints_RoleConstraints_Group{
			{AttributeConstraints: []*constraintProto{{Selector: test.selector, Predicate: test.predicate}}},
		}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.admit(slave); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		if got := c.explain(slave); (got == "") != test.want {
			t.Errorf("%s: is explained by %q", name, got)
		}
	}
}

func TestConstraintsHaveLimits(t *testing.T) {
	group := func(n int, c *constraintProto) *schedulerpb.OfferConstraints_RoleConstraints {
		g := &schedulerpb.OfferConstraints_RoleConstraints_Group{}
		for range n {
			g.AttributeConstraints = append(g.AttributeConstraints, c)
		}
		return &schedulerpb.OfferConstraints_RoleConstraints{Groups: []*schedulerpb.OfferConstraints_RoleConstraints_Group{g}}
	}
	for name, test := range map[string]struct {
		m    *schedulerpb.OfferConstraints_RoleConstraints
		want string // of the error
	}{
		"as many as are allowed": {group(MaxConstraints, textEquals("a", "b")), ""},
		"one more":               {group(MaxConstraints+1, textEquals("a", "b")), "more than 100 constraints"},
		"a long expression":      {group(1, &constraintProto{Selector: attribute("a"), Predicate: matching(strings.Repeat("a", MaxRegexBytes+1))}), "has 1025 bytes"},
		"a complex one":          {group(1, &constraintProto{Selector: attribute("a"), Predicate: matching("(a{30}){30}")}), "too complex"},
		"no selector":            {group(1, &constraintProto{Selector: &selectorProto{}, Predicate: there}), "neither an attribute nor"},
		"no predicate":           {group(1, &constraintProto{Selector: attribute("a"), Predicate: &predicateProto{}}), "predicate is not known"},
		"an unknown pseudo":      {group(1, &constraintProto{Selector: pseudo(9), Predicate: there}), "allowed are HOSTNAME, REGION and ZONE"},
	} {
		_, err := ReadConstraints(test.m)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, test.want)
		}
	}
}
