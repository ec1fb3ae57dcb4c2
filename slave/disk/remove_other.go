//go:build !linux

package disk

import "golang.org/x/sys/unix"

// openFolder opens a folder that is no link. One of another file system is unix.EXDEV.
func openFolder(at int, name string) (int, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	var here, there unix.Stat_t
	if err = unix.Fstat(at, &here); err == nil {
		err = unix.Fstat(fd, &there)
	}
	if err == nil && inodeOf(&here).device != inodeOf(&there).device {
		err = unix.EXDEV
	}
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// unlock lets the owner of a folder read it.
func unlock(at int, name string) error {
	return unix.Fchmodat(at, name, unix.S_IRWXU, unix.AT_SYMLINK_NOFOLLOW)
}
