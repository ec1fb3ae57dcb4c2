package resource

import (
	"strconv"
	"strings"
)

// String writes the resources as `cpus:2;cpus(eng):4;ports:[31000-32000];disks:{a,b}`. Parse reads
// it back if no resource has more about it than a static reservation; the rest is for people.
func (r Resources) String() string {
	parts := make([]string, len(r.list))
	for i, x := range r.list {
		parts[i] = x.String()
	}
	return strings.Join(parts, ";")
}

// String writes the resource as `cpus(eng):4`.
func (r Resource) String() string { return r.Name() + r.attributes() + ":" + r.ValueString() }

// ValueString writes the amount alone: `2.5`, `[31000-32000,33000-33005]`, `{a,b}`. Of several
// copies of what cannot be cut it writes `2 x 10`.
func (r Resource) ValueString() string {
	switch r.Kind() {
	case KindRanges:
		spans := make([]string, len(r.ranges))
		for i, s := range r.ranges {
			spans[i] = s.String()
		}
		return "[" + strings.Join(spans, ",") + "]"
	case KindSet:
		return "{" + strings.Join(r.items, ",") + "}"
	case KindScalar:
	}
	id := r.id.Value()
	switch {
	case id.whole == 0:
		return FormatThousandths(r.amount)
	case r.amount == 1:
		return FormatThousandths(id.whole)
	}
	return strconv.FormatInt(r.amount, 10) + " x " + FormatThousandths(id.whole)
}

// attributes writes all of the identity but the name, in parentheses.
func (r Resource) attributes() string {
	id := r.id.Value()
	var text string
	switch stack := r.Reservations(); {
	case len(stack) == 0:
	case len(stack) == 1 && stack[0].isPlain():
		text = "(" + id.role + ")"
	default:
		parts := make([]string, len(stack))
		for i, reservation := range stack {
			parts[i] = reservation.String()
		}
		text = "(reserved: " + strings.Join(parts, ", ") + ")"
	}
	if id.allocated != "" {
		text += "(allocated: " + id.allocated + ")"
	}
	if id.revocable {
		text += "(revocable)"
	}
	if id.shared {
		text += "(shared)"
	}
	if id.provider != "" {
		text += "(provider: " + strconv.Quote(id.provider) + ")"
	}
	if id.disk != "" {
		volume, source := cutVolume(id.disk)
		if volume != "" {
			text += "(volume: " + volume + ")"
		}
		if source != "" {
			text += "(source: " + describeSource(source) + ")"
		}
	}
	return text
}

// isPlain reports whether the role says all about the reservation.
func (r Reservation) isPlain() bool { return !r.Dynamic && r.Principal == "" && len(r.Labels) == 0 }

// String writes the reservation as `dynamic eng/web by alice {team=b}`.
func (r Reservation) String() string {
	text := "static "
	if r.Dynamic {
		text = "dynamic "
	}
	text += r.Role
	if r.Principal != "" {
		text += " by " + r.Principal
	}
	if len(r.Labels) > 0 {
		text += " " + describeLabels(r.Labels)
	}
	return text
}

func describeLabels(labels []Label) string {
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = l.Key + "=" + l.Value
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// describeSource shows what encodeDisk wrote about the source of a disk.
func describeSource(encoded string) string {
	var words []string
	for range 6 {
		var field string
		if field, encoded = cutField(encoded); field != "" {
			words = append(words, field)
		}
	}
	if labels, _ := cutLabels(encoded); len(labels) > 0 {
		words = append(words, describeLabels(labels))
	}
	return strings.Join(words, " ")
}
