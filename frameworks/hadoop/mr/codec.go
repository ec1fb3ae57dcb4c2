package mr

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Codec turns values into bytes and back. Of keys, the order of the bytes is that in which they come to Reduce, and equal
// keys have equal bytes.
type Codec[T any] interface {
	// Append adds a value's bytes to b.
	Append(b []byte, value T) []byte
	// Parse reads what Append wrote. b is valid until the next value is read.
	Parse(b []byte) (T, error)
}

// keeper is a codec whose values share the memory of what they were read from.
type keeper[T any] interface {
	// Keep gives an equal value that lasts.
	Keep(value T) T
}

// String is the codec of texts, in the order of their bytes.
type String struct{}

// Append adds the text.
func (String) Append(b []byte, value string) []byte { return append(b, value...) }

// Parse takes any bytes.
func (String) Parse(b []byte) (string, error) { return string(b), nil }

// Bytes is the codec of bytes, in their order. It copies nothing: a function that keeps bytes copies them.
type Bytes struct{}

// Append adds the bytes.
func (Bytes) Append(b, value []byte) []byte { return append(b, value...) }

// Parse takes any bytes.
func (Bytes) Parse(b []byte) ([]byte, error) { return b, nil }

// Keep copies the bytes.
func (Bytes) Keep(value []byte) []byte { return bytes.Clone(value) }

// Int is the codec of whole numbers, in the order of numbers: 8 bytes, the highest first.
type Int struct{}

// signBit is flipped so that negative numbers come first.
const signBit = 1 << 63

// Append adds 8 bytes.
func (Int) Append(b []byte, value int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(value)^signBit)
}

// Parse wants 8 bytes.
func (Int) Parse(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%d bytes are no number: wanted are 8", len(b))
	}
	return int64(binary.BigEndian.Uint64(b) ^ signBit), nil
}

// None is the codec of values that are not needed: no bytes.
type None struct{}

// Append adds nothing.
func (None) Append(b []byte, _ struct{}) []byte { return b }

// Parse wants no bytes.
func (None) Parse(b []byte) (struct{}, error) {
	if len(b) != 0 {
		return struct{}{}, fmt.Errorf("%d bytes where nothing should be", len(b))
	}
	return struct{}{}, nil
}

// JSON is a codec for values of any type. As a key, the order is that of the texts.
type JSON[T any] struct{}

// Append panics if the value has no JSON: a channel, a function, a number that is not finite.
func (JSON[T]) Append(b []byte, value T) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("mr: a value without JSON: %v", err))
	}
	return append(b, text...)
}

// Parse reads one JSON text.
func (JSON[T]) Parse(b []byte) (value T, err error) { return value, json.Unmarshal(b, &value) }
