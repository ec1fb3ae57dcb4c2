package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newLocal(std stdio) *cobra.Command {
	var flags clusterFlags
	command := &cobra.Command{
		Use:     "local",
		GroupID: groupStart,
		Short:   "Run a cluster on this machine until Ctrl-C",
		Long: `Runs a master and its slaves on this machine, each a process of its own, until Ctrl-C.
A process that dies is started again. At the end nothing of the cluster remains.`,
		Example: `  stoa local
  stoa local --slaves 2 --resources 'cpus:4;mem:4096' --port 6060`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := flags.check(command.Flags()); err != nil {
				return err
			}
			say := func(format string, args ...any) { fmt.Fprintf(std.err, format+"\n", args...) }
			if err := chooseIsolation(&flags.isolation, say); err != nil {
				return err
			}
			cluster, err := startCluster(command.Context(), "local", flags, say)
			if err != nil {
				return err
			}
			defer cluster.stop()
			fmt.Fprintf(std.out, "A cluster with %s runs; its master is at %s. Logs: %s/*/log\n", plural(flags.slaves, "slave"), cluster.address, cluster.dir)
			fmt.Fprint(std.out, thingsToTry(cluster.address))
			fmt.Fprintln(std.out, "Ctrl-C ends it.")
			<-command.Context().Done()
			return nil
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}

// thingsToTry are commands for somebody who has a cluster and wonders what now.
func thingsToTry(master string) string {
	at := masterFlagFor(master)
	return fmt.Sprintf(`Try, in another terminal:
  %[2]s node list%[1]s
  %[2]s run%[1]s --cpus 0.5 -- sh -c 'echo hello from $(hostname)'
  %[2]s run%[1]s --instances 3 -- sleep 60
  %[2]s task list%[1]s
`, at, ownName())
}

// masterFlagFor is the flag that reaches a master, nothing where the default does.
func masterFlagFor(master string) string {
	if master == defaultMaster {
		return ""
	}
	return " --master " + master
}
