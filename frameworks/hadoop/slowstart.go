package hadoop

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// Reduces may start before all maps are done, to fetch what there is while the last maps run. While a map waits for a
// slave at most every eighth attempt under way may be such a reduce, so that maps have the others. And a reduce that waits for maps
// gives way: where a map has found no room for a while, and reduces have more than that share, the youngest such reduce is
// ended; also for the second attempt at a map.
//
// A reduce that has started is told of outputs by its executor. Each output has a number, in the order in which the maps
// were done; what was told is told again until the executor says that it knows it. An output that is lost before it was
// fetched ends the attempt, as one that can not be fetched.
const (
	// DefaultSlowStart is which part of the maps is done before reduces start: Hadoop's
	// mapreduce.job.reduce.slowstart.completedmaps.
	DefaultSlowStart = 0.05
	// AtOnce lets reduces start with the maps.
	AtOnce = -1
	// earlyShare bounds reduces while maps wait for a slave: one of so many attempts. Hadoop lets them have up to a half
	// (yarn.app.mapreduce.am.job.reduce.rampup.limit), which costs more than the head start of their fetching gains.
	earlyShare = 8
	// giveWayAfter is how long a map finds no room before a reduce is ended for it. It is longer than refuseFor, so that
	// the map was looked at for whatever was free.
	giveWayAfter = 2 * time.Second
	// feedEvery is how often a reduce is told of outputs at most, unless they are the last.
	feedEvery = 100 * time.Millisecond
	// feedAgain is when a feed without an answer is repeated.
	feedAgain = 2 * time.Second
	// feedOutputs bounds a feed: one output has some 150 bytes.
	feedOutputs = 1000
)

// feeding is how many of the plan's outputs an attempt at a reduce was told of, when it was, and how many it knows.
type feeding struct {
	told, known int
	at          time.Time
}

// earlyReduces are those that may start now, while not all maps are done; one in a container of its own gets all it needs
// with its order, and can not.
func (p *plan) earlyReduces(most int) []*taskState {
	if p.job.mapOnly() || p.job.containers || float64(p.done[mapKind]) < math.Ceil(p.job.slowStart*float64(len(p.maps))) {
		return nil
	}
	if len(p.pending(mapKind, 1)) > 0 {
		most = min(most, (len(p.byID)+1)/earlyShare-p.reducesUnderWay())
	}
	return p.pending(reduceKind, most)
}

func (p *plan) reducesUnderWay() (n int) {
	for _, a := range p.byID {
		if a.task.kind == reduceKind {
			n++
		}
	}
	return n
}

// allReady notes that reduces that have started have, or are told of, all that they wait for.
func (p *plan) allReady(now time.Time) {
	for _, a := range p.byID {
		if a.ready.IsZero() {
			a.ready = now
		}
	}
}

// feeds tells the reduces that have started of the outputs that they do not know.
func (p *plan) feeds(now time.Time) []operation {
	if p.over || len(p.outputs) == 0 {
		return nil
	}
	var started []*try
	for _, a := range p.byID {
		if a.task.kind == reduceKind && a.executor != nil && a.running && a.state == launched {
			started = append(started, a)
		}
	}
	slices.SortFunc(started, func(a, b *try) int { return cmp.Compare(a.id, b.id) })
	var ops []operation
	for _, a := range started {
		ops = append(ops, p.feedOf(now, a)...)
	}
	return ops
}

func (p *plan) feedOf(now time.Time, a *try) []operation {
	f := &a.feed
	if f.known < f.told && now.Sub(f.at) >= feedAgain {
		f.told = f.known
	} else if !p.allDone(mapKind) && now.Sub(f.at) < feedEvery {
		return nil
	}
	var ops []operation
	for f.told < len(p.outputs) {
		until := min(len(p.outputs), f.told+feedOutputs)
		message := &taskpb.Feed{TaskId: a.id, From: int32(f.told)}
		for _, m := range p.outputs[f.told:until] {
			out := outputFor(m, a.task.index)
			if m.fate == OutputLost && a.ready.IsZero() {
				out = &taskpb.MapOutput{Map: out.GetMap()} // it waits for the next attempt at that map
			}
			message.Outputs = append(message.Outputs, out)
		}
		ops = append(ops, feed{a.slaveID, a.executor.id, message})
		f.told, f.at = until, now
	}
	return ops
}

// heardOf notes what an attempt at a reduce knows.
func (p *plan) heardOf(e fed) {
	if a := p.byID[e.id]; a != nil && a.task.kind == reduceKind {
		a.feed.known = max(a.feed.known, min(e.outputs, len(p.outputs)))
	}
}

// giveWay is the reduce that is to be ended so that a map finds room; "" is none.
func (p *plan) giveWay(now time.Time) string {
	if p.over || p.frameworkID == "" || p.allDone(mapKind) {
		return ""
	}
	tasks := p.pending(mapKind, candidatesPerOffer)
	if len(tasks) == 0 {
		tasks = p.stragglers(now, mapKind)
	} else if p.reducesUnderWay()*earlyShare <= len(p.byID) {
		tasks = nil // room comes as the maps that run end
	}
	if len(tasks) == 0 {
		p.roomSince = time.Time{}
		return ""
	}
	if p.roomSince.IsZero() {
		p.roomSince = now
	}
	if now.Sub(p.roomSince) < giveWayAfter {
		return ""
	}
	early := p.underWay()
	for i := len(early) - 1; i >= 0; i-- {
		a := early[i]
		if a.task.kind != reduceKind || a.state != launched || !a.ready.IsZero() {
			continue
		}
		for _, t := range tasks {
			if !p.avoids(now, t, a.slaveID) {
				p.roomSince = now
				return a.id
			}
		}
	}
	return ""
}

// gaveWay ends a reduce for a map: it is no fault of its own.
func (p *plan) gaveWay(now time.Time, id string) []operation {
	a := p.byID[id]
	if a == nil || p.over {
		return nil
	}
	reason := "it waited for maps, and one of them needed the room"
	p.tell("%s: ended on %s: %s", p.titleOf(a), p.slaveName(a.slaveID), reason)
	p.drop(now, a, Dropped, reason)
	return []operation{kill{a.id}}
}
