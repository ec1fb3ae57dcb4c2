package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// remove removes the folder t of dir.
func remove(t *testing.T, dir string) error {
	t.Helper()
	in, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	return Remove(in, "t")
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func TestAFolderIsRemovedWithAllThatIsInIt(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(outside, "precious"), 1)
	mkdir(t, filepath.Join(dir, "t/a/b/c"))
	mkdir(t, filepath.Join(dir, "t/a/d"))
	mkdir(t, filepath.Join(dir, "beside"))
	writeFile(t, filepath.Join(dir, "t/a/b/c/\xff\n "), 1)
	for i := range 3 * namesAtOnce {
		writeFile(t, filepath.Join(dir, "t/a/d", strings.Repeat("x", 1+i%200)+string(rune('0'+i/200))), 0)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "t/a/out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../beside", filepath.Join(dir, "t/a/b/up")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "t/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := remove(t, dir); err != nil {
		t.Fatal(err)
	}
	if isThere(filepath.Join(dir, "t")) || !isThere(filepath.Join(dir, "beside")) || !isThere(filepath.Join(outside, "precious")) {
		t.Error("something is left, or too much is gone")
	}
	if err := remove(t, dir); err != nil {
		t.Errorf("what is gone already: %v", err)
	}
	writeFile(t, filepath.Join(dir, "t"), 1)
	if err := remove(t, dir); err != nil || isThere(filepath.Join(dir, "t")) {
		t.Errorf("a file: %v", err)
	}
}

// Descriptors are bounded, and so are paths: neither bounds the depth of what is removed.
func TestFoldersInEachOtherAreRemovedHoweverManyThereAre(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const few = 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: few, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	dir := t.TempDir()
	mkdir(t, filepath.Join(dir, "t"))
	deep(t, filepath.Join(dir, "t"), strings.Repeat("d", 50), 3*few)
	if err := remove(t, dir); err != nil || isThere(filepath.Join(dir, "t")) {
		t.Errorf("got %v", err)
	}
}

func TestAFolderThatItsOwnerHasClosedIsRemoved(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, filepath.Join(dir, "t/readable/in"))
	mkdir(t, filepath.Join(dir, "t/closed/in"))
	writeFile(t, filepath.Join(dir, "t/closed/in/f"), 1)
	for _, closed := range []struct {
		path string
		mode os.FileMode
	}{{"t/closed/in", 0}, {"t/closed", 0}, {"t/readable/in", 0o111}, {"t/readable", 0o500}} {
		if err := os.Chmod(filepath.Join(dir, closed.path), closed.mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := asOther(t, dir, func() error { return remove(t, dir) }); err != nil || isThere(filepath.Join(dir, "t")) {
		t.Errorf("got %v", err)
	}
}
