package hadoop

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/proto/mesos"
	"google.golang.org/protobuf/proto"
)

// update takes news of a task.
func (p *plan) update(now time.Time, s *mesos.TaskStatus) []operation {
	id := s.GetTaskId().GetValue()
	a := p.byID[id]
	if a == nil || p.over {
		return p.strayUpdate(id, s.GetState())
	}
	if a.state != launched {
		return nil
	}
	if c := s.GetContainerStatus().GetContainerId().GetValue(); c != "" {
		a.place.ContainerID = c
	}
	switch s.GetState() {
	case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_KILLING:
		return nil
	case mesos.TaskState_TASK_RUNNING:
		a.running = true
		return nil
	case mesos.TaskState_TASK_FINISHED:
		return p.finished(now, a, s)
	case mesos.TaskState_TASK_FAILED:
		return p.failing(now, a, s)
	case mesos.TaskState_TASK_ERROR:
		return p.tryFailed(now, a, s.GetMessage(), nil)
	default: // lost in one of Mesos's ways, or killed by somebody else
		if s.GetState() != mesos.TaskState_TASK_KILLED {
			p.blameLoss(now, a)
		}
		ops := p.tryLost(now, a, lossReason(s))
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

func (p *plan) attempt(a *try) attempt { return attempt{id: a.id, kind: a.task.kind, place: a.place} }

// finished collects an attempt's output. Another attempt at the same task is not needed any more.
func (p *plan) finished(now time.Time, a *try, s *mesos.TaskStatus) []operation {
	if a.executor != nil {
		outcome, err := outcomeOf(s)
		if err != nil {
			return p.tryLost(now, a, err.Error())
		}
		a.mapSummary, a.reduceSummary = outcome.GetMap(), outcome.GetReduce()
		a.place.base = a.executor.base(outcome)
	}
	a.state, a.status = collecting, s
	if !a.ready.IsZero() {
		p.slaves[a.slaveID].took(now, p.paces[a.task.kind].late(now.Sub(a.ready)))
		p.paces[a.task.kind].add(now.Sub(a.ready))
	}
	var ops []operation
	for _, other := range slices.Clone(a.task.tries) {
		if other != a {
			if other.number < a.number {
				p.slaves[other.slaveID].outrun(now)
			}
			p.drop(now, other, Dropped, "another attempt was faster")
			ops = append(ops, kill{other.id})
		}
	}
	if a.mapSummary != nil && !p.job.mapOnly() { // all that there is to know is known
		return append(ops, p.mapCollected(now, mapCollected{id: a.id, summary: a.mapSummary})...)
	}
	return append([]operation{p.collect(a)}, ops...)
}

// collect is the reading of what an attempt has made.
func (p *plan) collect(a *try) operation {
	if a.task.kind == mapKind {
		return collectMap{attempt: p.attempt(a), summary: a.mapSummary, output: p.job.mapOnly()}
	}
	return collectReduce{attempt: p.attempt(a), summary: a.reduceSummary, partition: a.task.index}
}

// failing finds out why an attempt has failed.
func (p *plan) failing(now time.Time, a *try, s *mesos.TaskStatus) []operation {
	a.state, a.status = examining, s
	if a.executor == nil {
		return []operation{examine{p.attempt(a)}}
	}
	if len(s.GetData()) == 0 { // it is the executor that failed
		return p.examined(now, examined{id: a.id})
	}
	outcome, err := outcomeOf(s)
	if err != nil {
		return p.tryLost(now, a, err.Error())
	}
	a.place.base = a.executor.base(outcome)
	return p.examined(now, examined{id: a.id, stderr: outcome.GetStderr(), lost: outcome.GetLost()})
}

// outcomeOf reads what an executor tells of an attempt. An update that comes from a reconciliation has lost it.
func outcomeOf(s *mesos.TaskStatus) (*jobpb.Outcome, error) {
	outcome := &jobpb.Outcome{}
	if len(s.GetData()) == 0 {
		return nil, errors.New("it has ended, and what it has made was not heard of")
	}
	if err := proto.Unmarshal(s.GetData(), outcome); err != nil {
		return nil, fmt.Errorf("what it says of its end can not be read: %w", err)
	}
	return outcome, nil
}

// drop ends an attempt: nothing of it counts any more.
func (p *plan) drop(now time.Time, a *try, fate Fate, reason string) {
	delete(p.byID, a.id)
	a.ended, a.fate, a.reason = now, fate, reason
	a.task.tries = slices.DeleteFunc(a.task.tries, func(other *try) bool { return other == a })
	p.maybePending(now, a.task)
	if x := a.executor; x != nil {
		x.running--
		x.idleSince = now
	}
}

// maybePending notes that a task may wait for a slave again.
func (p *plan) maybePending(now time.Time, t *taskState) {
	if t.state() == pending {
		t.since = now
		p.pendingFrom[t.kind] = min(p.pendingFrom[t.kind], t.index)
	}
}

// won makes an attempt the one that counts.
func (p *plan) won(now time.Time, a *try) {
	a.task.winner = a
	p.drop(now, a, Succeeded, "")
	p.done[a.task.kind]++
	if a.task.kind == mapKind {
		p.bytesDone += p.job.splits[a.task.index].bytes
		if a.executor != nil {
			a.executor.outputs++
		}
	}
	p.perSlave[a.slaveID]++
	p.tell("%s: done on %s", p.titleOf(a), p.slaveName(a.slaveID))
}

// blame counts a failure against the slave where it was.
func (p *plan) blame(now time.Time, slaveID string) {
	if slave := p.slaves[slaveID]; slave != nil {
		slave.failures++
		slave.lastFailed = now
	}
}

// blameLoss counts a loss against the slave where it was: once for all the attempts that an executor takes with it.
func (p *plan) blameLoss(now time.Time, a *try) {
	if x := a.executor; x != nil {
		if x.blamed {
			return
		}
		x.blamed = true
	}
	p.blame(now, a.slaveID)
}

// tryFailed counts a failure of the task's own.
func (p *plan) tryFailed(now time.Time, a *try, reason string, stderr []string) []operation {
	p.tell("%s: failed on %s: %s", p.titleOf(a), p.slaveName(a.slaveID), reason)
	p.blame(now, a.slaveID)
	p.drop(now, a, Errored, reason)
	t := a.task
	p.failed++
	t.failures++
	t.avoid[a.slaveID] = now
	limit := p.job.maxMap
	if t.kind == reduceKind {
		limit = p.job.maxReduce
	}
	if t.failures >= limit {
		return p.end(now, &TaskError{
			Task: p.title(t), Attempts: t.failures, Slave: p.slaveName(a.slaveID), Reason: reason, Stderr: stderr,
		})
	}
	return nil
}

// tryLost counts an attempt as lost.
func (p *plan) tryLost(now time.Time, a *try, reason string) []operation {
	p.drop(now, a, Lost, reason)
	return p.lose(now, a, reason)
}

// outputLost counts the output of a map that was done as lost.
func (p *plan) outputLost(now time.Time, m *taskState, reason string) []operation {
	a := m.winner
	m.winner, m.mapSummary = nil, nil
	a.fate, a.reason = OutputLost, reason
	p.done[mapKind]--
	p.bytesDone -= p.job.splits[m.index].bytes
	if a.executor != nil {
		a.executor.outputs--
	}
	p.maybePending(now, m)
	return p.lose(now, a, reason)
}

func (p *plan) lose(now time.Time, a *try, reason string) []operation {
	p.tell("%s: lost on %s: %s", p.titleOf(a), p.slaveName(a.slaveID), reason)
	t := a.task
	p.lost++
	t.losses++
	t.avoid[a.slaveID] = now
	if t.losses > MaxLosses {
		return p.end(now, &TaskError{
			Task: p.title(t), Attempts: t.losses, Lost: true, Slave: p.slaveName(a.slaveID), Reason: reason,
		})
	}
	return nil
}

// title names a task for people.
func (p *plan) title(t *taskState) string {
	return fmt.Sprintf("%s %d of %d", t.kind, t.index+1, len(p.ofKind(t.kind)))
}

// titleOf names an attempt for people.
func (p *plan) titleOf(a *try) string { return p.title(a.task) + ", " + a.id }

// slaveName is a slave's hostname; with its port if another slave has the same.
func (p *plan) slaveName(id string) string {
	slave := p.slaves[id]
	if slave == nil {
		return id
	}
	for other, s := range p.slaves {
		if other != id && s.hostname == slave.hostname && s.port != slave.port {
			return net.JoinHostPort(slave.hostname, strconv.Itoa(int(slave.port)))
		}
	}
	return slave.hostname
}

// slaveGone takes the outputs with it that reduces may still need. What runs there is heard of task by task.
func (p *plan) slaveGone(now time.Time, slaveID string) []operation {
	if slave := p.slaves[slaveID]; slave != nil {
		slave.gone = true
	}
	if p.allDone(reduceKind) { // also if there are none: what maps made lies with the job
		return nil
	}
	for _, x := range p.sortedExecutors() {
		if x.slaveID == slaveID {
			delete(p.executors, x.id)
		}
	}
	return p.outputsLost(now, func(a *try) bool { return a.slaveID == slaveID }, "its output was on a slave that has gone")
}

// outputsLost runs the maps again whose outputs were lost.
func (p *plan) outputsLost(now time.Time, lost func(*try) bool, reason string) []operation {
	var ops []operation
	for _, m := range p.maps {
		if m.winner != nil && !p.over && !p.job.mapOnly() && lost(m.winner) {
			ops = append(ops, p.outputLost(now, m, reason)...)
		}
	}
	return ops
}

// collectError handles what could not be collected.
func (p *plan) collectError(now time.Time, a *try, err error) []operation {
	if u, ok := err.(unreachable); ok { //nolint:errorlint // the shell gives it unwrapped
		return p.tryLost(now, a, u.Error())
	}
	return p.end(now, err)
}

func (p *plan) mapCollected(now time.Time, e mapCollected) []operation {
	a := p.collecting(e.id)
	switch {
	case a == nil:
		return nil
	case e.err != nil:
		return p.collectError(now, a, e.err)
	case len(e.summary.GetParts()) != p.mapParts():
		return p.tryLost(now, a, fmt.Sprintf("its summary has %d parts and should have %d", len(e.summary.GetParts()), p.mapParts()))
	}
	p.won(now, a)
	a.task.mapSummary, a.mapSummary = e.summary, e.summary
	p.outputs = append(p.outputs, a)
	if p.allDone(mapKind) {
		p.mapsDone = now
		p.allReady(now)
	}
	return p.maybeCommit(now)
}

// mapParts is how many parts a map makes.
func (p *plan) mapParts() int {
	if p.job.mapOnly() {
		return 1
	}
	return p.job.reduces
}

func (p *plan) reduceCollected(now time.Time, e reduceCollected) []operation {
	a := p.collecting(e.id)
	switch {
	case a == nil:
		return nil
	case e.err != nil:
		return p.collectError(now, a, e.err)
	}
	p.won(now, a)
	a.task.reduceSummary, a.reduceSummary = e.summary, e.summary
	return p.maybeCommit(now)
}

// maybeCommit gives the output its place when all of it is here.
func (p *plan) maybeCommit(now time.Time) []operation {
	if p.over || p.committing || !p.allDone(p.lastKind()) {
		return nil
	}
	p.committing, p.reducesDone = true, now
	return []operation{p.commit()}
}

func (p *plan) commit() operation {
	last := p.ofKind(p.lastKind())
	ids := make([]string, len(last))
	for i, t := range last {
		ids[i] = t.winner.id
	}
	return commit{attempts: ids}
}

// lastKind is the kind of task that makes the output.
func (p *plan) lastKind() taskKind {
	if p.job.mapOnly() {
		return mapKind
	}
	return reduceKind
}

func (p *plan) collecting(id string) *try {
	if a := p.byID[id]; a != nil && a.state == collecting && !p.over {
		return a
	}
	return nil
}

// examined decides whose fault a failed attempt was.
func (p *plan) examined(now time.Time, e examined) []operation {
	a := p.byID[e.id]
	if a == nil || a.state != examining || p.over {
		return nil
	}
	if len(e.lost.GetLost()) > 0 && a.task.kind == reduceKind {
		return p.inputsLost(now, a, e.lost.GetLost())
	}
	reason, stderr := failureReason(a.id, a.status, e.stderr)
	return p.tryFailed(now, a, reason, stderr)
}

// inputsLost runs the maps again whose output a reduce could not fetch, unless they already do.
func (p *plan) inputsLost(now time.Time, r *try, lost []*taskpb.LostOutput) []operation {
	ops := p.tryLost(now, r, lost[0].GetError())
	for _, l := range lost {
		if i := int(l.GetMap()); i >= 0 && i < len(p.maps) && !p.over {
			m := p.maps[i]
			if m.winner != nil && m.winner.place.URL(task.MapPartFile(r.task.index)) == l.GetUrl() {
				ops = append(ops, p.outputLost(now, m, l.GetError())...)
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
	outOfMemory := s.GetReason() == mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY
	if outOfMemory {
		reason += " (give it more by -mem)"
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(stderr, "\n"), "\n") {
		if own, ok := strings.CutPrefix(line, task.FailurePrefix(id)); ok {
			if !outOfMemory {
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
