package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSandboxesOfDifferentExecutorsMayLieFarApart(t *testing.T) {
	work := t.TempDir()
	if !onExt4(t, work) {
		t.Skipf("%s is not on ext4, which alone takes the hint", work)
	}
	if _, err := MakeSandbox(work, run, ""); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{run.executors(): true, run.runs(): false} {
		folder, err := os.Open(filepath.Join(work, path))
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		flags, err := unix.IoctlGetUint32(int(folder.Fd()), unix.FS_IOC_GETFLAGS)
		if err != nil {
			t.Fatal(err)
		}
		const topDirectory = 0x20000
		if got := flags&topDirectory != 0; got != want {
			t.Errorf("%s is marked as a folder of unrelated ones: %v, want %v", path, got, want)
		}
	}
}

// BenchmarkMakeSandbox makes sandboxes with two files each where as many were deleted just before, as on a slave that
// collects garbage. Beside it, the same folders in one that has no hint.
func BenchmarkMakeSandbox(b *testing.B) {
	work, plain := b.TempDir(), b.TempDir()
	of := func(i int) Run {
		one := run
		one.ExecutorID = fmt.Sprint("e", i)
		return one
	}
	files := func(sandbox string) {
		for _, name := range []string{"stdout", "stderr"} {
			if err := os.WriteFile(filepath.Join(sandbox, name), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	hinted := func(i int) {
		sandbox, err := MakeSandbox(work, of(i), "")
		if err != nil {
			b.Fatal(err)
		}
		files(sandbox)
	}
	unhinted := func(i int) {
		sandbox := filepath.Join(plain, of(i).Path())
		if err := os.MkdirAll(sandbox, folderMode); err != nil {
			b.Fatal(err)
		}
		if err := os.Symlink(run.ContainerID, filepath.Join(filepath.Dir(sandbox), Latest)); err != nil {
			b.Fatal(err)
		}
		files(sandbox)
	}
	const many = 2000
	took := func(one func(int)) time.Duration {
		begin := time.Now()
		for i := range many {
			one(i)
		}
		return time.Since(begin)
	}
	for range b.N {
		for _, folder := range []string{work, plain} {
			if err := os.RemoveAll(filepath.Join(folder, "slaves")); err != nil {
				b.Fatal(err)
			}
		}
		with, without := took(hinted), took(unhinted)
		b.ReportMetric(with.Seconds()*1000/many, "ms/sandbox")
		b.ReportMetric(without.Seconds()*1000/many, "ms/without-hint")
	}
}

func onExt4(t *testing.T, path string) bool {
	var system unix.Statfs_t
	if err := unix.Statfs(path, &system); err != nil {
		t.Fatal(err)
	}
	return system.Type == unix.EXT4_SUPER_MAGIC
}
