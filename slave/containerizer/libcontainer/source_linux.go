//go:build cgo

package libcontainer

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// sources holds on to where volumes come from, by their real paths, while a
// container is made. libcontainer mounts a path; between the look at it and the
// mount, whoever may write above it can put something else there, a link to what
// is the slave's own perhaps. An open file can't be mounted in its place: the
// kernel binds only what belongs to the mount namespace it binds in. So the mount
// is compared with the file before the command runs.
type sources map[string]*os.File

// open opens what a path leads to, for nothing but to know it, and returns the
// real path.
func (s sources) open(path string) (string, error) {
	file, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		return "", err
	}
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		file.Close()
		return "", err
	}
	if before := s[real]; before != nil {
		before.Close()
	}
	s[real] = file
	return real, nil
}

// check compares what is mounted in the container of process init with what was
// opened.
func (s sources) check(id string, init int, volumes []containerizer.Volume) error {
	if len(s) == 0 {
		return nil
	}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", init), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, volume := range volumes {
		source := s[volume.HostPath]
		if volume.Own || source == nil {
			continue
		}
		err := isAt(root, volume.ContainerPath, source)
		if err != nil {
			return &containerizer.StartError{ID: id, Step: "volume " + volume.ContainerPath, Err: fmt.Errorf("%s: %w", volume.HostPath, err)}
		}
	}
	return nil
}

// isAt says whether the file is what a path leads to, with its links, below root.
func isAt(root *os.File, path string, file *os.File) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), path, &how)
	if err != nil {
		return &os.PathError{Op: "look at the mount", Path: path, Err: err}
	}
	mounted := os.NewFile(uintptr(fd), path)
	defer mounted.Close()
	want, err := file.Stat()
	if err != nil {
		return err
	}
	got, err := mounted.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(want, got) {
		return errors.New("something else was put there while it was mounted")
	}
	return nil
}

func (s sources) close() {
	for _, file := range s {
		file.Close()
	}
}
