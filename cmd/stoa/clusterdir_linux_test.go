package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Tasks that were not isolated may have mounted something in their sandboxes.
func TestWhatIsMountedInADeadClustersDirectoryIsNotEmptied(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, lock, err := newClusterDir("test")
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	mnt, precious := filepath.Join(dir, "slave-1/slaves/mnt"), filepath.Join(t.TempDir(), "precious")
	if err := os.MkdirAll(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(filepath.Dir(precious), mnt, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("mount: %v", err)
	}
	defer unix.Unmount(mnt, unix.MNT_DETACH)
	sweepDeadClusters(t.Context())
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if err := unix.Unmount(mnt, 0); err != nil {
		t.Fatal(err)
	}
	sweepDeadClusters(t.Context())
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("once it is unmounted, it stays: %v", err)
	}
}
