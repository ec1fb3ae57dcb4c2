package wire_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/proto/wire"
)

func TestEveryMessageOfTheWireHasARowInTheTableOfSenders(t *testing.T) {
	rows := map[string]bool{}
	for _, name := range wire.Messages() {
		rows[string(name)] = true
	}
	messages := wire.File_proto_wire_wire_proto.Messages()
	for i := range messages.Len() {
		if name := messages.Get(i).FullName(); !rows[string(name)] {
			t.Errorf("%s has no row in roles.go: say who may send it", name)
		}
	}
}

func TestNobodySendsWhatIsNotTheirs(t *testing.T) {
	for _, test := range []struct {
		role    string
		message string
		may     bool
	}{
		{wire.RoleFramework, "mesos.v1.scheduler.Call", true},
		{wire.RoleFramework, "stoa.wire.v1.RunTask", false},
		{wire.RoleExecutor, "stoa.wire.v1.RegisterSlave", false},
		{wire.RoleExecutor, "stoa.wire.v1.RegisterHost", false},
		{wire.RoleSlave, "stoa.wire.v1.StartContainer", false},
		{wire.RoleOperator, "stoa.wire.v1.OperatorKillTask", true},
		{wire.RoleFramework, "stoa.wire.v1.OperatorKillTask", false},
		{wire.RoleMaster, "no.such.Message", false},
	} {
		if got := wire.May(test.role, protoreflect.FullName(test.message)); got != test.may {
			t.Errorf("May(%s, %s) = %v, want %v", test.role, test.message, got, test.may)
		}
	}
}
