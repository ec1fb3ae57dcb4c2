package scheduler

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// Operator is what a Constraint wants of the slaves of a framework's instances (Marathon's names).
type Operator string

// The operators. A group is all slaves on which a field has the same value.
const (
	// Unique: each instance is in a group of its own.
	Unique Operator = "UNIQUE"
	// Cluster: all instances are in one group: that of the value, or without one that of the first instance.
	Cluster Operator = "CLUSTER"
	// GroupBy: instances are spread evenly over groups; with a value, over that many groups at least.
	GroupBy Operator = "GROUP_BY"
	// Like: the field matches the value, a regular expression (RE2), as a whole.
	Like Operator = "LIKE"
	// Unlike: it does not, or the slave has no such field.
	Unlike Operator = "UNLIKE"
	// MaxPer: so many instances are in each group at most.
	MaxPer Operator = "MAX_PER"
)

// operators is what a value means to each, for people.
var operators = map[Operator]string{
	Unique: "it takes no value", Cluster: "its value is optional", GroupBy: "its value, a number of groups of at least 1, is optional",
	Like: "it needs a regular expression", Unlike: "it needs a regular expression", MaxPer: "it needs a number of at least 1",
}

// Constraint restricts where instances of the same thing may run. ParseConstraint makes one.
type Constraint struct {
	// Field is the name of an attribute of slaves (`stoa slave --attributes`), or hostname, @region or @zone.
	Field    string
	Operator Operator
	// Value is what the operator compares with; "" is none.
	Value string

	number  int
	pattern *regexp.Regexp
}

// ParseConstraint reads FIELD:OPERATOR[:VALUE], as in "rack:UNIQUE" or "hostname:LIKE:db[0-9]+". Case does not matter in the
// operator.
func ParseConstraint(text string) (Constraint, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) < 2 || parts[0] == "" {
		return Constraint{}, fmt.Errorf("constraint %q: wanted FIELD:OPERATOR[:VALUE], as in rack:UNIQUE or hostname:LIKE:db[0-9]+", text)
	}
	c := Constraint{Field: parts[0], Operator: Operator(strings.ToUpper(parts[1]))}
	if len(parts) == 3 {
		c.Value = parts[2]
	}
	wanted, known := operators[c.Operator]
	if !known {
		return Constraint{}, fmt.Errorf("constraint %q: there is no operator %q: allowed are UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE and MAX_PER", text, parts[1])
	}
	if !c.compile() && c.Value == "" {
		return Constraint{}, fmt.Errorf("constraint %q: %s has no value: %s", text, c.Operator, wanted)
	}
	if !c.compile() {
		return Constraint{}, fmt.Errorf("constraint %q: %s cannot have the value %q: %s", text, c.Operator, c.Value, wanted)
	}
	return c, nil
}

// compile reads the value, and reports whether it is one for the operator.
func (c *Constraint) compile() bool {
	var err error
	switch c.Operator {
	case Unique:
		return c.Value == ""
	case Like, Unlike:
		c.pattern, err = regexp.Compile("^(?:" + c.Value + ")$")
		return err == nil && c.Value != ""
	case GroupBy, MaxPer:
		if c.Value == "" {
			return c.Operator == GroupBy
		}
		c.number, err = strconv.Atoi(c.Value)
		return err == nil && c.number >= 1
	}
	return true
}

// String is the constraint as ParseConstraint reads it.
func (c Constraint) String() string {
	text := c.Field + ":" + string(c.Operator)
	if c.Value != "" {
		text += ":" + c.Value
	}
	return text
}

// Place is what is known of a slave that constraints look at.
type Place struct {
	Hostname   string
	Attributes []*mesos.Attribute
	Domain     *mesos.DomainInfo
}

// Place is where the offer's slave is.
func (o *Offer) Place() Place {
	return Place{o.Info.GetHostname(), o.Info.GetAttributes(), o.Info.GetDomain()}
}

// PlaceOf is where a slave is.
func PlaceOf(info *mesos.AgentInfo) Place {
	return Place{info.GetHostname(), info.GetAttributes(), info.GetDomain()}
}

// Value is a field of the place as text: an attribute's scalar with at most three digits after the point, its ranges as
// [1-2,5-5], its set as {a,b}. False: there is no such field.
func (p Place) Value(field string) (string, bool) {
	switch field {
	case "hostname", "@hostname":
		return p.Hostname, p.Hostname != ""
	case "@region":
		region := p.Domain.GetFaultDomain().GetRegion().GetName()
		return region, region != ""
	case "@zone":
		zone := p.Domain.GetFaultDomain().GetZone().GetName()
		return zone, zone != ""
	}
	for _, a := range p.Attributes {
		if a.GetName() == field {
			return attributeText(a), true
		}
	}
	return "", false
}

func attributeText(a *mesos.Attribute) string {
	switch a.GetType() {
	case mesos.Value_SCALAR:
		return resource.FormatThousandths(resource.Thousandths(a.GetScalar().GetValue()))
	case mesos.Value_RANGES:
		var spans []string
		for _, r := range a.GetRanges().GetRange() {
			spans = append(spans, fmt.Sprintf("%d-%d", r.GetBegin(), r.GetEnd()))
		}
		return "[" + strings.Join(spans, ",") + "]"
	case mesos.Value_SET:
		return "{" + strings.Join(slices.Sorted(slices.Values(a.GetSet().GetItem())), ",") + "}"
	default:
		return a.GetText().GetValue()
	}
}

// Allows says why an instance may not run at a place, beside the instances at the others; nil if it may.
func (c Constraint) Allows(place Place, beside []Place) error {
	value, has := place.Value(c.Field)
	if !has {
		if c.Operator == Unlike {
			return nil
		}
		return fmt.Errorf("constraint %s: it has no %s", c, c.Field)
	}
	groups := map[string]int{}
	first := ""
	for _, p := range beside {
		if v, ok := p.Value(c.Field); ok {
			if len(groups) == 0 {
				first = v
			}
			groups[v]++
		}
	}
	switch c.Operator {
	case Unique:
		if groups[value] > 0 {
			return fmt.Errorf("constraint %s: %s %s has an instance already", c, c.Field, value)
		}
	case Cluster:
		if c.Value != "" {
			first = c.Value
		}
		if first != "" && value != first {
			return fmt.Errorf("constraint %s: its %s is %s, not %s", c, c.Field, value, first)
		}
	case GroupBy:
		return c.allowsGroup(value, groups)
	case Like:
		if !c.pattern.MatchString(value) {
			return fmt.Errorf("constraint %s: its %s is %s", c, c.Field, value)
		}
	case Unlike:
		if c.pattern.MatchString(value) {
			return fmt.Errorf("constraint %s: its %s is %s", c, c.Field, value)
		}
	case MaxPer:
		if groups[value] >= c.number {
			return fmt.Errorf("constraint %s: %s %s has %d instances already", c, c.Field, value, groups[value])
		}
	}
	return nil
}

// allowsGroup: a group that has none yet may always get one; another only if there are enough groups and no group has
// fewer.
func (c Constraint) allowsGroup(value string, groups map[string]int) error {
	if groups[value] == 0 {
		return nil
	}
	if len(groups) < c.number {
		return fmt.Errorf("constraint %s: there are instances in %d of %d groups, and one in %s %s", c, len(groups), c.number, c.Field, value)
	}
	for other, n := range groups {
		if n < groups[value] {
			return fmt.Errorf("constraint %s: %s %s has %d instances, %s %d", c, c.Field, value, groups[value], other, n)
		}
	}
	return nil
}

// allowed says why a task may not run at a place; nil if all of its constraints allow it.
func (t Task) allowed(place Place, beside []Place) error {
	for _, c := range t.Constraints {
		if err := c.Allows(place, beside); err != nil {
			return err
		}
	}
	return nil
}
