//go:build !linux || !cgo

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/disk"
)

// missingLife is what this system lacks to hold processes together.
var missingLife = []string{
	"processes that leave their process group are not found again, and a killed host leaves its commands running",
}

// family is nobody: orphans are not adopted.
type family struct{}

func adopt() (*family, error) { return nil, nil }

// group is a command that leads a process group.
type group struct {
	process *exec.Cmd
}

// keep starts the command at the head of a process group of its own.
func keep(_ context.Context, _ *family, spec containerizer.Spec, stdio containerizer.Stdio, as *syscall.Credential) (keeper, int, error) {
	path, err := find(spec.Command(), spec.Env, spec.Sandbox)
	if err != nil {
		return nil, 0, executeError(spec, err)
	}
	cmd := &exec.Cmd{
		Path: path, Args: spec.Args, Env: append([]string{}, spec.Env...), Dir: spec.Sandbox,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Credential: as},
	}
	withStdio(cmd, stdio)
	if err := cmd.Start(); err != nil {
		return nil, 0, executeError(spec, err)
	}
	return &group{process: cmd}, cmd.Process.Pid, nil
}

func (g *group) wait() (syscall.WaitStatus, time.Duration, int64, error) {
	err := g.process.Wait()
	_ = syscall.Kill(-g.process.Process.Pid, syscall.SIGKILL) // what it left running, if anything
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return 0, 0, 0, err
	}
	state := g.process.ProcessState
	return state.Sys().(syscall.WaitStatus), state.UserTime() + state.SystemTime(), 0, nil
}

func (g *group) signal(signal syscall.Signal) error { return g.process.Process.Signal(signal) }

func (g *group) processes() []int {
	return append([]int{g.process.Process.Pid}, disk.Descendants(g.process.Process.Pid)...)
}

func (g *group) kill() error {
	err := syscall.Kill(-g.process.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// find looks name up in the PATH of env, as execvp does.
func find(name string, env []string, directory string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := "/bin:/usr/bin"
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	result := error(syscall.ENOENT)
	for _, folder := range filepath.SplitList(path) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(directory, folder)
		}
		candidate := filepath.Join(folder, name)
		info, err := os.Stat(candidate)
		switch {
		case err != nil || info.IsDir():
		case info.Mode()&0o111 == 0:
			result = syscall.EACCES
		default:
			return candidate, nil
		}
	}
	return "", result
}
