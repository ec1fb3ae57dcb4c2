package main

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/executor/command"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer/process"
	"github.com/stoa-project/stoa/slave/host"
)

type hostFlags struct {
	logs                                                           host.Rotation
	slave, id, secretFile, workDir, isolation, authority, logLevel string
	hide                                                           []string
	cfs, logMessages                                               bool
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
	f.StringArrayVar(&flags.hide, "hide", nil, "`PATH` that tasks must not see; may be repeated")
	f.Int64Var(&flags.logs.MaxBytes, "log_max_bytes", 0, "size at which output is rotated")
	f.IntVar(&flags.logs.MaxFiles, "log_max_files", 0, "rotated files that are kept")
	f.BoolVar(&flags.cfs, "cgroups_enable_cfs", false, "cpus are a ceiling")
	f.StringVar(&flags.authority, "tls_ca", "", "`FILE` with the cluster's authority, if the slave speaks TLS")
	addLogFlags(f, &flags.logLevel)
	addMessagesFlag(f, &flags.logMessages)
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
	security, err := trust(flags.authority)
	if err != nil {
		return fmt.Errorf("host %s: --tls_ca: %w", flags.id, err)
	}
	containers, err := newContainerizer(flags.isolation, flags.id, flags.workDir, flags.hide)
	if err != nil {
		return fmt.Errorf("host %s: %w", flags.id, err)
	}
	d, err := startDaemon(nodeOptions{role: wire.RoleHost, credential: secret, tls: security, log: log, logMessages: flags.logMessages})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	var ending atomic.Bool
	pid := d.spawn("host", host.New(host.Config{
		ID: flags.id, SlaveAddress: flags.slave, WorkDir: flags.workDir,
		Containerizer: containers, CommandExecutor: commandExecutor(flags.isolation), CFS: flags.cfs, Logs: flags.logs, Passed: passed("host"),
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

// commandExecutor makes command executors, which tell of each task what holds it less than it may think.
func commandExecutor(isolation string) func(launch *wire.LaunchExecutor, slave, host actor.PID) func() actor.Actor {
	if isolation == process.Name {
		return command.Without(process.NotEnforced()...)
	}
	return command.New
}
