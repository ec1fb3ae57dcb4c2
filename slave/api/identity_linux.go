package api

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// identityOf names a file as long as it exists: by its number on its device, and by its birth, since numbers come
// around again.
func identityOf(file *os.File, info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	var born unix.StatxTimestamp // zero on a file system that does not know
	var more unix.Statx_t
	if err := unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &more); err == nil && more.Mask&unix.STATX_BTIME != 0 {
		born = more.Btime
	}
	return fmt.Sprintf("%x-%x-%x.%x", stat.Dev, stat.Ino, born.Sec, born.Nsec)
}
