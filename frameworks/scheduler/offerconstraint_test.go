package scheduler

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

func TestOfferConstraintsAreReadAsMesosWritesThem(t *testing.T) {
	type predicate = schedulerpb.AttributeConstraint_Predicate
	value := func(text string) *string { return &text }
	attribute := &schedulerpb.AttributeConstraint_Selector{Selector: &schedulerpb.AttributeConstraint_Selector_AttributeName{AttributeName: "rack"}}
	pseudo := func(kind schedulerpb.AttributeConstraint_Selector_PseudoattributeType) *schedulerpb.AttributeConstraint_Selector {
		return &schedulerpb.AttributeConstraint_Selector{Selector: &schedulerpb.AttributeConstraint_Selector_PseudoattributeType_{PseudoattributeType: kind}}
	}
	exists := &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_Exists_{Exists: &schedulerpb.AttributeConstraint_Predicate_Exists{}}}
	equals := &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextEquals_{TextEquals: &schedulerpb.AttributeConstraint_Predicate_TextEquals{Value: value("a:b")}}}
	for text, want := range map[string][]*schedulerpb.AttributeConstraint{
		"rack:EXISTS":     {{Selector: attribute, Predicate: exists}},
		"rack:equals:a:b": {{Selector: attribute, Predicate: equals}},
		"rack:NOT_EXISTS": {{Selector: attribute, Predicate: &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_NotExists_{
			NotExists: &schedulerpb.AttributeConstraint_Predicate_NotExists{},
		}}}},
		"hostname:NOT_EQUALS:h;@zone:EXISTS": {
			{Selector: pseudo(schedulerpb.AttributeConstraint_Selector_HOSTNAME), Predicate: &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextNotEquals_{
				TextNotEquals: &schedulerpb.AttributeConstraint_Predicate_TextNotEquals{Value: value("h")},
			}}},
			{Selector: pseudo(schedulerpb.AttributeConstraint_Selector_ZONE), Predicate: exists},
		},
		"@region:MATCHES:a|b;rack:NOT_MATCHES:r.*": {
			{Selector: pseudo(schedulerpb.AttributeConstraint_Selector_REGION), Predicate: &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextMatches_{
				TextMatches: &schedulerpb.AttributeConstraint_Predicate_TextMatches{Regex: value("a|b")},
			}}},
			{Selector: attribute, Predicate: &predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextNotMatches_{
				TextNotMatches: &schedulerpb.AttributeConstraint_Predicate_TextNotMatches{Regex: value("r.*")},
			}}},
		},
	} {
		group, err := ParseOfferConstraint(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(want, group.GetAttributeConstraints(), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", text, diff)
		}
	}
}

func TestOfferConstraintsThatMakeNoSenseAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"": "is not FIELD:PREDICATE", "rack": `"rack" is not FIELD:PREDICATE`, ":EXISTS": "is not FIELD:PREDICATE", "rack:EXISTS;": `"" is not FIELD:PREDICATE`,
		"rack:HAS": `no predicate "HAS": allowed are EXISTS, NOT_EXISTS`, "rack:EXISTS:a": `EXISTS cannot have the value "a"`,
		"rack:EQUALS": "EQUALS of rack has no value: it needs a text", "rack:MATCHES:(": `MATCHES cannot have the value "("`, "rack:NOT_MATCHES:": "has no value",
	} {
		if group, err := ParseOfferConstraint(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is read as %v, %v; want an error with %q", text, group, err, want)
		}
	}
}
