// Package fake is a containerizer that runs nothing: a function answers how each
// command behaves, and time is that of package time, so it moves as a test says
// inside testing/synctest.
//
//	containers := fake.New(fake.Options{Answer: func(spec containerizer.Spec) fake.Behaviour {
//		return fake.Behaviour{Stdout: "hello\n", Lasts: 3 * time.Second, Status: fake.Exited(7)}
//	}})
//
// It walks the same lifecycle as the real ones and gives the same errors.
package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// Name is what Containerizer.Name gives.
const Name = "fake"

// Forever, as the length of a Behaviour, lets a command run until it is ended.
const Forever = time.Duration(1<<63 - 1)

// firstPID is the pid of the first command: above any that a real machine gives.
const firstPID = 1 << 23

// Behaviour is what a command does. The zero Behaviour succeeds at once.
type Behaviour struct {
	// StartLasts is how long Start takes.
	StartLasts time.Duration

	// StartError makes Start fail: a *containerizer.ExecError, for example.
	StartError error

	// Stdout and Stderr are written as soon as the command runs.
	Stdout, Stderr string

	// Lasts is how long the command runs if nothing ends it.
	Lasts time.Duration

	// Status is its wait status then: see Exited and Signaled.
	Status syscall.WaitStatus

	// OutOfMemory makes the kernel the cause of its end.
	OutOfMemory bool

	// Ignores lists signals that do not end it.
	Ignores []syscall.Signal

	// Stats is what it uses, while it runs and when it has ended.
	Stats containerizer.Stats
}

// Exited is the wait status of a command that exited with code, 0 to 255.
func Exited(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }

// Signaled is the wait status of a command that signal ended.
func Signaled(signal syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(signal) }

// Options says how commands behave. With the zero Options all succeed at once.
type Options struct {
	Answer func(containerizer.Spec) Behaviour
}

// Containerizer pretends.
type Containerizer struct {
	options Options

	mu      sync.Mutex
	closed  bool
	nextPID int
	running map[string]*Container
	started []containerizer.Spec
	sweeps  int
}

var (
	_ containerizer.Containerizer = (*Containerizer)(nil)
	_ containerizer.Container     = (*Container)(nil)
)

// New makes a containerizer.
func New(options Options) *Containerizer {
	if options.Answer == nil {
		options.Answer = func(containerizer.Spec) Behaviour { return Behaviour{} }
	}
	return &Containerizer{options: options, nextPID: firstPID, running: make(map[string]*Container)}
}

// Name is "fake".
func (c *Containerizer) Name() string { return Name }

// Missing says that nothing is real.
func (c *Containerizer) Missing() []string { return []string{"commands are not run"} }

// Binary is a path that does not exist.
func (c *Containerizer) Binary() string { return "/fake/stoa" }

// Started lists the specs of all starts so far, in order, failed ones too.
func (c *Containerizer) Started() []containerizer.Spec {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]containerizer.Spec(nil), c.started...)
}

// Running is the number of containers that are not gone.
func (c *Containerizer) Running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running)
}

// Sweeps is how often Sweep was called.
func (c *Containerizer) Sweeps() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sweeps
}

// Start answers as Options.Answer says.
func (c *Containerizer) Start(ctx context.Context, spec containerizer.Spec, stdio containerizer.Stdio) (containerizer.Container, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	one := &Container{spec: spec, behaviour: c.options.Answer(spec), ends: make(chan syscall.WaitStatus, 1), done: make(chan struct{})}
	one.life.MustTake(containerizer.Launch)
	if err := c.admit(one); err != nil {
		return nil, err
	}
	one.forget = func() { c.dismiss(one) }
	output, err := one.start(ctx, stdio)
	if err != nil {
		one.life.MustTake(containerizer.Fail)
		one.finish(Signaled(syscall.SIGKILL))
		return nil, err
	}
	go one.run(output)
	return one, nil
}

// Sweep only counts.
func (c *Containerizer) Sweep(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweeps++
	return nil
}

// Close ends what runs.
func (c *Containerizer) Close() error {
	c.mu.Lock()
	c.closed = true
	left := make([]*Container, 0, len(c.running))
	for _, one := range c.running {
		left = append(left, one)
	}
	c.mu.Unlock()
	for _, one := range left {
		_ = one.Kill() // can't fail here
		<-one.done
	}
	return nil
}

func (c *Containerizer) admit(one *Container) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = append(c.started, one.spec)
	switch {
	case c.closed:
		return &containerizer.StartError{ID: one.spec.ID, Step: "before it began", Err: os.ErrClosed}
	case c.running[one.spec.ID] != nil:
		return &containerizer.StartError{ID: one.spec.ID, Step: "before it began", Err: os.ErrExist}
	}
	one.pid = c.nextPID
	c.nextPID++
	c.running[one.spec.ID] = one
	return nil
}

func (c *Containerizer) dismiss(one *Container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, one.spec.ID)
}

// Container is one command that is not run.
type Container struct {
	spec      containerizer.Spec
	behaviour Behaviour
	life      containerizer.Life
	pid       int
	begun     time.Time
	forget    func()
	limits    atomic.Pointer[containerizer.Limits]
	ends      chan syscall.WaitStatus // what ended it from outside; room for one
	done      chan struct{}           // closed once exit is final
	exit      containerizer.Exit
}

// start lets the time of the start pass and takes copies of the streams, which
// the caller closes when Start has returned.
func (c *Container) start(ctx context.Context, stdio containerizer.Stdio) ([]io.Closer, error) {
	started, cancel := elapsed(c.behaviour.StartLasts)
	defer cancel()
	select {
	case <-ctx.Done():
		return nil, &containerizer.StartError{ID: c.spec.ID, Step: "starting", Err: ctx.Err()}
	case <-c.ends:
		return nil, &containerizer.StartError{ID: c.spec.ID, Step: "starting", Err: context.Canceled}
	case <-started:
	}
	if c.behaviour.StartError != nil {
		return nil, c.behaviour.StartError
	}
	var streams []io.Closer
	for _, output := range []struct {
		to   *os.File
		text string
	}{{stdio.Stdout, c.behaviour.Stdout}, {stdio.Stderr, c.behaviour.Stderr}} {
		if output.to == nil {
			continue
		}
		copied, err := syscall.Dup(int(output.to.Fd()))
		if err != nil {
			return nil, &containerizer.StartError{ID: c.spec.ID, Step: "starting", Err: err}
		}
		syscall.CloseOnExec(copied)
		streams = append(streams, &stream{file: os.NewFile(uintptr(copied), output.to.Name()), text: output.text})
	}
	c.begun = time.Now()
	if _, err := c.life.Take(containerizer.Execute); err != nil {
		for _, stream := range streams {
			_ = stream.Close()
		}
		return nil, &containerizer.StartError{ID: c.spec.ID, Step: "starting", Err: context.Canceled}
	}
	return streams, nil
}

// elapsed is closed after d, or when it is cancelled. It is not a timer's channel: whoever receives from one that is due fires the timer
// himself, and two at a time in a bubble of testing/synctest crash the race detector (golang/go#78156).
func elapsed(d time.Duration) (<-chan struct{}, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	return ctx.Done(), cancel
}

// stream writes its text when it is closed: the command's output.
type stream struct {
	file *os.File
	text string
}

func (s *stream) Close() error {
	_, err := io.WriteString(s.file, s.text)
	return errors.Join(err, s.file.Close())
}

func (c *Container) run(output []io.Closer) {
	for _, stream := range output {
		_ = stream.Close() // a reader that has gone is a command's own affair
	}
	status := c.behaviour.Status
	ended, cancel := elapsed(c.behaviour.Lasts)
	defer cancel()
	select {
	case <-ended:
	case status = <-c.ends:
	}
	c.life.MustTake(containerizer.End)
	c.finish(status)
}

func (c *Container) finish(status syscall.WaitStatus) {
	used := c.behaviour.Stats
	c.exit = containerizer.Exit{
		Status: status, Killed: c.life.Killed(status),
		OutOfMemory:     c.behaviour.OutOfMemory && status == c.behaviour.Status,
		MemoryPeakBytes: used.MemoryPeakBytes, MemoryLimitBytes: containerizer.MemoryLimit(c.spec.MemoryBytes),
		CPUSeconds: used.CPUSeconds, Started: c.begun, Finished: time.Now(),
	}
	c.life.MustTake(containerizer.Clean)
	c.forget()
	close(c.done)
}

// ID is the id of its spec.
func (c *Container) ID() string { return c.spec.ID }

// PID is a number of no process.
func (c *Container) PID() int { return c.pid }

// Wait blocks until the command has ended.
func (c *Container) Wait() (containerizer.Exit, error) {
	<-c.done
	return c.exit, nil
}

// Signal ends the command unless it ignores signal.
func (c *Container) Signal(signal syscall.Signal) error {
	if _, err := c.life.Take(containerizer.Signal); err != nil {
		return os.ErrProcessDone
	}
	if signal <= 0 || signal > 64 {
		return fmt.Errorf("signal %d: must be 1 to 64", int(signal))
	}
	for _, ignored := range c.behaviour.Ignores {
		if ignored == signal && signal != syscall.SIGKILL {
			return nil
		}
	}
	c.end(signal)
	return nil
}

// Kill ends the command.
func (c *Container) Kill() error {
	c.life.MustTake(containerizer.Kill)
	c.end(syscall.SIGKILL)
	return nil
}

func (c *Container) end(signal syscall.Signal) {
	select {
	case c.ends <- Signaled(signal):
	default: // something else has ended it already
	}
}

// Exec refuses: a command of which there is no process has none beside it either.
func (c *Container) Exec(containerizer.Exec, containerizer.Stdio) (containerizer.Process, error) {
	return nil, errors.New("fake containers have no further commands")
}

// Resize remembers limits.
func (c *Container) Resize(limits containerizer.Limits) error {
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return os.ErrProcessDone
	}
	c.limits.Store(&limits)
	return nil
}

// Limits are those of the last Resize, nil if there was none.
func (c *Container) Limits() *containerizer.Limits { return c.limits.Load() }

// Stats is what Behaviour.Stats says.
func (c *Container) Stats() (containerizer.Stats, error) {
	if _, err := c.life.Take(containerizer.Measure); err != nil {
		return containerizer.Stats{}, os.ErrProcessDone
	}
	return c.behaviour.Stats, nil
}
