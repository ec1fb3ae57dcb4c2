package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/disk"
)

// The directory of a cluster of local or demo, below the machine's folder for temporary files:
//
//	stoa-demo-123456/
//	├── lock        held (flock) by every process of the cluster; free: all of them are gone
//	├── master/     log
//	├── slave-1/    the slave's work_dir; log
//	└── result/     of the demo's job, until it is whole
//
// Each daemon removes its own folder when it ends and the last one removes the rest. What died together with its
// cleaner is found by the next start: a directory whose lock is free belongs to nobody.

const (
	clusterDirPattern = "stoa-*-*"
	clusterLockName   = "lock"
	clusterResultName = "result"
	clusterDirMode    = 0o755 // tasks that run as another user must be able to reach their sandbox
)

// newClusterDir makes a cluster's directory and returns it with its lock, held.
func newClusterDir(name string) (string, *os.File, error) {
	dir, err := os.MkdirTemp("", "stoa-"+name+"-")
	if err != nil {
		return "", nil, fmt.Errorf("make a directory for the cluster: %w", err)
	}
	if err := os.Chmod(dir, clusterDirMode); err != nil {
		return "", nil, err
	}
	// Under its name the lock is held from the first moment, or another start would take the directory for a dead cluster's.
	lock, err := os.CreateTemp(dir, clusterLockName+"-")
	if err != nil {
		return "", nil, err
	}
	// Shared: the children hold it by the descriptor that they inherit; a sweeper asks for it alone.
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return "", nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if err := os.Rename(lock.Name(), filepath.Join(dir, clusterLockName)); err != nil {
		return "", nil, err
	}
	return dir, lock, nil
}

// removeClusterDir removes a cluster's directory if none of its daemons has a folder in it any more.
func removeClusterDir(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.Name() != clusterLockName && entry.Name() != clusterResultName {
			return
		}
	}
	_ = disk.RemovePath(dir)
}

// deadClusterDirs lists the directories of clusters of which no process is left, each with its lock, held so that two
// sweepers do not meet.
func deadClusterDirs() (dirs []string, release func()) {
	var locks []*os.File
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), clusterDirPattern))
	for _, dir := range found {
		lock, err := os.OpenFile(filepath.Join(dir, clusterLockName), os.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue // somebody else's directory, or one that is being made at this moment
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			lock.Close()
			continue
		}
		dirs = append(dirs, dir)
		locks = append(locks, lock)
	}
	return dirs, func() {
		for _, lock := range locks {
			lock.Close()
		}
	}
}

func isInUse(err error) bool { return errors.Is(err, unix.EADDRINUSE) }
