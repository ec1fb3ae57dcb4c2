// Package disk measures what folders take on the disk, and removes them, whatever is in them.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// namesAtOnce is how many names of a folder are read at a time.
	namesAtOnce = 1024
	// blockBytes is the unit of st_blocks, whatever the file system's own blocks are.
	blockBytes = 512
)

// Usage is what a folder takes on the disk.
type Usage struct {
	Bytes uint64 // blocks, its own included; a file of several names counts once
	Files uint64 // files, folders and links, itself left out; a file of several names counts once
}

// Measure says what an open folder takes: as du counts, holes, other file systems and what links lead to not at all. The
// folder is its owner's, who may change it in any way meanwhile: nothing outside of it is looked at, no name and no depth is
// too much, what vanishes or can't be read counts nothing. With an error, the context's or because a folder was moved while
// it was looked at, it says what was counted until then.
func Measure(ctx context.Context, folder *os.File) (Usage, error) {
	return measureFolder(ctx, folder, nil)
}

// measureFolder is Measure with files that were counted before; nil: none were.
func measureFolder(ctx context.Context, folder *os.File, before *Unlinked) (Usage, error) {
	fd, err := unix.Openat(int(folder.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Usage{}, fmt.Errorf("measure %s: %w", folder.Name(), err)
	}
	m := &measure{ctx: ctx, linked: make(map[inode]bool)}
	if before != nil {
		m.usage, m.before = before.Usage, before.counted
	}
	if err := m.tree(fd); err != nil {
		return m.usage, fmt.Errorf("measure %s: %w", folder.Name(), err)
	}
	return m.usage, nil
}

// inode names a file, whatever its names.
type inode struct{ device, number uint64 }

// inodeOf converts, as the types of these fields differ between systems.
func inodeOf(stat *unix.Stat_t) inode { return inode{uint64(stat.Dev), stat.Ino} } //nolint:unconvert // of 32 bits elsewhere

// measure is one walk. It holds one folder open, and the names of those that it has still to look into: from a folder it
// goes back by "..", and sees by the inode that it is where it was.
type measure struct {
	ctx    context.Context
	usage  Usage
	linked map[inode]bool // files of several names that were counted
	before map[inode]bool // files that were counted when they had no name
	device uint64         // of the tree; other file systems are not the folder's
}

// level is a folder that is being walked.
type level struct {
	id      inode
	folders []string // that are left
}

// errMoved says that a folder was moved while it was walked.
var errMoved = errors.New("it was changed meanwhile")

// tree walks from the folder open as fd, which it closes.
func (m *measure) tree(fd int) (err error) {
	defer func() { unix.Close(fd) }()
	var top unix.Stat_t
	if err := unix.Fstat(fd, &top); err != nil {
		return err
	}
	m.device = inodeOf(&top).device
	m.usage.Bytes += blocks(&top)
	here, err := m.folder(fd, inodeOf(&top))
	if err != nil {
		return err
	}
	path := []level{here}
	for len(path) > 0 {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		last := &path[len(path)-1]
		if n := len(last.folders); n > 0 {
			name := last.folders[n-1]
			last.folders = last.folders[:n-1]
			next, below, ok := m.enter(fd, name)
			if ok {
				unix.Close(fd)
				fd, path = next, append(path, below)
			}
			continue
		}
		if path = path[:len(path)-1]; len(path) == 0 {
			return nil
		}
		up, err := above(fd, path[len(path)-1].id)
		if err != nil {
			return err
		}
		unix.Close(fd)
		fd = up
	}
	return nil
}

// above opens the folder that an open one is in, which must be a certain one.
func above(fd int, id inode) (int, error) {
	up, err := unix.Openat(fd, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	var stat unix.Stat_t
	if err = unix.Fstat(up, &stat); err == nil && inodeOf(&stat) != id {
		err = errMoved
	}
	if err != nil {
		unix.Close(up)
		return 0, err
	}
	return up, nil
}

// enter opens a folder and counts what is in it: false if it is none, or is gone, or not of this file system.
func (m *measure) enter(at int, name string) (fd int, below level, ok bool) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, level{}, false
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err == nil && inodeOf(&stat).device == m.device {
		if below, err = m.folder(fd, inodeOf(&stat)); err == nil {
			return fd, below, true
		}
	}
	unix.Close(fd)
	return 0, level{}, false
}

// folder counts what is in an open folder, and lists the folders in it.
func (m *measure) folder(fd int, id inode) (level, error) {
	found := level{id: id}
	err := eachName(fd, func(name string) {
		var entry unix.Stat_t
		if unix.Fstatat(fd, name, &entry, unix.AT_SYMLINK_NOFOLLOW) != nil {
			return // gone
		}
		m.count(&entry)
		if entry.Mode&unix.S_IFMT == unix.S_IFDIR {
			found.folders = append(found.folders, name)
		}
	})
	return found, err
}

// eachName does something with each name in an open folder.
func eachName(fd int, do func(name string)) error {
	// The copy has a place of its own in the list of names, and os.File closes it.
	copied, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	names := os.NewFile(uintptr(copied), "folder")
	defer names.Close()
	for {
		some, err := names.Readdirnames(namesAtOnce)
		for _, name := range some {
			do(name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// count adds an entry of a folder, unless it is a further name of a file or what is mounted there.
func (m *measure) count(stat *unix.Stat_t) {
	id := inodeOf(stat)
	if id.device != m.device || m.before[id] {
		return
	}
	if stat.Nlink > 1 && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		if m.linked[id] {
			return
		}
		m.linked[id] = true
	}
	m.usage.Bytes += blocks(stat)
	m.usage.Files++
}

func blocks(stat *unix.Stat_t) uint64 { return uint64(stat.Blocks) * blockBytes }
