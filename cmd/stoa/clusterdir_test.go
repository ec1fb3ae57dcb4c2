package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer/libcontainer"
)

func TestAClusterThatIsBeingMadeIsNotTakenForDead(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const makers, clusters = 4, 100
	made := make(chan struct{})
	var making, sweeping sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-made:
				return
			default:
				sweepDeadClusters(t.Context())
			}
		}
	})
	for range makers {
		making.Go(func() {
			for range clusters {
				dir, lock, err := newClusterDir("test")
				if err != nil {
					t.Error(err)
					continue
				}
				if _, err := os.Stat(dir); err != nil {
					t.Error(err)
				}
				lock.Close()
			}
		})
	}
	making.Wait()
	close(made)
	sweeping.Wait()
	sweepDeadClusters(t.Context())
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("%d directories of dead clusters are left", len(left))
	}
}

func TestWhatAHostThatStillEndsNeedsToCleanUpIsLeftToIt(t *testing.T) {
	if err := libcontainer.Available(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	host := filepath.Join(dir, "slave-1", containersDirName, "host-1")
	if err := os.MkdirAll(host, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(host, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 5*sweepPeriod)
	defer cancel()
	sweepClusterDir(impatient, dir)
	if _, err := os.Stat(host); err != nil {
		t.Errorf("while the host lives: %v", err)
	}
	time.AfterFunc(5*sweepPeriod, func() { lock.Close() })
	sweepClusterDir(t.Context(), dir)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the host has ended, and its cluster's directory is still there (%v)", err)
	}
}
