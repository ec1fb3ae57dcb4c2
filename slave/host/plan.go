package host

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/containerizer"
)

// DefaultPath is the PATH of a command that has none of its own.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// tokenVariable holds the secret by which a custom executor proves itself, in hexadecimal digits; as Mesos calls it.
const tokenVariable = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN"

const bytesPerMiB = 1 << 20

// This file is pure: what a request means for a container, and what a container's end means for who requested it.

// DefaultPIDs is the limit of processes and threads of a container that asks for none of its own.
const DefaultPIDs = 1024

// surroundings are what commands are told of where they run, and how it is there.
type surroundings struct {
	user   string // the name of the user that the host runs as; empty if it has none
	work   string // the slave's work_dir, where persistent volumes are
	binary string // where commands see the stoa binary
	cfs    bool   // cpus are a ceiling, too
}

// binaryVariable holds the path at which a command finds the stoa binary. It is an addition of Stoa's: frameworks that
// come with Stoa run parts of it in their tasks.
const binaryVariable = "STOA_BINARY"

// specFor says what container a request asks for. The error says what the request has that can't be, with the value and
// what is allowed.
func specFor(start *wire.StartContainer, around surroundings) (containerizer.Spec, error) {
	spec := containerizer.Spec{
		ID:      start.GetContainerId().GetValue(),
		User:    start.GetUser(),
		Sandbox: start.GetDirectory(),
	}
	var err error
	if spec.Executable, spec.Args, err = arguments(start.GetCommand()); err != nil {
		return spec, err
	}
	if spec.Env, err = environment(start, around); err != nil {
		return spec, err
	}
	if err = unsupported(start.GetContainer()); err != nil {
		return spec, err
	}
	if spec.Volumes, err = volumes(start.GetContainer(), start.GetDirectory()); err != nil {
		return spec, err
	}
	persistent, err := persistentVolumes(start.GetResources(), start.GetDirectory(), around.work)
	if err != nil {
		return spec, err
	}
	spec.Volumes = append(spec.Volumes, persistent...)
	if spec.Rlimits, err = rlimits(start.GetContainer().GetRlimitInfo()); err != nil {
		return spec, err
	}
	if err = setLimits(&spec, start, around.cfs); err != nil {
		return spec, err
	}
	return spec, spec.Check()
}

// arguments is what a command executes, and its argument vector. With shell, value is a line for /bin/sh; without, value
// is the executable and arguments all of its argv, the first one included, as in Mesos; without them it stands alone.
func arguments(command *mesos.CommandInfo) (executable string, args []string, err error) {
	value := command.GetValue()
	switch {
	case value == "" && command.GetShell():
		return "", nil, errors.New("the command is empty: it must have a value, a line for /bin/sh")
	case value == "":
		return "", nil, errors.New("the command is empty: it must have a value, the executable")
	case command.GetShell():
		return "/bin/sh", []string{"sh", "-c", value}, nil
	case len(command.GetArguments()) == 0:
		return value, []string{value}, nil
	}
	return value, command.GetArguments(), nil
}

// environment is what a command sees: a few things that every command needs, beneath what the request says, beneath
// what the command itself asks for. Nothing of the host's own.
func environment(start *wire.StartContainer, around surroundings) ([]string, error) {
	all := map[string]string{"PATH": DefaultPath, "HOME": start.GetDirectory(), binaryVariable: around.binary}
	if user := cmp.Or(start.GetUser(), around.user); user != "" {
		all["USER"] = user
	}
	maps.Copy(all, start.GetEnvironment())
	for _, variable := range start.GetCommand().GetEnvironment().GetVariables() {
		value, err := valueOf(variable)
		if err != nil {
			return nil, err
		}
		all[variable.GetName()] = value
	}
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.IndexByte(all[name], 0) >= 0 {
			return nil, fmt.Errorf("environment variable %q: its name must not be empty or contain =, and neither name nor value a NUL byte", name)
		}
		env = append(env, name+"="+all[name])
	}
	return env, nil
}

func valueOf(variable *mesos.Environment_Variable) (string, error) {
	if variable.GetType() != mesos.Environment_Variable_SECRET {
		return variable.GetValue(), nil
	}
	if variable.GetSecret().GetType() != mesos.Secret_VALUE {
		return "", fmt.Errorf("environment variable %q: its secret must be of type VALUE, not %s", variable.GetName(), variable.GetSecret().GetType())
	}
	return string(variable.GetSecret().GetValue().GetData()), nil
}

// unsupported names what a ContainerInfo asks for and does not get here. To leave it out silently would run a command
// in another place than it expects.
func unsupported(c *mesos.ContainerInfo) error {
	switch {
	case c == nil:
		return nil
	case c.GetType() != mesos.ContainerInfo_MESOS:
		return fmt.Errorf("container type %s: it must be MESOS", c.GetType())
	case c.GetMesos().GetImage() != nil:
		return fmt.Errorf("container image of type %s: containers have no images of their own here", c.GetMesos().GetImage().GetType())
	case c.GetHostname() != "":
		return fmt.Errorf("container hostname %q: containers have no host names of their own here", c.GetHostname())
	case c.GetTtyInfo() != nil:
		return errors.New("container tty_info: commands have no terminal here")
	}
	for _, network := range c.GetNetworkInfos() {
		if network.GetName() != "" || len(network.GetPortMappings()) > 0 {
			return fmt.Errorf("container network %q: containers share the machine's network here", network.GetName())
		}
	}
	return unsupportedLinux(c.GetLinuxInfo())
}

// unsupportedLinux is unsupported for what a container asks of the kernel.
func unsupportedLinux(l *mesos.LinuxInfo) error {
	switch {
	case l.GetSharePidNamespace():
		return errors.New("container share_pid_namespace: each container has processes of its own here")
	case l.GetIpcMode() == mesos.LinuxInfo_SHARE_PARENT:
		return fmt.Errorf("container ipc_mode %s: it must be PRIVATE", l.GetIpcMode())
	case l.GetShmSize() != 0:
		return fmt.Errorf("container shm_size %d: it can't be chosen here", l.GetShmSize())
	case l.GetCapabilityInfo() != nil || l.GetBoundingCapabilities() != nil || l.GetEffectiveCapabilities() != nil:
		return errors.New("container capabilities: they can't be chosen here; root has those of Docker but NET_RAW, MKNOD and AUDIT_WRITE, others have none")
	case l.GetSeccomp().GetProfileName() != "":
		return fmt.Errorf("container seccomp profile %q: there are none here", l.GetSeccomp().GetProfileName())
	}
	return nil
}

// volumes are the paths of the machine that a container sees.
func volumes(c *mesos.ContainerInfo, sandbox string) ([]containerizer.Volume, error) {
	var all []containerizer.Volume
	for _, v := range c.GetVolumes() {
		path, err := hostPath(v)
		if err != nil {
			return nil, fmt.Errorf("volume %q: %w", v.GetContainerPath(), err)
		}
		volume, err := volumeAt(path, v, sandbox)
		if err != nil {
			return nil, err
		}
		all = append(all, volume)
	}
	return all, nil
}

// volumeAt shows a path of the machine where a volume is to be seen.
func volumeAt(path string, v *mesos.Volume, sandbox string) (containerizer.Volume, error) {
	at := v.GetContainerPath()
	if !filepath.IsAbs(at) {
		if !filepath.IsLocal(at) {
			return containerizer.Volume{}, fmt.Errorf("volume %q: a relative container_path must stay in the sandbox", at)
		}
		at = filepath.Join(sandbox, at)
	}
	return containerizer.Volume{HostPath: path, ContainerPath: at, ReadOnly: v.GetMode() == mesos.Volume_RO}, nil
}

// persistentVolumes are those among the resources of a container, each once: tasks of one executor may share one.
func persistentVolumes(list []*mesos.Resource, sandbox, workDir string) ([]containerizer.Volume, error) {
	r, err := resource.FromProto(list)
	if err != nil {
		return nil, err
	}
	var all []containerizer.Volume
	for x := range r.Volumes().All() {
		path := filepath.Join(workDir, checkpoint.VolumePath(x.Role(), x.VolumeID()))
		volume, err := volumeAt(path, x.Disk().GetVolume(), sandbox)
		if err != nil {
			return nil, fmt.Errorf("persistent volume %q: %w", x.VolumeID(), err)
		}
		volume.Own = true
		all = append(all, volume)
	}
	return all, nil
}

func hostPath(v *mesos.Volume) (string, error) {
	if v.GetImage() != nil {
		return "", errors.New("it must be a host path, not an image")
	}
	path := v.GetHostPath()
	if source := v.GetSource(); source != nil {
		if source.GetType() != mesos.Volume_Source_HOST_PATH {
			return "", fmt.Errorf("its source must be of type HOST_PATH, not %s", source.GetType())
		}
		if p := source.GetHostPath().GetMountPropagation().GetMode(); p == mesos.MountPropagation_BIDIRECTIONAL {
			return "", fmt.Errorf("mount propagation %s is not possible", p)
		}
		path = source.GetHostPath().GetPath()
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("host path %q: it must be absolute", path)
	}
	return filepath.Clean(path), nil
}

// executorContainer is the container that a custom executor runs in.
func executorContainer(launch *wire.LaunchExecutor) *wire.StartContainer {
	pids, _ := mesos.AskedPIDs(launch.GetExecutor().GetLabels()) // checkLaunch has looked at these
	environment := maps.Clone(launch.GetEnvironment())
	if environment == nil {
		environment = make(map[string]string)
	}
	if len(launch.GetSecret()) > 0 {
		environment[tokenVariable] = hex.EncodeToString(launch.GetSecret())
	}
	return &wire.StartContainer{
		ContainerId: launch.GetContainerId(),
		Command:     launch.GetExecutor().GetCommand(),
		Container:   launch.GetExecutor().GetContainer(),
		Resources:   launch.GetResources(),
		Directory:   launch.GetDirectory(),
		User:        launch.GetUser(),
		Environment: environment,
		Limits:      launch.GetLimits(),
		Pids:        pids,
	}
}

// ending is all that is known about a container that is gone, or never was.
type ending struct {
	command             string // Args[0], or the line for the shell
	killed              bool   // the host was asked to kill it
	startErr            error  // it never ran
	diskUsed, diskLimit int64  // bytes, if its sandbox had outgrown its limit
	diskUnlinked        int64  // of diskUsed: of files without a name
	lost                string // what of its output could not be written, and why; empty: nothing
	lostBytes           int64  // how much that is
	exit                containerizer.Exit
	now                 time.Time
}

// exitOf says in one word, and one line, how a container ended.
func exitOf(e ending) *wire.ContainerExit {
	if e.startErr != nil {
		return notStarted(e)
	}
	exit := &wire.ContainerExit{
		WaitStatus:       int32(e.exit.Status),
		MemoryLimitBytes: uint64(max(0, e.exit.MemoryLimitBytes)),
		MemoryPeakBytes:  uint64(max(0, e.exit.MemoryPeakBytes)),
		StartedUnixNanos: e.exit.Started.UnixNano(), FinishedUnixNanos: e.exit.Finished.UnixNano(),
		CpuSeconds: e.exit.CPUSeconds,
	}
	bySIGKILL := e.exit.Status.Signaled() && e.exit.Status.Signal() == syscall.SIGKILL
	exit.Message, exit.OutputLostBytes = e.lost, uint64(e.lostBytes)
	switch {
	case e.killed && bySIGKILL:
		exit.Cause = wire.ContainerExit_KILLED
	case e.diskUsed > 0 && bySIGKILL:
		exit.Cause, exit.DiskUsedBytes, exit.DiskLimitBytes = wire.ContainerExit_DISK, uint64(e.diskUsed), uint64(e.diskLimit)
		exit.DiskUnlinkedBytes = uint64(e.diskUnlinked)
	case e.exit.OutOfMemory:
		exit.Cause = wire.ContainerExit_MEMORY
	case e.exit.Killed && bySIGKILL:
		exit.Cause, exit.Message = wire.ContainerExit_HOST_LOST, "the host ended and took the container with it"
	case e.exit.OutOfPIDs:
		exit.Cause, exit.PidsLimit = wire.ContainerExit_PIDS, uint64(e.exit.PIDsLimit)
	default:
		exit.Cause = wire.ContainerExit_EXITED // also if it was quicker than the kill
	}
	return exit
}

func notStarted(e ending) *wire.ContainerExit {
	exit := &wire.ContainerExit{FinishedUnixNanos: e.now.UnixNano()}
	var exec *containerizer.ExecError
	switch isExec := errors.As(e.startErr, &exec); {
	case e.killed:
		exit.Cause, exit.Message = wire.ContainerExit_KILLED, "killed while it was being started"
	case isExec && exec.NotFound():
		exit.Cause, exit.Message = wire.ContainerExit_NOT_FOUND, fmt.Sprintf("command %q was not found", e.command)
	case isExec:
		exit.Cause, exit.Message = wire.ContainerExit_NOT_EXECUTABLE, fmt.Sprintf("command %q can't be executed: %s", e.command, exec.Why())
	default:
		exit.Cause, exit.Message = wire.ContainerExit_LAUNCH_FAILED, e.startErr.Error()
	}
	return exit
}

// executorExit is the end of an executor: that of its container, if it had one. failure says what failed in the host
// itself; killed, that the slave wanted its end.
func executorExit(container *wire.ContainerExit, killed bool, failure string) *wire.ContainerExit {
	switch {
	case failure != "" && container == nil:
		return &wire.ContainerExit{Cause: wire.ContainerExit_LAUNCH_FAILED, Message: failure}
	case failure != "":
		container = proto.CloneOf(container)
		container.Cause, container.Message = wire.ContainerExit_KILLED, failure
		return container
	case container != nil:
		return container
	case killed:
		return &wire.ContainerExit{Cause: wire.ContainerExit_KILLED}
	default: // an actor that did its duty without ever needing a container
		return &wire.ContainerExit{Cause: wire.ContainerExit_EXITED}
	}
}
