package disk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestASandboxIsMeasuredAsDuDoes(t *testing.T) {
	outside := t.TempDir()
	writeFile(t, filepath.Join(outside, "large"), 1<<20)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "one"), 100_000)
	if err := os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "two")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sparse.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	sparse.Close()
	writeFile(t, filepath.Join(dir, "a\nb\x80\xff "), 5000)
	if err := os.MkdirAll(filepath.Join(dir, "x/y/z"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "x/y/z/w"), 70_000)
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	equalsDu(t, dir)
}

// A path of such a depth is longer than any that the kernel takes.
func TestASandboxOfTwelveHundredFoldersInEachOtherIsMeasured(t *testing.T) {
	dir := t.TempDir()
	deep(t, dir, strings.Repeat("d", 200), 1200)
	equalsDu(t, dir)
}

func deep(t *testing.T, dir, name string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
}

func writeFile(t *testing.T, path string, bytes int) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, bytes), 0o644); err != nil {
		t.Fatal(err)
	}
}

func equalsDu(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command("du", "-s", "--block-size=1", dir).Output()
	if err != nil {
		t.Skipf("no du here: %v", err)
	}
	want, err := strconv.ParseUint(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Measure(t.Context(), folder(t, dir))
	if err != nil || got.Bytes != want {
		t.Errorf("got %d, %v, want %d", got.Bytes, err, want)
	}
	var files uint64
	if out, err = exec.Command("du", "-s", "--inodes", dir).Output(); err == nil {
		_, err = fmt.Sscan(string(out), &files)
	}
	if err != nil || got.Files != files-1 { // the folder itself
		t.Errorf("%d files, want one less than %d, %v", got.Files, files, err)
	}
}

// folder opens a folder, which the test's end closes.
func folder(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestASandboxThatChangesWhileItIsMeasuredIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(context.Background())
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		for i := 0; ctx.Err() == nil; i++ {
			from, to := filepath.Join(dir, fmt.Sprint(i%3)), filepath.Join(dir, fmt.Sprint((i+1)%3))
			_ = os.MkdirAll(filepath.Join(from, "a/b/c"), 0o755)
			_ = os.Rename(filepath.Join(from, "a/b"), filepath.Join(to, "b"))
			_ = os.RemoveAll(to)
		}
	}()
	outside := filepath.Dir(dir)
	for i := range 3 { // where one comes to who goes back by ".." and does not look
		if err := os.MkdirAll(filepath.Join(outside, fmt.Sprint(i)), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(outside, fmt.Sprint(i), "large"), 1<<24)
	}
	sandbox := folder(t, dir)
	for range 2000 {
		if used, _ := Measure(ctx, sandbox); used.Bytes >= 1<<24 {
			stop()
			<-changed
			t.Fatalf("%d bytes: what is outside was counted", used.Bytes)
		}
	}
	stop()
	<-changed
}
