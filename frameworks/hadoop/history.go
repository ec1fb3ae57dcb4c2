package hadoop

import (
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// Fate is how an attempt stands or has ended.
type Fate string

// The fates of attempts.
const (
	Running    Fate = ""            // it is under way
	Succeeded  Fate = "succeeded"   // what it has made counts
	Errored    Fate = "failed"      // by its own fault
	Lost       Fate = "lost"        // by the fault of the slave, the executor or the network
	Dropped    Fate = "dropped"     // another attempt was faster, or the job was over
	OutputLost Fate = "output lost" // it had succeeded
)

// stateRunning is the state of an attempt that has no fate yet.
const stateRunning = "running"

// Attempt is what the history of a job has of one attempt.
type Attempt struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"` // map or reduce
	Task    int       `json:"task"` // from 0
	Number  int       `json:"attempt"`
	Slave   string    `json:"slave"`
	State   string    `json:"state"` // running, or its Fate
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"` // until its end, or now
	Reason  string    `json:"reason,omitempty"`

	// Of a reduce: for how long it fetched, and waited for maps, before it reduced; and how many maps' outputs it fetched.
	ShuffleSeconds float64 `json:"shuffle_seconds,omitempty"`
	ShuffledMaps   int64   `json:"shuffled_maps,omitempty"`

	InputBytes    int64 `json:"input_bytes"`
	InputRecords  int64 `json:"input_records"`
	OutputBytes   int64 `json:"output_bytes"`
	OutputRecords int64 `json:"output_records"`
}

// history lists a job's attempts, as they were launched.
func (p *plan) history(now time.Time) []Attempt {
	attempts := make([]Attempt, 0, len(p.past))
	for _, a := range p.past {
		h := Attempt{
			ID: a.id, Kind: a.task.kind.String(), Task: a.task.index, Number: a.number, Slave: p.slaveName(a.slaveID),
			State: string(a.fate), Started: a.since, Seconds: now.Sub(a.since).Seconds(), Reason: a.reason,
		}
		if a.fate == Running {
			h.State = stateRunning
		} else {
			h.Seconds = a.ended.Sub(a.since).Seconds()
		}
		if a.fate == Succeeded || a.fate == OutputLost {
			h.sizes(a.mapSummary, a.reduceSummary)
		}
		attempts = append(attempts, h)
	}
	return attempts
}

// sizes fills in what an attempt has read and made.
func (a *Attempt) sizes(m *taskpb.MapSummary, r *taskpb.ReduceSummary) {
	if m != nil {
		a.InputBytes, a.InputRecords, a.OutputRecords = m.GetInputBytes(), m.GetInputRecords(), m.GetOutputRecords()
		for _, part := range m.GetParts() {
			a.OutputBytes += part.GetBytes()
		}
	}
	if r != nil {
		a.InputBytes, a.InputRecords = r.GetInputBytes(), r.GetInputRecords()
		a.OutputBytes, a.OutputRecords = r.GetPart().GetBytes(), r.GetPart().GetRecords()
		a.ShuffleSeconds, a.ShuffledMaps = time.Duration(r.GetShuffleNanos()).Seconds(), r.GetShuffledMaps()
	}
}
