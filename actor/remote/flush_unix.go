//go:build unix

package remote

import "syscall"

// writeSome is write(2) on a socket that does not block.
func writeSome(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }
