//go:build unix

// Package terminal makes pseudo-terminals for further commands of containers, and sizes them.
package terminal

import (
	"fmt"
	"os"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// New makes a pseudo-terminal: the end that a command has, and the other one. Both are the caller's to close.
func New() (theirs, ours *os.File, err error) {
	master, path, err := console.NewPty()
	if err != nil {
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	theirs, err = os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	ours, err = Pollable(int(master.Fd()))
	master.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return theirs, ours, nil
}

// Pollable opens a terminal's descriptor once more, so that reading from it can be interrupted, as from a pipe.
func Pollable(terminal int) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(terminal), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal again: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open a terminal again: %w", err)
	}
	return os.NewFile(uintptr(fd), "terminal"), nil
}

// Resize tells a terminal, by either end, how many characters it shows.
func Resize(terminal *os.File, rows, columns uint16) error {
	conn, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
	if err == nil {
		err = failed
	}
	return err
}
