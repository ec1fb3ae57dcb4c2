package libcontainer

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/stoa-project/stoa/slave/containerizer"
)

const (
	// Name is the word by which users choose this containerizer.
	Name = "libcontainer"

	// BinaryPath is where every command sees the stoa binary.
	BinaryPath = "/run/stoa/bin/stoa"

	// TemporaryName is the folder of the sandbox that commands see as /tmp.
	TemporaryName = ".tmp"

	// DefaultCgroupRoot is the cgroup below which a host without
	// Options.CgroupParent has its own.
	DefaultCgroupRoot = "/stoa"
)

// Options says how containers are made.
type Options struct {
	// StateDir is an absolute path, the same for all hosts of one slave.
	StateDir string

	// HostID names this host among those of StateDir: see containerizer.ValidID.
	HostID string

	// CgroupParent is the cgroup of this host, absolute from the root of each
	// hierarchy: "/stoa/<cluster>/<host>". It is its own, and no other host's.
	// "" is DefaultCgroupRoot/HostID.
	CgroupParent string

	// WorkDir is the slave's work directory, hidden from commands but for the
	// own sandbox. It must exist.
	WorkDir string

	// Hide lists further files and directories that commands must not see. What
	// does not exist is left out.
	Hide []string

	// Binary is the path of the stoa binary on the machine; "" is Executable().
	Binary string

	// Passed, if there is one, is called at each Point of every container's life. It is for tests, which die there.
	Passed func(Point)
}

// Point is a moment between two steps of a container's life on the machine: what a host leaves that dies there, the next
// one's Sweep must find.
type Point string

// The points, in the order in which a container passes them.
const (
	Gathered  Point = "gathered"  // its directories exist: /tmp, mount points
	Created   Point = "created"   // its cgroups and libcontainer's state directory exist
	Connected Point = "connected" // its control socket exists
	Blocked   Point = "blocked"   // its first process is in its namespaces, and waits to become the reaper
	Reaping   Point = "reaping"   // that is the reaper, which waits for the command
	Executed  Point = "executed"  // the command runs
	Ended     Point = "ended"     // the command has ended, and everything else in the container
	Counted   Point = "counted"   // what it used was read
	Destroyed Point = "destroyed" // its cgroups and its state directory are gone
	Removed   Point = "removed"   // and everything else
)

// Entered is a point of those containers alone that get a further command: its reaper is inside, and waits for it.
const Entered Point = "entered"

// Points lists those of every container, in order.
func Points() []Point {
	return []Point{Gathered, Created, Connected, Blocked, Reaping, Executed, Ended, Counted, Destroyed, Removed}
}

// check says what is wrong with the options.
func (o Options) check() error {
	switch {
	case !containerizer.ValidID(o.HostID):
		return fmt.Errorf("host id %q: must be 1 to %d of A-Z a-z 0-9 _ + - .", o.HostID, containerizer.MaxIDLength)
	case !filepath.IsAbs(o.StateDir) || filepath.Clean(o.StateDir) == "/":
		return fmt.Errorf("state directory %q: must be an absolute path below /", o.StateDir)
	case !filepath.IsAbs(o.WorkDir) || filepath.Clean(o.WorkDir) == "/":
		return fmt.Errorf("work directory %q: must be an absolute path below /", o.WorkDir)
	case !validCgroup(o.CgroupParent):
		return fmt.Errorf("cgroup %q: must be an absolute path below / without . or ..", o.CgroupParent)
	}
	for _, hidden := range o.Hide {
		if !filepath.IsAbs(hidden) || filepath.Clean(hidden) == "/" {
			return fmt.Errorf("hidden path %q: must be an absolute path below /", hidden)
		}
	}
	return nil
}

func (o Options) withDefaults() (Options, error) {
	if o.CgroupParent == "" {
		o.CgroupParent = path.Join(DefaultCgroupRoot, o.HostID)
	}
	if o.Binary == "" {
		binary, err := Executable()
		if err != nil {
			return o, fmt.Errorf("path of the running executable: %w", err)
		}
		o.Binary = binary
	}
	return o, nil
}

func validCgroup(name string) bool {
	return path.IsAbs(name) && path.Clean(name) == name && name != "/" && !strings.ContainsAny(name, "\x00\n")
}

// errUnavailable is the kind of error that Available returns.
func errUnavailable(why string) error { return errors.New("no containers: " + why) }
