package fetcher

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openAs opens a file with the rights of a user: by a thread of its own that has them, and that ends with it.
func openAs(as identity, path string) (*os.File, error) {
	if !as.other || os.Geteuid() != 0 {
		return openHere(path)
	}
	type answer struct {
		file *os.File
		err  error
	}
	answers := make(chan answer)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		var a answer
		if a.err = become(as); a.err == nil {
			a.file, a.err = openHere(path)
		}
		answers <- a
	}()
	a := <-answers
	return a.file, a.err
}

// openHere opens a file of a disk. What the kernel has in /proc tells of the slave itself, its environment for one, and
// the links there lead to what processes have open, and into other containers.
func openHere(path string) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, // a pipe would be waited for
		Resolve: unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	var system unix.Statfs_t
	if err := unix.Fstatfs(fd, &system); err != nil {
		file.Close()
		return nil, &os.PathError{Op: "look at", Path: path, Err: err}
	}
	if system.Type == unix.PROC_SUPER_MAGIC {
		file.Close()
		return nil, errors.New("it must be a file of a disk, and is the kernel's about a process")
	}
	return file, nil
}

// become gives the calling thread, and no other, a user's rights to files. With the user id go the privileges that
// would override them.
func become(as identity) error {
	groups := make([]uint32, 0, len(as.groups)+1)
	for _, group := range append(as.groups, as.gid) {
		groups = append(groups, uint32(group))
	}
	// The library's own call would be for all threads.
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0); errno != 0 {
		return fmt.Errorf("set groups: %w", errno)
	}
	if err := unix.Setfsgid(as.gid); err != nil {
		return fmt.Errorf("become group %d: %w", as.gid, err)
	}
	if err := unix.Setfsuid(as.uid); err != nil {
		return fmt.Errorf("become user %d: %w", as.uid, err)
	}
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != as.uid {
		return fmt.Errorf("become user %d: it is still %d", as.uid, now)
	}
	return nil
}

// realPath is where an open file is.
func realPath(file *os.File) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
}
