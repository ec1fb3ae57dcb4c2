package actor

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"

	proto "github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/eventstream"
)

// engine is what we use of protoactor: its actor contexts and their supervision tree, with children that stop before
// their parent, under mailboxes of our own. Its names and PIDs never leave this package.
type engine struct {
	system *proto.ActorSystem
	serial atomic.Uint64
}

// engineBuckets is how many of the registry's 1,024 buckets we keep. Each has 32 maps; all together cost 3 MB, which every node of a
// simulated cluster would pay.
const engineBuckets = 2

func newEngine() *engine {
	discard := func(*proto.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
	system := proto.NewActorSystem(proto.WithLoggerFactory(discard))
	// Nobody listens to its events: the logs of dead letters and of supervision are our own, and protoactor's limit for the former
	// leaves a goroutine behind that waits for a second.
	system.EventStream = eventstream.NewEventStream()
	buckets := system.ProcessRegistry.LocalPIDs
	buckets.LocalPIDs = slices.Clone(buckets.LocalPIDs[:engineBuckets])
	return &engine{system: system}
}

func (e *engine) props(c *cell) *proto.Props {
	return proto.PropsFromProducer(
		func() proto.Actor { return c },
		proto.WithMailbox(func() proto.Mailbox { return &c.box }),
		proto.WithSupervisor(letDie{}),
	)
}

// name is a name for protoactor's registry. Children's names there contain their parents'.
func (e *engine) name() string { return strconv.FormatUint(e.serial.Add(1), 36) }

func (e *engine) spawnRoot(c *cell) {
	props := e.props(c).Configure(proto.WithGuardian(letDie{}))
	if _, err := e.system.Root.SpawnNamed(props, e.name()); err != nil {
		panic(fmt.Errorf("spawn %v: %w", c.source.PID, err))
	}
}

func (e *engine) spawnChild(parent proto.Context, c *cell) {
	if _, err := parent.SpawnNamed(e.props(c), e.name()); err != nil {
		panic(fmt.Errorf("spawn %v: %w", c.source.PID, err))
	}
}

// letDie is the supervision of every actor: who fails is stopped. A new life is a new actor.
type letDie struct{}

// HandleFailure implements protoactor's SupervisorStrategy.
func (letDie) HandleFailure(_ *proto.ActorSystem, s proto.Supervisor, child *proto.PID, _ *proto.RestartStatistics, _, _ any) {
	s.StopChildren(child)
}
