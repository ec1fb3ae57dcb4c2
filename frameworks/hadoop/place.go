package hadoop

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
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
	// last of them, or that is slow, while there are better ones.
	avoidSlaveFor = time.Minute
	// badSlaveFailures is how many attempts fail on a slave before it is avoided.
	badSlaveFailures = 2
	// localityWait is how long a map waits for a machine that has its input before it takes any (delay scheduling, Zaharia
	// et al. 2010; Spark's spark.locality.wait: 3 s).
	localityWait = 3 * time.Second
)

// wants says whether the job has something to launch.
func (p *plan) wants(now time.Time) bool { return len(p.candidates(now, 1)) > 0 }

// candidates are what the job would launch now, at most so many, the most urgent first.
func (p *plan) candidates(now time.Time, most int) []*taskState {
	if p.over || p.frameworkID == "" {
		return nil
	}
	if p.allDone(mapKind) {
		return p.waitingOrLate(now, reduceKind, most)
	}
	early := p.earlyReduces(most)
	tasks := p.waitingOrLate(now, mapKind, most)
	if len(p.pending(mapKind, 1)) > 0 {
		return append(early, tasks...) // they are few
	}
	return append(tasks, early...)
}

// waitingOrLate are the tasks of a kind that wait for a slave, or those that had better have a second attempt.
func (p *plan) waitingOrLate(now time.Time, kind taskKind, most int) []*taskState {
	if tasks := p.pending(kind, most); len(tasks) > 0 {
		return tasks
	}
	return p.stragglers(now, kind)
}

// pending are the first tasks of a kind that wait for a slave, at most so many.
func (p *plan) pending(kind taskKind, most int) []*taskState {
	var found []*taskState
	tasks := p.ofKind(kind)
	for i := p.pendingFrom[kind]; i < len(tasks) && len(found) < most; i++ {
		if tasks[i].state() == pending {
			found = append(found, tasks[i])
		} else if len(found) == 0 && i == p.pendingFrom[kind] {
			p.pendingFrom[kind]++
		}
	}
	return found
}

// allDone says whether all tasks of a kind are done.
func (p *plan) allDone(kind taskKind) bool { return p.done[kind] == len(p.ofKind(kind)) }

// sees notes a slave that offers.
func (p *plan) sees(slaveID, hostname string, port int32) {
	slave := p.slaves[slaveID]
	if slave == nil {
		slave = &slaveInfo{}
		p.slaves[slaveID] = slave
	}
	slave.hostname, slave.port, slave.gone = hostname, port, false
}

// choose takes what the first of the tasks that may run on an offer needs out of it. The caller tells the plan of it by
// placed. Nil is that none may, and why is then in p.waiting if it is for want of resources.
func (p *plan) choose(now time.Time, o *scheduler.Offer, tasks []*taskState) (placed, *mesos.TaskInfo) {
	at := slices.IndexFunc(tasks, func(t *taskState) bool { return p.local(t, o) && !p.avoids(now, t, o.SlaveID()) })
	if at < 0 {
		at = slices.IndexFunc(tasks, func(t *taskState) bool {
			return now.Sub(t.since) >= localityWait && !p.avoids(now, t, o.SlaveID())
		})
	}
	if at < 0 {
		return placed{}, nil
	}
	t := tasks[at]
	x := p.executorOn(o)
	if err := p.fits(o, t.kind, x); err != nil {
		p.waiting = fmt.Sprintf("%s: %v", p.slaveName(o.SlaveID()), err)
		return placed{}, nil
	}
	chosen := &jobpb.Placed{
		Reduce: t.kind == reduceKind, Task: int32(t.index), Id: p.attemptID(t), Slave: o.SlaveID(), Hostname: o.Hostname(),
		Url: sandbox.SlaveURL(o.Info), Port: o.Info.GetUrl().GetAddress().GetPort(), Role: o.Role(),
	}
	var program *mesos.ExecutorInfo
	if !p.job.containers {
		if x == nil {
			program = p.takeExecutor(o)
			chosen.Executor = program
		} else {
			program = x.info
		}
		chosen.ExecutorId = program.GetExecutorId().GetValue()
	}
	a := &taskpb.Attempt{
		JobName: p.job.name, TaskId: chosen.GetId(),
		Task: int32(t.index), Number: int32(t.attempts), Tasks: int32(len(p.ofKind(t.kind))),
	}
	var wish scheduler.Task
	if t.kind == mapKind {
		wish = p.job.mapTask(a, program)
	} else {
		early := 0
		if !p.allDone(mapKind) {
			early = len(p.maps)
		}
		wish = p.job.reduceTask(a, program, p.mapOutputs(t), early, len(p.outputs))
	}
	wish.ExecutorRuns = program != nil // or its resources have been taken
	info, err := o.Take(wish)
	if err != nil {
		panic(fmt.Sprintf("hadoop: a task that fits could not be taken: %v", err))
	}
	return placed{chosen}, info
}

// attemptID names the next attempt at a task.
func (p *plan) attemptID(t *taskState) string {
	id := fmt.Sprintf("%s-%05d-%d", t.kind, t.index, t.attempts)
	if p.job.id != "" {
		id = p.job.id + "." + id
	}
	return id
}

// local says whether a task's input is as near on an offer's machine as anywhere.
func (p *plan) local(t *taskState, o *scheduler.Offer) bool {
	if t.kind == reduceKind || len(p.job.splits[t.index].hosts) == 0 {
		return true
	}
	ip := o.Info.GetUrl().GetAddress().GetIp()
	return slices.ContainsFunc(p.job.splits[t.index].hosts, func(host string) bool {
		return strings.EqualFold(host, o.Hostname()) || (host == ip && ip != "")
	})
}

// ofKind are a job's maps or reduces.
func (p *plan) ofKind(kind taskKind) []*taskState {
	if kind == mapKind {
		return p.maps
	}
	return p.reduces
}

// kindOf is the kind of an attempt that was placed.
func kindOf(e *jobpb.Placed) taskKind {
	if e.GetReduce() {
		return reduceKind
	}
	return mapKind
}

// launched takes note of an attempt.
func (p *plan) launched(now time.Time, e placed) {
	if p.firstLaunch.IsZero() {
		p.firstLaunch = now
	}
	p.sees(e.GetSlave(), e.GetHostname(), e.GetPort())
	t := p.ofKind(kindOf(e.Placed))[e.GetTask()]
	a := &try{task: t, id: e.GetId(), number: t.attempts, slaveID: e.GetSlave(), since: now, state: launched}
	a.place.Place = sandbox.Place{ // the container is known from the updates
		Slave: e.GetUrl(), SlaveID: a.slaveID, FrameworkID: p.frameworkID, ExecutorID: cmp.Or(e.GetExecutorId(), a.id),
	}
	if e.GetExecutorId() != "" {
		a.place.dir = a.id
		a.executor = p.used(e)
	}
	if len(t.tries) > 0 {
		p.speculative++
		p.tell("%s: takes long, also starts on %s", p.titleOf(a), p.slaveName(a.slaveID))
	} else {
		p.tell("%s: starts on %s", p.titleOf(a), p.slaveName(a.slaveID))
	}
	if t.kind == mapKind {
		p.roomSince = time.Time{}
	}
	if t.kind == mapKind || p.allDone(mapKind) {
		a.ready = now
	}
	a.feed = feeding{told: len(p.outputs), known: len(p.outputs)}
	t.attempts++
	t.tries = append(t.tries, a)
	p.byID[a.id] = a
	p.past = append(p.past, a)
	p.waiting = ""
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
	return (s.failures >= badSlaveFailures && now.Sub(s.lastFailed) < avoidSlaveFor) ||
		(s.late >= slowSlaveLate && now.Sub(s.lastLate) < avoidSlaveFor)
}

// mapOutputs is what a reduce reads: its part of each map that is done. Of a reduce that starts early also the empty
// ones, so that it knows whom it need not wait for.
func (p *plan) mapOutputs(t *taskState) []*taskpb.MapOutput {
	early := !p.allDone(mapKind)
	var outputs []*taskpb.MapOutput
	for _, m := range p.maps {
		if m.winner == nil {
			continue
		}
		if out := outputFor(m.winner, t.index); early || out.GetPart().GetRecords() > 0 {
			outputs = append(outputs, out)
		}
	}
	return outputs
}

// outputFor is what an attempt at a map has made for a reduce.
func outputFor(m *try, reduce int) *taskpb.MapOutput {
	return &taskpb.MapOutput{Map: int32(m.task.index), Url: m.place.URL(task.MapPartFile(reduce)), Part: m.mapSummary.GetParts()[reduce]}
}
