//go:build cgo

package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// facts is everything that the isolators have to know of the machine and of one
// container. Gathering them is the only part that looks; the rest is pure.
type facts struct {
	spec   containerizer.Spec
	user   identity
	rootfs string // the directory of mount points that becomes /
	cgroup string // path in every hierarchy

	root        []rootEntry // what / has on the machine and keeps inside
	runAt       []string    // where an own tmpfs stands for /run
	temporary   string      // the folder that is seen at temporaryAt
	temporaryAt []string
	hiddenDirs  []string
	hiddenFiles []string
	maskedAt    []string // paths inside at which volumes, or the machine's files, would show what is hidden
	names       []alias
	binary      string // path of the stoa binary on the machine
	overlays    []overlay
	volumes     []containerizer.Volume // in the order of mounting; container paths absolute

	swapLimit    bool     // the kernel can limit swap
	capabilities []string // those of rootCapabilities that the host has
}

// identity is as whom the command runs.
type identity struct {
	uid, gid int
	groups   []int
}

// rootEntry is one name in the machine's root directory.
type rootEntry struct {
	name   string
	kind   rootKind
	target string // of a link
}

type rootKind int

const (
	rootDirectory rootKind = iota
	rootFile
	rootLink
	rootEmpty // a directory with nothing in it: its mount point shows all there is to see
)

// alias is a file that must be seen at a path which something private covers.
type alias struct{ source, at string }

// overlay adds mount points to a directory of the machine that lacks them, and
// takes names from it.
type overlay struct {
	at      string   // the directory, which exists
	points  string   // a directory of the host's state with the mount points, laid over it
	create  []point  // what to make in points
	without []string // the names in at that are not there, whatever has them
	below   []string // mounts of the machine below at, which an overlay would not show
}

// point is a mount point to create.
type point struct {
	path      string // relative
	directory bool
}

// The paths where something of the container's own stands instead of the
// machine's: what lies below them on the machine is not seen.
func privatePaths() []string {
	return []string{"/dev", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp"}
}

// namingFiles are the files by which names are resolved. On many machines they
// are links into /run, which is private inside.
func namingFiles() []string {
	return []string{"/etc/hostname", "/etc/hosts", "/etc/localtime", "/etc/resolv.conf"}
}

// maxLinks is how many symbolic links are followed for one path: the kernel's own limit.
const maxLinks = 40

// below reports whether path is directory or lies below it.
func below(path, directory string) bool {
	rest, ok := strings.CutPrefix(path, directory)
	return ok && (rest == "" || rest[0] == '/' || directory == "/")
}

func belowAny(path string, directories []string) bool {
	return slices.ContainsFunc(directories, func(directory string) bool { return below(path, directory) })
}

// identify finds the user that the command runs as; "" is the host's own.
func identify(name string) (identity, error) {
	if name == "" {
		groups, err := os.Getgroups()
		return identity{uid: os.Geteuid(), gid: os.Getegid(), groups: groups}, err
	}
	found, err := user.Lookup(name)
	if err != nil {
		if found, err = user.LookupId(name); err != nil {
			return identity{}, &containerizer.SpecError{Field: "User", Value: name, Allowed: "the name or the id of a user of this machine"}
		}
	}
	texts, err := found.GroupIds()
	if err != nil {
		return identity{}, fmt.Errorf("groups of user %s: %w", name, err)
	}
	numbers := make([]int, 0, len(texts)+2)
	for _, text := range append([]string{found.Uid, found.Gid}, texts...) {
		number, err := strconv.Atoi(text)
		if err != nil {
			return identity{}, fmt.Errorf("user %s: id %q is not a number", name, text)
		}
		numbers = append(numbers, number)
	}
	return identity{uid: numbers[0], gid: numbers[1], groups: numbers[2:]}, nil
}

// rootEntries lists what of the machine's / is seen inside.
func rootEntries() ([]rootEntry, error) {
	listed, err := os.ReadDir("/")
	if err != nil {
		return nil, err
	}
	entries := make([]rootEntry, 0, len(listed))
	for _, one := range listed {
		if slices.Contains(ownAtRoot(), one.Name()) {
			continue
		}
		entry := rootEntry{name: one.Name()}
		switch {
		case one.IsDir():
			if isEmpty("/" + one.Name()) {
				entry.kind = rootEmpty
			}
		case one.Type().IsRegular():
			entry.kind = rootFile
		case one.Type()&fs.ModeSymlink != 0:
			entry.kind = rootLink
			if entry.target, err = os.Readlink("/" + one.Name()); err != nil {
				return nil, err
			}
		default:
			continue // a socket or a device at the root of a machine is no file system
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// isEmpty reports whether a directory can be read and has no entry.
func isEmpty(directory string) bool {
	opened, err := os.Open(directory)
	if err != nil {
		return false
	}
	defer opened.Close()
	_, err = opened.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

// ownAtRoot lists the directories of / that are the container's own.
func ownAtRoot() []string { return []string{"dev", "proc", "run", "sys", "tmp"} }

// runPaths lists where /run is to be replaced: /var/run is a link to it on most
// machines, and a directory on some.
func runPaths() []string {
	return append([]string{"/run"}, realDirectories("/var/run")...)
}

func temporaryPaths() []string {
	return append([]string{"/tmp"}, realDirectories("/var/tmp")...)
}

func realDirectories(paths ...string) []string {
	return slices.DeleteFunc(paths, func(path string) bool {
		info, err := os.Lstat(path)
		return err != nil || !info.IsDir()
	})
}

// pointsInTemporary are the mount points, relative to the folder that is seen as
// /tmp, that hiding directories takes.
func pointsInTemporary(hidden []string) []string {
	var points []string
	for _, directory := range hidden {
		for _, at := range temporaryPaths() {
			if below(directory, at) {
				points = append(points, strings.TrimPrefix(strings.TrimPrefix(directory, at), "/"))
			}
		}
	}
	return points
}

// realPaths resolves what of paths exists.
func realPaths(paths []string) []string {
	var found []string
	for _, path := range paths {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			found = append(found, real)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// hiddenPaths sorts out what of real paths is not hidden anyway, and is a
// directory or a file.
func hiddenPaths(real []string) (directories, files []string) {
	for _, path := range real {
		info, err := os.Stat(path)
		switch {
		case err != nil || belowAny(path, privatePaths()) || belowAny(path, directories):
		case info.IsDir():
			directories = append(directories, path)
		default:
			files = append(files, path)
		}
	}
	return directories, files
}

// namingAliases lists what must be shown below a private path so that the files
// of names, which are links into it, still lead somewhere.
func namingAliases(files []string) []alias {
	var aliases []alias
	for _, file := range files {
		at := file
		for range maxLinks {
			if belowAny(at, privatePaths()) {
				if source, err := filepath.EvalSymlinks(at); err == nil {
					aliases = append(aliases, alias{source: source, at: at})
				}
				break
			}
			target, err := os.Readlink(at)
			if err != nil {
				break
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(at), target)
			}
			at = filepath.Clean(target)
		}
	}
	return aliases
}

// makeTemporary makes the folder that is seen as /tmp, and in it the mount points
// that are wanted. (Made from inside, they would keep the container's memory cgroup
// from going with it: what the kernel remembers of a file is charged to whoever made
// it.) What was put into the sandbox before must not lead elsewhere by a link.
func makeTemporary(sandbox string, points []string) (string, error) {
	root, err := os.OpenRoot(sandbox)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := root.Mkdir(TemporaryName, 0o700); err != nil && !os.IsExist(err) {
		return "", err
	}
	path := filepath.Join(sandbox, TemporaryName)
	info, err := root.Lstat(TemporaryName)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is a %s: must be a directory, or not exist", path, kindOf(info.Mode()))
	}
	for _, point := range points {
		if err := root.MkdirAll(filepath.Join(TemporaryName, point), 0o755); err != nil {
			return "", err
		}
	}
	return path, root.Chmod(TemporaryName, 0o777|fs.ModeSticky)
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode.IsDir():
		return "directory"
	case mode.IsRegular():
		return "file"
	}
	return "special file"
}

// processViews lists where the machine shows its processes: wherever the kernel's
// file system of them is mounted, in /proc and in the folders of other systems. Who
// sees a process of his own user's there sees its environment, and through its links
// the files of its container, with all that is hidden from him.
func processViews(mounts []*mountinfo.Info) []string {
	var views []string
	for _, mount := range mounts {
		if mount.FSType == "proc" {
			views = append(views, mount.Mountpoint)
		}
	}
	slices.Sort(views)
	return slices.Compact(views)
}

// otherName is where else something is seen.
type otherName struct{ name, of string }

// otherNames lists where else what is at real paths, or below them, may be seen: what
// holds it may be mounted several times, as a whole or a folder of it. Something else may
// be mounted over such a place, so that it leads elsewhere.
func otherNames(paths []string, mounts []*mountinfo.Info) []otherName {
	var others []otherName
	for _, path := range paths {
		holder := holderOf(path, mounts)
		if holder == nil {
			continue
		}
		within := filepath.Join(holder.Root, strings.TrimPrefix(path, holder.Mountpoint))
		for _, mount := range mounts {
			switch {
			case mount == holder || mount.Major != holder.Major || mount.Minor != holder.Minor:
			case below(within, mount.Root):
				others = append(others, otherName{filepath.Join(mount.Mountpoint, strings.TrimPrefix(within, mount.Root)), path})
			case below(mount.Root, within): // a part of it
				others = append(others, otherName{mount.Mountpoint, filepath.Join(path, strings.TrimPrefix(mount.Root, within))})
			}
		}
	}
	return slices.DeleteFunc(others, func(other otherName) bool { return belowAny(other.name, paths) })
}

// seenElsewhere lists where else what is at real paths, or below them, is seen, sorted.
func seenElsewhere(paths []string, mounts []*mountinfo.Info) []string {
	var seen []string
	for _, other := range otherNames(paths, mounts) {
		there, err := os.Lstat(other.name)
		here, failed := os.Lstat(other.of)
		if err == nil && failed == nil && os.SameFile(there, here) {
			seen = append(seen, other.name)
		}
	}
	slices.Sort(seen)
	return slices.Compact(seen)
}

// holderOf is the mount that a path is in: of several at one place the last.
func holderOf(path string, mounts []*mountinfo.Info) (holder *mountinfo.Info) {
	for _, mount := range mounts {
		if below(path, mount.Mountpoint) && (holder == nil || len(mount.Mountpoint) >= len(holder.Mountpoint)) {
			holder = mount
		}
	}
	return holder
}

// mountsBelow lists the topmost mounts of the machine strictly below directory.
func mountsBelow(directory string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(directory))
	if err != nil {
		return nil, err
	}
	var mounts []string
	for _, info := range infos {
		if info.Mountpoint != directory {
			mounts = append(mounts, info.Mountpoint)
		}
	}
	slices.Sort(mounts)
	var topmost []string
	for _, mount := range mounts {
		if !belowAny(mount, topmost) {
			topmost = append(topmost, mount)
		}
	}
	return topmost, nil
}

// lookOnMachine is the lookup of the real machine.
func lookOnMachine(path string) (fs.FileMode, string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, "", err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return info.Mode(), "", nil
	}
	target, err := os.Readlink(path)
	return info.Mode(), target, err
}

func isDirectory(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return info.IsDir(), nil
}
