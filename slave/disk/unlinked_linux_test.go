package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The main thread can't end, and its table of descriptors is what /proc/self/fd shows: no test may make it one of its own.
func init() { runtime.LockOSThread() }

// unlinkedOf counts what this process has of a folder.
func unlinkedOf(t *testing.T, dir string, view View) *Unlinked {
	t.Helper()
	found, err := NewUnlinked(folder(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Processes(t.Context(), []int{1 << 30, os.Getpid()}, view); err != nil { // the first is nobody's
		t.Fatal(err)
	}
	return found
}

// lose makes a file of 100,000 bytes that has no name, and returns it open.
func lose(t *testing.T, path string) *os.File {
	t.Helper()
	writeFile(t, path, 100_000)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAFileWithoutANameCountsAsLongAsItIsOpenOrMapped(t *testing.T) {
	dir := t.TempDir()
	wants := func(when string, files uint64) {
		t.Helper()
		if got := unlinkedOf(t, dir, View{}).Usage; got.Files != files || got.Bytes < files*100_000 || got.Bytes > files*110_000 {
			t.Errorf("%s: got %+v, want %d of 100,000 bytes", when, got, files)
		}
	}
	wants("at first", 0)
	file := lose(t, filepath.Join(dir, "f"))
	wants("open", 1)
	mapped, err := unix.Mmap(int(file.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	wants("open and mapped", 1)
	file.Close()
	if os.Geteuid() == 0 {
		wants("mapped", 1)
	}
	if err := unix.Munmap(mapped); err != nil {
		t.Fatal(err)
	}
	wants("at last", 0)
	never, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(never)
	if _, err := unix.Write(never, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	wants("that never had a name", 1)
}

// A path of such a depth is longer than any that the kernel tells.
func TestAFileWithoutANameCountsHoweverDeepItLay(t *testing.T) {
	dir := t.TempDir()
	name := strings.Repeat("d", 200)
	deep(t, dir, name, 30)
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = next
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, "f", unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Unlinkat(at, "f", 0); err != nil {
		t.Fatal(err)
	}
	if got := unlinkedOf(t, dir, View{}).Usage; got.Files != 1 {
		t.Errorf("got %+v, want one file", got)
	}
}

func TestAFileThatAThreadKeepsForItselfCounts(t *testing.T) {
	dir := t.TempDir()
	opened, done, ended := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_FILES)
		if err == nil {
			var fd int
			if fd, err = unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600); err == nil {
				_, err = unix.Write(fd, make([]byte, 100_000))
			}
		}
		opened <- err
		<-done
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if got := unlinkedOf(t, dir, View{}).Usage; got.Files != 1 {
		t.Errorf("got %+v, want one file", got)
	}
	close(done)
	<-ended
}

func TestOnlyTheFoldersOwnFilesCount(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"sandbox/volume/inner", "sandbox2", "tmp/volume"} {
		if err := os.MkdirAll(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(base, name) }
	for _, name := range []string{"sandbox/f", "sandbox/volume/f", "sandbox/volume/inner/f", "sandbox2/f", "tmp/f", "tmp/volume/f", "f"} {
		lose(t, at(name))
	}
	for name, test := range map[string]struct {
		view View
		want uint64
	}{
		"all below it":              {View{}, 3},
		"another place of it":       {View{Own: []string{at("tmp")}}, 5},
		"less what is others'":      {View{Others: []string{at("sandbox/volume")}}, 1},
		"the deeper place counts":   {View{Own: []string{at("sandbox/volume/inner")}, Others: []string{at("sandbox/volume")}}, 2},
		"in the other place too":    {View{Own: []string{at("tmp")}, Others: []string{at("tmp/volume"), at("sandbox/volume")}}, 2},
		"a place that is others'":   {View{Own: []string{at("tmp")}, Others: []string{at("tmp")}}, 3},
		"a name that begins as its": {View{Others: []string{at("sandbox2"), at("sandbox/vol")}}, 3},
	} {
		if got := unlinkedOf(t, at("sandbox"), test.view).Usage.Files; got != test.want {
			t.Errorf("%s: got %d files, want %d", name, got, test.want)
		}
	}
}

func TestWhatHasANameAgainCountsOnce(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "other"), 50_000)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	found := unlinkedOf(t, dir, View{})
	before, err := found.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, filepath.Join(dir, "named"), unix.AT_SYMLINK_FOLLOW); err != nil {
		t.Fatal(err)
	}
	after, err := found.Measure(t.Context())
	if err != nil || after != before {
		t.Errorf("got %+v, %v, want %+v", after, err, before)
	}
	plain, err := Measure(t.Context(), folder(t, dir))
	if err != nil || plain != after {
		t.Errorf("all have names, and a plain look finds %+v, %v, want %+v", plain, err, after)
	}
}

func TestALookAtProcessesEndsWithItsContext(t *testing.T) {
	found, err := NewUnlinked(folder(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := found.Processes(ctx, []int{os.Getpid()}, View{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
