package core

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// describe is a message in one line, with what matters in it.
func describe(message proto.Message) string {
	switch m := message.(type) {
	case *schedulerpb.Event:
		return describeEvent(m)
	case *wire.SlaveRegistered:
		return fmt.Sprintf("SlaveRegistered %s in cluster %s", m.GetSlaveId().GetValue(), m.GetClusterId())
	case *wire.SlaveReregistered:
		return fmt.Sprintf("SlaveReregistered %s in cluster %s", m.GetSlaveId().GetValue(), m.GetClusterId())
	case *wire.Refused:
		return "Refused: " + m.GetReason()
	case *wire.RunTask:
		t := m.GetTask()
		line := fmt.Sprintf("RunTask %s/%s %s", m.GetFramework().GetId().GetValue(), t.GetTaskId().GetValue(), text(t.GetResources()))
		if e := t.GetExecutor(); e != nil {
			line += fmt.Sprintf(" under executor %s/%s %s", e.GetFrameworkId().GetValue(), e.GetExecutorId().GetValue(), text(e.GetResources()))
		}
		if m.GetExecutorRuns() {
			line += " that runs"
		}
		return line
	case *wire.ApplyOperation:
		return describeOperation(m)
	case *wire.AcknowledgeOperation:
		return fmt.Sprintf("AcknowledgeOperation %s/%s %s", m.GetFrameworkId().GetValue(), m.GetOperationId().GetValue(), uuidText(m.GetUuid()))
	case *wire.Explanation:
		return describeExplanation(m)
	case *wire.KillTask:
		text := fmt.Sprintf("KillTask %s/%s", m.GetFrameworkId().GetValue(), m.GetTaskId().GetValue())
		if grace := m.GetKillPolicy().GetGracePeriod(); grace != nil {
			text += fmt.Sprintf(" within %v", time.Duration(grace.GetNanoseconds()))
		}
		if m.GetKilledBy() == mesos.KilledByMaster { // for whom, it is asked, is seen before it
			text += " by master"
		}
		return text
	case *wire.ShutdownExecutor:
		return fmt.Sprintf("ShutdownExecutor %s/%s", m.GetFrameworkId().GetValue(), m.GetExecutorId().GetValue())
	case *wire.RemoveFramework:
		return "RemoveFramework " + m.GetFrameworkId().GetValue()
	case *wire.AcknowledgeUpdate:
		return fmt.Sprintf("AcknowledgeUpdate %s/%s %s", m.GetFrameworkId().GetValue(), m.GetTaskId().GetValue(), uuidText(m.GetUuid()))
	case *wire.FrameworkMessage:
		return fmt.Sprintf("FrameworkMessage %s/%s %q", m.GetFrameworkId().GetValue(), m.GetExecutorId().GetValue(), m.GetData())
	case *wire.OperatorDone:
		return "OperatorDone"
	case *masterpb.Response:
		return m.GetType().String()
	}
	return fmt.Sprintf("%T", message)
}

func describeOperation(m *wire.ApplyOperation) string {
	line := "ApplyOperation " + m.GetOperation().GetType().String()
	if m.GetFrameworkId() != nil {
		line += " of " + m.GetFrameworkId().GetValue()
	}
	if id := m.GetOperation().GetId(); id != nil {
		line += "/" + id.GetValue()
	}
	conversion, err := resource.Convert(m.GetOperation())
	if err != nil {
		return line + ": " + err.Error()
	}
	return fmt.Sprintf("%s: %v becomes %v", line, conversion.From, conversion.To)
}

func uuidText(uuid []byte) string { return strings.TrimRight(string(uuid), "\x00") }

func describeEvent(e *schedulerpb.Event) string {
	switch e.GetType() {
	case schedulerpb.Event_SUBSCRIBED:
		return fmt.Sprintf("SUBSCRIBED %s, heartbeat %vs", e.GetSubscribed().GetFrameworkId().GetValue(), e.GetSubscribed().GetHeartbeatIntervalSeconds())
	case schedulerpb.Event_OFFERS:
		var offers []string
		for _, o := range e.GetOffers().GetOffers() {
			offers = append(offers, describeOffer(o))
		}
		return "OFFERS " + strings.Join(offers, ", ")
	case schedulerpb.Event_INVERSE_OFFERS:
		var offers []string
		for _, o := range e.GetInverseOffers().GetInverseOffers() {
			offers = append(offers, fmt.Sprintf("%s of %s, away %s", o.GetId().GetValue(), o.GetAgentId().GetValue(), describeUnavailability(o.GetUnavailability())))
		}
		return "INVERSE_OFFERS " + strings.Join(offers, ", ")
	case schedulerpb.Event_RESCIND_INVERSE_OFFER:
		return "RESCIND_INVERSE_OFFER " + e.GetRescindInverseOffer().GetInverseOfferId().GetValue()
	case schedulerpb.Event_RESCIND:
		return "RESCIND " + e.GetRescind().GetOfferId().GetValue()
	case schedulerpb.Event_UPDATE:
		return "UPDATE " + describeStatus(e.GetUpdate().GetStatus())
	case schedulerpb.Event_UPDATE_OPERATION_STATUS:
		s := e.GetUpdateOperationStatus().GetStatus()
		line := fmt.Sprintf("UPDATE_OPERATION_STATUS %s %v", s.GetOperationId().GetValue(), strings.TrimPrefix(s.GetState().String(), "OPERATION_"))
		if s.Message != nil {
			line += ": " + s.GetMessage()
		}
		if s.Uuid != nil {
			line += " uuid " + uuidText(s.GetUuid().GetValue())
		}
		return line
	case schedulerpb.Event_MESSAGE:
		return fmt.Sprintf("MESSAGE %s@%s %q", e.GetMessage().GetExecutorId().GetValue(), e.GetMessage().GetAgentId().GetValue(), e.GetMessage().GetData())
	case schedulerpb.Event_FAILURE:
		if e.GetFailure().ExecutorId == nil {
			return "FAILURE of slave " + e.GetFailure().GetAgentId().GetValue()
		}
		return fmt.Sprintf("FAILURE of executor %s@%s, wait status %d", e.GetFailure().GetExecutorId().GetValue(), e.GetFailure().GetAgentId().GetValue(), *e.GetFailure().Status)
	case schedulerpb.Event_ERROR:
		return "ERROR " + e.GetError().GetMessage()
	}
	return e.GetType().String()
}

func describeOffer(o *mesos.Offer) string {
	line := fmt.Sprintf("%s of %s: %s", o.GetId().GetValue(), o.GetAgentId().GetValue(), text(o.GetResources()))
	if o.AllocationInfo != nil {
		line += " [" + o.GetAllocationInfo().GetRole() + "]"
	}
	if o.Unavailability != nil {
		line += ", away " + describeUnavailability(o.GetUnavailability())
	}
	for _, e := range o.GetExecutorIds() {
		line += " beside " + e.GetValue()
	}
	return line
}

func describeStatus(s *mesos.TaskStatus) string {
	line := s.GetTaskId().GetValue() + " " + strings.TrimPrefix(s.GetState().String(), "TASK_")
	if s.AgentId != nil {
		line += " on " + s.GetAgentId().GetValue()
	}
	if s.Reason != nil {
		line += " " + strings.TrimPrefix(s.GetReason().String(), "REASON_")
	}
	if s.Message != nil {
		line += " (" + s.GetMessage() + ")"
	}
	if s.UnreachableTime != nil {
		line += " since " + fmt.Sprint(s.GetUnreachableTime().GetNanoseconds()/1e9)
	}
	if len(s.GetUuid()) > 0 {
		line += " uuid " + uuidText(s.GetUuid())
	}
	return line
}

func describeExplanation(m *wire.Explanation) string {
	text := "Explanation"
	for _, w := range m.GetWaiting() {
		text += fmt.Sprintf("\n    %s%s: share %.2f against fair %.2f", or(w.GetFrameworkId().GetValue(), "anybody "), "("+w.GetRole()+")", w.GetShare(), w.GetFairShare())
		for _, reason := range w.GetReasons() {
			text += "; " + reason
		}
		for _, sl := range w.GetSlaves() {
			text += fmt.Sprintf("\n      %s: %s", sl.GetHostname(), sl.GetReason())
		}
	}
	return text
}
