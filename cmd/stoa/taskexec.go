package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stoa-project/stoa/frameworks/run"
	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/slave/containerizer"
)

// exitOfSignal and the number of the signal that ended a command are its exit status, as shells have it.
const exitOfSignal = 128

// defaultTerminal is the size of a command's terminal where this program has none.
var defaultTerminal = client.TerminalSize{Rows: 24, Columns: 80}

type execFlags struct {
	taskFlags
	stdin, terminal bool
	env             []string
}

func newTaskExec(std stdio) *cobra.Command {
	var flags execFlags
	command := &cobra.Command{
		Use:   "exec [flags] ID COMMAND [ARGS...]",
		Short: "Run a command beside a task's own, in its container",
		Long: `Runs a command in the container of a task that runs: with the task's user, environment, limits and view.
It ends with this program, or with the task, at the latest, and whatever it leaves running ends with it.

Exit status: the command's; 128 and the signal's number if a signal ended it; 126 not executable;
127 not found; 125 Stoa itself failed, or the task ended.`,
		Example: `  stoa task exec sleep-0 ps ax
  stoa task exec -it sleep-0 bash
  tar c folder | stoa task exec -i sleep-0 tar x`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError("%s needs a task's id and a command, as in: stoa task exec sleep-0 ps", command.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: flags.completeRunning,
		RunE: func(command *cobra.Command, args []string) error {
			rest := args[1:]
			if rest[0] == "--" && len(rest) > 1 {
				rest = rest[1:]
			}
			defer exitAtSecondInterrupt(command.Context())()
			return flags.run(context.WithoutCancel(command.Context()), std, args[0], rest)
		},
	}
	f := command.Flags()
	f.SetInterspersed(false) // what follows the id is the command's
	flags.addTask(f)
	f.BoolVarP(&flags.stdin, "stdin", "i", false, "pass on what this program reads")
	f.BoolVarP(&flags.terminal, "tty", "t", false, "give the command a terminal, of the size of this one")
	f.StringArrayVar(&flags.env, "env", nil, "`KEY=VALUE` in the command's environment, above the task's; may be repeated")
	return withSettings(command)
}

// run runs the command, and returns its exit status as an error.
func (f *execFlags) run(ctx context.Context, std stdio, id string, args []string) error {
	env, err := parseEnv(f.env)
	if err != nil {
		return err
	}
	placed, err := f.find(ctx, id, false)
	if err != nil {
		return err
	}
	placed.master.Close()
	slave, err := f.slaveClient(slaveAddress(placed.slave))
	if err != nil {
		return err
	}
	defer slave.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	passed := make(chan syscall.Signal)
	ended := make(chan struct{})
	defer close(ended)
	go passSignals(signals, passed, ended)
	exec := client.Exec{
		Framework: placed.task.GetFrameworkId().GetValue(), Task: placed.task.GetTaskId().GetValue(), Args: args,
		Stdout: std.out, Stderr: std.err, Signals: passed, Terminal: f.terminal,
	}
	for key, value := range env {
		exec.Environment = append(exec.Environment, key+"="+value)
	}
	if f.stdin {
		exec.Stdin = std.in
	}
	if f.terminal {
		restore, err := f.useTerminal(std, &exec, ended)
		if err != nil {
			return err
		}
		defer restore()
	}
	end, err := slave.Exec(ctx, exec)
	if err != nil {
		return fmt.Errorf("task %s: %w", exec.Task, err)
	}
	return execStatus(args[0], end)
}

// useTerminal has this terminal pass on every key as it is, and its size.
func (f *execFlags) useTerminal(std stdio, exec *client.Exec, ended <-chan struct{}) (restore func(), err error) {
	exec.Size = defaultTerminal
	restore = func() {}
	if name := os.Getenv("TERM"); name != "" {
		exec.Environment = append([]string{"TERM=" + name}, exec.Environment...)
	}
	own, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(own.Fd())) {
		return restore, nil
	}
	if size, ok := terminalSize(own); ok {
		exec.Size = size
	}
	resizes := make(chan client.TerminalSize)
	exec.Resizes = resizes
	go passSizes(own, resizes, ended)
	if !f.stdin {
		return restore, nil
	}
	state, err := term.MakeRaw(int(own.Fd()))
	if err != nil {
		return restore, fmt.Errorf("prepare the terminal: %w", err)
	}
	return func() { _ = term.Restore(int(own.Fd()), state) }, nil
}

func terminalSize(terminal *os.File) (client.TerminalSize, bool) {
	columns, rows, err := term.GetSize(int(terminal.Fd()))
	return client.TerminalSize{Rows: uint16(rows), Columns: uint16(columns)}, err == nil && rows > 0 && columns > 0
}

// passSizes tells of each new size of a terminal.
func passSizes(terminal *os.File, to chan<- client.TerminalSize, ended <-chan struct{}) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	defer signal.Stop(changed)
	for {
		select {
		case <-changed:
		case <-ended:
			return
		}
		size, ok := terminalSize(terminal)
		if !ok {
			continue
		}
		select {
		case to <- size:
		case <-ended:
			return
		}
	}
}

func passSignals(from <-chan os.Signal, to chan<- syscall.Signal, ended <-chan struct{}) {
	for {
		select {
		case one := <-from:
			number, _ := one.(syscall.Signal)
			select {
			case to <- number:
			case <-ended:
				return
			}
		case <-ended:
			return
		}
	}
}

// execStatus is the exit status of a shell that ran the command.
func execStatus(name string, end client.ExecEnd) error {
	exec := containerizer.ExecError{Path: name, Err: end.Errno}
	switch {
	case exec.NotFound():
		return &exitError{code: run.ExitNotFound, err: fmt.Errorf("command %q was not found", name)}
	case end.Errno != 0:
		return &exitError{code: run.ExitNotExecutable, err: fmt.Errorf("command %q can't be executed: %s", name, exec.Why())}
	case end.Status.Signaled():
		return &exitError{code: exitOfSignal + int(end.Status.Signal())}
	case end.Status.ExitStatus() != 0:
		return &exitError{code: end.Status.ExitStatus()}
	}
	return nil
}
