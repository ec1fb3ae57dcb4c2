package main

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/executor/command"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/host"
)

type hostFlags struct {
	slave, id, secretFile, workDir, isolation, logLevel string
}

// newHost is where the host meets the command executor.
func newHost(std stdio) *cobra.Command {
	var flags hostFlags
	made := &cobra.Command{
		Use:    "host",
		Short:  "Be the parent of a slave's containers",
		Long:   "Starts containers for a slave and waits for them. Slaves start their hosts themselves.",
		Hidden: true,
		Args:   noArgs,
		RunE:   func(command *cobra.Command, _ []string) error { return runHost(command, std, &flags) },
	}
	f := made.Flags()
	f.StringVar(&flags.slave, "slave", "", "`HOST:PORT` of the slave")
	f.StringVar(&flags.id, "id", "", "`ID` that the slave gave this host")
	f.StringVar(&flags.secretFile, "secret_file", "", "`FILE` with what proves that this is the slave's host")
	f.StringVar(&flags.workDir, "work_dir", "", "`DIRECTORY` of the slave")
	f.StringVar(&flags.isolation, "isolation", isolations[0], "how containers are isolated")
	addLogFlags(f, &flags.logLevel)
	return made
}

func runHost(cmd *cobra.Command, std stdio, flags *hostFlags) error {
	log, err := newLogger(std.err, flags.logLevel)
	if err != nil {
		return err
	}
	secret, err := os.ReadFile(flags.secretFile)
	if err != nil {
		return fmt.Errorf("secret of host %s: %w", flags.id, err)
	}
	containers, err := newContainerizer(flags.isolation, flags.id, flags.workDir)
	if err != nil {
		return fmt.Errorf("host %s: %w", flags.id, err)
	}
	d, err := startDaemon(nodeOptions{role: wire.RoleHost, credential: secret, log: log})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	var ending atomic.Bool
	pid := d.spawn("host", host.New(host.Config{
		ID: flags.id, SlaveAddress: flags.slave, WorkDir: flags.workDir,
		Containerizer: containers, CommandExecutor: command.New,
		Done: func(err error) { ending.Store(true); ended <- err },
	}), &ending)
	defer d.close()
	select {
	case err := <-ended:
		return err
	case err := <-d.failed:
		_ = containers.Close() // the actor that would have done it is gone
		return err
	case <-cmd.Context().Done():
		d.system.Send(pid, host.Terminate{})
		return <-ended
	}
}
