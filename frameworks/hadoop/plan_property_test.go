package hadoop

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// world is a cluster that breaks at random around a plan.
type world struct {
	t       *rapid.T
	plan    *plan
	tracker *tracker
	now     time.Time
	tasks   map[string]*worldTask
	// exists says which sandboxes can be read.
	exists      map[string]bool
	heardLost   map[string]bool // sandboxes that the plan has heard can not be read
	life        map[string]int  // of each slave: a slave that went comes back with another id
	answers     []event         // that collecting and examining owe
	badLuck     int             // failures left
	wantsOffers bool
	commits     [][]string
	rebirths    int
	log         [][]byte // what a JobTracker would have kept
	finished    []error
	offers      int
	slots       int // of each slave
	slow        bool
}

type worldTask struct {
	slave    string
	executor string // "": none
	kind     string
	order    []byte
	state    mesos.TaskState
	lost     []*taskpb.LostOutput

	// Of a reduce in an executor: how many outputs it was told of, where they are, and those that it has.
	fed   int
	known map[int32]*taskpb.MapOutput
	has   map[int32]bool
	// toldAll is that it knew of all outputs while all of them were there.
	toldAll bool
}

func (w *world) step(e event) {
	for _, op := range w.tracker.step(w.now, wrapped(w.plan, e)) {
		switch op := op.(type) {
		case happened:
			w.keep(op.event)
			if e, ok := op.event.(gaveWay); ok && w.tasks[e.id].toldAll {
				w.t.Fatalf("%s is ended for a map, and waits for none", e.id)
			}
		case forJob:
			w.carryOut(op.operation)
		default:
			w.carryOut(op)
		}
	}
	for _, a := range w.plan.past {
		if a.fate == OutputLost && w.exists[a.slaveID+"/"+a.id] {
			w.t.Fatalf("the output of %s counts as lost, and is there", a.id)
		}
	}
}

func (w *world) keep(e event) {
	r, err := encodeEvent(w.now, e)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := encodeRecord(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.log = append(w.log, b)
}

// sumUp replaces what was kept by where the plan stands.
func (w *world) sumUp() {
	var err error
	if w.log, err = encodeStanding(w.plan.sumUp(w.now)); err != nil {
		w.t.Fatal(err)
	}
}

// reborn goes on with a plan that is made of what was kept: it must stand where the old one stood. Answers on their way
// are lost with the process.
func (w *world) reborn() {
	w.rebirths++
	records, err := decodeRecords(w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	p := newPlan(w.plan.job, w.plan.started)
	if err := replay(p, records); err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(standing(w.plan, w.now), standing(p, w.now)); diff != "" {
		w.t.Fatalf("a plan made of what was kept differs (-old +new):\n%s", diff)
	}
	w.plan, w.tracker, w.answers = p, &tracker{order: FIFO, jobs: []*plan{p}}, nil
	if p.over {
		return
	}
	w.step(subscribed{"F"})
	w.wantsOffers = !w.tracker.suppressed
	for _, op := range p.resume(w.now) {
		w.carryOut(op)
	}
}

// standing is where a plan stands, as far as it can be told from outside or matters for what it does next.
func standing(p *plan, now time.Time) any {
	type attemptAt struct {
		ID, URL, Executor string
		State             state // of one that is under way
		UnderWay, Running bool
		Ready             int64
		Parts             int
		Status            string // of one that is examined
	}
	type taskAt struct {
		State              state
		Attempts, Failures int
		Losses             int
		Winner             string
		Avoid              map[string]time.Time
	}
	type executorAt struct {
		ID, Slave, Host  string
		Running, Outputs int
		IdleSince        int64
	}
	var attempts []attemptAt
	for _, a := range p.past {
		at := attemptAt{ID: a.id, URL: a.place.URL("x"), UnderWay: p.byID[a.id] == a, Running: a.running, Ready: nanosOf(a.ready), Parts: len(a.mapSummary.GetParts())}
		if at.UnderWay {
			at.State = a.state
		}
		if at.State == examining {
			at.Status = a.status.GetMessage() + a.status.GetReason().String()
		}
		if a.executor != nil {
			at.Executor = a.executor.id
		}
		attempts = append(attempts, at)
	}
	var tasks []taskAt
	for _, t := range slices.Concat(p.maps, p.reduces) {
		at := taskAt{State: t.state(), Attempts: t.attempts, Failures: t.failures, Losses: t.losses, Avoid: map[string]time.Time{}}
		for slave, when := range t.avoid {
			at.Avoid[slave] = when.Round(0).UTC()
		}
		if t.winner != nil {
			at.Winner = t.winner.id
		}
		tasks = append(tasks, at)
	}
	var executors []executorAt
	for _, x := range p.sortedExecutors() {
		executors = append(executors, executorAt{x.id, x.slaveID, x.host, x.running, x.outputs, nanosOf(x.idleSince)})
	}
	var outputs []string
	for _, a := range p.outputs {
		outputs = append(outputs, a.id)
	}
	slaves := map[string]slaveInfo{}
	for id, slave := range p.slaves {
		slaves[id] = slaveInfo{failures: slave.failures, late: slave.late} // of others only offers tell
		if slaves[id] == (slaveInfo{}) {
			delete(slaves, id)
		}
	}
	g := p.progress(now)
	g.Waiting = "" // comes with the next offer
	history := p.history(now)
	for i := range history {
		history[i].Started = history[i].Started.UTC()
	}
	times := []int64{nanosOf(p.firstLaunch), nanosOf(p.mapsDone), nanosOf(p.reducesDone), nanosOf(p.ended)}
	return []any{
		attempts, tasks, executors, g, history, outputs, fmt.Sprint(slaves), p.over, fmt.Sprint(p.err), errors.Is(p.err, ErrKilled), p.committing, p.done,
		times, p.bytesDone, fmt.Sprint(p.perSlave, p.paces), p.executorsLaunched, p.speculative,
	}
}

func (w *world) carryOut(op operation) {
	switch op := op.(type) {
	case launch:
		for _, info := range op.tasks {
			id := info.GetTaskId().GetValue()
			if w.tasks[id] != nil {
				w.t.Fatalf("task id %s is used twice", id)
			}
			w.tasks[id] = &worldTask{
				slave: op.offer.SlaveID(), kind: strings.Split(id, "-")[0], order: info.GetData(),
				executor: info.GetExecutor().GetExecutorId().GetValue(),
			}
			w.exists[op.offer.SlaveID()+"/"+id] = true
		}
	case kill:
		if t := w.tasks[op.id]; t != nil && !mesos.IsTerminal(t.state) {
			t.state = mesos.TaskState_TASK_KILLED
		}
	case shutdown:
		w.executorEnds(op.executorID)
	case feed:
		w.feed(op)
	case suppress:
		w.wantsOffers = false
	case revive:
		w.wantsOffers = true
	case collectMap:
		w.answers = append(w.answers, mapCollected{id: op.id, summary: parts(len(w.plan.reduces)), err: w.reach(op.attempt)})
	case collectReduce:
		w.answers = append(w.answers, reduceCollected{id: op.id, summary: &taskpb.ReduceSummary{}, err: w.reach(op.attempt)})
	case examine:
		w.answers = append(w.answers, examined{id: op.id, lost: &taskpb.LostOutputs{Lost: w.tasks[op.id].lost}})
	case commit:
		w.commits = append(w.commits, op.attempts)
		w.answers = append(w.answers, committed{})
	case finish:
		w.finished = append(w.finished, op.err)
	}
}

// feed reaches an executor, or does not; so does the answer.
func (w *world) feed(op feed) {
	t := w.tasks[op.feed.GetTaskId()]
	w.checkFeed(op.feed)
	if t.state != mesos.TaskState_TASK_RUNNING || t.executor != op.executorID || rapid.IntRange(0, 3).Draw(w.t, "the feed is lost") == 0 {
		return
	}
	if from := int(op.feed.GetFrom()); from <= t.fed && t.fed < from+len(op.feed.GetOutputs()) {
		w.hears(t, op.feed.GetOutputs()[t.fed-from:])
		t.fed = from + len(op.feed.GetOutputs())
	}
	w.answers = append(w.answers, fed{id: op.feed.GetTaskId(), outputs: t.fed})
}

// checkFeed looks whether a reduce that waits for maps is told of what the plan has heard is lost: to fetch that would end it,
// and all it has fetched with it.
func (w *world) checkFeed(feed *taskpb.Feed) {
	reduce := w.plan.byID[feed.GetTaskId()]
	if reduce == nil || !reduce.ready.IsZero() {
		return
	}
	for _, out := range feed.GetOutputs() {
		if out.GetPart() != nil && w.heardLost[w.attemptAt(out)] {
			w.t.Fatalf("%s, which waits for maps, is told of the lost output of map %d", reduce.id, out.GetMap())
		}
	}
}

// hears is a reduce that is told of outputs.
func (w *world) hears(t *worldTask, outputs []*taskpb.MapOutput) {
	for _, in := range outputs {
		if in.GetPart() != nil {
			t.known[in.GetMap()] = in
		}
	}
	there := 0
	for _, in := range t.known {
		if w.canFetch(in) {
			there++
		}
	}
	t.toldAll = t.toldAll || there == len(w.plan.maps)
}

// executorEnds takes what runs there with it, and what it has.
func (w *world) executorEnds(executor string) {
	for id, t := range w.tasks {
		if t.executor == executor {
			w.exists[t.slave+"/"+id] = false
			if !mesos.IsTerminal(t.state) && t.state != mesos.TaskState_TASK_UNREACHABLE {
				t.state = mesos.TaskState_TASK_KILLED
			}
		}
	}
}

// executorDies is noticed by the slave.
func (w *world) executorDies(executor string) {
	for _, id := range w.live() {
		if w.tasks[id].executor == executor {
			w.tasks[id].state = mesos.TaskState_TASK_LOST
			w.step(status(id, mesos.TaskState_TASK_LOST, ""))
		}
	}
	w.executorEnds(executor)
	for id, t := range w.tasks {
		if t.executor == executor {
			w.heardLost[t.slave+"/"+id] = true
		}
	}
	w.step(executorGone{executor})
}

func (w *world) reach(a attempt) error {
	if w.exists[a.place.SlaveID+"/"+a.id] {
		return nil
	}
	return unreachable{errors.New("the slave has gone")}
}

func (w *world) slave(i int) string { return fmt.Sprintf("s%d-%d", i, w.life[fmt.Sprint(i)]) }

// act lets one thing happen.
func (w *world) act() {
	switch rapid.IntRange(0, 11).Draw(w.t, "what") {
	case 0, 1:
		w.offer()
	case 2, 3, 4, 5:
		w.advance()
	case 6, 7:
		if n := len(w.answers); n > 0 {
			i := rapid.IntRange(0, n-1).Draw(w.t, "answer")
			e := w.answers[i]
			w.answers = slices.Delete(w.answers, i, i+1)
			w.step(e)
		}
	case 8:
		w.misfortune()
	case 10:
		w.reborn()
	case 11:
		w.sumUp()
	case 9:
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 7).Draw(w.t, "seconds")) * time.Second)
		w.step(ticked{})
		w.step(subscribed{"F"})
		w.wantsOffers = !w.tracker.suppressed
	}
}

func (w *world) offer() {
	if !w.wantsOffers {
		return
	}
	w.offers++
	slave := w.slave(rapid.IntRange(0, 2).Draw(w.t, "slave"))
	free := w.slots
	for _, id := range w.live() {
		if w.tasks[id].slave == slave {
			free--
		}
	}
	if free > 0 {
		w.step(offered{[]*scheduler.Offer{newOffer(w.t, fmt.Sprint("O", w.offers), slave, float64(free), 8192)}})
	}
}

// live are the tasks that run, in order.
func (w *world) live() []string {
	var ids []string
	for id, t := range w.tasks {
		if !mesos.IsTerminal(t.state) && t.state != mesos.TaskState_TASK_UNREACHABLE {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// advance lets a task end as it would.
func (w *world) advance() {
	ids := w.live()
	if len(ids) == 0 {
		return
	}
	id := rapid.SampledFrom(ids).Draw(w.t, "task")
	t := w.tasks[id]
	if t.state != mesos.TaskState_TASK_RUNNING {
		t.state = mesos.TaskState_TASK_RUNNING
		if t.kind == "reduce" {
			order := w.reduceOrder(t)
			t.known, t.has, t.fed = map[int32]*taskpb.MapOutput{}, map[int32]bool{}, int(order.GetFed())
			w.hears(t, order.GetInputs())
		}
		w.step(status(id, t.state, ""))
		return
	}
	if t.kind == "reduce" && !w.reduces(t) {
		return
	}
	if len(t.lost) > 0 {
		t.state = mesos.TaskState_TASK_FAILED
	} else {
		t.state = mesos.TaskState_TASK_FINISHED
	}
	w.step(w.ended(id))
}

// reduces fetches what a reduce knows. False is that it waits for more, or has not ended.
func (w *world) reduces(t *worldTask) bool {
	if w.reduceOrder(t).GetMaps() == 0 && len(t.known) != len(w.plan.maps) {
		w.t.Fatalf("a reduce reads %d of %d maps", len(t.known), len(w.plan.maps))
	}
	for _, m := range slices.Sorted(maps.Keys(t.known)) {
		if in := t.known[m]; !t.has[m] && !w.canFetch(in) {
			t.lost = append(t.lost, &taskpb.LostOutput{Map: m, Url: in.GetUrl(), Error: "refused"})
		} else {
			t.has[m] = true
		}
	}
	if len(t.lost) == 0 && w.slow && rapid.IntRange(0, 3).Draw(w.t, "it goes on") > 0 {
		return false
	}
	return len(t.lost) > 0 || len(t.has) == len(w.plan.maps)
}

// ended is the update of a task that has ended by itself: an executor tells more than a slave.
func (w *world) ended(id string) updated {
	t := w.tasks[id]
	u := status(id, t.state, "")
	if t.executor == "" {
		return u
	}
	outcome := &jobpb.Outcome{Path: "/secret/" + id + "/", Port: 4711}
	switch {
	case t.state != mesos.TaskState_TASK_FINISHED:
		outcome.Lost = &taskpb.LostOutputs{Lost: t.lost}
	case t.kind == "map":
		outcome.Map = parts(len(w.plan.reduces))
	default:
		outcome.Reduce = &taskpb.ReduceSummary{}
	}
	data, err := proto.Marshal(outcome)
	if err != nil {
		w.t.Fatal(err)
	}
	u.status.Data = data
	return u
}

func (w *world) reduceOrder(t *worldTask) *taskpb.ReduceTask {
	order, wrapping := &taskpb.ReduceTask{}, &jobpb.Order{}
	var err error
	if t.executor == "" {
		err = proto.Unmarshal(t.order, order)
	} else if err = proto.Unmarshal(t.order, wrapping); err == nil {
		order = wrapping.GetReduce()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return order
}

// attemptAt is where an output is: the slave and the attempt.
func (w *world) attemptAt(in *taskpb.MapOutput) string {
	for at := range w.exists {
		slave, id, _ := strings.Cut(at, "/")
		inSandbox := strings.Contains(in.GetUrl(), "%2F"+slave+"%2F") && strings.Contains(in.GetUrl(), "%2F"+id+"%2F")
		if inSandbox || strings.HasPrefix(in.GetUrl(), "http://10.0.0.1:4711/secret/"+id+"/") {
			return at
		}
	}
	return ""
}

func (w *world) canFetch(in *taskpb.MapOutput) bool { return w.exists[w.attemptAt(in)] }

// misfortune breaks something, a bounded number of times.
func (w *world) misfortune() {
	if w.badLuck == 0 {
		return
	}
	w.badLuck--
	ids := w.live()
	if len(ids) == 0 || rapid.Bool().Draw(w.t, "a slave dies") {
		i := rapid.IntRange(0, 2).Draw(w.t, "dead slave")
		w.dies(w.slave(i))
		w.life[fmt.Sprint(i)]++
		return
	}
	id := rapid.SampledFrom(ids).Draw(w.t, "unlucky task")
	if executor := w.tasks[id].executor; executor != "" && rapid.Bool().Draw(w.t, "its executor dies") {
		w.executorDies(executor)
		return
	}
	w.tasks[id].state = rapid.SampledFrom([]mesos.TaskState{
		mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_LOST, mesos.TaskState_TASK_KILLED, mesos.TaskState_TASK_UNREACHABLE,
	}).Draw(w.t, "how")
	w.step(status(id, w.tasks[id].state, "bad luck"))
	if w.tasks[id].state == mesos.TaskState_TASK_UNREACHABLE {
		w.t.Fatalf("%s can not be reached, and would run on if it came back", id)
	}
}

func (w *world) dies(slave string) {
	for _, id := range w.live() {
		if w.tasks[id].slave == slave {
			w.tasks[id].state = mesos.TaskState_TASK_LOST
			w.step(status(id, mesos.TaskState_TASK_LOST, ""))
		}
	}
	for at := range w.exists {
		if strings.HasPrefix(at, slave+"/") {
			w.exists[at], w.heardLost[at] = false, true
		}
	}
	w.step(slaveGone{slave})
}

// shape is what the jobs of a property look like, and how much breaks.
type shape struct {
	maps, reduces, slots, misfortunes, steps [2]int // at least, at most
	slowStarts                               []float64
	containers                               []bool
	slow                                     bool // a reduce that has all it reads takes a while
	rounds                                   int  // of rapid.checks each: what is rare takes more; 0 is one
}

// A job ends, whatever breaks, and commits each reduce once, as long as less breaks than its limits allow.
func TestEachReduceIsCommittedExactlyOnceWhateverBreaks(t *testing.T) {
	for name, s := range map[string]shape{
		// One task may fail three times and be lost 16 times: fewer than four misfortunes can not end a job.
		"jobs of all kinds": {
			maps: [2]int{0, 4}, reduces: [2]int{1, 3}, slots: [2]int{1, 3}, misfortunes: [2]int{0, 3}, steps: [2]int{0, 60},
			slowStarts: []float64{0, DefaultSlowStart, 0.5, 1}, containers: []bool{false, true},
		},
		"reduces that wait while outputs are lost": {
			maps: [2]int{2, 3}, reduces: [2]int{1, 1}, slots: [2]int{2, 3}, misfortunes: [2]int{2, 3}, steps: [2]int{60, 200},
			slowStarts: []float64{0}, containers: []bool{false}, rounds: 4,
		},
		"maps that find no room when outputs are lost that reduces have": {
			maps: [2]int{1, 2}, reduces: [2]int{2, 3}, slots: [2]int{1, 1}, misfortunes: [2]int{1, 3}, steps: [2]int{100, 200},
			slowStarts: []float64{0}, containers: []bool{false}, slow: true, rounds: 12,
		},
		"nothing breaks": {
			maps: [2]int{1, 4}, reduces: [2]int{1, 2}, slots: [2]int{1, 3}, steps: [2]int{0, 60},
			slowStarts: []float64{0, 0.5, 1}, containers: []bool{false, true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range max(1, s.rounds) {
				rapid.Check(t, s.check)
			}
		})
	}
}

func (s shape) check(t *rapid.T) {
	within := func(limits [2]int, what string) int { return rapid.IntRange(limits[0], limits[1]).Draw(t, what) }
	script := newScript(nil, within(s.maps, "maps"), within(s.reduces, "reduces"))
	w := &world{
		t: t, plan: script.plan, tracker: script.tracker, now: script.now, tasks: map[string]*worldTask{}, exists: map[string]bool{}, heardLost: map[string]bool{}, life: map[string]int{},
		badLuck: within(s.misfortunes, "misfortunes"), wantsOffers: true, slots: within(s.slots, "slots"), slow: s.slow,
	}
	w.plan.job.slowStart = rapid.SampledFrom(s.slowStarts).Draw(t, "slow start")
	w.plan.job.containers = rapid.SampledFrom(s.containers).Draw(t, "containers")
	w.step(subscribed{"F"})
	for range within(s.steps, "random steps") {
		w.act()
	}
	for round := 0; len(w.finished) == 0; round++ {
		if round > 1000 {
			t.Fatalf("the job does not end: %+v", w.plan.progress(w.now))
		}
		w.now = w.now.Add(time.Second)
		w.step(ticked{})
		w.offer()
		w.advance()
		for len(w.answers) > 0 {
			e := w.answers[0]
			w.answers = w.answers[1:]
			w.step(e)
		}
	}
	if running := w.live(); len(running) > 0 {
		t.Fatalf("the job is over, and %v run on", running)
	}
	if len(w.finished) != 1 || w.finished[0] != nil || len(w.commits) == 0 || len(w.commits) > 1+w.rebirths {
		t.Fatalf("finished %v, committed %v", w.finished, w.commits)
	}
	for _, again := range w.commits[1:] { // by a JobTracker that died while it committed
		if !slices.Equal(again, w.commits[0]) {
			t.Fatalf("committed %v", w.commits)
		}
	}
	for i, id := range w.commits[0] {
		if !strings.HasPrefix(id, fmt.Sprintf("reduce-%05d-", i)) || w.tasks[id].state != mesos.TaskState_TASK_FINISHED {
			t.Fatalf("part %d is of attempt %q", i, id)
		}
	}
	if g := w.plan.progress(w.now); g.Phase != Finished || g.ReducesDone != g.Reduces {
		t.Fatalf("progress at the end: %+v", g)
	}
	if s.misfortunes[1] == 0 && w.plan.failed+w.plan.lost > 0 {
		t.Fatalf("nothing has broken, and %d attempts have failed and %d are lost", w.plan.failed, w.plan.lost)
	}
}
