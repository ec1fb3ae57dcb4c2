package codec

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// durationName is the one well-known type in the vocabulary. In JSON it is a string, "1.5s"; an
// object of its fields is understood as well.
const durationName protoreflect.FullName = "google.protobuf.Duration"

// maxDurationSeconds is what a protobuf Duration can hold, about 10,000 years (duration.proto).
const maxDurationSeconds = 315_576_000_000

const nanosecondDigits = 9

func appendDuration(text []byte, m protoreflect.Message) ([]byte, error) {
	seconds, nanos := durationFields(m)
	s, n := m.Get(seconds).Int(), m.Get(nanos).Int()
	text = append(text, '"')
	if s < 0 || n < 0 {
		text = append(text, '-')
		s, n = -s, -n
	}
	text = strconv.AppendInt(text, s, 10)
	if n != 0 {
		text = append(text, '.')
		text = append(text, strings.TrimRight(fmt.Sprintf("%09d", n), "0")...)
	}
	return append(text, 's', '"'), nil
}

func readDuration(value string, m protoreflect.Message, at path) error {
	wrong := at.wants(`a number of seconds followed by s, like "1.5s"`, value)
	digits, ok := strings.CutSuffix(value, "s")
	if !ok {
		return wrong
	}
	digits, negative := strings.CutPrefix(digits, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(fraction) > nanosecondDigits {
		return wrong
	}
	s, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || s > maxDurationSeconds {
		return wrong
	}
	n, err := strconv.ParseUint(fraction+strings.Repeat("0", nanosecondDigits-len(fraction)), 10, 31)
	if err != nil {
		return wrong
	}
	sign := int64(1)
	if negative {
		sign = -1
	}
	seconds, nanos := durationFields(m)
	m.Set(seconds, protoreflect.ValueOfInt64(sign*int64(s)))
	m.Set(nanos, protoreflect.ValueOfInt32(int32(sign)*int32(n)))
	return nil
}

func durationFields(m protoreflect.Message) (seconds, nanos protoreflect.FieldDescriptor) {
	fields := m.Descriptor().Fields()
	return fields.ByName("seconds"), fields.ByName("nanos")
}
