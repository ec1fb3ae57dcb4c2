package mesos

import (
	"fmt"
	"strings"
)

// MaxIDBytes is the longest id, in bytes: ids become names of folders, and file systems take no
// more (NAME_MAX).
const MaxIDBytes = 255

// maxQuotedBytes is how much of a bad value an error message repeats.
const maxQuotedBytes = 80

// NewFrameworkID returns the id that value names.
func NewFrameworkID(value string) *FrameworkID { return &FrameworkID{Value: &value} }

// NewAgentID returns the id that value names.
func NewAgentID(value string) *AgentID { return &AgentID{Value: &value} }

// NewOfferID returns the id that value names.
func NewOfferID(value string) *OfferID { return &OfferID{Value: &value} }

// NewTaskID returns the id that value names.
func NewTaskID(value string) *TaskID { return &TaskID{Value: &value} }

// NewExecutorID returns the id that value names.
func NewExecutorID(value string) *ExecutorID { return &ExecutorID{Value: &value} }

// NewContainerID returns the id of a container that has no parent.
func NewContainerID(value string) *ContainerID { return &ContainerID{Value: &value} }

// NewOperationID returns the id that value names.
func NewOperationID(value string) *OperationID { return &OperationID{Value: &value} }

// ValidateFrameworkID reports why the id cannot name a framework, nil if it can.
func ValidateFrameworkID(id *FrameworkID) error { return ValidateID("framework id", id.GetValue()) }

// ValidateAgentID reports why the id cannot name a slave, nil if it can.
func ValidateAgentID(id *AgentID) error { return ValidateID("agent id", id.GetValue()) }

// ValidateTaskID reports why the id cannot name a task, nil if it can.
func ValidateTaskID(id *TaskID) error { return ValidateID("task id", id.GetValue()) }

// ValidateExecutorID reports why the id cannot name an executor, nil if it can.
func ValidateExecutorID(id *ExecutorID) error { return ValidateID("executor id", id.GetValue()) }

// ValidateID reports why value cannot be an id: it must be a possible name of a folder, because
// that is what it becomes. what says in the message which id it is.
func ValidateID(what, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s is empty: it must have 1 to %d bytes", what, MaxIDBytes)
	case len(value) > MaxIDBytes:
		return fmt.Errorf("%s %s has %d bytes: it may have at most %d", what, quote(value), len(value), MaxIDBytes)
	case value == "." || value == "..":
		return fmt.Errorf("%s %q is the name of a folder that exists everywhere: choose any other", what, value)
	}
	if i := strings.IndexFunc(value, isForbiddenInID); i >= 0 {
		return fmt.Errorf("%s %s has %q at byte %d: slashes, backslashes and control characters are not allowed", what, quote(value), rune(value[i]), i)
	}
	return nil
}

func isForbiddenInID(r rune) bool { return r == '/' || r == '\\' || isControl(r) }

// isControl is true for the control characters of ASCII, the only ones that Mesos rejects.
func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// quote returns value as it can be shown in one line, cut if it is long.
func quote(value string) string {
	if len(value) > maxQuotedBytes {
		return fmt.Sprintf("%q…", value[:maxQuotedBytes])
	}
	return fmt.Sprintf("%q", value)
}
