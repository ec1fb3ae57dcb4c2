package wire_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/stoa-project/stoa/proto/mesos/agentpb"
	_ "github.com/stoa-project/stoa/proto/mesos/executorpb"
	_ "github.com/stoa-project/stoa/proto/mesos/masterpb"
	_ "github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// packages are those whose messages are sent as they are: what lies in them below the top is a part of these.
var packages = []protoreflect.FullName{
	wire.File_proto_wire_wire_proto.Package(),
	"mesos.v1.scheduler", "mesos.v1.executor", "mesos.v1.master", "mesos.v1.agent",
}

var roles = []string{wire.RoleMaster, wire.RoleSlave, wire.RoleHost, wire.RoleExecutor, wire.RoleFramework, wire.RoleOperator}

func TestEveryMessageHasARowInTheTableOfSendersAndEveryRowAMessage(t *testing.T) {
	rows := wire.Messages()
	var messages []protoreflect.FullName
	for _, name := range packages {
		before := len(messages)
		protoregistry.GlobalFiles.RangeFilesByPackage(name, func(file protoreflect.FileDescriptor) bool {
			list := file.Messages()
			for i := range list.Len() {
				messages = append(messages, list.Get(i).FullName())
			}
			return true
		})
		if len(messages) == before {
			t.Errorf("package %s has no messages: the test looks at the wrong place", name)
		}
	}
	for _, name := range messages {
		if !slices.Contains(rows, name) {
			t.Errorf("%s has no row in roles.go: say who may send it", name)
		}
	}
	for _, name := range rows {
		if !slices.Contains(messages, name) {
			t.Errorf("%s has a row in roles.go and is no message: remove the row", name)
		}
	}
}

// The whole table once more, as who may send what: a change of a row is a change of this list.
func TestWhoMaySendWhat(t *testing.T) {
	want := map[string]string{
		wire.RoleMaster: `AcknowledgeOperation AcknowledgeUpdate ApplyOperation Explanation FileChunk FrameworkMessage KillTask Mark Marked OperatorDone Peers ReadFile Refused RemoveFramework RunTask
			ShutdownExecutor SlaveRegistered SlaveReregistered mesos.v1.master.Response mesos.v1.scheduler.Event`,
		wire.RoleSlave: `ContainerStatistics DiskUsage ExecEnded ExecInput ExecOutput ExecResize ExecSignal ExecStarted ExecTaken
			ExecutorExited FrameworkMessage GetStatistics HostRegistered KillExecutor LaunchExecutor Mark Marked OperationUpdate Peers ReadFile Refused RegisterSlave
			ReregisterSlave ResizeExecutor StartExec TaskUpdate UnregisterSlave mesos.v1.executor.Event`,
		wire.RoleHost:      `ContainerStatistics ExecEnded ExecOutput ExecStarted ExecTaken ExecutorEnded ExecutorStarted Refused RegisterHost mesos.v1.executor.Call`,
		wire.RoleExecutor:  `mesos.v1.executor.Call`,
		wire.RoleFramework: `Explain FileChunk mesos.v1.master.Call mesos.v1.scheduler.Call`,
		wire.RoleOperator:  `ExecInput ExecResize ExecSignal ExecTaken ExecTask Explain GetDiskUsage GetStatistics ListPeers OperatorKillTask mesos.v1.master.Call`,
	}
	for _, role := range append(roles, "", "king") {
		var may []string
		for _, name := range wire.Messages() {
			if wire.May(role, name) {
				may = append(may, strings.TrimPrefix(string(name), "stoa.wire.v1."))
			}
		}
		slices.Sort(may)
		allowed := strings.Fields(want[role])
		slices.Sort(allowed)
		if got, want := fmt.Sprint(may), fmt.Sprint(allowed); got != want {
			t.Errorf("a node of role %q may send\n%s, expected\n%s", role, got, want)
		}
	}
}

func TestNobodySendsWhatHasNoRow(t *testing.T) {
	for _, role := range roles {
		for _, name := range []protoreflect.FullName{"no.such.Message", "mesos.v1.TaskInfo", "google.protobuf.StringValue", ""} {
			if wire.May(role, name) {
				t.Errorf("a node of role %s may send %q", role, name)
			}
		}
	}
}
