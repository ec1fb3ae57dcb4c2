package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/codec"
	"github.com/stoa-project/stoa/proto/mesos"
)

// allowedValues is how values are written, for error messages.
const allowedValues = "allowed are a number like 2.5, ranges like [31000-32000,33000-33005] and a set like {a,b}"

// MustParse is Parse for text that is part of the program. It panics where Parse fails.
func MustParse(text string) Resources {
	r, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return r
}

// Parse reads resources as operators write them. The text form is
//
//	cpus:2;mem:1024;ports:[31000-32000,33000-33005];cpus(eng/web):4;disks:{a,b}
//
// where the role in parentheses is that of a static reservation; spaces do not matter, and amounts
// of the same name and role add up. Text that begins with `[` is JSON, an array of Resource
// messages. Nothing is filled in that is not there. An error names the part, where it is, and what
// is allowed.
func Parse(text string) (Resources, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		return parseJSON(text)
	}
	var messages []*mesos.Resource
	kinds := map[string]mesos.Value_Type{}
	at := 0 // Where the part begins, in bytes.
	for i, part := range strings.Split(text, ";") {
		begin := at
		at += len(part) + 1
		if strings.TrimSpace(part) == "" {
			continue
		}
		m, err := parsePart(part)
		if err == nil {
			err = mesos.ValidateResource(m)
		}
		if kind, seen := kinds[m.GetName()]; err == nil && seen && kind != m.GetType() {
			err = fmt.Errorf("%q was %v before and is %v here", m.GetName(), kind, m.GetType())
		}
		if err != nil {
			return Resources{}, fmt.Errorf("resources: part %d %q at byte %d: %w", i+1, strings.TrimSpace(part), begin, err)
		}
		kinds[m.GetName()] = m.GetType()
		messages = append(messages, m)
	}
	return FromProto(messages)
}

func parseJSON(text string) (Resources, error) {
	var objects []json.RawMessage
	if err := json.Unmarshal([]byte(text), &objects); err != nil {
		return Resources{}, fmt.Errorf("resources: not a JSON array of resources: %w", err)
	}
	messages := make([]*mesos.Resource, len(objects))
	for i, object := range objects {
		messages[i] = &mesos.Resource{}
		err := codec.Unmarshal(object, messages[i])
		if err == nil {
			err = mesos.ValidateResource(messages[i])
		}
		if err != nil {
			return Resources{}, fmt.Errorf("resources: element %d of the JSON array: %w", i+1, err)
		}
	}
	return FromProto(messages)
}

// parsePart reads `name:value` or `name(role):value`.
func parsePart(part string) (*mesos.Resource, error) {
	name, value, found := strings.Cut(part, ":")
	if !found {
		return nil, errors.New("there is no colon: a part is written name:value or name(role):value")
	}
	m := &mesos.Resource{}
	name = strings.TrimSpace(name)
	if before, role, reserved := strings.Cut(name, "("); reserved {
		role, closed := strings.CutSuffix(role, ")")
		if !closed {
			return nil, errors.New("the parenthesis is not closed: a role is written name(role):value")
		}
		name = strings.TrimSpace(before)
		m.Role = proto.String(strings.TrimSpace(role))
	}
	m.Name = &name
	return m, parseValue(strings.TrimSpace(value), m)
}

func parseValue(value string, m *mesos.Resource) error {
	switch {
	case strings.HasPrefix(value, "["):
		inner, err := unwrap(value, "]")
		if err != nil {
			return err
		}
		m.Type = mesos.Value_RANGES.Enum()
		m.Ranges = &mesos.Value_Ranges{}
		for _, text := range splitList(inner) {
			span, err := parseRange(text)
			if err != nil {
				return err
			}
			m.Ranges.Range = append(m.Ranges.Range, span)
		}
	case strings.HasPrefix(value, "{"):
		inner, err := unwrap(value, "}")
		if err != nil {
			return err
		}
		m.Type = mesos.Value_SET.Enum()
		m.Set = &mesos.Value_Set{Item: splitList(inner)}
	default:
		amount, err := parseNumber(value)
		if err != nil {
			return err
		}
		m.Type = mesos.Value_SCALAR.Enum()
		m.Scalar = &mesos.Value_Scalar{Value: &amount}
	}
	return nil
}

func unwrap(value, closing string) (string, error) {
	inner, closed := strings.CutSuffix(value[1:], closing)
	if !closed {
		return "", fmt.Errorf("value %q does not end with %q: %s", value, closing, allowedValues)
	}
	return inner, nil
}

// splitList cuts at commas; an empty list has no elements.
func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	elements := strings.Split(text, ",")
	for i := range elements {
		elements[i] = strings.TrimSpace(elements[i])
	}
	return elements
}

func parseRange(text string) (*mesos.Value_Range, error) {
	begin, end, _ := strings.Cut(text, "-")
	from, err := strconv.ParseUint(strings.TrimSpace(begin), 10, 64)
	to, err2 := strconv.ParseUint(strings.TrimSpace(end), 10, 64)
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("range %q is not two whole numbers with a dash between them, like 31000-32000", text)
	}
	return &mesos.Value_Range{Begin: &from, End: &to}, nil
}

// parseNumber takes plain decimal numbers only, not all that Go calls one.
func parseNumber(text string) (float64, error) {
	amount, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, fmt.Errorf("value %q is not understood: %s", text, allowedValues)
	}
	return amount, nil
}
