package hadoop

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/stoa-project/stoa/actor/remote"
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

// framework is the tracker's shell: it hands events to it and carries out its operations.
type framework struct {
	scheduler.Base
	driver  *scheduler.Driver
	tracker *tracker
	runs    map[*plan]*run
	fetcher task.Fetcher

	ctx     context.Context // of the collecting; ends with the framework
	slots   chan struct{}
	workers sync.WaitGroup
}

// run is what a job has around its plan.
type run struct {
	plan     *plan
	out      *output
	progress func(Progress)    // nil: nobody watches
	tell     func(line string) // nil: nobody listens
	// keep writes down an event before what comes of it is done; nil keeps nothing.
	keep func(time.Time, event) error
	// kept is told when all that has happened is kept; nil is as keep.
	kept func(time.Time)
	// ended is told of the job's end: nil, its output is there.
	ended func(error)

	shown time.Time // when progress was shown last
}

// reach is how a framework gets at files of slaves and executors.
type reach struct {
	transport   *http.Transport
	environment map[string]string // by which its tasks get at them
}

func newReach(security *remote.TLS, authority string) reach {
	r := reach{transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		MaxIdleConnsPerHost: parallelCollects,
		DisableCompression:  true,
	}}
	if security != nil {
		r.transport.DialTLSContext = security.DialHTTP
		r.environment = map[string]string{task.AuthorityVariable: authority}
	}
	return r
}

func newFramework(ctx context.Context, order Order, r reach) *framework {
	return &framework{
		tracker: &tracker{order: order}, runs: map[*plan]*run{}, ctx: ctx,
		fetcher: task.Fetcher{Client: &http.Client{Transport: r.transport}},
		slots:   make(chan struct{}, parallelCollects),
	}
}

// runJob does a job on the cluster. It returns the plan as it was when the output was there.
func runJob(ctx context.Context, o Options, j *job, out *output, files *scheduler.Files) (*plan, error) {
	collectCtx, stopCollecting := context.WithCancel(context.WithoutCancel(ctx))
	r := newReach(o.TLS, o.Authority)
	j.environment = r.environment
	f := newFramework(collectCtx, FIFO, r)
	p := newPlan(j, time.Now())
	f.runs[p] = &run{plan: p, out: out, progress: o.Progress, tell: o.Tell, ended: func(err error) { f.driver.Teardown(err) }}
	f.tracker.jobs = []*plan{p}
	defer r.transport.CloseIdleConnections()
	defer f.workers.Wait()
	defer stopCollecting()
	var roles []string
	if o.Role != "" {
		roles = []string{o.Role}
	}
	err := f.run(ctx, scheduler.Options{
		Master: o.Master, Name: o.Name, User: o.User, Roles: roles, Network: o.Network, TLS: o.TLS, Log: o.Log, Files: files,
		ConnectTimeout: o.ConnectTimeout, ReconnectTimeout: o.ReconnectTimeout,
	})
	if err != nil {
		return nil, err
	}
	if !p.over || p.err != nil {
		return nil, errors.New("the scheduler ended before the job did")
	}
	return p, nil
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

// Failure is the end of a slave or of an executor.
func (f *framework) Failure(_ *scheduler.Driver, slaveID, executorID string, _ int32) {
	if executorID == "" {
		f.step(slaveGone{slaveID})
	} else {
		f.step(executorGone{executorID})
	}
}

// Message is what an attempt at a reduce says that it knows.
func (f *framework) Message(_ *scheduler.Driver, _, _ string, data []byte) {
	said := &taskpb.Fed{}
	if proto.Unmarshal(data, said) == nil { // another is not ours
		f.step(fed{id: said.GetTaskId(), outputs: int(said.GetOutputs())})
	}
}

// Disconnected is told to people; the driver goes on trying.
func (f *framework) Disconnected(_ *scheduler.Driver, err error) {
	for _, p := range f.tracker.jobs {
		if show := f.runs[p].progress; show != nil {
			g := p.progress(f.driver.Now())
			g.Waiting = "the master has gone, trying again: " + err.Error()
			show(g)
		}
	}
}

func (f *framework) step(e event) {
	now := f.driver.Now()
	f.carryOut(now, f.tracker.step(now, e))
	for _, p := range f.tracker.jobs {
		r := f.runs[p]
		r.show(now, p.phase() == Starting)
		if r.kept != nil {
			r.kept(now)
		}
	}
}

// progressEvery is how often progress is told at most.
const progressEvery = 20 * time.Millisecond

// show tells of progress, if it is time to.
func (r *run) show(now time.Time, always bool) {
	if r.progress != nil && (always || now.Sub(r.shown) >= progressEvery) {
		r.shown = now
		r.progress(r.plan.progress(now))
	}
}

// carryOut does what the tracker wants. What happened to jobs is kept first; a job whose events can not be kept ends.
func (f *framework) carryOut(now time.Time, ops []operation) {
	for _, op := range ops {
		if h, ok := op.(happened); ok {
			f.keep(now, h)
		}
	}
	for _, op := range ops {
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
		case forJob:
			f.carryOutFor(now, f.runs[op.plan], op.operation)
		}
	}
}

func (f *framework) keep(now time.Time, h happened) {
	r := f.runs[h.plan]
	if r.keep == nil {
		return
	}
	if err := r.keep(now, h.event); err != nil && !r.plan.over {
		f.driver.Do(func() { f.step(ofJob{h.plan, committed{err}}) })
	}
}

// carryOutFor does what a job wants.
func (f *framework) carryOutFor(now time.Time, r *run, op operation) {
	async := func(work func() event) { f.async(func() event { return ofJob{r.plan, work()} }) }
	switch op := op.(type) {
	case kill:
		f.driver.Kill(op.id, 0)
	case shutdown:
		f.driver.ShutdownExecutor(op.slaveID, op.executorID)
	case collectMap:
		async(func() event { return f.collectMap(r.out, op) })
	case collectReduce:
		async(func() event { return f.collectReduce(r.out, op) })
	case examine:
		async(func() event { return f.examine(op) })
	case commit:
		r.show(now, true)
		async(func() event { return committed{r.out.commit(op.attempts)} })
	case feed:
		f.driver.Message(op.slaveID, op.executorID, encode(op.feed))
	case note:
		if r.tell != nil {
			r.tell(op.text)
		}
	case finish:
		r.show(now, true)
		r.ended(op.err)
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

func (f *framework) collectMap(out *output, op collectMap) event {
	s, err := op.summary, error(nil)
	if s == nil {
		s = &taskpb.MapSummary{}
		err = f.summary(op.attempt, task.MapSummaryFile, s)
	}
	if err == nil && op.output && len(s.GetParts()) == 1 {
		err = f.fetch(out, op.attempt, task.MapPartFile(0), s.GetParts()[0])
	}
	return mapCollected{id: op.id, summary: s, err: err}
}

func (f *framework) collectReduce(out *output, op collectReduce) event {
	s, err := op.summary, error(nil)
	if s == nil {
		s = &taskpb.ReduceSummary{}
		err = f.summary(op.attempt, task.ReduceSummaryFile, s)
	}
	if err == nil {
		err = f.fetch(out, op.attempt, task.ReducePartFile(op.partition), s.GetPart())
	}
	return reduceCollected{id: op.id, summary: s, err: err}
}

// fetch brings a part of the output to where it waits for the commit.
func (f *framework) fetch(out *output, a attempt, file string, part *taskpb.Part) error {
	err := f.fetcher.To(f.ctx, a.place.URL(file), part, func() (io.WriteCloser, error) { return out.createPart(a.id) })
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
