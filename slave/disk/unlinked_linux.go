package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// linkBytes is the longest link of /proc that can be read: a page of the kernel's.
	linkBytes = 4096
	// deletedMark is what the kernel adds to the path of a file that has lost the name by which it was opened (d_path).
	deletedMark = " (deleted)"
	// compareFiles is KCMP_FILES of kcmp(2): whether two threads have the same table of descriptors.
	compareFiles = 2
)

// pathOf is the path of an open folder, as the kernel writes it.
func pathOf(folder *os.File) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(folder.Fd())))
	if err != nil {
		return folder.Name()
	}
	return strings.TrimSuffix(path, deletedMark)
}

// Processes counts what processes, given by their ids, have open or mapped of the folder. They end when they like, and what
// can't be read counts nothing. Nothing is asked of a file system for files that are not the folder's: it may be one that does not
// answer. The only error is the context's.
func (u *Unlinked) Processes(ctx context.Context, pids []int, view View) error {
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return err
		}
		u.process(pid, view)
	}
	return nil
}

// process counts what one process has.
func (u *Unlinked) process(pid int, view View) {
	folder, err := openProc(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid))
	if err != nil {
		return // it has ended
	}
	defer unix.Close(folder)
	u.descriptors(folder, "fd", view)
	u.threads(folder, pid, view)
	u.mappings(folder, view)
}

// threads counts what threads have open that have left the table of descriptors of their process, or outlived its first.
func (u *Unlinked) threads(process, pid int, view View) {
	tasks, err := openProc(process, "task")
	if err != nil {
		return
	}
	defer unix.Close(tasks)
	tables := []int{pid} // a thread for each table that was looked at
	_ = eachName(tasks, func(name string) {
		id, err := strconv.Atoi(name)
		if err != nil || id == pid {
			return
		}
		for _, other := range tables {
			different, _, err := unix.Syscall6(unix.SYS_KCMP, uintptr(other), uintptr(id), compareFiles, 0, 0, 0)
			if err != 0 || different == 0 {
				return
			}
		}
		tables = append(tables, id)
		u.descriptors(tasks, name+"/fd", view)
	})
}

// descriptors counts what a table of descriptors, a folder of /proc, has.
func (u *Unlinked) descriptors(at int, name string, view View) {
	folder, err := openProc(at, name)
	if err != nil {
		return
	}
	defer unix.Close(folder)
	var path [linkBytes]byte
	_ = eachName(folder, func(name string) {
		n, err := unix.Readlinkat(folder, name, path[:])
		// What is too deep for a path can only be looked at.
		if errors.Is(err, unix.ENAMETOOLONG) || err == nil && u.lost(path[:n], view) {
			u.countAt(folder, name)
		}
	})
}

// mappings counts the files that are mapped: a process can close what it has mapped. Without the privilege to look at them
// (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN) none is.
func (u *Unlinked) mappings(process int, view View) {
	text, err := readAll(process, "maps")
	if err != nil || !bytes.Contains(text, []byte(deletedMark)) {
		return
	}
	folder, err := openProc(process, "map_files")
	if err != nil {
		return
	}
	defer unix.Close(folder)
	for line := range bytes.Lines(text) {
		// 7f3c…-7f3d… r--s 00000000 fe:00 1234      /path (deleted)
		slash := bytes.IndexByte(line, '/')
		if slash < 0 || !u.lost(bytes.TrimSuffix(line[slash:], []byte("\n")), view) {
			continue
		}
		span, _, _ := bytes.Cut(line, []byte(" "))
		var from, to uint64
		if _, err := fmt.Sscanf(string(span), "%x-%x", &from, &to); err == nil {
			u.countAt(folder, fmt.Sprintf("%x-%x", from, to))
		}
	}
}

// lost reports whether a path of the kernel's is that of a file of the folder that has lost its name.
func (u *Unlinked) lost(path []byte, view View) bool {
	name, deleted := bytes.CutSuffix(path, []byte(deletedMark))
	return deleted && view.owns(string(name), u.path)
}

// countAt counts the file to which a link of /proc leads.
func (u *Unlinked) countAt(folder int, name string) {
	var stat unix.Stat_t
	if unix.Fstatat(folder, name, &stat, 0) == nil {
		u.count(&stat)
	}
}

func openProc(at int, name string) (int, error) {
	return unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func readAll(at int, name string) ([]byte, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(file)
	return text.Bytes(), err
}

// Descendants are a process and those that came from it, as far as the kernel lists them (CONFIG_PROC_CHILDREN).
func Descendants(pid int) []int {
	found, seen := []int{pid}, map[int]bool{pid: true}
	for at := 0; at < len(found); at++ {
		threads, err := openProc(unix.AT_FDCWD, "/proc/"+strconv.Itoa(found[at])+"/task")
		if err != nil {
			continue // it has ended
		}
		_ = eachName(threads, func(name string) {
			children, _ := readAll(threads, name+"/children")
			for _, text := range bytes.Fields(children) {
				if child, err := strconv.Atoi(string(text)); err == nil && !seen[child] {
					seen[child] = true
					found = append(found, child)
				}
			}
		})
		unix.Close(threads)
	}
	return found
}
