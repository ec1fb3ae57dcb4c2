package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/metrics"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// closeTimeout bounds how long a daemon's connections may take to say goodbye.
	closeTimeout = time.Second
	// gcPercent is the garbage that a slave or a host lets grow, in percent of what lives (Go default: 100). They are many and
	// mostly idle: half of it saves each some megabytes for little processor time. The variable GOGC overrides it.
	gcPercent = 50
	// masterGCPercent is that of a master, of which there is one, and whose answers wait for the collector: with 50 it places
	// 0.7 times as many tasks in a second (BenchmarkPlacement).
	masterGCPercent = 300
	// timerSlack is how much later than asked a timer may wake a thread of a slave or a host (Linux default: 50 µs). While a Go
	// program works its runtime looks after it every 20 µs, in the host and in a container's first process, which inherits this.
	// Where each timer is a way to the hypervisor that is much of what a start costs.
	timerSlack = time.Millisecond
)

// daemon is what master, slave and host have in common: a node of actors, its connections, and what ended it.
type daemon struct {
	system *actor.System
	remote *remote.Remote
	failed chan error // the first failure that the daemon can't get over
	unrest func()     // ends giveBackAtRest
}

// nodeOptions say what a daemon's node is.
type nodeOptions struct {
	role         actor.Role
	advertise    string // where others can dial this node, as HOST:PORT; empty: nobody can
	tls          *remote.TLS
	logMessages  bool
	handler      func(*daemon) http.Handler
	verify       func(remote.Hello) error
	credential   []byte
	mailboxLimit int
	log          zerolog.Logger
}

func startDaemon(o nodeOptions) (*daemon, error) {
	if os.Getenv("GOGC") == "" {
		percent := gcPercent
		if o.role == wire.RoleMaster {
			percent = masterGCPercent
		}
		debug.SetGCPercent(percent)
	}
	d := &daemon{failed: make(chan error, 1), unrest: func() {}}
	d.system = actor.NewSystem(actor.SystemOptions{
		Role: o.role, Log: o.log, MailboxLimit: o.mailboxLimit,
		OnPanic: func(pid actor.PID, value any, stack []byte) {
			o.log.Error().Stringer("actor", pid).Bytes("stack", stack).Msgf("panic: %v", value)
		},
	})
	options := remote.Options{
		System: d.system, Verify: o.verify, Advertise: o.advertise, TLS: o.tls,
		Quiet:      func(role actor.Role) bool { return role == wire.RoleOperator },
		May:        func(role actor.Role, message protoreflect.FullName) bool { return wire.May(string(role), message) },
		OwnSenders: true,
	}
	if o.handler != nil {
		options.HTTP = o.handler(d)
	}
	if o.logMessages {
		options.Trace = messageLogger(o.log)
	}
	if o.credential != nil {
		options.Credential = func(string) []byte { return o.credential }
	}
	var err error
	if d.remote, err = remote.Start(options); err != nil {
		return nil, err
	}
	if o.role != wire.RoleMaster {
		slacken()
		var ctx context.Context
		ctx, d.unrest = context.WithCancel(context.Background())
		go giveBackAtRest(ctx)
	}
	return d, nil
}

// serve takes connections from now on: the daemon's actors exist.
func (d *daemon) serve(listener net.Listener) {
	d.system.Spawn(wire.PeersName, d.peersActor)
	go func() {
		if err := d.remote.Serve(listener); err != nil && !errors.Is(err, net.ErrClosed) {
			d.fail(fmt.Errorf("listen on %s: %w", listener.Addr(), err))
		}
	}()
}

// metrics are the figures of the daemon's connections. They may be asked for as soon as it serves.
func (d *daemon) metrics(prefix string) prometheus.Collector {
	return metrics.New(prefix, func() *remote.Remote { return d.remote })
}

// spawn starts the daemon's root actor. Its end before that of the daemon is a failure.
func (d *daemon) spawn(name string, produce func() actor.Actor, ending *atomic.Bool) actor.PID {
	pid := d.system.Spawn(name, produce)
	go func() {
		<-d.system.Done(pid)
		if !ending.Load() {
			d.fail(fmt.Errorf("the %s's actor has failed; its log says why", name))
		}
	}()
	return pid
}

func (d *daemon) fail(err error) {
	select {
	case d.failed <- err:
	default: // the first one counts
	}
}

// wait returns when ctx ends (nil) or the daemon has failed.
func (d *daemon) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.failed:
		return err
	}
}

func (d *daemon) close() {
	d.unrest()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = d.system.Shutdown(ctx)
	_ = d.remote.Close(ctx)
}
