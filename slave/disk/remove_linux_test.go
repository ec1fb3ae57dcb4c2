package disk

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asOther gives a folder to a user without privileges, if there is a choice, and does something as him.
func asOther(t *testing.T, dir string, do func() error) error {
	t.Helper()
	if os.Geteuid() != 0 {
		return do()
	}
	const nobody = 65534
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // whose rights these are
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(nobody); err != nil {
		t.Fatal(err)
	}
	defer unix.Setfsuid(0)
	return do()
}

// What a task or an operator has mounted in a sandbox is not the sandbox's.
func TestWhatIsMountedInAFolderIsLeftAlone(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	mkdir(t, filepath.Join(dir, "t/a/mnt"))
	mkdir(t, filepath.Join(dir, "t/b"))
	writeFile(t, filepath.Join(dir, "t/b/f"), 1)
	writeFile(t, filepath.Join(outside, "precious"), 1)
	mnt := filepath.Join(dir, "t/a/mnt")
	if err := unix.Mount(outside, mnt, "", unix.MS_BIND, ""); err != nil { // of the same file system, even
		t.Skipf("mount: %v", err)
	}
	defer unix.Unmount(mnt, unix.MNT_DETACH)
	err := remove(t, dir)
	if err == nil || !strings.Contains(err.Error(), `"mnt" stays: something is mounted there`) {
		t.Errorf("got %v", err)
	}
	if !isThere(filepath.Join(outside, "precious")) {
		t.Error("what is mounted is emptied")
	}
	if isThere(filepath.Join(dir, "t/b")) {
		t.Error("what is not mounted is left")
	}
	if err := unix.Unmount(mnt, 0); err != nil {
		t.Fatal(err)
	}
	if err := remove(t, dir); err != nil || isThere(filepath.Join(dir, "t")) {
		t.Errorf("once it is unmounted: %v", err)
	}
}
