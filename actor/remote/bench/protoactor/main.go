// Command protoactor measures the remote package of protoactor-go.
package main

import (
	"io"
	"log/slog"
	"net"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"

	"github.com/stoa-project/stoa/actor/remote/bench/race"
	"github.com/stoa-project/stoa/actor/remote/sample"
)

type node struct {
	system *actor.ActorSystem
	peer   string
}

type context struct {
	actor.Context
	peer   string
	name   string // whom it sent to last
	target *actor.PID
}

func (c *context) Message() *sample.Update { return c.Context.Message().(*sample.Update) }
func (c *context) Reply(m *sample.Update)  { c.Context.Request(c.Context.Sender(), m) }
func (c *context) Send(name string, m *sample.Update) {
	if c.name != name {
		c.name, c.target = name, actor.NewPID(c.peer, name)
	}
	c.Context.Request(c.target, m)
}

func (n node) Spawn(name string, receive func(race.Context)) {
	c := &context{peer: n.peer}
	_, err := n.system.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*sample.Update); ok {
			c.Context = ctx
			receive(c)
		}
	}), name)
	if err != nil {
		panic(err)
	}
}

func (n node) Tell(name string, m *sample.Update) {
	n.system.Root.Send(n.system.NewLocalPID(name), m)
}

func main() {
	race.Main("protoactor remote", func(listen, peer string) race.Node {
		silent := func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
		system := actor.NewActorSystem(actor.WithLoggerFactory(silent))
		host, port, _ := net.SplitHostPort(listen)
		number, _ := strconv.Atoi(port)
		remote.NewRemote(system, remote.Configure(host, number)).Start()
		return node{system: system, peer: peer}
	})
}
