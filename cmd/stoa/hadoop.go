package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/frameworks/hadoop"
	hadooptask "github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/tasktracker"
	"github.com/stoa-project/stoa/proto/wire"
)

// exitInterrupted is the exit code of a command that Ctrl-C ended.
const exitInterrupted = 130

// newHadoop has Hadoop's flags, with one dash or two, so cobra does not parse them.
func newHadoop(std stdio) *cobra.Command {
	command := &cobra.Command{
		Use:                "hadoop",
		GroupID:            groupWork,
		Short:              "Run a MapReduce job with Hadoop Streaming's command line",
		DisableFlagParsing: true,
		RunE: func(command *cobra.Command, args []string) error {
			var secured tlsFlags
			rest, tracker, err := hadoop.TakeTracker(secured.Take(args))
			if err != nil {
				return usageError("%w", err)
			}
			options, err := hadoop.ParseArgs(rest)
			if errors.Is(err, hadoop.ErrHelp) {
				fmt.Fprint(std.out, hadoop.HelpText()+hadoop.TLSHelp)
				return nil
			} else if err != nil {
				return usageError("%w", err)
			}
			if master, ok := os.LookupEnv(envPrefix + "MASTER"); ok && options.Master == "" {
				options.Master = master
			}
			if options.TLS, err = secured.client(wire.RoleFramework); err != nil {
				return err
			}
			if options.Authority, err = secured.Authority(); err != nil {
				return err
			}
			var result hadoop.Result
			if tracker != "" {
				result, err = submitJob(command.Context(), std.err, tracker, &secured, rest, options.Verbose)
			} else {
				result, err = runJob(command.Context(), std.err, options)
			}
			if err != nil {
				return err
			}
			printJob(std.out, result)
			printReports(std.out, result, options.Verbose)
			return nil
		},
	}
	command.SetHelpFunc(func(*cobra.Command, []string) { fmt.Fprint(std.out, hadoop.HelpText()+hadoop.TLSHelp) })
	command.AddCommand(
		newJobTracker(std), newHadoopJob(std),
		newFilter(std, hadoop.WordCountMapperSubcommand, "Count the words of standard input: a word is a run of ASCII letters, lower-cased", hadooptask.WordCountMap),
		newFilter(std, hadoop.WordCountReducerSubcommand, "Sum up the counts of equal words", hadooptask.WordCountReduce),
	)
	return command
}

// newFilter is a mapper or reducer that is part of this program.
func newFilter(std stdio, name, short string, filter func(io.Reader, io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: noArgs,
		Example: "  stoa hadoop " + name + " < in > out",
		RunE:    func(*cobra.Command, []string) error { return filter(std.in, std.out) },
	}
}

// newHadoopTask is what runs in the containers of a job.
func newHadoopTask(std stdio) *cobra.Command {
	return &cobra.Command{
		Use: hadoop.TaskSubcommand + " map|reduce", Short: "Run a task of a MapReduce job", Hidden: true,
		Args: oneArg("kind of task"),
		RunE: func(command *cobra.Command, args []string) error {
			if code := hadooptask.Main(command.Context(), args[0], std.in, std.err); code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
}

// newHadoopExecutor is what runs a job's tasks on a slave.
func newHadoopExecutor() *cobra.Command {
	return &cobra.Command{
		Use: hadoop.ExecutorSubcommand, Short: "Run the tasks of a MapReduce job on a slave", Hidden: true, Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return tasktracker.Main(command.Context()) },
	}
}

// runJob runs a job and shows its progress on w.
func runJob(ctx context.Context, w io.Writer, options hadoop.Options) (hadoop.Result, error) {
	progress := newProgress(w)
	options.Progress, options.Tell = progress.show, progress.tell
	defer exitAtSecondInterrupt(ctx)()
	result, err := hadoop.Run(ctx, options)
	progress.end()
	if err != nil && ctx.Err() != nil {
		return result, &exitError{code: exitInterrupted, err: errors.New("interrupted; the job's tasks were ended and nothing of its output is left")}
	}
	return result, err
}

// submitJob has a JobTracker run a job and shows its progress on w. Who stops watching does not end it.
func submitJob(ctx context.Context, w io.Writer, tracker string, secured *tlsFlags, args []string, verbose bool) (hadoop.Result, error) {
	security, err := secured.client(wire.RoleOperator)
	if err != nil {
		return hadoop.Result{}, err
	}
	client, err := hadoop.NewClient(tracker, security)
	if err != nil {
		return hadoop.Result{}, usageError("%w", err)
	}
	defer client.Close()
	directory, err := os.Getwd()
	if err != nil {
		return hadoop.Result{}, err
	}
	id, err := client.Submit(ctx, args, directory)
	if err != nil {
		return hadoop.Result{}, err
	}
	progress := newProgress(w)
	progress.tell(client.Submitted(id))
	watch := client.Watch
	if verbose {
		watch = func(ctx context.Context, id string, show func(hadoop.Progress)) (hadoop.Result, error) {
			return client.WatchAttempts(ctx, id, show, progress.tell)
		}
	}
	result, err := watch(ctx, id, progress.show)
	progress.end()
	if err != nil && ctx.Err() != nil {
		return result, &exitError{code: exitInterrupted, err: fmt.Errorf("interrupted; %s goes on, end it with: stoa hadoop job -jobtracker %s -kill %[1]s", id, tracker)}
	}
	return result, err
}

// printJob sums up a job that has succeeded.
func printJob(w io.Writer, r hadoop.Result) {
	c := r.Counters
	fmt.Fprintf(w, "\n%s and %s in %s: %s to place, %s to map, %s to reduce, %s to fetch the output\n",
		plural(r.Maps, "map"), plural(r.Reduces, "reduce"), seconds(r.Total), seconds(r.Planning+r.Placing), seconds(r.Mapping), seconds(r.Reducing), seconds(r.Commit))
	fmt.Fprintf(w, "read     %s in %d files, %d lines\n", megabytes(c.InputBytes), c.InputFiles, c.InputRecords)
	fmt.Fprintf(w, "shuffled %s, %d lines\n", megabytes(c.ShuffleBytes), c.ReduceInputRecords)
	fmt.Fprintf(w, "written  %s, %d lines\n", megabytes(c.OutputBytes), c.OutputRecords)
	if r.FailedAttempts+r.LostAttempts > 0 {
		fmt.Fprintf(w, "run again after a failure: %d; after a loss: %d\n", r.FailedAttempts, r.LostAttempts)
	}
	var tasks []string
	for _, slave := range r.Slaves() {
		tasks = append(tasks, fmt.Sprintf("%s: %d", slave, r.TasksPerSlave[slave]))
	}
	if len(tasks) > 0 {
		fmt.Fprintf(w, "tasks    %s\n", strings.Join(tasks, "  "))
	}
	fmt.Fprintf(w, "output   %s\n", r.Output)
}

// shownStatuses is how many tasks' statuses are shown unless all are asked for.
const shownStatuses = 10

// printReports shows a job's counters under Hadoop's names, and what its tasks said of themselves.
func printReports(w io.Writer, r hadoop.Result, all bool) {
	for _, group := range r.CounterGroups() {
		fmt.Fprintf(w, "\n%s\n", printable(group.Name))
		for _, counter := range group.Counters {
			fmt.Fprintf(w, "  %s=%d\n", printable(counter.Name), counter.Value)
		}
	}
	if len(r.Statuses) == 0 {
		return
	}
	shown := r.Statuses
	if !all {
		shown = shown[:min(len(shown), shownStatuses)]
	}
	fmt.Fprint(w, "\nStatus\n")
	for _, status := range shown {
		fmt.Fprintf(w, "  %s: %s\n", status.Task, printable(status.Text))
	}
	if more := len(r.Statuses) - len(shown); more > 0 {
		fmt.Fprintf(w, "  and %d more, which -verbose shows\n", more)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
