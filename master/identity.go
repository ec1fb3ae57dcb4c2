package master

import (
	"crypto/sha256"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/proto/wire"
)

// withDigest returns a slave's introduction with the digest of its secret in its place, and any other message as it is.
// A digest is all that is needed to know the slave again, so that its secret is known to no core and to no recording.
func withDigest(message proto.Message) proto.Message {
	var secret []byte
	switch m := message.(type) {
	case *wire.RegisterSlave:
		secret = m.GetSecret()
	case *wire.ReregisterSlave:
		secret = m.GetSecret()
	}
	if len(secret) == 0 {
		return message
	}
	digest := sha256.Sum256(secret)
	from := message.ProtoReflect()
	to := from.New()
	from.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		to.Set(field, value)
		return true
	})
	to.Set(to.Descriptor().Fields().ByName("secret"), protoreflect.ValueOfBytes(digest[:]))
	return to.Interface()
}
