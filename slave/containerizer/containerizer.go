// Package containerizer says what a slave's host needs of whoever runs its
// commands, and nothing about how they are kept apart:
//
//	Containerizer   makes containers; one per host process
//	└─ Container    one command and every process that came from it
//
// A container is started with Start, which returns once the command's execve
// has succeeded, and it is over when Wait returns: by then no process of it
// runs and nothing that was made for it (cgroups, mounts, state) is left. When
// the command itself ends, what it left running is killed: a container never
// outlives its command. Nor does it outlive its host: the processes hold a
// lifeline to the host, and when that breaks, even by SIGKILL, they are gone.
//
// The life of a container is the table in lifecycle.go; every containerizer
// walks it with a [Life].
//
// There are three: libcontainer (namespaces, cgroups, a file system that can't
// be written), process (sessions and process groups, anywhere) and fake (no
// process at all, for tests). What one of them does not isolate or enforce it
// says itself, in Missing.
package containerizer

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/slave/disk"
)

// Containerizer makes containers and removes what they leave. Its methods may
// be called by many goroutines at the same time.
type Containerizer interface {
	// Name is the word by which users choose it, as in --isolation.
	Name() string

	// Missing lists what this containerizer does not isolate or enforce, each a
	// phrase for people. An empty list means that nothing is missing.
	Missing() []string

	// Binary is the absolute path at which commands see the stoa binary.
	Binary() string

	// Start makes a container and runs spec's command in it. It returns when
	// the command's execve has succeeded. The errors are *SpecError (spec is
	// wrong), *ExecError (the command could not be executed) and *StartError
	// (the container could not be made); nothing is left behind then. If ctx
	// ends while the container is being made, it is unmade again.
	//
	// The files of stdio are the container's ends; the caller keeps its copies
	// and closes them.
	Start(ctx context.Context, spec Spec, stdio Stdio) (Container, error)

	// Sweep ends and removes what dead hosts that used the same state directory
	// left behind. It never touches what belongs to a living one.
	Sweep(ctx context.Context) error

	// Close ends the containers that still run and removes everything that was
	// made for all of them together. No Start may follow.
	Close() error
}

// Container is one command and every process that came from it. Its methods
// may be called by many goroutines at the same time.
type Container interface {
	// ID is the id that its Spec gave.
	ID() string

	// PID is the process id of the command as the machine sees it.
	PID() int

	// Wait blocks until every process of the container has ended and everything
	// that was made for it has been removed, and says how the command ended.
	// An error says what could not be removed; Exit is right even then. It may
	// be called many times and gives the same answer. It has to be called: who
	// waits is who cleans up.
	Wait() (Exit, error)

	// Signal sends sig to the command alone. It returns os.ErrProcessDone if
	// the command has ended.
	Signal(sig syscall.Signal) error

	// Kill ends every process of the container at once with SIGKILL. To kill
	// one that has ended is no error.
	Kill() error

	// Resize changes what the container may use; what Limits don't name stays as it
	// is. A memory limit below what it uses already is not lowered: then it returns
	// ErrInUse, and all else is changed. It returns os.ErrProcessDone when the
	// container is gone.
	Resize(limits Limits) error

	// Exec runs a further command in the container, with the container's user,
	// privileges, namespaces and limits, and returns when it has been executed. It ends with the
	// container at the latest. With a terminal, stdio is not used. It returns os.ErrProcessDone if the container's own
	// command has ended, and *ExecError if this one can't be executed.
	Exec(exec Exec, stdio Stdio) (Process, error)

	// Stats says what the container has used so far. It costs a few file reads
	// and returns os.ErrProcessDone when the container is gone.
	Stats() (Stats, error)

	// Unlinked counts the files of the sandbox that have no name any more and that
	// processes of the container still have. It looks at each of them, and returns
	// os.ErrProcessDone when the container is gone, or the context's error.
	Unlinked(ctx context.Context, found *disk.Unlinked) error
}

// Spec describes one container.
type Spec struct {
	// ID names the container among those of its host: 1 to MaxIDLength of the
	// characters A-Z a-z 0-9 _ + - . and neither "." nor "..".
	ID string

	// Executable is what is executed: it is looked up in the PATH of Env, inside
	// the container, unless it contains a slash. "" is Args[0].
	Executable string

	// Args is the argument vector, Args[0] included.
	Args []string

	// Env is the complete environment, each entry KEY=VALUE. Nothing is added
	// and nothing of the host's own environment comes through.
	Env []string

	// User is the name or the numeric id of the user that runs the command; ""
	// is the host's own.
	User string

	// Sandbox is the absolute path of the container's directory on the machine.
	// Inside it has the same path and is the working directory.
	Sandbox string

	// MilliCPUs is the share of processor time in thousandths of a processor:
	// a weight against the other containers, not a ceiling. 0 is the smallest.
	MilliCPUs int64

	// MilliCPULimit is the ceiling of processor time, in thousandths of a
	// processor: more it does not get even on an idle machine. 0 is no ceiling; one
	// below MinMilliCPULimit is raised to it.
	MilliCPULimit int64

	// MemoryBytes is the limit of memory, swap included; 0 is no limit. A limit
	// below MinMemoryBytes is raised to it.
	MemoryBytes int64

	// PIDs is the largest number of processes and threads; 0 is no limit.
	PIDs int64

	// Rlimits are the resource limits of the command, and of each process that
	// comes from it. Those that are not named are the host's own.
	Rlimits []Rlimit

	// Volumes are paths of the machine that the container sees.
	Volumes []Volume
}

// Volume is a file or a directory of the machine that is visible inside.
type Volume struct {
	// HostPath is absolute, and exists.
	HostPath string

	// ContainerPath is where it is seen; a relative path lies in the sandbox.
	ContainerPath string

	// ReadOnly forbids writes through the volume, also below mounts in it.
	ReadOnly bool

	// Own says that the slave itself chose HostPath, which may lie in what
	// commands must not see otherwise.
	Own bool
}

// Limits are what a container may use, as the fields of its Spec say: those that
// can change while it runs.
type Limits struct {
	MilliCPUs, MilliCPULimit, MemoryBytes int64
}

// Rlimit is one resource limit of a process, see setrlimit(2).
type Rlimit struct {
	// Resource is the kernel's number for it, as in unix.RLIMIT_NOFILE.
	Resource int

	// Soft is enforced; the process may raise it up to Hard, which must not exceed
	// the host's own. RlimitInfinity is no limit. The unit is the resource's.
	Soft, Hard uint64
}

// Stdio holds the standard streams of a command. A nil file is /dev/null.
type Stdio struct {
	Stdin, Stdout, Stderr *os.File
}

// Exit says how the command of a container ended, and what it used.
type Exit struct {
	// Status is the command's own wait status.
	Status syscall.WaitStatus

	// OutOfMemory is set when the command did not succeed and the kernel had, at
	// most a moment before, killed a process of the container for want of memory.
	OutOfMemory bool

	// OutOfPIDs is set when the kernel refused the container a process or thread
	// because of its limit and the command did not succeed.
	OutOfPIDs bool

	// Killed is set when Kill, or the end of the host, ended the command.
	Killed bool

	// MemoryPeakBytes is the most memory it had at any time, 0 if unknown.
	MemoryPeakBytes int64

	// MemoryLimitBytes is the limit that was in force, 0 if there was none.
	MemoryLimitBytes int64

	// PIDsLimit is the limit of processes that was in force, 0 if there was none.
	PIDsLimit int64

	// CPUSeconds is the processor time, in seconds, of all its processes.
	CPUSeconds float64

	// Started is when execve succeeded, Finished when the command had ended.
	Started, Finished time.Time
}

// Stats says what a running container has used so far.
type Stats struct {
	// CPUSeconds is processor time, in seconds.
	CPUSeconds float64

	// MemoryBytes is what it has now, MemoryPeakBytes the most it ever had,
	// MemoryLimitBytes the limit in force or 0.
	MemoryBytes, MemoryPeakBytes, MemoryLimitBytes int64

	// Processes is the number of its processes and threads.
	Processes int64
}

const (
	// MaxIDLength is the longest container id, in bytes: ids become file names
	// next to a few suffixes, and a file name has at most 255.
	MaxIDLength = 200

	// MaxArgs and MaxEnv are the largest numbers of arguments and of environment
	// entries of a command.
	MaxArgs, MaxEnv = 1 << 16, 1 << 16

	// MaxVolumes is the largest number of volumes of one container.
	MaxVolumes = 256

	// MaxRlimits is the largest number of resource limits of one container: the
	// kernel knows 16.
	MaxRlimits = 16

	// RlimitInfinity is no limit: the kernel's RLIM_INFINITY.
	RlimitInfinity = 1<<64 - 1

	// CPUPeriod is the time over which MilliCPULimit is enforced (Mesos: 100 ms).
	CPUPeriod = 100 * time.Millisecond

	// MinMilliCPULimit is the smallest ceiling of processor time that is enforced:
	// Mesos's 0.01 of a processor, which is the kernel's least quota of 1 ms in CPUPeriod.
	MinMilliCPULimit = 10

	// MinMemoryBytes is the smallest memory limit that is enforced: 32 MiB, the
	// smallest that Mesos enforces too. What sets a container up runs under the
	// limit already, and needs some megabytes.
	MinMemoryBytes = 32 << 20

	// SharesPerCPU and MinShares translate processors into the kernel's cpu
	// shares (Mesos: 1024 per cpu, at least 2, which is the kernel's own least).
	SharesPerCPU, MinShares = 1024, 2
)

// Shares is the kernel's cpu weight for milliCPUs thousandths of a processor.
func Shares(milliCPUs int64) uint64 {
	return uint64(max(milliCPUs*SharesPerCPU/1000, MinShares))
}

// CPUQuota is the processor time that a container with a ceiling of milliCPUs
// thousandths of a processor gets in each CPUPeriod; 0 is no ceiling.
func CPUQuota(milliCPUs int64) time.Duration {
	if milliCPUs <= 0 {
		return 0
	}
	return CPUPeriod * time.Duration(max(milliCPUs, MinMilliCPULimit)) / 1000
}

// MemoryLimit is the limit that is enforced when bytes are asked for.
func MemoryLimit(bytes int64) int64 {
	if bytes <= 0 {
		return 0
	}
	return max(bytes, MinMemoryBytes)
}
