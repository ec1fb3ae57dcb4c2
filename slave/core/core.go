// Package core decides what a slave does. It is a plain struct without goroutines, clock, disk or network: the shell
// in package slave feeds it events and carries out its outputs.
//
// # What a slave is
//
//	         RunTask, KillTask, …            LaunchExecutor, KillExecutor
//	master ─────────────────────▶  slave  ────────────────────────────────▶  host
//	       ◀─────────────────────  core   ◀────────────────────────────────
//	         TaskUpdate, …          ▲ │      ExecutorStarted, ExecutorEnded
//	                  UPDATE, …     │ ▼  LAUNCH, KILL, ACKNOWLEDGED, …
//	                               executor
//
// A slave runs tasks of frameworks. A task runs under an executor: its framework's own, which may run many, or the
// built-in command executor, one per task. Executors are started by the host, a process that outlives the slave.
//
//	slave ─ frameworks ─┬─ executors   preparing → launching → registering → running → terminating → gone
//	                    └─ tasks       queued → delivered → ended → forgotten
//
// An executor is preparing until its sandbox exists, launching until there is a host to take it, registering until it
// subscribes, running until it is told to end. A task is queued until its executor subscribes; it has ended when a
// terminal update was received or made; it is forgotten when the scheduler has acknowledged that update. An
// executor is gone as soon as the host says so, and by then each of its tasks has ended.
//
// # Updates
//
// Each task has a stream of updates. An update is persisted, then acknowledged to its executor. Only the oldest one
// goes to the master, again and again until the scheduler's acknowledgement with its uuid comes back; with it goes
// the task's latest state. So updates arrive at least once and in order, as long as the slave's disk lives.
//
// # Persist, then act
//
// What must survive is asked for by Persist, and what depends on it happens when Persisted comes back: see persist.
package core

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// Core is the state of a slave. The zero value is ready for Born.
type Core struct {
	config    Config
	now       time.Time
	outputs   []Output
	timers    timers
	counter   uint64 // of ids made in this life
	recovered bool

	slaveID   string // empty before the first registration
	clusterID string

	master     masterSession
	host       hostState
	sessions   map[Session]*peer
	total      resource.Resources // of the slave, with what operations have made of them
	operations map[OperationKey]*operation
	frameworks map[string]*framework
	known      int                  // the sum of framework.known
	containers map[string]*executor // by container id: all executors that are not gone

	unpersisted []unpersisted
	persistID   uint64

	gc        Collection
	gcTimer   *timer
	completed history
	shutdown  shutdownState
	counters  Counters
}

// peer is what is known about the other end of a session of a host or an executor.
type peer struct {
	proof    Proof
	isHost   bool
	executor *executor // nil: not subscribed, or no longer
}

// unpersisted is a Persist that was not answered yet.
type unpersisted struct {
	id   uint64
	then func()
}

// Step makes one event happen at a time and returns what is to be done. A time before the last one counts as that.
func (c *Core) Step(now time.Time, event Event) []Output {
	if now.After(c.now) {
		c.now = now
	}
	switch e := event.(type) {
	case Born:
		c.born(e.Config)
	case Recovered:
		c.recover(e.Checkpoint)
		c.adopt(e.Sandboxes)
	case MasterFound:
		c.masterFound(e.Session)
	case PeerFound:
		c.sessions[e.Session] = &peer{proof: e.Proof}
	case SessionClosed:
		c.sessionClosed(e.Session, e.Reason)
	case Received:
		c.received(e.Session, e.Message)
	case Persisted:
		c.persisted(e.ID)
	case SandboxReady:
		c.sandboxReady(e)
	case HostEnded:
		c.hostEnded(e.HostID, e.Reason)
	case DiskMeasured:
		c.diskMeasured(e.Use)
	case SandboxStays:
		c.sandboxStays(e.Directory)
	case Shutdown:
		c.beginShutdown()
	case Tick:
	default:
		panic(fmt.Sprintf("slave core: unknown event %T", event))
	}
	c.timers.fire(c.now)
	c.maybeFinishShutdown()
	outputs := c.outputs
	c.outputs = nil
	return outputs
}

// Deadline returns when the Core next wants a Step, at the latest; the zero time if only events matter.
func (c *Core) Deadline() time.Time { return c.timers.next() }

func (c *Core) born(config Config) {
	c.config = config.withDefaults()
	c.gc = Collection{Delay: c.config.GCDelay, Headroom: c.config.GCDiskHeadroom}
	// Resources that are not valid are the master's to refuse.
	total, _ := resource.FromProto(config.Slave.GetResources())
	c.total = total.Unallocate()
	c.operations = map[OperationKey]*operation{}
	c.sessions = map[Session]*peer{}
	c.frameworks = map[string]*framework{}
	c.containers = map[string]*executor{}
	c.completed.index = map[taskKey]bool{}
	c.counters.TasksEnded = map[mesos.TaskState]uint64{}
}

// received gives a message to what the sender is.
func (c *Core) received(s Session, m proto.Message) {
	if s != 0 && s == c.master.session {
		c.fromMaster(m)
		return
	}
	p := c.sessions[s]
	if p == nil {
		return // closed by this Core; the peer did not know yet
	}
	switch m := m.(type) {
	case *wire.RegisterHost:
		c.registerHost(s, p, m)
	case *wire.ExecutorStarted:
		c.ifHost(s, p, m, func() { c.executorStarted(m) })
	case *wire.ExecutorEnded:
		c.ifHost(s, p, m, func() { c.executorEnded(m) })
	case *executorpb.Call:
		c.fromExecutor(s, p, m)
	default:
		c.refuse(s, "a slave does not take %s from a host or an executor", m.ProtoReflect().Descriptor().FullName())
	}
}

// fromMaster handles what a master says. Orders are taken from a master that has accepted this slave only.
func (c *Core) fromMaster(m proto.Message) {
	switch m := m.(type) {
	case *wire.SlaveRegistered:
		c.slaveRegistered(m.GetSlaveId().GetValue(), m.GetClusterId())
		return
	case *wire.SlaveReregistered:
		c.slaveRegistered(m.GetSlaveId().GetValue(), m.GetClusterId())
		return
	case *wire.Refused:
		c.finish("the master refused this slave: " + m.GetReason())
		return
	case *wire.Mark:
		c.send(c.master.session, &wire.Marked{Number: m.GetNumber()})
		return
	case *wire.Marked:
		c.marked(m)
		return
	}
	if !c.master.registered {
		c.note(Warn, "ignored %s from a master that has not accepted this slave yet", m.ProtoReflect().Descriptor().Name())
		return
	}
	switch m := m.(type) {
	case *wire.RunTask:
		c.runTask(m)
	case *wire.KillTask:
		c.killTask(m)
	case *wire.ApplyOperation:
		c.applyOperation(m)
	case *wire.AcknowledgeOperation:
		c.acknowledgeOperation(m)
	case *wire.AcknowledgeUpdate:
		c.acknowledgeUpdate(m)
	case *wire.ShutdownExecutor:
		c.shutdownExecutorRequested(m)
	case *wire.RemoveFramework:
		c.removeFramework(m)
	case *wire.FrameworkMessage:
		c.messageToExecutor(m)
	default:
		c.note(Warn, "ignored %s from the master: a slave does not know it", m.ProtoReflect().Descriptor().FullName())
	}
}

func (c *Core) sessionClosed(s Session, reason string) {
	if s != 0 && s == c.master.session {
		c.masterLost(reason)
		return
	}
	p := c.sessions[s]
	delete(c.sessions, s)
	switch {
	case p == nil:
	case p.isHost:
		c.hostSessionClosed(s, reason)
	case p.executor != nil:
		c.executorSessionClosed(p.executor, s, reason)
	}
}

// persist asks to write changes; then runs when they are on the disk. The two halves of whatever must be remembered
// before it is acted on stand next to each other in this package, as functions x and xPersisted.
func (c *Core) persist(then func(), changes ...Change) {
	c.persistID++
	c.unpersisted = append(c.unpersisted, unpersisted{c.persistID, then})
	c.emit(Persist{c.persistID, changes})
}

func (c *Core) persisted(id uint64) {
	if len(c.unpersisted) == 0 || c.unpersisted[0].id != id {
		panic(fmt.Sprintf("slave core: Persisted %d out of order", id))
	}
	then := c.unpersisted[0].then
	if c.unpersisted = c.unpersisted[1:]; len(c.unpersisted) == 0 {
		c.unpersisted = nil
	}
	if then != nil {
		then()
	}
}

// recover takes over what an earlier life remembered. Hosts end with the slave that started them, so none of those
// executors lives: their tasks end here, and updates that nobody acknowledged go on from where they were.
func (c *Core) recover(checkpoint Checkpoint) {
	c.recovered = true
	c.slaveID, c.clusterID = checkpoint.SlaveID, checkpoint.ClusterID
	if err := c.recoverResources(checkpoint); err != nil {
		c.finish(err.Error())
		return
	}
	for _, id := range sortedKeys(checkpoint.Frameworks) {
		record := checkpoint.Frameworks[id]
		f := c.addFramework(record.Info)
		for _, id := range sortedKeys(record.Executors) {
			c.persist(nil, ExecutorForgotten{f.id, id, record.Executors[id].ContainerID})
		}
		for _, id := range sortedKeys(record.Tasks) {
			c.recoverTask(f, id, record.Tasks[id])
		}
		c.maybeForgetFramework(f)
	}
	c.startHost()
}

func (c *Core) recoverTask(f *framework, id string, record *TaskRecord) {
	t := &task{
		id: id, info: record.Info, framework: f, executorID: record.ExecutorID, command: record.Command,
		phase: ended, stored: true, latest: record.Latest,
	}
	f.tasks[id] = t
	c.know(f, knownBytes(t.info))
	for _, status := range record.Updates {
		t.updates = append(t.updates, &update{status: status, stored: true})
		t.remember(status.GetUuid())
	}
	if !mesos.IsTerminal(t.state()) {
		c.endTask(t, verdict{
			state:   lost(f.info),
			reason:  mesos.TaskStatus_REASON_AGENT_RESTARTED,
			message: "the slave was started again, and its executors ended with it",
			cause:   mesos.CauseSlaveRestarted,
		})
	}
}

func (c *Core) emit(o Output) { c.outputs = append(c.outputs, o) }

func (c *Core) send(s Session, m proto.Message) { c.emit(Send{s, m}) }

func (c *Core) note(level Level, format string, args ...any) {
	c.emit(Note{level, fmt.Sprintf(format, args...)})
}

// refuse answers what may not be. The session stays.
func (c *Core) refuse(s Session, format string, args ...any) {
	c.counters.Refused++
	c.send(s, &wire.Refused{Reason: fmt.Sprintf(format, args...)})
}

// expel refuses a peer and ends its session.
func (c *Core) expel(s Session, format string, args ...any) {
	c.refuse(s, format, args...)
	c.closeSession(s, fmt.Sprintf(format, args...))
}

func (c *Core) closeSession(s Session, reason string) {
	delete(c.sessions, s)
	c.emit(CloseSession{s, reason})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
