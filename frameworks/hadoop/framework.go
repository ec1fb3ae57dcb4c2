package hadoop

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"google.golang.org/protobuf/proto"
)

const (
	// maxSummaryBytes bounds what is read of a task's summary: some 20 bytes per reduce.
	maxSummaryBytes = 4 << 20
	// stderrTailBytes is how much of a failed command's standard error is read.
	stderrTailBytes = 8 << 10
	// parallelCollects is how many outputs are fetched at once.
	parallelCollects = 8
	// examineTries: a failed attempt's stderr is a courtesy, its slave may be gone.
	examineTries = 2
	// stopTimeout is how long an interrupted job waits for the master to hear of it.
	stopTimeout = 2 * time.Second
)

// framework is the plan's shell: it hands events to it and carries out its operations.
type framework struct {
	scheduler.Base
	driver   *scheduler.Driver
	plan     *plan
	out      *output
	progress func(Progress)
	tell     func(string)
	fetcher  task.Fetcher

	ctx     context.Context // of the collecting; ends with the job
	slots   chan struct{}
	workers sync.WaitGroup
}

// runFramework does a job on the cluster. It returns the plan as it was when the output was there.
func runFramework(ctx context.Context, o Options, j *job, out *output) (*plan, error) {
	collectCtx, stopCollecting := context.WithCancel(context.WithoutCancel(ctx))
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		MaxIdleConnsPerHost: parallelCollects,
		DisableCompression:  true,
	}
	if o.TLS != nil {
		transport.DialTLSContext = o.TLS.DialHTTP
		j.environment = map[string]string{task.AuthorityVariable: o.Authority}
	}
	f := &framework{
		plan: newPlan(j, time.Now()), out: out, progress: o.Progress, tell: o.Tell, ctx: collectCtx,
		fetcher: task.Fetcher{Client: &http.Client{Transport: transport}},
		slots:   make(chan struct{}, parallelCollects),
	}
	defer transport.CloseIdleConnections()
	defer f.workers.Wait()
	defer stopCollecting()
	var roles []string
	if o.Role != "" {
		roles = []string{o.Role}
	}
	err := f.run(ctx, scheduler.Options{
		Master: o.Master, Name: o.Name, User: o.User, Roles: roles, Network: o.Network, TLS: o.TLS, Log: o.Log,
		ConnectTimeout: o.ConnectTimeout, ReconnectTimeout: o.ReconnectTimeout,
	})
	if err != nil {
		return nil, err
	}
	if !f.plan.over || f.plan.err != nil {
		return nil, errors.New("the scheduler ended before the job did")
	}
	return f.plan, nil
}

// run is the scheduler's life. When ctx ends, the framework is torn down, which ends its tasks.
func (f *framework) run(ctx context.Context, o scheduler.Options) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	stop := func() bool { return true }
	defer func() { stop() }()
	return scheduler.RunWith(life, o, func(d *scheduler.Driver) scheduler.Scheduler {
		f.driver = d
		stop = context.AfterFunc(ctx, func() {
			d.Do(func() { d.Teardown(context.Cause(ctx)) })
			select {
			case <-life.Done():
			case <-time.After(stopTimeout):
				end(context.Cause(ctx))
			}
		})
		return f
	})
}

// Subscribed begins or goes on.
func (f *framework) Subscribed(_ *scheduler.Driver, id string, again bool) {
	f.step(subscribed{frameworkID: id})
	if !again {
		f.tick()
	}
}

// tick lets the plan look at the time, again and again.
func (f *framework) tick() {
	f.driver.After(lookAgain, func() {
		f.step(ticked{})
		f.tick()
	})
}

// Offers are used at once or declined.
func (f *framework) Offers(_ *scheduler.Driver, offers []*scheduler.Offer) { f.step(offered{offers}) }

// Update is news of a task.
func (f *framework) Update(_ *scheduler.Driver, s *mesos.TaskStatus) { f.step(updated{s}) }

// Failure matters when it is a whole slave's.
func (f *framework) Failure(_ *scheduler.Driver, slaveID, executorID string, _ int32) {
	if executorID == "" {
		f.step(slaveGone{slaveID})
	}
}

// Disconnected is told to people; the driver goes on trying.
func (f *framework) Disconnected(_ *scheduler.Driver, err error) {
	if f.progress != nil && !f.plan.over {
		g := f.plan.progress(f.driver.Now())
		g.Waiting = "the master has gone, trying again: " + err.Error()
		f.progress(g)
	}
}

func (f *framework) step(e event) {
	for _, op := range f.plan.step(f.driver.Now(), e) {
		f.carryOut(op)
	}
	if f.progress != nil {
		f.progress(f.plan.progress(f.driver.Now()))
	}
}

func (f *framework) carryOut(op operation) {
	switch op := op.(type) {
	case launch:
		f.driver.Launch(op.offer, op.tasks...)
	case decline:
		f.driver.DeclineFor(refuseFor, op.offers...)
	case suppress:
		f.driver.Suppress()
	case revive:
		f.driver.Revive()
	case kill:
		f.driver.Kill(op.id, 0)
	case collectMap:
		f.async(func() event { return f.collectMap(op) })
	case collectReduce:
		f.async(func() event { return f.collectReduce(op) })
	case examine:
		f.async(func() event { return f.examine(op) })
	case commit:
		f.async(func() event { return committed{f.out.commit(op.attempts)} })
	case note:
		f.tell(op.text)
	case finish:
		f.driver.Teardown(op.err)
	}
}

// async runs what blocks elsewhere; what comes of it is an event.
func (f *framework) async(work func() event) {
	f.workers.Go(func() {
		select {
		case f.slots <- struct{}{}:
		case <-f.ctx.Done():
			return
		}
		e := work()
		<-f.slots
		f.driver.Do(func() { f.step(e) })
	})
}

// summary reads a task's summary.
func (f *framework) summary(a attempt, file string, into proto.Message) error {
	b, err := f.fetcher.Small(f.ctx, a.place.URL(file), maxSummaryBytes)
	if err == nil {
		err = proto.Unmarshal(b, into)
	}
	if err != nil {
		return unreachable{err}
	}
	return nil
}

func (f *framework) collectMap(op collectMap) event {
	s := &taskpb.MapSummary{}
	err := f.summary(op.attempt, task.MapSummaryFile, s)
	if err == nil && op.output && len(s.GetParts()) == 1 {
		err = f.fetch(op.attempt, task.MapPartFile(0), s.GetParts()[0])
	}
	return mapCollected{id: op.id, summary: s, err: err}
}

func (f *framework) collectReduce(op collectReduce) event {
	s := &taskpb.ReduceSummary{}
	err := f.summary(op.attempt, task.ReduceSummaryFile, s)
	if err == nil {
		err = f.fetch(op.attempt, task.ReducePartFile(op.partition), s.GetPart())
	}
	return reduceCollected{id: op.id, summary: s, err: err}
}

// fetch brings a part of the output to where it waits for the commit.
func (f *framework) fetch(a attempt, file string, part *taskpb.Part) error {
	err := f.fetcher.ToFile(f.ctx, a.place.URL(file), part, f.out.temporary(a.id))
	if fetch := (*task.FetchError)(nil); errors.As(err, &fetch) {
		return unreachable{err}
	}
	return err
}

func (f *framework) examine(op examine) event {
	e := examined{id: op.id}
	fetcher := f.fetcher
	fetcher.Tries = examineTries
	// What can not be read is not there to be shown, and a reduce that lost its inputs without saying so has failed.
	if tail, err := fetcher.Tail(f.ctx, op.place.URL("stderr"), stderrTailBytes); err == nil {
		e.stderr = string(tail)
	}
	if op.kind == reduceKind {
		lost := &taskpb.LostOutputs{}
		if b, err := fetcher.Small(f.ctx, op.place.URL(task.LostOutputsFile), maxSummaryBytes); err == nil && proto.Unmarshal(b, lost) == nil {
			e.lost = lost
		}
	}
	return e
}
