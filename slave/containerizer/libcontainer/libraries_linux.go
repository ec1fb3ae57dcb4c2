//go:build cgo

package libcontainer

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// The reaper is executed inside the container, before anything limits it, by the
// machine's loader with the machine's libraries. Whoever could put others in their
// place would run there, as PID 1. A volume may have been asked for at their paths,
// or may have come there by a link in another volume: so it is looked at what is there
// when everything is mounted, before the reaper is executed.

// loaderFiles tell the loader which libraries to load (ld.so(8)).
func loaderFiles() []string { return []string{"/etc/ld.so.preload", "/etc/ld.so.cache"} }

// needed lists the files that the reaper is made of, as they are called inside: the
// binary, its loader, what that reads, and the libraries that this process, which is the
// same program, has mapped.
func needed(binary string) ([]string, error) {
	files := append(loaderFiles(), BinaryPath)
	program, err := elf.Open(binary)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	for _, part := range program.Progs {
		if part.Type != elf.PT_INTERP {
			continue
		}
		loader, err := io.ReadAll(part.Open())
		if err != nil {
			return nil, err
		}
		files = append(files, strings.TrimRight(string(loader), "\x00"))
	}
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(maps)) {
		// proc(5): addresses, permissions, offset, device, inode, path
		at := strings.Index(line, "/")
		fields := strings.Fields(line)
		if at < 0 || !strings.Contains(fields[1], "x") {
			continue
		}
		path := strings.TrimSuffix(line[at:], "\n")
		if _, err := os.Stat(path); err == nil && path != own {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// checkNeeded returns an error if a volume of the container of process init covers
// something that the reaper is made of.
func checkNeeded(id string, init int, volumes []containerizer.Volume, files []string) error {
	if len(volumes) == 0 {
		return nil
	}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", init), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	parents, err := mountParents(init)
	if err != nil {
		return err
	}
	from := map[int]containerizer.Volume{}
	for _, volume := range volumes {
		mount, err := mountAt(root, volume.ContainerPath)
		if err != nil {
			return err
		}
		from[mount] = volume
	}
	for _, file := range files {
		mount, err := mountAt(root, file)
		if _, absent := os.Stat(file); errors.Is(err, fs.ErrNotExist) && errors.Is(absent, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errCovered, err)
		}
		for known := true; known; mount, known = parents[mount] {
			if volume, ok := from[mount]; ok {
				return &containerizer.StartError{ID: id, Step: "volume " + volume.ContainerPath, Err: fmt.Errorf("%w: it covers %s", errCovered, file)}
			}
		}
	}
	return nil
}

// errCovered says what of a volume is wrong that covers something needed.
var errCovered = errors.New("a volume must not cover the libraries that the stoa binary needs, as in /usr or /lib, nor what says which they are")

// mountParents is, by the number of each mount that a process sees, that of the mount it is in.
func mountParents(pid int) (map[int]int, error) {
	table, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "mountinfo"))
	if err != nil {
		return nil, err
	}
	parents := map[int]int{}
	for line := range strings.Lines(string(table)) {
		var mount, parent int
		if _, err := fmt.Sscan(line, &mount, &parent); err != nil {
			return nil, fmt.Errorf("mounts of process %d: %q: %w", pid, line, err)
		}
		parents[mount] = parent
	}
	return parents, nil
}

// mountAt is the number of the mount that a path leads into, with its links, below root.
func mountAt(root *os.File, path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), path, &how)
	if err != nil {
		return 0, &os.PathError{Op: "look at", Path: path, Err: err}
	}
	defer unix.Close(fd)
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(info)) {
		if number, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(number))
		}
	}
	return 0, fmt.Errorf("%s: the kernel does not say in which mount it is", path)
}
