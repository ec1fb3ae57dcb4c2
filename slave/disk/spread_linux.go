package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// topDirectory is EXT4_TOPDIR_FL, chattr's T.
const topDirectory = 0x20000

// Spread tells the file system that the folders which are made in this one from
// now on have nothing to do with each other, so that it need not put them side by
// side. It is a hint that ext4 alone understands; elsewhere nothing happens.
//
// Without it, all sandboxes of a slave share one of ext4's groups of inodes, and so
// does what was deleted of them. Without a journal ext4 passes over each inode that was
// deleted within the last minutes, one by one, whenever something is made
// (recently_deleted in fs/ext4/ialloc.c): with thousands of them, half a millisecond
// for each file and folder of a sandbox (BenchmarkMakeSandbox in slave/checkpoint).
func Spread(folder *os.File) {
	fd := int(folder.Fd())
	var system unix.Statfs_t
	if unix.Fstatfs(fd, &system) != nil || system.Type != unix.EXT4_SUPER_MAGIC {
		return
	}
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil || flags&topDirectory != 0 {
		return
	}
	_ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags|topDirectory))
}
