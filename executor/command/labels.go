package command

// LabelPIDs is a label of a TaskInfo: how many processes and threads the task may have at a time, in decimal. Without
// it the slave's default holds.
const LabelPIDs = "stoa.pids"

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
)

// Values of LabelCause.
const (
	CauseExited            = "exited"              // the command ended by itself
	CauseSignal            = "signal"              // a signal ended it that nobody of Stoa sent
	CauseNotFound          = "not_found"           // there is no such command
	CauseNotExecutable     = "not_executable"      // the command may not or can not be executed
	CauseLaunchFailed      = "launch_failed"       // its container could not be made
	CauseMemory            = "memory"              // it wanted more memory than its limit
	CausePIDs              = "pids"                // it failed, having been refused a process by its limit of them
	CauseKilled            = "killed"              // its framework, or an operator, asked for its end
	CauseMaxCompletionTime = "max_completion_time" // it ran longer than it may
	CauseHostLost          = "host_lost"           // the host took it with it
	CauseInvalid           = "invalid"             // the command executor can't run such a task
)
