package hadoop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// world is a cluster that breaks at random around a plan.
type world struct {
	t     *rapid.T
	plan  *plan
	now   time.Time
	tasks map[string]*worldTask
	// exists says which sandboxes can be read.
	exists      map[string]bool
	life        map[string]int // of each slave: a slave that went comes back with another id
	answers     []event        // that collecting and examining owe
	badLuck     int            // failures left
	wantsOffers bool
	commits     [][]string
	finished    []error
	offers      int
}

type worldTask struct {
	slave string
	kind  string
	order []byte
	state mesos.TaskState
	lost  []*taskpb.LostOutput
}

func (w *world) step(e event) {
	w.carryOut(w.plan.step(w.now, e))
}

func (w *world) carryOut(ops []operation) {
	for _, op := range ops {
		switch op := op.(type) {
		case launch:
			for _, info := range op.tasks {
				id := info.GetTaskId().GetValue()
				if w.tasks[id] != nil {
					w.t.Fatalf("task id %s is used twice", id)
				}
				w.tasks[id] = &worldTask{slave: op.offer.SlaveID(), kind: strings.Split(id, "-")[0], order: info.GetData()}
				w.exists[op.offer.SlaveID()+"/"+id] = true
			}
		case kill:
			if t := w.tasks[op.id]; t != nil && !mesos.IsTerminal(t.state) {
				t.state = mesos.TaskState_TASK_KILLED
			}
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
	switch rapid.IntRange(0, 9).Draw(w.t, "what") {
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
	case 9:
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 7).Draw(w.t, "seconds")) * time.Second)
		w.step(subscribed{"F"})
		w.wantsOffers = !w.plan.suppressed
	}
}

func (w *world) offer() {
	if !w.wantsOffers {
		return
	}
	w.offers++
	slave := w.slave(rapid.IntRange(0, 2).Draw(w.t, "slave"))
	w.step(offered{[]*scheduler.Offer{newOffer(w.t, fmt.Sprint("O", w.offers), slave, 2, 8192)}})
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
	t.state = mesos.TaskState_TASK_FINISHED
	if t.kind == "reduce" {
		var order taskpb.ReduceTask
		if err := proto.Unmarshal(t.order, &order); err != nil {
			w.t.Fatal(err)
		}
		if len(order.GetInputs()) != len(w.plan.maps) {
			w.t.Fatalf("%s reads %d of %d maps", id, len(order.GetInputs()), len(w.plan.maps))
		}
		for _, in := range order.GetInputs() {
			if !w.canFetch(in) {
				t.lost = append(t.lost, &taskpb.LostOutput{Map: in.GetMap(), Url: in.GetUrl(), Error: "refused"})
				t.state = mesos.TaskState_TASK_FAILED
			}
		}
	}
	w.step(status(id, t.state, ""))
}

func (w *world) canFetch(in *taskpb.MapOutput) bool {
	for at, there := range w.exists {
		slave, id, _ := strings.Cut(at, "/")
		if strings.Contains(in.GetUrl(), "%2F"+slave+"%2F") && strings.Contains(in.GetUrl(), "%2F"+id+"%2F") {
			return there
		}
	}
	return false
}

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
	w.tasks[id].state = rapid.SampledFrom([]mesos.TaskState{
		mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_LOST, mesos.TaskState_TASK_KILLED, mesos.TaskState_TASK_UNREACHABLE,
	}).Draw(w.t, "how")
	w.step(status(id, w.tasks[id].state, ""))
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
			w.exists[at] = false
		}
	}
	w.step(slaveGone{slave})
}

// A job ends, whatever breaks, and commits each reduce once, as long as less breaks than its limits allow.
func TestEachReduceIsCommittedExactlyOnceWhateverBreaks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScript(nil, rapid.IntRange(0, 4).Draw(t, "maps"), rapid.IntRange(1, 3).Draw(t, "reduces"))
		w := &world{
			t: t, plan: s.plan, now: s.now, tasks: map[string]*worldTask{}, exists: map[string]bool{}, life: map[string]int{},
			// One task may fail three times and be lost 16 times: fewer than four misfortunes can not end a job.
			badLuck: rapid.IntRange(0, 3).Draw(t, "misfortunes"), wantsOffers: true,
		}
		w.step(subscribed{"F"})
		for range rapid.IntRange(0, 60).Draw(t, "random steps") {
			w.act()
		}
		for round := 0; len(w.finished) == 0; round++ {
			if round > 1000 {
				t.Fatalf("the job does not end: %+v", w.plan.progress(w.now))
			}
			w.now = w.now.Add(time.Second)
			w.offer()
			w.advance()
			for len(w.answers) > 0 {
				e := w.answers[0]
				w.answers = w.answers[1:]
				w.step(e)
			}
		}
		if len(w.finished) != 1 || w.finished[0] != nil || len(w.commits) != 1 {
			t.Fatalf("finished %v, committed %v", w.finished, w.commits)
		}
		for i, id := range w.commits[0] {
			if !strings.HasPrefix(id, fmt.Sprintf("reduce-%05d-", i)) || w.tasks[id].state != mesos.TaskState_TASK_FINISHED {
				t.Fatalf("part %d is of attempt %q", i, id)
			}
		}
		if g := w.plan.progress(w.now); g.Phase != Finished || g.ReducesDone != g.Reduces {
			t.Fatalf("progress at the end: %+v", g)
		}
	})
}
