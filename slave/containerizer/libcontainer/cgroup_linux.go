//go:build cgo

package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // lets the managers set device rules
	"github.com/opencontainers/cgroups/manager"
)

const (
	// killPeriod is how often the processes of a cgroup are killed anew until
	// none is left.
	killPeriod = 5 * time.Millisecond

	// cgroupTries is how often making a cgroup is tried: another host that ends
	// removes empty parents, which may be those that were just made.
	cgroupTries = 10
)

// tree is one cgroup in every hierarchy that the machine has.
type tree struct {
	path    string // from the root of each hierarchy
	manager cgroups.Manager
	dirs    []string // its directory in each, sorted
}

// treeOf finds the cgroup called path, which need not exist.
func treeOf(path string) (tree, error) {
	if !validCgroup(path) {
		return tree{}, fmt.Errorf("cgroup %q: must be an absolute path below / without . or ..", path)
	}
	made, err := manager.New(&cgroups.Cgroup{Path: path, Resources: &cgroups.Resources{}})
	if err != nil {
		return tree{}, fmt.Errorf("cgroup %s: %w", path, err)
	}
	found := tree{path: path, manager: made}
	for _, dir := range made.GetPaths() {
		if strings.HasSuffix(dir, path) && dir != path {
			found.dirs = append(found.dirs, dir)
		}
	}
	slices.Sort(found.dirs)
	found.dirs = slices.Compact(found.dirs) // cpu and cpuacct are often one hierarchy
	if len(found.dirs) == 0 {
		return tree{}, fmt.Errorf("cgroup %s: the machine has no cgroup hierarchy", path)
	}
	return found, nil
}

// create makes the cgroup in every hierarchy.
func (t tree) create() error {
	var err error
	for range cgroupTries {
		if err = t.manager.Apply(-1); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("create cgroup %s: %w", t.path, err)
	}
	return nil
}

// processes lists those in the cgroup and below it, in all hierarchies.
func (t tree) processes() ([]int, error) {
	var pids []int
	for _, dir := range t.dirs {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return ignoreGone(err)
			}
			data, err := os.ReadFile(filepath.Join(path, cgroups.CgroupProcesses))
			for _, text := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(text); err == nil && pid > 0 { // 0: of another pid namespace
					pids = append(pids, pid)
				}
			}
			return ignoreGone(err)
		})
		if err != nil {
			return nil, fmt.Errorf("processes of cgroup %s: %w", t.path, err)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// kill ends every process in the cgroup and below it, and returns when none is left.
func (t tree) kill(ctx context.Context) error {
	tick := time.NewTicker(killPeriod)
	defer tick.Stop()
	for {
		pids, err := t.processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			// Between the reading and here it may have ended: nobody waits that long for
			// its pid to come around again, and what is gone need not be killed.
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d of cgroup %s: %w", pid, t.path, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v of cgroup %s do not end: %w", pids, t.path, ctx.Err())
		case <-tick.C:
		}
	}
}

// remove removes the cgroup, what is below it, and the parents that this leaves empty.
func (t tree) remove() error {
	var failed []error
	for _, dir := range t.dirs {
		failed = append(failed, cgroups.RemovePath(dir))
		root := strings.TrimSuffix(dir, t.path)
		for parent := filepath.Dir(dir); parent != root && len(parent) > len(root); parent = filepath.Dir(parent) {
			if syscall.Rmdir(parent) != nil {
				break // others are in it, or have removed it
			}
		}
	}
	return errors.Join(failed...)
}

// ignoreGone forgives what vanished, or is being removed, while it was read.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

// swapIsLimited reports whether the kernel can limit swap. On v2 it always can.
func swapIsLimited(t tree) bool {
	if cgroups.IsCgroup2UnifiedMode() {
		return true
	}
	return cgroups.PathExists(filepath.Join(t.manager.Path("memory"), "memory.memsw.limit_in_bytes"))
}
