// Command stoa measures this project's own transport.
package main

import (
	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/bench/race"
	"github.com/stoa-project/stoa/actor/remote/sample"
)

type node struct {
	system *actor.System
	peer   string
}

type context struct {
	actor.Context
	peer string
}

func (c *context) Message() *sample.Update            { return c.Context.Message().(*sample.Update) }
func (c *context) Reply(m *sample.Update)             { c.Context.Reply(m) }
func (c *context) Send(name string, m *sample.Update) { c.Context.Send(actor.At(c.peer, name), m) }

func (n node) Spawn(name string, receive func(race.Context)) {
	n.system.Spawn(name, func() actor.Actor {
		c := &context{peer: n.peer}
		return actor.Func(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*sample.Update); ok {
				c.Context = ctx
				receive(c)
			}
		})
	})
}

func (n node) Tell(name string, m *sample.Update) { n.system.Send(actor.At("", name), m) }

func main() {
	race.Main("stoa", func(listen, peer string) race.Node {
		system := actor.NewSystem(actor.SystemOptions{})
		r, err := remote.Start(remote.Options{System: system, Advertise: listen})
		if err != nil {
			panic(err)
		}
		if _, err := r.Listen(listen); err != nil {
			panic(err)
		}
		return node{system: system, peer: peer}
	})
}
