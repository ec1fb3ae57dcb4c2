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
	"slices"

	"github.com/stoa-project/stoa/slave/containerizer/libcontainer"
	"github.com/stoa-project/stoa/slave/containerizer/process"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "host" && !slices.Contains(os.Args, process.Name) {
		// A host starts containers as copies of itself. One that is sealed need not copy itself each time; one that
		// could not be sealed is only slower.
		_ = libcontainer.Seal()
	}
	os.Exit(execute(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}
