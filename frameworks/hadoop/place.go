package hadoop

import (
	"fmt"
	"slices"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/proto/mesos"
)

// How offers are handled.
const (
	// refuseFor is for how long resources that are of no use now are declined.
	refuseFor = time.Second
	// avoidFor is how long a task waits for another slave than those where it has failed, while there are others.
	avoidFor = 5 * time.Second
	// avoidSlaveFor is for how long no task goes to a slave where badSlaveFailures attempts have failed, counted from the
	// last of them, while there are better ones.
	avoidSlaveFor = time.Minute
	// badSlaveFailures is how many attempts fail on a slave before it is avoided.
	badSlaveFailures = 2
)

// wantOffers asks for offers while there is something to launch, and only then.
func (p *plan) wantOffers(now time.Time) []operation {
	want := len(p.launchable()) > 0 || len(p.stragglers(now)) > 0
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
		if t.state() == s {
			found = append(found, t)
		}
	}
	return found
}

func count(tasks []*taskState, s state) int { return len(withState(tasks, s)) }

func all(tasks []*taskState, s state) bool {
	return !slices.ContainsFunc(tasks, func(t *taskState) bool { return t.state() != s })
}

// offers places as many tasks as fit, one per offer in turn, so that all slaves get their share.
func (p *plan) offers(now time.Time, offers []*scheduler.Offer) []operation {
	for _, o := range offers {
		slave := p.slaves[o.SlaveID()]
		if slave == nil {
			slave = &slaveInfo{}
			p.slaves[o.SlaveID()] = slave
		}
		slave.hostname, slave.port, slave.gone = o.Hostname(), o.Info.GetUrl().GetAddress().GetPort(), false
	}
	tasks := p.launchable()
	if len(tasks) == 0 {
		tasks = p.stragglers(now)
	}
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
		p.waiting = fmt.Sprintf("%s: %v", p.slaveName(o.SlaveID()), err)
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
	a := &try{task: t, id: id, number: t.attempts, slaveID: o.SlaveID(), since: now, state: launched}
	a.place = sandbox.Place{ // the container is known from the updates
		Slave: sandbox.SlaveURL(o.Info), SlaveID: a.slaveID, FrameworkID: p.frameworkID, ExecutorID: id,
	}
	if len(t.tries) > 0 {
		p.speculative++
		p.tell("%s: takes long, also starts on %s", p.titleOf(a), p.slaveName(a.slaveID))
	} else {
		p.tell("%s: starts on %s", p.titleOf(a), p.slaveName(a.slaveID))
	}
	t.attempts++
	t.tries = append(t.tries, a)
	p.byID[id] = a
}

// avoids says whether a task had better wait for another slave: it runs here already; or it has failed here of late, or
// much else has, and there is a slave of which neither is true.
func (p *plan) avoids(now time.Time, t *taskState, slaveID string) bool {
	if slices.ContainsFunc(t.tries, func(a *try) bool { return a.slaveID == slaveID }) {
		return true
	}
	when, failedHere := t.avoid[slaveID]
	if (!failedHere || now.Sub(when) >= avoidFor) && !p.slaves[slaveID].bad(now) {
		return false
	}
	for id, slave := range p.slaves {
		if _, failed := t.avoid[id]; !failed && !slave.gone && !slave.bad(now) {
			return true
		}
	}
	return false
}

func (s *slaveInfo) bad(now time.Time) bool {
	return s.failures >= badSlaveFailures && now.Sub(s.lastFailed) < avoidSlaveFor
}

// mapOutputs is what a reduce reads: its part of each map.
func (p *plan) mapOutputs(t *taskState) []*taskpb.MapOutput {
	if t.kind == mapKind {
		return nil
	}
	var outputs []*taskpb.MapOutput
	for _, m := range p.maps {
		if part := m.mapSummary.GetParts()[t.index]; part.GetRecords() > 0 {
			outputs = append(outputs, &taskpb.MapOutput{Map: int32(m.index), Url: m.winner.place.URL(task.MapPartFile(t.index)), Part: part})
		}
	}
	return outputs
}
