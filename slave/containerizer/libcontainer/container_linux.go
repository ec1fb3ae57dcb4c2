//go:build cgo

package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	runc "github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/reaper"
	"github.com/stoa-project/stoa/slave/disk"
)

// container is one isolated command. Its parts appear as start makes them, and
// clean removes those that exist.
type container struct {
	spec containerizer.Spec
	host *Containerizer
	life containerizer.Life

	known   facts
	sources sources // of volumes; empty once they are mounted
	config  *configs.Config
	cgroup  cgroup
	init    *os.Process // the reaper
	control *reaper.Control
	account account
	kills   kills
	pid     int
	begun   time.Time

	memoryLimit atomic.Int64 // in force, in bytes; 0: none
	resizing    sync.Mutex   // held by Resize

	cancel   context.CancelFunc // ends the start
	executed atomic.Bool        // the start is over: what it made may be used from anywhere

	started chan struct{} // closed when its start is over, for better or worse
	watched sync.Once     // by whoever waits first; a start that fails takes it
	exit    containerizer.Exit
	err     error
}

func (c *container) failed(step string, err error) error {
	var spec *containerizer.SpecError
	var start *containerizer.StartError
	if errors.As(err, &spec) || errors.As(err, &start) {
		return err
	}
	return &containerizer.StartError{ID: c.spec.ID, Step: step, Err: err}
}

// start makes the container and returns when its command has been executed.
func (c *container) start(ctx context.Context, stdio containerizer.Stdio) (err error) {
	if err := ctx.Err(); err != nil {
		return c.failed("before it began", err)
	}
	c.sources = sources{}
	defer c.sources.close()
	if c.known, err = c.gather(); err != nil {
		return c.failed("preparing what it sees", err)
	}
	c.pass(Gathered)
	c.config = configure(c.known)
	made, err := c.create()
	if err != nil {
		return c.failed("creating its cgroups and its state", err)
	}
	c.pass(Created)
	control, theirs, err := reaper.New()
	if err != nil {
		return c.failed("making the control socket", err)
	}
	c.control = control
	c.pass(Connected)
	err = c.run(made, stdio, theirs)
	theirs.Close() // or the reaper's own death would not end the conversation
	if err != nil {
		return c.failed("making its namespaces and mounts", err)
	}
	c.pass(Reaping)
	c.forget()
	stop := context.AfterFunc(ctx, func() { _ = c.init.Kill() })
	defer stop()
	if err := c.tighten(); err != nil {
		return c.failed("limiting its processes", errors.Join(ctx.Err(), err))
	}
	return c.execute(ctx)
}

// create makes the container's cgroup, and what libcontainer remembers of the
// container.
func (c *container) create() (made *runc.Container, err error) {
	if c.cgroup, err = c.host.cgroup.below(c.config.Cgroups); err != nil {
		return nil, err
	}
	c.account = accountOf(c.cgroup.GetPaths(), c.host.unified)
	if c.host.unified {
		return runc.Create(c.host.dir.containers(), c.spec.ID, c.config)
	}
	final, _ := started(*c.config, c.spec)
	c.config.Cgroups = final.Cgroups
	if err := c.cgroup.Apply(noProcess); err != nil {
		return nil, err
	}
	if err := c.cgroup.Set(final.Cgroups.Resources); err != nil {
		return nil, err
	}
	return createWithoutCgroups(c.host.dir.containers(), c.spec.ID, *c.config)
}

// tighten sets the limits that only a command bears. The library's own program
// has left the container by then, and nothing in it can fork before the launch.
func (c *container) tighten() error {
	final, tighter := started(*c.config, c.spec)
	if !c.host.unified || !tighter {
		return nil // all are in force in the cgroup that the reaper enters, or is in
	}
	c.config.Cgroups = final.Cgroups
	if err := c.control.Present(); err != nil {
		return err
	}
	return c.cgroup.Set(final.Cgroups.Resources)
}

// run starts the reaper as the container's first process.
func (c *container) run(made *runc.Container, stdio containerizer.Stdio, control *os.File) error {
	process := &runc.Process{
		Init: true,
		Args: reaper.Argv(), // found by the PATH, so that ps shows the argument vector as it is
		Env: []string{
			"PATH=" + path.Dir(BinaryPath), "HOME=/",
			fmt.Sprintf("%s=%d", reaper.Variable, reaper.ControlFD),
		},
		UID: c.known.user.uid, GID: c.known.user.gid, AdditionalGroups: c.known.user.groups,
		Cwd:        c.spec.Sandbox,
		ExtraFiles: []*os.File{control},
	}
	// A nil *os.File must stay a nil interface: that is /dev/null.
	if stdio.Stdin != nil {
		process.Stdin = stdio.Stdin
	}
	if stdio.Stdout != nil {
		process.Stdout = stdio.Stdout
	}
	if stdio.Stderr != nil {
		process.Stderr = stdio.Stderr
	}
	if err := made.Start(process); err != nil {
		return err
	}
	pid, err := process.Pid()
	if err != nil {
		return err
	}
	// All else that libcontainer has of it can go: a host may have thousands of containers.
	if c.init, err = os.FindProcess(pid); err != nil {
		return err
	}
	c.pass(Blocked)
	if err := c.sources.check(c.spec.ID, pid, c.known.volumes); err != nil {
		return err
	}
	if err := checkNeeded(c.spec.ID, pid, c.known.volumes, c.host.needed); err != nil {
		return err
	}
	return made.Exec()
}

// pass tells whoever wants to know that the container has come to a point.
func (c *container) pass(point Point) {
	if c.host.options.Passed != nil {
		c.host.options.Passed(point)
	}
}

// execute has the reaper execute the command.
func (c *container) execute(ctx context.Context) error {
	tasks, err := c.cgroup.open()
	if err != nil {
		return c.failed("opening its cgroups", err)
	}
	defer tasks.close()
	err = c.control.Launch(c.spec, tasks...)
	if errors.Is(err, syscall.E2BIG) {
		return &containerizer.ExecError{Path: c.spec.Command(), Err: syscall.E2BIG}
	}
	// Any other failure to launch means that the reaper ended: Started says so too.
	pid, err := c.control.Started()
	var errno syscall.Errno
	switch {
	case ctx.Err() != nil:
		return c.failed("executing its command", ctx.Err())
	case errors.As(err, &errno):
		return &containerizer.ExecError{Path: c.spec.Command(), Err: errno}
	case err != nil:
		return c.failed("executing its command", err)
	}
	c.pid, c.begun = pid, time.Now()
	c.pass(Executed)
	c.memoryLimit.Store(containerizer.MemoryLimit(c.spec.MemoryBytes))
	c.executed.Store(true)
	if _, err := c.life.Take(containerizer.Execute); err != nil {
		return c.failed("executing its command", context.Canceled) // killed at the last moment
	}
	return nil
}

// forget lets go of what only the start needed.
func (c *container) forget() {
	c.config.Mounts, c.config.Devices, c.config.MaskPaths, c.config.ReadonlyPaths = nil, nil, nil, nil
	c.known = facts{user: c.known.user, rootfs: c.known.rootfs, overlays: c.known.overlays}
}

// watch waits for the end, takes stock and cleans up.
func (c *container) watch() {
	// The wait for the reaper's last word occupies no thread; that for its process
	// does, but comes when it is over.
	end, err := c.control.Wait()
	finished := time.Now()
	c.life.MustTake(containerizer.End)
	status := end.Status
	if state := c.waitInit(); err != nil && state != nil {
		status = state.Sys().(syscall.WaitStatus) // killed from outside, as by Kill
	}
	c.pass(Ended)
	c.exit = c.takeStock(status, finished)
	c.pass(Counted)
	c.err = c.clean()
	c.finish()
}

// takeStock reads what the container used while its cgroups still exist.
func (c *container) takeStock(status syscall.WaitStatus, finished time.Time) containerizer.Exit {
	exit := containerizer.Exit{
		Status: status, Started: c.begun, Finished: finished,
		Killed:           c.life.Killed(status),
		MemoryLimitBytes: c.memoryLimit.Load(), PIDsLimit: c.spec.PIDs,
	}
	// What can't be read stays 0: it must not hide how the command ended.
	if stats, err := c.account.stats(); err == nil {
		exit.CPUSeconds, exit.MemoryPeakBytes = stats.CPUSeconds, stats.MemoryPeakBytes
	}
	failed := status.Signaled() || status.ExitStatus() != 0
	if count, err := c.account.oomKills(); err == nil {
		c.kills.seen(count, finished)
	}
	exit.OutOfMemory = c.kills.ended(status, finished, exit.MemoryLimitBytes)
	if refused, err := c.account.refusedPIDs(); err == nil && refused > 0 {
		exit.OutOfPIDs = failed
	}
	return exit
}

// clean removes everything that start made, whatever of it there is.
func (c *container) clean() error {
	var failed []error
	if c.control != nil {
		c.control.Close() // cuts the lifeline of a reaper that still lives
	}
	if c.init != nil {
		_ = c.init.Kill() // without effect on what has ended
		c.waitInit()
	}
	if c.cgroup.Manager != nil {
		failed = append(failed, c.cgroup.Destroy())
	}
	failed = append(failed, os.RemoveAll(filepath.Join(c.host.dir.containers(), c.spec.ID)))
	c.pass(Destroyed)
	if c.known.rootfs == c.host.dir.root(c.spec.ID) {
		failed = append(failed, os.RemoveAll(c.known.rootfs))
	}
	if len(c.known.overlays) > 0 {
		failed = append(failed, os.RemoveAll(c.host.dir.overlays(c.spec.ID)))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("clean up container %s: %w", c.spec.ID, err)
	}
	c.pass(Removed)
	return nil
}

// unmake removes what a start has made that failed.
func (c *container) unmake() error {
	c.life.MustTake(containerizer.Fail)
	defer c.finish()
	return c.clean()
}

func (c *container) finish() {
	c.life.MustTake(containerizer.Clean)
	c.host.dismiss(c)
}

func (c *container) ID() string { return c.spec.ID }

func (c *container) PID() int { return c.pid }

func (c *container) Wait() (containerizer.Exit, error) {
	c.watched.Do(c.watch)
	return c.exit, c.err
}

func (c *container) Signal(signal syscall.Signal) error {
	if _, err := c.life.Take(containerizer.Signal); err != nil {
		return os.ErrProcessDone
	}
	return c.control.Signal(signal)
}

func (c *container) Kill() error {
	c.life.MustTake(containerizer.Kill)
	c.cancel()
	if !c.executed.Load() {
		return nil
	}
	// The end of PID 1 is, by the kernel, the end of all in its pid namespace.
	if err := c.init.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill container %s: %w", c.spec.ID, err)
	}
	return nil
}

func (c *container) Resize(limits containerizer.Limits) error {
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return os.ErrProcessDone
	}
	c.resizing.Lock()
	defer c.resizing.Unlock()
	err := c.limit(limits)
	if err == nil {
		c.memoryLimit.Store(containerizer.MemoryLimit(limits.MemoryBytes))
		return nil
	}
	// The processor's limits need not wait for memory to be given back.
	limits.MemoryBytes = c.memoryLimit.Load()
	if c.life.State() != containerizer.Running {
		return os.ErrProcessDone
	}
	if err := c.limit(limits); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", containerizer.ErrInUse, err)
}

// limit sets limits, and remembers which there are.
func (c *container) limit(limits containerizer.Limits) error {
	cgroup := resized(*c.config, limits, c.host.swapLimit).Cgroups
	if err := c.cgroup.Set(cgroup.Resources); err != nil {
		return err
	}
	c.config.Cgroups = cgroup
	return nil
}

func (c *container) Stats() (containerizer.Stats, error) {
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return containerizer.Stats{}, os.ErrProcessDone
	}
	stats, err := c.account.stats()
	if c.life.State() != containerizer.Running {
		return containerizer.Stats{}, os.ErrProcessDone
	}
	return stats, err
}

func (c *container) Unlinked(ctx context.Context, found *disk.Unlinked) error {
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return os.ErrProcessDone
	}
	pids, err := c.cgroup.processes()
	if c.life.State() != containerizer.Running {
		return os.ErrProcessDone
	}
	if err != nil {
		return err
	}
	pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == c.init.Pid }) // the reaper has nothing of the sandbox's
	view := disk.View{Own: temporaryPaths()}
	for _, volume := range c.spec.Volumes {
		view.Others = append(view.Others, c.spec.At(volume))
	}
	return found.Processes(ctx, pids, view)
}

// gather finds out everything that the isolators have to know, and makes the
// files and directories that they refer to.
func (c *container) gather() (known facts, err error) {
	known = facts{
		spec: c.spec, cgroup: path.Join(c.host.options.CgroupParent, c.spec.ID), binary: c.host.options.Binary,
		runAt: runPaths(), temporaryAt: temporaryPaths(), names: namingAliases(c.host.naming),
		hiddenDirs: c.host.hiddenDirs, hiddenFiles: c.host.filesToHide(),
		swapLimit: c.host.swapLimit, capabilities: c.host.capabilities,
	}
	if info, err := os.Stat(c.spec.Sandbox); err != nil || !info.IsDir() {
		return known, c.failed("sandbox "+c.spec.Sandbox, errors.Join(err, errors.New("must be a directory")))
	}
	if _, err := os.Stat(known.binary); err != nil {
		return known, c.failed("finding the stoa binary", err)
	}
	if known.user, err = identify(c.spec.User); err != nil {
		return known, err
	}
	if known.root, err = rootEntries(); err != nil {
		return known, err
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return known, err
	}
	elsewhere := seenElsewhere(slices.Concat(c.host.hidden, known.hiddenFiles), mounts)
	directories, files := hiddenPaths(elsewhere)
	known.hiddenDirs = slices.Concat(known.hiddenDirs, directories)
	known.hiddenFiles = slices.Concat(known.hiddenFiles, files)
	if known.temporary, err = makeTemporary(c.spec.Sandbox, pointsInTemporary(c.host.hiddenDirs)); err != nil {
		return known, c.failed("making its /tmp", err)
	}
	views := processViews(mounts)
	known.maskedAt = slices.DeleteFunc(slices.Clone(views), func(path string) bool { return belowAny(path, privatePaths()) })
	hidden := slices.Concat(views, c.host.hidden, known.hiddenFiles, elsewhere)
	slices.Sort(hidden)
	return c.gatherVolumes(known, slices.Compact(hidden))
}

func (c *container) gatherVolumes(known facts, hidden []string) (facts, error) {
	spec, masked, err := guardVolumes(c.spec, hidden, c.sources.open)
	if err != nil {
		return known, err
	}
	known.maskedAt = append(known.maskedAt, masked...)
	own := append(privatePaths(), known.hiddenDirs...)
	needs, err := placeVolumes(spec, append(own, spec.Sandbox), lookOnMachine, isDirectory)
	if err != nil {
		return known, err
	}
	known.volumes, known.overlays = needs.volumes, withoutFiles(needs.overlays, known.hiddenFiles)
	for i := range known.overlays {
		overlay := &known.overlays[i]
		overlay.points = filepath.Join(c.host.dir.overlays(c.spec.ID), fmt.Sprint(i))
		if overlay.below, err = mountsBelow(overlay.at); err != nil {
			return known, err
		}
	}
	if err := makeOverlays(known.overlays); err != nil {
		return known, err
	}
	id := baseRoot
	if len(needs.roots) > 0 {
		id = c.spec.ID
	}
	known.rootfs = c.host.dir.root(id)
	_, err = c.host.dir.makeRoot(id, known.root, needs.roots)
	return known, err
}
