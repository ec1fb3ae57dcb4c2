package hadoop

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

// Order says which job gets what is offered first.
type Order string

// The orders of jobs.
const (
	// Fair gives all jobs the same at the same time, weighted by their priorities.
	Fair Order = "fair"
	// FIFO gives all to the job of the highest priority that came first, and what it can not use to the next.
	FIFO Order = "fifo"
)

// Priority is a job's, by Hadoop's names: VERY_HIGH, HIGH, NORMAL, LOW, VERY_LOW.
type Priority int

// Hadoop's priorities.
const (
	VeryLow Priority = iota - 2
	Low
	Normal
	High
	VeryHigh
)

var priorityNames = map[Priority]string{VeryLow: "VERY_LOW", Low: "LOW", Normal: "NORMAL", High: "HIGH", VeryHigh: "VERY_HIGH"}

func (p Priority) String() string { return priorityNames[p] }

// weight is a job's in the fair order: a priority is worth twice the next (Hadoop's fair scheduler of MapReduce 1).
func (p Priority) weight() float64 {
	w := 1.0
	for range max(p, -p) {
		w *= 2
	}
	if p < 0 {
		return 1 / w
	}
	return w
}

// candidatesPerOffer bounds how many tasks are looked at for each offer: those that avoid a slave, or wait for their
// machine, do not hide the others.
const candidatesPerOffer = 256

// tracker is the core of a framework that holds many jobs: pure. It gives offers to jobs and news to the job that they are
// about. What it tells of a job's events comes before what the job wants done, to be kept first.
type tracker struct {
	order       Order
	frameworkID string
	jobs        []*plan // that are not over, as they came
	suppressed  bool
}

// What happens to a tracker beside what happens to its jobs.
type (
	offered struct{ offers []*scheduler.Offer }
	// begun adds a job.
	begun struct{ plan *plan }
	// ofJob is an event of one job.
	ofJob struct {
		plan  *plan
		event event
	}
)

func (offered) isEvent() {}
func (begun) isEvent()   {}
func (ofJob) isEvent()   {}

type (
	// happened is an event of a job that is to be kept.
	happened struct {
		plan  *plan
		event event
	}
	// forJob is what a job wants done.
	forJob struct {
		plan *plan
		operation
	}
)

func (happened) isOperation() {}

// step takes an event. Operations of jobs come as forJob.
func (t *tracker) step(now time.Time, e event) []operation {
	var ops []operation
	switch e := e.(type) {
	case subscribed:
		t.frameworkID, t.suppressed = e.frameworkID, false
		ops = t.each(now, e)
	case begun:
		t.jobs = append(t.jobs, e.plan)
		if t.frameworkID != "" && e.plan.frameworkID != t.frameworkID {
			ops = t.tell(now, e.plan, subscribed{t.frameworkID})
		}
	case offered:
		ops = t.offers(now, e.offers)
	case updated:
		ops = t.update(now, e)
	case slaveGone, executorGone:
		ops = t.each(now, e)
	case ticked:
		ops = t.look(now)
	case fed:
		for _, p := range t.jobs {
			p.heardOf(e)
		}
	case ofJob:
		ops = t.tell(now, e.plan, e.event)
	default:
		panic(fmt.Sprintf("hadoop: unknown event %T", e))
	}
	t.jobs = slices.DeleteFunc(t.jobs, func(p *plan) bool { return p.over })
	return append(ops, t.wantOffers(now)...)
}

// tell gives a job an event, which is to be kept before what comes of it is done.
func (t *tracker) tell(now time.Time, p *plan, e event) []operation {
	ops := []operation{happened{p, e}}
	for _, op := range p.step(now, e) {
		ops = append(ops, forJob{p, op})
	}
	return ops
}

// each gives all jobs an event that is about them.
func (t *tracker) each(now time.Time, e event) []operation {
	var ops []operation
	for _, p := range t.jobs {
		if p.concerns(e) {
			ops = append(ops, t.tell(now, p, e)...)
		}
	}
	return ops
}

// concerns says whether an event that is not of one job changes this one.
func (p *plan) concerns(e event) bool {
	switch e := e.(type) {
	case slaveGone:
		return p.slaves[e.slaveID] != nil
	case executorGone:
		return p.executors[e.executorID] != nil
	}
	return true
}

// update gives news of an attempt to its job. What no job knows is not to run.
func (t *tracker) update(now time.Time, e updated) []operation {
	id := e.status.GetTaskId().GetValue()
	for _, p := range t.jobs {
		if p.byID[id] != nil {
			return t.tell(now, p, e)
		}
	}
	switch e.status.GetState() {
	case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING:
		return []operation{kill{id}}
	}
	return nil
}

// look ends the executors that are idle and the reduces that are in a map's way, and repeats what was not heard.
func (t *tracker) look(now time.Time) []operation {
	var ops []operation
	for _, p := range t.jobs {
		for _, id := range p.idle(now) {
			ops = append(ops, t.tell(now, p, idled{id})...)
		}
		if id := p.giveWay(now); id != "" {
			ops = append(ops, t.tell(now, p, gaveWay{id})...)
		}
		for _, op := range p.feeds(now) {
			ops = append(ops, forJob{p, op})
		}
	}
	return ops
}

// wantOffers asks for offers while there is something to launch, and only then.
func (t *tracker) wantOffers(now time.Time) []operation {
	want := slices.ContainsFunc(t.jobs, func(p *plan) bool { return p.wants(now) })
	switch {
	case t.frameworkID == "" || want != t.suppressed:
		return nil
	case want:
		t.suppressed = false
		return []operation{revive{}}
	}
	t.suppressed = true
	for _, p := range t.jobs {
		p.waiting = ""
	}
	return []operation{suppress{}}
}

// offers places as many attempts as fit, one per offer in turn, so that all slaves get their share.
func (t *tracker) offers(now time.Time, offers []*scheduler.Offer) []operation {
	for _, o := range offers {
		for _, p := range t.jobs {
			p.sees(o.SlaveID(), o.Hostname(), o.Info.GetUrl().GetAddress().GetPort())
		}
	}
	var ops []operation
	got := make([][]*mesos.TaskInfo, len(offers))
	open := slices.Clone(offers)
	for slices.ContainsFunc(open, func(o *scheduler.Offer) bool { return o != nil }) {
		for i, o := range open {
			if o == nil {
				continue
			}
			info, made := t.place(now, o)
			if info == nil {
				open[i] = nil
				continue
			}
			ops = append(ops, made...)
			got[i] = append(got[i], info)
		}
	}
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

// place takes an attempt of the first job that has one for the offer.
func (t *tracker) place(now time.Time, o *scheduler.Offer) (*mesos.TaskInfo, []operation) {
	for _, p := range t.inOrder() {
		chosen, info := p.choose(now, o, p.candidates(now, candidatesPerOffer))
		if info != nil {
			return info, t.tell(now, p, chosen)
		}
	}
	return nil, nil
}

// inOrder lists the jobs, the one that is to be served first first.
func (t *tracker) inOrder() []*plan {
	jobs := slices.Clone(t.jobs)
	slices.SortStableFunc(jobs, func(a, b *plan) int {
		if t.order == FIFO {
			return cmp.Compare(b.job.priority, a.job.priority)
		}
		return cmp.Compare(float64(len(a.byID))/a.job.priority.weight(), float64(len(b.byID))/b.job.priority.weight())
	})
	return jobs
}
