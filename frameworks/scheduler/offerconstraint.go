package scheduler

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// predicates are the words of ParseOfferConstraint, in the order in which people read them.
var predicates = []struct {
	word      string
	needs     string // "": it takes no value
	predicate func(value string) *schedulerpb.AttributeConstraint_Predicate
}{
	{"EXISTS", "", func(string) *schedulerpb.AttributeConstraint_Predicate {
		return &schedulerpb.AttributeConstraint_Predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_Exists_{
			Exists: &schedulerpb.AttributeConstraint_Predicate_Exists{},
		}}
	}},
	{"NOT_EXISTS", "", func(string) *schedulerpb.AttributeConstraint_Predicate {
		return &schedulerpb.AttributeConstraint_Predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_NotExists_{
			NotExists: &schedulerpb.AttributeConstraint_Predicate_NotExists{},
		}}
	}},
	{"EQUALS", "a text", func(value string) *schedulerpb.AttributeConstraint_Predicate {
		return &schedulerpb.AttributeConstraint_Predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextEquals_{
			TextEquals: &schedulerpb.AttributeConstraint_Predicate_TextEquals{Value: &value},
		}}
	}},
	{"NOT_EQUALS", "a text", func(value string) *schedulerpb.AttributeConstraint_Predicate {
		return &schedulerpb.AttributeConstraint_Predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextNotEquals_{
			TextNotEquals: &schedulerpb.AttributeConstraint_Predicate_TextNotEquals{Value: &value},
		}}
	}},
	{"MATCHES", needsRegex, func(value string) *schedulerpb.AttributeConstraint_Predicate {
		return &schedulerpb.AttributeConstraint_Predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextMatches_{
			TextMatches: &schedulerpb.AttributeConstraint_Predicate_TextMatches{Regex: &value},
		}}
	}},
	{"NOT_MATCHES", needsRegex, func(value string) *schedulerpb.AttributeConstraint_Predicate {
		return &schedulerpb.AttributeConstraint_Predicate{Predicate: &schedulerpb.AttributeConstraint_Predicate_TextNotMatches_{
			TextNotMatches: &schedulerpb.AttributeConstraint_Predicate_TextNotMatches{Regex: &value},
		}}
	}},
}

const needsRegex = "a regular expression (RE2)"

// pseudoattributes are the fields that are not attributes, as Constraint names them.
var pseudoattributes = map[string]schedulerpb.AttributeConstraint_Selector_PseudoattributeType{
	"hostname":  schedulerpb.AttributeConstraint_Selector_HOSTNAME,
	"@hostname": schedulerpb.AttributeConstraint_Selector_HOSTNAME,
	"@region":   schedulerpb.AttributeConstraint_Selector_REGION,
	"@zone":     schedulerpb.AttributeConstraint_Selector_ZONE,
}

// OfferGroup is conditions on a slave that must all hold for its offers to be wanted (Options.OfferConstraints).
type OfferGroup = schedulerpb.OfferConstraints_RoleConstraints_Group

// ParseOfferConstraint reads FIELD:PREDICATE[:VALUE] with ; between those that must all hold, as in
// "rack:MATCHES:r[12];ssd:EXISTS". A field is the name of an attribute, or hostname, @region or @zone. Case does not matter in
// the predicate. It may hold of what the master sees of a slave; a Constraint is about where other instances are, too.
func ParseOfferConstraint(text string) (*OfferGroup, error) {
	group := &OfferGroup{}
	for part := range strings.SplitSeq(text, ";") {
		one, err := parseAttributeConstraint(part)
		if err != nil {
			return nil, fmt.Errorf("constraint %q: %w", text, err)
		}
		group.AttributeConstraints = append(group.AttributeConstraints, one)
	}
	return group, nil
}

func parseAttributeConstraint(text string) (*schedulerpb.AttributeConstraint, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) < 2 || parts[0] == "" {
		return nil, fmt.Errorf("%q is not FIELD:PREDICATE[:VALUE], as in rack:EQUALS:r1 or ssd:EXISTS", text)
	}
	var words []string
	for _, p := range predicates {
		if words = append(words, p.word); p.word != strings.ToUpper(parts[1]) {
			continue
		}
		value := strings.Join(parts[2:], "")
		if p.needs == "" && len(parts) == 3 {
			return nil, fmt.Errorf("%s cannot have the value %q: it takes none", p.word, value)
		}
		if p.needs != "" && value == "" {
			return nil, fmt.Errorf("%s of %s has no value: it needs %s", p.word, parts[0], p.needs)
		}
		if p.needs == needsRegex {
			if _, err := regexp.Compile(value); err != nil {
				return nil, fmt.Errorf("%s cannot have the value %q: it needs %s: %w", p.word, value, p.needs, err)
			}
		}
		return &schedulerpb.AttributeConstraint{Selector: selector(parts[0]), Predicate: p.predicate(value)}, nil
	}
	return nil, fmt.Errorf("there is no predicate %q: allowed are %s", parts[1], strings.Join(words, ", "))
}

func selector(field string) *schedulerpb.AttributeConstraint_Selector {
	if pseudo, ok := pseudoattributes[field]; ok {
		return &schedulerpb.AttributeConstraint_Selector{Selector: &schedulerpb.AttributeConstraint_Selector_PseudoattributeType_{PseudoattributeType: pseudo}}
	}
	return &schedulerpb.AttributeConstraint_Selector{Selector: &schedulerpb.AttributeConstraint_Selector_AttributeName{AttributeName: field}}
}
