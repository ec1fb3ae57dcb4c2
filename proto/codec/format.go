package codec

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Media types of bodies. They are compared as they are written here: no parameters, no charset.
const (
	MediaJSON     = "application/json"
	MediaProtobuf = "application/x-protobuf"
	MediaRecordIO = "application/recordio"
)

// Format is how the messages of one body or stream are written. The zero value is JSON.
type Format uint8

// The formats that Mesos v1 clients speak.
const (
	JSON Format = iota
	Protobuf
)

// FormatOf returns the format of a media type, and whether there is one.
func FormatOf(mediaType string) (Format, bool) {
	switch mediaType {
	case MediaJSON:
		return JSON, true
	case MediaProtobuf:
		return Protobuf, true
	}
	return 0, false
}

// MediaType returns the media type of the format.
func (f Format) MediaType() string {
	if f == Protobuf {
		return MediaProtobuf
	}
	return MediaJSON
}

// Marshal writes m in the format f. It fails if a required field is not set.
func (f Format) Marshal(m proto.Message) ([]byte, error) {
	if f == Protobuf {
		return proto.Marshal(m)
	}
	return Marshal(m)
}

// Unmarshal reads m from the format f; what m held before is lost. An error is one line for
// whoever sent the bytes.
func (f Format) Unmarshal(data []byte, m proto.Message) error {
	if f != Protobuf {
		return Unmarshal(data, m)
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return fmt.Errorf("the body is not a %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}
