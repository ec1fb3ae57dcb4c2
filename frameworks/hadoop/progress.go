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

	TasksPerSlave                 map[string]int // tasks done, by the slaves' names: hostnames, with the port where they would be the same
	FailedAttempts, LostAttempts  int
	SpeculativeAttempts           int // started because another attempt at the same task was late
	LaunchedMaps, LaunchedReduces int // attempts
	EarlyReduces                  int // whose attempt that counts was launched before the last map was done
	Counters                      Counters
	Statuses                      []TaskStatus // what commands reported by reporter:status:, the last of each task

	own    []CounterGroup // what commands reported by reporter:counter:
	groups []CounterGroup // all, if a JobTracker told them
}

// TaskStatus is what a task's command said of itself.
type TaskStatus struct {
	Task string `json:"task"`
	Text string `json:"text"`
}

// Counters count records and bytes on their way through a job. A record is a line.
type Counters struct {
	// What the mappers were given; less than there is if they did not want all.
	InputFiles           int64 `json:"input_files"`
	InputBytes           int64 `json:"input_bytes"`
	InputRecords         int64 `json:"input_records"`
	MapOutputRecords     int64 `json:"map_output_records"`
	MapOutputBytes       int64 `json:"map_output_bytes"`
	CombineInputRecords  int64 `json:"combine_input_records"`
	CombineOutputRecords int64 `json:"combine_output_records"`
	SpilledRecords       int64 `json:"spilled_records"`
	ShuffledMaps         int64 `json:"shuffled_maps"` // outputs of maps that reduces fetched
	ShuffleBytes         int64 `json:"shuffle_bytes"` // from maps to reduces, over the network
	ReduceInputRecords   int64 `json:"reduce_input_records"`
	ReduceGroups         int64 `json:"reduce_groups"` // distinct keys
	OutputRecords        int64 `json:"output_records"`
	OutputBytes          int64 `json:"output_bytes"`
}

// progress looks at the plan.
func (p *plan) progress(now time.Time) Progress {
	g := Progress{
		Phase: p.phase(),
		Maps:  len(p.maps), MapsDone: p.done[mapKind], MapsRunning: p.running(mapKind),
		Reduces: len(p.reduces), ReducesDone: p.done[reduceKind], ReducesRunning: p.running(reduceKind),
		InputBytes: p.job.mapBytes, InputBytesDone: p.bytesDone,
		FailedAttempts: p.failed, LostAttempts: p.lost,
		Elapsed: now.Sub(p.started),
	}
	if len(p.byID) == 0 { // nothing is under way
		g.Waiting = p.waiting
	}
	return g
}

// running is how many attempts at tasks of a kind run, or are read.
func (p *plan) running(kind taskKind) (n int) {
	for _, a := range p.byID {
		if a.task.kind == kind && (a.state == collecting || (a.state == launched && a.running)) {
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
	case !p.allDone(mapKind) && (p.job.mapOnly() || !p.allDone(reduceKind)):
		return Mapping
	case !p.allDone(reduceKind):
		return Reducing
	}
	return Committing
}

// result sums up a job that has succeeded.
func (p *plan) result() Result {
	r := Result{
		Name: p.job.name, FrameworkID: p.frameworkID, Maps: len(p.maps), Reduces: len(p.reduces),
		TasksPerSlave: map[string]int{}, FailedAttempts: p.failed, LostAttempts: p.lost, SpeculativeAttempts: p.speculative,
	}
	for id, n := range p.perSlave {
		r.TasksPerSlave[p.slaveName(id)] += n
	}
	firstLaunch := p.firstLaunch
	if firstLaunch.IsZero() { // there was nothing to run
		firstLaunch = p.reducesDone
	}
	mapsDone := p.mapsDone
	if mapsDone.IsZero() { // there were none
		mapsDone = firstLaunch
	}
	r.Placing = firstLaunch.Sub(p.started)
	r.Mapping = mapsDone.Sub(firstLaunch)
	r.Reducing = p.reducesDone.Sub(mapsDone)
	r.Commit = p.ended.Sub(p.reducesDone)
	own := map[[2]string]int64{}
	report := func(t *taskState, reports *taskpb.Reports) {
		for _, c := range reports.GetCounters() {
			own[[2]string{c.GetGroup(), c.GetName()}] += c.GetValue()
		}
		if text := reports.GetStatus(); text != "" {
			r.Statuses = append(r.Statuses, TaskStatus{Task: p.title(t), Text: text})
		}
	}
	for _, m := range p.maps {
		r.Counters.addMap(m.mapSummary)
		if p.job.mapOnly() {
			r.Counters.addOutput(m.mapSummary.GetParts()[0])
		}
		r.LaunchedMaps += m.attempts
		report(m, m.mapSummary.GetReports())
	}
	for _, t := range p.reduces {
		r.Counters.addReduce(t.reduceSummary)
		r.LaunchedReduces += t.attempts
		if t.winner != nil && t.winner.since.Before(p.mapsDone) {
			r.EarlyReduces++
		}
		report(t, t.reduceSummary.GetReports())
	}
	r.own = groupCounters(own)
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
	c.CombineInputRecords += s.GetCombineInputRecords()
	c.CombineOutputRecords += s.GetCombineOutputRecords()
}

func (c *Counters) addOutput(part *taskpb.Part) {
	c.OutputRecords += part.GetRecords()
	c.OutputBytes += part.GetBytes()
}

func (c *Counters) addReduce(s *taskpb.ReduceSummary) {
	c.ShuffledMaps += s.GetShuffledMaps()
	c.ShuffleBytes += s.GetInputBytes()
	c.ReduceInputRecords += s.GetInputRecords()
	c.ReduceGroups += s.GetInputGroups()
	c.addOutput(s.GetPart())
}
