package hadoop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
)

// A JobTracker's limits and defaults.
const (
	// DefaultJobTracker is where a JobTracker listens (the port of the page that Hadoop's had).
	DefaultJobTracker     = "127.0.0.1:50030"
	DefaultJobTrackerName = "jobtracker"
	// MaxHeldJobs is how many jobs a JobTracker holds that are not over; one more is refused.
	MaxHeldJobs = 1000
	// DefaultHistory and MaxHistory are how many jobs that are over it remembers, and may be told to remember.
	DefaultHistory = 100
	MaxHistory     = 10_000
	// MaxShownAttempts bounds the attempts of one document: a larger job's first ones are told.
	MaxShownAttempts = 20_000
	// jobTrackerFailover is how long tasks outlive a JobTracker that has died.
	jobTrackerFailover = 10 * time.Minute
	// forever is how long a JobTracker looks for its master.
	forever = 50 * 365 * 24 * time.Hour
	// frameworkIDFile keeps the framework's id, beside the jobs' logs.
	frameworkIDFile = "framework-id"
	// sumUpBytes is how long a job's log grows at least before it is summed up; after that, twice what the last sum was.
	sumUpBytes = 4 << 20
)

// JobTrackerOptions say what a JobTracker is. The zero value of what is not needed is its default.
type JobTrackerOptions struct {
	// Master is the master's HOST:PORT; "" is scheduler.DefaultMaster.
	Master string
	// Name of the framework; "" is DefaultJobTrackerName.
	Name string
	// Role whose offers are used; "" is "*".
	Role string
	// User runs the tasks of jobs that name none; "" is the user of this process.
	User string
	// Order among jobs; "" is Fair.
	Order Order
	// Dir keeps what the next life must know.
	Dir string
	// History is how many jobs that are over are remembered, at most MaxHistory; 0 is DefaultHistory.
	History int
	// Listener takes the connections of clients and browsers. Address is where these find it.
	Listener net.Listener
	Address  string
	// Network replaces TCP between scheduler and master; nil is TCP.
	Network remote.Network
	// TLS secures the connections to master, slaves and clients; nil: they are in the clear. Authority is then what the
	// tasks know the slaves by, as PEM.
	TLS       *remote.TLS
	Authority string
	// Log gets messages; the zero value logs nothing.
	Log zerolog.Logger

	sumUpBytes int64 // 0 is the constant of this name
}

// jobTracker is a framework with jobs that come and go, and outlive it. Its fields belong to the scheduler's handlers.
type jobTracker struct {
	*framework
	options JobTrackerOptions
	reach   reach
	store   scheduler.Store
	files   scheduler.Files // programs of jobs
	jobs    map[string]*heldJob
	ids     []string // of the jobs, oldest first
	next    int      // number of the next job
	arrived arrivals
	resumed bool
}

// heldJob is a job of a JobTracker.
type heldJob struct {
	id     string
	plan   *plan
	submit *jobpb.Submit
	out    *output

	first   []byte // record of its log
	logged  int64  // bytes of the log's records
	sumUpAt int64  // when it has so many, it is summed up
}

// RunJobTracker is the life of a JobTracker: it ends when ctx does, and its tasks go on for a while. The error says what is
// wrong with the options, with Dir, or with the connection to the master for good.
func RunJobTracker(ctx context.Context, o JobTrackerOptions) error {
	setDefault(&o.Name, DefaultJobTrackerName)
	setDefault(&o.Order, Fair)
	if o.Order != Fair && o.Order != FIFO {
		return fmt.Errorf("order %q: allowed are %s and %s", o.Order, Fair, FIFO)
	}
	setDefault(&o.History, DefaultHistory)
	if err := within("number of jobs that are remembered", o.History, 1, MaxHistory); err != nil {
		return err
	}
	setDefault(&o.sumUpBytes, sumUpBytes)
	store, err := scheduler.OpenFileStore(o.Dir)
	if err != nil {
		return err
	}
	defer store.Close()
	collectCtx, stopCollecting := context.WithCancel(context.WithoutCancel(ctx))
	r := newReach(o.TLS, o.Authority)
	t := &jobTracker{framework: newFramework(collectCtx, o.Order, r), options: o, reach: r, store: store, jobs: map[string]*heldJob{}, next: 1}
	t.arrived.jobs = map[string]*arrival{}
	defer r.transport.CloseIdleConnections()
	defer t.workers.Wait()
	defer stopCollecting()
	if err := t.restore(); err != nil {
		return err
	}
	service, err := t.serve()
	if err != nil {
		return err
	}
	defer service.close()
	for {
		err := t.schedule(ctx, service)
		if !errors.Is(err, scheduler.ErrRefused) || !t.forgetFramework() {
			return err
		}
		o.Log.Warn().Err(err).Msg("the master has removed the framework: beginning anew")
	}
}

// schedule is the life of the scheduler.
func (t *jobTracker) schedule(ctx context.Context, service *service) error {
	var roles []string
	if t.options.Role != "" {
		roles = []string{t.options.Role}
	}
	t.resumed = false
	err := scheduler.RunWith(ctx, scheduler.Options{
		Master: t.options.Master, Name: t.options.Name, User: t.options.User, Roles: roles, Network: t.options.Network,
		TLS: t.options.TLS, Log: t.options.Log, Files: &t.files, FrameworkIDFile: filepath.Join(t.options.Dir, frameworkIDFile),
		FailoverTimeout: jobTrackerFailover, ConnectTimeout: forever, ReconnectTimeout: forever, WebUI: scheme(t.options.TLS) + t.options.Address,
	}, func(d *scheduler.Driver) scheduler.Scheduler {
		t.driver = d
		t.arrived.reach(d)
		service.serves(d)
		return t
	})
	if ctx.Err() != nil {
		return nil // that is how it is ended
	}
	return err
}

// forgetFramework makes the next scheduler a new framework; false if it was one.
func (t *jobTracker) forgetFramework() bool {
	return os.Remove(filepath.Join(t.options.Dir, frameworkIDFile)) == nil
}

// Subscribed goes on with what an earlier life has left.
func (t *jobTracker) Subscribed(d *scheduler.Driver, id string, again bool) {
	t.framework.Subscribed(d, id, again)
	if t.resumed {
		return
	}
	t.resumed = true
	now := d.Now()
	var unheard []string
	for _, p := range slices.Clone(t.tracker.jobs) {
		for _, a := range p.underWay() {
			if a.state == launched {
				unheard = append(unheard, a.id)
			}
		}
		for _, op := range p.resume(now) {
			t.carryOutFor(now, t.runs[p], op)
		}
	}
	if len(unheard) > 0 {
		d.Reconcile(unheard...)
	}
	t.arrived.done() // what an earlier scheduler was not told
}

// restore brings the jobs back that an earlier life has kept.
func (t *jobTracker) restore() error {
	names, err := t.store.Names()
	if err != nil {
		return err
	}
	for _, id := range names {
		number, ok := jobNumber(id)
		if !ok {
			continue
		}
		kept, err := t.store.Load(id)
		if err != nil {
			return err
		}
		t.next = max(t.next, number+1)
		if len(kept) == 0 { // it died while it wrote the first
			if err := t.store.Remove(id); err != nil {
				return err
			}
			continue
		}
		if err := t.restoreJob(id, kept); err != nil {
			return fmt.Errorf("job %s in %s can not be read: %w; remove its log to go on without it", id, t.options.Dir, err)
		}
	}
	t.forgetOldest()
	return t.sweepPrograms()
}

func (t *jobTracker) restoreJob(id string, kept [][]byte) error {
	records, err := decodeRecords(kept)
	if err != nil {
		return err
	}
	j, out, err := restoreJob(id, records[0], t.reach.environment)
	if err != nil {
		return err
	}
	p := newPlan(j, time.Unix(0, records[0].GetUnixNanos()))
	if err := replay(p, records[1:]); err != nil {
		return err
	}
	h := &heldJob{id: id, plan: p, submit: records[0].GetSubmitted().GetSubmit(), out: out, first: kept[0]}
	for _, record := range kept {
		h.logged += int64(len(record))
	}
	t.hold(h)
	if p.over { // what it has left, if it died before it could remove that, may be somebody else's by now
		return nil
	}
	if words := h.submit.GetProgram(); len(words) > 0 {
		if err := j.ship(program(t.programOf(id), words[1:]), &t.files); err != nil {
			return err
		}
	}
	t.tracker.jobs = append(t.tracker.jobs, p)
	return out.create(true)
}

const jobPrefix = "job-"

// jobNumber is the number in a job's id.
func jobNumber(id string) (int, bool) {
	var n int
	digits, ok := strings.CutPrefix(id, jobPrefix)
	if _, err := fmt.Sscanf(digits, "%d", &n); !ok || err != nil {
		return 0, false
	}
	return n, jobID(n) == id
}

func jobID(n int) string { return fmt.Sprintf(jobPrefix+"%04d", n) }

// hold adds a job to those that can be asked for.
func (t *jobTracker) hold(h *heldJob) {
	t.jobs[h.id] = h
	t.ids = append(t.ids, h.id)
	slices.SortFunc(t.ids, func(a, b string) int {
		m, _ := jobNumber(a)
		n, _ := jobNumber(b)
		return m - n
	})
	h.sumUpAt = max(t.options.sumUpBytes, 2*int64(len(h.first)))
	t.runs[h.plan] = &run{
		plan: h.plan, out: h.out,
		keep: func(now time.Time, e event) error { return t.keepEvent(h, now, e) },
		kept: func(now time.Time) {
			if h.logged >= h.sumUpAt {
				t.sumUp(h, now)
			}
		},
		ended: func(err error) {
			t.options.Log.Info().Str("job", h.id).AnErr("error", err).Msg("a job has ended")
			if err != nil {
				t.warn(h.out.discard())
			}
			h.out.close()
			t.sumUp(h, h.plan.ended)
			t.dropProgram(h)
			t.forgetOldest()
		},
	}
}

// sumUp replaces a job's log by one that says where its plan stands, when all that has happened is kept. If that fails the
// log is as good as it was.
func (t *jobTracker) sumUp(h *heldJob, now time.Time) {
	records, err := encodeStanding(h.plan, now)
	if err == nil {
		records = append([][]byte{h.first}, records...)
		err = t.store.Replace(h.id, records)
	}
	if err != nil {
		t.options.Log.Warn().Err(err).Str("job", h.id).Msg("a job's log can not be summed up")
		h.sumUpAt = 2 * h.logged // not at each event
		return
	}
	h.logged = 0
	for _, record := range records {
		h.logged += int64(len(record))
	}
	h.sumUpAt = max(t.options.sumUpBytes, 2*h.logged)
}

func (t *jobTracker) keepEvent(h *heldJob, now time.Time, e event) error {
	r, err := encodeEvent(now, e)
	if err != nil {
		return err
	}
	b, err := encodeRecord(r)
	if err != nil {
		return err
	}
	_, last := e.(committed)
	h.logged += int64(len(b))
	return t.store.Append(h.id, b, last)
}

func (t *jobTracker) warn(err error) {
	if err != nil {
		t.options.Log.Warn().Err(err).Msg("a job's remains")
	}
}

// forgetOldest forgets jobs that are over when there are too many of them.
func (t *jobTracker) forgetOldest() {
	over := 0
	for _, id := range slices.Backward(t.ids) {
		h := t.jobs[id]
		if !h.plan.over {
			continue
		}
		if over++; over > t.options.History {
			t.warn(t.store.Remove(id))
			delete(t.runs, h.plan)
			delete(t.jobs, id)
		}
	}
	t.ids = slices.DeleteFunc(t.ids, func(id string) bool { return t.jobs[id] == nil })
}

// killedByClient is why a job was killed.
const killedByClient = "by stoa hadoop job -kill"

// answer does what a client asks; reply is called once, now or later.
func (t *jobTracker) answer(call *jobpb.Call, reply func(*jobpb.Answer)) {
	document := func(v any) {
		b, err := json.Marshal(v)
		reply(&jobpb.Answer{Document: b, Error: errorText(err)})
	}
	of := func(id string, then func(*heldJob)) {
		if h := t.jobs[id]; h != nil {
			then(h)
		} else if a := t.arrived.jobs[id]; a != nil {
			t.answerOf(a, call, document, reply)
		} else {
			reply(&jobpb.Answer{Error: fmt.Sprintf("no job %q: stoa hadoop job -list shows those that there are", id)})
		}
	}
	now := t.driver.Now()
	switch c := call.GetCall().(type) {
	case *jobpb.Call_Submit:
		t.submit(c.Submit, reply)
	case *jobpb.Call_List:
		document(t.list(now))
	case *jobpb.Call_Status:
		of(c.Status.GetJob(), func(h *heldJob) { document(h.plan.status(now, h.submit)) })
	case *jobpb.Call_History:
		of(c.History.GetJob(), func(h *heldJob) { document(h.history(now)) })
	case *jobpb.Call_Kill:
		of(c.Kill.GetJob(), func(h *heldJob) {
			if h.plan.over {
				reply(&jobpb.Answer{Error: fmt.Sprintf("job %s has ended already", h.id)})
				return
			}
			t.step(ofJob{h.plan, killed{killedByClient}})
			reply(&jobpb.Answer{Job: h.id})
		})
	case *jobpb.Call_Logs:
		of(c.Logs.GetJob(), func(h *heldJob) { t.logs(h, c.Logs.GetAttempt(), reply) })
	default:
		reply(&jobpb.Answer{Error: "this JobTracker does not know the call: client and JobTracker are of different versions"})
	}
}

// list tells of all jobs, the newest first.
func (t *jobTracker) list(now time.Time) []JobStatus {
	jobs := t.arrived.list(now)
	for _, id := range slices.Backward(t.ids) {
		s := t.jobs[id].plan.status(now, t.jobs[id].submit)
		s.CounterGroups, s.Statuses = nil, nil // they are asked for by job
		jobs = append(jobs, s)
	}
	return jobs
}

func (h *heldJob) history(now time.Time) JobHistory {
	attempts := h.plan.history(now)
	left := max(0, len(attempts)-MaxShownAttempts)
	return JobHistory{JobStatus: h.plan.status(now, h.submit), Attempts: attempts[:len(attempts)-left], Left: left}
}

// shownLogs is how many attempts' standard errors are shown when none is named.
const shownLogs = 10

// loggedAttempt is what is shown of an attempt's standard error.
type loggedAttempt struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Slave  string `json:"slave"`
	Stderr string `json:"stderr"`
	Error  string `json:"error,omitempty"`
}

// logs reads the standard error of attempts: of the one that is named, or of those that went wrong last.
func (t *jobTracker) logs(h *heldJob, id string, reply func(*jobpb.Answer)) {
	var shown []*try
	for _, a := range h.plan.past {
		if a.id == id || a.id == h.id+"."+id || (id == "" && (a.fate == Errored || a.fate == Lost)) {
			shown = append(shown, a)
		}
	}
	if id != "" && len(shown) == 0 {
		reply(&jobpb.Answer{Error: fmt.Sprintf("job %s has no attempt %q: stoa hadoop job -history %s shows those that it has", h.id, id, h.id)})
		return
	}
	shown = shown[max(0, len(shown)-shownLogs):]
	logs := make([]loggedAttempt, len(shown))
	places := make([]location, len(shown))
	for i, a := range shown {
		logs[i] = loggedAttempt{ID: a.id, State: string(a.fate), Slave: h.plan.slaveName(a.slaveID)}
		places[i] = location{Place: a.place.Place, dir: a.place.dir} // the slave has it also when the executor has gone
	}
	fetcher := t.fetcher
	fetcher.Tries = 1
	t.workers.Go(func() {
		for i := range logs {
			tail, err := fetcher.Tail(t.ctx, places[i].URL("stderr"), stderrTailBytes)
			logs[i].Stderr, logs[i].Error = strings.ToValidUTF8(string(tail), "\uFFFD"), errorText(err)
		}
		b, err := json.Marshal(logs)
		reply(&jobpb.Answer{Document: b, Error: errorText(err)})
	})
}
