//go:build cgo

package libcontainer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runc/libcontainer/exeseal"
	"golang.org/x/sys/unix"
)

// executableVariable carries the path of the executable over the re-execution,
// after which the kernel knows it only as a file in memory.
const executableVariable = "STOA_EXECUTABLE"

// maxComm is the longest name that the kernel keeps of a process, in bytes
// without the final NUL (TASK_COMM_LEN is 16).
const maxComm = 15

// Seal re-executes the calling process, once, from a copy of its binary in
// memory that nobody can write any more. Every container starts as a copy of
// the host's own binary that must be safe from the one before it; a host that is
// sealed is that copy, and libcontainer need not make one for each start.
//
// It must be the first thing that main does: the program starts over, with the
// same arguments, environment and inherited descriptors. In a process that is
// sealed already it only restores the process's name. An error means that the
// process is not sealed, and nothing worse than slower starts.
func Seal() error {
	if exeseal.IsSelfExeCloned() {
		return rename(os.Args[0])
	}
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	sealed, err := sealedCopy()
	if err != nil {
		return fmt.Errorf("seal %s: %w", path, err)
	}
	defer sealed.Close()
	env := append(os.Environ(), executableVariable+"="+path)
	err = unix.Exec(fmt.Sprintf("/proc/self/fd/%d", sealed.Fd()), os.Args, env)
	return fmt.Errorf("seal %s: execute the copy: %w", path, err)
}

func sealedCopy() (*os.File, error) {
	original, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer original.Close()
	info, err := original.Stat()
	if err != nil {
		return nil, err
	}
	sealed, err := exeseal.CloneBinary(original, info.Size(), "stoa", os.TempDir())
	if err != nil {
		return nil, err
	}
	if !exeseal.IsCloned(sealed) {
		sealed.Close()
		return nil, fmt.Errorf("the kernel has no sealed memory files")
	}
	return sealed, nil
}

// rename gives the process the name that it had before: the kernel took that of
// the descriptor that was executed.
func rename(name string) error {
	name = filepath.Base(name)
	return os.WriteFile("/proc/self/comm", []byte(name[:min(len(name), maxComm)]), 0)
}

// Executable is the path of the running executable on disk, also after Seal.
func Executable() (string, error) {
	path, err := os.Executable()
	if err == nil && strings.HasPrefix(path, "/memfd:") {
		if original := os.Getenv(executableVariable); original != "" {
			return original, nil
		}
		return "", fmt.Errorf("the executable runs from memory and %s is not set", executableVariable)
	}
	return path, err
}
