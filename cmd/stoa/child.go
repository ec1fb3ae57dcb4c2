package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Limits of a supervised child process.
const (
	childRestartFirst = 100 * time.Millisecond // wait before a dead child is started again …
	childRestartMost  = 5 * time.Second        // … doubled each time up to this …
	childRestartReset = 10 * time.Second       // … and forgotten after a life this long
	childStopTimeout  = 4 * time.Second        // from the closed lifeline to SIGKILL
)

// child is a daemon that is kept alive: a process of this binary which is started again when it dies. It holds the
// read end of a pipe that ends with this process, and keeps its listening socket over all its lives.
type child struct {
	name     string   // of the daemon's log and in messages: "master", "slave-1"
	args     []string // from the subcommand on
	dir      string   // where its log lies
	listener *os.File
	lock     *os.File                         // of the cluster's directory
	report   func(format string, args ...any) // one line to people when it dies

	mutex    sync.Mutex
	process  *os.Process
	lifeline *os.File
	quit     chan struct{} // closed when it is to end
	done     chan struct{} // closed when it has ended for good
}

// Descriptors as the child sees them.
const (
	childListenerFD = 3
	childLifelineFD = 4
)

// run starts the child and returns once its first life has begun.
func (c *child) run() error {
	c.quit, c.done = make(chan struct{}), make(chan struct{})
	command, err := c.start()
	if err != nil {
		return err
	}
	go c.supervise(command)
	return nil
}

func (c *child) start() (*exec.Cmd, error) {
	self, err := ownProgram()
	if err != nil {
		return nil, fmt.Errorf("find the program of %s: %w", c.name, err)
	}
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", c.name, err)
	}
	defer log.Close()
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("lifeline of %s: %w", c.name, err)
	}
	defer theirs.Close()
	command := exec.Command(self)
	command.Args = append([]string{"stoa"}, c.args...)
	command.Args = append(command.Args, "--listener_fd", fmt.Sprint(childListenerFD), "--lifeline_fd", fmt.Sprint(childLifelineFD), "--ephemeral")
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{c.listener, theirs, c.lock}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is this process's to handle
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.stopping() {
		ours.Close()
		return nil, errStopping
	}
	if err := command.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	c.process, c.lifeline = command.Process, ours
	return command, nil
}

var errStopping = errors.New("stopping")

func (c *child) stopping() bool {
	select {
	case <-c.quit:
		return true
	default:
		return false
	}
}

// supervise waits for the child and starts it again, with back-off, until it is to end.
func (c *child) supervise(command *exec.Cmd) {
	defer close(c.done)
	wait := childRestartFirst
	for {
		born := time.Now()
		err := command.Wait()
		c.mutex.Lock()
		c.lifeline.Close()
		c.mutex.Unlock()
		if c.stopping() {
			return
		}
		if time.Since(born) > childRestartReset {
			wait = childRestartFirst
		}
		c.report("%s ended (%s); starting it again", c.name, describeExit(err))
		for {
			select {
			case <-time.After(wait):
			case <-c.quit:
				return
			}
			wait = min(2*wait, childRestartMost)
			if command, err = c.start(); err == nil {
				break
			} else if errors.Is(err, errStopping) {
				return
			}
			c.report("%v", err)
		}
	}
}

func describeExit(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// hangUp tells the child to end by closing its lifeline.
func (c *child) hangUp() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	close(c.quit)
	c.lifeline.Close()
}

// wait returns when the child has ended; after childStopTimeout it is killed.
func (c *child) wait() {
	select {
	case <-c.done:
	case <-time.After(childStopTimeout):
		c.mutex.Lock()
		_ = c.process.Kill()
		c.mutex.Unlock()
		<-c.done
	}
	c.listener.Close()
}

// socket opens a listening socket to be handed to a child.
func socket(ip string, port int) (*os.File, net.Addr, error) {
	listener, err := listen(ip, port)
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	return file, listener.Addr(), err
}

// ownProgram is the path by which this program starts itself once more, where the system has one also when the file has
// been replaced or removed since.
func ownProgram() (string, error) {
	const linux = "/proc/self/exe"
	if _, err := os.Stat(linux); err == nil {
		return linux, nil
	}
	return os.Executable()
}
