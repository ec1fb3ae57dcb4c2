package codec

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Marshal writes m as JSON. It fails if a required field is not set; an error names it.
func Marshal(m proto.Message) ([]byte, error) {
	return appendMessage(nil, m.ProtoReflect())
}

func appendMessage(text []byte, m protoreflect.Message) ([]byte, error) {
	if m.Descriptor().FullName() == durationName {
		return appendDuration(text, m)
	}
	text = append(text, '{')
	first := true
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			if field.Cardinality() == protoreflect.Required {
				return nil, fmt.Errorf("cannot write %s: its required field %q is not set", m.Descriptor().FullName(), field.Name())
			}
			if !field.HasDefault() || isSilentDefault(field) {
				continue
			}
		}
		if !first {
			text = append(text, ',')
		}
		first = false
		text = appendString(text, string(field.Name()))
		text = append(text, ':')
		var err error
		if text, err = appendField(text, field, m.Get(field)); err != nil {
			return nil, err
		}
	}
	return append(text, '}'), nil
}

// isSilentDefault reports whether the default of a field that is not set stays unsaid. Both ways
// to write a reservation must not appear at once, nor a role next to roles.
func isSilentDefault(field protoreflect.FieldDescriptor) bool {
	return field.FullName() == "mesos.v1.Resource.role" || field.FullName() == "mesos.v1.FrameworkInfo.role"
}

func appendField(text []byte, field protoreflect.FieldDescriptor, value protoreflect.Value) ([]byte, error) {
	switch {
	case field.IsMap():
		return appendMap(text, field, value.Map())
	case field.IsList():
		return appendList(text, field, value.List())
	}
	return appendValue(text, field, value)
}

func appendList(text []byte, field protoreflect.FieldDescriptor, list protoreflect.List) ([]byte, error) {
	text = append(text, '[')
	for i := range list.Len() {
		if i > 0 {
			text = append(text, ',')
		}
		var err error
		if text, err = appendValue(text, field, list.Get(i)); err != nil {
			return nil, err
		}
	}
	return append(text, ']'), nil
}

func appendMap(text []byte, field protoreflect.FieldDescriptor, entries protoreflect.Map) ([]byte, error) {
	var keys []protoreflect.MapKey
	entries.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.SortFunc(keys, compareKeys)
	text = append(text, '{')
	for i, key := range keys {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendString(text, key.String())
		text = append(text, ':')
		var err error
		if text, err = appendValue(text, field.MapValue(), entries.Get(key)); err != nil {
			return nil, err
		}
	}
	return append(text, '}'), nil
}

// compareKeys orders by the text of the keys, which is what a reader of JSON sees.
func compareKeys(a, b protoreflect.MapKey) int {
	switch x, y := a.String(), b.String(); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func appendValue(text []byte, field protoreflect.FieldDescriptor, value protoreflect.Value) ([]byte, error) {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(text, value.Bool()), nil
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return strconv.AppendInt(text, value.Int(), 10), nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(text, value.Uint(), 10), nil
	case protoreflect.FloatKind:
		return appendFloat(text, value.Float(), 32), nil
	case protoreflect.DoubleKind:
		return appendFloat(text, value.Float(), 64), nil
	case protoreflect.StringKind:
		return appendString(text, value.String()), nil
	case protoreflect.BytesKind:
		text = append(text, '"')
		text = base64.StdEncoding.AppendEncode(text, value.Bytes())
		return append(text, '"'), nil
	case protoreflect.EnumKind:
		if named := field.Enum().Values().ByNumber(value.Enum()); named != nil {
			return appendString(text, string(named.Name())), nil
		}
		return strconv.AppendInt(text, int64(value.Enum()), 10), nil
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return appendMessage(text, value.Message())
	}
	panic(fmt.Sprintf("codec: field %s is of kind %v", field.FullName(), field.Kind()))
}

// appendFloat writes a double so that it stays one in languages that tell 4 from 4.0.
func appendFloat(text []byte, value float64, bits int) []byte {
	switch {
	case math.IsNaN(value):
		return append(text, `"NaN"`...)
	case math.IsInf(value, 1):
		return append(text, `"Infinity"`...)
	case math.IsInf(value, -1):
		return append(text, `"-Infinity"`...)
	}
	if size := math.Abs(value); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.AppendFloat(text, value, 'e', -1, bits)
	}
	begin := len(text)
	text = strconv.AppendFloat(text, value, 'f', -1, bits)
	if !slices.Contains(text[begin:], '.') {
		text = append(text, ".0"...)
	}
	return text
}

// appendString writes text that may contain anything, with all that is not printable ASCII escaped.
func appendString(text []byte, s string) []byte {
	text = append(text, '"')
	for s != "" {
		r, size := utf8.DecodeRuneInString(s) // RuneError for what is not UTF-8.
		s = s[size:]
		switch {
		case r == '"' || r == '\\':
			text = append(text, '\\', byte(r))
		case r >= ' ' && r < 0x7f:
			text = append(text, byte(r))
		case r == '\n':
			text = append(text, '\\', 'n')
		case r == '\t':
			text = append(text, '\\', 't')
		case r == '\r':
			text = append(text, '\\', 'r')
		case r <= 0xffff:
			text = appendEscape(text, r)
		default:
			r -= 0x10000
			text = appendEscape(text, 0xd800+r>>10)
			text = appendEscape(text, 0xdc00+r&0x3ff)
		}
	}
	return append(text, '"')
}

func appendEscape(text []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(text, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}
