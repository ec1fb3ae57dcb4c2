package hadoop

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/proto/mesos"
)

// How often a task is tried again.
const (
	// DefaultMaxAttempts of a task may fail before the job fails (Hadoop's mapreduce.map.maxattempts: 4).
	DefaultMaxAttempts = 4
	// MaxLosses of a task's attempts or of its outputs may be lost before the job fails: they are nobody's fault here,
	// but a cluster that loses everything must not keep a job forever.
	MaxLosses = 16
)

// How offers are handled.
const (
	// refuseFor is for how long resources that are of no use now are declined.
	refuseFor = time.Second
	// avoidFor is how long a task waits for another slave than those where it has failed, while there are others.
	avoidFor = 5 * time.Second
)

// plan is the job's core: pure. step takes an event and returns the operations that the shell carries out.
//
// A task is pending → launched → collecting → done; a failed attempt is examined before it is pending again. Collecting
// is the shell's reading of what the task has made, over the network: a map's summary, a reduce's whole output. So a
// map is done when its output is known to be within reach, and a reduce when its output lies with the job.
//
// Only the latest attempt of a task counts; whatever is heard of an earlier one is ignored, and if it still runs it is
// killed. Reduces start when all maps are done. A slave that goes takes its map outputs with it: while a reduce is not
// done, those maps run again.
type plan struct {
	job         *job
	frameworkID string

	maps, reduces []*taskState
	byID          map[string]*taskState // latest attempts that are not pending
	slaves        map[string]bool       // that have offered and not gone

	suppressed bool
	waiting    string // why nothing can be launched at the moment
	over       bool
	err        error

	started, firstLaunch, mapsDone, reducesDone, ended time.Time
	failed, lost                                       int // attempts
	perSlave                                           map[string]int
}

type state int

const (
	pending state = iota
	launched
	collecting
	examining
	done
)

// taskState is a map or a reduce.
type taskState struct {
	kind     taskKind
	index    int
	state    state
	attempts int    // started so far
	id       string // of the latest attempt
	slaveID  string
	hostname string // of the slave
	running  bool
	place    sandbox.Place
	status   *mesos.TaskStatus // that ended the attempt

	failures, losses int
	avoid            map[string]time.Time // slaves where it has failed, and when

	mapSummary    *taskpb.MapSummary    // when a map is done
	reduceSummary *taskpb.ReduceSummary // when a reduce is done
}

// What happens to a job.
type (
	event interface{ isEvent() }

	subscribed struct{ frameworkID string }
	offered    struct{ offers []*scheduler.Offer }
	updated    struct{ status *mesos.TaskStatus }
	slaveGone  struct{ slaveID string }

	// mapCollected and reduceCollected answer collectMap and collectReduce.
	mapCollected struct {
		id      string
		summary *taskpb.MapSummary
		err     error // unreachable: the slave does not give it; else the job can not go on
	}
	reduceCollected struct {
		id      string
		summary *taskpb.ReduceSummary
		err     error
	}
	// examined answers examine.
	examined struct {
		id     string
		stderr string // its end, if it could be read
		lost   *taskpb.LostOutputs
	}
	// committed answers commit.
	committed struct{ err error }
)

// What the shell is to do.
type (
	operation interface{ isOperation() }

	launch struct {
		offer *scheduler.Offer
		tasks []*mesos.TaskInfo
	}
	decline  struct{ offers []*scheduler.Offer }
	suppress struct{}
	revive   struct{}
	kill     struct{ id string }

	collectMap    struct{ attempt }
	collectReduce struct {
		attempt
		partition int
	}
	examine struct{ attempt }
	commit  struct{ attempts []string } // by partition
	finish  struct{ err error }         // nil: the output is there
)

// attempt is where an attempt's files are.
type attempt struct {
	id    string
	kind  taskKind
	place sandbox.Place
}

func (subscribed) isEvent()      {}
func (offered) isEvent()         {}
func (updated) isEvent()         {}
func (slaveGone) isEvent()       {}
func (mapCollected) isEvent()    {}
func (reduceCollected) isEvent() {}
func (examined) isEvent()        {}
func (committed) isEvent()       {}

func (launch) isOperation()        {}
func (decline) isOperation()       {}
func (suppress) isOperation()      {}
func (revive) isOperation()        {}
func (kill) isOperation()          {}
func (collectMap) isOperation()    {}
func (collectReduce) isOperation() {}
func (examine) isOperation()       {}
func (commit) isOperation()        {}
func (finish) isOperation()        {}

// unreachable marks the error of a file that its slave does not give: the output counts as lost.
type unreachable struct{ error }

func newPlan(j *job, now time.Time) *plan {
	p := &plan{
		job: j, started: now,
		byID: map[string]*taskState{}, slaves: map[string]bool{}, perSlave: map[string]int{},
	}
	for i := range j.splits {
		p.maps = append(p.maps, &taskState{kind: mapKind, index: i, avoid: map[string]time.Time{}})
	}
	for i := range j.reduces {
		p.reduces = append(p.reduces, &taskState{kind: reduceKind, index: i, avoid: map[string]time.Time{}})
	}
	return p
}

// step takes an event.
func (p *plan) step(now time.Time, e event) []operation {
	var ops []operation
	switch e := e.(type) {
	case subscribed:
		p.frameworkID, p.suppressed = e.frameworkID, false
	case offered:
		ops = p.offers(now, e.offers)
	case updated:
		ops = p.update(now, e.status)
	case slaveGone:
		ops = p.slaveGone(now, e.slaveID)
	case mapCollected:
		ops = p.mapCollected(now, e)
	case reduceCollected:
		ops = p.reduceCollected(now, e)
	case examined:
		ops = p.examined(now, e)
	case committed:
		ops = p.end(now, e.err)
	default:
		panic(fmt.Sprintf("hadoop: unknown event %T", e))
	}
	return append(ops, p.wantOffers()...)
}

// wantOffers asks for offers while there is something to launch, and only then.
func (p *plan) wantOffers() []operation {
	want := len(p.launchable()) > 0
	switch {
	case p.over || p.frameworkID == "" || want != p.suppressed:
		return nil
	case want:
		p.suppressed = false
		return []operation{revive{}}
	default:
		p.suppressed, p.waiting = true, ""
		return []operation{suppress{}}
	}
}

// launchable are the tasks that wait for a slave, all of one kind.
func (p *plan) launchable() []*taskState {
	if p.over {
		return nil
	}
	if !all(p.maps, done) {
		return withState(p.maps, pending)
	}
	return withState(p.reduces, pending)
}

func withState(tasks []*taskState, s state) []*taskState {
	var found []*taskState
	for _, t := range tasks {
		if t.state == s {
			found = append(found, t)
		}
	}
	return found
}

func count(tasks []*taskState, s state) int { return len(withState(tasks, s)) }

func all(tasks []*taskState, s state) bool {
	return !slices.ContainsFunc(tasks, func(t *taskState) bool { return t.state != s })
}

// offers places as many tasks as fit, one per offer in turn, so that all slaves get their share.
func (p *plan) offers(now time.Time, offers []*scheduler.Offer) []operation {
	for _, o := range offers {
		p.slaves[o.SlaveID()] = true
	}
	tasks := p.launchable()
	got := make([][]*mesos.TaskInfo, len(offers))
	open := slices.Clone(offers)
	for slices.ContainsFunc(open, func(o *scheduler.Offer) bool { return o != nil }) {
		for i, o := range open {
			if o == nil {
				continue
			}
			at, info := p.place(now, o, tasks)
			if info == nil {
				open[i] = nil
				continue
			}
			got[i] = append(got[i], info)
			tasks = slices.Delete(tasks, at, at+1)
			p.waiting = ""
		}
	}
	var ops []operation
	var rest []*scheduler.Offer
	for i, o := range offers {
		if len(got[i]) > 0 {
			ops = append(ops, launch{offer: o, tasks: got[i]})
		} else {
			rest = append(rest, o)
		}
	}
	if len(rest) > 0 {
		ops = append(ops, decline{offers: rest})
	}
	return ops
}

// place takes the first task that may run on an offer out of it.
func (p *plan) place(now time.Time, o *scheduler.Offer, tasks []*taskState) (int, *mesos.TaskInfo) {
	at := slices.IndexFunc(tasks, func(t *taskState) bool { return !p.avoids(now, t, o.SlaveID()) })
	if at < 0 {
		return 0, nil
	}
	t := tasks[at]
	if err := o.Fits(p.job.wish(t.kind)); err != nil {
		p.waiting = fmt.Sprintf("%s: %v", o.Hostname(), err)
		return 0, nil
	}
	a := &taskpb.Attempt{
		JobName: p.job.name, TaskId: fmt.Sprintf("%s-%05d-%d", t.kind, t.index, t.attempts),
		Task: int32(t.index), Number: int32(t.attempts), Tasks: int32(len(p.ofKind(t.kind))),
	}
	wish := p.job.reduceTask
	if t.kind == mapKind {
		wish = func(a *taskpb.Attempt, _ []*taskpb.MapOutput) scheduler.Task { return p.job.mapTask(a) }
	}
	info, err := o.Take(wish(a, p.mapOutputs(t)))
	if err != nil {
		panic(fmt.Sprintf("hadoop: a task that fits could not be taken: %v", err))
	}
	p.launched(now, t, a.GetTaskId(), o)
	return at, info
}

func (p *plan) ofKind(kind taskKind) []*taskState {
	if kind == mapKind {
		return p.maps
	}
	return p.reduces
}

func (p *plan) launched(now time.Time, t *taskState, id string, o *scheduler.Offer) {
	if p.firstLaunch.IsZero() {
		p.firstLaunch = now
	}
	t.state, t.id, t.slaveID, t.hostname, t.running, t.status = launched, id, o.SlaveID(), o.Hostname(), false, nil
	t.place = sandbox.Place{ // the container is known from the updates
		Slave: sandbox.SlaveURL(o.Info), SlaveID: t.slaveID, FrameworkID: p.frameworkID, ExecutorID: id,
	}
	t.attempts++
	p.byID[id] = t
}

// avoids says whether a task had better wait for another slave.
func (p *plan) avoids(now time.Time, t *taskState, slaveID string) bool {
	when, failedHere := t.avoid[slaveID]
	if !failedHere || now.Sub(when) >= avoidFor {
		return false
	}
	for id := range p.slaves {
		if _, failed := t.avoid[id]; !failed {
			return true
		}
	}
	return false
}

// mapOutputs is what a reduce reads: its part of each map.
func (p *plan) mapOutputs(t *taskState) []*taskpb.MapOutput {
	if t.kind == mapKind {
		return nil
	}
	var outputs []*taskpb.MapOutput
	for _, m := range p.maps {
		if part := m.mapSummary.GetParts()[t.index]; part.GetRecords() > 0 {
			outputs = append(outputs, &taskpb.MapOutput{Map: int32(m.index), Url: m.place.URL(task.MapPartFile(t.index)), Part: part})
		}
	}
	return outputs
}

// update takes news of a task.
func (p *plan) update(now time.Time, s *mesos.TaskStatus) []operation {
	id := s.GetTaskId().GetValue()
	t := p.byID[id]
	if t == nil || p.over {
		return p.strayUpdate(id, s.GetState())
	}
	if t.state != launched {
		return nil
	}
	if c := s.GetContainerStatus().GetContainerId().GetValue(); c != "" {
		t.place.ContainerID = c
	}
	switch s.GetState() {
	case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_KILLING:
		return nil
	case mesos.TaskState_TASK_RUNNING:
		t.running = true
		return nil
	case mesos.TaskState_TASK_FINISHED:
		return p.finished(t, s)
	case mesos.TaskState_TASK_FAILED:
		t.state, t.status = examining, s
		return []operation{examine{p.attempt(t)}}
	case mesos.TaskState_TASK_ERROR:
		return p.taskFailed(now, t, s.GetMessage(), nil)
	default: // lost in one of Mesos's ways, or killed by somebody else
		ops := p.taskLost(now, t, lossReason(s))
		if !mesos.IsTerminal(s.GetState()) {
			ops = append(ops, kill{id})
		}
		return ops
	}
}

// strayUpdate handles news of attempts that do not count any more: what still runs is killed.
func (p *plan) strayUpdate(id string, s mesos.TaskState) []operation {
	switch s {
	case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING:
		return []operation{kill{id}}
	}
	return nil
}

func lossReason(s *mesos.TaskStatus) string {
	text := strings.TrimPrefix(s.GetState().String(), "TASK_")
	if m := s.GetMessage(); m != "" {
		text += ": " + m
	}
	return text
}

func (p *plan) attempt(t *taskState) attempt { return attempt{id: t.id, kind: t.kind, place: t.place} }

func (p *plan) finished(t *taskState, s *mesos.TaskStatus) []operation {
	t.state, t.status = collecting, s
	if t.kind == mapKind {
		return []operation{collectMap{p.attempt(t)}}
	}
	return []operation{collectReduce{attempt: p.attempt(t), partition: t.index}}
}

// again makes a task pending: nothing of its latest attempt counts any more.
func (p *plan) again(t *taskState) {
	delete(p.byID, t.id)
	t.state, t.running, t.place, t.mapSummary, t.reduceSummary = pending, false, sandbox.Place{}, nil, nil
}

// taskFailed counts a failure of the task's own.
func (p *plan) taskFailed(now time.Time, t *taskState, reason string, stderr []string) []operation {
	p.failed++
	t.failures++
	t.avoid[t.slaveID] = now
	limit := p.job.maxMap
	if t.kind == reduceKind {
		limit = p.job.maxReduce
	}
	if t.failures >= limit {
		return p.end(now, &TaskError{
			Task: p.title(t), Attempts: t.failures, Slave: t.hostname, Reason: reason, Stderr: stderr,
		})
	}
	p.again(t)
	return nil
}

// taskLost counts an attempt, or the output of a map that was done, as lost.
func (p *plan) taskLost(now time.Time, t *taskState, reason string) []operation {
	p.lost++
	t.losses++
	t.avoid[t.slaveID] = now
	if t.losses > MaxLosses {
		return p.end(now, &TaskError{
			Task: p.title(t), Attempts: t.losses, Lost: true, Slave: t.hostname, Reason: reason,
		})
	}
	p.again(t)
	return nil
}

// title names a task for people.
func (p *plan) title(t *taskState) string {
	return fmt.Sprintf("%s %d of %d", t.kind, t.index+1, len(p.ofKind(t.kind)))
}

// slaveGone takes the outputs with it that reduces may still need. What runs there is heard of task by task.
func (p *plan) slaveGone(now time.Time, slaveID string) []operation {
	defer delete(p.slaves, slaveID)
	if all(p.reduces, done) {
		return nil
	}
	var ops []operation
	for _, m := range p.maps {
		if m.state == done && m.slaveID == slaveID && !p.over {
			ops = append(ops, p.taskLost(now, m, "its output was on a slave that has gone")...)
		}
	}
	return ops
}

// collectError handles what could not be collected.
func (p *plan) collectError(now time.Time, t *taskState, err error) []operation {
	if u, ok := err.(unreachable); ok { //nolint:errorlint // the shell gives it unwrapped
		return p.taskLost(now, t, u.Error())
	}
	return p.end(now, err)
}

func (p *plan) mapCollected(now time.Time, e mapCollected) []operation {
	t := p.collecting(e.id)
	switch {
	case t == nil:
		return nil
	case e.err != nil:
		return p.collectError(now, t, e.err)
	case len(e.summary.GetParts()) != p.job.reduces:
		return p.taskLost(now, t, fmt.Sprintf("its summary has %d parts and should have %d", len(e.summary.GetParts()), p.job.reduces))
	}
	t.state, t.mapSummary = done, e.summary
	p.counted(t)
	if all(p.maps, done) {
		p.mapsDone = now
	}
	return nil
}

func (p *plan) reduceCollected(now time.Time, e reduceCollected) []operation {
	t := p.collecting(e.id)
	switch {
	case t == nil:
		return nil
	case e.err != nil:
		return p.collectError(now, t, e.err)
	}
	t.state, t.reduceSummary = done, e.summary
	p.counted(t)
	if !all(p.reduces, done) {
		return nil
	}
	p.reducesDone = now
	ids := make([]string, len(p.reduces))
	for i, r := range p.reduces {
		ids[i] = r.id
	}
	return []operation{commit{attempts: ids}}
}

func (p *plan) collecting(id string) *taskState {
	if t := p.byID[id]; t != nil && t.state == collecting && !p.over {
		return t
	}
	return nil
}

func (p *plan) counted(t *taskState) {
	p.perSlave[t.hostname]++
}

// examined decides whose fault a failed attempt was.
func (p *plan) examined(now time.Time, e examined) []operation {
	t := p.byID[e.id]
	if t == nil || t.state != examining || p.over {
		return nil
	}
	if len(e.lost.GetLost()) > 0 && t.kind == reduceKind {
		return p.outputsLost(now, t, e.lost.GetLost())
	}
	reason, stderr := failureReason(t.id, t.status, e.stderr)
	return p.taskFailed(now, t, reason, stderr)
}

// outputsLost runs the maps again whose output a reduce could not fetch, unless they already do.
func (p *plan) outputsLost(now time.Time, r *taskState, lost []*taskpb.LostOutput) []operation {
	ops := p.taskLost(now, r, lost[0].GetError())
	for _, l := range lost {
		if i := int(l.GetMap()); i >= 0 && i < len(p.maps) && !p.over {
			m := p.maps[i]
			if m.state == done && m.place.URL(task.MapPartFile(r.index)) == l.GetUrl() {
				ops = append(ops, p.taskLost(now, m, l.GetError())...)
			}
		}
	}
	return ops
}

// shownStderr is how many lines of a failed command are kept for people.
const shownStderr = 5

// failureReason is what people need to know of a failed attempt: the task program's own line if it got to print one,
// else what the slave says; and the last lines of the command itself.
func failureReason(id string, s *mesos.TaskStatus, stderr string) (string, []string) {
	reason := s.GetMessage()
	if reason == "" {
		reason = "no reason was given"
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(stderr, "\n"), "\n") {
		if own, ok := strings.CutPrefix(line, task.FailurePrefix(id)); ok {
			if s.GetReason() != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY {
				reason = own
			}
			continue
		}
		if strings.TrimSpace(line) != "" {
			lines = append(lines, strings.ToValidUTF8(line, "\uFFFD"))
		}
	}
	return reason, lines[max(0, len(lines)-shownStderr):]
}

// end is the job's end.
func (p *plan) end(now time.Time, err error) []operation {
	if p.over {
		return nil
	}
	p.over, p.err, p.ended = true, err, now
	return []operation{finish{err: err}}
}
