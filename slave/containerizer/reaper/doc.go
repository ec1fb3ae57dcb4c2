// Package reaper is the first process of every container, and the host's hold
// on it.
//
// A container needs a parent inside it that a command can't be: one that dies
// with the host, forwards signals (the kernel shields PID 1 of a pid namespace
// from those that it does not handle), reaps orphans, ends what the command
// left running, and tells how the command ended. That is reaper.c: a C
// constructor in the very binary that links this package. It acts only if the
// environment variable [Variable] is set, which is one lookup for everybody
// else, and then the Go runtime of that process never starts: it has the size
// of a C program, and ps shows it as "stoa reaper".
//
//	host                           reaper                      command
//	 │  are you there? (optional)    │
//	 ├──────────────────────────────►│
//	 │◄────────────────────── present┤ one thread, no child
//	 │  Launch: argv, environment    │
//	 ├──────────────────────────────►│ enters its cgroups
//	 │                               │ fork ───────────────────►│ new session, signals reset, system calls filtered
//	 │◄──────────────────────────────┼──────── about-to-execute ┤ (its pid by SCM_CREDENTIALS)
//	 │◄── executed, or failed: errno ┤                          │ execve
//	 │  signal, kill ───────────────►│ kill(2)  ───────────────►│
//	 │◄── ended: wait status, usage  ┤ everything else killed and reaped
//	 │    end of file                ┴ exits
//
// The control socket between them is also the lifeline: the host's end is in no
// other process, so when the host dies, however it dies, the reaper reads an end
// of file, kills everything and exits. As PID 1 of a pid namespace it leaves the
// killing to the kernel; elsewhere it is a subreaper (PR_SET_CHILD_SUBREAPER),
// so whatever double-forks away comes back as its child and is killed too.
//
// A command can't forge what the reaper says: the reaper is not dumpable, so a
// process of the same user can neither trace it nor take its descriptors. One that
// is started where commands run already is executed, and dumpable, before it can
// say so: it is given a capability that none of them has, which keeps them off as
// well, and drops it when it needs it no more ([ShieldVariable]).
package reaper

const (
	// Variable is the environment variable that makes a process a reaper. Its
	// value is the number of the descriptor of its control socket.
	Variable = "_STOA_REAPER"

	// ShieldVariable is the environment variable with the number of the capability
	// that a reaper has for its own protection alone.
	ShieldVariable = "_STOA_SHIELD"

	// ControlFD is that number where the control socket is the only extra file.
	ControlFD = 3

	// MaxLaunchBytes bounds argv and environment together: 8 MiB, four times
	// what execve takes with the usual 8 MiB stack.
	MaxLaunchBytes = 8 << 20

	// MaxCgroups is how many cgroups a reaper enters at most: as many as the kernel has
	// controllers of the first version.
	MaxCgroups = 16
)

// Argv is the argument vector of a reaper, as ps shows it.
func Argv() []string { return []string{"stoa", "reaper"} }
