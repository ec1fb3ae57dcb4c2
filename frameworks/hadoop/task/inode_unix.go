//go:build unix

package task

import (
	"io/fs"
	"syscall"
)

// inodeOf is the number by which a file's system knows it; 0 if it does not tell.
func inodeOf(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
