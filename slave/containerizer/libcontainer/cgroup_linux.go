//go:build cgo

package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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

// controllers are those of the first version that count or limit something here. In the hierarchies of others no cgroup is
// made: each would cost every container as much as one of these.
func controllers() []string { return []string{"cpu", "cpuacct", "devices", "memory", "pids"} }

// tree is one cgroup, in the hierarchy of each controller.
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
	config := &cgroups.Cgroup{Path: path, Resources: &cgroups.Resources{}}
	made, err := manager.New(config)
	if err == nil && !cgroups.IsCgroup2UnifiedMode() {
		paths := maps.Clone(made.GetPaths())
		maps.DeleteFunc(paths, func(controller, _ string) bool { return !slices.Contains(controllers(), controller) })
		made, err = manager.NewWithPaths(config, paths)
	}
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

// cgroup is that of one container.
//
// With the second version of cgroups libcontainer puts what it starts into it. With the first it would move each process into
// each hierarchy, from outside, and whoever does so holds up all forks of the machine and, if nobody has done so lately,
// waits for a grace period of RCU: 6 to 16 ms, more than all the rest of a start that is not processor time
// (cgroup_threadgroup_rwsem in kernel/cgroup/cgroup.c). A process of one thread that moves itself need not take that lock. So
// there libcontainer is told nothing of cgroups, and the reaper enters when it is to execute the command: what a container
// costs before that is the host's.
type cgroup struct {
	cgroups.Manager
	tasks []string // of the first version: the files by which a process moves itself
}

// below is the cgroup of a container in this one, which need not exist.
func (t tree) below(config *cgroups.Cgroup) (cgroup, error) {
	name := strings.TrimPrefix(config.Path, t.path)
	paths := maps.Clone(t.manager.GetPaths())
	var found cgroup
	for controller, dir := range paths {
		paths[controller] = filepath.Join(dir, name)
		found.tasks = append(found.tasks, filepath.Join(dir, name, "tasks"))
	}
	slices.Sort(found.tasks)
	found.tasks = slices.Compact(found.tasks) // cpu and cpuacct are often one hierarchy
	if cgroups.IsCgroup2UnifiedMode() {
		found.tasks = nil
	}
	var err error
	found.Manager, err = manager.NewWithPaths(config, paths)
	return found, err
}

// socketMemory is the file of the first version that bounds what sockets of TCP and UDP hold for those who don't read,
// as memory.limit_in_bytes does not. With the second version that is memory as all other.
const socketMemory = "memory.kmem.tcp.limit_in_bytes"

// Set sets limits. That of memory holds once more for the buffers of sockets, where they are not counted with it.
func (g cgroup) Set(resources *cgroups.Resources) error {
	if err := g.Manager.Set(resources); err != nil || resources.Memory == 0 || g.tasks == nil {
		return err
	}
	err := os.WriteFile(filepath.Join(g.Path("memory"), socketMemory), strconv.AppendInt(nil, resources.Memory, 10), 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP) {
		return nil // a kernel without it
	}
	return err
}

// processes lists those in the cgroup, and below it.
func (g cgroup) processes() ([]int, error) {
	const empty = 2 // links of a directory without others in it
	dir := g.Path("devices")
	var stat syscall.Stat_t
	if syscall.Stat(dir, &stat) != nil || stat.Nlink != empty {
		return g.GetAllPids() // which lists all that is in it
	}
	return cgroups.GetPids(dir)
}

// open opens what a reaper needs to enter; the caller closes it.
func (g cgroup) open() (taskFiles, error) {
	var opened taskFiles
	for _, path := range g.tasks {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			opened.close()
			return nil, err
		}
		opened = append(opened, file)
	}
	return opened, nil
}

type taskFiles []*os.File

func (f taskFiles) close() {
	for _, file := range f {
		file.Close()
	}
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
