package allocator

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"

	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

const (
	// MaxConstraints is how many constraints a framework may have in one role: they are looked at for every slave, some
	// 0.1 to 1 µs each. Mesos has no limit.
	MaxConstraints = 100

	// MaxRegexBytes is the longest regular expression of a constraint.
	MaxRegexBytes = 1024

	// MaxRegexInstructions is how large such an expression may be when it has been compiled (Mesos default of
	// offer_constraints_re2_max_program_size: 100).
	MaxRegexInstructions = 100
)

// Constraints say which slaves a client wants offers of: those that meet all of one of the groups. Nil are none.
type Constraints [][]constraint

// constraint is a condition on one attribute of a slave.
type constraint struct {
	about     schedulerpb.AttributeConstraint_Selector_PseudoattributeType // UNKNOWN: about the attribute
	attribute string
	kind      predicate
	value     string         // of equals and matches
	regex     *regexp.Regexp // of matches, for the whole text
	not       bool
}

type predicate uint8

const (
	exists predicate = iota
	equals
	matches
)

// ReadConstraints reads what a framework asks for in one role. An error says what is wrong and what is allowed.
func ReadConstraints(m *schedulerpb.OfferConstraints_RoleConstraints) (Constraints, error) {
	if len(m.GetGroups()) == 0 {
		return nil, errors.New("there is no group of constraints: one of the groups must hold, so there must be one")
	}
	var all Constraints
	count := 0
	for i, g := range m.GetGroups() {
		if len(g.GetAttributeConstraints()) == 0 {
			return nil, fmt.Errorf("group %d of constraints is empty: leave the role out to get offers of all slaves", i+1)
		}
		if count += len(g.GetAttributeConstraints()); count > MaxConstraints {
			return nil, fmt.Errorf("there are more than %d constraints", MaxConstraints)
		}
		var group []constraint
		for j, one := range g.GetAttributeConstraints() {
			c, err := readConstraint(one)
			if err != nil {
				return nil, fmt.Errorf("constraint %d of group %d: %w", j+1, i+1, err)
			}
			group = append(group, c)
		}
		all = append(all, group)
	}
	return all, nil
}

func readConstraint(m *schedulerpb.AttributeConstraint) (constraint, error) {
	var c constraint
	switch selector := m.GetSelector().GetSelector().(type) {
	case *schedulerpb.AttributeConstraint_Selector_AttributeName:
		c.attribute = selector.AttributeName
	case *schedulerpb.AttributeConstraint_Selector_PseudoattributeType_:
		c.about = selector.PseudoattributeType
		if c.name() == "" {
			return c, fmt.Errorf("pseudoattribute %v: allowed are HOSTNAME, REGION and ZONE", c.about)
		}
	default:
		return c, errors.New("its selector names neither an attribute nor a pseudoattribute")
	}
	var err error
	switch p := m.GetPredicate().GetPredicate().(type) {
	case *schedulerpb.AttributeConstraint_Predicate_Exists_:
	case *schedulerpb.AttributeConstraint_Predicate_NotExists_:
		c.not = true
	case *schedulerpb.AttributeConstraint_Predicate_TextEquals_:
		c.kind, c.value = equals, p.TextEquals.GetValue()
	case *schedulerpb.AttributeConstraint_Predicate_TextNotEquals_:
		c.kind, c.value, c.not = equals, p.TextNotEquals.GetValue(), true
	case *schedulerpb.AttributeConstraint_Predicate_TextMatches_:
		c.kind, c.value = matches, p.TextMatches.GetRegex()
		c.regex, err = compile(c.value)
	case *schedulerpb.AttributeConstraint_Predicate_TextNotMatches_:
		c.kind, c.value, c.not = matches, p.TextNotMatches.GetRegex(), true
		c.regex, err = compile(c.value)
	default:
		err = errors.New("its predicate is not known: allowed are exists, text_equals and text_matches, and their opposites")
	}
	return c, err
}

// compile makes an expression that matches whole texts, if it is not too large.
func compile(text string) (*regexp.Regexp, error) {
	if len(text) > MaxRegexBytes {
		return nil, fmt.Errorf("the regular expression has %d bytes: allowed are %d", len(text), MaxRegexBytes)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", text, err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", text, err)
	}
	if size := len(program.Inst); size > MaxRegexInstructions {
		return nil, fmt.Errorf("regular expression %q is too complex: it makes %d instructions, allowed are %d", text, size, MaxRegexInstructions)
	}
	regex, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", text, err)
	}
	return regex, nil
}

// name is what the constraint is about; empty for a pseudoattribute that is not known.
func (c *constraint) name() string {
	switch c.about {
	case schedulerpb.AttributeConstraint_Selector_HOSTNAME:
		return "hostname"
	case schedulerpb.AttributeConstraint_Selector_REGION:
		return "region"
	case schedulerpb.AttributeConstraint_Selector_ZONE:
		return "zone"
	case schedulerpb.AttributeConstraint_Selector_UNKNOWN:
		return c.attribute
	}
	return ""
}

// find returns what a slave has of what the constraint is about.
func (c *constraint) find(t *Traits) (Attribute, bool) {
	pseudo := func(value string) (Attribute, bool) { return Attribute{Value: value, Text: true}, value != "" }
	switch c.about {
	case schedulerpb.AttributeConstraint_Selector_HOSTNAME:
		return pseudo(t.Hostname)
	case schedulerpb.AttributeConstraint_Selector_REGION:
		return pseudo(t.Region)
	case schedulerpb.AttributeConstraint_Selector_ZONE:
		return pseudo(t.Zone)
	}
	for _, a := range t.Attributes {
		if a.Name == c.attribute {
			return a, true
		}
	}
	return Attribute{}, false
}

// holds reports whether a slave meets the constraint. What is there and is not text meets all that is asked of texts: it
// is for the framework to look at (as in Mesos).
func (c *constraint) holds(t *Traits) bool {
	a, found := c.find(t)
	switch {
	case c.kind == exists:
		return found != c.not
	case !found:
		return c.not
	case !a.Text:
		return true
	case c.kind == equals:
		return a.Value == c.value != c.not
	}
	return c.regex.MatchString(a.Value) != c.not
}

// admit reports whether a slave is wanted.
func (c Constraints) admit(t *Traits) bool {
	return c == nil || slices.ContainsFunc(c, func(group []constraint) bool {
		return !slices.ContainsFunc(group, func(one constraint) bool { return !one.holds(t) })
	})
}

// count is how many there are.
func (c Constraints) count() int {
	count := 0
	for _, group := range c {
		count += len(group)
	}
	return count
}

// explain says which constraint of each group a slave does not meet, the first of it.
func (c Constraints) explain(t *Traits) string {
	text := ""
	for _, group := range c {
		for _, one := range group {
			if !one.holds(t) {
				if text != "" {
					text += "; nor "
				}
				text += one.explain(t)
				break
			}
		}
	}
	return text
}

func (c *constraint) explain(t *Traits) string {
	not := ""
	if c.not {
		not = "not "
	}
	want := not + "be there"
	switch c.kind {
	case equals:
		want = fmt.Sprintf("%sbe %q", not, c.value)
	case matches:
		want = fmt.Sprintf("%smatch %q", not, c.value)
	case exists:
	}
	has := "it has none"
	if a, found := c.find(t); found {
		has = fmt.Sprintf("it is %q", a.Value)
	}
	return fmt.Sprintf("%s must %s, %s", c.name(), want, has)
}
