// Package hadoop is MapReduce with the habits of Hadoop Streaming, as a framework: mapper and reducer are commands, and
// every map and reduce is a task in a container of its own.
//
//	inputs ─► splits ─► maps ─► sorted parts in the maps' sandboxes ─► reduces ─► parts in the reduces' sandboxes ─► output
//
// The framework (Run) lists and cuts the inputs, places tasks, and fetches the reduces' parts into the output folder,
// where they appear all at once and _SUCCESS last. What runs in the containers is package task; the two exchange
// taskpb's messages. Between machines everything goes through the slaves' HTTP: a reduce fetches from the slaves that
// ran the maps, the framework from those that ran the reduces. Only inputs are paths of the machines: they are mounted
// read-only into the maps' containers, so each slave must have them at the same place.
//
// plan.go, place.go and outcome.go decide (pure: events in, operations out), framework.go carries out.
package hadoop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
	"github.com/stoa-project/stoa/actor/remote"
)

// TaskSubcommand is the hidden subcommand of the stoa binary that the tasks run: its argument is "map" or "reduce", and
// it does what task.Main does.
const TaskSubcommand = "hadoop-task"

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
)

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

	// Input are files and folders, at least one.
	Input []string
	// Output is a folder that does not exist.
	Output string
	// Mapper and Reducer are commands for sh -c. The name stoa, and $STOA_BINARY, mean this program.
	Mapper, Reducer string
	// Reduces is how many reduces, and parts of the output, there are; 0 is DefaultReduces.
	Reduces int

	// TaskCPUs and TaskMem (MB) are what each task gets; 0 is the default.
	TaskCPUs, TaskMem float64
	// MapMem and ReduceMem (MB) are for one kind of task; 0 is TaskMem.
	MapMem, ReduceMem float64
	// MinSplit and MaxSplit bound a map's input, in bytes; 0 is DefaultMinSplit and DefaultMaxSplit.
	MinSplit, MaxSplit int64
	// MaxMapAttempts and MaxReduceAttempts of a task may fail; 0 is DefaultMaxAttempts.
	MaxMapAttempts, MaxReduceAttempts int

	// ConnectTimeout and ReconnectTimeout are the scheduler's: 0 is its default.
	ConnectTimeout, ReconnectTimeout time.Duration
	// Network replaces TCP between scheduler and master; nil is TCP.
	Network remote.Network
	// Log gets the scheduler's messages; the zero value logs nothing.
	Log zerolog.Logger
	// Progress is called whenever there is some, one call at a time; it must not block. nil is nobody.
	Progress func(Progress)
}

// withDefaults fills in what is not set and says what can not be.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Name, DefaultName)
	setDefault(&o.Reduces, DefaultReduces)
	setDefault(&o.TaskCPUs, DefaultTaskCPUs)
	setDefault(&o.TaskMem, DefaultTaskMem)
	setDefault(&o.MapMem, o.TaskMem)
	setDefault(&o.ReduceMem, o.TaskMem)
	setDefault(&o.MaxMapAttempts, DefaultMaxAttempts)
	setDefault(&o.MaxReduceAttempts, DefaultMaxAttempts)
	return o, errors.Join(
		checkCommand("mapper", o.Mapper), checkCommand("reducer", o.Reducer),
		within("number of reduces", o.Reduces, 1, MaxReduces),
		within("cpus of a task", o.TaskCPUs, 0.01, 1024),
		within("memory of a map in MB", o.MapMem, MinTaskMem, 1<<24),
		within("memory of a reduce in MB", o.ReduceMem, MinTaskMem, 1<<24),
		within("attempts of a map", o.MaxMapAttempts, 1, 100),
		within("attempts of a reduce", o.MaxReduceAttempts, 1, 100),
		within("smallest split in bytes", o.MinSplit, 0, 1<<40),
		within("largest split in bytes", o.MaxSplit, 0, 1<<40),
	)
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
	files, err := listInputs(ctx, o.Input)
	if err != nil {
		return Result{}, err
	}
	out, err := createOutput(o.Output)
	if err != nil {
		return Result{}, err
	}
	succeeded := false
	defer func() {
		if !succeeded {
			err = errors.Join(err, out.discard())
		}
	}()
	j := o.job(files)
	planned := time.Now()
	p, err := runFramework(ctx, o, j, out)
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
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()[0]
	}
	return err
}

func (o Options) job(files []inputFile) *job {
	j := &job{
		name: o.Name, mapper: o.Mapper, reducer: o.Reducer, reduces: o.Reduces,
		cpus: o.TaskCPUs, mapMem: o.MapMem, reduceMem: o.ReduceMem,
		maxMap: o.MaxMapAttempts, maxReduce: o.MaxReduceAttempts, role: o.Role,
	}
	for _, f := range files {
		j.mapBytes += f.size
	}
	j.splits = cut(files, splitSize(j.mapBytes, o.MinSplit, o.MaxSplit))
	return j
}

// Slaves lists the slaves of a result, by name.
func (r Result) Slaves() []string { return slices.Sorted(maps.Keys(r.TasksPerSlave)) }
