package hadoop

import (
	"errors"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
)

// States of a job of a JobTracker, beside its phases while it runs.
const (
	StateFinished = string(Finished)
	StateFailed   = string(Failed)
	StateKilled   = "killed"
	// StateArriving is that it is being submitted: what is at work is in JobStatus.Waiting.
	StateArriving = "arriving"
	// StateEnding is that it is over, and what it has left is removed.
	StateEnding = "ending"
)

// JobStatus is what a JobTracker tells of a job, and the document of it.
type JobStatus struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	User      string    `json:"user,omitempty"`
	Role      string    `json:"role,omitempty"`
	Priority  string    `json:"priority"`
	State     string    `json:"state"` // a Phase, or killed, arriving or ending
	Submitted time.Time `json:"submitted"`
	Seconds   float64   `json:"seconds"` // until its end, or now
	Command   []string  `json:"command"` // arguments of stoa hadoop
	Output    string    `json:"output"`
	Error     string    `json:"error,omitempty"`
	Waiting   string    `json:"waiting,omitempty"`

	Maps             int   `json:"maps"`
	MapsDone         int   `json:"maps_done"`
	MapsRunning      int   `json:"maps_running"`
	Reduces          int   `json:"reduces"`
	ReducesDone      int   `json:"reduces_done"`
	ReducesRunning   int   `json:"reduces_running"`
	InputBytes       int64 `json:"input_bytes"`
	InputBytesDone   int64 `json:"input_bytes_done"`
	FailedAttempts   int   `json:"failed_attempts"`
	LostAttempts     int   `json:"lost_attempts"`
	SecondAttempts   int   `json:"speculative_attempts"`
	Executors        int   `json:"executors"` // that it has at the moment
	LaunchedAttempts int   `json:"launched_attempts"`

	// The phases' seconds, and what was counted, of a job that has succeeded.
	Placing       float64        `json:"placing_seconds"`
	Mapping       float64        `json:"mapping_seconds"`
	Reducing      float64        `json:"reducing_seconds"`
	Commit        float64        `json:"commit_seconds"`
	Counters      *Counters      `json:"totals,omitempty"`
	CounterGroups []CounterGroup `json:"counters,omitempty"`
	Statuses      []TaskStatus   `json:"statuses,omitempty"`
	TasksPerSlave map[string]int `json:"tasks_per_slave,omitempty"`
}

// JobHistory is a job with its attempts.
type JobHistory struct {
	JobStatus
	Attempts []Attempt `json:"attempts"`
	// Left is how many attempts more there were than are told.
	Left int `json:"attempts_left_out,omitempty"`
}

// Over says whether the job has ended.
func (s JobStatus) Over() bool {
	return s.State == StateFinished || s.State == StateFailed || s.State == StateKilled
}

// Progress is how far the job is.
func (s JobStatus) Progress() Progress {
	return Progress{
		Phase: Phase(s.State), Maps: s.Maps, MapsDone: s.MapsDone, MapsRunning: s.MapsRunning,
		Reduces: s.Reduces, ReducesDone: s.ReducesDone, ReducesRunning: s.ReducesRunning,
		InputBytes: s.InputBytes, InputBytesDone: s.InputBytesDone,
		FailedAttempts: s.FailedAttempts, LostAttempts: s.LostAttempts, Waiting: s.Waiting,
		Elapsed: inSeconds(s.Seconds),
	}
}

// Result is what a job that has succeeded has done.
func (s JobStatus) Result() Result {
	r := Result{
		Name: s.Name, Output: s.Output, Maps: s.Maps, Reduces: s.Reduces,
		Total: inSeconds(s.Seconds), Placing: inSeconds(s.Placing), Mapping: inSeconds(s.Mapping),
		Reducing: inSeconds(s.Reducing), Commit: inSeconds(s.Commit),
		TasksPerSlave: s.TasksPerSlave, FailedAttempts: s.FailedAttempts, LostAttempts: s.LostAttempts,
		SpeculativeAttempts: s.SecondAttempts, Statuses: s.Statuses, groups: s.CounterGroups,
	}
	if s.Counters != nil {
		r.Counters = *s.Counters
	}
	return r
}

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// commandOf are the arguments of stoa hadoop.
func commandOf(submit *jobpb.Submit) []string {
	var words []string
	for _, arg := range submit.GetArguments() {
		words = append(words, string(arg))
	}
	return words
}

// status is what is told of a job.
func (p *plan) status(now time.Time, submit *jobpb.Submit) JobStatus {
	end := now
	if p.over {
		end = p.ended
	}
	g := p.progress(end)
	s := JobStatus{
		ID: p.job.id, Name: p.job.name, User: p.job.user, Role: p.job.role, Priority: p.job.priority.String(),
		State: string(g.Phase), Submitted: p.started, Seconds: end.Sub(p.started).Seconds(), Output: p.job.output,
		Waiting: g.Waiting, Maps: g.Maps, MapsDone: g.MapsDone, MapsRunning: g.MapsRunning,
		Reduces: g.Reduces, ReducesDone: g.ReducesDone, ReducesRunning: g.ReducesRunning,
		InputBytes: g.InputBytes, InputBytesDone: g.InputBytesDone, FailedAttempts: g.FailedAttempts, LostAttempts: g.LostAttempts,
		SecondAttempts: p.speculative, LaunchedAttempts: len(p.past), Command: commandOf(submit),
	}
	if !p.over {
		s.Executors = len(p.executors)
	}
	switch {
	case p.over && p.err != nil:
		s.Error = p.err.Error()
		if errors.Is(p.err, ErrKilled) {
			s.State = StateKilled
		}
	case p.over:
		r := p.result()
		s.Placing, s.Mapping, s.Reducing, s.Commit = r.Placing.Seconds(), r.Mapping.Seconds(), r.Reducing.Seconds(), r.Commit.Seconds()
		s.Counters, s.CounterGroups, s.Statuses, s.TasksPerSlave = &r.Counters, r.CounterGroups(), r.Statuses, r.TasksPerSlave
	}
	return s
}
