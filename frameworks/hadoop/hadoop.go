// Package hadoop is MapReduce with the habits of Hadoop Streaming, as a framework: mapper and reducer are commands, and
// every map and reduce is a task.
//
//	inputs ─► splits ─► maps ─► sorted parts in the maps' sandboxes ─► reduces ─► parts in the reduces' sandboxes ─► output
//
// The framework lists and cuts the inputs, places tasks, and fetches the reduces' parts into the output folder, where they
// appear all at once and _SUCCESS last. Run is a framework for one job; RunJobTracker one that stays, holds many jobs and
// outlives its own death. A job's tasks on a slave run in an executor of the job (package tasktracker), or each in a
// container of its own; what they do is package task. The parties exchange taskpb's and jobpb's messages. Between machines
// files go over HTTP: a reduce fetches from the executors that ran the maps, the framework from those that ran the
// reduces. Only inputs are paths of the machines: they are mounted read-only into the containers, so each slave must have
// them at the same place.
//
// plan.go, place.go, slowstart.go, executors.go and outcome.go decide for a job, tracker.go among jobs (pure: events in, operations
// out); framework.go and jobtracker.go carry out.
package hadoop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/scheduler"
)

// TaskSubcommand is the hidden subcommand of the stoa binary that the tasks run: its argument is "map" or "reduce", and
// it does what task.Main does.
const TaskSubcommand = "hadoop-task"

// ExecutorSubcommand is the hidden subcommand that runs a job's tasks on a slave: it does what tasktracker.Main does.
const ExecutorSubcommand = "hadoop-executor"

// Defaults of Options.
const (
	DefaultName     = "hadoop"
	DefaultReduces  = 1     // Hadoop's mapreduce.job.reduces
	DefaultTaskCPUs = 1.0   // Hadoop's mapreduce.map.cpu.vcores
	DefaultTaskMem  = 512.0 // MB; Hadoop's 1024 holds a Java machine too
)

// Limits of Options.
const (
	MaxReduces = 10_000
	MinTaskMem = 64.0 // MB
	// MaxMaps bounds the splits of a job.
	MaxMaps = 100_000
)

// NoReduces makes a job of maps alone.
const NoReduces = -1

// Options describe a job. The zero value of what is not needed is its default.
type Options struct {
	// Master is the master's HOST:PORT; "" is scheduler.DefaultMaster.
	Master string
	// Name of the job and of the framework; "" is DefaultName.
	Name string
	// Role whose offers are used; "" is "*".
	Role string
	// User runs the tasks; "" is the user of this process.
	User string

	// Input are files, folders and patterns of them (*, ?, [a-z], {one,other}), at least one. A path as hdfs://HOST:PORT/PATH is
	// one of HDFS, as of Output.
	Input []string
	// NameNodeHTTP is where the name node of inputs in HDFS answers HTTP, HOST:PORT, and so tells which machines have them;
	// "": on its host, at Hadoop's port.
	NameNodeHTTP string
	// Output is a folder that does not exist.
	Output string
	// Mapper and Reducer are commands for sh -c. The name stoa, and $STOA_BINARY, mean this program.
	// A Reducer of ReducerNone is as Reduces of NoReduces.
	Mapper, Reducer string
	// Program is the path and the arguments of a program that does maps and reduces itself, in the place of Mapper, Combiner
	// and Reducer: it calls task.RunProgram when task.ProgramVariable is set. Package mr makes such programs. It is sent from
	// this machine to the slaves, once to each.
	Program []string
	// Sample gives the keys that the program makes of some lines of the input. It is asked for a sample of the input when
	// there are several reduces, and keys are then spread over these by their order; nil: keys are spread by a hash.
	Sample func(lines io.Reader) (keys [][]byte, err error)
	// Combiner is a command that sums up what a map has printed, before it is sent: it reads and prints lines as the mapper
	// prints them, equal keys together; "" is none.
	Combiner string
	// Reduces is how many reduces, and parts of the output, there are; 0 is DefaultReduces, NoReduces is none: then the
	// output has a part for each map, as the mapper prints it.
	Reduces int

	// KeyFields is how many fields of a mapper's line are its key, 0 is 1; KeySeparator is between them, "" is a tab.
	KeyFields    int
	KeySeparator string
	// ReducerSeparator is between key and value of a reducer's line; "" is a tab.
	ReducerSeparator string
	// Partitioner is HashPartitioner (the default: by the whole key) or KeyFieldBasedPartitioner: by the parts of the key
	// that PartitionOptions name, as -k options of sort. Comparator is KeyFieldBasedComparator, or "": bytewise;
	// CompareOptions are -k, -n and -r as those of sort. KeyFieldSeparator is between the fields of a key that these count;
	// "" is a tab. A Java package before these names is passed over.
	Partitioner, PartitionOptions string
	Comparator, CompareOptions    string
	KeyFieldSeparator             string

	// InputFormat is text (the default), keyvalue (the first InputSeparator of a line becomes a tab), wholefile (a mapper
	// for each file, which gets its bytes as they are) or nline (LinesPerMap lines for each map; 0 is 1).
	InputFormat    string
	InputSeparator string
	LinesPerMap    int
	// RawInput leaves compressed files as they are; else those named .gz, .bz2, .zst and .xz are unpacked.
	RawInput bool

	// Files are shipped to where the commands run, as PATH or PATH#NAME: at most MaxShippedBytes.
	Files []string
	// Environment and Properties are NAME=VALUE, for the commands' environment; of a property's name all but letters and
	// digits becomes _.
	Environment, Properties []string

	// TaskCPUs and TaskMem (MB) are what each task gets; 0 is the default.
	TaskCPUs, TaskMem float64
	// MapMem and ReduceMem (MB) are for one kind of task; 0 is TaskMem.
	MapMem, ReduceMem float64
	// MinSplit and MaxSplit bound a map's input, in bytes; 0 is DefaultMinSplit and DefaultMaxSplit.
	MinSplit, MaxSplit int64
	// MaxMapAttempts and MaxReduceAttempts of a task may fail; 0 is DefaultMaxAttempts.
	MaxMapAttempts, MaxReduceAttempts int
	// Containers runs each attempt in a container of its own; else those of a job on a slave share an executor, which stays.
	Containers bool
	// Priority is among the jobs of a JobTracker.
	Priority Priority
	// NoMapSpeculation and NoReduceSpeculation keep a task that takes much longer than the others from a second attempt
	// while the first runs: for commands that do more than print.
	NoMapSpeculation, NoReduceSpeculation bool

	// SlowStart is which part of the maps is done before reduces start, to fetch while the others run; 1 is all. 0 is
	// DefaultSlowStart, AtOnce is none.
	SlowStart float64

	// ConnectTimeout and ReconnectTimeout are the scheduler's: 0 is its default.
	ConnectTimeout, ReconnectTimeout time.Duration
	// Network replaces TCP between scheduler and master; nil is TCP.
	Network remote.Network
	// TLS secures the connections to master and slaves; nil: they are in the clear. Authority is then what the tasks know
	// the slaves by, as PEM.
	TLS       *remote.TLS
	Authority string
	// Log gets the scheduler's messages; the zero value logs nothing.
	Log zerolog.Logger
	// Tell gets a line for each attempt that starts or ends if Verbose is set, one call at a time; it must not block. nil
	// is nobody.
	Tell    func(line string)
	Verbose bool
	// Progress is called whenever there is some, one call at a time; it must not block. nil is nobody.
	Progress func(Progress)
}

// withDefaults fills in what is not set and says what can not be.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Name, DefaultName)
	if o.Reducer == ReducerNone {
		o.Reduces = NoReduces
	}
	setDefault(&o.Reduces, DefaultReduces)
	setDefault(&o.KeyFields, 1)
	setDefault(&o.LinesPerMap, 1)
	setDefault(&o.TaskCPUs, DefaultTaskCPUs)
	setDefault(&o.TaskMem, DefaultTaskMem)
	setDefault(&o.MapMem, o.TaskMem)
	setDefault(&o.ReduceMem, o.TaskMem)
	setDefault(&o.MaxMapAttempts, DefaultMaxAttempts)
	setDefault(&o.MaxReduceAttempts, DefaultMaxAttempts)
	setDefault(&o.SlowStart, DefaultSlowStart)
	return o, errors.Join(
		o.checkMapper(), o.checkReduces(), o.checkStreaming(),
		within("number of key fields", o.KeyFields, 1, maxKeyFields),
		within("lines of a map", o.LinesPerMap, 1, 1<<30),
		within("cpus of a task", o.TaskCPUs, 0.01, 1024),
		within("memory of a map in MB", o.MapMem, MinTaskMem, 1<<24),
		within("memory of a reduce in MB", o.ReduceMem, MinTaskMem, 1<<24),
		within("attempts of a map", o.MaxMapAttempts, 1, 100),
		within("attempts of a reduce", o.MaxReduceAttempts, 1, 100),
		within("part of the maps that are done before reduces start", max(0, o.SlowStart), 0, 1),
		within("smallest split in bytes", o.MinSplit, 0, 1<<40),
		within("largest split in bytes", o.MaxSplit, 0, 1<<40),
	)
}

// maxKeyFields bounds stream.num.map.output.key.fields.
const maxKeyFields = 1_000_000

// checkMapper looks at what runs the maps.
func (o Options) checkMapper() error {
	if o.Program == nil {
		return checkCommand("mapper", o.Mapper)
	}
	for _, c := range []struct{ what, command string }{{"mapper", o.Mapper}, {"combiner", o.Combiner}, {"reducer", o.Reducer}} {
		if c.command != "" {
			return fmt.Errorf("%s %q: the job's program maps and reduces itself", c.what, c.command)
		}
	}
	if !filepath.IsAbs(o.Program[0]) {
		return fmt.Errorf("program %q: wanted is an absolute path", o.Program[0])
	}
	return nil
}

// checkReduces looks at what runs after the mapper.
func (o Options) checkReduces() error {
	if o.Reduces == NoReduces {
		return nil
	}
	if o.Program != nil {
		return within("number of reduces", o.Reduces, 1, MaxReduces)
	}
	err := errors.Join(checkCommand("reducer", o.Reducer), within("number of reduces", o.Reduces, 1, MaxReduces))
	if o.Combiner != "" {
		err = errors.Join(err, checkCommand("combiner", o.Combiner))
	}
	return err
}

func setDefault[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

func within[T int | int64 | float64](what string, value, least, most T) error {
	if !(value >= least && value <= most) { // so that NaN is refused
		return fmt.Errorf("%s is %s: allowed are %s to %s", what, number(float64(value)), number(float64(least)), number(float64(most)))
	}
	return nil
}

// number writes a number without an exponent.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func checkCommand(what, command string) error {
	switch {
	case strings.TrimSpace(command) == "":
		return fmt.Errorf("no %s: give a command by -%s", what, what)
	case !utf8.ValidString(command) || strings.ContainsRune(command, 0):
		return fmt.Errorf("%s %q: a command is UTF-8 text without NUL", what, command)
	}
	return nil
}

// Run does a job and returns when its output is there, or when it has failed: then nothing of it is left, and the error
// is one line. It is a *TaskError when a task failed or was lost too often; it wraps scheduler.ErrNoMaster,
// ErrLostMaster or ErrRefused when it was the master; it is ctx's cause when ctx ended, which also ends the tasks.
func Run(ctx context.Context, options Options) (result Result, err error) {
	begin := time.Now()
	o, err := options.withDefaults()
	if err != nil {
		return Result{}, firstLine(err)
	}
	j, err := o.job(ctx)
	if err != nil {
		return Result{}, err
	}
	files := &scheduler.Files{}
	if err := j.ship(o.Program, files); err != nil {
		return Result{}, err
	}
	out, err := createOutput(o.Output)
	if err != nil {
		return Result{}, err
	}
	defer out.close()
	succeeded := false
	defer func() {
		if !succeeded {
			err = errors.Join(err, out.discard())
		}
	}()
	planned := time.Now()
	p, err := runJob(ctx, o, j, out, files)
	if err != nil {
		return Result{}, err
	}
	succeeded = true
	result = p.result()
	result.Output = out.dir
	result.Planning, result.Total = planned.Sub(begin), time.Since(begin)
	return result, nil
}

// firstLine keeps the first of joined errors: the others are told when it is mended.
func firstLine(err error) error {
	for {
		joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // only the outermost is looked at
		if !ok {
			return err
		}
		err = joined.Unwrap()[0]
	}
}

// job lists and cuts the inputs and reads the files to ship.
func (o Options) job(ctx context.Context) (*job, error) {
	j := o.template()
	var err error
	if j.kit, err = o.kit(); err != nil {
		return nil, err
	}
	return j, o.cutInput(ctx, j)
}

// template is the job without its input and its kit.
func (o Options) template() *job {
	return &job{
		name: o.Name, mapper: o.Mapper, combiner: o.Combiner, reducer: o.Reducer, reduces: max(0, o.Reduces), output: o.Output,
		containers: o.Containers, priority: o.Priority,
		keys: o.keys(), format: o.format().tasks, inputSeparator: o.InputSeparator, verbose: o.Verbose && o.Tell != nil,
		noSpeculation: [2]bool{mapKind: o.NoMapSpeculation, reduceKind: o.NoReduceSpeculation},
		cpus:          o.TaskCPUs, mapMem: o.MapMem, reduceMem: o.ReduceMem,
		maxMap: o.MaxMapAttempts, maxReduce: o.MaxReduceAttempts, role: o.Role, slowStart: max(0, o.SlowStart),
	}
}

// cutInput gives a job its splits.
func (o Options) cutInput(ctx context.Context, j *job) error {
	remote := remoteFiles{system: &hdfs.System{HTTP: o.NameNodeHTTP}}
	defer remote.system.Close()
	if o.Verbose {
		remote.tell = o.Tell
	}
	files, err := listInputs(ctx, o.Input, remote)
	if err != nil {
		return err
	}
	format := o.format()
	for i, f := range files {
		j.mapBytes += f.size
		if !o.RawInput {
			files[i].codec = task.CodecOf(f.path)
		}
		files[i].whole = format.whole || !task.CanBeCut(files[i].codec)
	}
	if format.byLines {
		j.splits, err = cutLines(ctx, files, o.LinesPerMap)
	} else {
		j.splits = cut(files, splitSize(j.mapBytes, o.MinSplit, o.MaxSplit))
	}
	if err == nil && o.Sample != nil && j.reduces > 1 {
		j.keys.Cuts, err = sampleCuts(ctx, files, j.reduces, o.Sample)
	}
	if err == nil && len(j.splits) > MaxMaps {
		err = fmt.Errorf("the input makes %d maps, allowed are %d: make the splits larger", len(j.splits), MaxMaps)
	}
	return err
}

// Slaves lists the slaves of a result, by name.
func (r Result) Slaves() []string { return slices.Sorted(maps.Keys(r.TasksPerSlave)) }
