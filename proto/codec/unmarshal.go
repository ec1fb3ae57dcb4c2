package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// MaxDepth is how deep objects and arrays may be nested. The vocabulary itself needs about 20;
	// deeper input is an attack on the stack.
	MaxDepth = 200

	// maxShownBytes is how much of a bad value an error message repeats.
	maxShownBytes = 60
)

// Unmarshal reads m from JSON; what m held before is lost. The input may be hostile. An error is
// one line for whoever sent it.
func Unmarshal(text []byte, m proto.Message) error {
	proto.Reset(m)
	if err := checkDepth(text); err != nil {
		return err
	}
	value, err := decodeJSON(text)
	if err != nil {
		return err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("the body is %s: it must be a JSON object", show(value))
	}
	return readMessage(object, m.ProtoReflect(), nil)
}

// checkDepth looks at brackets only, so that deep input is refused before anything is built of it.
func checkDepth(text []byte) error {
	depth, inString, escaped := 0, false, false
	for i, c := range text {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("JSON is nested deeper than %d at byte %d", MaxDepth, i)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // A double holds no more than 53 bits of a number.
	var value any
	switch err := decoder.Decode(&value); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the body is empty: it must be a JSON object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the body is not JSON: it ends too early")
	case err != nil:
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the body goes on after the JSON object, at byte %d", decoder.InputOffset())
	}
	return value, nil
}

// path is where in the input a value stands.
type path []string

func (p path) field(name string) path { return append(p[:len(p):len(p)], "."+name) }
func (p path) index(i int) path       { return append(p[:len(p):len(p)], fmt.Sprintf("[%d]", i)) }
func (p path) key(k string) path      { return append(p[:len(p):len(p)], fmt.Sprintf("[%s]", show(k))) }

func (p path) wants(what string, value any) error {
	return fmt.Errorf("%s is %s: it must be %s", p, show(value), what)
}

func (p path) String() string {
	if len(p) == 0 {
		return "the body"
	}
	return strings.TrimPrefix(strings.Join(p, ""), ".")
}

func readMessage(object map[string]any, m protoreflect.Message, at path) error {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if value := object[string(field.Name())]; value != nil {
			if err := readField(value, m, field, at.field(string(field.Name()))); err != nil {
				return err
			}
		}
		if field.Cardinality() == protoreflect.Required && !m.Has(field) {
			return fmt.Errorf("%s is missing", at.field(string(field.Name())))
		}
	}
	return nil
}

func readField(value any, m protoreflect.Message, field protoreflect.FieldDescriptor, at path) error {
	switch {
	case field.IsMap():
		return readMap(value, m.Mutable(field).Map(), field, at)
	case field.IsList():
		return readList(value, m.Mutable(field).List(), field, at)
	case field.Message() != nil:
		return readSubmessage(value, m.Mutable(field).Message(), at)
	}
	scalar, err := readScalar(value, field, at)
	if err != nil {
		// A name that is newer than we are is as good as none.
		if isUnknownName(err) && field.Cardinality() == protoreflect.Optional {
			return nil
		}
		return err
	}
	m.Set(field, scalar)
	return nil
}

func readSubmessage(value any, m protoreflect.Message, at path) error {
	if text, ok := value.(string); ok && m.Descriptor().FullName() == durationName {
		return readDuration(text, m, at)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return at.wants("an object", value)
	}
	return readMessage(object, m, at)
}

func readList(value any, list protoreflect.List, field protoreflect.FieldDescriptor, at path) error {
	values, ok := value.([]any)
	if !ok {
		return at.wants("an array", value)
	}
	for i, value := range values {
		if field.Message() != nil {
			if err := readSubmessage(value, list.AppendMutable().Message(), at.index(i)); err != nil {
				return err
			}
			continue
		}
		scalar, err := readScalar(value, field, at.index(i))
		if isUnknownName(err) {
			continue
		}
		if err != nil {
			return err
		}
		list.Append(scalar)
	}
	return nil
}

func readMap(value any, entries protoreflect.Map, field protoreflect.FieldDescriptor, at path) error {
	object, ok := value.(map[string]any)
	if !ok {
		return at.wants("an object", value)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		// Keys are strings in JSON, whatever they are in the message.
		key, err := readScalar(name, field.MapKey(), at.key(name))
		if err != nil {
			return err
		}
		value := object[name]
		if value == nil {
			continue
		}
		if field.MapValue().Message() != nil {
			if err := readSubmessage(value, entries.Mutable(key.MapKey()).Message(), at.key(name)); err != nil {
				return err
			}
			continue
		}
		scalar, err := readScalar(value, field.MapValue(), at.key(name))
		if err != nil {
			return err
		}
		entries.Set(key.MapKey(), scalar)
	}
	return nil
}

// unknownNameError is about an enum whose name or number is not in its list.
type unknownNameError struct{ error }

func isUnknownName(err error) bool {
	var unknown unknownNameError
	return errors.As(err, &unknown)
}

func readScalar(value any, field protoreflect.FieldDescriptor, at path) (protoreflect.Value, error) {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return readBool(value, at)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		n, err := readInt(value, 32, at)
		return protoreflect.ValueOfInt32(int32(n)), err
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		n, err := readInt(value, 64, at)
		return protoreflect.ValueOfInt64(n), err
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		n, err := readUint(value, 32, at)
		return protoreflect.ValueOfUint32(uint32(n)), err
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		n, err := readUint(value, 64, at)
		return protoreflect.ValueOfUint64(n), err
	case protoreflect.FloatKind:
		f, err := readFloat(value, at)
		return protoreflect.ValueOfFloat32(float32(f)), err
	case protoreflect.DoubleKind:
		f, err := readFloat(value, at)
		return protoreflect.ValueOfFloat64(f), err
	case protoreflect.StringKind:
		if text, ok := value.(string); ok {
			return protoreflect.ValueOfString(text), nil
		}
		return protoreflect.Value{}, at.wants("a string", value)
	case protoreflect.BytesKind:
		return readBytes(value, at)
	case protoreflect.EnumKind:
		return readEnum(value, field.Enum(), at)
	case protoreflect.MessageKind, protoreflect.GroupKind:
	}
	panic(fmt.Sprintf("codec: field %s is of kind %v", field.FullName(), field.Kind()))
}

func readBool(value any, at path) (protoreflect.Value, error) {
	switch value {
	case true, "true":
		return protoreflect.ValueOfBool(true), nil
	case false, "false":
		return protoreflect.ValueOfBool(false), nil
	}
	return protoreflect.Value{}, at.wants("true or false", value)
}

// digitsOf returns the text of a number, be it a number or a string in the input.
func digitsOf(value any) (string, bool) {
	switch v := value.(type) {
	case json.Number:
		return v.String(), true
	case string:
		return v, true
	}
	return "", false
}

func readInt(value any, bits int, at path) (int64, error) {
	if digits, ok := digitsOf(value); ok {
		if n, err := strconv.ParseInt(digits, 10, bits); err == nil {
			return n, nil
		}
		// 5.0 and 1e9 are whole numbers too; a fraction is cut off.
		limit := math.Ldexp(1, bits-1)
		if f, err := parseFloat(digits); err == nil && f >= -limit && f < limit {
			return int64(f), nil
		}
	}
	return 0, at.wants(fmt.Sprintf("a whole number of %d bits", bits), value)
}

func readUint(value any, bits int, at path) (uint64, error) {
	if digits, ok := digitsOf(value); ok {
		if n, err := strconv.ParseUint(digits, 10, bits); err == nil {
			return n, nil
		}
		if f, err := parseFloat(digits); err == nil && f >= 0 && f < math.Ldexp(1, bits) {
			return uint64(f), nil
		}
	}
	return 0, at.wants(fmt.Sprintf("a whole number of %d bits that is not negative", bits), value)
}

func readFloat(value any, at path) (float64, error) {
	switch value {
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	case "NaN":
		return math.NaN(), nil
	}
	if digits, ok := digitsOf(value); ok {
		if f, err := parseFloat(digits); err == nil {
			return f, nil
		}
	}
	return 0, at.wants("a number", value)
}

// parseFloat takes plain decimal numbers, and no more than that of what Go calls one.
func parseFloat(digits string) (float64, error) {
	if strings.Trim(digits, "0123456789+-.eE") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(digits, 64)
}

func readBytes(value any, at path) (protoreflect.Value, error) {
	text, ok := value.(string)
	if ok {
		text = strings.TrimRight(text, "=") // Some clients pad, some do not.
		if data, err := base64.RawStdEncoding.DecodeString(text); err == nil {
			return protoreflect.ValueOfBytes(data), nil
		}
	}
	return protoreflect.Value{}, at.wants("a string in base64", value)
}

func readEnum(value any, enum protoreflect.EnumDescriptor, at path) (protoreflect.Value, error) {
	var named protoreflect.EnumValueDescriptor
	switch v := value.(type) {
	case string:
		named = enum.Values().ByName(protoreflect.Name(v))
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 32); err == nil {
			named = enum.Values().ByNumber(protoreflect.EnumNumber(n))
		}
	default:
		return protoreflect.Value{}, at.wants("a name of "+string(enum.FullName()), value)
	}
	if named == nil {
		return protoreflect.Value{}, unknownNameError{at.wants("a name of "+string(enum.FullName()), value)}
	}
	return protoreflect.ValueOfEnum(named.Number()), nil
}

// show writes a value for an error message: short, and on one line.
func show(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	case string:
		if len(v) > maxShownBytes {
			return fmt.Sprintf("%q…", v[:maxShownBytes])
		}
		return strconv.Quote(v)
	}
	text := fmt.Sprint(value)
	if len(text) > maxShownBytes {
		text = text[:maxShownBytes] + "…"
	}
	return text
}
