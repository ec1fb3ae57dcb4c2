package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stoa-project/stoa/proto/wire"
)

// Exit codes of every command but run and task exec, which have those of the command that they run (see run.go).
const (
	exitOK     = 0
	exitFailed = 1 // the command was understood and failed
	exitUsage  = 2 // the command line, the environment or the configuration file is wrong
)

// stdio is what a command reads and writes; tests give buffers.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// exitError ends the program with a code of its own. Without an error nothing is printed: all has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is an error that the user mends by typing something else.
func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// execute runs one command line and returns its exit code. SIGINT and SIGTERM end its context.
func execute(ctx context.Context, args []string, std stdio) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(std)
	root.SetArgs(args)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	} else if isCobraUsage(err) {
		code = exitUsage
	}
	if ran != nil && (ran.Name() == "run" || ran.Name() == "exec") && (code == exitUsage || code == exitFailed) {
		code = exitStoaFailed
	}
	fmt.Fprintf(std.err, "stoa: %s\n", strings.TrimSpace(err.Error()))
	if code == exitUsage {
		fmt.Fprintf(std.err, "See '%s --help'.\n", ran.CommandPath())
	}
	return code
}

// isCobraUsage tells the errors that cobra itself makes of a wrong command line: it has no type for them.
func isCobraUsage(err error) bool {
	for _, start := range []string{"unknown command", "unknown flag", "unknown shorthand", "flag needs", "invalid argument", "accepts ", "requires at least", "required flag"} {
		if strings.HasPrefix(err.Error(), start) {
			return true
		}
	}
	return false
}

func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "stoa",
		Short: "A cluster manager made of actors",
		Long: `Stoa shares a cluster of machines between frameworks. A master offers the resources of its slaves;
a framework's scheduler accepts the offers it likes and says what to run; slaves run it in containers.

Every flag can also be given as an environment variable: --work_dir as STOA_WORK_DIR.
In flag names - and _ are the same.`,
		Example: `  stoa demo                                   # a first look: counts the words of Go's library
  stoa local                                  # a cluster on this machine, until Ctrl-C
  stoa run --cpus 0.5 -- sh -c 'echo hello'   # run a command on it`,
		Version:       wire.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("stoa {{.Version}}\n")
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetGlobalNormalizationFunc(normalizeFlag)
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "Start here:"},
		&cobra.Group{ID: groupWork, Title: "Run work:"},
		&cobra.Group{ID: groupLook, Title: "Look at a cluster:"},
		&cobra.Group{ID: groupDaemon, Title: "Daemons:"},
	)
	for _, command := range []*cobra.Command{
		newDemo(std), newLocal(std),
		newRun(std), newHadoop(std), newHadoopTask(std), newHadoopExecutor(),
		newNode(std), newFramework(std), newTask(std), newRole(std), newExplain(std), newTop(std), newQuota(std), newWeight(std), newMaintenance(std), newOffer(std), newReserve(std), newUnreserve(std), newVolume(std), newOperator(std),
		newMaster(std), newSlave(std), newHost(std), newReplay(std), newTLS(std),
	} {
		root.AddCommand(command)
	}
	root.InitDefaultHelpCmd()
	completeInAnyBash(root)
	return root
}

const (
	groupStart  = "start"
	groupWork   = "work"
	groupLook   = "look"
	groupDaemon = "daemon"
)

// normalizeFlag makes - and _ the same in flag names; help shows them with _.
func normalizeFlag(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "-", "_"))
}
