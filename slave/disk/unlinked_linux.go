package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// procBytes is how much of /proc is read at a time: more than its longest link, which is a page of the kernel's.
	procBytes = 8 << 10
	// deletedMark is what the kernel adds to the path of a file that has lost the name by which it was opened (d_path).
	deletedMark = " (deleted)"
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
	buffer := make([]byte, procBytes)
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return err
		}
		u.process(pid, view, buffer)
	}
	return nil
}

// process counts what one process has. The buffer is its to use.
func (u *Unlinked) process(pid int, view View, buffer []byte) {
	folder, err := openProc(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid))
	if err != nil {
		return // it has ended
	}
	defer unix.Close(folder)
	u.descriptors(folder, "fd", view, buffer)
	u.threads(folder, pid, view, buffer)
	u.mappings(folder, view, buffer)
}

// threads counts what threads have open that have left the table of descriptors of their process, or outlived its first.
func (u *Unlinked) threads(process, pid int, view View, buffer []byte) {
	const alone = 3 // links of the folder: its own two, and one for each thread
	var stat unix.Stat_t
	if unix.Fstatat(process, "task", &stat, unix.AT_SYMLINK_NOFOLLOW) != nil || stat.Nlink == alone {
		return
	}
	tasks, err := openProc(process, "task")
	if err != nil {
		return
	}
	defer unix.Close(tasks)
	tables := []int{pid} // a thread for each table that was looked at
	for _, name := range namesIn(tasks, buffer) {
		id, err := strconv.Atoi(name)
		if err == nil && !slices.ContainsFunc(tables, func(other int) bool { return sameFiles(other, id) }) {
			tables = append(tables, id)
			u.descriptors(tasks, name+"/fd", view, buffer)
		}
	}
}

// sameFiles reports whether two threads have the same table of descriptors, as far as the kernel tells (CONFIG_KCMP).
func sameFiles(a, b int) bool {
	const files = 2 // KCMP_FILES of kcmp(2)
	different, _, err := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), files, 0, 0, 0)
	return a == b || err != 0 || different == 0
}

// descriptors counts what a table of descriptors, a folder of /proc, has.
func (u *Unlinked) descriptors(at int, name string, view View, buffer []byte) {
	folder, err := openProc(at, name)
	if err != nil {
		return
	}
	defer unix.Close(folder)
	for _, name := range namesIn(folder, buffer) {
		n, err := unix.Readlinkat(folder, name, buffer)
		// What is too deep for a path can only be looked at.
		if errors.Is(err, unix.ENAMETOOLONG) || err == nil && u.lost(buffer[:n], view) {
			u.countAt(folder, name)
		}
	}
}

// mappings counts the files that are mapped: a process can close what it has mapped. Without the privilege to look at them
// (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN) none is.
func (u *Unlinked) mappings(process int, view View, buffer []byte) {
	text, err := readProc(process, "maps", buffer)
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

// openProc opens a folder of /proc.
func openProc(at int, name string) (int, error) {
	return unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// namesIn lists a folder of /proc, as far as it can be read.
func namesIn(folder int, buffer []byte) (names []string) {
	for {
		n, err := unix.ReadDirent(folder, buffer)
		if err != nil || n <= 0 {
			return names
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
}

// readProc reads a file of /proc: what fits into the buffer is there.
func readProc(at int, name string, buffer []byte) ([]byte, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for text := buffer[:0]; ; {
		if len(text) == cap(text) {
			text = slices.Grow(text, cap(text))
		}
		n, err := unix.Read(fd, text[len(text):cap(text)])
		if err != nil || n <= 0 {
			return text, err
		}
		text = text[:len(text)+n]
	}
}

// Descendants are the processes that came from one, as far as the kernel lists them (CONFIG_PROC_CHILDREN).
func Descendants(pid int) []int {
	buffer := make([]byte, procBytes)
	all, seen := []int{pid}, map[int]bool{pid: true}
	for at := 0; at < len(all); at++ {
		threads, err := openProc(unix.AT_FDCWD, "/proc/"+strconv.Itoa(all[at])+"/task")
		if err != nil {
			continue // it has ended
		}
		for _, name := range namesIn(threads, buffer) {
			children, _ := readProc(threads, name+"/children", buffer)
			for _, text := range bytes.Fields(children) {
				if child, err := strconv.Atoi(string(text)); err == nil && !seen[child] {
					seen[child] = true
					all = append(all, child)
				}
			}
		}
		unix.Close(threads)
	}
	return all[1:]
}
