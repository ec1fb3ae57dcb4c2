package mesos

import (
	"fmt"
	"strconv"
)

// LabelPIDs is a label of a TaskInfo, or of the ExecutorInfo of a framework's own executor: how many processes and threads its
// container may have at a time, in decimal. Without it the slave's default holds.
const LabelPIDs = "stoa.pids"

// AskedPIDs is the limit of processes that labels ask for; 0 is none.
func AskedPIDs(labels *Labels) (uint32, error) {
	for _, label := range labels.GetLabels() {
		if label.GetKey() != LabelPIDs {
			continue
		}
		n, err := strconv.ParseUint(label.GetValue(), 10, 32)
		if err != nil || n == 0 || n > MaxPIDs {
			return 0, fmt.Errorf("label %s %q: it must be a number from 1 to %d", LabelPIDs, label.GetValue(), MaxPIDs)
		}
		return uint32(n), nil
	}
	return 0, nil
}

// MaxPIDs is the largest value of LabelPIDs: Linux's own limit of 4,194,304 (PID_MAX_LIMIT), less one that is not the task's.
const MaxPIDs = 4<<20 - 1

// LabelStdin is a label of a TaskInfo: with the value StdinOpen the task's standard input stays open, for whoever attaches to
// the task; without it there is nothing to read but the task's data.
const LabelStdin = "stoa.stdin"

// StdinOpen is the one value of LabelStdin.
const StdinOpen = "open"

// LabelNotEnforced is a label of the TaskStatus that tells of a task's begin: of which of its limits nothing is enforced
// where it runs, as names with blanks between them: "cpus mem pids". Without it all are.
const LabelNotEnforced = "stoa.not_enforced"

// ReadOnlyVolumes is the name there of volumes that are to be read-only, and can be written.
const ReadOnlyVolumes = "read_only_volumes"

// Labels of a terminal TaskStatus: what Stoa knows of a task's end and Mesos has no field for. A label is absent where
// its value is not known.
const (
	// LabelExitStatus is the status with which the command exited, 0 to 255, in decimal. Absent if a signal ended it,
	// or if it never ran.
	LabelExitStatus = "stoa.exit_status"

	// LabelSignal is the number of the signal that ended the command, in decimal.
	LabelSignal = "stoa.signal"

	// LabelCause is one of the Cause values: what ended the task, in one word.
	LabelCause = "stoa.cause"

	// LabelKilledBy is one of the KilledBy values: who wanted the end of a task that was killed.
	LabelKilledBy = "stoa.killed_by"

	// LabelCPUSeconds is the processor time of all processes of the task, in seconds, with three decimals.
	LabelCPUSeconds = "stoa.cpu_seconds"

	// LabelWallSeconds is the time from the command's start to its end, in seconds, with three decimals.
	LabelWallSeconds = "stoa.wall_seconds"

	// LabelMemoryPeakBytes is the most memory that the task had at any time, in bytes.
	LabelMemoryPeakBytes = "stoa.memory_peak_bytes"

	// LabelMemoryLimitBytes is the memory limit that was in force, in bytes.
	LabelMemoryLimitBytes = "stoa.memory_limit_bytes"

	// LabelPIDsLimit is the limit of processes and threads that was in force, in decimal.
	LabelPIDsLimit = "stoa.pids_limit"

	// LabelDiskUsedBytes is what the sandbox held when it was found to be too much, in bytes.
	LabelDiskUsedBytes = "stoa.disk_used_bytes"

	// LabelDiskLimitBytes is the limit of the sandbox that was in force, in bytes.
	LabelDiskLimitBytes = "stoa.disk_limit_bytes"

	// LabelOutputLostBytes is how much of its output could not be written, in bytes.
	LabelOutputLostBytes = "stoa.output_lost_bytes"

	// LabelFetchURL is the URL of a file that could not be fetched, without what is secret in it.
	LabelFetchURL = "stoa.fetch_url"
)

// Values of LabelCause.
const (
	CauseExited            = "exited"              // the command ended by itself
	CauseSignal            = "signal"              // a signal ended it that nobody of Stoa sent
	CauseNotFound          = "not_found"           // there is no such command
	CauseNotExecutable     = "not_executable"      // the command may not or can not be executed
	CauseLaunchFailed      = "launch_failed"       // its container could not be made
	CauseFetchFailed       = "fetch_failed"        // a file that it needs could not be fetched
	CauseMemory            = "memory"              // it wanted more memory than its limit
	CausePIDs              = "pids"                // it failed, having been refused a process by its limit of them
	CauseDisk              = "disk"                // its sandbox outgrew its limit
	CauseKilled            = "killed"              // somebody asked for its end: LabelKilledBy says who
	CauseMaxCompletionTime = "max_completion_time" // it ran longer than it may
	CauseExecutorLost      = "executor_lost"       // its executor ended, or did not come (back) in time
	CauseHostLost          = "host_lost"           // the host took it with it
	CauseSlaveRestarted    = "slave_restarted"     // the slave was started again and its executors are gone
	CauseInvalid           = "invalid"             // the command executor can't run such a task
)

// Values of LabelKilledBy.
const (
	KilledByScheduler = "scheduler" // a KILL or SHUTDOWN call of its framework
	KilledByOperator  = "operator"  // as with `stoa task kill`
	KilledByDrain     = "drain"     // its slave is emptied
	KilledByMaster    = "master"    // it had been declared lost, and came back
	KilledByTeardown  = "teardown"  // its framework was removed
	KilledBySlave     = "slave"     // its slave was shut down, or could not bear its executor any more
)

// MakeLabels makes labels of keys and values in turn.
func MakeLabels(pairs ...string) *Labels {
	all := &Labels{}
	for i := 0; i+1 < len(pairs); i += 2 {
		all.Labels = append(all.Labels, &Label{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return all
}

// LabelOf is the value of the first label of that key; empty if there is none.
func LabelOf(labels *Labels, key string) string {
	for _, label := range labels.GetLabels() {
		if label.GetKey() == key {
			return label.GetValue()
		}
	}
	return ""
}

// LabelMap is the labels by key: of those with the same key, the last.
func LabelMap(labels *Labels) map[string]string {
	shown := make(map[string]string, len(labels.GetLabels()))
	for _, label := range labels.GetLabels() {
		shown[label.GetKey()] = label.GetValue()
	}
	return shown
}

// LimitationOf is what Mesos shows of a task that took more of a scalar resource, "mem" or "disk", than it had: how much,
// in MB.
func LimitationOf(name string, bytes uint64) *TaskResourceLimitation {
	amount := float64(bytes) / bytesPerMB
	return &TaskResourceLimitation{Resources: []*Resource{{
		Name: &name, Type: Value_SCALAR.Enum(), Scalar: &Value_Scalar{Value: &amount},
	}}}
}
