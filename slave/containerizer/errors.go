package containerizer

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// ErrInUse is what errors of Resize wrap if the container uses more memory than
// its new limit.
var ErrInUse = errors.New("the memory is in use")

// SpecError says that a Spec is wrong: which field, the value seen, and what is
// allowed.
type SpecError struct {
	Field   string // as in Spec, with the index where there is one: "Volumes[1].HostPath"
	Value   string // as it was given
	Allowed string // a phrase that completes "must be …"
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("container %s %q: must be %s", e.Field, e.Value, e.Allowed)
}

// ExecError says that the command could not be executed. NotFound tells a
// command that does not exist from one that may not be executed.
type ExecError struct {
	Path string        // as Spec.Command gives it
	Err  syscall.Errno // of execve, or NoInterpreter
}

// NoInterpreter is the error of a command that is there and names an interpreter or
// a loader that is not: Linux's ELIBACC. execve itself says that there is no file.
const NoInterpreter = syscall.Errno(79)

func (e *ExecError) Error() string { return fmt.Sprintf("execute %q: %s", e.Path, e.Why()) }

// Why is the cause in words.
func (e *ExecError) Why() string {
	if e.Err == NoInterpreter {
		return "the interpreter that it names does not exist"
	}
	return e.Err.Error()
}

// Unwrap gives the errno, so that errors.Is knows fs.ErrNotExist and fs.ErrPermission.
func (e *ExecError) Unwrap() error { return e.Err }

// NotFound reports whether the command does not exist. All else (no permission, a
// directory, a wrong format, no interpreter) is "not executable".
func (e *ExecError) NotFound() bool {
	return errors.Is(e.Err, fs.ErrNotExist) || e.Err == syscall.ENOTDIR
}

// StartError says that a container could not be made, and at which step.
type StartError struct {
	ID   string
	Step string // a phrase that completes "while": "mounting volume /data"
	Err  error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("start container %s: %s: %v", e.ID, e.Step, e.Err)
}

// Unwrap gives the cause.
func (e *StartError) Unwrap() error { return e.Err }
