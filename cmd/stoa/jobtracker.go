package main

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/hadoop"
	"github.com/stoa-project/stoa/proto/wire"
)

// defaultJobTrackerPort is that of hadoop.DefaultJobTracker.
const defaultJobTrackerPort = 50030

type jobTrackerFlags struct {
	inherited
	exposure
	tls                                              tlsFlags
	master, name, role, user, order, state, logLevel string
	workDir                                          string
	history                                          int
}

func newJobTracker(std stdio) *cobra.Command {
	var flags jobTrackerFlags
	command := &cobra.Command{
		Use:   "jobtracker",
		Short: "Run a JobTracker: a framework that holds many MapReduce jobs",
		Long: `Runs a JobTracker, until SIGINT or SIGTERM: it takes jobs from 'stoa hadoop -jobtracker HOST:PORT' and
runs them, side by side, on what the master offers to its role. Its page is at the same port.

What it must know in its next life it keeps below --state: started again, also after kill -9, it goes on with
its jobs where they stand. Input and output are paths of its machine.`,
		Example: `  stoa hadoop jobtracker --master 127.0.0.1:5050
  stoa hadoop jobtracker --role research --order fifo --port 50031 --state /var/lib/stoa/research
  stoa hadoop -jobtracker 127.0.0.1:50030 -input /usr/share/doc -output /tmp/words \
    -mapper 'stoa hadoop wordcount-mapper' -reducer 'stoa hadoop wordcount-reducer'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return runJobTracker(command, std, &flags) },
	}
	f := command.Flags()
	flags.exposure.addFlags(f, defaultJobTrackerPort)
	flags.tls.add(f)
	f.StringVar(&flags.master, "master", defaultMaster, "`HOST:PORT` of the master")
	f.StringVar(&flags.name, "name", hadoop.DefaultJobTrackerName, "`NAME` of the framework")
	f.StringVar(&flags.role, "role", "", "`ROLE` whose offers are used (default: *)")
	f.StringVar(&flags.user, "user", "", "`USER` who runs the tasks of jobs that name none (default: you)")
	f.StringVar(&flags.order, "order", string(hadoop.Fair), "among jobs: fair, all the same by their priorities; or fifo, one after the other")
	f.StringVar(&flags.state, "state", "stoa-jobtracker", "`DIRECTORY` for what outlives this process")
	f.IntVar(&flags.history, "history", hadoop.DefaultHistory, "`NUMBER` of jobs that are over to remember")
	addLogFlags(f, &flags.logLevel)
	f.StringVar(&flags.workDir, "work_dir", "", "directory of a child of a local cluster")
	_ = f.MarkHidden("work_dir")
	flags.inherited.addFlags(f)
	return withSettings(command)
}

func runJobTracker(command *cobra.Command, std stdio, flags *jobTrackerFlags) error {
	log, err := newLogger(std.err, flags.logLevel)
	if err != nil {
		return err
	}
	security, err := flags.tls.security(wire.RoleFramework, log)
	if err != nil {
		return err
	}
	if err := flags.check(security != nil); err != nil {
		return err
	}
	authority, err := flags.tls.Authority()
	if err != nil {
		return err
	}
	if flags.history < 1 || flags.history > hadoop.MaxHistory {
		return usageError("--history %d: allowed are 1 to %d", flags.history, hadoop.MaxHistory)
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
	if err := checkServes(security, address); err != nil {
		log.Warn().Err(err).Str("cure", "stoa tls cert create --role framework --ip "+address.Addr().String()).Msg("clients will refuse this certificate")
	}
	ctx, stop := flags.watch(command.Context())
	defer stop()
	if flags.inherited.listener < 0 {
		scheme := "http"
		if security != nil {
			scheme = "https"
		}
		fmt.Fprintf(std.out, "The JobTracker is at %s, and its page at %s://%[1]s\n", address, scheme)
	}
	log.Info().Str("address", address.String()).Str("master", flags.master).Int("pid", os.Getpid()).Msg("jobtracker is up")
	err = hadoop.RunJobTracker(ctx, hadoop.JobTrackerOptions{
		Master: flags.master, Name: flags.name, Role: flags.role, User: flags.user, Order: hadoop.Order(flags.order), Dir: flags.state, History: flags.history,
		Listener: listener, Address: address.String(), TLS: security, Authority: authority, Log: log,
	})
	flags.remove(flags.workDir)
	return err
}

// checkServes says what clients will say of the certificate of who listens at an address: of a framework it need not be good for any.
func checkServes(security *remote.TLS, address netip.AddrPort) error {
	if security == nil {
		return nil
	}
	config, err := security.Config()
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		return err
	}
	return certificate.VerifyHostname(address.Addr().String())
}
