package core

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Defaults of Config, all of them Mesos's.
const (
	DefaultExecutorRegistrationTimeout   = time.Minute
	DefaultExecutorReregistrationTimeout = 2 * time.Second
	DefaultExecutorShutdownGrace         = 5 * time.Second
	DefaultRecoveryTimeout               = 15 * time.Minute
	DefaultGCDelay                       = 7 * 24 * time.Hour
	DefaultDiskWatchInterval             = time.Minute
)

// MinSandboxAge is how long a sandbox is kept however full the disk is: whoever waits for the end of a task has a moment to
// read what it wrote. In Mesos, too, the next look at the disk comes after a minute.
const MinSandboxAge = time.Minute

// DefaultGCDiskHeadroom is the part of the disk that sandboxes should leave free: Mesos's.
const DefaultGCDiskHeadroom = 0.1

// MaxFetchTime bounds what is fetched for an executor. Only then is it awaited; servers that fall silent are given up
// long before.
const MaxFetchTime = time.Hour

// How an unacknowledged update is repeated: Mesos's figures.
const (
	UpdateRetryFirst = 10 * time.Second // after it was first sent, and then twice as long each time
	UpdateRetryMost  = 10 * time.Minute
)

// How a host that ended is started again.
const (
	HostRetryFirst  = 100 * time.Millisecond // and then twice as long each time
	HostRetryMost   = 30 * time.Second
	HostStable      = 10 * time.Second // a host that lived so long was a good one: the next wait is the first again
	MaxHostFailures = 5                // in a row, before any host has ever registered: then the slave gives up

	HostRegistrationTimeout = 30 * time.Second // from its start; then it is killed
)

// HostGoodbye is how long a slave that shuts down waits for its host to end by itself.
const HostGoodbye = 2 * time.Second

// What is kept for people to look at after it ended; the oldest go first.
const (
	MaxCompletedFrameworks = 50 // Mesos's
	MaxCompletedExecutors  = 200
	MaxCompletedTasks      = 200
)

// Bounds against executors and frameworks that never stop.
const (
	MaxUnacknowledgedUpdates = 4096      // of one task; the executor that sends more is killed
	MaxUnacknowledgedBytes   = 256 << 20 // of data in all updates of one executor; likewise
	MaxUpdateBytes           = 16 << 20  // of one update; likewise. With it go the latest one's bytes beside its data
	MaxStatusBytes           = 64 << 10  // of one update beside its data; likewise
	MaxMessageBytes          = 16 << 10  // of its message: the rest is cut off
	MaxFrameworkMessageBytes = 60 << 20  // of a message to a scheduler, which must be below the 64 MiB that nodes take; others are dropped
	MaxKnownBytes            = 512 << 20 // of the infos of frameworks, executors and tasks, which the slave says when it registers again; a task that is more is dropped
	RegistrationPartBytes    = 4 << 20   // of these in one message, unless a single one is larger
	RememberedUpdates        = 64        // uuids per task, by which an update that an executor repeats is recognised
	MaxSandboxes             = 20_000    // of ended executors, waiting for their removal; the oldest go first
)

// SubscriptionBackoffMost is told to executors as MESOS_SUBSCRIPTION_BACKOFF_MAX: Mesos's 2 s.
const SubscriptionBackoffMost = 2 * time.Second

// Config is who a slave is and how it behaves. Zero durations stand for their defaults.
type Config struct {
	Incarnation uint64           // of this life, drawn at random: ids made by this Core contain it
	Slave       *mesos.AgentInfo // without id
	Version     string           // of the program
	IP          string           // where others reach the slave, together with Slave.Port
	Near        string           // where executors do, as "ip:port"; empty: there too
	SwitchUser  bool             // run tasks as the user that they ask for; else as the slave's

	ExecutorRegistrationTimeout   time.Duration // from RunTask to the executor's SUBSCRIBE
	ExecutorReregistrationTimeout time.Duration // from the end of an executor's session to its next SUBSCRIBE
	ExecutorShutdownGrace         time.Duration // from SHUTDOWN to the use of force, unless the executor has its own
	RecoveryTimeout               time.Duration // told to the executors of frameworks that checkpoint
	GCDelay                       time.Duration // from an executor's end to its sandbox's removal, if the disk were empty
	GCDiskHeadroom                float64       // the part of the disk that sandboxes should leave free; 0: none
}

// withDefaults returns c with every zero duration replaced.
func (c Config) withDefaults() Config {
	c.ExecutorRegistrationTimeout = cmp.Or(c.ExecutorRegistrationTimeout, DefaultExecutorRegistrationTimeout)
	c.ExecutorReregistrationTimeout = cmp.Or(c.ExecutorReregistrationTimeout, DefaultExecutorReregistrationTimeout)
	c.ExecutorShutdownGrace = cmp.Or(c.ExecutorShutdownGrace, DefaultExecutorShutdownGrace)
	c.RecoveryTimeout = cmp.Or(c.RecoveryTimeout, DefaultRecoveryTimeout)
	c.GCDelay = cmp.Or(c.GCDelay, DefaultGCDelay)
	return c
}

// endpoint returns "ip:port" of the slave, as RFC 3986 writes those of IPv6.
func (c Config) endpoint() string {
	if strings.Contains(c.IP, ":") {
		return fmt.Sprintf("[%s]:%d", c.IP, c.Slave.GetPort())
	}
	return fmt.Sprintf("%s:%d", c.IP, c.Slave.GetPort())
}

// near is where executors reach the slave.
func (c Config) near() string { return cmp.Or(c.Near, c.endpoint()) }
