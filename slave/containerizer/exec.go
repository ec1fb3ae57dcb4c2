package containerizer

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// ExecTimeout is how long it may take to execute a command where others, of the same user, may stop what is to do it. It takes
// milliseconds.
const ExecTimeout = time.Minute

// ObeyTimeout is how long a reaper may take to end its commands when it is told to, before it is killed. It takes milliseconds,
// unless its commands, which may be the same user's, have stopped it.
const ObeyTimeout = 2 * time.Second

// Exec describes a further command of a running container: an operator's, beside
// the container's own. It has the same user, privileges, limits and view, and
// whatever it leaves running is killed with its end.
type Exec struct {
	// Args is the argument vector. Args[0] is looked up in the PATH of Env, inside
	// the container, unless it contains a slash.
	Args []string

	// Env is what it has above the environment of the container's command, each
	// entry KEY=VALUE.
	Env []string

	// Terminal gives it a terminal of Rows and Columns characters for its standard
	// streams.
	Terminal      bool
	Rows, Columns uint16
}

// Process is a further command of a container. Its methods may be called by many
// goroutines at the same time.
type Process interface {
	// PID is the process id as the machine sees it.
	PID() int

	// Terminal is the other end of its terminal, nil if it has none. Whoever started
	// the command closes it.
	Terminal() *os.File

	// Wait blocks until the command, and all that came from it, has ended, and says
	// how. It may be called once. It returns ErrTaken if it ended with its container.
	Wait() (syscall.WaitStatus, error)

	// Signal sends sig to the command; os.ErrProcessDone if it has ended.
	Signal(sig syscall.Signal) error

	// Kill ends the command and all that came from it with SIGKILL. To kill what has ended is
	// no error.
	Kill() error
}

// ErrTaken says that a further command ended because its container did.
var ErrTaken = errors.New("the container ended and took the command with it")

// With is the Spec of a command beside spec's own.
func (spec Spec) With(exec Exec) Spec {
	spec.Executable, spec.Args = "", exec.Args
	spec.Env = withEnv(spec.Env, exec.Env)
	return spec
}

// withEnv is an environment with further entries, which replace those of the same name.
func withEnv(env, more []string) []string {
	at := map[string]int{}
	var all []string
	for _, list := range [][]string{env, more} {
		for _, entry := range list {
			name, _, _ := strings.Cut(entry, "=")
			if i, known := at[name]; known {
				all[i] = entry
				continue
			}
			at[name] = len(all)
			all = append(all, entry)
		}
	}
	return all
}

// Check says what is wrong with exec, as a *SpecError, or nil.
func (exec Exec) Check() error {
	checked := Spec{ID: "exec", Sandbox: "/exec", Args: exec.Args, Env: exec.Env}
	if err := checked.Check(); err != nil {
		return fmt.Errorf("further command: %w", err)
	}
	return nil
}
