package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/proto/wire"
)

// endTimeout bounds the end of a process: its actors', and that of what they run elsewhere.
const endTimeout = 20 * time.Second

// process is one life of a node: its actors and connections.
type process struct {
	cluster  *Cluster
	name     string
	address  string // where it listens; "": it does not
	listener net.Listener
	link     *link
	system   *actor.System
	remote   *remote.Remote
	serving  sync.WaitGroup
	closing  atomic.Bool
	closed   chan struct{} // closed when nothing of it runs
}

// processOptions say what a process is.
type processOptions struct {
	name, machine string
	role          actor.Role
	address       string // where it listens; "": it does not. With TCP the port may be 0.
	mailboxLimit  int
	credential    []byte
	verify        func(remote.Hello) error
	handler       func(*actor.System) http.Handler
}

// startProcess makes a node, whose actors are to be spawned before it serves.
func (c *Cluster) startProcess(o processOptions) (*process, error) {
	p := &process{cluster: c, name: o.name, link: newLink(c.ownNetwork(o.machine)), closed: make(chan struct{})}
	if o.address != "" {
		listener, err := p.link.Listen(o.address)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", o.name, err)
		}
		p.listener, p.address = listener, listener.Addr().String()
	}
	log := c.logger(o.name)
	p.system = actor.NewSystem(actor.SystemOptions{
		Role: o.role, Log: log, MailboxLimit: o.mailboxLimit,
		OnPanic: func(pid actor.PID, value any, stack []byte) {
			log.Error().Stringer("actor", pid).Msgf("panic: %v\n%s", value, stack)
		},
	})
	options := remote.Options{
		System: p.system, Network: p.link, Advertise: p.address, Verify: o.verify,
		May:        func(role actor.Role, message protoreflect.FullName) bool { return wire.May(string(role), message) },
		OwnSenders: true,
	}
	if o.handler != nil {
		options.HTTP = o.handler(p.system)
	}
	if o.credential != nil {
		options.Credential = func(string) []byte { return o.credential }
	}
	var err error
	if p.remote, err = remote.Start(options); err != nil {
		p.link.sever()
		return nil, fmt.Errorf("start %s: %w", o.name, err)
	}
	return p, nil
}

// serve takes connections from now on.
func (p *process) serve() {
	p.serving.Go(func() { _ = p.remote.Serve(p.listener) }) // it ends with the process, or because that was killed
}

// close ends the process in order, once; what is queued is still sent. It returns when nothing of it runs.
func (p *process) close() {
	if p.closing.Swap(true) {
		<-p.closed // not a sync.Once: time in a bubble stands still for whoever waits for that
		return
	}
	defer close(p.closed)
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if err := p.system.Shutdown(ctx); err != nil {
		p.cluster.t.Errorf("%s: its actors do not end: %v", p.name, err)
	}
	if err := p.remote.Close(ctx); err != nil {
		p.cluster.t.Errorf("%s: its connections do not end: %v", p.name, err)
	}
	p.link.sever()
	p.serving.Wait()
}

// kill ends the process as SIGKILL does: nobody hears a word of it any more.
func (p *process) kill() {
	p.link.sever()
	p.close()
}
