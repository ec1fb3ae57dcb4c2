package hadoop

import (
	"fmt"
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
// A task is pending → launched → collecting → done; a failed attempt is examined before it is pending again. Collecting
// is the shell's reading of what the task has made, over the network: a map's summary, a reduce's whole output. So a
// map is done when its output is known to be within reach, and a reduce when its output lies with the job.
//
// Only the latest attempt of a task counts; whatever is heard of an earlier one is ignored, and if it still runs it is
// killed. Reduces start when all maps are done. A slave that goes takes its map outputs with it: while a reduce is not
// done, those maps run again.
type plan struct {
	job         *job
	frameworkID string

	maps, reduces []*taskState
	byID          map[string]*taskState // latest attempts that are not pending
	slaves        map[string]*slaveInfo // that have offered

	suppressed bool
	waiting    string // why nothing can be launched at the moment
	over       bool
	err        error

	started, firstLaunch, mapsDone, reducesDone, ended time.Time
	failed, lost                                       int            // attempts
	perSlave                                           map[string]int // tasks done, by slave id
}

// slaveInfo is what is known of a slave.
type slaveInfo struct {
	hostname string
	port     int32
	gone     bool
}

type state int

const (
	pending state = iota
	launched
	collecting
	examining
	done
)

// taskState is a map or a reduce.
type taskState struct {
	kind     taskKind
	index    int
	state    state
	attempts int    // started so far
	id       string // of the latest attempt
	slaveID  string
	running  bool
	place    sandbox.Place
	status   *mesos.TaskStatus // that ended the attempt

	failures, losses int
	avoid            map[string]time.Time // slaves where it has failed, and when

	mapSummary    *taskpb.MapSummary    // when a map is done
	reduceSummary *taskpb.ReduceSummary // when a reduce is done
}

// What happens to a job.
type (
	event interface{ isEvent() }

	subscribed struct{ frameworkID string }
	offered    struct{ offers []*scheduler.Offer }
	updated    struct{ status *mesos.TaskStatus }
	slaveGone  struct{ slaveID string }

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

	collectMap    struct{ attempt }
	collectReduce struct {
		attempt
		partition int
	}
	examine struct{ attempt }
	commit  struct{ attempts []string } // by partition
	finish  struct{ err error }         // nil: the output is there
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

// unreachable marks the error of a file that its slave does not give: the output counts as lost.
type unreachable struct{ error }

func newPlan(j *job, now time.Time) *plan {
	p := &plan{
		job: j, started: now,
		byID: map[string]*taskState{}, slaves: map[string]*slaveInfo{}, perSlave: map[string]int{},
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
	case offered:
		ops = p.offers(now, e.offers)
	case updated:
		ops = p.update(now, e.status)
	case slaveGone:
		ops = p.slaveGone(now, e.slaveID)
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
	return append(ops, p.wantOffers()...)
}

// end is the job's end.
func (p *plan) end(now time.Time, err error) []operation {
	if p.over {
		return nil
	}
	p.over, p.err, p.ended = true, err, now
	return []operation{finish{err: err}}
}
