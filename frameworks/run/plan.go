package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// maxPlacements is how often an instance may be placed when its launches do not reach a slave.
const maxPlacements = 10

// operation is what the plan wants done.
type operation interface{}

type (
	launch  struct{ placement scheduler.Placement }
	decline struct{ offers []*scheduler.Offer }
	kill    struct{ taskID string }
	// suppress: no more offers are wanted; revive: they are again.
	suppress struct{}
	revive   struct{}
	// follow shows an instance's output until endOutput says that it grows no more.
	follow struct {
		instance int
		place    sandbox.Place
	}
	endOutput struct {
		instance int
		lost     bool // with its slave: nothing more can be read
	}
	// ask wants the slaves' reasons: they come back by explained.
	ask struct{}
	// find wants to know on which slave the persistent volume is: that comes back by found.
	find struct{}
	// say tells people something.
	say struct{ line string }
	// finish: the result is complete.
	finish struct{}
)

type phase int

const (
	waiting phase = iota
	launched
	running
	ended
)

type instance struct {
	Instance
	phase    phase
	attempt  int
	place    sandbox.Place
	where    scheduler.Place // its slave
	follows  bool            // its output is being shown
	outputs  int             // streams that are not at their end
	timedOut bool            // Options.Timeout ended it
	deadline time.Time       // of Timeout, then of the kill that follows; zero for none
}

// plan decides what becomes of a run. Its methods take what happened and leave operations, which take hands over.
type plan struct {
	o           Options
	frameworkID string
	instances   []*instance
	byTask      map[string]*instance
	placedAt    time.Time // of the last placement, or of the start
	suppressed  bool
	warned      bool // that limits are not enforced
	asking      bool // the slaves' reasons are awaited
	explained   bool // they were shown; once in a run
	slaves      []SlaveReason
	whole       *verdict  // over the whole run; nil while the instances decide
	giveUpAt    time.Time // when killed tasks are not awaited any longer
	finished    bool
	ops         []operation

	volume volumeSearch
}

// volumeSearch is what is known of Options.Volume.
type volumeSearch struct {
	known bool               // it has been found, or is nowhere
	slave string             // where it is; empty: nowhere, it is to be made
	offer string             // id of that which it is made of, if this run makes it
	held  []*scheduler.Offer // that came before it was known
}

// verdict ends the whole run, whatever its instances say.
type verdict struct {
	code            int
	reason, message string
}

func newPlan(o Options, now time.Time) *plan {
	p := &plan{o: o, placedAt: now, byTask: map[string]*instance{}, volume: volumeSearch{known: o.Volume == nil}}
	if o.Volume != nil {
		p.do(find{})
	}
	for i := range o.Instances {
		p.instances = append(p.instances, &instance{Instance: Instance{Instance: i}})
	}
	return p
}

func (p *plan) take() []operation {
	ops := p.ops
	p.ops = nil
	return ops
}

func (p *plan) do(op operation) { p.ops = append(p.ops, op) }

// offers places instances that wait. Each goes to the offer that has got the fewest.
func (p *plan) offers(now time.Time, offers []*scheduler.Offer) {
	if !p.volume.known {
		p.volume.held = append(p.volume.held, offers...)
		return
	}
	p.prepare(offers)
	var tasks []scheduler.Task
	wanted := map[string]*instance{}
	for _, i := range p.atMost(capacity(offers, p.o.CPUs)) {
		task := p.o.task(i.Instance.Instance, i.attempt)
		tasks, wanted[task.ID] = append(tasks, task), i
	}
	placements, _ := scheduler.MatchBeside(offers, tasks, p.places())
	used := map[*scheduler.Offer]bool{}
	for _, placement := range placements {
		used[placement.Offer] = true
		for _, task := range placement.Tasks {
			p.o.complete(task)
			p.place(now, wanted[task.GetTaskId().GetValue()], task.GetTaskId().GetValue(), placement.Offer)
		}
		p.do(launch{placement})
	}
	var rest []*scheduler.Offer
	for _, o := range offers {
		if !used[o] {
			rest = append(rest, o)
		}
	}
	if len(rest) > 0 {
		p.do(decline{rest})
	}
	p.maybeSuppress()
	if len(placements) > 0 && p.hasConstraint(scheduler.GroupBy) {
		p.maybeRevive() // Groups that had as many as allowed may have more now.
	}
}

// places is where instances are that have not ended.
func (p *plan) places() []scheduler.Place {
	var places []scheduler.Place
	for _, i := range slices.Concat(p.in(launched), p.in(running)) {
		places = append(places, i.where)
	}
	return places
}

// found takes the answer to find: slaves with the persistent volume, or why nobody can tell.
func (p *plan) found(now time.Time, slaves []string, err error) {
	v := &p.volume
	switch {
	case err != nil:
		p.stop(now, verdict{ExitFailed, ReasonFailed, fmt.Sprintf("where persistent volume %q is could not be found out: %v", p.o.Volume.ID, err)})
	case len(slaves) > 1:
		p.stop(now, verdict{ExitFailed, ReasonFailed, fmt.Sprintf("there are persistent volumes %q of role %q on %d slaves, %s and %s among them: destroy all but one, or use another id",
			p.o.Volume.ID, p.o.Roles[0], len(slaves), slaves[0], slaves[1])})
	case len(slaves) == 1:
		v.slave = slaves[0]
	}
	v.known = true
	held := v.held
	v.held = nil
	if len(held) > 0 {
		p.offers(now, held)
	}
	p.maybeFinish()
}

// rescinded: an offer that is held for later is void.
func (p *plan) rescinded(id string) {
	p.volume.held = slices.DeleteFunc(p.volume.held, func(o *scheduler.Offer) bool { return o.ID() == id })
}

// operated takes what became of an operation. If the persistent volume could not be made it is looked for again: it is
// nowhere, or somebody else's.
func (p *plan) operated(s *mesos.OperationStatus) {
	switch s.GetState() {
	case mesos.OperationState_OPERATION_ERROR, mesos.OperationState_OPERATION_FAILED,
		mesos.OperationState_OPERATION_DROPPED, mesos.OperationState_OPERATION_GONE_BY_OPERATOR:
	default:
		return
	}
	if v := &p.volume; v.offer != "" && strings.HasPrefix(s.GetOperationId().GetValue(), v.offer+".") {
		*v = volumeSearch{}
		p.do(find{})
		p.maybeRevive()
	}
}

// prepare makes the persistent volume on the first offer that has room for it and the instance, if it is nowhere.
func (p *plan) prepare(offers []*scheduler.Offer) {
	v := p.o.Volume
	if v == nil || p.volume.slave != "" || len(p.atMost(1)) == 0 {
		return
	}
	for _, o := range offers {
		task := p.o.task(0, 0)
		task.Volumes = nil
		task.Disk += v.MB
		if o.Fits(task) == nil && v.make(o) == nil {
			p.volume.slave, p.volume.offer = o.SlaveID(), o.ID()
			p.do(say{fmt.Sprintf("persistent volume %q of %v MB is made on slave %s; it stays when the run has ended", v.ID, v.MB, o.SlaveID())})
			return
		}
	}
}

// capacity is how many instances the offers' cpus alone would have room for: matching more of them is of no use.
func capacity(offers []*scheduler.Offer, cpus float64) int {
	n := 0
	for _, o := range offers {
		n += int(resource.Float(o.Left().Get(resource.CPUs)) / cpus)
	}
	return n
}

// atMost lists so many of the instances that wait, none once the run has been decided.
func (p *plan) atMost(n int) []*instance {
	if p.whole != nil {
		return nil
	}
	all := p.in(waiting)
	return all[:min(n, len(all))]
}

func (p *plan) place(now time.Time, i *instance, id string, o *scheduler.Offer) {
	i.phase, i.TaskID, i.SlaveID, i.Hostname = launched, id, o.SlaveID(), o.Hostname()
	i.State, i.where = mesos.TaskState_TASK_STAGING.String(), o.Place()
	i.place = sandbox.Place{Slave: sandbox.SlaveURL(o.Info), SlaveID: o.SlaveID(), FrameworkID: p.frameworkID, ExecutorID: id}
	p.byTask[id] = i
	p.placedAt = now
}

// maybeSuppress stops offers while nobody waits for one. Who asks why there was none gets them as long: else that were the answer.
func (p *plan) maybeSuppress() {
	idle := (p.whole != nil || len(p.in(waiting)) == 0) && !p.asking
	if idle == p.suppressed {
		return
	}
	p.suppressed = idle
	if idle {
		p.do(suppress{})
	} else {
		p.do(revive{})
	}
}

// maybeRevive has offers come again that were declined, if instances wait for what they were too good for until now.
func (p *plan) maybeRevive() {
	if p.whole == nil && len(p.in(waiting)) > 0 {
		p.do(revive{})
	}
}

// hasConstraint tells whether there is a constraint of one of these kinds; without kinds, of any.
func (p *plan) hasConstraint(operators ...scheduler.Operator) bool {
	return slices.ContainsFunc(p.o.Constraints, func(c scheduler.Constraint) bool {
		return len(operators) == 0 || slices.Contains(operators, c.Operator)
	})
}

// update takes news of a task.
func (p *plan) update(now time.Time, s *mesos.TaskStatus) {
	i := p.byTask[s.GetTaskId().GetValue()]
	if i == nil || i.phase == ended {
		return
	}
	i.State = s.GetState().String()
	if id := s.GetContainerStatus().GetContainerId().GetValue(); id != "" {
		i.place.ContainerID = id
	}
	switch {
	case neverReached(s) && i.phase == launched && p.whole == nil && i.attempt+1 < maxPlacements:
		p.placeAgain(i)
	case mesos.IsTerminal(s.GetState()) || lost(s.GetState()):
		p.end(i, s)
	case s.GetState() == mesos.TaskState_TASK_RUNNING && i.phase == launched:
		p.becomeRunning(now, i, s)
	}
	p.maybeFinish()
}

// neverReached tells the end of a task that no slave has heard of: its offer was void, or the master away.
func neverReached(s *mesos.TaskStatus) bool {
	return s.GetState() == mesos.TaskState_TASK_DROPPED && s.GetSource() == mesos.TaskStatus_SOURCE_MASTER &&
		(s.GetReason() == mesos.TaskStatus_REASON_INVALID_OFFERS || s.GetReason() == mesos.TaskStatus_REASON_MASTER_DISCONNECTED)
}

// lost tells the states from which a task may come back, for which a run does not wait.
func lost(s mesos.TaskState) bool {
	return s == mesos.TaskState_TASK_UNREACHABLE || s == mesos.TaskState_TASK_UNKNOWN
}

func (p *plan) placeAgain(i *instance) {
	i.phase, i.State = waiting, ""
	i.attempt++
	if p.suppressed {
		p.maybeSuppress()
	} else {
		p.maybeRevive()
	}
}

func (p *plan) becomeRunning(now time.Time, i *instance, s *mesos.TaskStatus) {
	i.phase = running
	i.Started = timeOf(s)
	if limits := mesos.LabelOf(s.GetLabels(), mesos.LabelNotEnforced); limits != "" && !p.warned {
		p.warned = true
		p.do(say{"where it runs, limits are not enforced of " + strings.ReplaceAll(limits, " ", ", ")})
	}
	if p.o.Timeout > 0 && p.whole == nil {
		i.deadline = now.Add(p.o.Timeout)
	}
	p.follow(i)
}

func (p *plan) follow(i *instance) {
	if i.follows || i.place.Slave == "" {
		return
	}
	i.follows, i.outputs = true, streams
	p.do(follow{instance: i.Instance.Instance, place: i.place})
}

// end takes an instance's last status; its output may still be on the way.
func (p *plan) end(i *instance, s *mesos.TaskStatus) {
	i.outcome(s)
	if i.timedOut && i.Reason != ReasonFinished {
		i.ExitCode, i.Reason = ExitTimeout, ReasonTimeout
		i.Message = fmt.Sprintf("ended by its timeout of %s", p.o.Timeout)
	}
	i.phase, i.deadline = ended, time.Time{}
	if p.hasConstraint() {
		p.maybeRevive() // Its place is free for those whose constraints it stood in the way of.
	}
	if i.ExitCode != 0 && i.Reason != ReasonExited && p.whole == nil {
		p.do(say{p.prefix(i) + i.Message})
	}
	// A command that wrote something has a container, also if it ended before anybody heard that it ran; one that was
	// never started may not even have a sandbox.
	if i.Reason != ReasonLost && i.Reason != ReasonLaunchFailed && i.Reason != ReasonFetchFailed && i.place.ContainerID != "" {
		p.follow(i)
	}
	if i.follows {
		p.do(endOutput{instance: i.Instance.Instance, lost: i.Reason == ReasonLost})
	}
}

func (p *plan) prefix(i *instance) string {
	if len(p.instances) == 1 {
		return ""
	}
	return fmt.Sprintf("instance %d: ", i.Instance.Instance)
}

// outputEnded tells that one stream of an instance is at its end, or can not be read further.
func (p *plan) outputEnded(now time.Time, number int, stream string, err error, writing bool) {
	i := p.instances[number]
	i.outputs--
	switch {
	case err == nil:
	case writing:
		p.stop(now, verdict{ExitFailed, ReasonOutputLost, err.Error()})
	case i.Reason != ReasonLost && p.whole == nil:
		p.do(say{fmt.Sprintf("%s%s is not complete: %v", p.prefix(i), stream, err)})
		if i.ExitCode < ExitFailed {
			i.ExitCode, i.Reason, i.Message = ExitFailed, ReasonOutputLost, fmt.Sprintf("%s is not complete: %v", stream, err)
		}
	}
	p.maybeFinish()
}

// interrupt ends the run for the caller.
func (p *plan) interrupt(now time.Time) {
	p.stop(now, verdict{ExitInterrupted, ReasonInterrupted, "interrupted"})
	p.maybeFinish()
}

// stop kills what runs, and gives up what waits.
func (p *plan) stop(now time.Time, v verdict) {
	if p.whole != nil {
		return
	}
	p.whole, p.giveUpAt = &v, now.Add(p.o.killTimeout())
	for _, i := range p.instances {
		switch i.phase {
		case waiting:
			i.phase, i.ExitCode, i.Reason = ended, v.code, v.reason
		case launched, running:
			p.do(kill{i.TaskID})
		}
	}
	p.maybeSuppress()
}

// explainedBy takes the master's reasons; none with an error.
func (p *plan) explainedBy(why reasons, err error) {
	if !p.asking {
		return
	}
	p.asking, p.explained = false, true
	p.maybeSuppress()
	waits := len(p.in(waiting))
	switch {
	case p.whole != nil:
		p.slaves = why.slaves
		p.whole.message += reasonLines(why, err)
		p.do(say{p.whole.message})
	case waits > 0:
		p.do(say{fmt.Sprintf("%s for resources%s", count(waits, "instance waits", "instances wait"), reasonLines(why, err))})
	}
	p.maybeFinish()
}

func reasonLines(why reasons, err error) string {
	if err != nil {
		return fmt.Sprintf(" (why is not known: %v)", err)
	}
	return why.lines()
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// tick does what is due.
func (p *plan) tick(now time.Time) {
	for _, i := range p.instances {
		if due(i.deadline, now) {
			p.timeOut(now, i)
		}
	}
	switch waits := len(p.in(waiting)); {
	case p.whole != nil:
		if due(p.giveUpAt, now) {
			p.asking = false
			p.finish()
		}
	case waits == 0:
	case p.o.PlacementTimeout > 0 && due(p.placedAt.Add(p.o.PlacementTimeout), now):
		p.askWhy()
		p.stop(now, verdict{ExitTimeout, ReasonNotPlaced, fmt.Sprintf("%s not placed within %s",
			count(waits, "instance was", "instances were"), p.o.PlacementTimeout)})
	case !p.explained && due(p.placedAt.Add(ExplainAfter), now):
		p.askWhy()
	}
	p.maybeFinish()
}

func (p *plan) askWhy() {
	if !p.asking {
		p.asking = true
		p.do(ask{})
	}
}

// timeOut kills an instance, and if that does not end it, ends it without its consent.
func (p *plan) timeOut(now time.Time, i *instance) {
	if !i.timedOut {
		i.timedOut, i.deadline = true, now.Add(p.o.killTimeout())
		p.do(kill{i.TaskID})
		return
	}
	p.end(i, &mesos.TaskStatus{State: mesos.TaskState_TASK_KILLED.Enum()})
}

// deadline is when tick is wanted; zero for never.
func (p *plan) deadline() time.Time {
	var at time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, i := range p.instances {
		consider(i.deadline)
	}
	switch {
	case p.finished:
		return time.Time{}
	case p.whole != nil:
		consider(p.giveUpAt)
	case len(p.in(waiting)) > 0:
		if p.o.PlacementTimeout > 0 {
			consider(p.placedAt.Add(p.o.PlacementTimeout))
		}
		if !p.explained && !p.asking {
			consider(p.placedAt.Add(ExplainAfter))
		}
	}
	return at
}

// maybeFinish ends the run when every instance has ended and all that it wrote was shown.
func (p *plan) maybeFinish() {
	for _, i := range p.instances {
		if i.phase != ended || i.outputs > 0 {
			return
		}
	}
	if !p.asking {
		p.finish()
	}
}

func (p *plan) finish() {
	if !p.finished {
		p.finished = true
		p.do(finish{})
	}
}

// result sums up. The highest exit code of the instances counts, unless the whole run was decided.
func (p *plan) result() Result {
	r := Result{FrameworkID: p.frameworkID, Reason: ReasonFinished, Slaves: p.slaves}
	for _, i := range p.instances {
		if i.phase != ended {
			i.ExitCode, i.Reason, i.Message = ExitFailed, ReasonLost, "nobody knows how it ended"
		}
		if i.ExitCode > r.ExitCode {
			r.ExitCode, r.Reason, r.Message = i.ExitCode, i.Reason, p.prefix(i)+i.Message
		}
		r.Instances = append(r.Instances, i.Instance)
	}
	if p.whole != nil {
		r.ExitCode, r.Reason, r.Message = p.whole.code, p.whole.reason, p.whole.message
	}
	return r
}

// in lists the instances of a phase.
func (p *plan) in(wanted phase) []*instance {
	var some []*instance
	for _, i := range p.instances {
		if i.phase == wanted {
			some = append(some, i)
		}
	}
	return some
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
