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
		Long: `Starts a master and slaves on this machine, has the Hadoop framework count the words of Go's library
on them, each map and reduce in a container of its own, shows the most frequent words, and ends the cluster.`,
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
	job, err := flags.job()
	if err != nil {
		return err
	}
	if err := chooseIsolation(&flags.cluster.isolation, say); err != nil {
		return err
	}
	began := time.Now()
	cluster, err := startCluster(ctx, "demo", flags.cluster, say)
	if err != nil {
		return err
	}
	defer cluster.stop()
	say("A master at %s and %s are up after %s (%s); counting the words of %s.",
		cluster.address, plural(flags.cluster.slaves, "slave"), seconds(time.Since(began)), flags.cluster.isolation, strings.Join(job.Input, ", "))
	job.Master = cluster.address
	output := job.Output
	if output == "" {
		job.Output = filepath.Join(cluster.dir, clusterResultName) // goes with the cluster if this process is killed
	}
	result, err := runJob(ctx, std.err, job)
	if err != nil {
		return err
	}
	if output == "" {
		if result.Output, err = keepResult(job.Output); err != nil {
			return err
		}
	}
	if err := printWords(std.out, result.Output); err != nil {
		return err
	}
	printJob(std.out, result)
	fmt.Fprintf(std.out, "\nThe same on a cluster that runs:\n  %s\n", jobLine(job, result.Output))
	if flags.keep {
		fmt.Fprintf(std.out, "\nThe cluster runs on; its master is at %s. Logs: %s/*/log\n", cluster.address, cluster.dir)
		fmt.Fprint(std.out, thingsToTry(cluster.address))
		fmt.Fprintln(std.out, "Ctrl-C ends it.")
		<-ctx.Done()
	}
	return nil
}

// job completes the flags to a job.
func (f *demoFlags) job() (hadoop.Options, error) {
	// Each file is counted as its bytes are, also one that is named as if it were compressed.
	job := hadoop.Options{Name: "wordcount", Mapper: demoMapper, Reducer: demoReducer, Reduces: f.reduces, RawInput: true}
	if f.reduces < 1 || f.reduces > hadoop.MaxReduces {
		return job, usageError("--reduces %d: allowed are 1 to %d", f.reduces, hadoop.MaxReduces)
	}
	if len(f.input) == 0 {
		library, err := goLibrary()
		if err != nil {
			return job, err
		}
		f.input = []string{library}
	}
	for _, input := range f.input {
		absolute, err := filepath.Abs(input)
		if err != nil {
			return job, err
		}
		if _, err := os.Stat(absolute); err != nil {
			return job, fmt.Errorf("--input %s: %w", input, pathCause(err))
		}
		job.Input = append(job.Input, absolute)
	}
	job.Output = f.output
	if _, err := os.Lstat(job.Output); job.Output != "" && err == nil {
		return job, fmt.Errorf("--output %s exists already; name a directory that does not", job.Output)
	}
	return job, nil
}

// keepResult moves a job's output to where it outlives its cluster.
func keepResult(output string) (string, error) {
	kept := filepath.Join(os.TempDir(), fmt.Sprintf("wordcount-%s-%d", time.Now().Format("20060102-150405"), os.Getpid()))
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

// jobLine is the command line that runs a job on the cluster at its master.
func jobLine(job hadoop.Options, output string) string {
	line := "stoa hadoop"
	if job.Master != defaultMaster {
		line += " -master " + job.Master
	}
	for _, input := range job.Input {
		line += " -input " + shellQuote(input)
	}
	if job.RawInput {
		line += " " + hadoop.RawInputFlag
	}
	return line + fmt.Sprintf(" -output %s -mapper %s -reducer %s -numReduceTasks %d",
		shellQuote(output+"-again"), shellQuote(job.Mapper), shellQuote(job.Reducer), job.Reduces)
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
