package hadoop

import (
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// Phase is where a job stands.
type Phase string

// A job's phases, in order. A job whose map outputs were lost goes back from Reducing to Mapping.
const (
	Starting   Phase = "starting" // no master has answered yet
	Mapping    Phase = "map"      // not all maps are done
	Reducing   Phase = "reduce"   // all maps are done
	Committing Phase = "commit"   // all parts are here
	Finished   Phase = "finished" // the output is there
	Failed     Phase = "failed"   // there is no output
)

// Progress is how far a job is.
type Progress struct {
	Phase                                Phase
	Maps, MapsDone, MapsRunning          int
	Reduces, ReducesDone, ReducesRunning int
	InputBytes, InputBytesDone           int64 // as planned; of the maps that are done
	FailedAttempts, LostAttempts         int
	Waiting                              string // why nothing goes on at the moment; "" if it does
	Elapsed                              time.Duration
}

// Result is what a job has done.
type Result struct {
	Name        string
	FrameworkID string
	Output      string // absolute
	Maps        int
	Reduces     int

	Total    time.Duration // from Run's call
	Planning time.Duration // until inputs were listed and split
	Placing  time.Duration // from there until the first task was launched
	Mapping  time.Duration // from there until the maps were done, for the last time if some ran again
	Reducing time.Duration
	Commit   time.Duration

	TasksPerSlave                map[string]int // tasks done, by the slaves' names: hostnames, with the port where they would be the same
	FailedAttempts, LostAttempts int
	Counters                     Counters
}

// Counters count records and bytes on their way through a job. A record is a line.
type Counters struct {
	InputFiles, InputBytes, InputRecords int64 // that the mappers were given; less if they did not want all
	MapOutputRecords, MapOutputBytes     int64
	SpilledRecords                       int64
	ShuffleBytes                         int64 // from maps to reduces, over the network
	ReduceInputRecords, ReduceGroups     int64 // groups: distinct keys
	OutputRecords, OutputBytes           int64
}

// progress looks at the plan.
func (p *plan) progress(now time.Time) Progress {
	g := Progress{
		Phase: p.phase(),
		Maps:  len(p.maps), MapsDone: count(p.maps, done), MapsRunning: running(p.maps),
		Reduces: len(p.reduces), ReducesDone: count(p.reduces, done), ReducesRunning: running(p.reduces),
		InputBytes:     p.job.mapBytes,
		FailedAttempts: p.failed, LostAttempts: p.lost,
		Elapsed: now.Sub(p.started),
	}
	if len(p.byID) == count(p.maps, done)+count(p.reduces, done) { // nothing is under way
		g.Waiting = p.waiting
	}
	for _, m := range p.maps {
		if m.state == done {
			g.InputBytesDone += p.job.splits[m.index].bytes
		}
	}
	return g
}

func running(tasks []*taskState) (n int) {
	for _, t := range tasks {
		if t.state == collecting || (t.state == launched && t.running) {
			n++
		}
	}
	return n
}

func (p *plan) phase() Phase {
	switch {
	case p.over && p.err != nil:
		return Failed
	case p.over:
		return Finished
	case p.frameworkID == "":
		return Starting
	case !all(p.maps, done) && !all(p.reduces, done):
		return Mapping
	case !all(p.reduces, done):
		return Reducing
	}
	return Committing
}

// result sums up a job that has succeeded.
func (p *plan) result() Result {
	r := Result{
		Name: p.job.name, FrameworkID: p.frameworkID, Maps: len(p.maps), Reduces: len(p.reduces),
		TasksPerSlave: map[string]int{}, FailedAttempts: p.failed, LostAttempts: p.lost,
	}
	for id, n := range p.perSlave {
		r.TasksPerSlave[p.slaveName(id)] += n
	}
	mapsDone := p.mapsDone
	if mapsDone.IsZero() { // there were none
		mapsDone = p.firstLaunch
	}
	r.Placing = p.firstLaunch.Sub(p.started)
	r.Mapping = mapsDone.Sub(p.firstLaunch)
	r.Reducing = p.reducesDone.Sub(mapsDone)
	r.Commit = p.ended.Sub(p.reducesDone)
	for _, m := range p.maps {
		r.Counters.addMap(m.mapSummary)
	}
	for _, t := range p.reduces {
		r.Counters.addReduce(t.reduceSummary)
	}
	return r
}

// addMap adds a map's counters; a map that ran again and was not needed any more has none.
func (c *Counters) addMap(s *taskpb.MapSummary) {
	c.InputFiles += s.GetInputFiles()
	c.InputBytes += s.GetInputBytes()
	c.InputRecords += s.GetInputRecords()
	c.MapOutputRecords += s.GetOutputRecords()
	c.MapOutputBytes += s.GetOutputBytes()
	c.SpilledRecords += s.GetSpilledRecords()
}

func (c *Counters) addReduce(s *taskpb.ReduceSummary) {
	c.ShuffleBytes += s.GetInputBytes()
	c.ReduceInputRecords += s.GetInputRecords()
	c.ReduceGroups += s.GetInputGroups()
	c.OutputRecords += s.GetPart().GetRecords()
	c.OutputBytes += s.GetPart().GetBytes()
}
