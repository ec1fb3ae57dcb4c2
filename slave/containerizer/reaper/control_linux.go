package reaper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// What the host says after the launch, and what it hears: as in reaper.c.
const (
	orderSignal = 1
	orderKill   = 2

	aboutToExecute = 1
	executed       = 2
	notExecuted    = 3
	ended          = 4
	present        = 5
	notEntered     = 6
)

const (
	headBytes   = 16 // of a launch: bytes of text, arguments, environment entries, limits: 32 bits each
	orderBytes  = 8  // kind, value: 32 bits each
	reportBytes = 24 // kind, value: 32 bits each; microseconds, kilobytes: 64 bits each
)

// ErrGone says that the reaper ended without a word: it was killed itself, or
// never became one.
var ErrGone = errors.New("the reaper ended without a word")

// ErrNotEntered says that the reaper could not enter a cgroup.
var ErrNotEntered = errors.New("the cgroup was not entered")

// End is a reaper's last word.
type End struct {
	// Status is the command's own wait status.
	Status syscall.WaitStatus

	// CPU is the processor time of the command and all that came from it.
	CPU time.Duration

	// PeakBytes is the largest resident size that a single process of them had.
	PeakBytes int64
}

// Control is the host's end of the conversation with one reaper. Present if
// that matters, Launch, then Started, then Wait; Signal and Kill may come from
// anywhere at any time after the launch.
type Control struct {
	conn *net.UnixConn
}

// New makes a pair: the host's end, and the file that the reaper gets as the
// descriptor that Variable names. The caller closes the file after the start.
func New() (*Control, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	// The receiver asks for credentials: that is how it learns the command's pid,
	// translated into its own pid namespace, without a race.
	err = unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.SetNonblock(pair[0], true)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "reaper"), os.NewFile(uintptr(pair[1]), "control")
	defer ours.Close() // FileConn makes a copy
	if err == nil {
		var conn net.Conn
		if conn, err = net.FileConn(ours); err == nil {
			return &Control{conn: conn.(*net.UnixConn)}, theirs, nil
		}
	}
	theirs.Close()
	return nil, nil, fmt.Errorf("control socket: %w", err)
}

// Present waits until the process is the reaper: a single thread, which starts
// no process before the launch. It returns ErrGone if the reaper ended. It may
// be called once.
func (c *Control) Present() error {
	// The head of a launch with nothing to execute. That it can't be written says what next says better.
	_, _ = c.conn.Write(make([]byte, headBytes))
	report, _, err := c.next()
	if err == nil && report.kind != present {
		err = fmt.Errorf("reaper said %d before the launch", report.kind)
	}
	return err
}

// Launch tells the reaper what to execute: spec's command with its arguments,
// environment and resource limits. The rest of spec is not the reaper's business.
// Before that the reaper enters cgroups of the first version, each of which is
// given by its file "tasks", open for writing: at most MaxCgroups.
func (c *Control) Launch(spec containerizer.Spec, cgroups ...*os.File) error {
	if len(cgroups) > MaxCgroups {
		return fmt.Errorf("%d cgroups to enter: must be at most %d", len(cgroups), MaxCgroups)
	}
	var text bytes.Buffer
	for _, list := range [][]string{{spec.Command()}, spec.Args, spec.Env} {
		for _, entry := range list {
			text.WriteString(entry)
			text.WriteByte(0)
		}
	}
	if text.Len() > MaxLaunchBytes {
		return syscall.E2BIG
	}
	message := binary.NativeEndian.AppendUint32(nil, uint32(text.Len()))
	for _, count := range []int{len(spec.Args), len(spec.Env), len(spec.Rlimits)} {
		message = binary.NativeEndian.AppendUint32(message, uint32(count))
	}
	message = append(message, text.Bytes()...)
	for _, limit := range spec.Rlimits {
		message = binary.NativeEndian.AppendUint64(message, uint64(limit.Resource))
		message = binary.NativeEndian.AppendUint64(message, limit.Soft)
		message = binary.NativeEndian.AppendUint64(message, limit.Hard)
	}
	var rights []byte
	if len(cgroups) > 0 {
		descriptors := make([]int, len(cgroups))
		for i, file := range cgroups {
			descriptors[i] = int(file.Fd())
		}
		rights = unix.UnixRights(descriptors...)
	}
	n, _, err := c.conn.WriteMsgUnix(message, rights, nil)
	if err == nil && n < len(message) {
		_, err = c.conn.Write(message[n:])
	}
	return err
}

// Started waits until the command's execve has succeeded and returns the
// command's pid as the caller's pid namespace sees it. It returns a
// syscall.Errno if execve failed, ErrGone if the reaper ended, and ErrNotEntered
// if a cgroup could not be entered.
func (c *Control) Started() (int, error) {
	pid := 0
	for {
		report, sender, err := c.next()
		if err != nil {
			return 0, err
		}
		switch report.kind {
		case aboutToExecute:
			pid = sender
		case executed:
			return pid, nil
		case notExecuted:
			return 0, syscall.Errno(report.value)
		case notEntered:
			return 0, fmt.Errorf("%w: %s", ErrNotEntered, syscall.Errno(report.value).Error()) // of which the command is not to blame
		default:
			return 0, fmt.Errorf("reaper said %d before the command was executed", report.kind)
		}
	}
}

// Wait waits for the reaper's last word, which comes when every process below
// it has gone, and returns ErrGone if there was none.
func (c *Control) Wait() (End, error) {
	report, _, err := c.next()
	if err != nil {
		return End{}, err
	}
	if report.kind != ended {
		return End{}, fmt.Errorf("reaper said %d while the command ran", report.kind)
	}
	return End{
		Status:    syscall.WaitStatus(report.value),
		CPU:       time.Duration(report.microseconds) * time.Microsecond,
		PeakBytes: int64(report.kilobytes) << 10,
	}, nil
}

// Signal has the reaper send a signal to the command. It returns
// os.ErrProcessDone if the reaper has ended.
func (c *Control) Signal(signal syscall.Signal) error { return c.order(orderSignal, int32(signal)) }

// Kill has the reaper kill everything below it. To kill what has ended is no error.
func (c *Control) Kill() error {
	if err := c.order(orderKill, 0); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Close cuts the lifeline: whatever still runs is killed.
func (c *Control) Close() error { return c.conn.Close() }

func (c *Control) order(kind uint32, value int32) error {
	message := binary.NativeEndian.AppendUint32(make([]byte, 0, orderBytes), kind)
	_, err := c.conn.Write(binary.NativeEndian.AppendUint32(message, uint32(value)))
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) {
		return os.ErrProcessDone
	}
	return err
}

type report struct {
	kind                    uint32
	value                   int32
	microseconds, kilobytes uint64
}

// next reads one report and the pid of its sender.
func (c *Control) next() (report, int, error) {
	buffer, rights := make([]byte, reportBytes), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	sender := 0
	for read := 0; read < reportBytes; {
		n, rightsRead, _, _, err := c.conn.ReadMsgUnix(buffer[read:], rights)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed), err == nil && n == 0:
			return report{}, 0, ErrGone
		case err != nil:
			return report{}, 0, err
		}
		read += n
		if pid, ok := senderOf(rights[:rightsRead]); ok {
			sender = pid
		}
	}
	return report{
		kind:         binary.NativeEndian.Uint32(buffer),
		value:        int32(binary.NativeEndian.Uint32(buffer[4:])),
		microseconds: binary.NativeEndian.Uint64(buffer[8:]),
		kilobytes:    binary.NativeEndian.Uint64(buffer[16:]),
	}, sender, nil
}

func senderOf(rights []byte) (int, bool) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return 0, false
	}
	credentials, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil {
		return 0, false
	}
	return int(credentials.Pid), true
}
