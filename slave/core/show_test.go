package core

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// show writes an output as scripts do.
func (b *bench) show(o Output) string {
	switch o := o.(type) {
	case Send:
		return "to " + b.names[o.Session] + ": " + showMessage(o.Message)
	case Launch:
		m := o.Message
		kind := "own"
		if m.GetCommandExecutor() {
			kind = "command"
		}
		return fmt.Sprintf("to %s: LaunchExecutor %s/%s %s kind=%s directory=%s user=%s", b.names[o.Session],
			m.GetFramework().GetId().GetValue(), m.GetExecutor().GetExecutorId().GetValue(), shortID(m.GetContainerId().GetValue()),
			kind, m.GetDirectory(), m.GetUser()) + showResources(" resources=", m.GetResources()) + showLimits(m.GetLimits())
	case ForgetSecret:
		return "forget the secret of " + shortID(o.ContainerID)
	case CloseSession:
		return fmt.Sprintf("close the session of %s: %s", b.names[o.Session], o.Reason)
	case Persist:
		var parts []string
		for _, change := range o.Changes {
			parts = append(parts, showChange(change))
		}
		return "persist " + strings.Join(parts, "; ")
	case PrepareSandbox:
		line := fmt.Sprintf("prepare sandbox %s/%s/%s/%s user=%s", o.SlaveID, o.FrameworkID, o.ExecutorID, shortID(o.ContainerID), o.User)
		if o.Asked != "" {
			line += " asked=" + o.Asked
		}
		if o.Principal != "" {
			line += " principal=" + o.Principal
		}
		for _, uri := range o.URIs {
			line += " uri=" + uri.GetValue()
		}
		if o.DiskBytes > 0 {
			line += fmt.Sprintf(" disk=%d", o.DiskBytes)
		}
		return line
	case AbandonSandbox:
		return "abandon the sandbox of " + shortID(o.ContainerID)
	case RemoveSandbox:
		return "remove sandbox " + o.Directory
	case MakeVolume:
		return fmt.Sprintf("make volume %s of role %s user=%s", o.ID, o.Role, o.User)
	case RemoveVolume:
		return fmt.Sprintf("remove volume %s of role %s", o.ID, o.Role)
	case StartHost:
		return "start host " + o.HostID
	case KillHost:
		return "kill host " + o.HostID
	case Finished:
		return strings.TrimSpace("finished " + o.Reason)
	case Note:
		return fmt.Sprintf("note (%s) %s", o.Level, o.Text)
	}
	panic(fmt.Sprintf("output %T", o))
}

func showMessage(m proto.Message) string {
	switch m := m.(type) {
	case *wire.RegisterSlave:
		return fmt.Sprintf("RegisterSlave hostname=%s version=%s cluster=%s", m.GetSlave().GetHostname(), m.GetVersion(), m.GetClusterId())
	case *wire.ReregisterSlave:
		s := fmt.Sprintf("ReregisterSlave id=%s cluster=%s", m.GetSlave().GetId().GetValue(), m.GetClusterId())
		for _, f := range m.GetFrameworks() {
			s += " framework=" + f.GetId().GetValue()
		}
		for _, e := range m.GetExecutors() {
			s += " executor=" + e.GetFrameworkId().GetValue() + "/" + e.GetExecutor().GetExecutorId().GetValue()
		}
		if !sameAsOwn(m) {
			s += showResources(" resources=", m.GetResources())
		}
		for _, op := range m.GetOperations() {
			s += fmt.Sprintf(" operation=%s/%s:%s", op.GetFrameworkId().GetValue(), op.GetStatus().GetOperationId().GetValue(), op.GetStatus().GetState())
		}
		for _, t := range m.GetTasks() {
			s += fmt.Sprintf(" task=%s/%s:%s:%s", t.GetFrameworkId().GetValue(), t.GetTaskId().GetValue(), t.GetState(), t.GetStatusUpdateState())
		}
		return s
	case *wire.TaskUpdate:
		s := fmt.Sprintf("TaskUpdate %s/%s %s uuid=%s", m.GetFrameworkId().GetValue(), m.GetStatus().GetTaskId().GetValue(),
			m.GetStatus().GetState(), shortUUID(m.GetStatus().GetUuid()))
		if m.GetLatest().GetState() != m.GetStatus().GetState() {
			s += fmt.Sprintf(" latest=%s", m.GetLatest().GetState())
		}
		if m.GetStatus().Reason != nil {
			s += fmt.Sprintf(" %s", m.GetStatus().GetReason())
		}
		if m.GetStatus().Message != nil {
			s += fmt.Sprintf(" %q", m.GetStatus().GetMessage())
		}
		for _, label := range m.GetStatus().GetLabels().GetLabels() {
			s += fmt.Sprintf(" %s=%s", strings.TrimPrefix(label.GetKey(), "stoa."), label.GetValue())
		}
		return s
	case *wire.OperationUpdate:
		return fmt.Sprintf("OperationUpdate %s/%s %s uuid=%s%s", m.GetFrameworkId().GetValue(), m.GetStatus().GetOperationId().GetValue(),
			m.GetStatus().GetState(), shortUUID(m.GetStatus().GetUuid().GetValue()), showResources(" converted=", m.GetStatus().GetConvertedResources()))
	case *wire.UnregisterSlave:
		return "UnregisterSlave " + m.GetSlaveId().GetValue()
	case *wire.ExecutorExited:
		return fmt.Sprintf("ExecutorExited %s/%s wait_status=%d", m.GetFrameworkId().GetValue(), m.GetExecutorId().GetValue(), m.GetWaitStatus())
	case *wire.FrameworkMessage:
		return fmt.Sprintf("FrameworkMessage %s/%s %q", m.GetFrameworkId().GetValue(), m.GetExecutorId().GetValue(), m.GetData())
	case *wire.Refused:
		return "Refused: " + m.GetReason()
	case *wire.HostRegistered:
		return strings.TrimSpace("HostRegistered " + m.GetSlaveId().GetValue())
	case *wire.ResizeExecutor:
		return "ResizeExecutor " + shortID(m.GetContainerId().GetValue()) + showResources(" to ", m.GetResources()) + showLimits(m.GetLimits())
	case *wire.KillExecutor:
		return "KillExecutor " + shortID(m.GetContainerId().GetValue())
	case *executorpb.Event:
		s := m.GetType().String()
		switch m.GetType() {
		case executorpb.Event_SUBSCRIBED:
			s += " container=" + shortID(m.GetSubscribed().GetContainerId().GetValue())
		case executorpb.Event_LAUNCH:
			s += " " + m.GetLaunch().GetTask().GetTaskId().GetValue()
		case executorpb.Event_KILL:
			s += " " + m.GetKill().GetTaskId().GetValue()
			if p := m.GetKill().GetKillPolicy(); p != nil {
				s += " grace=" + time.Duration(p.GetGracePeriod().GetNanoseconds()).String()
			}
		case executorpb.Event_ACKNOWLEDGED:
			s += " " + m.GetAcknowledged().GetTaskId().GetValue() + " uuid=" + shortUUID(m.GetAcknowledged().GetUuid())
		case executorpb.Event_MESSAGE:
			s += fmt.Sprintf(" %q", m.GetMessage().GetData())
		}
		return s
	}
	panic(fmt.Sprintf("message %T", m))
}

// sameAsOwn reports whether no operation has made anything of the slave's resources.
func sameAsOwn(m *wire.ReregisterSlave) bool {
	now, err := resource.FromProto(m.GetResources())
	own, err2 := resource.FromProto(m.GetSlave().GetResources())
	return err == nil && err2 == nil && now.Equal(own)
}

func showResources(before string, all []*mesos.Resource) string {
	if len(all) == 0 {
		return ""
	}
	r, err := resource.FromProto(all)
	if err != nil {
		return before + err.Error()
	}
	return before + r.String()
}

func showLimits(limits map[string]*mesos.Value_Scalar) string {
	var all []string
	for _, name := range sortedKeys(limits) {
		all = append(all, fmt.Sprintf("%s:%v", name, limits[name].GetValue()))
	}
	if len(all) == 0 {
		return ""
	}
	return " limits=" + strings.Join(all, ";")
}

func showChange(change Change) string {
	switch ch := change.(type) {
	case SlaveAdmitted:
		return "slave id " + ch.SlaveID + " of cluster " + ch.ClusterID
	case TaskAccepted:
		return fmt.Sprintf("task %s/%s executor=%s container=%s", ch.Framework.GetId().GetValue(), ch.Task.GetTaskId().GetValue(),
			ch.Executor.Info.GetExecutorId().GetValue(), shortID(ch.Executor.ContainerID))
	case UpdateStored:
		return fmt.Sprintf("update %s/%s %s uuid=%s", ch.FrameworkID, ch.Status.GetTaskId().GetValue(), ch.Status.GetState(), shortUUID(ch.Status.GetUuid()))
	case UpdateAcknowledged:
		return fmt.Sprintf("acknowledged %s/%s uuid=%s", ch.FrameworkID, ch.TaskID, shortUUID(ch.UUID))
	case ResourcesConverted:
		line := "resources" + showResources(" ", ch.Resources)
		if ch.Status != nil {
			line += fmt.Sprintf(" operation %s/%s %s", ch.Operation.FrameworkID, ch.Operation.OperationID, ch.Status.GetState())
		}
		return line
	case OperationForgotten:
		return fmt.Sprintf("end of operation %s/%s", ch.Operation.FrameworkID, ch.Operation.OperationID)
	case ExecutorForgotten:
		return fmt.Sprintf("end of executor %s/%s %s", ch.FrameworkID, ch.ExecutorID, shortID(ch.ContainerID))
	case FrameworkForgotten:
		return "end of framework " + ch.FrameworkID
	}
	panic(fmt.Sprintf("change %T", change))
}

// shortID writes a container id as C and its number, with the life of the slave if that is not the first.
func shortID(id string) string {
	life, err1 := strconv.ParseUint(strings.ReplaceAll(id[:min(18, len(id))], "-", ""), 16, 64)
	number, err2 := strconv.ParseUint(strings.ReplaceAll(id[min(18, len(id)):], "-", ""), 16, 64)
	if err1 != nil || err2 != nil {
		return id
	}
	if life == 1 {
		return fmt.Sprintf("C%d", number)
	}
	return fmt.Sprintf("C%d.%d", life, number)
}

// shortUUID writes an executor's uuid by its name, and the slave's own as its life and number.
func shortUUID(uuid []byte) string {
	switch {
	case uuid == nil:
		return "none"
	case len(uuid) == 16 && uuid[7] != 0 && uuid[15] < 32:
		return fmt.Sprintf("own-%d.%d", uuid[7], uuid[15])
	default:
		return strings.TrimLeft(string(uuid), "\x00")
	}
}
