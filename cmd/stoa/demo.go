package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/frameworks/hadoop"
)

const (
	demoReduces    = 2
	demoWords      = 20 // most frequent words that are shown
	demoWordLength = 4  // letters that a shown word has at least

	demoMapper  = "stoa hadoop " + hadoop.WordCountMapperSubcommand
	demoReducer = "stoa hadoop " + hadoop.WordCountReducerSubcommand
)

type demoFlags struct {
	cluster clusterFlags
	input   []string
	output  string
	reduces int
	keep    bool
}

func newDemo(std stdio) *cobra.Command {
	var flags demoFlags
	command := &cobra.Command{
		Use:     "demo",
		GroupID: groupStart,
		Short:   "Count words on a cluster of isolated containers on this machine",
		Long: `Starts a master, slaves and a Hadoop JobTracker on this machine, has them count the words of Go's library in
containers, shows the most frequent words, and ends the cluster. With --keep it lets the cluster run, and
tells what to try with it.`,
		Example: `  stoa demo
  stoa demo --input /usr/share/doc --output /tmp/words --slaves 2
  stoa demo --keep`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 && len(flags.input) == 0 {
				return usageError("stoa demo: unexpected argument %q; files and folders to count follow --input", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			flags.input = append(flags.input, args...)
			if err := flags.cluster.check(command.Flags()); err != nil {
				return err
			}
			return runDemo(command.Context(), std, &flags)
		},
	}
	flags.cluster.add(command.Flags())
	f := command.Flags()
	f.StringArrayVar(&flags.input, "input", nil, "files or folders to count, wherever they lie: `PATH`... (default: the source of Go's library)")
	f.StringVar(&flags.output, "output", "", "new `DIRECTORY` for the result (default: one below the folder for temporary files)")
	f.IntVar(&flags.reduces, "reduces", demoReduces, "`NUMBER` of reduce tasks, and of parts of the result")
	f.BoolVar(&flags.keep, "keep", false, "let the cluster run until Ctrl-C when the words are counted")
	return withSettings(command)
}

func runDemo(ctx context.Context, std stdio, flags *demoFlags) error {
	say := func(format string, args ...any) { fmt.Fprintf(std.err, format+"\n", args...) }
	if err := flags.complete(); err != nil {
		return err
	}
	if err := chooseIsolation(&flags.cluster.isolation, say); err != nil {
		return err
	}
	began := time.Now()
	flags.cluster.jobTracker = true
	cluster, err := startCluster(ctx, "demo", flags.cluster, say)
	if err != nil {
		return err
	}
	defer cluster.stop()
	say("A master at %s, %s and a JobTracker are up after %s (%s); counting the words of %s.",
		cluster.address, plural(flags.cluster.slaves, "slave"), seconds(time.Since(began)), flags.cluster.isolation, strings.Join(flags.input, ", "))
	output := flags.output
	if output == "" && flags.keep {
		output = keptResult() // where the JobTracker says that it is
	} else if output == "" {
		output = filepath.Join(cluster.dir, clusterResultName) // goes with the cluster if this process is killed
	}
	result, err := demoJob(ctx, std.err, cluster.trackerAddress, flags.arguments(output))
	if err != nil {
		return err
	}
	if flags.output == "" && !flags.keep {
		if result.Output, err = keepResult(output); err != nil {
			return err
		}
	}
	if err := printWords(std.out, result.Output); err != nil {
		return err
	}
	printJob(std.out, result)
	if !flags.keep {
		fmt.Fprintf(std.out, "\nThe same on a cluster that runs:\n  stoa hadoop %s\n", quoteAll(flags.arguments(result.Output+"-again")))
	} else {
		fmt.Fprintf(std.out, "\nThe cluster runs on; its master is at %s, and the JobTracker's page at http://%s\nLogs: %s/*/log\n", cluster.address, cluster.trackerAddress, cluster.dir)
		fmt.Fprintf(std.out, "Try, in another terminal:\n")
		for _, line := range flags.toTry(cluster, result.Output) {
			fmt.Fprintf(std.out, "  %s\n", line)
		}
		fmt.Fprintln(std.out, "Ctrl-C ends it.")
		<-ctx.Done()
	}
	return nil
}

// demoJob has the JobTracker run a job, which ends with ctx.
func demoJob(ctx context.Context, w io.Writer, tracker string, args []string) (hadoop.Result, error) {
	client, err := hadoop.NewClient(tracker, nil)
	if err != nil {
		return hadoop.Result{}, err
	}
	defer client.Close()
	defer exitAtSecondInterrupt(ctx)()
	id, err := client.Submit(ctx, args, "/")
	if err != nil {
		return hadoop.Result{}, err
	}
	progress := newProgress(w)
	result, err := client.Watch(ctx, id, progress.show)
	progress.end()
	if err != nil && ctx.Err() != nil {
		_ = client.Kill(context.WithoutCancel(ctx), id) // the cluster ends anyway, this removes the output
		return result, &exitError{code: exitInterrupted, err: errors.New("interrupted; the job's tasks were ended and nothing of its output is left")}
	}
	return result, err
}

// complete checks the flags and fills in what they leave open.
func (f *demoFlags) complete() error {
	if f.reduces < 1 || f.reduces > hadoop.MaxReduces {
		return usageError("--reduces %d: allowed are 1 to %d", f.reduces, hadoop.MaxReduces)
	}
	if len(f.input) == 0 {
		library, err := goLibrary()
		if err != nil {
			return err
		}
		f.input = []string{library}
	}
	for i, input := range f.input {
		absolute, err := filepath.Abs(input)
		if err != nil {
			return err
		}
		if _, err := os.Stat(absolute); err != nil {
			return fmt.Errorf("--input %s: %w", input, pathCause(err))
		}
		f.input[i] = absolute
	}
	if f.output == "" {
		return nil
	}
	if _, err := os.Lstat(f.output); err == nil {
		return fmt.Errorf("--output %s exists already; name a directory that does not", f.output)
	}
	absolute, err := filepath.Abs(f.output)
	f.output = absolute
	return err
}

// arguments are the job as stoa hadoop takes it. Each file is counted as its bytes are, also one that is named as if it
// were compressed.
func (f *demoFlags) arguments(output string) []string {
	args := []string{"-name", "wordcount"}
	for _, input := range f.input {
		args = append(args, "-input", hadoop.QuoteInput(input))
	}
	return append(args, hadoop.RawInputFlag, "-output", output, "-mapper", demoMapper, "-reducer", demoReducer, "-numReduceTasks", fmt.Sprint(f.reduces))
}

// toTry are commands for somebody who has seen the demo and wonders what now.
func (f *demoFlags) toTry(c *cluster, output string) []string {
	tracker := ""
	if c.trackerAddress != hadoop.DefaultJobTracker {
		tracker = " -jobtracker " + c.trackerAddress
	}
	at, stoa := masterFlagFor(c.address), ownName()
	return []string{
		stoa + " hadoop job" + tracker + " -list",
		stoa + " hadoop job" + tracker + " -history job-0001",
		stoa + " hadoop -jobtracker " + c.trackerAddress + " " + quoteAll(f.arguments(output+"-again")),
		stoa + " run" + at + " --instances 3 -- sh -c 'echo hello from slave $MESOS_SLAVE_ID'",
		stoa + " node list" + at,
	}
}

// ownName is how a shell finds this program: by its name, or by its path where that name means another or none.
func ownName() string {
	own, err := os.Executable()
	if err != nil {
		return "stoa"
	}
	if found, err := exec.LookPath("stoa"); err == nil {
		a, errA := os.Stat(found)
		b, errB := os.Stat(own)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return "stoa"
		}
	}
	return shellQuote(own)
}

// keptResult is where the result of a job outlives its cluster.
func keptResult() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("wordcount-%s-%d", time.Now().Format("20060102-150405"), os.Getpid()))
}

// keepResult moves a job's output to where it outlives its cluster.
func keepResult(output string) (string, error) {
	kept := keptResult()
	if err := os.Rename(output, kept); err != nil {
		return "", fmt.Errorf("keep the result: %w", err)
	}
	return kept, nil
}

// goLibrary is the source of Go's standard library on this machine.
func goLibrary() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	library := filepath.Join(strings.TrimSpace(string(root)), "src")
	if err != nil || len(root) == 0 {
		return "", fmt.Errorf("no Go on this machine whose library could be counted; name files or folders with --input")
	}
	if _, err := os.Stat(library); err != nil {
		return "", fmt.Errorf("the source of Go's library is not here (%w); name files or folders with --input", err)
	}
	return library, nil
}

func printWords(w io.Writer, output string) error {
	words, err := hadoop.TopWords(output, demoWords, demoWordLength)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, word := range words {
		rows = append(rows, []string{word.Text, fmt.Sprintf("%8d", word.Count)})
	}
	return table(w, []string{"WORD", "   COUNT"}, rows)
}

// quoteAll writes words so that a shell reads them.
func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = shellQuote(word)
	}
	return strings.Join(quoted, " ")
}

// shellQuote writes a word so that a shell reads it as one.
func shellQuote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// pathCause is what went wrong with a path that has been named already.
func pathCause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
