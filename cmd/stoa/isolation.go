package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/libcontainer"
	"github.com/stoa-project/stoa/slave/containerizer/process"
	"github.com/stoa-project/stoa/slave/disk"
)

// isolations are the values of --isolation.
var isolations = []string{libcontainer.Name, process.Name}

// containersDirName is the folder of a slave's work_dir in which its hosts keep what they need to clean up.
const containersDirName = "containers"

// sweepTimeout bounds the removal of what a dead cluster left.
const sweepTimeout = 20 * time.Second

// sweepPeriod is how often a host that still ends is looked at.
const sweepPeriod = 20 * time.Millisecond

// chooseIsolation completes --isolation: libcontainer where it works, else plain processes, which is said in one line.
func chooseIsolation(isolation *string, say func(format string, args ...any)) error {
	unavailable := libcontainer.Available()
	switch *isolation {
	case libcontainer.Name:
		if unavailable != nil {
			return usageError("--isolation %s: %w; 'process' works here", libcontainer.Name, unavailable)
		}
	case process.Name:
	case "":
		*isolation = libcontainer.Name
		if unavailable != nil {
			*isolation = process.Name
			plain, err := process.New(process.Options{})
			if err != nil {
				return err
			}
			say("Tasks run as plain processes (%v); missing: %s.", unavailable, strings.Join(plain.Missing(), ", "))
		}
	default:
		return usageError("--isolation %q: allowed are %s", *isolation, strings.Join(isolations, " and "))
	}
	return nil
}

// newContainerizer makes the containerizer of a host of the slave at workDir, whose tasks must not see what is in hide.
func newContainerizer(isolation, hostID, workDir string, hide []string) (containerizer.Containerizer, error) {
	if isolation == process.Name {
		return process.New(process.Options{Adopt: true})
	}
	options := libcontainer.Options{StateDir: filepath.Join(workDir, containersDirName), HostID: hostID, WorkDir: workDir, Hide: hide}
	if pass := passed("host"); pass != nil {
		options.Passed = func(point libcontainer.Point) { pass("container " + string(point)) }
	}
	return libcontainer.New(options)
}

// sweepDeadClusters removes what clusters of local and demo left that died together with whoever would have cleaned up.
func sweepDeadClusters(ctx context.Context) {
	dirs, release := deadClusterDirs()
	defer release()
	for _, dir := range dirs {
		sweepClusterDir(ctx, dir)
	}
}

// sweepClusterDir removes the directory of a cluster of which no process is left, and its slaves' remains. What can't be removed stays
// with its directory, and the next start tries again.
func sweepClusterDir(ctx context.Context, dir string) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	slaves, _ := filepath.Glob(filepath.Join(dir, "slave-*"))
	for _, workDir := range slaves {
		if _, err := os.Stat(filepath.Join(workDir, containersDirName)); err == nil && libcontainer.Available() == nil {
			if err := sweepSlave(ctx, workDir); err != nil {
				return
			}
		}
		if disk.RemovePath(workDir) != nil {
			return
		}
	}
	_ = disk.RemovePath(dir)
}

// sweepSlave removes what the hosts of a slave left, and waits for one that still ends.
func sweepSlave(ctx context.Context, workDir string) error {
	sweeper, err := newContainerizer(libcontainer.Name, fmt.Sprintf("sweeper-%d", os.Getpid()), workDir, nil)
	if err != nil {
		return err
	}
	defer sweeper.Close()
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		if err := sweeper.Sweep(ctx); err != nil {
			return err
		}
		if left, err := os.ReadDir(filepath.Join(workDir, containersDirName)); err != nil || len(left) <= 1 { // its own
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
