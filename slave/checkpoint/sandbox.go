package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Modes of folders. A sandbox's is Mesos's; those above must let its owner through.
const (
	sandboxMode = 0o750
	folderMode  = 0o755
	secretMode  = 0o600
)

// Latest is the name of the link to the last run of an executor.
const Latest = "latest"

// Run names one run of an executor: its place in the tree.
type Run struct{ SlaveID, FrameworkID, ExecutorID, ContainerID string }

// Validate returns an error if an id can't be the name of a folder.
func (r Run) Validate() error {
	return errors.Join(
		mesos.ValidateID("slave id", r.SlaveID),
		mesos.ValidateID("framework id", r.FrameworkID),
		mesos.ValidateID("executor id", r.ExecutorID),
		mesos.ValidateID("container id", r.ContainerID),
	)
}

// Path is the run's sandbox, relative to the work_dir. The ids must be valid.
func (r Run) Path() string { return filepath.Join(r.runs(), r.ContainerID) }

// runs is the folder of all runs of the executor.
func (r Run) runs() string {
	return filepath.Join("slaves", r.SlaveID, "frameworks", r.FrameworkID, "executors", r.ExecutorID, "runs")
}

// MakeSandbox makes the sandbox of a run in a work_dir, owned by the user of that name, or by the caller's if the name is
// empty, and makes it the executor's latest. It returns the sandbox's absolute path. That it exists already is no error.
func MakeSandbox(workDir string, run Run, owner string) (string, error) {
	path, err := makeSandbox(workDir, run, owner)
	if err != nil {
		return "", fmt.Errorf("make sandbox: %w", err)
	}
	return path, nil
}

func makeSandbox(workDir string, run Run, owner string) (string, error) {
	if err := run.Validate(); err != nil {
		return "", err
	}
	absolute, err := filepath.Abs(workDir)
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := root.MkdirAll(run.Path(), folderMode); err != nil {
		return "", err
	}
	// MkdirAll obeys the umask; the mode has to be what it says.
	if err := root.Chmod(run.Path(), sandboxMode); err != nil {
		return "", err
	}
	if owner != "" {
		uid, gid, err := lookUp(owner)
		if err != nil {
			return "", err
		}
		if err := root.Chown(run.Path(), uid, gid); err != nil {
			return "", fmt.Errorf("%w: only root may give it to user %q", err, owner)
		}
	}
	return filepath.Join(absolute, run.Path()), makeLatest(root, run)
}

// makeLatest lets the link point to the run, in one step.
func makeLatest(root *os.Root, run Run) error {
	temporary := filepath.Join(run.runs(), ".latest-"+run.ContainerID)
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.Symlink(run.ContainerID, temporary); err != nil {
		return err
	}
	return root.Rename(temporary, filepath.Join(run.runs(), Latest))
}

// lookUp finds a user of this machine by name or number.
func lookUp(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return 0, 0, fmt.Errorf("there is no user %q on this machine", name)
		}
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, fmt.Errorf("user %q: uid %q is not a number", name, u.Uid)
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, 0, fmt.Errorf("user %q: gid %q is not a number", name, u.Gid)
	}
	return uid, gid, nil
}

// RemoveSandbox deletes a sandbox, its exit record, and the folders above that are empty then. It is given the path that
// MakeSandbox returned. That it is gone already is no error.
func RemoveSandbox(workDir, directory string) error {
	if err := removeSandbox(workDir, directory); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", directory, err)
	}
	return nil
}

func removeSandbox(workDir, directory string) error {
	absolute, err := filepath.Abs(workDir)
	if err != nil {
		return err
	}
	path, err := filepath.Rel(absolute, directory)
	if err != nil || !isSandbox(path) {
		return fmt.Errorf("it is not a sandbox of the work_dir %s", absolute)
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.RemoveAll(path); err != nil {
		return err
	}
	latest := filepath.Join(filepath.Dir(path), Latest)
	if to, err := root.Readlink(latest); err == nil && to == filepath.Base(path) {
		if err := root.Remove(latest); err != nil {
			return err
		}
	}
	meta := filepath.Join("meta", path)
	if err := root.RemoveAll(meta); err != nil {
		return err
	}
	removeEmpty(root, filepath.Dir(path))
	removeEmpty(root, filepath.Dir(meta))
	return nil
}

// isSandbox says whether a path relative to a work_dir is that of a sandbox:
// slaves/S/frameworks/F/executors/E/runs/C.
func isSandbox(path string) bool {
	matched, err := filepath.Match("slaves/*/frameworks/*/executors/*/runs/*", path)
	return err == nil && matched && filepath.IsLocal(path)
}

// removeEmpty removes a folder and those above it as long as they are empty. Another run may be made at this moment;
// MkdirAll would then fail, so the slave's own folder is left alone.
func removeEmpty(root *os.Root, path string) {
	for filepath.Base(filepath.Dir(path)) != "slaves" && path != "." {
		if root.Remove(path) != nil {
			return
		}
		path = filepath.Dir(path)
	}
}

// WriteHostSecret puts a host's secret where only it can read it, and returns the file's absolute path.
func WriteHostSecret(workDir, hostID string, secret []byte) (string, error) {
	if err := mesos.ValidateID("host id", hostID); err != nil {
		return "", err
	}
	path, err := filepath.Abs(filepath.Join(workDir, "meta", "hosts", hostID, "secret"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("write the host's secret: %w", err)
	}
	if err := os.WriteFile(path, secret, secretMode); err != nil {
		return "", fmt.Errorf("write the host's secret: %w", err)
	}
	return path, nil
}

// RemoveHostSecret deletes what WriteHostSecret made.
func RemoveHostSecret(workDir, hostID string) error {
	if err := mesos.ValidateID("host id", hostID); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(workDir, "meta", "hosts", hostID))
}
