package mr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop"
)

// functionVariable tells a program in a task's container which of the job's functions to run.
const functionVariable = "STOA_MAPREDUCE_FUNCTION"

// Exit statuses of Main.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // as of a shell's command that Ctrl-C ended
)

// Main is a program's main function: it gives the exit status. args are the flags of `stoa hadoop`, and the last of
// os.Args: what comes before them is given to the program again in the containers, so that it comes to this job there too.
func (j Job[K, V]) Main(args []string) int {
	if function := os.Getenv(functionVariable); function != "" {
		if err := j.function(function, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", function, err)
			return exitFailed
		}
		return 0
	}
	options, err := j.Options(args, os.Args[1:len(os.Args)-len(args)]...)
	if errors.Is(err, hadoop.ErrHelp) {
		fmt.Print(hadoop.HelpText())
		return 0
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options.Tell = func(line string) { fmt.Fprintln(os.Stderr, line) }
	result, err := hadoop.Run(ctx, options)
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted; nothing of the job's output is left")
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	fmt.Printf("%d maps and %d reduces in %v: %s\n", result.Maps, result.Reduces, result.Total.Round(time.Millisecond), result.Output)
	return 0
}

// Options are the job's for hadoop.Run, with flags as of `stoa hadoop`. before is what the program is given in the
// containers. The error is as hadoop.ParseArgs has it.
func (j Job[K, V]) Options(flags []string, before ...string) (hadoop.Options, error) {
	program, err := os.Executable()
	if err != nil {
		return hadoop.Options{}, fmt.Errorf("find this program: %w", err)
	}
	command := func(function string) string {
		text := functionVariable + "=" + function + " exec " + quote(program)
		for _, arg := range before {
			text += " " + quote(arg)
		}
		return text
	}
	var all []string
	if j.Name != "" {
		all = append(all, "-name", j.Name)
	}
	all = append(all, j.Flags...)
	all = append(append(all, flags...), "-mapper", command("map"), "-reducer", command("reduce"))
	options, err := hadoop.ParseArgs(all)
	options.Programs = append(options.Programs, program)
	return options, err
}

// quote writes a word so that a shell reads it as one.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// function runs one of the job's functions.
func (j Job[K, V]) function(name string, in io.Reader, out io.Writer) error {
	switch name {
	case "map":
		return j.Mapper(in, out)
	case "reduce":
		return j.Reducer(in, out)
	}
	return fmt.Errorf("%s=%s: allowed are map and reduce", functionVariable, name)
}
