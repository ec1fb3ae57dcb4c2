// Package slave is the shell of a slave: the actor around slave/core that talks with master, host and executors, keeps
// the time, writes the checkpoint and makes sandboxes. What a slave decides is in slave/core.
//
//	                    ┌────────────── actor "slave" ──────────────┐
//	master ◀──session──▶│ event → core.Step → outputs → carried out │
//	host   ◀──session──▶│                                           │──▶ disk, host process, sandboxes (elsewhere:
//	executor ◀─session─▶│                                           │    their results come back as messages)
//	                    └───────────────────────────────────────────┘
//
// There is a child actor per session, so that what goes wrong with one peer is the end of that session alone. Hosts and
// executors speak first, to the name "slave"; their answer comes from their session. A master is spoken to first.
//
// If the actor panics it may be born again under the same name: what New returned keeps the checkpoint and the secrets,
// and the new life recovers from them.
package slave

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/core"
	"github.com/stoa-project/stoa/slave/fetcher"
)

// Name is the name of a slave's root actor, to which hosts and executors speak first.
const Name = "slave"

// masterName is the name of a master's root actor.
const masterName = "master"

// How a slave looks for a master that is not there.
const (
	MasterRetryFirst = 100 * time.Millisecond // and then twice as long each time, each up to half longer by chance
	MasterRetryMost  = 5 * time.Second
)

// viewInterval is how old a View may be while things change.
const viewInterval = 100 * time.Millisecond

// tokenVariable holds an executor's secret in its environment: Mesos's name for it.
const tokenVariable = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN"

// authorityVariable holds the certificates by which an executor knows its slave. They are no secret.
const authorityVariable = "MESOS_AGENT_AUTHORITY"

// HostSpec is what a host process is started with.
type HostSpec struct {
	ID           string
	SlaveAddress string // host:port where this slave listens
	SecretFile   string // by which the host proves itself; only its owner can read it
	Secret       []byte // the same, for hosts in this process
	WorkDir      string // absolute
	Isolation    string // "libcontainer" or "process"
	Hide         []string
	CFS          bool
	LogMaxBytes  int64
	LogMaxFiles  int
}

// Process is a host process that was started.
type Process interface {
	// Done yields how the process ended, once: nil for exit status 0. It may be closed afterwards.
	Done() <-chan error
	// Kill ends it by force. It may be called at any time and more than once.
	Kill()
}

// Config is what a slave needs to know and to have.
type Config struct {
	Master    string           // host:port of the master
	Info      *mesos.AgentInfo // hostname, port, resources, attributes; without id
	IP        string           // where executors and the host reach the slave, at Info's port
	WorkDir   string           // made if it does not exist
	Isolation string           // for the host
	Hide      []string         // files and folders that tasks must not see: keys, configuration; absolute
	// LogMaxBytes is how large a file of a task's output may grow before it is rotated, 0: for ever; LogMaxFiles how many
	// rotated ones are kept, 0: as many as the host does.
	LogMaxBytes int64
	LogMaxFiles int
	CFS         bool   // the cpus of a task are a ceiling as well, not only its share
	Version     string // of the program; empty: wire.Version

	// Authority are the certificates, as PEM, by which executors know this slave when it speaks TLS; empty: it does not.
	Authority string
	// Near is where the host and executors reach this slave, as host:port; empty: at IP and Info's port, as all others.
	Near string

	// Secret is that of the work_dir, by which a master knows this slave again: checkpoint.SlaveSecret's. Empty: none.
	Secret []byte

	StartHost func(HostSpec) (Process, error)
	Store     checkpoint.Store // nil: in memory
	Fetcher   *fetcher.Fetcher // nil: one with the defaults
	Secrets   *Secrets         // whose Verify the node's connections ask; nil: a new one

	// SwitchUser runs tasks as the user that they ask for. It takes root.
	SwitchUser bool
	// FirstContact bounds the search for a master before the first registration; 0: for ever.
	FirstContact time.Duration

	// Zero durations stand for their defaults, which are named in slave/core.
	ExecutorRegistrationTimeout, ExecutorShutdownGrace, GCDelay, DiskWatchInterval time.Duration
	// GCDiskHeadroom is the part of the disk that sandboxes should leave free: the fuller it is, the sooner they go.
	GCDiskHeadroom float64

	// Passed, if there is one, is called at each point of the slave's life: see point.go. It is for tests, which die there.
	Passed func(point string)
}

// Slave is a slave from its first life to the end.
type Slave struct {
	config  Config
	courier *courier
	view    atomic.Pointer[core.View]
	once    sync.Once
	done    chan struct{}
	err     error
}

// New makes a slave. Its actor is spawned from Produce under Name.
func New(config Config) *Slave {
	if config.Store == nil {
		config.Store = &checkpoint.Memory{}
	}
	if config.Fetcher == nil {
		config.Fetcher = fetcher.New(FetcherOptions(config.WorkDir, config.Hide))
	}
	if config.Secrets == nil {
		config.Secrets = &Secrets{}
	}
	config.DiskWatchInterval = cmp.Or(config.DiskWatchInterval, core.DefaultDiskWatchInterval)
	config.Version = cmp.Or(config.Version, wire.Version)
	return &Slave{config: config, courier: newCourier(), done: make(chan struct{})}
}

// Produce makes the actor of one life of the slave.
func (s *Slave) Produce() actor.Actor {
	return &shell{
		slave: s, Config: s.config, core: &core.Core{},
		peers: map[core.Session]actor.PID{}, callers: map[actor.PID]core.Session{}, handled: map[core.Session]int{},
		asking: map[actor.AskID]func(actor.Context, actor.Answer){},
		hosts:  map[string]Process{}, condemned: map[string]bool{}, fetching: map[string]context.CancelFunc{},
	}
}

// View is how the slave was at most a moment ago; nil before its first life has begun.
func (s *Slave) View() *core.View { return s.view.Load() }

// WorkDir is where the slave's sandboxes are.
func (s *Slave) WorkDir() string { return s.config.WorkDir }

// Secrets are what the slave's hosts and executors prove themselves with.
func (s *Slave) Secrets() *Secrets { return s.config.Secrets }

// Version is that of the program.
func (s *Slave) Version() string { return s.config.Version }

// Done is closed when the slave has nothing more to do, after Shutdown or a failure that it can't get over.
func (s *Slave) Done() <-chan struct{} { return s.done }

// Err is the failure, nil after Shutdown. It may be called when Done is closed.
func (s *Slave) Err() error { return s.err }

func (s *Slave) finish(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.done)
	})
}

// Shutdown asks the slave's actor to end everything that runs and say goodbye.
type Shutdown struct{}

// shell is one life of the slave's actor.
type shell struct {
	Config
	slave *Slave
	core  *core.Core

	sessions  core.Session // the last one
	peers     map[core.Session]actor.PID
	handled   map[core.Session]int          // messages of it since its last credit
	callers   map[actor.PID]core.Session    // hosts and executors, by who spoke first
	hosts     map[string]Process            // by id; nil: being started
	condemned map[string]bool               // hosts to kill as soon as they are started
	fetching  map[string]context.CancelFunc // by container id: those whose sandboxes are being prepared

	master      core.Session // 0: none; the next one is being waited for
	masterWait  time.Duration
	masterSpoke bool
	searching   time.Time // since when, before the first registration

	asking    map[actor.AskID]func(actor.Context, actor.Answer) // questions to the host
	measuring bool                                              // the disk

	ending  bool  // nothing is left to be done but to let the sessions end
	failure error // why

	discarded uint64 // persistent volumes that were removed

	writing bool
	toWrite []core.Persist

	removing bool
	toRemove []string // sandboxes

	timer     actor.Timer
	timerAt   time.Time
	published time.Time
	dirty     bool
}

// Messages of the shell to itself.
type (
	wake       struct{}
	findMaster struct{}
	loaded     struct {
		checkpoint core.Checkpoint
		sandboxes  []core.Garbage
	}
	lookAtDisk   struct{}
	diskLookedAt struct {
		use float64
		err error
	}
	removed     struct{ stays string } // a sandbox; or it stays, which is this
	failed      struct{ err error }
	written     struct{ ids []uint64 }
	hostStarted struct {
		id      string
		process Process
	}
)

// Receive turns a message into an event of the core and carries out what comes of it.
func (s *shell) Receive(ctx actor.Context) {
	if s.ending {
		s.goodbye(ctx, ctx.Message())
		return
	}
	switch m := ctx.Message().(type) {
	case actor.Started:
		s.begin(ctx)
	case loaded:
		if m.checkpoint.SlaveID != "" {
			s.searching = time.Time{}
		}
		s.step(ctx, core.Recovered{Checkpoint: m.checkpoint, Sandboxes: m.sandboxes})
		s.lookAtDisk(ctx)
	case failed:
		s.end(ctx, m.err)
	case findMaster:
		s.findMaster(ctx)
	case heard:
		s.heard(ctx, m)
	case over:
		s.over(ctx, m)
	case actor.Exited:
		s.childExited(ctx, m)
	case written:
		s.written(ctx, m.ids)
	case lookAtDisk:
		s.lookAtDisk(ctx)
	case diskLookedAt:
		s.diskLookedAt(ctx, m)
	case removed:
		s.removing = false
		if m.stays != "" {
			s.step(ctx, core.SandboxStays{Directory: m.stays})
		}
		s.maybeRemove(ctx)
	case core.SandboxReady:
		delete(s.fetching, m.ContainerID)
		s.step(ctx, m)
	case hostStarted:
		if s.hosts[m.id] = m.process; s.condemned[m.id] {
			m.process.Kill()
		}
	case core.HostEnded:
		s.hostEnded(ctx, m)
	case *wire.ExecTask:
		s.exec(ctx, m)
	case *wire.GetStatistics:
		s.statistics(ctx)
	case *wire.GetDiskUsage:
		s.diskUsage(ctx)
	case actor.Answer:
		if answer := s.asking[m.ID]; answer != nil {
			delete(s.asking, m.ID)
			answer(ctx, m)
		}
	case answered:
		ctx.ReplyTo(m.asked, m.answer)
	case diskMeasured:
		s.measuring = false
		ctx.ReplyTo(m.asked, m.answer)
	case askMaster:
		if m.session == uint64(s.master) {
			s.send(ctx, s.master, m.question)
		}
	case Shutdown:
		s.step(ctx, core.Shutdown{})
	case wake:
		s.timerAt = time.Time{}
		s.step(ctx, core.Tick{})
	case proto.Message:
		s.opened(ctx, m)
	}
}

// begin is the start of a life: a new incarnation, and whatever the last one left.
func (s *shell) begin(ctx actor.Context) {
	s.searching = ctx.Now()
	var seed [8]byte
	rand.Read(seed[:])
	s.step(ctx, core.Born{Config: core.Config{
		Incarnation:                 binary.BigEndian.Uint64(seed[:]),
		Slave:                       s.Info,
		Version:                     s.Version,
		IP:                          s.IP,
		Near:                        s.Near,
		SwitchUser:                  s.SwitchUser,
		ExecutorRegistrationTimeout: s.ExecutorRegistrationTimeout,
		ExecutorShutdownGrace:       s.ExecutorShutdownGrace,
		GCDelay:                     s.GCDelay,
		GCDiskHeadroom:              s.GCDiskHeadroom,
	}})
	s.load(ctx)
	s.findMaster(ctx)
}

// step feeds the core and carries out what it wants, in order.
func (s *shell) step(ctx actor.Context, event core.Event) {
	s.hears(event)
	for _, o := range s.core.Step(ctx.Now(), event) {
		s.carryOut(ctx, o)
	}
	s.dirty = true
	s.publish(ctx)
}

func (s *shell) carryOut(ctx actor.Context, o core.Output) {
	s.does(o)
	switch o := o.(type) {
	case core.Send:
		s.send(ctx, o.Session, s.withOwnSecret(o.Message))
	case core.Launch:
		s.send(ctx, o.Session, s.withSecret(o.Message))
	case core.ForgetSecret:
		s.Secrets.forget(core.Proof{ContainerID: o.ContainerID})
	case core.CloseSession:
		s.closeSession(ctx, o.Session)
		if o.Session == s.master {
			s.masterGone(ctx, o.Reason)
		}
	case core.Persist:
		s.toWrite = append(s.toWrite, o)
		s.maybeWrite(ctx)
	case core.PrepareSandbox:
		s.prepareSandbox(ctx, o)
	case core.AbandonSandbox:
		if cancel := s.fetching[o.ContainerID]; cancel != nil {
			cancel()
		}
	case core.RemoveSandbox:
		s.toRemove = append(s.toRemove, o.Directory)
		s.maybeRemove(ctx)
	case core.MakeVolume:
		s.makeVolume(ctx, o)
	case core.RemoveVolume:
		s.removeVolume(ctx, o)
	case core.StartHost:
		s.startHost(ctx, o.HostID)
	case core.KillHost:
		s.killHost(o.HostID)
	case core.Finished:
		var err error
		if o.Reason != "" {
			err = errors.New(o.Reason)
		}
		s.end(ctx, err)
	case core.Note:
		note(ctx, o)
	default:
		panic(fmt.Sprintf("slave: no way to carry out %T", o))
	}
}

// note logs what the core has to say.
func note(ctx actor.Context, n core.Note) {
	switch n.Level {
	case core.Debug:
		ctx.Log().Debug().Msg(n.Text)
	case core.Info:
		ctx.Log().Info().Msg(n.Text)
	default:
		ctx.Log().Warn().Msg(n.Text)
	}
}

// withSecret gives an executor of a framework the means to prove itself. Command executors are actors of the host and
// speak over its connection, which the host has opened with its own secret.
func (s *shell) withSecret(m *wire.LaunchExecutor) *wire.LaunchExecutor {
	if !m.GetCommandExecutor() {
		m.Secret = s.Secrets.issue(core.Proof{ContainerID: m.GetContainerId().GetValue()})
		m.Environment[tokenVariable] = hex.EncodeToString(m.Secret)
		if s.Authority != "" {
			m.Environment[authorityVariable] = s.Authority
		}
	}
	return m
}

// withOwnSecret adds to what the slave introduces itself with what proves it.
func (s *shell) withOwnSecret(m proto.Message) proto.Message {
	switch m := m.(type) {
	case *wire.RegisterSlave:
		m.Secret = s.Secret
	case *wire.ReregisterSlave:
		m.Secret = s.Secret
	}
	return m
}

// publish shows readers a new View, not too often, and sets the alarm for what comes next.
func (s *shell) publish(ctx actor.Context) {
	next := s.core.Deadline()
	if due := s.published.Add(viewInterval); s.dirty && !ctx.Now().Before(due) {
		s.slave.view.Store(s.core.View())
		s.published, s.dirty = ctx.Now(), false
	} else if s.dirty && (next.IsZero() || due.Before(next)) {
		next = due
	}
	if next.Equal(s.timerAt) {
		return
	}
	if !s.timerAt.IsZero() {
		s.timer.Cancel()
	}
	if s.timerAt = next; !next.IsZero() {
		s.timer = ctx.After(max(0, next.Sub(ctx.Now())), wake{})
	}
}

// end is the end of the slave, not only of this life. It waits for its sessions to say what they were given to say.
func (s *shell) end(ctx actor.Context, err error) {
	if s.ending {
		return
	}
	s.ending, s.failure = true, err
	s.slave.view.Store(s.core.View())
	for _, pid := range s.peers {
		ctx.Send(pid, hangUp{})
	}
	s.maybeFinish(ctx)
}

// maybeFinish ends a slave that is ending when its last session has ended.
func (s *shell) maybeFinish(ctx actor.Context) {
	if s.ending && len(s.peers) == 0 {
		s.slave.finish(s.failure)
		ctx.Stop(ctx.Self())
	}
}

// goodbye is all that a slave that is ending still hears: the ends of its sessions.
func (s *shell) goodbye(ctx actor.Context, m any) {
	if exited, ok := m.(actor.Exited); ok {
		maps.DeleteFunc(s.peers, func(_ core.Session, pid actor.PID) bool { return pid.Is(exited.PID) })
		s.maybeFinish(ctx)
	}
}
