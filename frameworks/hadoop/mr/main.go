package mr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote/identity"
	"github.com/stoa-project/stoa/frameworks/hadoop"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/proto/wire"
)

// Exit statuses of Main.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // as of a shell's command that Ctrl-C ended
)

// help comes before the flags of stoa hadoop.
const help = `This program is mapper and reducer at once: it takes the flags of stoa hadoop, but for -mapper, -reducer and -combiner.

`

// Main is a program's main function: it gives the exit status. args are the flags of `stoa hadoop`, and the last of
// os.Args: what comes before them is given to the program again in the containers, so that it comes to this job there too.
func (j Job[K, V]) Main(args []string) int {
	if kind := os.Getenv(task.ProgramVariable); kind != "" {
		return task.RunProgram(context.Background(), kind, os.Stdin, j.functions())
	}
	var secured identity.Flags
	flags, tracker, err := hadoop.TakeTracker(secured.Take(args))
	var options hadoop.Options
	if err == nil {
		options, err = j.Options(flags, os.Args[1:len(os.Args)-len(args)]...)
	}
	if errors.Is(err, hadoop.ErrHelp) {
		fmt.Print(help + hadoop.HelpText() + hadoop.TLSHelp)
		return 0
	}
	if err == nil {
		options, err = secure(options, secured, tracker)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n-help shows the flags.\n", err)
		return exitUsage
	}
	setMaster(&options)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options.Tell = func(line string) { fmt.Fprintln(os.Stderr, line) }
	var result hadoop.Result
	left := "nothing of the job's output is left"
	if tracker != "" {
		left = "a job that the JobTracker has goes on"
		result, err = j.submit(ctx, tracker, options, flags)
	} else {
		result, err = hadoop.Run(ctx, options)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintf(os.Stderr, "interrupted; %s\n", left)
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	fmt.Printf("%d maps and %d reduces in %v (%v to map, %v to reduce, %v to fetch the output): %s\n", result.Maps, result.Reduces,
		short(result.Total), short(result.Planning+result.Placing+result.Mapping), short(result.Reducing), short(result.Commit), result.Output)
	return 0
}

// secure reads the certificates: as a framework's, or as those of a JobTracker's client. One that is not fit the peer refuses in
// words.
func secure(o hadoop.Options, files identity.Flags, tracker string) (hadoop.Options, error) {
	role := actor.Role(wire.RoleFramework)
	if tracker != "" {
		role = wire.RoleOperator
	}
	var err error
	if o.TLS, err = files.Open(role, nil); err != nil && !errors.Is(err, identity.ErrUnfit) {
		return o, err
	}
	o.Authority, err = files.Authority()
	return o, err
}

// setMaster takes the master from the environment, as stoa hadoop does.
func setMaster(o *hadoop.Options) {
	if o.Master == "" {
		o.Master = os.Getenv(masterVariable)
	}
}

// masterVariable names the master if no flag does.
const masterVariable = "STOA_MASTER"

// submit has a JobTracker run the job, and waits for its end.
func (j Job[K, V]) submit(ctx context.Context, tracker string, options hadoop.Options, flags []string) (hadoop.Result, error) {
	client, err := hadoop.NewClient(tracker, options.TLS)
	if err != nil {
		return hadoop.Result{}, err
	}
	defer client.Close()
	directory, err := os.Getwd()
	if err != nil {
		return hadoop.Result{}, err
	}
	var args []string
	if j.Name != "" {
		args = append(args, "-name", j.Name)
	}
	if j.Reduce == nil {
		args = append(args, "-numReduceTasks", "0")
	}
	id, err := client.SubmitProgram(ctx, options, slices.Concat(args, j.Flags, flags), directory)
	if err != nil {
		return hadoop.Result{}, err
	}
	fmt.Fprintln(os.Stderr, client.Submitted(id))
	if options.Verbose {
		return client.WatchAttempts(ctx, id, nil, options.Tell)
	}
	return client.Watch(ctx, id, nil)
}

// short leaves out what nobody reads of a duration.
func short(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// Options are the job's for hadoop.Run, with flags as of `stoa hadoop`. before is what the program is given in the
// containers. The error is as hadoop.ParseArgs has it.
func (j Job[K, V]) Options(flags []string, before ...string) (hadoop.Options, error) {
	program, err := os.Executable()
	if err != nil {
		return hadoop.Options{}, fmt.Errorf("find this program: %w", err)
	}
	options := hadoop.Options{Name: j.Name, Program: append([]string{program}, before...)}
	if j.Reduce == nil {
		options.Reduces = hadoop.NoReduces
	}
	if j.TotalOrder {
		options.Sample = j.sample
	}
	options, err = options.ParseArgs(append(slices.Clone(j.Flags), flags...))
	if err == nil && j.Reduce == nil && options.Reduces != hadoop.NoReduces {
		err = &hadoop.UsageError{Text: "this job has no reduces: -numReduceTasks is not allowed"}
	}
	if err == nil && j.Reduce != nil && options.Reduces == hadoop.NoReduces {
		err = &hadoop.UsageError{Text: "this job has reduces: -numReduceTasks is 1 or more"}
	}
	return options, err
}

// sample gives the keys of some lines.
func (j Job[K, V]) sample(lines io.Reader) ([][]byte, error) {
	records, err := j.mapped(lines)
	keys := make([][]byte, len(records))
	for i, r := range records {
		keys[i] = r.key
	}
	return keys, err
}
