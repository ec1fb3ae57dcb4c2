package actortest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

func TestAProbeRecordsWhatItGetsAndActsAsAnActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := actor.NewSystem(actor.SystemOptions{})
		defer func() { _ = sys.Shutdown(context.Background()) }()
		probe, other := actortest.NewProbe(t, sys), actortest.Named(t, sys, "other")
		other.React(func(ctx actor.Context) { ctx.Reply(wrapperspb.String("pong")) })

		probe.Link(other.PID())
		probe.Send(other.PID(), wrapperspb.String("ping"))
		if from := other.Expect(t, wrapperspb.String("ping")).From; !from.Is(probe.PID()) {
			t.Errorf("sender is %v, expected %v", from, probe.PID())
		}
		probe.Expect(t, wrapperspb.String("pong"))
		id := probe.Ask(other.PID(), wrapperspb.String("ping"), time.Second)
		if answer := actortest.Await[actor.Answer](t, probe); answer.ID != id || answer.Err != nil {
			t.Errorf("answer %+v, expected one to %d", answer, id)
		}
		probe.ExpectNone(t)
		sys.Stop(other.PID())
		probe.Expect(t, actor.Exited{PID: other.PID(), Reason: actor.Stopped})
	})
}
