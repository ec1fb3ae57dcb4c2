package hadoop

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"google.golang.org/protobuf/proto"
)

// script drives a plan and writes down its operations, one line each.
type script struct {
	t       *testing.T
	plan    *plan
	tracker *tracker // that holds it alone
	now     time.Time
	ops     []operation
	told    int // offers given so far
}

func newScript(t *testing.T, maps, reduces int) *script {
	j := &job{
		name: "job", containers: true, mapper: "m", reducer: "r", reduces: reduces, cpus: 1, mapMem: 512, reduceMem: 512,
		maxMap: DefaultMaxAttempts, maxReduce: DefaultMaxAttempts, slowStart: 1,
	}
	for range maps {
		j.splits = append(j.splits, split{bytes: 10, roots: []string{"/in"}})
	}
	start := time.Unix(1000, 0)
	p := newPlan(j, start)
	return &script{t: t, plan: p, tracker: &tracker{order: FIFO, jobs: []*plan{p}}, now: start}
}

// stepAlone gives an event to a tracker that holds one job, and takes out what is the shell's to do.
func stepAlone(t *tracker, p *plan, now time.Time, e event) []operation {
	var ops []operation
	for _, op := range t.step(now, wrapped(p, e)) {
		switch op := op.(type) {
		case happened:
		case forJob:
			ops = append(ops, op.operation)
		default:
			ops = append(ops, op)
		}
	}
	return ops
}

// wrapped is an event as the tracker gets it.
func wrapped(p *plan, e event) event {
	switch e.(type) {
	case mapCollected, reduceCollected, examined, committed, killed, idled:
		return ofJob{p, e}
	}
	return e
}

func (s *script) step(e event) string {
	s.ops = stepAlone(s.tracker, s.plan, s.now, e)
	var lines []string
	for _, op := range s.ops {
		lines = append(lines, tell(op))
	}
	return strings.Join(lines, "; ")
}

// tell writes an operation as a short line.
func tell(op operation) string {
	switch op := op.(type) {
	case launch:
		var ids []string
		for _, info := range op.tasks {
			ids = append(ids, info.GetTaskId().GetValue())
		}
		return fmt.Sprintf("launch on %s: %s", op.offer.SlaveID(), strings.Join(ids, " "))
	case decline:
		return fmt.Sprintf("decline %d", len(op.offers))
	case kill:
		return "kill " + op.id
	case shutdown:
		return "shut down " + op.executorID
	case collectMap:
		return "collect " + op.id
	case collectReduce:
		return "collect " + op.id
	case examine:
		return "examine " + op.id
	case commit:
		return "commit " + strings.Join(op.attempts, " ")
	case finish:
		return fmt.Sprintf("finish: %v", op.err)
	case feed:
		return fmt.Sprintf("feed %s from %d: %s", op.feed.GetTaskId(), op.feed.GetFrom(), tellOutputs(op.feed.GetOutputs()))
	case note:
		return "note: " + op.text
	case suppress, revive:
		return strings.TrimPrefix(fmt.Sprintf("%T", op), "hadoop.")
	}
	panic(fmt.Sprintf("%T", op))
}

// tellOutputs writes which attempts at maps outputs are of; - is one that was lost.
func tellOutputs(outputs []*taskpb.MapOutput) string {
	var told []string
	for _, out := range outputs {
		if out.GetPart() == nil {
			told = append(told, "-")
			continue
		}
		told = append(told, regexp.MustCompile(`map-\d+-\d+`).FindString(out.GetUrl()))
	}
	return strings.Join(told, " ")
}

func scalar(name string, value float64) *mesos.Resource {
	return &mesos.Resource{
		Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(value)},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String("*")},
	}
}

func newOffer(t interface{ Fatal(...any) }, id, slave string, cpus, mem float64) *scheduler.Offer {
	o, err := scheduler.NewOffer(&mesos.Offer{
		Id: &mesos.OfferID{Value: proto.String(id)}, AgentId: mesos.NewAgentID(slave), Hostname: proto.String("host-" + slave),
		FrameworkId: mesos.NewFrameworkID("F"), AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String("*")},
		Url:       &mesos.URL{Scheme: proto.String("http"), Address: &mesos.Address{Ip: proto.String("10.0.0.1"), Port: proto.Int32(5051)}},
		Resources: []*mesos.Resource{scalar("cpus", cpus), scalar("mem", mem)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (s *script) offer(slave string, cpus float64) *scheduler.Offer {
	s.told++
	return newOffer(s.t, fmt.Sprint("O", s.told), slave, cpus, 8192)
}

func status(id string, state mesos.TaskState, message string) updated {
	return updated{&mesos.TaskStatus{
		TaskId: mesos.NewTaskID(id), State: state.Enum(), Message: proto.String(message),
		ContainerStatus: &mesos.ContainerStatus{ContainerId: &mesos.ContainerID{Value: proto.String("C-" + id)}},
	}}
}

func parts(n int) *taskpb.MapSummary {
	s := &taskpb.MapSummary{}
	for range n {
		s.Parts = append(s.Parts, &taskpb.Part{Bytes: 3, Records: 1})
	}
	return s
}

// expect checks what a step tells.
func (s *script) expect(e event, want string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.step(e)); diff != "" {
		s.t.Fatalf("%T (-want +got):\n%s", e, diff)
	}
}

// mapsDone brings a job to where all its maps are done on slave s1.
func (s *script) mapsDone() {
	s.t.Helper()
	s.step(subscribed{"F"})
	s.step(offered{[]*scheduler.Offer{s.offer("s1", float64(len(s.plan.maps)))}})
	for i := range s.plan.maps {
		id := fmt.Sprintf("map-%05d-0", i)
		s.expect(status(id, mesos.TaskState_TASK_FINISHED, ""), "collect "+id)
		s.step(mapCollected{id: id, summary: parts(s.plan.job.reduces)})
	}
}

func TestAJobThatGoesWell(t *testing.T) {
	s := newScript(t, 3, 2)
	s.expect(subscribed{"F"}, "")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 2), s.offer("s2", 2), s.offer("s3", 0.5)}},
		"launch on s1: map-00000-0 map-00002-0; launch on s2: map-00001-0; decline 1; suppress")
	s.expect(status("map-00000-0", mesos.TaskState_TASK_RUNNING, ""), "")
	s.expect(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""), "collect map-00000-0")
	s.expect(status("map-00000-0", mesos.TaskState_TASK_FINISHED, "repeated"), "")
	s.expect(mapCollected{id: "map-00000-0", summary: parts(2)}, "")
	s.expect(mapCollected{id: "map-00000-0", summary: parts(2)}, "")
	s.expect(status("map-00001-0", mesos.TaskState_TASK_FINISHED, ""), "collect map-00001-0")
	s.expect(status("map-00002-0", mesos.TaskState_TASK_FINISHED, ""), "collect map-00002-0")
	s.expect(mapCollected{id: "map-00002-0", summary: parts(2)}, "")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 2)}}, "decline 1")
	s.expect(mapCollected{id: "map-00001-0", summary: parts(2)}, "revive")
	s.expect(offered{[]*scheduler.Offer{s.offer("s2", 1)}}, "launch on s2: reduce-00000-0")
	s.expect(offered{[]*scheduler.Offer{s.offer("s3", 1)}}, "launch on s3: reduce-00001-0; suppress")
	s.expect(status("reduce-00001-0", mesos.TaskState_TASK_FINISHED, ""), "collect reduce-00001-0")
	s.expect(reduceCollected{id: "reduce-00001-0", summary: &taskpb.ReduceSummary{}}, "")
	s.expect(status("reduce-00000-0", mesos.TaskState_TASK_FINISHED, ""), "collect reduce-00000-0")
	s.expect(reduceCollected{id: "reduce-00000-0", summary: &taskpb.ReduceSummary{}}, "commit reduce-00000-0 reduce-00001-0")
	s.expect(committed{}, "finish: <nil>")
	r := s.plan.result()
	if diff := cmp.Diff(map[string]int{"host-s1": 2, "host-s2": 2, "host-s3": 1}, r.TasksPerSlave); diff != "" {
		t.Errorf("tasks per slave (-want +got):\n%s", diff)
	}
}

func TestAMapsOrderAndItsPlace(t *testing.T) {
	s := newScript(t, 1, 1)
	s.plan.job.splits[0] = split{
		chunks: []*taskpb.Chunk{{Path: []byte("/in/\xff"), Length: 3, FileSize: 3}}, roots: []string{"/in", "/in2"},
	}
	s.step(subscribed{"F"})
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	info := s.ops[0].(launch).tasks[0]
	var order taskpb.MapTask
	if err := proto.Unmarshal(info.GetData(), &order); err != nil {
		t.Fatal(err)
	}
	if order.GetMapper() != "m" || string(order.GetChunks()[0].GetPath()) != "/in/\xff" || order.GetPartitions() != 1 || order.GetSortBufferBytes() != task.DefaultSortBufferBytes {
		t.Errorf("order: %v", &order)
	}
	if got := info.GetCommand().GetValue(); got != `exec "${STOA_BINARY:?is not set: this slave does not tell where the stoa binary is}" hadoop-task map` {
		t.Errorf("command: %s", got)
	}
	var volumes []string
	for _, v := range info.GetContainer().GetVolumes() {
		volumes = append(volumes, fmt.Sprint(v.GetHostPath(), v.GetContainerPath(), v.GetMode()))
	}
	if diff := cmp.Diff([]string{"/in/inRO", "/in2/in2RO"}, volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	s.step(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""))
	s.step(mapCollected{id: "map-00000-0", summary: parts(1)})
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	var reduce taskpb.ReduceTask
	if err := proto.Unmarshal(s.ops[0].(launch).tasks[0].GetData(), &reduce); err != nil {
		t.Fatal(err)
	}
	want := "http://10.0.0.1:5051/files/download?path=%2Fslaves%2Fs1%2Fframeworks%2FF%2Fexecutors%2Fmap-00000-0%2Fruns%2FC-map-00000-0%2Fmap%2Fpart-00000"
	if got := reduce.GetInputs()[0].GetUrl(); got != want {
		t.Errorf("a reduce fetches\n%s, want\n%s", got, want)
	}
}

func TestATaskMayFailThreeTimes(t *testing.T) {
	s := newScript(t, 1, 1)
	s.step(subscribed{"F"})
	for i := range 3 {
		id := fmt.Sprintf("map-00000-%d", i)
		s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: "+id+"; suppress")
		s.expect(status(id, mesos.TaskState_TASK_FAILED, "exited with status 1"), "examine "+id)
		s.expect(examined{id: id}, "revive")
	}
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	s.step(status("map-00000-3", mesos.TaskState_TASK_FAILED, "exited with status 1"))
	s.step(examined{id: "map-00000-3", stderr: "warming up\nbad line 7\nhadoop task map-00000-3: mapper `m` exited with status 1\n"})
	var failed *TaskError
	if !errors.As(s.plan.err, &failed) || len(s.ops) != 1 {
		t.Fatalf("got %v, %v", s.ops, s.plan.err)
	}
	want := "map 1 of 1 failed 4 times, at last on host-s1: mapper `m` exited with status 1; its last words on stderr: \"bad line 7\""
	if failed.Error() != want {
		t.Errorf("got  %s\nwant %s", failed, want)
	}
	if diff := cmp.Diff([]string{"warming up", "bad line 7"}, failed.Stderr); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}

func TestTheSlaveTellsOfMemory(t *testing.T) {
	s := status("map-00000-0", mesos.TaskState_TASK_FAILED, "used more than its 512 MB").status
	s.Reason = mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY.Enum()
	reason, _ := failureReason("map-00000-0", s, "hadoop task map-00000-0: mapper `m` was ended by signal 9\n")
	if reason != "used more than its 512 MB (give it more by -mem)" {
		t.Errorf("got %q", reason)
	}
}

func TestLostAttemptsAreNobodysFault(t *testing.T) {
	lost := []mesos.TaskState{
		mesos.TaskState_TASK_LOST, mesos.TaskState_TASK_DROPPED, mesos.TaskState_TASK_GONE,
		mesos.TaskState_TASK_GONE_BY_OPERATOR, mesos.TaskState_TASK_KILLED,
	}
	for _, state := range lost {
		t.Run(state.String()+" is tried again and not counted as a failure", func(t *testing.T) {
			s := newScript(t, 1, 1)
			s.step(subscribed{"F"})
			for i := range MaxLosses {
				id := fmt.Sprintf("map-00000-%d", i)
				s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: "+id+"; suppress")
				s.expect(status(id, state, ""), "revive")
			}
			s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
			want := fmt.Sprintf("finish: map 1 of 1 was lost 17 times, at last on host-s1: %s: host died", strings.TrimPrefix(state.String(), "TASK_"))
			s.expect(status("map-00000-16", state, "host died"), want)
		})
	}
	for _, state := range []mesos.TaskState{mesos.TaskState_TASK_UNREACHABLE, mesos.TaskState_TASK_UNKNOWN} {
		t.Run(state.String()+" is tried again, and what may still run is killed", func(t *testing.T) {
			s := newScript(t, 1, 1)
			s.step(subscribed{"F"})
			s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
			s.expect(status("map-00000-0", state, ""), "kill map-00000-0; revive")
			s.expect(offered{[]*scheduler.Offer{s.offer("s2", 1)}}, "launch on s2: map-00000-1; suppress")
			s.expect(status("map-00000-0", mesos.TaskState_TASK_RUNNING, "back"), "kill map-00000-0")
			s.expect(status("map-00000-0", mesos.TaskState_TASK_FINISHED, "late"), "")
			s.expect(status("map-00000-1", mesos.TaskState_TASK_FINISHED, ""), "collect map-00000-1")
		})
	}
}

func TestATaskGoesElsewhereWhileThereIsAnElsewhere(t *testing.T) {
	s := newScript(t, 1, 1)
	s.step(subscribed{"F"})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1), s.offer("s2", 1)}}, "launch on s1: map-00000-0; decline 1; suppress")
	s.step(status("map-00000-0", mesos.TaskState_TASK_FAILED, ""))
	s.expect(examined{id: "map-00000-0"}, "revive")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "decline 1")
	s.now = s.now.Add(avoidFor)
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00000-1; suppress")
	s.step(status("map-00000-1", mesos.TaskState_TASK_FAILED, ""))
	s.step(examined{id: "map-00000-1"})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1), s.offer("s2", 1)}}, "launch on s2: map-00000-2; decline 1; suppress")
	s.step(status("map-00000-2", mesos.TaskState_TASK_LOST, ""))
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00000-3; suppress")
}

func TestASlaveThatGoesTakesItsMapOutputsWithIt(t *testing.T) {
	s := newScript(t, 2, 1)
	s.mapsDone()
	s.expect(slaveGone{"s2"}, "")
	s.expect(slaveGone{"s1"}, "")
	s.expect(offered{[]*scheduler.Offer{s.offer("s2", 2)}}, "launch on s2: map-00000-1 map-00001-1; suppress")
	if s.plan.lost != 2 || s.plan.failed != 0 {
		t.Errorf("lost %d, failed %d", s.plan.lost, s.plan.failed)
	}
}

func TestASlaveThatGoesWhenAllReducesAreDoneIsNotMissed(t *testing.T) {
	s := newScript(t, 1, 1)
	s.mapsDone()
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	s.step(status("reduce-00000-0", mesos.TaskState_TASK_FINISHED, ""))
	s.expect(reduceCollected{id: "reduce-00000-0", summary: &taskpb.ReduceSummary{}}, "commit reduce-00000-0")
	s.expect(slaveGone{"s1"}, "")
	s.expect(committed{}, "finish: <nil>")
}

func TestAReduceThatCanNotFetchSaysWhichMapRunsAgain(t *testing.T) {
	s := newScript(t, 3, 1)
	s.mapsDone()
	s.step(offered{[]*scheduler.Offer{s.offer("s2", 1)}})
	url := s.plan.maps[1].winner.place.URL(task.MapPartFile(0))
	s.expect(status("reduce-00000-0", mesos.TaskState_TASK_FAILED, "exited with status 75"), "examine reduce-00000-0")
	s.expect(examined{id: "reduce-00000-0", lost: &taskpb.LostOutputs{Lost: []*taskpb.LostOutput{
		{Map: 1, Url: url, Error: "gone"},
		{Map: 2, Url: "http://an-earlier-attempt", Error: "gone"},
		{Map: 99, Url: url, Error: "no such map"},
	}}}, "revive")
	s.expect(offered{[]*scheduler.Offer{s.offer("s2", 9)}}, "launch on s2: map-00001-1; suppress")
	s.step(status("map-00001-1", mesos.TaskState_TASK_FINISHED, ""))
	s.expect(mapCollected{id: "map-00001-1", summary: parts(1)}, "revive")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 9)}}, "launch on s1: reduce-00000-1; suppress")
	if s.plan.failed != 0 {
		t.Errorf("%d failures are counted", s.plan.failed)
	}
}

func TestOutputThatCanNotBeCollected(t *testing.T) {
	t.Run("a map's summary out of reach runs the map again", func(t *testing.T) {
		s := newScript(t, 1, 1)
		s.step(subscribed{"F"})
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
		s.step(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""))
		s.expect(mapCollected{id: "map-00000-0", err: unreachable{errors.New("refused")}}, "revive")
	})
	t.Run("a map's summary without all parts runs the map again", func(t *testing.T) {
		s := newScript(t, 1, 3)
		s.step(subscribed{"F"})
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
		s.step(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""))
		s.expect(mapCollected{id: "map-00000-0", summary: parts(1)}, "revive")
	})
	t.Run("a reduce's output out of reach runs the reduce again", func(t *testing.T) {
		s := newScript(t, 1, 1)
		s.mapsDone()
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
		s.step(status("reduce-00000-0", mesos.TaskState_TASK_FINISHED, ""))
		s.expect(reduceCollected{id: "reduce-00000-0", err: unreachable{errors.New("refused")}}, "revive")
		s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: reduce-00000-1; suppress")
		s.expect(reduceCollected{id: "reduce-00000-0", summary: &taskpb.ReduceSummary{}}, "")
	})
	t.Run("a disk that is full here ends the job", func(t *testing.T) {
		s := newScript(t, 1, 1)
		s.mapsDone()
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
		s.step(status("reduce-00000-0", mesos.TaskState_TASK_FINISHED, ""))
		s.expect(reduceCollected{id: "reduce-00000-0", err: errors.New("no space left")}, "finish: no space left")
		s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "decline 1")
	})
	t.Run("an output that can not be committed ends the job", func(t *testing.T) {
		s := newScript(t, 0, 1)
		s.step(subscribed{"F"})
		s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: reduce-00000-0; suppress")
		s.step(status("reduce-00000-0", mesos.TaskState_TASK_FINISHED, ""))
		s.step(reduceCollected{id: "reduce-00000-0", summary: &taskpb.ReduceSummary{}})
		s.expect(committed{err: errors.New("no space left")}, "finish: no space left")
	})
}

func TestWhatCanNotBePlacedIsExplained(t *testing.T) {
	s := newScript(t, 1, 1)
	s.step(subscribed{"F"})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 0.5)}}, "decline 1")
	if got := s.plan.progress(s.now).Waiting; got != "host-s1: too small: has 0.5 of 1 cpus" {
		t.Errorf("waiting: %q", got)
	}
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	if got := s.plan.progress(s.now).Waiting; got != "" {
		t.Errorf("waiting: %q", got)
	}
	s = newScript(t, 2, 1)
	s.step(subscribed{"F"})
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 0.5)}}, "decline 1")
	if got := s.plan.progress(s.now).Waiting; got != "" {
		t.Errorf("a job of which something runs does not wait: %q", got)
	}
}

func TestSlavesAreNamedSoThatTheyCanBeToldApart(t *testing.T) {
	s := newScript(t, 0, 1)
	s.plan.slaves = map[string]*slaveInfo{
		"S0": {hostname: "a", port: 5051}, "S1": {hostname: "b", port: 5051}, "S2": {hostname: "b", port: 5052},
	}
	for id, want := range map[string]string{"S0": "a", "S1": "b:5051", "S2": "b:5052", "S9": "S9"} {
		if got := s.plan.slaveName(id); got != want {
			t.Errorf("slave %s is named %q, want %q", id, got, want)
		}
	}
}

func TestAfterAnOutageOffersAreAskedForAsBefore(t *testing.T) {
	s := newScript(t, 1, 1)
	s.step(subscribed{"F"})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00000-0; suppress")
	s.expect(subscribed{"F"}, "suppress")
	s.expect(status("map-00000-0", mesos.TaskState_TASK_LOST, ""), "revive")
	s.expect(subscribed{"F"}, "")
}

func TestAnInputThatWasNotTheSameForAllMaps(t *testing.T) {
	seen := func(modified, size int64, inode uint64) *taskpb.MapSummary {
		s := parts(1)
		s.InputsSeen = []*taskpb.InputSeen{{Path: []byte("/in"), ModifiedNanos: modified, Size: size, Inode: inode}}
		return s
	}
	for name, test := range map[string]struct {
		second *taskpb.MapSummary
		slave  string
		want   string
	}{
		"the same":                             {seen(7, 20, 1), "s1", ""},
		"overwritten":                          {seen(8, 20, 1), "s1", "input file /in has changed on host-s1: it was not the same for map-00000-0 and map-00001-0"},
		"replaced":                             {seen(8, 30, 2), "s1", "input file /in has changed on host-s1: it was not the same for map-00000-0 and map-00001-0"},
		"grown":                                {seen(8, 30, 1), "s1", ""},
		"another inode and the same otherwise": {seen(7, 20, 2), "s1", ""},
		"a copy on another slave":              {seen(8, 20, 2), "s2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, 2, 1)
			s.step(subscribed{"F"})
			s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
			s.step(offered{[]*scheduler.Offer{s.offer(test.slave, 1)}})
			for i, summary := range []*taskpb.MapSummary{seen(7, 20, 1), test.second} {
				id := fmt.Sprintf("map-%05d-0", i)
				s.expect(status(id, mesos.TaskState_TASK_FINISHED, ""), "collect "+id)
				s.step(mapCollected{id: id, summary: summary})
			}
			got := ""
			if s.plan.err != nil {
				got = s.plan.err.Error()
			}
			if got != test.want || s.plan.over != (test.want != "") {
				t.Errorf("it is over: %v, %q; want %q", s.plan.over, got, test.want)
			}
		})
	}
}
