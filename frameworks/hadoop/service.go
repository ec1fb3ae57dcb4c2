package hadoop

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// jobTrackerName is the name under which a JobTracker's actor is registered.
	jobTrackerName = "jobtracker"
	// closeTimeout bounds the good-bye to clients, and to a JobTracker.
	closeTimeout = time.Second
	// startingWait is how long a call waits before it is tried again while there is no scheduler yet.
	startingWait = 20 * time.Millisecond
)

// mayCall says who may send what between a client and a JobTracker.
func mayCall(from actor.Role, message protoreflect.FullName) bool {
	switch message {
	case (&jobpb.Call{}).ProtoReflect().Descriptor().FullName():
		return from == wire.RoleOperator || from == wire.RoleFramework
	case (&jobpb.Answer{}).ProtoReflect().Descriptor().FullName():
		return from == wire.RoleFramework
	}
	return false
}

// service is a JobTracker's end of its clients' connections: their calls are answered by the scheduler's handlers.
type service struct {
	tracker *jobTracker
	system  *actor.System
	remote  *remote.Remote
	driver  atomic.Pointer[scheduler.Driver]
}

// answered is an answer on its way back to who asked.
type answered struct {
	asked  actor.Asked
	answer *jobpb.Answer
}

// serve takes calls from now on.
func (t *jobTracker) serve() (*service, error) {
	s := &service{tracker: t, system: actor.NewSystem(actor.SystemOptions{Role: wire.RoleFramework, Log: t.options.Log})}
	var err error
	s.remote, err = remote.Start(remote.Options{
		System: s.system, Advertise: t.options.Address, TLS: t.options.TLS, May: mayCall, OwnSenders: true, HTTP: newPage(s),
	})
	if err != nil {
		return nil, err
	}
	s.system.Spawn(jobTrackerName, func() actor.Actor { return actor.Func(s.receive) })
	go func() {
		if err := s.remote.Serve(t.options.Listener); err != nil && !errors.Is(err, net.ErrClosed) {
			t.options.Log.Error().Err(err).Msg("clients are not served any more")
		}
	}()
	return s, nil
}

func (s *service) receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *jobpb.Call:
		asked, self := ctx.Asked(), ctx.Self()
		s.ask(m, func(a *jobpb.Answer) { s.system.Send(self, answered{asked, a}) })
	case answered:
		ctx.ReplyTo(m.asked, m.answer)
	}
}

// serves hands calls to another scheduler's handlers.
func (s *service) serves(d *scheduler.Driver) { s.driver.Store(d) }

// ask has a call answered. reply is called on another goroutine, once, or never if the scheduler ends before.
func (s *service) ask(call *jobpb.Call, reply func(*jobpb.Answer)) {
	d := s.driver.Load()
	if d == nil {
		time.AfterFunc(startingWait, func() { s.ask(call, reply) })
		return
	}
	d.Do(func() { s.tracker.answer(call, reply) })
}

// askNow has a call answered while ctx lasts.
func (s *service) askNow(ctx context.Context, call *jobpb.Call) (*jobpb.Answer, error) {
	answers := make(chan *jobpb.Answer, 1)
	s.ask(call, func(a *jobpb.Answer) { answers <- a })
	select {
	case a := <-answers:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *service) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := errors.Join(s.system.Shutdown(ctx), s.remote.Close(ctx)); err != nil {
		s.tracker.options.Log.Warn().Err(err).Msg("the JobTracker's end")
	}
}
