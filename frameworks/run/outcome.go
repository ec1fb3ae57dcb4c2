package run

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"

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
	i.Labels = mesos.LabelMap(s.GetLabels())
	i.ExitStatus, i.Signal = intLabel(s, mesos.LabelExitStatus), intLabel(s, mesos.LabelSignal)
	i.ExitCode, i.Reason = i.judge(s)
	if i.ExitCode < ExitFailed && mesos.LabelOf(s.GetLabels(), mesos.LabelOutputLostBytes) != "" {
		i.ExitCode, i.Reason = ExitFailed, ReasonOutputLost
	}
	if i.ExitCode != 0 {
		i.Message = cmp.Or(s.GetMessage(), fmt.Sprintf("ended as %s", s.GetState()))
	}
}

func (i *Instance) judge(s *mesos.TaskStatus) (code int, reason string) {
	switch s.GetState() {
	case mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_FAILED:
		if s.GetReason() == mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED && mesos.LabelOf(s.GetLabels(), mesos.LabelCause) == "" {
			return ExitFailed, ReasonLaunchFailed
		}
		return i.judgeCommand(mesos.LabelOf(s.GetLabels(), mesos.LabelCause))
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
	case mesos.CauseNotFound:
		return ExitNotFound, ReasonNotFound
	case mesos.CauseNotExecutable:
		return ExitNotExecutable, ReasonNotExecutable
	case mesos.CauseMemory:
		if i.Signal == nil && orElse(i.ExitStatus, 0) != 0 {
			return i.exitCode(), ReasonMemory // a child of the command was killed, and it has ended by itself
		}
		return exitSignal + orElse(i.Signal, sigkill), ReasonMemory
	case mesos.CausePIDs:
		return i.exitCode(), ReasonPIDs
	case mesos.CauseDisk:
		return exitSignal + orElse(i.Signal, sigkill), ReasonDisk
	case mesos.CauseLaunchFailed:
		return ExitFailed, ReasonLaunchFailed
	case mesos.CauseFetchFailed:
		return ExitFailed, ReasonFetchFailed
	case mesos.CauseInvalid:
		return ExitFailed, ReasonInvalid
	case mesos.CauseHostLost:
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

func intLabel(s *mesos.TaskStatus, key string) *int {
	n, err := strconv.Atoi(mesos.LabelOf(s.GetLabels(), key))
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
