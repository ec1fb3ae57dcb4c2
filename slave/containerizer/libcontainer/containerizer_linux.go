//go:build cgo

package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// closeTimeout is how long Close waits for killed processes to be gone.
const closeTimeout = 10 * time.Second

// Containerizer makes isolated containers. New makes one.
type Containerizer struct {
	options      Options
	dir          hostDir
	cgroup       tree
	capabilities []string
	hidden       []string // real paths of all that commands must not see
	hiddenDirs   []string // those of them that nothing covers anyway
	hiddenFiles  []string
	naming       []string // see namingFiles
	needed       []string // by the reaper
	swapLimit    bool
	unified      bool
	locked       unix.Rlimit // of memory, for what runs in a container
	execTimeout  time.Duration

	mu      sync.Mutex
	closed  bool
	running map[string]*container
	watch   killWatch
}

var (
	_ containerizer.Containerizer = (*Containerizer)(nil)
	_ containerizer.Container     = (*container)(nil)
)

// New makes the containerizer of one host and what all its containers share: a
// cgroup and a directory of state. What a dead host of the same id left of these
// is ended and removed first. Its errors are what Available says, bad options,
// and what the machine refuses. The main thread must run no goroutine but main's
// (runtime.LockOSThread in an init): one of libcontainer's that enters a
// container's namespaces could not end it, and so not leave them.
func New(options Options) (containerizer.Containerizer, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := options.check(); err != nil {
		return nil, err
	}
	// libcontainer hands this variable, and no other, on to what it executes in a container's namespaces: a program of
	// one thread's work, which more processors only have wait for each other. The host itself has long read it.
	if err := os.Setenv("GOMAXPROCS", "1"); err != nil {
		return nil, err
	}
	logrus.SetLevel(logrus.ErrorLevel) // libcontainer would warn, after each start that fails, that it has no cgroup to read
	c := &Containerizer{options: options, naming: namingFiles(), unified: cgroups.IsCgroup2UnifiedMode(), running: make(map[string]*container), execTimeout: containerizer.ExecTimeout}
	// With the second version of cgroups, libcontainer takes this limit from its own process once it has loaded a program that
	// restricts devices, and all that is started later would inherit that.
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &c.locked); err != nil {
		return nil, os.NewSyscallError("getrlimit", err)
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("containers of host %s: %w", options.HostID, err), c.retreat())
	}
	return c, nil
}

func (c *Containerizer) prepare() (err error) {
	options := c.options
	if err := os.MkdirAll(c.options.StateDir, 0o711); err != nil {
		return err
	}
	// libcontainer refuses a root that is reached through a link.
	if c.options.StateDir, err = filepath.EvalSymlinks(c.options.StateDir); err != nil {
		return err
	}
	if c.options.WorkDir, err = filepath.EvalSymlinks(c.options.WorkDir); err != nil {
		return fmt.Errorf("work directory %s: %w", options.WorkDir, err)
	}
	if c.capabilities, err = ownCapabilities(); err != nil {
		return err
	}
	c.hidden = realPaths(append([]string{c.options.WorkDir, c.options.StateDir}, c.options.Hide...))
	c.hiddenDirs, c.hiddenFiles = hiddenPaths(c.hidden)
	if belowAny(c.options.WorkDir, temporaryPaths()) {
		// It is hidden anyway, by the container's own /tmp, but that is on the disk. In memory the path to the sandbox
		// costs less, and leaves nothing in the sandbox.
		c.hiddenDirs = append(c.hiddenDirs, c.options.WorkDir)
	}
	if c.needed, err = needed(c.options.Binary); err != nil {
		return fmt.Errorf("stoa binary %s: %w", c.options.Binary, err)
	}
	if c.dir, err = openHostDir(c.options.StateDir, c.options.HostID); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := c.dir.clean(ctx); err != nil {
		return err
	}
	if err := c.dir.record(hostRecord{Cgroup: c.options.CgroupParent}); err != nil {
		return err
	}
	if c.cgroup, err = treeOf(c.options.CgroupParent); err != nil {
		return err
	}
	if err := c.cgroup.create(); err != nil {
		return err
	}
	c.swapLimit = swapIsLimited(c.cgroup)
	if c.dir.memory, err = openMemory(); err != nil {
		return os.MkdirAll(c.dir.containers(), 0o711) // on the disk, and a bit slower
	}
	return nil
}

// filesToHide lists, by their real paths, the files that commands must not see: those of the start, and those to which
// links of Options.Hide lead by now.
func (c *Containerizer) filesToHide() []string {
	_, files := hiddenPaths(realPaths(c.options.Hide))
	files = slices.DeleteFunc(append(files, c.hiddenFiles...), func(path string) bool { return belowAny(path, c.hiddenDirs) })
	slices.Sort(files)
	return slices.Compact(files)
}

// retreat removes what an unfinished New or a Close leaves.
func (c *Containerizer) retreat() error {
	var failed []error
	if c.cgroup.dirs != nil {
		failed = append(failed, c.cgroup.remove())
	}
	if c.dir.lock != nil {
		failed = append(failed, c.dir.remove())
	}
	return errors.Join(failed...)
}

// Name is "libcontainer".
func (c *Containerizer) Name() string { return Name }

// Missing lists what is shared with the machine or not limited.
func (c *Containerizer) Missing() []string {
	missing := []string{"the network is the machine's"}
	if !c.swapLimit {
		missing = append(missing, "swap is not limited: the kernel does not account for it")
	}
	return missing
}

// Binary is BinaryPath.
func (c *Containerizer) Binary() string { return BinaryPath }

// Start makes a container and runs spec's command in it.
func (c *Containerizer) Start(ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	spec.Sandbox = filepath.Clean(spec.Sandbox)
	if !slices.ContainsFunc(spec.Rlimits, func(limit containerizer.Rlimit) bool { return limit.Resource == unix.RLIMIT_MEMLOCK }) {
		spec.Rlimits = append(slices.Clip(spec.Rlimits), containerizer.Rlimit{Resource: unix.RLIMIT_MEMLOCK, Soft: c.locked.Cur, Hard: c.locked.Max})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	one := &container{spec: spec, host: c, cancel: cancel, started: make(chan struct{})}
	defer close(one.started)
	one.life.MustTake(containerizer.Launch)
	if err := c.admit(one); err != nil {
		return nil, err
	}
	if err := one.start(ctx, stdio); err != nil {
		one.watched.Do(func() { err = errors.Join(err, one.unmake()) })
		return nil, err
	}
	return one, nil
}

// Sweep ends and removes what dead hosts of the same state directory left.
func (c *Containerizer) Sweep(ctx context.Context) error {
	dead, err := deadHostDirs(c.options.StateDir)
	failed := []error{err}
	for _, dir := range dead {
		if err := dir.clean(ctx); err != nil {
			failed = append(failed, fmt.Errorf("sweep %s: %w", dir.path, err))
			dir.lock.Close()
			continue
		}
		failed = append(failed, dir.remove())
	}
	return errors.Join(failed...)
}

// clean ends and removes what a dead host left, but for its directory and lock.
func (d hostDir) clean(ctx context.Context) error {
	record, err := d.recorded()
	if err != nil {
		return err
	}
	if record.Cgroup != "" {
		left, err := treeOf(record.Cgroup)
		if err != nil {
			return err
		}
		if err := left.kill(ctx); err != nil {
			return err
		}
		if err := left.remove(); err != nil {
			return err
		}
	}
	for _, name := range []string{"containers", "roots", "overlays", recordName} {
		if err := removeAll(ctx, filepath.Join(d.path, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes a directory in which a process may still make others: the first
// of a container that a host had just begun, which is in no cgroup and lives a moment
// longer than the host. In a directory that is gone it makes none.
func removeAll(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	tick := time.NewTicker(killPeriod)
	defer tick.Stop()
	for {
		err := os.RemoveAll(path)
		if !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// Close kills what still runs, and removes the host's cgroup and state.
func (c *Containerizer) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	left := make([]*container, 0, len(c.running))
	for _, one := range c.running {
		left = append(left, one)
	}
	c.mu.Unlock()

	var failed []error
	var ends sync.WaitGroup
	for _, one := range left {
		failed = append(failed, one.Kill())
		ends.Go(func() {
			<-one.started
			_, _ = one.Wait() // what it left is told to whoever started it
		})
	}
	ended := make(chan struct{})
	go func() {
		ends.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTimeout):
		c.mu.Lock()
		defer c.mu.Unlock()
		return errors.Join(append(failed, fmt.Errorf("containers %q do not end within %v", slices.Sorted(maps.Keys(c.running)), closeTimeout))...)
	}
	return errors.Join(append(failed, c.retreat())...)
}

func (c *Containerizer) admit(one *container) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return &containerizer.StartError{ID: one.spec.ID, Step: "before it began", Err: os.ErrClosed}
	case c.running[one.spec.ID] != nil:
		return &containerizer.StartError{ID: one.spec.ID, Step: "before it began", Err: os.ErrExist}
	}
	c.running[one.spec.ID] = one
	c.watchKills()
	return nil
}

func (c *Containerizer) dismiss(one *container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, one.spec.ID)
}
