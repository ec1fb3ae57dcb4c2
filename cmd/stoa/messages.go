package main

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor/remote"
)

const (
	// maxMessageLine is how much of a message --log_messages shows, in bytes.
	maxMessageLine = 2000
	// maxMessageList is how many elements of a list it shows.
	maxMessageList = 8
)

// messageLogger logs each message that a daemon sends or receives.
func messageLogger(log zerolog.Logger) func(remote.Traced) {
	return func(m remote.Traced) {
		arrow := "<-"
		if m.Sent {
			arrow = "->"
		}
		log.Info().Str("peer", m.Peer.Node).Str("role", string(m.Peer.Role)).Str("from", m.From).Str("to", m.To).
			Msg(arrow + " " + describeMessage(m.Message))
	}
}

// describeMessage is a message as one readable line of limited length: its type and the fields that are set, without secrets. Of bytes only
// the length is shown, for nobody can tell what is in them.
func describeMessage(message proto.Message) string {
	d := messageWriter{}
	m := message.ProtoReflect()
	d.WriteString(string(m.Descriptor().Name()))
	d.message(m)
	text := d.String()
	if len(text) > maxMessageLine {
		return strings.ToValidUTF8(text[:maxMessageLine], "") + "…"
	}
	return text
}

type messageWriter struct{ strings.Builder }

func (d *messageWriter) message(m protoreflect.Message) {
	d.WriteByte('{')
	first := true
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) || d.Len() > maxMessageLine {
			continue
		}
		if !first {
			d.WriteByte(' ')
		}
		first = false
		d.WriteString(string(field.Name()) + ":")
		if isSecret(m, field) {
			d.WriteString("…")
			continue
		}
		d.field(field, m.Get(field))
	}
	d.WriteByte('}')
}

// isSecret tells the fields whose value is nobody's business: secrets by their name or type, and the values of variables, whatever they
// are called, because programs are given their secrets in them.
func isSecret(m protoreflect.Message, field protoreflect.FieldDescriptor) bool {
	if field.Message() != nil && field.Message().FullName() == "mesos.v1.Secret" {
		return true
	}
	switch field.Name() {
	case "secret", "password", "token", "credential", "credentials":
		return true
	case "value":
		return m.Descriptor().FullName() == "mesos.v1.Environment.Variable"
	default:
		return false
	}
}

func (d *messageWriter) field(field protoreflect.FieldDescriptor, value protoreflect.Value) {
	switch {
	case field.IsMap():
		d.mapOf(field, value.Map())
	case field.IsList():
		d.list(field, value.List())
	default:
		d.scalar(field, value)
	}
}

func (d *messageWriter) list(field protoreflect.FieldDescriptor, list protoreflect.List) {
	d.WriteByte('[')
	for i := range min(list.Len(), maxMessageList) {
		if i > 0 {
			d.WriteByte(' ')
		}
		d.scalar(field, list.Get(i))
	}
	if more := list.Len() - maxMessageList; more > 0 {
		fmt.Fprintf(d, " and %d more", more)
	}
	d.WriteByte(']')
}

// mapOf shows a map's keys: those of ours are environments.
func (d *messageWriter) mapOf(field protoreflect.FieldDescriptor, m protoreflect.Map) {
	var keys []string
	m.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key.String())
		return true
	})
	slices.SortFunc(keys, cmp.Compare[string])
	d.WriteByte('[')
	for i, key := range keys {
		if i > 0 {
			d.WriteByte(' ')
		}
		d.WriteString(key + "=…")
	}
	d.WriteByte(']')
}

func (d *messageWriter) scalar(field protoreflect.FieldDescriptor, value protoreflect.Value) {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		d.nested(value.Message())
	case protoreflect.EnumKind:
		if name := field.Enum().Values().ByNumber(value.Enum()); name != nil {
			d.WriteString(string(name.Name()))
			return
		}
		fmt.Fprint(d, value.Enum())
	case protoreflect.StringKind:
		d.WriteString(strconv.Quote(withoutPassword(value.String())))
	case protoreflect.BytesKind:
		fmt.Fprintf(d, "(%d bytes)", len(value.Bytes()))
	default:
		fmt.Fprint(d, value.Interface())
	}
}

// nested shows an id as its value alone: there are many of them.
func (d *messageWriter) nested(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	if fields.Len() == 1 && fields.Get(0).Name() == "value" && fields.Get(0).Kind() == protoreflect.StringKind && !fields.Get(0).IsList() {
		d.scalar(fields.Get(0), m.Get(fields.Get(0)))
		return
	}
	d.message(m)
}

// withoutPassword hides what stands between a user and the host of a URL, and what follows its path, where tokens are.
func withoutPassword(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return text
	}
	if parsed.RawQuery != "" {
		parsed.RawQuery = "…"
	}
	return parsed.Redacted()
}
