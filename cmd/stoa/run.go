package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/executor/command"
	"github.com/stoa-project/stoa/frameworks/run"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// exitStoaFailed is the exit code of `stoa run` when Stoa itself failed; the others are the command's own.
const exitStoaFailed = run.ExitFailed

type runFlags struct {
	options                     run.Options
	env, volumes, rlimits, uris []string
	constraints                 []string
	offerConstraints            []string
	minAllocatable              *string
	refuseSeconds               *float64
	tls                         tlsFlags
	killGrace                   time.Duration
	persistent                  string
	json                        bool
}

func newRun(std stdio) *cobra.Command {
	var flags runFlags
	made := &cobra.Command{
		Use:     "run [flags] -- COMMAND [ARGS...]",
		GroupID: groupWork,
		Short:   "Run a command on the cluster, and return its exit status",
		Long: `Runs a command in a container on the cluster, or several instances of it, shows what it writes as it
comes, and ends as the command does. Ctrl-C ends the command.

Exit status: the command's, the highest of all instances; 128 and the signal's number if a signal
ended it; 126 not executable; 127 not found; 124 not placed within --placement_timeout, or ended by
--timeout; 125 Stoa itself failed; 130 Ctrl-C. --json names the reason.`,
		Example: `  stoa run -- echo hello
  stoa run --cpus 0.5 --mem 64 --instances 3 -- sh -c 'echo $MESOS_TASK_ID; sleep 1'
  stoa run --instances 3 --constraint rack:UNIQUE --constraint 'hostname:UNLIKE:db.*' -- ./server
  stoa run --uri https://example.org/tool,executable --uri /data/words.tar.gz,extract -- ./tool words
  stoa run --instances 20 --role web/a --role web/b --offer_constraint 'ssd:EXISTS;rack:MATCHES:r[12]' -- ./server
  stoa run --role db --persistent_volume data:data:100 -- sh -c 'date >> data/log; cat data/log'
  stoa run --file ./count.py --file words.txt -- python3 count.py words.txt
  stoa run --user nobody --cfs --disk 500 --pids 64 --rlimit nofile=1024:4096 --kill_grace 10s -- ./server
  stoa run --volume /data:/data:ro --volume /tmp/results:results -- sh -c 'wc /data/* > results/count'
  stoa run --json --env GREETING=hello --timeout 10s -- sh -c 'echo $GREETING'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("no command to run; give it after --, as in: stoa run -- echo hello")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			flags.options.Command = args
			if !command.Flags().Changed("min_allocatable_resources") {
				flags.minAllocatable = nil
			}
			if !command.Flags().Changed("refuse_seconds") {
				flags.refuseSeconds = nil
			}
			return runRun(command.Context(), std, &flags)
		},
	}
	o := &flags.options
	f := made.Flags()
	f.SetInterspersed(false) // what follows the command is the command's
	addMasterFlag(f, &o.Master)
	flags.tls.add(f)
	f.StringVar(&o.Name, "name", "", "`NAME` of the tasks (default: the command's)")
	f.Float64Var(&o.CPUs, "cpus", run.DefaultCPUs, "cpus of each instance")
	f.Float64Var(&o.Mem, "mem", run.DefaultMem, "memory of each instance in `MB`; more ends it")
	f.Float64Var(&o.Disk, "disk", 0, "disk of each instance in `MB`")
	f.IntVar(&o.Instances, "instances", 1, "`NUMBER` of instances; each line of output says whose it is")
	f.IntVar(&o.PIDs, "pids", 0, "processes and threads of each instance at most (default: the slave's, 1024)")
	f.BoolVar(&o.CFS, "cfs", false, "no more than --cpus, even where others are idle")
	f.BoolVar(&o.OpenStdin, "open_stdin", false, "keep the command's stdin open, for 'stoa task attach -i'; else it is empty")
	f.StringArrayVar(&flags.rlimits, "rlimit", nil, "`NAME=SOFT[:HARD]`, a limit of each process, as in nofile=1024 or core=unlimited; may be repeated")
	f.StringArrayVar(&flags.volumes, "volume", nil, "`HOST:CONTAINER[:ro]`, a path of the slave's machine that the command sees; may be repeated")
	f.StringVar(&flags.persistent, "persistent_volume", "", "`ID:CONTAINER_PATH:MB`, a persistent volume of --role that the command sees; it is made if there is none, and stays")
	f.StringArrayVar(&flags.uris, "uri", nil, "`URL[,executable][,extract][,cache][,sha256=HEX][,output=NAME]`, a file that is fetched into the sandbox first: file, http or https; may be repeated")
	f.StringArrayVar(&o.Files, "file", nil, "`PATH` of a file of this machine that is sent into the sandbox first, executable if it is that here; may be repeated")
	f.StringArrayVar(&flags.env, "env", nil, "`KEY=VALUE` in the command's environment; may be repeated")
	f.StringArrayVar(&flags.constraints, "constraint", nil, "`FIELD:OPERATOR[:VALUE]`, where instances may run, by attributes of slaves or hostname: UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE or MAX_PER; may be repeated")
	f.StringArrayVar(&flags.offerConstraints, "offer_constraint", nil, "`FIELD:PREDICATE[:VALUE][;...]`, of which slaves the master makes offers at all: EXISTS, NOT_EXISTS, EQUALS, NOT_EQUALS, MATCHES or NOT_MATCHES, and all between ; must hold; of those that are repeated one must hold")
	f.StringVar(&o.User, "user", "", "`USER` that the command runs as (default: yours)")
	f.StringArrayVar(&o.Roles, "role", []string{mesos.DefaultRole}, "`ROLE` whose offers are used, as in web or web/shop; may be repeated")
	flags.minAllocatable = f.String("min_allocatable_resources", "", "`SETS` of resources, with | between them, of which an offer has at least one, as in 'cpus:4;mem:1024|gpus:1'; empty: any offer is made (default: the master's)")
	flags.refuseSeconds = f.Float64("refuse_seconds", 0, "for how many `SECONDS` what was declined, or was left by an instance, is not offered again (default: 5 for the former, 0 for the latter)")
	f.DurationVar(&o.FailoverTimeout, "failover_timeout", 0, "how long instances outlive a connection to the master that has broken (default: not at all)")
	f.DurationVar(&o.Timeout, "timeout", 0, "end an instance that has run so long (default: never)")
	f.DurationVar(&flags.killGrace, "kill_grace", command.DefaultKillGrace, "time between SIGTERM and SIGKILL for an instance that is ended")
	f.DurationVar(&o.PlacementTimeout, "placement_timeout", 0, "give up when an instance has waited so long for an offer (default: never)")
	f.DurationVar(&o.ConnectTimeout, "connect_timeout", scheduler.DefaultConnectTimeout, "give up when there is no master for so long at the start")
	f.DurationVar(&o.ReconnectTimeout, "reconnect_timeout", scheduler.DefaultReconnectTimeout, "give up when the master has been away for so long")
	f.BoolVar(&flags.json, "json", false, "print how it ended, for programs; the command's output goes to stderr")
	return withSettings(made)
}

func runRun(ctx context.Context, std stdio, flags *runFlags) error {
	o := &flags.options
	if err := flags.checkNumbers(); err != nil {
		return err
	}
	if flags.killGrace != command.DefaultKillGrace {
		o.KillGrace = &flags.killGrace
	}
	var err error
	if o.Env, err = parseEnv(flags.env); err != nil {
		return err
	}
	if o.URIs, err = parseURIs(flags.uris); err != nil {
		return err
	}
	if o.Constraints, err = parseConstraints(flags.constraints); err != nil {
		return err
	}
	if err := flags.parseWants(); err != nil {
		return err
	}
	if o.Volume, err = parsePersistentVolume(flags.persistent); err != nil {
		return err
	}
	if o.Container, err = flags.container(); err != nil {
		return err
	}
	if o.TLS, err = flags.tls.client(wire.RoleFramework); err != nil {
		return err
	}
	o.Log = zerolog.Nop()
	o.OutputToErr = flags.json
	defer exitAtSecondInterrupt(ctx)()
	result, err := run.Run(ctx, *o, std.out, std.err)
	if flags.json {
		encoder := json.NewEncoder(std.out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(result); err != nil {
			return err
		}
	}
	if err != nil {
		return &exitError{code: result.ExitCode, err: err}
	}
	if result.ExitCode != 0 {
		return &exitError{code: result.ExitCode}
	}
	return nil
}

// parseConstraints reads --constraint FIELD:OPERATOR[:VALUE].
func parseConstraints(entries []string) ([]scheduler.Constraint, error) {
	var all []scheduler.Constraint
	for _, entry := range entries {
		c, err := scheduler.ParseConstraint(entry)
		if err != nil {
			return nil, usageError("--%w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// parseEnv reads --env KEY=VALUE, or KEY alone for what this process has.
func parseEnv(entries []string) (map[string]string, error) {
	env := map[string]string{}
	for _, entry := range entries {
		key, value, found := strings.Cut(entry, "=")
		if key == "" {
			return nil, usageError("--env %q is not KEY=VALUE", entry)
		}
		if !found {
			if value, found = os.LookupEnv(key); !found {
				return nil, usageError("--env %q: it is not KEY=VALUE, and there is no %s in this environment", entry, key)
			}
		}
		env[key] = value
	}
	return env, nil
}

// exitAtSecondInterrupt ends the program at once when Ctrl-C is pressed again while ctx's end is dealt with.
func exitAtSecondInterrupt(ctx context.Context) (stop func()) {
	again := make(chan os.Signal, 1)
	over := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-over:
			return
		}
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		select {
		case <-again:
			fmt.Fprintln(os.Stderr, "stoa: ended without waiting for the tasks")
			os.Exit(run.ExitInterrupted)
		case <-over:
		}
	}()
	return func() {
		close(over)
		signal.Stop(again)
	}
}
