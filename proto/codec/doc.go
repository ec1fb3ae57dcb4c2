// Package codec turns messages into the bytes that go over HTTP, and back: JSON or protobuf bodies,
// and the frames of a stream of them.
//
// The JSON is the dialect that Mesos v1 clients write and parse, which differs from protobuf's own
// JSON. Writing:
//
//   - names as in the .proto files (`task_id`), enums by name, bytes in base64, maps as objects;
//   - 64-bit numbers as numbers, never as strings; doubles always with a fraction or an exponent;
//   - every field that is set, and of those that are not the ones with a default, except repeated;
//   - ASCII only and on one line, so that bytes, characters and lines can be counted by anybody.
//
// Reading is tolerant: null means unset, unknown fields and unknown names of optional enums are
// left out, numbers may come as strings and booleans too. What cannot be understood is an error of
// one line that names the field, what was seen, and what is allowed.
//
// The same message always gives the same bytes, in every build.
//
// A stream is a sequence of records, each its length in decimal, a newline, and that many bytes
// (RecordIO).
package codec
