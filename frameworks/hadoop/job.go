package hadoop

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"google.golang.org/protobuf/proto"
)

// job is what is to be done: it does not change while it is done.
type job struct {
	id              string // among the jobs of a JobTracker; "": there is no other
	name            string
	user            string // who runs the tasks; "": the framework's
	containers      bool   // each attempt has a container of its own; else those on a slave share an executor
	priority        Priority
	output          string // where the parts come, for people
	splits          []split
	mapper, reducer string
	combiner        string                   // "": none
	program         *taskpb.Program          // does maps and reduces; nil: mapper and reducer are commands
	uris            []*mesos.CommandInfo_URI // what containers have in their sandboxes: the program
	reduces         int                      // 0: what the maps print is the output

	keys           *taskpb.Keys
	kit            *taskpb.Kit
	format         taskpb.InputFormat
	inputSeparator string
	verbose        bool    // attempts are told of
	noSpeculation  [2]bool // by kind: no task gets a second attempt while the first runs

	cpus              float64 // of each task
	mapMem, reduceMem float64 // MB
	maxMap, maxReduce int     // attempts per task
	slowStart         float64 // which part of the maps is done before reduces start
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

// subcommand is the line that runs a subcommand of the stoa binary in a container. The slave tells by the variable where
// the binary lies as the container sees it.
func subcommand(words string) string {
	return fmt.Sprintf(`exec "${%s:?is not set: this slave does not tell where the stoa binary is}" %s`, task.BinaryVariable, words)
}

// Which part of a task's memory its sort buffer may take: the rest is for the commands, or for the functions of a program,
// which need no buffers between them.
const (
	sortBufferShare        = 4
	programSortBufferShare = 2
)

// sortBuffer is the sort buffer, in bytes, of a task with so many MB of memory: with commands at most Hadoop's default.
func (j *job) sortBuffer(mem float64) int64 {
	if j.program != nil {
		return int64(mem*(1<<20)) / programSortBufferShare
	}
	return min(task.DefaultSortBufferBytes, int64(mem*(1<<20))/sortBufferShare)
}

// shippedProgram is the name of a job's own program in sandboxes.
const shippedProgram = "job-program"

// ship has a job's own program sent to the slaves that run it.
func (j *job) ship(program []string, files *scheduler.Files) error {
	if program == nil {
		return nil
	}
	uri, err := files.Add(program[0])
	if err != nil {
		return fmt.Errorf("ship the program: %w", err)
	}
	uri.OutputFile, uri.Executable = proto.String(shippedProgram), proto.Bool(true)
	j.uris = []*mesos.CommandInfo_URI{uri}
	j.program = &taskpb.Program{Path: []byte(shippedProgram), Arguments: program[1:]}
	return nil
}

// wish is what a task needs of a slave, without its order. Without an executor it has a container of its own, and gets its
// order as standard input.
func (j *job) wish(kind taskKind, program *mesos.ExecutorInfo) scheduler.Task {
	mem := j.mapMem
	if kind == reduceKind {
		mem = j.reduceMem
	}
	t := scheduler.Task{User: j.user, CPUs: j.cpus, Mem: mem, Role: j.role}
	if program != nil {
		t.Executor = program
	} else {
		t.URIs = j.uris
		t.Command, t.Env = subcommand(TaskSubcommand+" "+kind.String()), j.environment
	}
	return t
}

// mapTask is an attempt at a map, ready to be placed, in an executor or, if that is nil, in a container of its own.
func (j *job) mapTask(a *taskpb.Attempt, program *mesos.ExecutorInfo) scheduler.Task {
	t := j.wish(mapKind, program)
	s := j.splits[a.GetTask()]
	t.ID = a.GetTaskId()
	t.Name = fmt.Sprintf("%s: map %d of %d", j.name, a.GetTask()+1, len(j.splits))
	order := &taskpb.MapTask{
		Attempt: a, Chunks: s.chunks, Mapper: j.mapper, Partitions: int32(j.reduces),
		SortBufferBytes: j.sortBuffer(j.mapMem), Cpus: int32(j.cpus), Program: j.program, MemoryBytes: int64(j.mapMem * (1 << 20)),
		Combiner: j.combiner, InputFormat: j.format, InputSeparator: j.inputSeparator, MapOnly: j.mapOnly(), Keys: j.keys, Kit: j.kit,
	}
	if program != nil {
		t.Data = encode(&jobpb.Order{Task: &jobpb.Order_Map{Map: order}})
	} else {
		t.Container = readOnly(s.mounts())
		t.Data = encode(order)
	}
	return t
}

// reduceTask is an attempt at a reduce, as mapTask. early is how many maps there are if some are not done, and fed how many
// outputs there have been.
func (j *job) reduceTask(a *taskpb.Attempt, program *mesos.ExecutorInfo, inputs []*taskpb.MapOutput, early, fed int) scheduler.Task {
	t := j.wish(reduceKind, program)
	t.ID = a.GetTaskId()
	t.Name = fmt.Sprintf("%s: reduce %d of %d", j.name, a.GetTask()+1, j.reduces)
	order := &taskpb.ReduceTask{
		Attempt: a, Inputs: inputs, Reducer: j.reducer,
		SortBufferBytes: j.sortBuffer(j.reduceMem), Cpus: int32(j.cpus), Keys: j.keys, Kit: j.kit,
		Program: j.program, MemoryBytes: int64(j.reduceMem * (1 << 20)), Maps: int32(early), Fed: int32(fed),
	}
	if program != nil {
		t.Data = encode(&jobpb.Order{Task: &jobpb.Order_Reduce{Reduce: order}})
	} else {
		t.Data = encode(order)
	}
	return t
}

// mounts are the paths that the container of an executor must see: what any of the job's tasks reads. Where that is too
// many, their folders are.
func (j *job) mounts() []string {
	all := map[string]bool{}
	for _, s := range j.splits {
		for _, root := range s.roots {
			all[root] = true
		}
	}
	paths := slices.Sorted(maps.Keys(all))
	for before := -1; len(paths) != before; {
		before = len(paths)
		if paths = (split{roots: paths}).mounts(); len(paths) <= maxMounts {
			break
		}
	}
	return paths
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
