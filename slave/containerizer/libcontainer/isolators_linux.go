//go:build cgo

package libcontainer

import (
	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// isolator keeps one thing apart: it edits the configuration of a container by
// the facts, and does nothing else.
type isolator struct {
	name string
	edit func(*configs.Config, facts)
}

// isolators lists all of them. Those that mount come in the order of the mounts:
// what covers a path stands before what is seen in it.
func isolators() []isolator {
	return []isolator{
		{"namespaces", isolateNamespaces},
		{"root", isolateRoot},
		{"mountpoints", addMountPoints},
		{"kernel", isolateKernel},
		{"devices", isolateDevices},
		{"run", isolateRun},
		{"temporary", isolateTemporary},
		{"hidden", isolateHidden},
		{"sandbox", isolateSandbox},
		{"names", isolateNames},
		{"binary", isolateBinary},
		{"volumes", isolateVolumes},
		{"cpu", isolateCPU},
		{"memory", isolateMemory},
		{"pids", isolatePIDs},
		{"privileges", isolatePrivileges},
	}
}

// configure makes the whole configuration of one container.
func configure(known facts) *configs.Config {
	config := blank(known)
	for _, isolator := range isolators() {
		isolator.edit(config, known)
	}
	return config
}

// blank is the configuration that isolates nothing yet.
func blank(known facts) *configs.Config {
	return &configs.Config{
		Rootfs:  known.rootfs,
		Cgroups: &cgroups.Cgroup{Path: known.cgroup, Resources: &cgroups.Resources{}},
	}
}

const (
	// runBytes and shmBytes bound the tmpfs at /run and /dev/shm, devBytes that at
	// /dev, as mount options: 64 MB is Docker's for /dev/shm. What they hold counts
	// as the container's memory as well.
	runBytes, shmBytes, devBytes = "size=64m", "size=64m", "size=64k"

	// coverBytes bounds the tmpfs that hides a directory: it holds mount points.
	coverBytes = "size=1m"

	noDevices  = unix.MS_NODEV | unix.MS_NOSUID
	noPrograms = noDevices | unix.MS_NOEXEC
)

// bind shows source, and what is mounted below it, at destination.
func bind(source, destination string, readOnly bool) *configs.Mount {
	mount := &configs.Mount{
		Source: source, Destination: destination, Device: "bind",
		Flags: unix.MS_BIND | unix.MS_REC,
	}
	if readOnly {
		// MS_RDONLY would make only the topmost mount read-only.
		mount.RecAttr = &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	}
	return mount
}

func tmpfs(destination, data string, flags int) *configs.Mount {
	return &configs.Mount{Source: "tmpfs", Destination: destination, Device: "tmpfs", Flags: flags, Data: data}
}

func isolateNamespaces(config *configs.Config, _ facts) {
	config.Namespaces = configs.Namespaces{
		{Type: configs.NEWNS}, {Type: configs.NEWPID}, {Type: configs.NEWIPC}, {Type: configs.NEWUTS},
	}
	// Private, not slave: what the machine mounts later would appear inside, and
	// could be written there.
	config.RootPropagation = unix.MS_PRIVATE | unix.MS_REC
}

func isolateRoot(config *configs.Config, known facts) {
	config.Readonlyfs = true
	for _, entry := range known.root {
		if entry.kind == rootDirectory || entry.kind == rootFile {
			config.Mounts = append(config.Mounts, bind("/"+entry.name, "/"+entry.name, true))
		}
	}
}

// addMountPoints lays the mount points that volumes lack over the machine's
// directories. It comes before everything that hides, so that it uncovers nothing.
func addMountPoints(config *configs.Config, known facts) {
	for _, overlay := range known.overlays {
		config.Mounts = append(config.Mounts, &configs.Mount{
			Source: "overlay", Destination: overlay.at, Device: "overlay", Flags: unix.MS_RDONLY,
			Data: "lowerdir=" + escapeOverlay(overlay.points) + ":" + escapeOverlay(overlay.at),
		})
		for _, below := range overlay.below {
			config.Mounts = append(config.Mounts, bind(below, below, true))
		}
	}
}

func isolateKernel(config *configs.Config, _ facts) {
	config.Mounts = append(config.Mounts,
		&configs.Mount{Source: "proc", Destination: "/proc", Device: "proc", Flags: noPrograms},
		&configs.Mount{Source: "sysfs", Destination: "/sys", Device: "sysfs", Flags: noPrograms | unix.MS_RDONLY},
	)
	// What tells about, or changes, more than the container.
	config.MaskPaths = append(config.MaskPaths,
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	)
	config.ReadonlyPaths = append(config.ReadonlyPaths,
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
	)
}

func isolateDevices(config *configs.Config, _ facts) {
	config.Mounts = append(config.Mounts,
		tmpfs("/dev", "mode=755,"+devBytes, unix.MS_NOSUID|unix.MS_STRICTATIME),
		&configs.Mount{
			Source: "devpts", Destination: "/dev/pts", Device: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC,
			Data: "newinstance,ptmxmode=0666,mode=0620,gid=5", // 5 is the group tty everywhere
		},
		tmpfs("/dev/shm", "mode=1777,"+shmBytes, noPrograms),
	)
	character := func(path string, major, minor int64) {
		rule := devices.Rule{Type: devices.CharDevice, Major: major, Minor: minor, Permissions: "rwm", Allow: true}
		config.Cgroups.Devices = append(config.Cgroups.Devices, &rule)
		if path != "" {
			config.Devices = append(config.Devices, &devices.Device{Rule: rule, Path: path, FileMode: 0o666})
		}
	}
	// Numbers from the kernel's Documentation/admin-guide/devices.txt.
	character("/dev/null", 1, 3)
	character("/dev/zero", 1, 5)
	character("/dev/full", 1, 7)
	character("/dev/random", 1, 8)
	character("/dev/urandom", 1, 9)
	character("/dev/tty", 5, 0)
	character("", 5, 2)                  // /dev/ptmx
	character("", 136, devices.Wildcard) // /dev/pts/N
}

func isolateRun(config *configs.Config, known facts) {
	for _, at := range known.runAt {
		config.Mounts = append(config.Mounts, tmpfs(at, "mode=755,"+runBytes, noDevices))
	}
}

func isolateTemporary(config *configs.Config, known facts) {
	for _, at := range known.temporaryAt {
		config.Mounts = append(config.Mounts, bind(known.temporary, at, false))
	}
}

func isolateHidden(config *configs.Config, known facts) {
	for _, hidden := range known.hiddenDirs {
		// Read-only, which libcontainer makes it once the mount points in it exist.
		config.Mounts = append(config.Mounts, tmpfs(hidden, "mode=755,"+coverBytes, noPrograms|unix.MS_RDONLY))
	}
	config.MaskPaths = append(config.MaskPaths, known.hiddenFiles...)
}

func isolateSandbox(config *configs.Config, known facts) {
	config.Mounts = append(config.Mounts, bind(known.spec.Sandbox, known.spec.Sandbox, false))
}

func isolateNames(config *configs.Config, known facts) {
	for _, alias := range known.names {
		config.Mounts = append(config.Mounts, bind(alias.source, alias.at, true))
	}
}

func isolateBinary(config *configs.Config, known facts) {
	config.Mounts = append(config.Mounts, bind(known.binary, BinaryPath, true))
}

func isolateVolumes(config *configs.Config, known facts) {
	for _, volume := range known.volumes {
		config.Mounts = append(config.Mounts, bind(volume.HostPath, volume.ContainerPath, volume.ReadOnly))
	}
	config.MaskPaths = append(config.MaskPaths, known.maskedAt...)
}

func isolateCPU(config *configs.Config, known facts) {
	shares := containerizer.Shares(known.spec.MilliCPUs)
	config.Cgroups.CpuShares = shares
	config.Cgroups.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(shares)
	if quota := containerizer.CPUQuota(known.spec.MilliCPULimit); quota > 0 {
		config.Cgroups.CpuQuota = quota.Microseconds()
		config.Cgroups.CpuPeriod = uint64(containerizer.CPUPeriod.Microseconds())
	}
}

func isolateMemory(config *configs.Config, known facts) {
	limit := containerizer.MemoryLimit(known.spec.MemoryBytes)
	if limit == 0 {
		return
	}
	config.Cgroups.Memory = limit
	if known.swapLimit {
		config.Cgroups.MemorySwap = limit // memory and swap together: no swap
	}
}

// resized is a container's configuration with other limits.
func resized(config configs.Config, limits containerizer.Limits, swapLimit bool) configs.Config {
	cgroup, resources := *config.Cgroups, *config.Cgroups.Resources
	cgroup.Resources, config.Cgroups = &resources, &cgroup
	resources.Memory, resources.MemorySwap = -1, -1 // no limit, unless there is one
	if !swapLimit {
		resources.MemorySwap = 0
	}
	known := facts{swapLimit: swapLimit, spec: containerizer.Spec{
		MilliCPUs: limits.MilliCPUs, MilliCPULimit: limits.MilliCPULimit, MemoryBytes: limits.MemoryBytes,
	}}
	isolateCPU(&config, known)
	isolateMemory(&config, known)
	resources.MemoryCheckBeforeUpdate = true // to lower the limit below what is used would kill, with the second version
	return config
}

// startPIDs is the least limit of processes and threads under which libcontainer
// starts a container in its cgroup, as it does with the second version of cgroups:
// that is a Go program, whose runtime has as many threads as it likes (7 were seen).
const startPIDs = 64

// isolatePIDs sets the limit for the start; commandPIDs is that for the command.
func isolatePIDs(config *configs.Config, known facts) {
	if limit := commandPIDs(known.spec); limit > 0 {
		limit = max(limit, startPIDs)
		config.Cgroups.PidsLimit = &limit
	}
}

// commandPIDs is the limit while the command runs, the reaper's process included; 0 is none.
func commandPIDs(spec containerizer.Spec) int64 {
	if spec.PIDs == 0 {
		return 0
	}
	return spec.PIDs + 1
}

// started is a container's configuration once the reaper is all that runs in it,
// and whether that differs from the one for the start.
func started(config configs.Config, spec containerizer.Spec) (configs.Config, bool) {
	limit := commandPIDs(spec)
	if limit == 0 || limit >= startPIDs {
		return config, false
	}
	cgroup, resources := *config.Cgroups, *config.Cgroups.Resources
	cgroup.Resources, config.Cgroups = &resources, &cgroup
	resources.PidsLimit = &limit
	return config, true
}

func isolatePrivileges(config *configs.Config, known facts) {
	config.NoNewPrivileges = true
	config.Capabilities = &configs.Capabilities{}
	if known.user.uid == 0 {
		config.Capabilities.Bounding = known.capabilities
		config.Capabilities.Effective = known.capabilities
		config.Capabilities.Permitted = known.capabilities
	}
}
