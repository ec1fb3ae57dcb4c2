package actor_test

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
)

// Two nodes, a link, and a crash that is seen as Exited.
func Example() {
	network := remote.NewMemoryNetwork() // leave Options.Network out for TCP
	server := actor.NewSystem(actor.SystemOptions{Node: "server"})
	client := actor.NewSystem(actor.SystemOptions{Node: "client"})
	atServer, _ := remote.Start(remote.Options{System: server, Network: network.Host("server"), Advertise: "server:5050"})
	atClient, _ := remote.Start(remote.Options{System: client, Network: network.Host("client")})
	_, _ = atServer.Listen("server:5050")

	server.Spawn("divider", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			if m, ok := ctx.Message().(*wrapperspb.Int64Value); ok {
				ctx.Reply(wrapperspb.Int64(100 / m.Value))
			}
		})
	})
	done := make(chan struct{})
	client.Spawn("asker", func() actor.Actor {
		divider := actor.At("server:5050", "divider")
		return actor.Func(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case actor.Started:
				ctx.Link(divider)
				ctx.Send(divider, wrapperspb.Int64(5))
			case *wrapperspb.Int64Value:
				fmt.Println("100 / 5 =", m.Value)
				ctx.Send(divider, wrapperspb.Int64(0))
			case actor.Exited:
				fmt.Println(m.PID, m.Reason, "-", m.Err)
				close(done)
			}
		})
	})
	<-done
	for _, end := range []func(context.Context) error{client.Shutdown, server.Shutdown, atClient.Close, atServer.Close} {
		_ = end(context.Background())
	}
	// Output:
	// 100 / 5 = 20
	// divider@server:5050 panicked - panic: runtime error: integer divide by zero
}
