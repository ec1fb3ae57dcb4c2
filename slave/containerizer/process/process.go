// Package process runs commands as plain processes of the machine: anywhere,
// without root, and without isolating anything but their life and death.
//
// On Linux with cgo each command has a reaper (package reaper) above it, so it
// behaves as in a container: everything that comes from it is killed when it
// ends, is killed, or loses its host, also what double-forked away. Elsewhere a
// command leads a process group, and what leaves that group is not found again.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// Name is the word by which users choose it.
const Name = "process"

// Options says how commands are run. The zero Options is useful.
type Options struct {
	// Binary is the path of the stoa binary, which commands see where it is; ""
	// is the running executable.
	Binary string

	// Adopt says that this process has no children but commands of this
	// Containerizer. Then what a command leaves running that has killed its reaper is
	// found and killed, too.
	Adopt bool
}

// Containerizer runs commands as plain processes.
type Containerizer struct {
	binary string
	family *family // nil: orphans are not adopted

	mu      sync.Mutex
	closed  bool
	running map[*container]bool
}

var (
	_ containerizer.Containerizer = (*Containerizer)(nil)
	_ containerizer.Container     = (*container)(nil)
)

// New makes a containerizer.
func New(options Options) (*Containerizer, error) {
	if options.Binary == "" {
		path, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("path of the running executable: %w", err)
		}
		options.Binary = path
	}
	c := &Containerizer{binary: options.Binary, running: make(map[*container]bool)}
	if options.Adopt {
		family, err := adopt()
		if err != nil {
			return nil, fmt.Errorf("adopt what commands leave: %w", err)
		}
		c.family = family
	}
	return c, nil
}

// Name is "process".
func (c *Containerizer) Name() string { return Name }

// NotEnforced names the limits of a task of which plain processes know nothing.
func NotEnforced() []string { return []string{"cpus", "mem", "pids"} }

// Missing lists what plain processes lack.
func (c *Containerizer) Missing() []string {
	missing := []string{
		"limits of cpu, memory and processes are not enforced",
		"commands see and may change what their user may",
		"volumes are seen only at their own path or in the sandbox, and are never read-only",
	}
	return append(missing, missingLife...)
}

// Binary is the path of the stoa binary on the machine.
func (c *Containerizer) Binary() string { return c.binary }

// Sweep does nothing: no plain process outlives its host's lifeline, and they
// leave nothing else.
func (c *Containerizer) Sweep(context.Context) error { return nil }

// Start runs spec's command.
func (c *Containerizer) Start(ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	one := &container{spec: spec, family: c.family, cancel: cancel, started: make(chan struct{})}
	defer close(one.started)
	one.forget = func() { c.dismiss(one) }
	one.life.MustTake(containerizer.Launch)
	if err := c.admit(one); err != nil {
		return nil, err
	}
	err := ctx.Err()
	if err != nil {
		err = &containerizer.StartError{ID: spec.ID, Step: "before it began", Err: err}
	} else {
		err = one.start(ctx, stdio)
	}
	if err != nil {
		one.watched.Do(func() {
			one.life.MustTake(containerizer.Fail)
			one.life.MustTake(containerizer.Clean)
			c.dismiss(one)
		})
		return nil, err
	}
	return one, nil
}

// Close kills what still runs and waits for it.
func (c *Containerizer) Close() error {
	c.mu.Lock()
	c.closed = true
	left := make([]*container, 0, len(c.running))
	for one := range c.running {
		left = append(left, one)
	}
	c.mu.Unlock()

	var failed []error
	for _, one := range left {
		failed = append(failed, one.Kill())
	}
	for _, one := range left {
		<-one.started
		_, _ = one.Wait() // what it left is told to whoever started it
	}
	return errors.Join(failed...)
}

func (c *Containerizer) admit(one *container) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return &containerizer.StartError{ID: one.spec.ID, Step: "before it began", Err: os.ErrClosed}
	}
	for other := range c.running {
		if other.spec.ID == one.spec.ID {
			return &containerizer.StartError{ID: one.spec.ID, Step: "before it began", Err: os.ErrExist}
		}
	}
	c.running[one] = true
	return nil
}

func (c *Containerizer) dismiss(one *container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, one)
}

// placeVolumes shows each volume as well as plain processes can: where it is
// already, or as a link in the sandbox.
func placeVolumes(spec containerizer.Spec) error {
	for i, volume := range spec.Volumes {
		step := "volume " + volume.ContainerPath
		if _, err := os.Stat(volume.HostPath); err != nil {
			return &containerizer.StartError{ID: spec.ID, Step: step, Err: err}
		}
		at := spec.At(volume)
		if at == filepath.Clean(volume.HostPath) {
			continue
		}
		inside, err := filepath.Rel(spec.Sandbox, at)
		if err != nil || !filepath.IsLocal(inside) {
			return &containerizer.SpecError{
				Field:   fmt.Sprintf("Volumes[%d].ContainerPath", i),
				Value:   volume.ContainerPath,
				Allowed: fmt.Sprintf("%s or a path in the sandbox: the process containerizer mounts nothing", volume.HostPath),
			}
		}
		if err := link(spec.Sandbox, inside, volume.HostPath); err != nil {
			return &containerizer.StartError{ID: spec.ID, Step: step, Err: err}
		}
	}
	return nil
}

// link makes the link inside the sandbox, and never follows one out of it.
func link(sandbox, inside, target string) error {
	root, err := os.OpenRoot(sandbox)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(inside), 0o755); err != nil {
		return err
	}
	if old, err := root.Readlink(inside); err == nil && old == target {
		return nil
	}
	return root.Symlink(target, inside)
}

// credential says as whom to run, or nil for the host's own user.
func credential(spec containerizer.Spec) (*syscall.Credential, error) {
	if spec.User == "" {
		return nil, nil
	}
	found, err := user.Lookup(spec.User)
	if err != nil {
		if found, err = user.LookupId(spec.User); err != nil {
			return nil, &containerizer.SpecError{Field: "User", Value: spec.User, Allowed: "the name or the id of a user of this machine"}
		}
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if int(uid) == os.Geteuid() {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, &containerizer.SpecError{Field: "User", Value: spec.User, Allowed: "the host's own user: the host is not root"}
	}
	ids, err := found.GroupIds()
	if err != nil {
		return nil, err
	}
	var groups []uint32
	for _, id := range ids {
		if group, err := strconv.ParseUint(id, 10, 32); err == nil {
			groups = append(groups, uint32(group))
		}
	}
	slices.Sort(groups)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: groups}, nil
}

func withStdio(cmd *exec.Cmd, stdio containerizer.Stdio) {
	// A nil *os.File must stay a nil interface: that is /dev/null.
	if stdio.Stdin != nil {
		cmd.Stdin = stdio.Stdin
	}
	if stdio.Stdout != nil {
		cmd.Stdout = stdio.Stdout
	}
	if stdio.Stderr != nil {
		cmd.Stderr = stdio.Stderr
	}
}
