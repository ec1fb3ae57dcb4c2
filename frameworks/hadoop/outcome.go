package hadoop

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/proto/mesos"
)

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
			Task: p.title(t), Attempts: t.failures, Slave: p.slaveName(t.slaveID), Reason: reason, Stderr: stderr,
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
			Task: p.title(t), Attempts: t.losses, Lost: true, Slave: p.slaveName(t.slaveID), Reason: reason,
		})
	}
	p.again(t)
	return nil
}

// title names a task for people.
func (p *plan) title(t *taskState) string {
	return fmt.Sprintf("%s %d of %d", t.kind, t.index+1, len(p.ofKind(t.kind)))
}

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
	p.perSlave[t.slaveID]++
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
