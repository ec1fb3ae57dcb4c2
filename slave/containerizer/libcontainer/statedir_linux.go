//go:build cgo

package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostDir is the directory of one host in the state directory; doc.go draws it.
type hostDir struct {
	path   string
	lock   *os.File // held while the host lives
	memory *os.File // see openMemory; nil: what libcontainer remembers is on the disk
}

// hostRecord is host.json.
type hostRecord struct {
	// Cgroup is the one below which all containers of the host are.
	Cgroup string `json:"cgroup"`
}

const (
	lockName   = "lock"
	recordName = "host.json"
)

// errInUse says that a living host holds a directory.
var errInUse = errors.New("in use by a host that lives")

func (d hostDir) root(id string) string     { return filepath.Join(d.path, "roots", id) }
func (d hostDir) overlays(id string) string { return filepath.Join(d.path, "overlays", id) }

// containers is the directory of what libcontainer remembers.
func (d hostDir) containers() string {
	if d.memory != nil {
		return fmt.Sprintf("/proc/self/fd/%d", d.memory.Fd())
	}
	return filepath.Join(d.path, "containers")
}

// openMemory makes a file system in memory that is mounted nowhere: only this
// process reaches it, by the descriptor, and it goes with the process. Nobody else
// reads what libcontainer remembers of a container, and that is written several
// times per start. On a disk those files cost more than their bytes: ext4 does not
// use an inode again for minutes after its file was removed (recently_deleted in
// its ialloc.c), and whoever makes a file looks at each of them.
func openMemory() (*os.File, error) {
	context, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err) // Linux before 5.2
	}
	defer unix.Close(context)
	if err := unix.FsconfigSetString(context, "mode", "0700"); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	return os.NewFile(uintptr(mount), "tmpfs"), nil
}

// baseRoot is the id of the root that containers without mount points of their
// own in / share: no container can have it, for an id of that form is refused.
const baseRoot = "@base"

// openHostDir makes the directory of host id, or takes over what a dead host of
// that id left, and locks it.
func openHostDir(stateDir, id string) (hostDir, error) {
	path := filepath.Join(stateDir, id)
	for {
		if err := os.MkdirAll(path, 0o711); err != nil {
			return hostDir{}, err
		}
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another host's sweep took the empty directory
		}
		if err != nil {
			return hostDir{}, err
		}
		held, err := take(lock)
		if err != nil {
			return hostDir{}, fmt.Errorf("%s: %w", path, err) // what is there is another's
		}
		if held {
			return hostDir{path: path, lock: lock}, nil
		}
	}
}

// take locks an open lock file. It is false if the file was removed meanwhile.
func take(lock *os.File) (bool, error) {
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, errInUse
		}
		return false, os.NewSyscallError("flock", err)
	}
	mine, err := lock.Stat()
	if err != nil {
		lock.Close()
		return false, err
	}
	there, err := os.Stat(lock.Name())
	if err != nil || !os.SameFile(mine, there) {
		lock.Close()
		return false, nil
	}
	return true, nil
}

// deadHostDirs locks and returns the directories of hosts that are dead.
func deadHostDirs(stateDir string) ([]hostDir, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var dead []hostDir
	for _, entry := range entries {
		path := filepath.Join(stateDir, entry.Name())
		if !entry.IsDir() {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(path) // died before it could lock; one that is about to makes it anew
			continue
		}
		if err != nil {
			return dead, err
		}
		held, err := take(lock)
		if err != nil && !errors.Is(err, errInUse) {
			return dead, fmt.Errorf("%s: %w", path, err)
		}
		if held {
			dead = append(dead, hostDir{path: path, lock: lock})
		}
	}
	return dead, nil
}

// record says which cgroup the host uses, before it uses it.
func (d hostDir) record(record hostRecord) error {
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	temporary := filepath.Join(d.path, recordName+".new")
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(d.path, recordName))
}

// recorded reads what record wrote; it is zero if the host died before that.
func (d hostDir) recorded() (hostRecord, error) {
	var record hostRecord
	data, err := os.ReadFile(filepath.Join(d.path, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return record, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil {
		return record, fmt.Errorf("%s: %w", filepath.Join(d.path, recordName), err)
	}
	return record, nil
}

// remove removes the directory, the lock last, and the state directory if that
// was the last one in it.
func (d hostDir) remove() error {
	defer d.lock.Close()
	if d.memory != nil {
		d.memory.Close()
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() != lockName {
			if err := os.RemoveAll(filepath.Join(d.path, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(d.path); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(d.path)) // not empty while other hosts are in it
	return nil
}

// makeRoot makes the directory of mount points that becomes / inside: one entry
// for each of the machine's, the container's own, and what its volumes need.
func (d hostDir) makeRoot(id string, entries []rootEntry, points []rootPoint) (string, error) {
	root := d.root(id)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	for _, name := range ownAtRoot() {
		points = append(points, rootPoint{name: name, directory: true})
	}
	for _, entry := range entries {
		if entry.kind != rootLink {
			points = append(points, rootPoint{name: entry.name, directory: entry.kind != rootFile})
			continue
		}
		if err := os.Symlink(entry.target, filepath.Join(root, entry.name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	for _, point := range points {
		if err := makePoint(filepath.Join(root, point.name), point.directory); err != nil {
			return "", err
		}
	}
	return root, nil
}

// makeOverlays fills the directories that are laid over the machine's.
func makeOverlays(overlays []overlay) error {
	for _, overlay := range overlays {
		info, err := os.Stat(overlay.at)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(overlay.points, 0o755); err != nil {
			return err
		}
		// The merged directory has the mode and the owner of the upper one.
		if err := os.Chmod(overlay.points, info.Mode().Perm()|info.Mode()&fs.ModeSticky); err != nil {
			return err
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := os.Chown(overlay.points, int(owner.Uid), int(owner.Gid)); err != nil {
				return err
			}
		}
		for _, point := range overlay.create {
			path := filepath.Join(overlay.points, point.path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := makePoint(path, point.directory); err != nil {
				return err
			}
		}
		for _, name := range overlay.without {
			// What overlayfs takes for a name that is not there (Documentation/filesystems/overlayfs.rst, whiteouts).
			path := filepath.Join(overlay.points, name)
			if err := unix.Mknod(path, unix.S_IFCHR, 0); err != nil {
				return &os.PathError{Op: "mknod", Path: path, Err: err}
			}
		}
	}
	return nil
}

func makePoint(path string, directory bool) error {
	if directory {
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}
