package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Remove deletes what has a name in an open folder, with all that is in it. That it is gone already is no error. What is in it may
// be anybody's work: links are not followed, no name and no depth is too much, for one folder is open at a time, and what the
// owner of a folder has closed to himself is opened if that is who removes it. What is mounted there is left alone, with the
// folders above it. The rest goes even if something stays; the error has the first that did.
func Remove(in *os.File, name string) error {
	fd, err := unix.Openat(int(in.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open folder %s: %w", in.Name(), err)
	}
	var r removal
	return r.tree(fd, name)
}

// RemovePath is Remove of what is at a path.
func RemovePath(path string) error {
	in, err := os.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	return Remove(in, filepath.Base(path))
}

// removal is one walk, as measure is one.
type removal struct{ failed error }

var errMounted = errors.New("something is mounted there: unmount it")

// tree removes what has a name in the folder open as fd, which it closes.
func (r *removal) tree(fd int, name string) error {
	defer func() { unix.Close(fd) }()
	var top unix.Stat_t
	if err := unix.Fstat(fd, &top); err != nil {
		return err
	}
	path := []level{{id: inodeOf(&top)}}
	if r.isFolder(fd, name) {
		path[0].folders = []string{name}
	}
	for {
		last := &path[len(path)-1]
		n := len(last.folders)
		if n > 0 {
			next, below, err := r.enter(fd, last.folders[n-1])
			if err == nil {
				unix.Close(fd)
				fd, path = next, append(path, below)
				continue
			}
			r.stays(last.folders[n-1], err)
			last.folders = last.folders[:n-1]
			continue
		}
		if path = path[:len(path)-1]; len(path) == 0 {
			return r.failed
		}
		last = &path[len(path)-1]
		up, err := above(fd, last.id)
		if err != nil {
			return errors.Join(r.failed, err)
		}
		unix.Close(fd)
		fd = up
		emptied := last.folders[len(last.folders)-1]
		last.folders = last.folders[:len(last.folders)-1]
		r.stays(emptied, unix.Unlinkat(fd, emptied, unix.AT_REMOVEDIR))
	}
}

// stays remembers that something could not be removed: not if err is nil, or says that it is gone.
func (r *removal) stays(name string, err error) {
	if err != nil && !errors.Is(err, unix.ENOENT) && r.failed == nil {
		r.failed = fmt.Errorf("%.256q stays: %w", name, err)
	}
}

// isFolder removes what has a name in an open folder, unless that is a folder.
func (r *removal) isFolder(at int, name string) bool {
	err := unix.Unlinkat(at, name, 0)
	if err == nil {
		return false
	}
	var stat unix.Stat_t // systems differ in what they say of a folder
	if unix.Fstatat(at, name, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		return true
	}
	r.stays(name, err)
	return false
}

// enter opens a folder and removes what is in it but for the folders, which it lists.
func (r *removal) enter(at int, name string) (fd int, below level, err error) {
	fd, err = openFolder(at, name)
	switch {
	case errors.Is(err, unix.EXDEV):
		return 0, level{}, errMounted
	case errors.Is(err, unix.EACCES):
		if err = unlock(at, name); err == nil {
			fd, err = openFolder(at, name)
		}
	}
	if err != nil {
		return 0, level{}, err
	}
	var stat unix.Stat_t
	if err = unix.Fstat(fd, &stat); err == nil {
		if stat.Mode&unix.S_IRWXU != unix.S_IRWXU {
			_ = unix.Fchmod(fd, unix.S_IRWXU) // if that fails, so does what follows, and tells
		}
		below, err = r.empty(fd, inodeOf(&stat))
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, below, err
}

// empty removes what is in an open folder but for the folders, which it lists.
func (r *removal) empty(fd int, id inode) (level, error) {
	found := level{id: id}
	err := eachName(fd, func(name string) {
		if r.isFolder(fd, name) {
			found.folders = append(found.folders, name)
		}
	})
	return found, err
}
