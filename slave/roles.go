package slave

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// Roles of the nodes that a slave speaks with, and its own.
const (
	RoleMaster   actor.Role = "master"
	RoleSlave    actor.Role = "slave"
	RoleHost     actor.Role = "host"
	RoleExecutor actor.Role = "executor"
)

// May says which messages a slave takes from nodes of a role. It is meant for remote.Options: whoever sends another
// loses its connection.
func May(from actor.Role, message protoreflect.FullName) bool {
	switch from {
	case RoleMaster:
		return isOneOf(message,
			(*wire.SlaveRegistered)(nil), (*wire.SlaveReregistered)(nil), (*wire.RunTask)(nil), (*wire.KillTask)(nil),
			(*wire.AcknowledgeUpdate)(nil), (*wire.ShutdownExecutor)(nil), (*wire.RemoveFramework)(nil),
			(*wire.FrameworkMessage)(nil), (*wire.Refused)(nil))
	case RoleHost:
		return isOneOf(message,
			(*wire.RegisterHost)(nil), (*wire.ExecutorStarted)(nil), (*wire.ExecutorEnded)(nil),
			(*executorpb.Call)(nil), (*wire.Refused)(nil))
	case RoleExecutor:
		return isOneOf(message, (*executorpb.Call)(nil), (*wire.Refused)(nil))
	default:
		return false
	}
}

func isOneOf(name protoreflect.FullName, messages ...proto.Message) bool {
	for _, m := range messages {
		if m.ProtoReflect().Descriptor().FullName() == name {
			return true
		}
	}
	return false
}
