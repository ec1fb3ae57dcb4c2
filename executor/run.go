package executor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/identity"
	"github.com/stoa-project/stoa/executor/core"
	"github.com/stoa-project/stoa/executor/session"
	"github.com/stoa-project/stoa/proto/wire"
)

// slaveName is the name under which a slave's actor is registered.
const slaveName = "slave"

// closeTimeout bounds the driver's way out: what it has sent leaves, its connection is closed.
const closeTimeout = 2 * time.Second

// Options are for tests and for the curious: the zero value is right for an executor that a slave has started.
type Options struct {
	// Environment gives the value of a variable, "" if it is not set; nil is os.Getenv. These count: MESOS_FRAMEWORK_ID,
	// MESOS_EXECUTOR_ID, MESOS_AGENT_ENDPOINT (HOST:PORT), MESOS_CHECKPOINT, MESOS_RECOVERY_TIMEOUT,
	// MESOS_SUBSCRIPTION_BACKOFF_MAX, MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD, MESOS_EXECUTOR_AUTHENTICATION_TOKEN, and
	// MESOS_AGENT_AUTHORITY: the certificates, as PEM, by which a slave that speaks TLS is known.
	Environment func(name string) string
	// Network replaces TCP; nil is TCP.
	Network remote.Network
	// Log gets the driver's own messages; the zero value logs nothing.
	Log zerolog.Logger
}

// settings are Options and environment, read and checked.
type settings struct {
	core    core.Config
	slave   string // HOST:PORT
	secret  []byte
	network remote.Network
	tls     *remote.TLS
	log     zerolog.Logger
}

func (o Options) settings() (settings, error) {
	lookup := o.Environment
	if lookup == nil {
		lookup = os.Getenv
	}
	config, err := core.FromEnvironment(lookup)
	if err != nil {
		return settings{}, err
	}
	config.Incarnation = rand.Uint64()
	s := settings{core: config, slave: lookup("MESOS_AGENT_ENDPOINT"), network: o.Network, log: o.Log}
	if _, _, err := net.SplitHostPort(s.slave); err != nil {
		return settings{}, fmt.Errorf("MESOS_AGENT_ENDPOINT is %q: it must be the slave's HOST:PORT", s.slave)
	}
	if s.secret, err = hex.DecodeString(lookup("MESOS_EXECUTOR_AUTHENTICATION_TOKEN")); err != nil {
		return settings{}, errors.New("MESOS_EXECUTOR_AUTHENTICATION_TOKEN is set and not made of hexadecimal digits") // its value is a secret
	}
	if authority := lookup("MESOS_AGENT_AUTHORITY"); authority != "" {
		if s.tls, err = identity.Trust([]byte(authority)); err != nil {
			return settings{}, fmt.Errorf("MESOS_AGENT_AUTHORITY: %w", err)
		}
	}
	return s, nil
}

// Run is the life of an executor: it subscribes with the slave, calls e, and returns when the executor has ended. That
// is nil after Driver.Stop, and after a SHUTDOWN even if the author took longer than the grace period; else an error
// that wraps ErrNoSlave, ErrLostSlave, ErrRefused or ErrTooManyUpdates. The end of ctx is like a
// SHUTDOWN. When Run returns nothing of the driver runs any more.
func Run(ctx context.Context, options Options, e Executor) error {
	s, err := options.settings()
	if err != nil {
		return err
	}
	panics := make(chan string, 1)
	sys := actor.NewSystem(actor.SystemOptions{
		Role: wire.RoleExecutor, Log: s.log,
		OnPanic: func(_ actor.PID, value any, stack []byte) {
			select {
			case panics <- fmt.Sprintf("executor %q: %v\n\n%s", s.core.ExecutorID, value, stack):
			default: // the first one counts
			}
		},
	})
	network, err := remote.Start(remote.Options{
		System: sys, Network: s.network, TLS: s.tls, May: may, OwnSenders: true, Credential: func(string) []byte { return s.secret },
	})
	if err != nil {
		return err
	}
	defer closeDown(s, sys, network)

	ended := make(chan error, 1)
	d := &Driver{sys: sys}
	d.shell = shell{
		core: core.New(s.core), author: e, driver: d, slave: session.New(actor.At(s.slave, slaveName)), log: s.log,
		ended: func(err error) { ended <- err },
	}
	pid := sys.Spawn("executor", func() actor.Actor { return &d.shell })
	return wait(ctx, sys, pid, ended, panics)
}

// closeDown lets what was sent leave, and ends what is left of a driver.
func closeDown(s settings, sys *actor.System, network *remote.Remote) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := errors.Join(sys.Shutdown(ctx), network.Close(ctx)); err != nil {
		s.log.Warn().Err(err).Msg("the executor's end")
	}
}

// wait returns how the executor ended. A panic of its actor goes on here, where the author sees it.
func wait(ctx context.Context, sys *actor.System, pid actor.PID, ended <-chan error, panics <-chan string) error {
	done := ctx.Done()
	for {
		select {
		case err := <-ended:
			return err
		case text := <-panics:
			panic(text)
		case <-done:
			done = nil
			sys.Send(pid, stop{})
		}
	}
}

func may(from actor.Role, message protoreflect.FullName) bool { return wire.May(string(from), message) }
