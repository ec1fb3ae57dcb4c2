package hadoop

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
)

// The events of a job that runs for long would fill a disk, and its JobTracker's next life with reading them. So a log is
// replaced, when it has grown enough, by one that says where the plan stands. What is told of a job that is over needs less
// than its reduces did: where each of a map's parts lies is forgotten with its end.

// attemptsRecordBytes is what the attempts of one record have, about.
const attemptsRecordBytes = 1 << 20

// sumUp says where a plan stands, in records that replay takes in the place of all events until now.
func (p *plan) sumUp(now time.Time) []*jobpb.Record {
	s := &jobpb.Standing{
		FrameworkId: p.frameworkID, ExecutorsLaunched: int32(p.executorsLaunched), Slaves: map[string]*jobpb.SlaveStanding{},
		TasksDone: map[string]int32{}, MapPace: p.paces[mapKind].standing(), ReducePace: p.paces[reduceKind].standing(),
		Failed: int32(p.failed), Lost: int32(p.lost), SecondAttempts: int32(p.speculative), Committing: p.committing,
		FirstLaunch: nanosOf(p.firstLaunch), MapsDone: nanosOf(p.mapsDone), ReducesDone: nanosOf(p.reducesDone), RoomSince: nanosOf(p.roomSince),
	}
	if p.over {
		s.Ended = &jobpb.Ended{At: nanosOf(p.ended), Error: errorText(p.err), Killed: errors.Is(p.err, ErrKilled)}
	}
	for _, t := range p.maps {
		s.Maps = append(s.Maps, t.standing())
	}
	for _, t := range p.reduces {
		s.Reduces = append(s.Reduces, t.standing())
	}
	for id, slave := range p.slaves {
		s.Slaves[id] = &jobpb.SlaveStanding{
			Hostname: slave.hostname, Port: slave.port, Gone: slave.gone, Failures: int32(slave.failures), LastFailed: nanosOf(slave.lastFailed),
			Late: int32(slave.late), LastLate: nanosOf(slave.lastLate),
		}
	}
	for slave, n := range p.perSlave {
		s.TasksDone[slave] = int32(n)
	}
	executors := p.everyExecutor()
	for _, x := range executors {
		s.Executors = append(s.Executors, &jobpb.ExecutorStanding{
			Info: x.info, Slave: x.slaveID, Number: int32(x.number), IdleSince: nanosOf(x.idleSince), Gone: p.executors[x.id] != x, Blamed: x.blamed,
		})
	}
	places := map[*try]int32{}
	var attempts []*jobpb.Tried
	for i, a := range p.past {
		places[a] = int32(i)
		attempts = append(attempts, p.tried(a, executors))
	}
	for _, a := range p.outputs {
		s.Outputs = append(s.Outputs, places[a])
	}
	records := []*jobpb.Record{{UnixNanos: now.UnixNano(), Event: &jobpb.Record_Standing{Standing: s}}}
	for len(attempts) > 0 {
		n, size := 0, 0
		for n < len(attempts) && size < attemptsRecordBytes {
			size += proto.Size(attempts[n])
			n++
		}
		records = append(records, &jobpb.Record{UnixNanos: now.UnixNano(), Event: &jobpb.Record_Attempts{Attempts: &jobpb.Attempts{Attempts: attempts[:n]}}})
		attempts = attempts[n:]
		s.Records++
	}
	return records
}

func (c pace) standing() *jobpb.Pace {
	return &jobpb.Pace{Count: int64(c.count), Nanos: int64(c.total)}
}

func (t *taskState) standing() *jobpb.TaskStanding {
	s := &jobpb.TaskStanding{Attempts: int32(t.attempts), Since: nanosOf(t.since), Failures: int32(t.failures), Losses: int32(t.losses), Avoid: map[string]int64{}}
	for slave, when := range t.avoid {
		s.Avoid[slave] = nanosOf(when)
	}
	return s
}

// everyExecutor lists those that there are and those that attempts had, in the order of their launch.
func (p *plan) everyExecutor() []*executor {
	all := map[*executor]bool{}
	for _, x := range p.executors {
		all[x] = true
	}
	for _, a := range p.past {
		if a.executor != nil {
			all[a.executor] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b *executor) int { return a.number - b.number })
}

func (p *plan) tried(a *try, executors []*executor) *jobpb.Tried {
	r := &jobpb.Tried{
		Id: a.id, Reduce: a.task.kind == reduceKind, Task: int32(a.task.index), Number: int32(a.number), Slave: a.slaveID,
		Since: nanosOf(a.since), Ready: nanosOf(a.ready), Running: a.running, SlaveUrl: a.place.Slave, FrameworkId: a.place.FrameworkID,
		ContainerId: a.place.ContainerID, Base: a.place.base, Executor: int32(slices.Index(executors, a.executor) + 1), Known: int32(a.feed.known),
		Ended: nanosOf(a.ended), Fate: string(a.fate), Reason: a.reason, Winner: a.task.winner == a,
		MapSummary: a.mapSummary, ReduceSummary: a.reduceSummary,
	}
	if p.byID[a.id] == a {
		r.State = attemptStates[a.state]
	}
	if r.GetState() == jobpb.Tried_STATE_EXAMINING {
		r.Status = a.status
	}
	return r
}

// attemptStates are the states of attempts that are under way.
var attemptStates = map[state]jobpb.Tried_State{
	launched: jobpb.Tried_STATE_LAUNCHED, collecting: jobpb.Tried_STATE_COLLECTING, examining: jobpb.Tried_STATE_EXAMINING,
}

// standAt brings a new plan to where sumUp has found one. What is left are the records that came after.
func (p *plan) standAt(s *jobpb.Standing, records []*jobpb.Record) (left []*jobpb.Record, err error) {
	n := int(s.GetRecords())
	if n > len(records) || len(s.GetMaps()) != len(p.maps) || len(s.GetReduces()) != len(p.reduces) {
		return nil, fmt.Errorf("a standing of %d maps and %d reduces in %d records is that of another job: this has %d, %d and %d",
			len(s.GetMaps()), len(s.GetReduces()), n, len(p.maps), len(p.reduces), len(records))
	}
	p.frameworkID, p.executorsLaunched, p.committing = s.GetFrameworkId(), int(s.GetExecutorsLaunched()), s.GetCommitting()
	p.failed, p.lost, p.speculative = int(s.GetFailed()), int(s.GetLost()), int(s.GetSecondAttempts())
	p.firstLaunch, p.mapsDone, p.reducesDone = timeOf(s.GetFirstLaunch()), timeOf(s.GetMapsDone()), timeOf(s.GetReducesDone())
	p.roomSince = timeOf(s.GetRoomSince())
	p.paces = [2]pace{mapKind: paceOf(s.GetMapPace()), reduceKind: paceOf(s.GetReducePace())}
	if e := s.GetEnded(); e != nil {
		p.over, p.ended, p.err = true, timeOf(e.GetAt()), errorOf(e.GetError())
		if e.GetKilled() {
			p.err = fmt.Errorf("%w%s", ErrKilled, strings.TrimPrefix(e.GetError(), ErrKilled.Error()))
		}
	}
	for i, t := range s.GetMaps() {
		p.maps[i].standAt(t)
	}
	for i, t := range s.GetReduces() {
		p.reduces[i].standAt(t)
	}
	for id, slave := range s.GetSlaves() {
		p.slaves[id] = &slaveInfo{
			hostname: slave.GetHostname(), port: slave.GetPort(), gone: slave.GetGone(), failures: int(slave.GetFailures()),
			lastFailed: timeOf(slave.GetLastFailed()), late: int(slave.GetLate()), lastLate: timeOf(slave.GetLastLate()),
		}
	}
	for slave, n := range s.GetTasksDone() {
		p.perSlave[slave] = int(n)
	}
	var executors []*executor
	for _, kept := range s.GetExecutors() {
		x := newExecutor(kept.GetInfo(), kept.GetSlave(), int(kept.GetNumber()))
		x.idleSince, x.blamed = timeOf(kept.GetIdleSince()), kept.GetBlamed()
		executors = append(executors, x)
		if !kept.GetGone() {
			p.executors[x.id] = x
		}
	}
	for _, r := range records[:n] {
		for _, kept := range r.GetAttempts().GetAttempts() {
			if err := p.triedBefore(kept, executors); err != nil {
				return nil, err
			}
		}
	}
	for _, at := range s.GetOutputs() {
		if at < 0 || int(at) >= len(p.past) || p.past[at].mapSummary == nil {
			return nil, fmt.Errorf("the output of attempt %d of %d is not known", at, len(p.past))
		}
		p.outputs = append(p.outputs, p.past[at])
	}
	return records[n:], nil
}

func paceOf(s *jobpb.Pace) pace {
	return pace{count: int(s.GetCount()), total: time.Duration(s.GetNanos())}
}

func (t *taskState) standAt(s *jobpb.TaskStanding) {
	t.attempts, t.since, t.failures, t.losses = int(s.GetAttempts()), timeOf(s.GetSince()), int(s.GetFailures()), int(s.GetLosses())
	for slave, when := range s.GetAvoid() {
		t.avoid[slave] = timeOf(when)
	}
}

// triedBefore takes an attempt back among those of the plan.
func (p *plan) triedBefore(kept *jobpb.Tried, executors []*executor) error {
	kind := mapKind
	if kept.GetReduce() {
		kind = reduceKind
	}
	if i := kept.GetTask(); i < 0 || int(i) >= len(p.ofKind(kind)) {
		return fmt.Errorf("attempt %s is at a task %d, which the job has not", kept.GetId(), i)
	}
	t := p.ofKind(kind)[kept.GetTask()]
	a := &try{
		task: t, id: kept.GetId(), number: int(kept.GetNumber()), slaveID: kept.GetSlave(), since: timeOf(kept.GetSince()), ready: timeOf(kept.GetReady()),
		feed: feeding{told: int(kept.GetKnown()), known: int(kept.GetKnown())}, running: kept.GetRunning(), status: kept.GetStatus(),
		ended: timeOf(kept.GetEnded()), fate: Fate(kept.GetFate()), reason: kept.GetReason(),
		mapSummary: kept.GetMapSummary(), reduceSummary: kept.GetReduceSummary(),
	}
	a.place.Place = sandbox.Place{
		Slave: kept.GetSlaveUrl(), SlaveID: a.slaveID, FrameworkID: kept.GetFrameworkId(), ExecutorID: a.id, ContainerID: kept.GetContainerId(),
	}
	a.place.base = kept.GetBase()
	if i := int(kept.GetExecutor()); i < 0 || i > len(executors) {
		return fmt.Errorf("attempt %s is in executor %d of %d", kept.GetId(), i, len(executors))
	} else if i > 0 {
		a.executor = executors[i-1]
		a.place.ExecutorID, a.place.dir = a.executor.id, a.id
	}
	p.past = append(p.past, a)
	for state, s := range attemptStates {
		if s == kept.GetState() {
			a.state = state
			p.byID[a.id] = a
			t.tries = append(t.tries, a)
			if a.executor != nil {
				a.executor.running++
			}
		}
	}
	if kept.GetWinner() {
		p.wonBefore(a)
	}
	return nil
}

// wonBefore takes an attempt for the one that counts.
func (p *plan) wonBefore(a *try) {
	a.task.winner, a.task.mapSummary, a.task.reduceSummary = a, a.mapSummary, a.reduceSummary
	p.done[a.task.kind]++
	if a.task.kind == mapKind {
		p.bytesDone += p.job.splits[a.task.index].bytes
		if a.executor != nil {
			a.executor.outputs++
		}
	}
}

// forgetParts leaves of what maps have made what is told of a job that is over: how much it was.
func (p *plan) forgetParts() {
	for _, a := range p.past {
		if len(a.mapSummary.GetParts()) <= 1 {
			continue
		}
		all := &taskpb.Part{}
		for _, part := range a.mapSummary.GetParts() {
			all.Bytes += part.GetBytes()
			all.Records += part.GetRecords()
		}
		a.mapSummary.Parts = []*taskpb.Part{all}
	}
}

// nanosOf is a time as it is kept; 0 is the zero time.
func nanosOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}
