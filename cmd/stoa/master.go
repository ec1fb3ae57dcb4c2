package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/master/api"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

type masterFlags struct {
	inherited
	exposure
	tls                                 tlsFlags
	hostname, workDir, config, logLevel string
	logMessages                         bool
	record                              string
	domain, whitelist, minAllocatable   string
	core                                core.Config
	callsPerSecond                      int
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
	flags.exposure.addFlags(f, defaultMasterPort)
	flags.tls.add(f)
	f.StringVar(&flags.hostname, "hostname", "", "`NAME` that others are shown (default: the address)")
	f.DurationVar(&flags.core.AllocationInterval, "allocation_interval", allocator.DefaultInterval, "longest time between two allocations of resources")
	f.DurationVar(&flags.core.OfferTimeout, "offer_timeout", 0, "how long an offer may wait for its answer before it is taken back (default: for ever)")
	f.StringSliceVar(&flags.core.Unfair, "fair_sharing_excluded_resource_names", nil, "`NAMES` of resources, separated by commas, that do not count in shares, as gpus")
	f.IntVar(&flags.callsPerSecond, "framework_calls_per_second", master.DefaultCallsPerSecond, "`NUMBER` of calls of one scheduler that are heard in a second; what is beyond waits (0: any number)")
	f.DurationVar(&flags.core.SlaveTimeout, "slave_timeout", core.DefaultSlaveTimeout, "how long a slave may be away before its tasks count as unreachable")
	f.DurationVar(&flags.core.SlaveReregisterTimeout, "slave_reregister_timeout", core.DefaultSlaveReregisterTimeout, "how long a new master waits for the slaves that it knows of")
	f.StringVar(&flags.minAllocatable, "min_allocatable_resources", defaultMinAllocatable, "`SETS` of resources, with | between them, of which an offer has at least one; empty: any offer is made")
	f.StringVar(&flags.domain, "domain", "", domainUsage+": slaves of other regions are offered only to frameworks that are aware of regions")
	f.StringVar(&flags.whitelist, "whitelist", "", "`FILE` with the hostnames of the slaves that may be offered, one a line; it is read again when it changes (default: all slaves)")
	f.StringVar(&flags.record, "record", "", "`FILE` to write all that happens to the master into, for 'stoa replay'; secrets included. One that is there becomes FILE.1")
	f.StringVar(&flags.config, "config", "", "`FILE` with values for these flags, in TOML")
	f.StringVar(&flags.workDir, "work_dir", "", "directory of this master")
	_ = f.MarkHidden("work_dir") // nothing is kept there yet but a log
	addLogFlags(f, &flags.logLevel)
	addMessagesFlag(f, &flags.logMessages)
	flags.inherited.addFlags(f)
	return withSettings(command)
}

func runMaster(command *cobra.Command, std stdio, flags *masterFlags) error {
	for name, d := range map[string]time.Duration{"allocation_interval": flags.core.AllocationInterval, "slave_timeout": flags.core.SlaveTimeout, "slave_reregister_timeout": flags.core.SlaveReregisterTimeout} {
		if d <= 0 {
			return usageError("--%s %v: it must be longer than 0s", name, d)
		}
	}
	if flags.core.OfferTimeout < 0 {
		return usageError("--offer_timeout %v: it must not be below 0s", flags.core.OfferTimeout)
	}
	if flags.callsPerSecond < 0 {
		return usageError("--framework_calls_per_second %d: it must not be below 0", flags.callsPerSecond)
	}
	if flags.callsPerSecond == 0 {
		flags.callsPerSecond = -1 // as master.Config says it
	}
	domain, err := parseDomain(flags.domain)
	if err != nil {
		return err
	}
	if flags.core.MinAllocatable, err = parseMinAllocatable(flags.minAllocatable); err != nil {
		return err
	}
	if flags.whitelist != "" {
		if _, err := master.ReadWhitelist(flags.whitelist); err != nil {
			return usageError("--%w", err)
		}
	}
	log, err := newLogger(std.err, flags.logLevel)
	if err != nil {
		return err
	}
	security, err := flags.tls.security(wire.RoleMaster, log)
	if err != nil {
		return err
	}
	if err := flags.check(security != nil); err != nil {
		return err
	}
	listener, err := flags.listen(flags.ip, flags.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	address, err := flags.advertised(listener)
	if err != nil {
		return err
	}
	if security != nil {
		flags.core.Scheme = "https"
	}
	if flags.hostname == "" {
		flags.hostname = address.Addr().String()
	}
	flags.core.Flags = shownFlags(command.Flags())
	var record io.Writer
	if flags.record != "" {
		file, err := createRecording(flags.record)
		if err != nil {
			return fmt.Errorf("--record: %w", err)
		}
		defer file.Close()
		record = file
	}
	published := &master.Published{}
	d, err := startDaemon(nodeOptions{
		role: wire.RoleMaster, advertise: address.String(), tls: security, mailboxLimit: master.MailboxLimit, log: log, logMessages: flags.logMessages,
		verify: master.Verify,
		handler: func(d *daemon) http.Handler {
			return api.New(api.Options{Published: published, Stats: d.system.Stats, Collectors: []prometheus.Collector{d.metrics("stoa_master_")}})
		},
	})
	if err != nil {
		return err
	}
	ctx, stop := flags.watch(command.Context())
	defer stop()
	var ending atomic.Bool
	d.spawn(master.Name, master.New(master.Config{
		Hostname: flags.hostname, Address: address, CallsPerSecond: flags.callsPerSecond, Core: flags.core, Published: published, Record: record, Domain: domain, Whitelist: flags.whitelist,
	}), &ending)
	d.serve(listener)
	log.Info().Str("address", address.String()).Str("version", wire.Version).Int("pid", os.Getpid()).Msg("master is up")
	err = d.wait(ctx)
	ending.Store(true)
	d.close()
	flags.remove(flags.workDir)
	return err
}

// createRecording makes the file of a recording. The one of the life before is kept beside it: it may be that of a master whose
// death somebody wants to look at.
func createRecording(name string) (*os.File, error) {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
}

// defaultMinAllocatable is Mesos's default of min_allocatable_resources.
const defaultMinAllocatable = "cpus:0.01|mem:32"

// parseMinAllocatable reads sets of amounts: cpus:0.01|mem:32.
func parseMinAllocatable(text string) ([]resource.Quantities, error) {
	sets := []resource.Quantities{}
	for part := range strings.SplitSeq(text, "|") {
		if strings.TrimSpace(part) == "" && text == "" {
			break
		}
		r, err := resource.Parse(part)
		if err != nil {
			return nil, usageError("--min_allocatable_resources %q: %w", text, err)
		}
		for x := range r.All() {
			if x.Kind() != resource.KindScalar || x.Role() != resource.Unreserved {
				return nil, usageError("--min_allocatable_resources %q: %q is no amount; for example %s", text, x, defaultMinAllocatable)
			}
		}
		if r.IsEmpty() {
			return nil, usageError("--min_allocatable_resources %q: there is a set without amounts; for example %s", text, defaultMinAllocatable)
		}
		sets = append(sets, r.Quantities())
	}
	return sets, nil
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
