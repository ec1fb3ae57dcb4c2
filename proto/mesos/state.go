package mesos

// IsTerminal reports whether a task in this state is over, so that its resources are free again.
//
// Unreachable and unknown tasks are not over: they may still run. Lost and gone ones count as over
// although some of them come back when a slave returns.
func IsTerminal(state TaskState) bool {
	switch state {
	case TaskState_TASK_FINISHED, TaskState_TASK_FAILED, TaskState_TASK_KILLED, TaskState_TASK_ERROR,
		TaskState_TASK_LOST, TaskState_TASK_DROPPED, TaskState_TASK_GONE, TaskState_TASK_GONE_BY_OPERATOR:
		return true
	case TaskState_TASK_STAGING, TaskState_TASK_STARTING, TaskState_TASK_RUNNING, TaskState_TASK_KILLING,
		TaskState_TASK_UNREACHABLE, TaskState_TASK_UNKNOWN:
		return false
	}
	return false
}
