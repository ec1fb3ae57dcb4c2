package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave"
	"github.com/stoa-project/stoa/slave/api"
	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/core"
	"github.com/stoa-project/stoa/slave/fetcher"
	"github.com/stoa-project/stoa/slave/host"
)

const (
	// slaveFirstContact is how long a new slave looks for its master before it gives up.
	slaveFirstContact = 10 * time.Second
	// slaveShutdownSlack is what the end of a slave may take beside the grace period of its executors.
	slaveShutdownSlack = 5 * time.Second
	// maxShutdownGrace bounds how long a slave that is stopped waits for its executors, whatever these may take.
	maxShutdownGrace = 10 * time.Minute
	// ephemeralGrace is the grace period of executors in clusters that end with their user's Ctrl-C.
	ephemeralGrace = time.Second
	// maxFetcherCache bounds --fetcher_cache_size: a petabyte, in MB.
	maxFetcherCache = 1 << 30
	// workDirLock keeps a second slave out of a work_dir.
	workDirLock = "lock"
)

type slaveFlags struct {
	inherited
	exposure
	fetcherCA                                                                             string
	logMaxSize, logMaxFiles                                                               int
	fetcherCache                                                                          int64
	tls                                                                                   tlsFlags
	master, workDir, hostname, resources, attributes, domain, isolation, config, logLevel string
	switchUser, cfs, logMessages                                                          bool
	firstContact, registration, grace, gcDelay, diskWatch                                 time.Duration
	gcHeadroom                                                                            float64
}

func newSlave(std stdio) *cobra.Command {
	var flags slaveFlags
	command := &cobra.Command{
		Use:     "slave",
		Aliases: []string{"agent"},
		GroupID: groupDaemon,
		Short:   "Run a slave",
		Long: `Runs a slave, until SIGINT or SIGTERM: it offers this machine's resources to a master, and runs
tasks in containers. What tasks write is served over HTTP at --ip:--port.`,
		Example: `  stoa slave --master 127.0.0.1:5050 --work_dir /var/lib/stoa
  stoa slave --master 127.0.0.1:5050 --work_dir /tmp/s2 --port 5052 --resources 'cpus:2;mem:1024;ports:[32001-32999]' --attributes 'rack:a'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return runSlave(command.Context(), std, &flags) },
	}
	f := command.Flags()
	f.StringVar(&flags.master, "master", defaultMaster, "`HOST:PORT` of the master")
	f.StringVar(&flags.workDir, "work_dir", "/var/lib/stoa", "`DIRECTORY` for sandboxes; one slave each")
	flags.exposure.addFlags(f, defaultSlavePort)
	flags.tls.add(f)
	f.StringVar(&flags.hostname, "hostname", "", "`NAME` that others are shown (default: the address)")
	f.StringVar(&flags.resources, "resources", "", "what is offered, such as `'cpus:4;mem:4096'`; what is not named is all that the machine has")
	f.StringVar(&flags.attributes, "attributes", "", "what frameworks can choose by, such as `'rack:a;zone:eu'`")
	f.StringVar(&flags.domain, "domain", "", domainUsage+"; the master must have one too")
	f.StringVar(&flags.isolation, "isolation", "", "how tasks are isolated: libcontainer or process (default: libcontainer where it works)")
	f.BoolVar(&flags.switchUser, "switch_user", os.Geteuid() == 0, "run tasks as the user that they ask for; takes root")
	f.BoolVar(&flags.cfs, "cgroups_enable_cfs", false, "tasks get no more than their cpus, even when others are idle")
	f.DurationVar(&flags.firstContact, "connect_timeout", slaveFirstContact, "how long a new slave looks for its master; 0s for ever")
	f.DurationVar(&flags.registration, "executor_registration_timeout", core.DefaultExecutorRegistrationTimeout, "how long an executor may take to register")
	f.DurationVar(&flags.grace, "executor_shutdown_grace_period", core.DefaultExecutorShutdownGrace, "how long an executor may take to end")
	f.DurationVar(&flags.gcDelay, "gc_delay", core.DefaultGCDelay, "how long sandboxes are kept, if the disk is empty")
	f.Float64Var(&flags.gcHeadroom, "gc_disk_headroom", core.DefaultGCDiskHeadroom, "part of the disk, 0 to 1, that sandboxes should leave free; they are kept for gc_delay * (1 - gc_disk_headroom - what is in use)")
	f.DurationVar(&flags.diskWatch, "disk_watch_interval", core.DefaultDiskWatchInterval, "how often it is looked how full the disk is")
	f.IntVar(&flags.logMaxSize, "log_max_size", 0, "rotate stdout and stderr of a task at this size, in `MB`; 0: never")
	f.IntVar(&flags.logMaxFiles, "log_max_files", host.DefaultLogFiles, "how many rotated files of each are kept")
	f.Int64Var(&flags.fetcherCache, "fetcher_cache_size", fetcher.DefaultCacheBytes>>20, "how much is kept of what tasks fetch with cache, in `MB`; 0: nothing")
	f.StringVar(&flags.fetcherCA, "fetcher_ca_file", "", "`FILE` with certificates of authorities, in PEM, that https servers of tasks' files are checked by, beside the machine's")
	f.StringVar(&flags.config, "config", "", "`FILE` with values for these flags, in TOML")
	addLogFlags(f, &flags.logLevel)
	addMessagesFlag(f, &flags.logMessages)
	flags.inherited.addFlags(f)
	return withSettings(command)
}

func runSlave(ctx context.Context, std stdio, flags *slaveFlags) error {
	log, err := newLogger(std.err, flags.logLevel)
	if err != nil {
		return err
	}
	if err := chooseIsolation(&flags.isolation, func(format string, args ...any) { log.Warn().Msgf(format, args...) }); err != nil {
		return err
	}
	info, err := flags.describe()
	if err != nil {
		return err
	}
	security, err := flags.tls.security(wire.RoleSlave, log)
	if err != nil {
		return err
	}
	authority, err := flags.tls.Authority()
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
	lock, err := flags.openWorkDir()
	if err != nil {
		return err
	}
	defer lock.Close()
	address, err := flags.advertised(listener)
	if err != nil {
		return err
	}
	info.Port = proto.Int32(int32(address.Port()))
	if flags.hostname == "" {
		info.Hostname = proto.String(address.Addr().String())
	}
	if flags.ephemeral {
		flags.grace = min(flags.grace, ephemeralGrace)
	}
	hide, err := flags.hide()
	if err != nil {
		return err
	}
	if err := errors.Join(flags.checkLogs(), flags.checkTimeouts(), flags.checkGC()); err != nil {
		return err
	}
	fetch, err := flags.fetcher(hide)
	if err != nil {
		return err
	}
	secret, err := checkpoint.SlaveSecret(flags.workDir)
	if err != nil {
		return err
	}
	s := slave.New(slave.Config{
		Secret:  secret,
		Fetcher: fetch, LogMaxBytes: int64(flags.logMaxSize) << 20, LogMaxFiles: flags.logMaxFiles,
		Hide: hide, CFS: flags.cfs, Near: near(listener), Authority: authority,
		Master: flags.master, Info: info, IP: address.Addr().String(), WorkDir: flags.workDir, Isolation: flags.isolation,
		StartHost:  func(spec slave.HostSpec) (slave.Process, error) { return startHost(spec, flags) },
		SwitchUser: flags.switchUser, FirstContact: flags.firstContact,
		ExecutorRegistrationTimeout: flags.registration, ExecutorShutdownGrace: flags.grace,
		GCDelay: flags.gcDelay, GCDiskHeadroom: flags.gcHeadroom, DiskWatchInterval: flags.diskWatch,
		Passed: passed("slave"),
	})
	d, err := startDaemon(nodeOptions{
		role: wire.RoleSlave, advertise: address.String(), tls: security, log: log, logMessages: flags.logMessages, verify: s.Secrets().Verify, credential: secret,
		handler: func(d *daemon) http.Handler {
			return api.New(api.Options{View: s.View, WorkDir: s.WorkDir(), Version: s.Version(), Collectors: []prometheus.Collector{d.metrics("stoa_slave_")}})
		},
	})
	if err != nil {
		return err
	}
	ctx, stop := flags.watch(ctx)
	defer stop()
	d.serve(listener)
	pid := d.system.Spawn(slave.Name, s.Produce)
	log.Info().Str("address", address.String()).Str("version", wire.Version).Str("isolation", flags.isolation).Int("pid", os.Getpid()).Msg("slave is up")
	if !flags.switchUser {
		log.Info().Msg("tasks run as this slave's user, whichever they ask for")
	}
	err = superviseSlave(ctx, d, s, pid)
	d.close()
	flags.remove(flags.workDir)
	return err
}

// hide lists the files that were given to this daemon: they are none of its tasks' business.
func (f *slaveFlags) hide() ([]string, error) {
	var hidden []string
	for _, flag := range []struct{ name, file string }{
		{"config", f.config}, {"tls_key", f.tls.Key}, {"tls_cert", f.tls.Cert}, {"tls_ca", f.tls.CA}, {"fetcher_ca_file", f.fetcherCA},
	} {
		if flag.file == "" {
			continue
		}
		path, err := filepath.Abs(flag.file)
		if err != nil {
			return nil, fmt.Errorf("--%s %s: %w", flag.name, flag.file, err)
		}
		hidden = append(hidden, path)
	}
	return hidden, nil
}

// maxLogSize bounds --log_max_size: a terabyte, in MB.
const maxLogSize = 1 << 20

func (f *slaveFlags) checkLogs() error {
	if f.logMaxSize < 0 || f.logMaxSize > maxLogSize {
		return usageError("--log_max_size %d: allowed are 0 to %d", f.logMaxSize, maxLogSize)
	}
	if f.logMaxFiles < 1 || f.logMaxFiles > host.MaxLogFiles {
		return usageError("--log_max_files %d: allowed are 1 to %d", f.logMaxFiles, host.MaxLogFiles)
	}
	return nil
}

func (f *slaveFlags) checkTimeouts() error {
	for _, timeout := range []struct {
		name  string
		value time.Duration
	}{{"executor_registration_timeout", f.registration}, {"executor_shutdown_grace_period", f.grace}} {
		if timeout.value <= 0 {
			return usageError("--%s %v: it must be more than 0s", timeout.name, timeout.value)
		}
	}
	return nil
}

func (f *slaveFlags) checkGC() error {
	switch {
	case !(f.gcHeadroom >= 0 && f.gcHeadroom <= 1):
		return usageError("--gc_disk_headroom %v: allowed are 0 to 1", f.gcHeadroom)
	case f.gcDelay <= 0:
		return usageError("--gc_delay %v: it must be more than 0s", f.gcDelay)
	case f.diskWatch < time.Second:
		return usageError("--disk_watch_interval %v: it must be at least 1s", f.diskWatch)
	}
	return nil
}

// fetcher makes what fetches tasks' files.
func (f *slaveFlags) fetcher(hide []string) (*fetcher.Fetcher, error) {
	if f.fetcherCache < 0 || f.fetcherCache > maxFetcherCache {
		return nil, usageError("--fetcher_cache_size %d: allowed are 0 to %d", f.fetcherCache, maxFetcherCache)
	}
	options := slave.FetcherOptions(f.workDir, hide)
	if err := os.RemoveAll(options.Directory); err != nil {
		return nil, fmt.Errorf("remove what an earlier slave has fetched: %w", err)
	}
	if options.CacheBytes = f.fetcherCache << 20; options.CacheBytes == 0 {
		options.CacheBytes = -1
	}
	if f.fetcherCA != "" {
		pem, err := os.ReadFile(f.fetcherCA)
		if err != nil {
			return nil, usageError("--fetcher_ca_file: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool() // a machine without any
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, usageError("--fetcher_ca_file %s: there is no certificate in PEM form in it", f.fetcherCA)
		}
		options.Roots = roots
	}
	return fetcher.New(options), nil
}

// shutdownTimeout is how long the end of a slave may take.
func shutdownTimeout(view *core.View) time.Duration {
	if view == nil {
		return slaveShutdownSlack
	}
	return slaveShutdownSlack + min(view.Grace, maxShutdownGrace)
}

// superviseSlave returns when the slave has ended, after ctx gracefully.
func superviseSlave(ctx context.Context, d *daemon, s *slave.Slave, pid actor.PID) error {
	gone := d.system.Done(pid)
	select {
	case <-s.Done():
		return s.Err()
	case err := <-d.failed:
		return err
	case <-gone:
		return errors.New("the slave's actor has failed; its log says why")
	case <-ctx.Done():
	}
	timeout := shutdownTimeout(s.View())
	d.system.Send(pid, slave.Shutdown{})
	select {
	case <-s.Done():
		return s.Err()
	case <-gone:
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("the slave did not end within %v; what is left is removed by its next start", timeout)
	}
}

// openWorkDir makes the work_dir and keeps others out of it.
func (f *slaveFlags) openWorkDir() (*os.File, error) {
	absolute, err := filepath.Abs(f.workDir)
	if err != nil || f.workDir == "" {
		return nil, usageError("--work_dir %q is not a directory", f.workDir)
	}
	f.workDir = absolute
	if err := os.MkdirAll(f.workDir, clusterDirMode); err != nil {
		return nil, workDirError(f.workDir, err)
	}
	lock, err := os.OpenFile(filepath.Join(f.workDir, workDirLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, workDirError(f.workDir, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("--work_dir %s is in use by another slave; give each its own", f.workDir)
	}
	return lock, nil
}

func workDirError(dir string, err error) error {
	return fmt.Errorf("--work_dir %s can't be written: %w; choose another with --work_dir", dir, pathCause(err))
}

// describe says what this machine is and has.
func (f *slaveFlags) describe() (*mesos.AgentInfo, error) {
	if _, _, err := net.SplitHostPort(f.master); err != nil {
		return nil, usageError("--master %q is not HOST:PORT; for example %s", f.master, defaultMaster)
	}
	resources, err := slave.DetectResources(f.resources, f.workDir)
	if err != nil {
		return nil, usageError("--resources: %w", err)
	}
	attributes, err := slave.ParseAttributes(f.attributes)
	if err != nil {
		return nil, usageError("--attributes: %w", err)
	}
	domain, err := parseDomain(f.domain)
	if err != nil {
		return nil, err
	}
	return &mesos.AgentInfo{Hostname: proto.String(f.hostname), Resources: resources, Attributes: attributes, Domain: domain}, nil
}

// hostProcess is a host that this slave started.
type hostProcess struct {
	process *os.Process
	done    chan error
}

// startHost starts a host as a process of its own, so that it outlives this one for as long as it takes to clean up.
func startHost(spec slave.HostSpec, flags *slaveFlags) (slave.Process, error) {
	self, err := ownProgram()
	if err != nil {
		return nil, fmt.Errorf("find the program of the host: %w", err)
	}
	command := exec.Command(self)
	command.Args = []string{
		"stoa", "host", "--slave", spec.SlaveAddress, "--id", spec.ID, "--secret_file", spec.SecretFile,
		"--work_dir", spec.WorkDir, "--isolation", spec.Isolation, "--log_level", flags.logLevel,
	}
	if flags.tls.Given() {
		command.Args = append(command.Args, "--tls_ca", flags.tls.CA)
	}
	if flags.logMessages {
		command.Args = append(command.Args, "--log_messages")
	}
	for _, path := range spec.Hide {
		command.Args = append(command.Args, "--hide", path)
	}
	if spec.LogMaxBytes > 0 {
		command.Args = append(command.Args, fmt.Sprintf("--log_max_bytes=%d", spec.LogMaxBytes), fmt.Sprintf("--log_max_files=%d", spec.LogMaxFiles))
	}
	if spec.CFS {
		command.Args = append(command.Args, "--cgroups_enable_cfs")
	}
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the host: %w", err)
	}
	p := &hostProcess{process: command.Process, done: make(chan error, 1)}
	go func() {
		p.done <- command.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done implements slave.Process.
func (p *hostProcess) Done() <-chan error { return p.done }

// Kill implements slave.Process.
func (p *hostProcess) Kill() { _ = p.process.Kill() }
