// Command hollywood measures the remote package of hollywood.
package main

import (
	"io"
	"log/slog"

	"github.com/anthdm/hollywood/actor"
	"github.com/anthdm/hollywood/remote"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor/remote/bench/race"
	"github.com/stoa-project/stoa/actor/remote/sample"
)

// update is the message with the methods that hollywood asks for; they are those of the protobuf library.
type update struct{ *sample.Update }

func (u *update) MarshalVT() ([]byte, error) { return proto.Marshal(u.Update) }
func (u *update) UnmarshalVT(b []byte) error {
	u.Update = &sample.Update{}
	return proto.Unmarshal(b, u.Update)
}

type node struct {
	engine *actor.Engine
	peer   string
}

type context struct {
	*actor.Context
	peer string
}

func id(name string) string { return name + "/1" }

func (c context) Message() *sample.Update { return c.Context.Message().(*update).Update }
func (c context) Reply(m *sample.Update)  { c.Context.Send(c.Context.Sender(), &update{m}) }
func (c context) Send(name string, m *sample.Update) {
	c.Context.Send(actor.NewPID(c.peer, id(name)), &update{m})
}

func (n node) Spawn(name string, receive func(race.Context)) {
	n.engine.SpawnFunc(func(ctx *actor.Context) {
		if _, ok := ctx.Message().(*update); ok {
			receive(context{ctx, n.peer})
		}
	}, name, actor.WithID("1"))
}

func (n node) Tell(name string, m *sample.Update) {
	n.engine.Send(actor.NewPID(n.engine.Address(), id(name)), &update{m})
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	remote.RegisterType(&update{&sample.Update{}})
	race.Main("hollywood remote", func(listen, peer string) race.Node {
		engine, err := actor.NewEngine(actor.NewEngineConfig().WithRemote(remote.New(listen, remote.NewConfig())))
		if err != nil {
			panic(err)
		}
		return node{engine: engine, peer: peer}
	})
}
