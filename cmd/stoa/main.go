// Command stoa is the whole of Stoa in one binary: the daemons (master, slave, host), clusters for one machine (local,
// demo), frameworks (run, hadoop) and the commands of an operator (node, framework, task, role).
//
// There is a file per command; a file holds flags and wiring and nothing else. What all of them share is in
// root.go (exit codes, help), settings.go (flags, environment, configuration file) and node.go's neighbours.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}
