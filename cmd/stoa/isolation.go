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
)

// isolations are the values of --isolation.
var isolations = []string{libcontainer.Name, process.Name}

// containersDirName is the folder of a slave's work_dir in which its hosts keep what they need to clean up.
const containersDirName = "containers"

// sweepTimeout bounds the removal of what a dead cluster left.
const sweepTimeout = 20 * time.Second

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
		return process.New(process.Options{})
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

// sweepClusterDir removes the directory of a cluster of which no process is left, and its slaves' remains.
func sweepClusterDir(ctx context.Context, dir string) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	slaves, _ := filepath.Glob(filepath.Join(dir, "slave-*"))
	for _, workDir := range slaves {
		if _, err := os.Stat(filepath.Join(workDir, containersDirName)); err == nil && libcontainer.Available() == nil {
			sweepSlave(ctx, workDir)
		}
	}
	_ = os.RemoveAll(dir)
}

func sweepSlave(ctx context.Context, workDir string) {
	sweeper, err := newContainerizer(libcontainer.Name, fmt.Sprintf("sweeper-%d", os.Getpid()), workDir, nil)
	if err != nil {
		return // nothing can be told of it; the next start tries again
	}
	_ = sweeper.Sweep(ctx)
	_ = sweeper.Close()
}
