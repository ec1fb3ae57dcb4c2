package core

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// TestRandomEvents lets masters, hosts, executors, disk and slave do what they like in any order. Check holds after
// each Step (bench sees to that), and in the end:
//   - every update that the slave acknowledged to an executor has reached the master, in order, and nothing after a
//     task's end;
//   - the executors that a master charges are those that the slave has;
//   - what operations have made of its resources is what the slave has, through all its lives, and there is a directory
//     for each persistent volume and no other; each operation is told, once it is on the disk, until it is acknowledged;
//   - once all updates are acknowledged and all executors have ended, the slave knows nothing any more, and neither
//     does its disk.
func TestRandomEvents(t *testing.T) {
	runs := uint64(2000)
	if testing.Short() {
		runs = 200
	}
	for seed := range runs {
		ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, seed)
			for range 150 {
				w.anything()
			}
			w.settle()
		})
		if !ok {
			return
		}
	}
}

// world is a bench with a memory of what was promised.
type world struct {
	*bench
	*rand.Rand
	belongings *belongings
	tasks      []string // "f/t"
	promised   map[string][][]byte
	delivered  map[string][]*mesos.TaskStatus
	excused    map[string]bool // frameworks that were removed
	executorOf map[string]string
	serious    map[string]bool // task and uuid of updates that running tasks' executors sent where they could be heard
	repeated   map[string]bool
	charged    map[string]bool // "f/e": own executors, as a master knows them
	uuids      uint64
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		bench: newBench(t), Rand: rand.New(rand.NewPCG(seed, 0)), belongings: newBelongings(),
		promised: map[string][][]byte{}, delivered: map[string][]*mesos.TaskStatus{},
		excused: map[string]bool{}, executorOf: map[string]string{}, serious: map[string]bool{}, repeated: map[string]bool{},
		charged: map[string]bool{},
	}
	w.run("born resources=%s", bornWith)
	w.run("recovered")
	w.run("host connects")
	w.run("master found")
	w.run("master registers id=S1 cluster=K")
	return w
}

// run does a command of the script language and looks at what comes out.
func (w *world) run(format string, args ...any) {
	w.t.Helper()
	verb, a := w.parse(fmt.Sprintf(format, args...))
	for _, o := range w.do(verb, a) {
		if send, ok := o.(Send); ok {
			w.see(send)
		}
		w.belongings.see(w, o)
	}
	w.belongings.check(w)
	w.checkCharged()
}

// checkCharged compares the executors that the slave has with those that its master charges, if there is one. Frameworks
// that were removed are charged for nothing.
func (w *world) checkCharged() {
	w.t.Helper()
	if !w.core.master.registered {
		return
	}
	maps.DeleteFunc(w.charged, func(executor string, _ bool) bool { return w.excused[executor[:2]] })
	has := map[string]bool{}
	for _, ex := range w.core.containers {
		if !ex.command && !w.excused[ex.framework.id] {
			has[ex.framework.id+"/"+ex.id] = true
		}
	}
	if !maps.Equal(has, w.charged) {
		w.t.Fatalf("the slave has the executors %v, and its master charges %v", sortedKeys(has), sortedKeys(w.charged))
	}
}

// orderOf is the message that a command has the master send.
func (w *world) orderOf(line string) proto.Message {
	verb, a := w.parse(line)
	return w.order(verb, a)
}

func (w *world) parse(line string) (string, arguments) {
	words := splitWords(line)
	a := arguments{t: w.t, line: fmt.Sprint(words), args: map[string]string{}}
	for _, word := range words[1:] {
		if key, value, ok := bytes.Cut([]byte(word), []byte("=")); ok {
			a.args[string(key)] = string(value)
		} else {
			a.names = append(a.names, word)
		}
	}
	return words[0], a
}

func (w *world) see(o Send) {
	switch m := o.Message.(type) {
	case *wire.TaskUpdate:
		key := m.GetFrameworkId().GetValue() + "/" + m.GetStatus().GetTaskId().GetValue()
		if m.GetStatus().GetUuid() == nil {
			return
		}
		known := slices.ContainsFunc(w.delivered[key], func(s *mesos.TaskStatus) bool {
			return bytes.Equal(s.GetUuid(), m.GetStatus().GetUuid())
		})
		if !known {
			w.delivered[key] = append(w.delivered[key], m.GetStatus())
		}
	case *wire.ExecutorExited:
		delete(w.charged, m.GetFrameworkId().GetValue()+"/"+m.GetExecutorId().GetValue())
	case *wire.ReregisterSlave:
		clear(w.charged)
		for _, e := range m.GetExecutors() {
			w.charged[e.GetFrameworkId().GetValue()+"/"+e.GetExecutor().GetExecutorId().GetValue()] = true
		}
	case *executorpb.Event:
		if m.GetType() != executorpb.Event_ACKNOWLEDGED {
			return
		}
		framework := w.names[o.Session][:2]
		key := framework + "/" + m.GetAcknowledged().GetTaskId().GetValue()
		w.promised[key] = append(w.promised[key], m.GetAcknowledged().GetUuid())
	}
}

// anything does one of the things that can happen.
func (w *world) anything() {
	if w.IntN(8) == 0 {
		w.operate()
		return
	}
	task := func() string { return w.tasks[w.IntN(len(w.tasks))] }
	switch n := w.IntN(100); {
	case n < 15 || len(w.tasks) == 0:
		w.newTask()
	case n < 25:
		if ex := w.executorOf[task()]; w.containers[ex] != "" {
			failure := ""
			if w.IntN(10) == 0 {
				failure = "error=no"
			}
			w.run("sandbox %s %s", ex, failure)
		}
	case n < 37:
		ex := w.executorOf[task()]
		w.run("executor subscribes %s secret=%s", ex, []string{"host", "own"}[w.IntN(2)])
	case n < 55:
		w.update(task())
	case n < 70:
		w.run("ack %s", task())
	case n < 74:
		w.run("kill %s", task())
	case n < 80:
		if ex := w.executorOf[task()]; w.containers[ex] != "" {
			w.run("host reports %s cause=%s status=9", ex, []string{"EXITED", "LAUNCH_FAILED", "MEMORY", "KILLED"}[w.IntN(4)])
		}
	case n < 83:
		w.run("executor closes %s", w.executorOf[task()])
	case n < 85:
		w.run("tick %ds", w.IntN(100))
	case n < 87:
		w.run("tick %dms", w.IntN(300))
	case n < 89:
		w.run("%s", []string{"host closes", "host ends", "host ends", "host connects"}[w.IntN(4)])
	case n < 92:
		w.run("%s", []string{"master closes", "master found", "master reregisters id=S1 cluster=K"}[w.IntN(3)])
	case n < 95:
		w.run("%s", []string{"hold", "release"}[w.IntN(2)])
	case n < 96:
		w.run("end-executor %s", w.executorOf[task()])
	case n < 97:
		f := task()[:2]
		w.excused[f] = true
		w.belongings.removed(w, f)
		w.run("remove %s", f)
	case n < 98:
		w.run("tell %s hello", w.executorOf[task()])
	case n < 99:
		w.restart()
	default:
		w.run("executor says %s hello", w.executorOf[task()])
	}
}

func (w *world) newTask() {
	framework := fmt.Sprintf("f%d", w.IntN(3))
	// A framework that was removed does not come back; another takes its place.
	if w.excused[framework] {
		return
	}
	id := fmt.Sprintf("%s/t%d", framework, len(w.tasks))
	w.tasks = append(w.tasks, id)
	more := ""
	if w.IntN(3) == 0 {
		more = " partition_aware"
	}
	w.executorOf[id] = id
	if w.IntN(2) == 0 {
		e := fmt.Sprintf("e%d", w.IntN(3))
		w.executorOf[id] = framework + "/" + e
		more += " executor=" + e
		if w.charged[framework+"/"+e] {
			more += " runs"
		} else if w.core.master.registered {
			w.charged[framework+"/"+e] = true
		}
	}
	if volume := w.volumeForTask(); volume != "" {
		more += " volume=" + volume
	}
	w.run("run %s%s", id, more)
}

func (w *world) update(id string) {
	w.uuids++
	state := []string{"STARTING", "RUNNING", "RUNNING", "KILLING", "FINISHED", "FAILED", "KILLED"}[w.IntN(7)]
	// Now and then one that was sent before.
	uuid := w.uuids - min(w.uuids, w.Uint64N(12)/10*w.Uint64N(5))
	if f := w.core.frameworks[id[:2]]; f != nil {
		// Where it can be heard, of a task that runs.
		if t := f.tasks[id[3:]]; t != nil && t.phase == delivered && t.executor.session == w.sessions[w.executorOf[id]] {
			w.serious[id+string(uuidOf(fmt.Sprintf("u%d", uuid)))] = true
		}
	}
	w.run("executor updates %s %s %s u%d", w.executorOf[id], id[3:], state, uuid)
}

func (w *world) restart() {
	w.belongings.dies()
	w.run("dies")
	w.run("born resources=%s", bornWith)
	w.belongings.dead = false
	w.run("recovered")
}

// settle brings everything to its end: a host, a master, executors that all end, schedulers that acknowledge all.
func (w *world) settle() {
	w.run("release")
	w.run("host closes")
	w.run("host ends")
	w.run("tick 31s")
	w.run("host connects")
	w.run("tick 2m") // executors that never came
	for _, ex := range sortedKeys(w.containers) {
		w.run("host reports %s", ex)
	}
	w.run("master found")
	w.run("master reregisters id=S1 cluster=K")
	for _, id := range w.tasks {
		for range 1 + len(w.delivered[id]) + len(w.promised[id]) {
			w.run("ack %s", id)
		}
	}
	for _, id := range w.tasks {
		w.compare(id)
	}
	w.belongings.settle(w)
	v := w.core.View()
	if len(v.Frameworks) > 0 || v.Updates > 0 {
		w.t.Errorf("left in the slave: %+v", v.Frameworks)
	}
	if len(w.disk.Frameworks) > 0 {
		w.t.Errorf("left on the disk: %+v", w.disk.Frameworks)
	}
	if w.disk.SlaveID != "S1" || w.disk.ClusterID != "K" {
		w.t.Errorf("the disk says %q of %q", w.disk.SlaveID, w.disk.ClusterID)
	}
}

// compare looks at what the master got of one task.
func (w *world) compare(id string) {
	var uuids [][]byte
	for i, status := range w.delivered[id] {
		uuids = append(uuids, status.GetUuid())
		if mesos.IsTerminal(status.GetState()) && i < len(w.delivered[id])-1 {
			w.t.Errorf("%s: the master got an update after its end: %v", id, w.delivered[id])
		}
	}
	if w.excused[id[:2]] {
		return
	}
	if n := len(w.delivered[id]); n > 0 && !mesos.IsTerminal(w.delivered[id][n-1].GetState()) {
		w.t.Errorf("%s: the master never heard of its end: %v", id, w.delivered[id])
	}
	at := -1
	for _, uuid := range w.promised[id] {
		if !w.serious[id+string(uuid)] {
			continue // it came after the task's end, and is acknowledged so that the executor gives it up
		}
		i := slices.IndexFunc(uuids, func(other []byte) bool { return bytes.Equal(other, uuid) })
		if i < 0 {
			w.t.Errorf("%s: update %x was acknowledged to its executor and never reached the master", id, uuid)
		}
		if i < at && !w.repeated[id+string(uuid)] {
			w.t.Errorf("%s: update %x reached the master out of order", id, uuid)
		}
		at = max(at, i)
		w.repeated[id+string(uuid)] = true // an executor may ask for its acknowledgement again
	}
}

// TestCloneOfCheckpointIsIndependent guards what the random test rests on.
func TestCloneOfCheckpointIsIndependent(t *testing.T) {
	b := newBench(t)
	for _, line := range []string{
		"born", "recovered", "host connects", "master found", "master registers id=S1 cluster=K",
		"run f1/t1", "sandbox f1/t1", "executor subscribes f1/t1 secret=host", "executor updates f1/t1 t1 RUNNING u1",
	} {
		b.command(line)
	}
	before := b.disk.Clone()
	b.command("ack f1/t1")
	b.command("executor updates f1/t1 t1 FINISHED u2")
	got := before.Frameworks["f1"].Tasks["t1"]
	if len(got.Updates) != 1 || !proto.Equal(got.Latest, got.Updates[0]) {
		t.Errorf("the copy changed with the original: %+v", got)
	}
}
