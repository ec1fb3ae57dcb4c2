package core

import (
	"cmp"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

const (
	// DefaultHeartbeatInterval is the time between two HEARTBEAT events to a scheduler (Mesos: 15 s).
	DefaultHeartbeatInterval = 15 * time.Second

	// DefaultSlaveTimeout is how long a slave may be disconnected before it is marked unreachable (Mesos default: 75 s =
	// 15 s × 5).
	DefaultSlaveTimeout = 75 * time.Second

	// DefaultSlaveReregisterTimeout is how long a new master waits for the slaves of the one before it (Mesos default of
	// agent_reregister_timeout: 10 min).
	DefaultSlaveReregisterTimeout = 10 * time.Minute

	// MinRecoveredFrameworkTimeout is how long a framework that a slave brought is given at least to subscribe, before it
	// and its tasks are removed. Its own failover timeout counts if it is longer.
	MinRecoveredFrameworkTimeout = 75 * time.Second

	// DefaultMaxCompletedFrameworks is how many frameworks that have ended are kept to be looked at (Mesos default of
	// max_completed_frameworks: 50).
	DefaultMaxCompletedFrameworks = 50

	// DefaultMaxCompletedTasksPerFramework is how many tasks that have ended are kept per framework (Mesos default of
	// max_completed_tasks_per_framework: 1000).
	DefaultMaxCompletedTasksPerFramework = 1000

	// DefaultMaxCompletedTasks is how many tasks that have ended are kept in all: what bounds the memory of a master with
	// many frameworks. Some 2 KB each.
	DefaultMaxCompletedTasks = 10000

	// DefaultMaxUnreachableTasksPerFramework is how many tasks on unreachable slaves are kept per framework (Mesos default
	// of max_unreachable_tasks_per_framework: 1000).
	DefaultMaxUnreachableTasksPerFramework = 1000

	// MaxPendingKills is how many tasks per framework are to be killed when they come back with their slaves.
	MaxPendingKills = 1000

	// MaxForsakenSlaves is of how many unreachable slaves it is remembered which tasks were declared lost on them, so that
	// those are ended if the slave comes back.
	MaxForsakenSlaves = 1000

	// MaxRemovedSlaves is how many ids of removed slaves are kept, so that one that comes back is told so (Mesos:
	// 100,000).
	MaxRemovedSlaves = 100000

	// MaxStatusesPerTask is how many states of a task's life its readers see, the latest ones. Mesos has no limit; a task
	// whose slave comes and goes would have ever more.
	MaxStatusesPerTask = 16

	// MaxTaskBytes is how large a task may be, together with its framework's info: both go to its slave in one message, which
	// must be below the 64 MiB that nodes take. One above would cost the slave its connection, and others their tasks.
	MaxTaskBytes = 60 << 20

	// MaxSlaveMessageBytes is how long a message of a framework to a slave may be, for the same reason; MaxTaskBytes leaves room for
	// what a task is sent with.
	MaxSlaveMessageBytes = 61 << 20

	// MaxResourcesBytes is how long the resources of a slave may become by operations of frameworks: it says them in one message
	// when it comes back.
	MaxResourcesBytes = 4 << 20

	// MaxRegistrationBytes is how much a slave may bring of frameworks, executors and tasks: twice as much as it lets them have.
	MaxRegistrationBytes = 1 << 30

	// MaxOffersPerEvent is how many offers one OFFERS event holds at most, so that it stays well below what readers of
	// records take (4 MB).
	MaxOffersPerEvent = 500

	// maxWorkPerStep is how many tasks, offers and slaves that are concerned all at once are dealt with in one step, some 5 µs
	// each; the others wait for the next ones.
	maxWorkPerStep = 200

	// maxTimersPerStep is how many timers one Tick serves; those that are due as well wait for the next.
	maxTimersPerStep = 200
)

// Config holds what an operator can choose. The zero value of each field stands for its default.
type Config struct {
	HeartbeatInterval      time.Duration
	SlaveTimeout           time.Duration
	SlaveReregisterTimeout time.Duration
	AllocationInterval     time.Duration // of allocator.DefaultInterval
	OfferTimeout           time.Duration // how long an offer may wait for its answer; 0, the default, is for ever

	// MinAllocatable holds sets of quantities of which an offer has at least one; nil: those of allocator.Options.
	MinAllocatable []resource.Quantities

	// Unfair names scalar resources that do not count in shares; none by default.
	Unfair []string

	MaxCompletedFrameworks          int
	MaxCompletedTasksPerFramework   int
	MaxCompletedTasks               int
	MaxUnreachableTasksPerFramework int

	// Scheme is that of the URLs of slaves: "https" where nodes speak TLS; "" is "http".
	Scheme string
	// Flags are the master's flags as GET_FLAGS shows them, in this order.
	Flags []Flag
}

// Flag is a flag of the process and its value.
type Flag struct{ Name, Value string }

func (c Config) withDefaults() Config {
	c.Scheme = cmp.Or(c.Scheme, "http")
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, DefaultHeartbeatInterval)
	c.SlaveTimeout = cmp.Or(c.SlaveTimeout, DefaultSlaveTimeout)
	c.SlaveReregisterTimeout = cmp.Or(c.SlaveReregisterTimeout, DefaultSlaveReregisterTimeout)
	c.MaxCompletedFrameworks = cmp.Or(c.MaxCompletedFrameworks, DefaultMaxCompletedFrameworks)
	c.MaxCompletedTasksPerFramework = cmp.Or(c.MaxCompletedTasksPerFramework, DefaultMaxCompletedTasksPerFramework)
	c.MaxCompletedTasks = cmp.Or(c.MaxCompletedTasks, DefaultMaxCompletedTasks)
	c.MaxUnreachableTasksPerFramework = cmp.Or(c.MaxUnreachableTasksPerFramework, DefaultMaxUnreachableTasksPerFramework)
	return c
}
