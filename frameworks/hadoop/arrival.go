package hadoop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
)

// A job that is submitted arrives: its input is listed, its program copied, and it is kept. All of that is work for a disk or
// a network, so it is done beside the handlers, which meanwhile tell of the job. Then it begins.

// arrival is a job that arrives.
type arrival struct {
	job   *job
	since time.Time
	s     *jobpb.Submit
	doing string // at the moment, for people
	stop  context.CancelCauseFunc
	reply func(*jobpb.Answer)
}

// arrivals are the jobs that arrive. What the work has come to waits for the handlers: of the scheduler at that time, or of
// the next if that has ended.
type arrivals struct {
	jobs map[string]*arrival // belongs to the handlers

	mutex   sync.Mutex
	driver  *scheduler.Driver
	waiting []func()
}

// reach says whose handlers there are.
func (a *arrivals) reach(d *scheduler.Driver) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.driver = d
}

// then has something done by the handlers.
func (a *arrivals) then(f func()) {
	a.mutex.Lock()
	a.waiting = append(a.waiting, f)
	d := a.driver
	a.mutex.Unlock()
	d.Do(a.done)
}

// done does what waits for the handlers, which call it.
func (a *arrivals) done() {
	a.mutex.Lock()
	waiting := a.waiting
	a.waiting = nil
	a.mutex.Unlock()
	for _, f := range waiting {
		f()
	}
}

// list tells of the jobs that arrive, the newest first.
func (a *arrivals) list(now time.Time) []JobStatus {
	jobs := []JobStatus{}
	for _, arriving := range a.jobs {
		jobs = append(jobs, arriving.status(now))
	}
	slices.SortFunc(jobs, func(a, b JobStatus) int {
		m, _ := jobNumber(a.ID)
		n, _ := jobNumber(b.ID)
		return n - m
	})
	return jobs
}

func (a *arrival) status(now time.Time) JobStatus {
	return JobStatus{
		ID: a.job.id, Name: a.job.name, User: a.job.user, Role: a.job.role, Priority: a.job.priority.String(), State: StateArriving,
		Submitted: a.since, Seconds: now.Sub(a.since).Seconds(), Command: commandOf(a.s), Output: a.job.output, Waiting: a.doing, Reduces: a.job.reduces,
	}
}

// answerOf does what a client asks about a job that arrives.
func (t *jobTracker) answerOf(a *arrival, call *jobpb.Call, document func(any), reply func(*jobpb.Answer)) {
	status := a.status(t.driver.Now())
	switch call.GetCall().(type) {
	case *jobpb.Call_Status:
		document(status)
	case *jobpb.Call_History:
		document(JobHistory{JobStatus: status, Attempts: []Attempt{}})
	case *jobpb.Call_Kill:
		a.stop(killedBy(killedByClient))
		reply(&jobpb.Answer{Job: a.job.id})
	default:
		reply(&jobpb.Answer{Error: fmt.Sprintf("job %s has no attempts yet: it arrives", a.job.id)})
	}
}

// What an arriving job's work is at.
const (
	listingInput   = "its input is listed"
	copyingProgram = "its program is copied"
	makingOutput   = "its output folder is made"
)

// submit takes a job.
func (t *jobTracker) submit(s *jobpb.Submit, reply func(*jobpb.Answer)) {
	refuse := func(err error) { reply(&jobpb.Answer{Error: err.Error()}) }
	o, err := submittedOptions(s)
	switch {
	case err != nil:
		refuse(err)
		return
	case len(t.tracker.jobs)+len(t.arrived.jobs) >= MaxHeldJobs:
		refuse(fmt.Errorf("the JobTracker holds %d jobs, more are not allowed: try again when one has ended", MaxHeldJobs))
		return
	case o.Role != "" && o.Role != t.options.Role:
		refuse(fmt.Errorf("role %q: this JobTracker has %q", o.Role, t.options.Role))
		return
	}
	j := o.template()
	j.id, j.kit, j.user, j.environment = jobID(t.next), s.GetKit(), o.User, t.reach.environment
	j.keys.Cuts = s.GetCuts()
	t.next++
	a := &arrival{job: j, since: t.driver.Now(), s: s, doing: listingInput, reply: reply}
	var ctx context.Context
	ctx, a.stop = context.WithCancelCause(t.ctx)
	t.arrived.jobs[j.id] = a
	t.workers.Go(func() {
		h, err := t.arrive(ctx, a, o)
		t.arrived.then(func() { t.arrives(a, h, err) })
	})
}

// arrive is the work before a job begins. The error is a's end, if that was asked for; then nothing of the job is left.
func (t *jobTracker) arrive(ctx context.Context, a *arrival, o Options) (h *heldJob, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, t.removeProgram(a.job.id))
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
		}
	}()
	if err := o.cutInput(ctx, a.job); err != nil {
		return nil, err
	}
	t.arrived.then(func() { a.doing = copyingProgram })
	if err := t.keepProgram(ctx, a.job, o.Program); err != nil {
		return nil, err
	}
	t.arrived.then(func() { a.doing = makingOutput })
	out, err := planOutput(o.Output)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	first, err := encodeRecord(submittedRecord(now, a.s, a.job, out))
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = t.store.Append(a.job.id, first, true)
	}
	if err != nil {
		out.close()
		return nil, err
	}
	if err := out.create(false); err != nil {
		out.close()
		return nil, errors.Join(err, t.store.Remove(a.job.id))
	}
	return &heldJob{id: a.job.id, plan: newPlan(a.job, now), submit: a.s, out: out, first: first, logged: int64(len(first))}, nil
}

// arrives lets a job begin, which is kept, or tells why there is none.
func (t *jobTracker) arrives(a *arrival, h *heldJob, err error) {
	delete(t.arrived.jobs, a.job.id)
	a.stop(nil)
	if err != nil {
		a.reply(&jobpb.Answer{Error: err.Error()})
		return
	}
	t.hold(h)
	t.options.Log.Info().Str("job", h.id).Str("name", a.job.name).Int("maps", len(a.job.splits)).Int("reduces", a.job.reduces).Msg("a job begins")
	t.step(begun{h.plan})
	a.reply(&jobpb.Answer{Job: h.id})
}

// programsDir has the programs of jobs that are not over, beside the jobs' logs: what lay where a job was submitted from may
// be another by now.
const programsDir = "programs"

func (t *jobTracker) programOf(id string) string {
	return filepath.Join(t.options.Dir, programsDir, id)
}

// program is one with its arguments.
func program(path string, arguments [][]byte) []string {
	words := []string{path}
	for _, argument := range arguments {
		words = append(words, string(argument))
	}
	return words
}

// keepProgram copies a job's own program, if it has one, and has it sent to the slaves.
func (t *jobTracker) keepProgram(ctx context.Context, j *job, program []string) error {
	if program == nil {
		return nil
	}
	kept := t.programOf(j.id)
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return fmt.Errorf("keep the program: %w", err)
	}
	if err := copyProgram(ctx, program[0], kept); err != nil {
		return err
	}
	return j.ship(append([]string{kept}, program[1:]...), &t.files)
}

// removeProgram removes the copy of a job's program, if there is one.
func (t *jobTracker) removeProgram(id string) error {
	return errors.Join(t.files.Remove(t.programOf(id)), os.RemoveAll(t.programOf(id)))
}

// dropProgram removes the program of a job that is over.
func (t *jobTracker) dropProgram(h *heldJob) {
	if len(h.submit.GetProgram()) > 0 {
		t.warn(t.removeProgram(h.id))
	}
}

// sweepPrograms removes what an earlier life has left: copies for jobs that are over, or never began.
func (t *jobTracker) sweepPrograms() error {
	entries, err := os.ReadDir(filepath.Join(t.options.Dir, programsDir))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, entry := range entries {
		if h := t.jobs[entry.Name()]; h == nil || h.plan.over {
			t.warn(t.removeProgram(entry.Name()))
		}
	}
	return nil
}

// copyProgram copies a file so that it outlives the end of the machine.
func copyProgram(ctx context.Context, from, to string) error {
	if info, err := os.Stat(from); err != nil {
		return fmt.Errorf("the program, on the JobTracker's machine: %w", err)
	} else if !info.Mode().IsRegular() { // the opening of a pipe would wait
		return fmt.Errorf("the program, on the JobTracker's machine: %s is no file", from)
	}
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("the program, on the JobTracker's machine: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("keep the program: %w", err)
	}
	_, err = io.Copy(out, whileOpen{ctx, in})
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("keep the program: %w", err)
	}
	return nil
}

// whileOpen reads as long as a context lasts.
type whileOpen struct {
	ctx context.Context
	io.Reader
}

func (r whileOpen) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
