package hadoop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	// MaxHistory is how many jobs that are over it remembers.
	MaxHistory = 100
	// MaxShownAttempts bounds the attempts of one document: a larger job's first ones are told.
	MaxShownAttempts = 20_000
	// jobTrackerFailover is how long tasks outlive a JobTracker that has died.
	jobTrackerFailover = 10 * time.Minute
	// forever is how long a JobTracker looks for its master.
	forever = 50 * 365 * 24 * time.Hour
	// frameworkIDFile keeps the framework's id, beside the jobs' logs.
	frameworkIDFile = "framework-id"
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
	coming  int      // jobs whose input is being listed
	resumed bool
}

// heldJob is a job of a JobTracker.
type heldJob struct {
	id     string
	plan   *plan
	submit *jobpb.Submit
	out    *output
}

// RunJobTracker is the life of a JobTracker: it ends when ctx does, and its tasks go on for a while. The error says what is
// wrong with the options, with Dir, or with the connection to the master for good.
func RunJobTracker(ctx context.Context, o JobTrackerOptions) error {
	setDefault(&o.Name, DefaultJobTrackerName)
	setDefault(&o.Order, Fair)
	if o.Order != Fair && o.Order != FIFO {
		return fmt.Errorf("order %q: allowed are %s and %s", o.Order, Fair, FIFO)
	}
	store, err := scheduler.OpenFileStore(o.Dir)
	if err != nil {
		return err
	}
	defer store.Close()
	collectCtx, stopCollecting := context.WithCancel(context.WithoutCancel(ctx))
	r := newReach(o.TLS, o.Authority)
	t := &jobTracker{framework: newFramework(collectCtx, o.Order, r), options: o, reach: r, store: store, jobs: map[string]*heldJob{}, next: 1}
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
	scheme := "http://"
	if t.options.TLS != nil {
		scheme = "https://"
	}
	err := scheduler.RunWith(ctx, scheduler.Options{
		Master: t.options.Master, Name: t.options.Name, User: t.options.User, Roles: roles, Network: t.options.Network,
		TLS: t.options.TLS, Log: t.options.Log, Files: &t.files, FrameworkIDFile: filepath.Join(t.options.Dir, frameworkIDFile),
		FailoverTimeout: jobTrackerFailover, ConnectTimeout: forever, ReconnectTimeout: forever, WebUI: scheme + t.options.Address,
	}, func(d *scheduler.Driver) scheduler.Scheduler {
		t.driver = d
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
	return nil
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
	if program := records[0].GetSubmitted().GetSubmit().GetProgram(); len(program) > 0 {
		kept := []string{t.programOf(id)}
		for _, word := range program[1:] {
			kept = append(kept, string(word))
		}
		if err := j.ship(kept, &t.files); err != nil && !errors.Is(err, fs.ErrNotExist) { // it goes when the job is over
			return err
		}
	}
	p := newPlan(j, time.Unix(0, records[0].GetUnixNanos()))
	if err := replay(p, records[1:]); err != nil {
		return err
	}
	h := &heldJob{id: id, plan: p, submit: records[0].GetSubmitted().GetSubmit(), out: out}
	t.hold(h)
	if p.over { // what it has left, if it died before it could remove that, may be somebody else's by now
		return nil
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
	t.runs[h.plan] = &run{
		plan: h.plan, out: h.out,
		keep: func(now time.Time, e event) error { return t.keepEvent(h, now, e) },
		ended: func(err error) {
			t.options.Log.Info().Str("job", h.id).AnErr("error", err).Msg("a job has ended")
			if err != nil {
				t.warn(h.out.discard())
			}
			h.out.close()
			t.dropProgram(h)
			t.forgetOldest()
		},
	}
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
		if over++; over > MaxHistory {
			t.warn(t.store.Remove(id))
			delete(t.runs, h.plan)
			delete(t.jobs, id)
		}
	}
	t.ids = slices.DeleteFunc(t.ids, func(id string) bool { return t.jobs[id] == nil })
}

// answer does what a client asks; reply is called once, now or later.
func (t *jobTracker) answer(call *jobpb.Call, reply func(*jobpb.Answer)) {
	document := func(v any) {
		b, err := json.Marshal(v)
		reply(&jobpb.Answer{Document: b, Error: errorText(err)})
	}
	of := func(id string, then func(*heldJob)) {
		if h := t.jobs[id]; h != nil {
			then(h)
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
			t.step(ofJob{h.plan, killed{"by stoa hadoop job -kill"}})
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
	jobs := make([]JobStatus, 0, len(t.ids))
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

// submit takes a job. Its input is listed elsewhere; then it is kept, and only then it begins.
func (t *jobTracker) submit(s *jobpb.Submit, reply func(*jobpb.Answer)) {
	refuse := func(err error) { reply(&jobpb.Answer{Error: err.Error()}) }
	o, err := submittedOptions(s)
	switch {
	case err != nil:
		refuse(err)
		return
	case len(t.tracker.jobs)+t.coming >= MaxHeldJobs:
		refuse(fmt.Errorf("the JobTracker holds %d jobs, more are not allowed: try again when one has ended", MaxHeldJobs))
		return
	case o.Role != "" && o.Role != t.options.Role:
		refuse(fmt.Errorf("role %q: this JobTracker has %q", o.Role, t.options.Role))
		return
	}
	id := jobID(t.next)
	t.next++
	t.coming++
	j := o.template()
	j.id, j.kit, j.user, j.environment = id, s.GetKit(), o.User, t.reach.environment
	j.keys.Cuts = s.GetCuts()
	t.workers.Go(func() {
		err := o.cutInput(t.ctx, j)
		if err == nil {
			err = t.keepProgram(j, o.Program)
		}
		var out *output
		if err == nil {
			out, err = planOutput(o.Output)
		}
		t.driver.Do(func() {
			t.coming--
			if err == nil {
				err = t.begin(s, j, out)
			}
			if err != nil {
				t.warn(os.RemoveAll(t.programOf(id)))
				refuse(err)
				return
			}
			reply(&jobpb.Answer{Job: id})
		})
	})
}

// programsDir has the programs of jobs that are not over, beside the jobs' logs: what lay where a job was submitted from may
// be another by now.
const programsDir = "programs"

func (t *jobTracker) programOf(id string) string {
	return filepath.Join(t.options.Dir, programsDir, id)
}

// keepProgram copies a job's own program, if it has one, and has it sent to the slaves.
func (t *jobTracker) keepProgram(j *job, program []string) error {
	if program == nil {
		return nil
	}
	kept := t.programOf(j.id)
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return fmt.Errorf("keep the program: %w", err)
	}
	if err := copyProgram(program[0], kept); err != nil {
		return err
	}
	return j.ship(append([]string{kept}, program[1:]...), &t.files)
}

// dropProgram removes the program of a job that is over. Another job may have had the same one, which slaves are given by
// its content: then from where that job's copy lies.
func (t *jobTracker) dropProgram(h *heldJob) {
	if len(h.submit.GetProgram()) == 0 {
		return
	}
	t.warn(os.RemoveAll(t.programOf(h.id)))
	for _, id := range t.ids {
		if other := t.jobs[id]; !other.plan.over && len(other.submit.GetProgram()) > 0 {
			_, err := t.files.Add(t.programOf(id))
			t.warn(err)
		}
	}
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("the program, on the JobTracker's machine: %w", err)
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("the program, on the JobTracker's machine: %s is no file", from)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("keep the program: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("keep the program: %w", err)
	}
	return nil
}

// begin keeps a job and begins it.
func (t *jobTracker) begin(s *jobpb.Submit, j *job, out *output) error {
	now := t.driver.Now()
	b, err := encodeRecord(submittedRecord(now, s, j, out))
	if err != nil {
		return err
	}
	if err := t.store.Append(j.id, b, true); err != nil {
		return err
	}
	if err := out.create(false); err != nil {
		return errors.Join(err, t.store.Remove(j.id))
	}
	h := &heldJob{id: j.id, plan: newPlan(j, now), submit: s, out: out}
	t.hold(h)
	t.options.Log.Info().Str("job", h.id).Str("name", j.name).Int("maps", len(j.splits)).Int("reduces", j.reduces).Msg("a job begins")
	t.step(begun{h.plan})
	return nil
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
		if a.id == id || (id == "" && (a.fate == Errored || a.fate == Lost)) {
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
