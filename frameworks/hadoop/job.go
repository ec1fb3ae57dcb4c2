package hadoop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"google.golang.org/protobuf/proto"
)

// job is what is to be done: it does not change while it is done.
type job struct {
	name            string
	splits          []split
	mapper, reducer string
	combiner        string   // "": none
	programs        []string // that containers must see beside the inputs
	reduces         int      // 0: what the maps print is the output

	keys           *taskpb.Keys
	kit            *taskpb.Kit
	format         taskpb.InputFormat
	inputSeparator string
	verbose        bool    // attempts are told of
	noSpeculation  [2]bool // by kind: no task gets a second attempt while the first runs

	cpus              float64 // of each task
	mapMem, reduceMem float64 // MB
	maxMap, maxReduce int     // attempts per task
	role              string  // "": any that the framework has
	environment       map[string]string
	mapBytes          int64 // of all inputs
}

// mapOnly says that there are no reduces: the maps make the output.
func (j *job) mapOnly() bool { return j.reduces == 0 }

// taskKind is map or reduce.
type taskKind int

const (
	mapKind taskKind = iota
	reduceKind
)

func (k taskKind) String() string {
	if k == mapKind {
		return "map"
	}
	return "reduce"
}

// taskCommand is the line that a task's container runs. The slave tells by the variable where the stoa binary lies as
// the container sees it; the order comes as standard input.
func taskCommand(kind taskKind) string {
	return fmt.Sprintf(`exec "${%s:?is not set: this slave does not tell where the stoa binary is}" %s %s`, task.BinaryVariable, TaskSubcommand, kind)
}

// sortBufferShare is which part of a task's memory its sort buffer may take. The rest is for the command.
const sortBufferShare = 4

// sortBuffer is a task's sort buffer in bytes: Hadoop's default if the task's memory (in MB) has room for it.
func sortBuffer(mem float64) int64 {
	return min(task.DefaultSortBufferBytes, int64(mem*(1<<20))/sortBufferShare)
}

// wish is what a task needs of a slave, without its order.
func (j *job) wish(kind taskKind) scheduler.Task {
	mem := j.mapMem
	if kind == reduceKind {
		mem = j.reduceMem
	}
	return scheduler.Task{Command: taskCommand(kind), Env: j.environment, CPUs: j.cpus, Mem: mem, Role: j.role}
}

// mapTask is an attempt at a map, ready to be placed.
func (j *job) mapTask(a *taskpb.Attempt) scheduler.Task {
	t := j.wish(mapKind)
	s := j.splits[a.GetTask()]
	t.ID = a.GetTaskId()
	t.Name = fmt.Sprintf("%s: map %d of %d", j.name, a.GetTask()+1, len(j.splits))
	t.Container = readOnly(split{roots: slices.Concat(s.roots, j.programs)}.mounts())
	t.Data = encode(&taskpb.MapTask{
		Attempt: a, Chunks: s.chunks, Mapper: j.mapper, Partitions: int32(j.reduces),
		SortBufferBytes: sortBuffer(j.mapMem), Cpus: int32(j.cpus),
		Combiner: j.combiner, InputFormat: j.format, InputSeparator: j.inputSeparator, MapOnly: j.mapOnly(), Keys: j.keys, Kit: j.kit,
	})
	return t
}

// reduceTask is an attempt at a reduce, ready to be placed.
func (j *job) reduceTask(a *taskpb.Attempt, inputs []*taskpb.MapOutput) scheduler.Task {
	t := j.wish(reduceKind)
	t.ID = a.GetTaskId()
	t.Name = fmt.Sprintf("%s: reduce %d of %d", j.name, a.GetTask()+1, j.reduces)
	t.Container = readOnly(split{roots: j.programs}.mounts())
	t.Data = encode(&taskpb.ReduceTask{
		Attempt: a, Inputs: inputs, Reducer: j.reducer,
		SortBufferBytes: sortBuffer(j.reduceMem), Cpus: int32(j.cpus), Keys: j.keys, Kit: j.kit,
	})
	return t
}

func encode(order proto.Message) []byte {
	b, err := proto.Marshal(order)
	if err != nil {
		panic(fmt.Sprintf("hadoop: encode an order of our own: %v", err)) // its strings were checked
	}
	return b
}

// readOnly mounts paths of the machine at the same place in the container.
func readOnly(paths []string) *mesos.ContainerInfo {
	if len(paths) == 0 {
		return nil
	}
	info := &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum()}
	for _, path := range paths {
		info.Volumes = append(info.Volumes, &mesos.Volume{
			Mode: mesos.Volume_RO.Enum(), HostPath: proto.String(path), ContainerPath: proto.String(path),
		})
	}
	return info
}

// TaskError says which task ended a job, and why. Error is one line.
type TaskError struct {
	Task     string   // "map 3 of 32"
	Attempts int      // that failed, or were lost
	Lost     bool     // the attempts were lost: no fault of the mapper or reducer
	Slave    string   // name of the last attempt's slave
	Reason   string   // of the last attempt
	Stderr   []string // what the last attempt's command said at last, oldest line first
}

func (e *TaskError) Error() string {
	what := "failed"
	if e.Lost {
		what = "was lost"
	}
	times := fmt.Sprintf("%d times", e.Attempts)
	if e.Attempts == 1 {
		times = "once"
	}
	text := fmt.Sprintf("%s %s %s", e.Task, what, times)
	if e.Slave != "" {
		text += ", at last on " + e.Slave
	}
	text += ": " + e.Reason
	if n := len(e.Stderr); n > 0 {
		text += fmt.Sprintf("; its last words on stderr: %q", strings.TrimSpace(e.Stderr[n-1]))
	}
	return text
}
