// Package libcontainer isolates commands with Linux namespaces and cgroups, by
// runc's libcontainer, of which it is the only importer. It needs root, Linux
// and cgo; [Available] says what is lacking.
//
// # What a command sees
//
//	/                      an empty directory of the host's state, made read-only
//	├── bin etc home usr…  the machine's, recursively read-only
//	├── proc sys           its own processes; devices of the machine, read-only
//	├── dev                the usual devices, own pts and shm
//	├── run, var/run       own tmpfs: no socket of the machine
//	│   └── stoa/bin/stoa  the stoa binary, read-only, at the fixed path BinaryPath
//	├── tmp, var/tmp       TemporaryName in the sandbox: on disk, and it stays there
//	├── <work_dir>         covered by an empty tmpfs, as are the state directory
//	│   └── …/<sandbox>    and Options.Hide; only its own sandbox is in it, and is
//	│                      the one place that can be written
//	└── <volumes>          wherever they are asked for
//
// It has mount, pid, ipc and uts namespaces of its own and shares the machine's
// network. PID 1 is the reaper (package reaper). The kernel's interfaces are
// masked or read-only, no_new_privs is set, and only root keeps capabilities. The
// reaper filters the command's system calls.
//
// # Isolators
//
// What is kept apart, and how, is a list of isolators (isolators_linux.go), each
// a pure edit of the container's configuration from the facts that were gathered
// before (facts_linux.go). A new isolator is one function, one row in the list
// and one golden file.
//
// # What is left on the machine
//
// One cgroup per container below Options.CgroupParent, and one directory per
// host in Options.StateDir:
//
//	<state dir>/<host id>/
//	├── lock              held (flock) as long as the host lives
//	├── host.json         its cgroup, for whoever sweeps up after it
//	└── roots/base/, roots/<id>/, overlays/<id>/   mount points
//
// What libcontainer itself remembers of containers is in a file system in memory
// that is mounted nowhere and goes with the host (openMemory).
//
// No mount is ever made in the machine's own mount namespace. A host that closes
// removes all of that; what a killed one leaves, Sweep ends and removes: it
// takes the lock first, so it never touches what a living host owns.
package libcontainer
