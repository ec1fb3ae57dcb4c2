package task

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipeBytes is the capacity of the pipes to and from commands, so that a command and its feeder switch seldom. It is
// the most that Linux allows an ordinary user by default (/proc/sys/fs/pipe-max-size).
const pipeBytes = 1 << 20

// widen gives a pipe more room. A system that does not allow it costs speed only.
func widen(pipe *os.File) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
}
