package hadoop

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/proto/mesos"
)

// How often a task is tried again.
const (
	// DefaultMaxAttempts of a task may fail before the job fails (Hadoop's mapreduce.map.maxattempts: 4).
	DefaultMaxAttempts = 4
	// MaxLosses of a task's attempts or of its outputs may be lost before the job fails: they are nobody's fault here,
	// but a cluster that loses everything must not keep a job forever.
	MaxLosses = 16
)

// plan is the job's core: pure. step takes an event and returns the operations that the shell carries out.
//
// A task is pending, under way or done. While it is under way one attempt at it is, or two: when nothing of its kind is
// pending any more, a task that takes much longer than the others did gets a second attempt on another slave, and the
// first to finish counts. An attempt is launched → collecting; a failed one is examined. Collecting is the shell's reading
// of what the attempt has made, over the network: a map's summary, a reduce's whole output. So a map is done when its
// output is known to be within reach, and a reduce when its output lies with the job.
//
// Whatever is heard of an attempt that does not count any more is ignored, and if it still runs it is killed. Reduces
// may start while the last maps run, and are fed with what becomes done (slowstart.go). A slave or an executor that goes
// takes its map outputs with it: while a reduce is not done, those maps run again. Without reduces, maps are collected as
// reduces are: their whole output comes to the job.
//
// Attempts run in executors, one on each slave, which come with the first attempt there and are given back when they
// have nothing to do and nothing that a reduce may still want (executors.go); or each in a container of its own.
//
// The plan does not place attempts by itself: the tracker, which holds many plans, lets it choose, and tells it by
// placed. So the events that step was given make the plan whatever was chosen from: that is what a JobTracker keeps.
type plan struct {
	job         *job
	frameworkID string

	maps, reduces []*taskState
	byID          map[string]*try       // attempts that are under way
	past          []*try                // all attempts, as they were launched
	slaves        map[string]*slaveInfo // that have offered
	executors     map[string]*executor  // by id: those that have been launched and are not known to be gone

	executorsLaunched int

	done        [2]int // tasks, by kind
	pendingFrom [2]int // no task before is pending, by kind
	bytesDone   int64  // input of the maps that are done

	committing bool
	waiting    string // why nothing can be launched at the moment
	over       bool
	err        error

	started, firstLaunch, mapsDone, reducesDone, ended time.Time
	failed, lost                                       int            // attempts
	notes                                              []operation    // of the current step
	speculative                                        int            // second attempts
	paces                                              [2]pace        // by kind
	perSlave                                           map[string]int // tasks done, by slave id

	outputs   []*try    // at maps, in the order in which they were done: what reduces that have started are fed with
	roomSince time.Time // since when a map has wanted the room of a reduce; zero: none does
}

// slaveInfo is what is known of a slave.
type slaveInfo struct {
	hostname string
	port     int32
	gone     bool

	failures   int       // of attempts there
	lastFailed time.Time // when the last of them was

	late     int       // how often attempts there were late, of late
	lastLate time.Time // when the last of them was
}

// state is where a task or an attempt stands.
type state int

const (
	pending  state = iota // a task without an attempt
	underWay              // a task with one
	done                  // a task whose output is there

	launched   // an attempt that starts or runs
	collecting // an attempt that has finished
	examining  // an attempt that has failed
)

// taskState is a map or a reduce.
type taskState struct {
	kind     taskKind
	index    int
	attempts int       // started so far
	since    time.Time // when it became pending
	tries    []*try    // under way, the oldest first
	winner   *try      // whose output is the task's; nil until it is done

	failures, losses int
	avoid            map[string]time.Time // slaves where it has failed, and when

	mapSummary    *taskpb.MapSummary    // when a map is done
	reduceSummary *taskpb.ReduceSummary // when a reduce is done
}

func (t *taskState) state() state {
	switch {
	case t.winner != nil:
		return done
	case len(t.tries) > 0:
		return underWay
	}
	return pending
}

// try is an attempt at a task.
type try struct {
	task    *taskState
	id      string
	number  int // from 0
	slaveID string
	since   time.Time // when it was launched
	ready   time.Time // when all was there that it needs; zero: a reduce that waits for maps
	feed    feeding   // of a reduce
	state   state
	running bool
	place   location
	status  *mesos.TaskStatus // that ended it

	executor *executor // nil: a container of its own
	ended    time.Time // zero: not yet
	fate     Fate
	reason   string // why it failed or was lost
	// The summary of what it has made.
	mapSummary    *taskpb.MapSummary
	reduceSummary *taskpb.ReduceSummary
}

// What happens to a job.
type (
	event interface{ isEvent() }

	subscribed struct{ frameworkID string }
	// placed is an attempt that is launched.
	placed       struct{ *jobpb.Placed }
	updated      struct{ status *mesos.TaskStatus }
	slaveGone    struct{ slaveID string }
	executorGone struct{ executorID string }
	// idled is an executor that is given back.
	idled struct{ executorID string }
	// gaveWay is an attempt at a reduce that is ended so that a map finds room.
	gaveWay struct{ id string }
	ticked  struct{} // time has passed
	// fed is what an attempt at a reduce says that it knows. It is not kept: a feed is repeated until it is answered.
	fed struct {
		id      string
		outputs int
	}
	// killed ends the job at somebody's wish.
	killed struct{ reason string }

	// mapCollected and reduceCollected answer collectMap and collectReduce.
	mapCollected struct {
		id      string
		summary *taskpb.MapSummary
		err     error // unreachable: the slave does not give it; else the job can not go on
	}
	reduceCollected struct {
		id      string
		summary *taskpb.ReduceSummary
		err     error
	}
	// examined answers examine.
	examined struct {
		id     string
		stderr string // its end, if it could be read
		lost   *taskpb.LostOutputs
	}
	// committed answers commit.
	committed struct{ err error }
)

// What the shell is to do.
type (
	operation interface{ isOperation() }

	launch struct {
		offer *scheduler.Offer
		tasks []*mesos.TaskInfo
	}
	decline  struct{ offers []*scheduler.Offer }
	suppress struct{}
	revive   struct{}
	kill     struct{ id string }

	// shutdown ends an executor and what still runs there.
	shutdown struct{ slaveID, executorID string }

	// collectMap reads a map's summary unless it is known, and its output too if that is the job's.
	collectMap struct {
		attempt
		summary *taskpb.MapSummary
		output  bool
	}
	collectReduce struct {
		attempt
		summary   *taskpb.ReduceSummary
		partition int
	}
	examine struct{ attempt }
	commit  struct{ attempts []string } // by partition
	finish  struct{ err error }         // nil: the output is there
	// feed tells an attempt at a reduce of map outputs.
	feed struct {
		slaveID, executorID string
		feed                *taskpb.Feed
	}
	// note tells people what becomes of an attempt.
	note struct{ text string }
)

// attempt is where an attempt's files are.
type attempt struct {
	id    string
	kind  taskKind
	place location
}

// location is where an attempt's files are within reach.
type location struct {
	sandbox.Place
	dir  string // below the sandbox
	base string // where an executor serves them by itself; "": the slave does
}

// URL is where a file of the attempt can be downloaded.
func (l location) URL(file string) string {
	if l.base != "" {
		return l.base + file
	}
	return l.Place.URL(path.Join(l.dir, file))
}

func (subscribed) isEvent()      {}
func (placed) isEvent()          {}
func (updated) isEvent()         {}
func (slaveGone) isEvent()       {}
func (executorGone) isEvent()    {}
func (idled) isEvent()           {}
func (gaveWay) isEvent()         {}
func (fed) isEvent()             {}
func (killed) isEvent()          {}
func (ticked) isEvent()          {}
func (mapCollected) isEvent()    {}
func (reduceCollected) isEvent() {}
func (examined) isEvent()        {}
func (committed) isEvent()       {}

func (launch) isOperation()        {}
func (decline) isOperation()       {}
func (suppress) isOperation()      {}
func (revive) isOperation()        {}
func (kill) isOperation()          {}
func (shutdown) isOperation()      {}
func (collectMap) isOperation()    {}
func (collectReduce) isOperation() {}
func (examine) isOperation()       {}
func (commit) isOperation()        {}
func (finish) isOperation()        {}
func (feed) isOperation()          {}
func (note) isOperation()          {}

// unreachable marks the error of a file that its slave does not give: the output counts as lost.
type unreachable struct{ error }

func newPlan(j *job, now time.Time) *plan {
	p := &plan{
		job: j, started: now,
		byID: map[string]*try{}, slaves: map[string]*slaveInfo{}, executors: map[string]*executor{}, perSlave: map[string]int{},
	}
	for i := range j.splits {
		p.maps = append(p.maps, &taskState{kind: mapKind, index: i, since: now, avoid: map[string]time.Time{}})
	}
	for i := range j.reduces {
		p.reduces = append(p.reduces, &taskState{kind: reduceKind, index: i, since: now, avoid: map[string]time.Time{}})
	}
	return p
}

// step takes an event.
func (p *plan) step(now time.Time, e event) []operation {
	var ops []operation
	switch e := e.(type) {
	case subscribed:
		ops = p.subscribed(now, e.frameworkID)
	case placed:
		p.launched(now, e)
	case updated:
		ops = p.update(now, e.status)
	case slaveGone:
		ops = p.slaveGone(now, e.slaveID)
	case executorGone:
		ops = p.executorGone(now, e.executorID)
	case idled:
		ops = p.giveBack(e.executorID)
	case gaveWay:
		ops = p.gaveWay(now, e.id)
	case mapCollected:
		ops = p.mapCollected(now, e)
	case reduceCollected:
		ops = p.reduceCollected(now, e)
	case examined:
		ops = p.examined(now, e)
	case committed:
		ops = p.end(now, e.err)
	case killed:
		ops = p.end(now, killedBy(e.reason))
	default:
		panic(fmt.Sprintf("hadoop: unknown event %T", e))
	}
	ops = append(ops, p.feeds(now)...)
	notes := p.notes
	p.notes = nil
	return append(ops, notes...)
}

// ErrKilled is wrapped by the error of a job that somebody ended.
var ErrKilled = errors.New("the job was killed")

func killedBy(reason string) error { return fmt.Errorf("%w: %s", ErrKilled, reason) }

// tell makes a note, if people want to hear it.
func (p *plan) tell(format string, a ...any) {
	if p.job.verbose {
		p.notes = append(p.notes, note{fmt.Sprintf(format, a...)})
	}
}

// end is the job's end.
func (p *plan) end(now time.Time, err error) []operation {
	if p.over {
		return nil
	}
	p.over, p.err, p.ended, p.waiting = true, err, now, ""
	var ops []operation
	for _, a := range p.underWay() {
		if a.state == launched {
			ops = append(ops, kill{a.id})
		}
		p.drop(now, a, Dropped, "")
	}
	seen := map[*executor]bool{}
	for _, a := range p.past { // also those that are thought to be gone
		if x := a.executor; x != nil && !seen[x] {
			seen[x] = true
			ops = append(ops, shutdown{x.slaveID, x.id})
		}
	}
	p.forgetParts()
	return append(ops, finish{err: err})
}

// resume gives again what was asked for and not answered before the plan was brought back from its events.
func (p *plan) resume(now time.Time) []operation {
	if p.over {
		return nil
	}
	var ops []operation
	for _, a := range p.past {
		switch {
		case p.byID[a.id] == nil:
		case a.state == examining:
			ops = append(ops, examine{p.attempt(a)})
		case a.state == collecting:
			ops = append(ops, p.collect(a))
		}
	}
	if p.committing {
		return append(ops, p.commit())
	}
	return append(ops, p.maybeCommit(now)...)
}

// subscribed begins or goes on. As a new framework nothing that ran before can be heard of any more.
func (p *plan) subscribed(now time.Time, frameworkID string) []operation {
	before := p.frameworkID
	p.frameworkID = frameworkID
	var ops []operation
	if before != "" && before != frameworkID {
		for _, x := range p.sortedExecutors() {
			ops = append(ops, p.executorGone(now, x.id)...)
		}
		for _, a := range p.underWay() {
			if !p.over && a.state == launched {
				ops = append(ops, p.tryLost(now, a, "the framework began anew")...)
			}
		}
	}
	return append(ops, p.maybeCommit(now)...)
}

// underWay lists the attempts that are under way, as they were launched.
func (p *plan) underWay() []*try {
	var found []*try
	if len(p.byID) == 0 {
		return nil
	}
	for _, a := range p.past {
		if p.byID[a.id] == a {
			found = append(found, a)
		}
	}
	return found
}
