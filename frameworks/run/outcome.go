package run

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/stoa-project/stoa/executor/command"
	"github.com/stoa-project/stoa/proto/mesos"
)

// Signals that are assumed where a status names none.
const (
	sigkill = 9
	sigterm = 15
)

// outcome fills in how an instance ended, from its last status.
func (i *Instance) outcome(s *mesos.TaskStatus) {
	i.Finished = timeOf(s)
	i.ExitStatus, i.Signal = intLabel(s, command.LabelExitStatus), intLabel(s, command.LabelSignal)
	i.ExitCode, i.Reason = i.judge(s)
	if i.ExitCode != 0 {
		i.Message = cmp.Or(s.GetMessage(), fmt.Sprintf("ended as %s", s.GetState()))
	}
}

func (i *Instance) judge(s *mesos.TaskStatus) (code int, reason string) {
	switch s.GetState() {
	case mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_FAILED:
		if s.GetReason() == mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED && label(s, command.LabelCause) == "" {
			return ExitFailed, ReasonLaunchFailed
		}
		return i.judgeCommand(label(s, command.LabelCause))
	case mesos.TaskState_TASK_KILLED:
		return exitSignal + orElse(i.Signal, sigterm), ReasonKilled
	case mesos.TaskState_TASK_ERROR:
		return ExitFailed, ReasonInvalid
	}
	return ExitFailed, ReasonLost
}

// judgeCommand judges a command that was tried.
func (i *Instance) judgeCommand(cause string) (code int, reason string) {
	switch cause {
	case command.CauseNotFound:
		return ExitNotFound, ReasonNotFound
	case command.CauseNotExecutable:
		return ExitNotExecutable, ReasonNotExecutable
	case command.CauseMemory:
		return exitSignal + orElse(i.Signal, sigkill), ReasonMemory
	case command.CausePIDs:
		return i.exitCode(), ReasonPIDs
	case command.CauseLaunchFailed:
		return ExitFailed, ReasonLaunchFailed
	case command.CauseInvalid:
		return ExitFailed, ReasonInvalid
	case command.CauseHostLost:
		return ExitFailed, ReasonLost
	}
	switch {
	case i.Signal != nil:
		return i.exitCode(), ReasonSignaled
	case i.ExitStatus != nil && *i.ExitStatus != 0:
		return i.exitCode(), ReasonExited
	case i.ExitStatus != nil || i.State == mesos.TaskState_TASK_FINISHED.String():
		return 0, ReasonFinished
	}
	return ExitFailed, ReasonFailed
}

// exitCode is that of a command that a signal ended, or its own status.
func (i *Instance) exitCode() int {
	if i.Signal != nil {
		return exitSignal + *i.Signal
	}
	return orElse(i.ExitStatus, ExitFailed)
}

func orElse(value *int, otherwise int) int {
	if value == nil {
		return otherwise
	}
	return *value
}

func label(s *mesos.TaskStatus, key string) string {
	for _, l := range s.GetLabels().GetLabels() {
		if l.GetKey() == key {
			return l.GetValue()
		}
	}
	return ""
}

func intLabel(s *mesos.TaskStatus, key string) *int {
	n, err := strconv.Atoi(label(s, key))
	if err != nil {
		return nil // absent, which is how a status says that it does not know
	}
	return &n
}

func timeOf(s *mesos.TaskStatus) *time.Time {
	if s.GetTimestamp() == 0 {
		return nil
	}
	whole, part := math.Modf(s.GetTimestamp())
	t := time.Unix(int64(whole), int64(part*float64(time.Second))).UTC()
	return &t
}
