// Command hollywood measures the remote package of hollywood.
package main

import (
	"io"
	"log/slog"

	"github.com/anthdm/hollywood/actor"
	"github.com/anthdm/hollywood/remote"

	"github.com/stoa-project/stoa/actor/remote/bench/race"
	"github.com/stoa-project/stoa/actor/remote/sample"
)

type node struct {
	engine *actor.Engine
	peer   string
}

type context struct {
	*actor.Context
	peer   string
	name   string // whom it sent to last
	target *actor.PID
}

func id(name string) string { return name + "/1" }

func (c *context) Message() *sample.Update { return c.Context.Message().(*sample.Update) }
func (c *context) Reply(m *sample.Update)  { c.Context.Send(c.Context.Sender(), m) }
func (c *context) Send(name string, m *sample.Update) {
	if c.name != name {
		c.name, c.target = name, actor.NewPID(c.peer, id(name))
	}
	c.Context.Send(c.target, m)
}

func (n node) Spawn(name string, receive func(race.Context)) {
	c := &context{peer: n.peer}
	n.engine.SpawnFunc(func(ctx *actor.Context) {
		if _, ok := ctx.Message().(*sample.Update); ok {
			c.Context = ctx
			receive(c)
		}
	}, name, actor.WithID("1"))
}

func (n node) Tell(name string, m *sample.Update) {
	n.engine.Send(actor.NewPID(n.engine.Address(), id(name)), m)
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	race.Main("hollywood remote", func(listen, peer string) race.Node {
		engine, err := actor.NewEngine(actor.NewEngineConfig().WithRemote(remote.New(listen, remote.NewConfig())))
		if err != nil {
			panic(err)
		}
		return node{engine: engine, peer: peer}
	})
}
