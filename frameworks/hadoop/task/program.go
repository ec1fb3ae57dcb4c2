package task

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/encoding/protodelim"
)

// A program of the job's own gets the order on its standard input, with ProgramVariable set to the kind of task; and after
// it, each with its length before it, the map outputs that a reduce hears of later. Its RunProgram does the whole task with
// the program's functions: nothing of the data passes through a pipe. Only what it says comes back through some: reports and
// its last words by standard error, why it failed by failureFile.

// ProgramVariable tells a job's own program that it is a task: map or reduce.
const ProgramVariable = "STOA_MAPREDUCE_TASK"

// failureFile is the descriptor on which a job's own program tells its error.
const failureFile = 3

// maxFailureBytes is what is read of such an error.
const maxFailureBytes = 16 << 10

// memoryShare, in percent of the task's memory, is where a program's own memory should stay: the rest is for its stacks,
// its text and the kernel's buffers.
const memoryShare = 85

// ballastShare: one in so many bytes of the task's memory is counted by the collector as if it were in use, though nothing is
// there. A program that keeps little would have its garbage collected every 4 MB else, which is for each ten thousand keys of
// a reduce.
const ballastShare = 16

// ProgramError says how a job's own program ended that did not say so itself.
type ProgramError struct {
	Path   string
	Status syscall.WaitStatus
}

func (e *ProgramError) Error() string {
	if e.Status.Signaled() {
		return fmt.Sprintf("program %s was ended by signal %d (%v)", e.Path, e.Status.Signal(), e.Status.Signal())
	}
	return fmt.Sprintf("program %s exited with status %d", e.Path, e.Status.ExitStatus())
}

// runProgram has the order's program do the task, and gives its reports. The summary lies in the sandbox when the error
// is nil.
func (e Env) runProgram(ctx context.Context, kind string, program *taskpb.Program, order order, variables []string) (*taskpb.Reports, error) {
	told, tell, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the program: %w", err)
	}
	defer told.Close()
	path, err := e.programPath(string(program.GetPath()))
	if err != nil {
		return nil, err
	}
	reports := newReports()
	stderr := &reportWriter{reports: reports, rest: e.Stderr}
	cmd := exec.CommandContext(ctx, path, program.GetArguments()...)
	cmd.Dir = e.Sandbox
	cmd.Env = withBinary(append(append(append([]string{}, e.Environ...), variables...), ProgramVariable+"="+kind))
	cmd.Stdout, cmd.Stderr = e.Stderr, stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the program: %w", err)
	}
	cmd.ExtraFiles = []*os.File{tell}
	cmd.WaitDelay = stderrPatience
	kill := ownGroup(cmd)
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return nil, fmt.Errorf("start the program: %w", err)
	}
	if e.Started != nil {
		e.Started(cmd.Process.Pid)
	}
	fed, stopFeeding := context.WithCancel(ctx)
	var feeding sync.WaitGroup
	feeding.Go(func() {
		defer stdin.Close()
		e.feedProgram(fed, order, stdin)
	})
	defer feeding.Wait()
	defer stopFeeding()
	failure, _ := io.ReadAll(io.LimitReader(told, maxFailureBytes)) // its end is the program's, or that of who inherited it
	waitErr := cmd.Wait()
	_ = kill() // whatever the program has left running
	if errors.Is(waitErr, exec.ErrWaitDelay) {
		waitErr = nil
	}
	if err := stderr.end(); waitErr == nil {
		waitErr = err
	}
	if waitErr == nil {
		return reports.summary()
	}
	return nil, programError(path, waitErr, string(failure))
}

// feedProgram writes the order, and then what a reduce hears of later, until ctx ends. An error of writing is the program's
// end, which tells why by itself.
func (e Env) feedProgram(ctx context.Context, order order, w io.Writer) {
	_, err := protodelim.MarshalTo(w, order)
	reduce, ok := order.(*taskpb.ReduceTask)
	if !ok || reduce.GetMaps() == 0 || e.Inputs == nil {
		return
	}
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case <-e.Inputs.more:
			for _, in := range e.Inputs.take() {
				if _, err = protodelim.MarshalTo(w, in); err != nil {
					return
				}
			}
		}
	}
}

// programPath is where a program lies.
func (e Env) programPath(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(cmp.Or(e.Home, e.Sandbox), path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	return path, nil
}

// programError is why a program failed: in its own words if it had some.
func programError(path string, err error, failure string) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("wait for the program: %w", err)
	}
	if failure != "" {
		return errors.New(failure)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok {
		return &ProgramError{Path: path, Status: status}
	}
	return err
}

// RunProgram is the main function of a job's own program in a task: kind is what ProgramVariable says, stdin holds the
// order, the working directory is the sandbox. It returns the exit status.
func RunProgram(ctx context.Context, kind string, stdin io.Reader, functions Functions) int {
	status, err := runOrder(ctx, kind, stdin, functions)
	if err == nil {
		return 0
	}
	failure := os.NewFile(failureFile, "failure")
	if _, writeErr := io.WriteString(failure, strings.TrimSpace(err.Error())); writeErr != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return status
}

// readProgramOrder reads what feedProgram wrote at first.
func readProgramOrder(kind string, stdin protodelim.Reader) (order, error) {
	o, err := newOrder(kind)
	if err != nil {
		return nil, err
	}
	if err := (protodelim.UnmarshalOptions{MaxSize: MaxOrderBytes}).UnmarshalFrom(stdin, o); err != nil {
		return nil, fmt.Errorf("standard input is not the order of a %s task: %w", kind, err)
	}
	return o, nil
}

// read adds what feedProgram writes after the order, until its end.
func (i *Inputs) read(stdin protodelim.Reader) {
	for {
		in := &taskpb.MapOutput{}
		if protodelim.UnmarshalFrom(stdin, in) != nil {
			return
		}
		i.Add(in)
	}
}

func runOrder(ctx context.Context, kind string, stdin io.Reader, functions Functions) (int, error) {
	syscall.CloseOnExec(failureFile)
	input := bufio.NewReader(stdin)
	order, err := readProgramOrder(kind, input)
	if err != nil {
		return ExitBadOrder, err
	}
	fetcher, err := NewFetcher(os.Getenv(AuthorityVariable))
	if err != nil {
		return ExitBadOrder, err
	}
	runtime.GOMAXPROCS(max(1, int(order.GetCpus())))
	if bytes := order.GetMemoryBytes(); bytes > 0 {
		ballast := make([]byte, bytes/ballastShare)
		defer runtime.KeepAlive(ballast)
		debug.SetMemoryLimit(bytes/100*memoryShare + int64(len(ballast)))
	}
	env := Env{Stderr: os.Stderr, Environ: os.Environ(), Fetcher: fetcher, Functions: &functions, Inputs: NewInputs()}
	go env.Inputs.read(input)
	switch order := order.(type) {
	case *taskpb.MapTask:
		_, err = Map(ctx, order, env)
	case *taskpb.ReduceTask:
		_, err = Reduce(ctx, order, env)
	}
	if lost := (*LostError)(nil); errors.As(err, &lost) {
		return ExitOutputLost, err
	}
	if err != nil {
		return ExitFailed, err
	}
	return 0, nil
}
