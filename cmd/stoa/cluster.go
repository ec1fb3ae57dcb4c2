package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/slave"
)

const (
	defaultMasterIP   = "127.0.0.1"
	defaultMasterPort = 5050 // Mesos default
	defaultSlavePort  = 5051 // Mesos default
	defaultSlaves     = 3
	maxLocalSlaves    = 100

	clusterReadyTimeout = 20 * time.Second // until every slave of a new cluster has registered
)

// clusterFlags are the flags that local and demo share.
type clusterFlags struct {
	slaves    int
	resources string
	isolation string
	ip        string
	port      int
	portAsked bool // by the user: then no other will do
	insecure  bool
	logLevel  string

	jobTracker bool // there is a JobTracker, too
}

func (f *clusterFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.slaves, "slaves", defaultSlaves, "`NUMBER` of slaves")
	flags.StringVar(&f.resources, "resources", "", "what each slave offers, such as `'cpus:4;mem:4096'` (default: all cpus, and an equal part of memory, disk and ports)")
	flags.StringVar(&f.isolation, "isolation", "", "how tasks are isolated: libcontainer or process (default: libcontainer where it works)")
	flags.StringVar(&f.ip, "ip", defaultMasterIP, "`ADDRESS` the cluster listens on")
	flags.IntVar(&f.port, "port", defaultMasterPort, "`PORT` of the master; if it is taken and was not asked for, any that is free")
	addInsecureFlag(flags, &f.insecure)
	addLogFlags(flags, &f.logLevel)
}

// check completes the flags and says what is wrong with them.
func (f *clusterFlags) check(flags *pflag.FlagSet) error {
	f.portAsked = flags.Changed("port")
	if f.slaves < 1 || f.slaves > maxLocalSlaves {
		return usageError("--slaves %d: allowed are 1 to %d", f.slaves, maxLocalSlaves)
	}
	return checkLocalExposure(f.ip, f.insecure)
}

// cluster is a master and its slaves on this machine, child processes of this one.
type cluster struct {
	dir      string
	lock     *os.File
	master   *child
	slaves   []*child
	address  string // of the master
	stopOnce sync.Once

	jobTracker     *child // nil: there is none
	trackerAddress string
}

// startCluster starts a master and slaves and returns when all slaves have registered. The processes are kept alive
// until stop; report gets a line for people when one had to be started again.
func startCluster(ctx context.Context, name string, flags clusterFlags, report func(format string, args ...any)) (*cluster, error) {
	resources, err := slaveResources(flags)
	if err != nil {
		return nil, err
	}
	sweepDeadClusters(ctx)
	socketOfMaster, address, err := masterSocket(flags)
	if err != nil {
		return nil, err
	}
	dir, lock, err := newClusterDir(name)
	if err != nil {
		socketOfMaster.Close()
		return nil, err
	}
	c := &cluster{dir: dir, lock: lock, address: address.String()}
	c.master, err = c.spawn("master", socketOfMaster, report, "master", "--work_dir", filepath.Join(dir, "master"), "--log_level", flags.logLevel)
	for i := 1; err == nil && i <= flags.slaves; i++ {
		err = c.addSlave(i, flags, resources[i-1], report)
	}
	if err == nil && flags.jobTracker {
		err = c.addJobTracker(flags, report)
	}
	if err == nil {
		err = c.awaitSlaves(ctx, flags.slaves)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) addSlave(number int, flags clusterFlags, resources string, report func(string, ...any)) error {
	listener, _, err := socket(flags.ip, 0)
	if err != nil {
		return err
	}
	name := "slave-" + strconv.Itoa(number)
	slave, err := c.spawn(name, listener, report, "slave",
		"--master", c.address, "--work_dir", filepath.Join(c.dir, name), "--hostname", name,
		"--resources", resources, "--isolation", flags.isolation, "--log_level", flags.logLevel)
	if err != nil {
		return err
	}
	c.slaves = append(c.slaves, slave)
	return nil
}

// addJobTracker starts a JobTracker at its usual address, or any that is free.
func (c *cluster) addJobTracker(flags clusterFlags, report func(string, ...any)) error {
	listener, address, err := socket(flags.ip, defaultJobTrackerPort)
	if err != nil {
		listener, address, err = socket(flags.ip, 0)
	}
	if err != nil {
		return err
	}
	c.trackerAddress = address.String()
	dir := filepath.Join(c.dir, "jobtracker")
	c.jobTracker, err = c.spawn("jobtracker", listener, report, "hadoop", "jobtracker", "--master", c.address,
		"--work_dir", dir, "--state", filepath.Join(dir, "state"), "--log_level", flags.logLevel)
	return err
}

func (c *cluster) spawn(name string, listener *os.File, report func(string, ...any), args ...string) (*child, error) {
	made := &child{name: name, args: args, dir: filepath.Join(c.dir, name), listener: listener, lock: c.lock, report: report}
	if err := os.Mkdir(made.dir, clusterDirMode); err != nil {
		return nil, err
	}
	return made, made.run()
}

// awaitSlaves returns when the master has count active slaves.
func (c *cluster) awaitSlaves(ctx context.Context, count int) error {
	ctx, cancel := context.WithTimeout(ctx, clusterReadyTimeout)
	defer cancel()
	err := awaitActiveSlaves(ctx, c.address, count)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the cluster's %d slaves did not register within %v; the logs were:\n%s", count, clusterReadyTimeout, c.logTails())
	}
	return err
}

// stop ends every process of the cluster and removes its directory. It may be called more than once.
func (c *cluster) stop() {
	c.stopOnce.Do(func() {
		if c.jobTracker != nil && c.jobTracker.done != nil {
			c.jobTracker.hangUp()
			c.jobTracker.wait()
		}
		// Slaves before their master: each says goodbye to it.
		for _, slave := range c.slaves {
			slave.hangUp()
		}
		for _, slave := range c.slaves {
			slave.wait()
		}
		if c.master != nil && c.master.done != nil {
			c.master.hangUp()
			c.master.wait()
		}
		c.lock.Close()
		sweepClusterDir(context.Background(), c.dir)
	})
}

// logTailBytes is how much of each daemon's log is shown when a cluster does not come up.
const logTailBytes = 2000

func (c *cluster) logTails() string {
	var tails []byte
	for _, made := range append([]*child{c.master}, c.slaves...) {
		log, _ := os.ReadFile(filepath.Join(made.dir, "log"))
		tails = fmt.Appendf(tails, "--- %s\n%s", made.name, log[max(0, len(log)-logTailBytes):])
	}
	return string(tails)
}

// masterSocket opens the master's address: the one asked for, else the usual one, else any that is free.
func masterSocket(flags clusterFlags) (*os.File, net.Addr, error) {
	file, address, err := socket(flags.ip, flags.port)
	if err != nil && !flags.portAsked && flags.port == defaultMasterPort {
		return socket(flags.ip, 0)
	}
	return file, address, err
}

// slaveResources says what each slave of a cluster on one machine offers: what was asked for, or all cpus and an equal
// part of everything else.
func slaveResources(flags clusterFlags) ([]string, error) {
	texts := make([]string, flags.slaves)
	if flags.resources != "" {
		if _, err := slave.DetectResources(flags.resources, os.TempDir()); err != nil {
			return nil, usageError("--resources: %w", err)
		}
		for i := range texts {
			texts[i] = flags.resources
		}
		return texts, nil
	}
	found, err := slave.DetectResources("", os.TempDir())
	if err != nil {
		return nil, err
	}
	machine, err := resource.FromProto(found)
	if err != nil {
		return nil, err
	}
	ports := (slave.LastPort - slave.FirstPort + 1) / flags.slaves
	for i := range texts {
		first := slave.FirstPort + i*ports
		texts[i] = fmt.Sprintf("cpus:%s;mem:%d;disk:%d;ports:[%d-%d]", resource.FormatThousandths(machine.Get("cpus")),
			machine.Get("mem")/resource.Unit/int64(flags.slaves), machine.Get("disk")/resource.Unit/int64(flags.slaves), first, first+ports-1)
	}
	return texts, nil
}
