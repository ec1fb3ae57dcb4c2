package command

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

const sigterm = int32(syscall.SIGTERM)

const bytesPerMiB = 1 << 20

// terminal says what the end of its container means for a task that was being ended for the reason why, if at all.
// The status lacks the task's id.
func terminal(task *mesos.TaskInfo, why intent, exit *wire.ContainerExit) *mesos.TaskStatus {
	status := &mesos.TaskStatus{Labels: exitLabels(why, exit)}
	end := func(state mesos.TaskState, message string) *mesos.TaskStatus {
		status.State, status.Message = state.Enum(), proto.String(message)
		return status
	}
	switch why {
	case byKill:
		return end(mesos.TaskState_TASK_KILLED, "killed; the command "+describe(exit))
	case byShutdown:
		return end(mesos.TaskState_TASK_KILLED, "the executor was shut down; the command "+describe(exit))
	case byTimeAllowed:
		status.Reason = mesos.TaskStatus_REASON_MAX_COMPLETION_TIME_REACHED.Enum()
		return end(mesos.TaskState_TASK_FAILED, fmt.Sprintf("ran longer than the allowed %s", time.Duration(task.GetMaxCompletionTime().GetNanoseconds())))
	}
	switch exit.GetCause() {
	case wire.ContainerExit_EXITED:
		if exit.GetWaitStatus() == 0 {
			return end(mesos.TaskState_TASK_FINISHED, describe(exit))
		}
		return end(mesos.TaskState_TASK_FAILED, describe(exit))
	case wire.ContainerExit_NOT_FOUND, wire.ContainerExit_NOT_EXECUTABLE, wire.ContainerExit_LAUNCH_FAILED:
		status.Reason = mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED.Enum()
		return end(mesos.TaskState_TASK_FAILED, cmp.Or(exit.GetMessage(), fmt.Sprintf("%s: %s", describe(exit), commandName(task.GetCommand()))))
	case wire.ContainerExit_MEMORY:
		status.Reason = mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY.Enum()
		status.Limitation = mesos.LimitationOf("mem", max(exit.GetMemoryPeakBytes(), exit.GetMemoryLimitBytes()))
		return end(mesos.TaskState_TASK_FAILED, describe(exit))
	case wire.ContainerExit_PIDS:
		status.Reason = mesos.TaskStatus_REASON_CONTAINER_LIMITATION.Enum()
		return end(mesos.TaskState_TASK_FAILED, describe(exit))
	case wire.ContainerExit_DISK:
		status.Reason = mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK.Enum()
		status.Limitation = mesos.LimitationOf("disk", exit.GetDiskUsedBytes())
		return end(mesos.TaskState_TASK_FAILED, describe(exit))
	default:
		// Somebody ended the container past this executor.
		status.Reason = mesos.TaskStatus_REASON_EXECUTOR_TERMINATED.Enum()
		return end(mesos.TaskState_TASK_FAILED, cmp.Or(exit.GetMessage(), describe(exit)))
	}
}

// describe puts the end of a container into words that follow "the command" or stand alone.
func describe(exit *wire.ContainerExit) string {
	switch exit.GetCause() {
	case wire.ContainerExit_NOT_FOUND:
		return "was not found"
	case wire.ContainerExit_NOT_EXECUTABLE:
		return "can't be executed"
	case wire.ContainerExit_LAUNCH_FAILED:
		return "was not started"
	case wire.ContainerExit_MEMORY:
		return fmt.Sprintf("outgrew its memory: limit %s, peak %s", mebibytes(exit.GetMemoryLimitBytes()), mebibytes(exit.GetMemoryPeakBytes()))
	case wire.ContainerExit_DISK:
		has := fmt.Sprintf("outgrew its disk: limit %s, its sandbox has %s", mebibytes(exit.GetDiskLimitBytes()), mebibytes(exit.GetDiskUsedBytes()))
		if unlinked := exit.GetDiskUnlinkedBytes(); unlinked > 0 {
			has += fmt.Sprintf(", %s of it in files that were removed and still open", mebibytes(unlinked))
		}
		return has
	case wire.ContainerExit_HOST_LOST:
		return "ended with its host"
	}
	ended := describeStatus(exit)
	if exit.GetCause() == wire.ContainerExit_PIDS {
		ended += fmt.Sprintf(", having reached its limit of %d processes", exit.GetPidsLimit())
	}
	if exit.GetMessage() != "" && exit.GetCause() != wire.ContainerExit_KILLED {
		ended += "; " + exit.GetMessage() // what of its output was lost
	}
	return ended
}

func describeStatus(exit *wire.ContainerExit) string {
	status := syscall.WaitStatus(exit.GetWaitStatus())
	switch {
	case status.Signaled():
		return "ended by signal " + signalName(status.Signal())
	case exit.GetCause() == wire.ContainerExit_KILLED && status == 0:
		return "did not run to its end"
	default:
		return fmt.Sprintf("exited with status %d", status.ExitStatus())
	}
}

func signalName(signal syscall.Signal) string {
	return cmp.Or(unix.SignalName(signal), strconv.Itoa(int(signal)))
}

// mebibytes writes an amount of memory or disk for people, to two decimals; 0 is not known.
func mebibytes(amount uint64) string {
	switch {
	case amount == 0:
		return "unknown"
	case amount < bytesPerMiB/100:
		return fmt.Sprintf("%d bytes", amount)
	}
	return strconv.FormatFloat(math.Round(float64(amount)/bytesPerMiB*100)/100, 'f', -1, 64) + " MiB"
}

// commandName is what a command is called in messages.
func commandName(command *mesos.CommandInfo) string { return strconv.Quote(command.GetValue()) }

// exitLabels is the end of a container in the words of mesos/labels.go.
func exitLabels(why intent, exit *wire.ContainerExit) *mesos.Labels {
	pairs := []string{mesos.LabelCause, cause(why, exit)}
	status := syscall.WaitStatus(exit.GetWaitStatus())
	ran := exit.GetStartedUnixNanos() != 0 || exit.GetCause() == wire.ContainerExit_EXITED
	switch {
	case status.Signaled():
		pairs = append(pairs, mesos.LabelSignal, strconv.Itoa(int(status.Signal())))
	case ran && status.Exited():
		pairs = append(pairs, mesos.LabelExitStatus, strconv.Itoa(status.ExitStatus()))
	}
	if exit.GetCpuSeconds() > 0 {
		pairs = append(pairs, mesos.LabelCPUSeconds, seconds(exit.GetCpuSeconds()))
	}
	if exit.GetStartedUnixNanos() != 0 && exit.GetFinishedUnixNanos() != 0 {
		pairs = append(pairs, mesos.LabelWallSeconds, seconds(time.Duration(exit.GetFinishedUnixNanos()-exit.GetStartedUnixNanos()).Seconds()))
	}
	if peak := exit.GetMemoryPeakBytes(); peak != 0 {
		pairs = append(pairs, mesos.LabelMemoryPeakBytes, strconv.FormatUint(peak, 10))
	}
	if limit := exit.GetMemoryLimitBytes(); limit != 0 {
		pairs = append(pairs, mesos.LabelMemoryLimitBytes, strconv.FormatUint(limit, 10))
	}
	if limit := exit.GetPidsLimit(); limit != 0 {
		pairs = append(pairs, mesos.LabelPIDsLimit, strconv.FormatUint(limit, 10))
	}
	if limit := exit.GetDiskLimitBytes(); limit != 0 {
		pairs = append(pairs, mesos.LabelDiskUsedBytes, strconv.FormatUint(exit.GetDiskUsedBytes(), 10), mesos.LabelDiskLimitBytes, strconv.FormatUint(limit, 10))
	}
	if lost := exit.GetOutputLostBytes(); lost != 0 {
		pairs = append(pairs, mesos.LabelOutputLostBytes, strconv.FormatUint(lost, 10))
	}
	return mesos.MakeLabels(pairs...)
}

// cause is the value of mesos.LabelCause.
func cause(why intent, exit *wire.ContainerExit) string {
	switch why {
	case byKill, byShutdown:
		return mesos.CauseKilled
	case byTimeAllowed:
		return mesos.CauseMaxCompletionTime
	}
	switch exit.GetCause() {
	case wire.ContainerExit_EXITED:
		if syscall.WaitStatus(exit.GetWaitStatus()).Signaled() {
			return mesos.CauseSignal
		}
		return mesos.CauseExited
	case wire.ContainerExit_NOT_FOUND:
		return mesos.CauseNotFound
	case wire.ContainerExit_NOT_EXECUTABLE:
		return mesos.CauseNotExecutable
	case wire.ContainerExit_LAUNCH_FAILED:
		return mesos.CauseLaunchFailed
	case wire.ContainerExit_MEMORY:
		return mesos.CauseMemory
	case wire.ContainerExit_HOST_LOST:
		return mesos.CauseHostLost
	case wire.ContainerExit_PIDS:
		return mesos.CausePIDs
	case wire.ContainerExit_DISK:
		return mesos.CauseDisk
	default:
		return mesos.CauseKilled
	}
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
