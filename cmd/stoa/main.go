// Command stoa is the whole of Stoa in one binary: the daemons (master, slave, host), clusters for one machine (local,
// demo), frameworks (run, hadoop) and the commands of an operator (node, framework, task, role).
//
// There is a file per command; a file holds flags and wiring and nothing else. What they share is in root.go (exit codes,
// help), settings.go (flags, environment, configuration file), daemon.go (a node of actors), cluster.go and child.go (a
// cluster of child processes), operator.go (asking a master) and table.go.
package main

import (
	"context"
	"os"
	"runtime"
	"slices"

	"github.com/stoa-project/stoa/slave/containerizer/libcontainer"
	"github.com/stoa-project/stoa/slave/containerizer/process"
)

// makesContainers says whether this process is a host that starts containers as copies of itself.
func makesContainers() bool {
	return len(os.Args) > 1 && os.Args[1] == "host" && !slices.Contains(os.Args, process.Name)
}

func init() {
	if makesContainers() {
		// libcontainer has threads enter the namespaces of containers and then end. The main thread can't end: it would stay
		// there, and keep whatever is mounted. So it runs nothing but main.
		runtime.LockOSThread()
	}
}

func main() {
	if makesContainers() {
		// A host starts containers as copies of itself. One that is sealed need not copy itself each time; one that
		// could not be sealed is only slower.
		_ = libcontainer.Seal()
	}
	os.Exit(execute(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}
