package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/master/api"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/wire"
)

type masterFlags struct {
	inherited
	ip, hostname, workDir, config, logLevel string
	port                                    int
	core                                    core.Config
}

func newMaster(std stdio) *cobra.Command {
	var flags masterFlags
	command := &cobra.Command{
		Use:     "master",
		GroupID: groupDaemon,
		Short:   "Run a master",
		Long: `Runs a master, until SIGINT or SIGTERM: it offers the resources of slaves to frameworks.

Slaves, frameworks and commands find it at --ip:--port, where HTTP answers too:
/health, /version and /metrics.`,
		Example: `  stoa master
  stoa master --ip 127.0.0.1 --port 6060
  STOA_PORT=6060 stoa master --config /etc/stoa/master.toml`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return runMaster(command, std, &flags) },
	}
	f := command.Flags()
	f.StringVar(&flags.ip, "ip", defaultMasterIP, "`ADDRESS` to listen on")
	f.IntVar(&flags.port, "port", defaultMasterPort, "`PORT` to listen on; 0 for any that is free")
	f.StringVar(&flags.hostname, "hostname", "", "`NAME` that others are shown (default: the address)")
	f.DurationVar(&flags.core.AllocationInterval, "allocation_interval", allocator.DefaultInterval, "longest time between two allocations of resources")
	f.DurationVar(&flags.core.SlaveTimeout, "slave_timeout", core.DefaultSlaveTimeout, "how long a slave may be away before its tasks count as unreachable")
	f.DurationVar(&flags.core.SlaveReregisterTimeout, "slave_reregister_timeout", core.DefaultSlaveReregisterTimeout, "how long a new master waits for the slaves that it knows of")
	f.StringVar(&flags.config, "config", "", "`FILE` with values for these flags, in TOML")
	f.StringVar(&flags.workDir, "work_dir", "", "directory of this master")
	_ = f.MarkHidden("work_dir") // nothing is kept there yet but a log
	addLogFlags(f, &flags.logLevel)
	flags.inherited.addFlags(f)
	return withSettings(command)
}

func runMaster(command *cobra.Command, std stdio, flags *masterFlags) error {
	for name, d := range map[string]time.Duration{"allocation_interval": flags.core.AllocationInterval, "slave_timeout": flags.core.SlaveTimeout, "slave_reregister_timeout": flags.core.SlaveReregisterTimeout} {
		if d <= 0 {
			return usageError("--%s %v: it must be longer than 0s", name, d)
		}
	}
	log, err := newLogger(std.err, flags.logLevel)
	if err != nil {
		return err
	}
	listener, err := flags.listen(flags.ip, flags.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	address, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		return fmt.Errorf("address of the master: %w", err)
	}
	if flags.hostname == "" {
		flags.hostname = address.Addr().String()
	}
	flags.core.Flags = shownFlags(command.Flags())
	published := &master.Published{}
	d, err := startDaemon(nodeOptions{
		role: wire.RoleMaster, listener: listener, mailboxLimit: master.MailboxLimit, log: log,
		handler: func(system *actor.System) http.Handler {
			return api.New(api.Options{Published: published, Stats: system.Stats})
		},
	})
	if err != nil {
		return err
	}
	ctx, stop := flags.watch(command.Context())
	defer stop()
	var ending atomic.Bool
	d.spawn(master.Name, master.New(master.Config{Hostname: flags.hostname, Address: address, Core: flags.core, Published: published}), &ending)
	d.serve(listener)
	log.Info().Str("address", address.String()).Str("version", wire.Version).Int("pid", os.Getpid()).Msg("master is up")
	err = d.wait(ctx)
	ending.Store(true)
	d.close()
	flags.remove(flags.workDir)
	return err
}

// shownFlags are a daemon's flags as GET_FLAGS shows them, sorted.
func shownFlags(flags *pflag.FlagSet) []core.Flag {
	var shown []core.Flag
	flags.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden && flag.Name != "help" {
			shown = append(shown, core.Flag{Name: flag.Name, Value: flag.Value.String()})
		}
	})
	return shown
}
