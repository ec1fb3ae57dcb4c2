package hadoop

import (
	"fmt"
	"slices"
	"time"

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
// start when all maps are done. A slave that goes takes its map outputs with it: while a reduce is not done, those maps
// run again. Without reduces, maps are collected as reduces are: their whole output comes to the job.
type plan struct {
	job         *job
	frameworkID string

	maps, reduces []*taskState
	byID          map[string]*try       // attempts that are under way
	slaves        map[string]*slaveInfo // that have offered

	suppressed bool
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
}

// slaveInfo is what is known of a slave.
type slaveInfo struct {
	hostname string
	port     int32
	gone     bool

	failures   int       // of attempts there
	lastFailed time.Time // when the last of them was
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
	attempts int    // started so far
	tries    []*try // under way, the oldest first
	winner   *try   // whose output is the task's; nil until it is done

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
	state   state
	running bool
	place   sandbox.Place
	status  *mesos.TaskStatus // that ended it
}

// What happens to a job.
type (
	event interface{ isEvent() }

	subscribed struct{ frameworkID string }
	offered    struct{ offers []*scheduler.Offer }
	updated    struct{ status *mesos.TaskStatus }
	slaveGone  struct{ slaveID string }
	ticked     struct{} // time has passed

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

	// collectMap reads a map's summary, and its output too if that is the job's.
	collectMap struct {
		attempt
		output bool
	}
	collectReduce struct {
		attempt
		partition int
	}
	examine struct{ attempt }
	commit  struct{ attempts []string } // by partition
	finish  struct{ err error }         // nil: the output is there
	// note tells people what becomes of an attempt.
	note struct{ text string }
)

// attempt is where an attempt's files are.
type attempt struct {
	id    string
	kind  taskKind
	place sandbox.Place
}

func (subscribed) isEvent()      {}
func (offered) isEvent()         {}
func (updated) isEvent()         {}
func (slaveGone) isEvent()       {}
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
func (collectMap) isOperation()    {}
func (collectReduce) isOperation() {}
func (examine) isOperation()       {}
func (commit) isOperation()        {}
func (finish) isOperation()        {}
func (note) isOperation()          {}

// unreachable marks the error of a file that its slave does not give: the output counts as lost.
type unreachable struct{ error }

func newPlan(j *job, now time.Time) *plan {
	p := &plan{
		job: j, started: now,
		byID: map[string]*try{}, slaves: map[string]*slaveInfo{}, perSlave: map[string]int{},
	}
	for i := range j.splits {
		p.maps = append(p.maps, &taskState{kind: mapKind, index: i, avoid: map[string]time.Time{}})
	}
	for i := range j.reduces {
		p.reduces = append(p.reduces, &taskState{kind: reduceKind, index: i, avoid: map[string]time.Time{}})
	}
	return p
}

// step takes an event.
func (p *plan) step(now time.Time, e event) []operation {
	var ops []operation
	switch e := e.(type) {
	case subscribed:
		p.frameworkID, p.suppressed = e.frameworkID, false
		ops = p.maybeCommit(now)
	case offered:
		ops = p.offers(now, e.offers)
	case updated:
		ops = p.update(now, e.status)
	case slaveGone:
		ops = p.slaveGone(now, e.slaveID)
	case ticked: // what is late may have become a straggler
	case mapCollected:
		ops = p.mapCollected(now, e)
	case reduceCollected:
		ops = p.reduceCollected(now, e)
	case examined:
		ops = p.examined(now, e)
	case committed:
		ops = p.end(now, e.err)
	default:
		panic(fmt.Sprintf("hadoop: unknown event %T", e))
	}
	notes := p.notes
	p.notes = nil
	return slices.Concat(ops, p.wantOffers(now), notes)
}

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
	p.over, p.err, p.ended = true, err, now
	return []operation{finish{err: err}}
}
