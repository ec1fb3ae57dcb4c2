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
	"github.com/stoa-project/stoa/slave/core"
	"github.com/stoa-project/stoa/slave/disk"
)

// Modes of folders. A sandbox's is Mesos's; those above must let its owner through.
const (
	sandboxMode = 0o750
	folderMode  = 0o755
	secretMode  = 0o600
)

// makeTries bounds how often something is tried to be made whose folder is removed meanwhile.
const makeTries = 100

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
func (r Run) runs() string { return filepath.Join(r.executors(), r.ExecutorID, "runs") }

// executors is the folder of all executors of the framework.
func (r Run) executors() string {
	return filepath.Join("slaves", r.SlaveID, "frameworks", r.FrameworkID, "executors")
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
	var runs *os.Root
	if err := MakeBesideRemoval(func() (err error) {
		runs, err = makeRun(root, run)
		return err
	}); err != nil {
		return "", err
	}
	defer runs.Close()
	// Mkdir obeys the umask; the mode has to be what it says.
	if err := runs.Chmod(run.ContainerID, sandboxMode); err != nil {
		return "", err
	}
	if owner != "" {
		uid, gid, err := lookUp(owner)
		if err != nil {
			return "", err
		}
		if err := runs.Chown(run.ContainerID, uid, gid); err != nil {
			return "", fmt.Errorf("%w: only root may give it to user %q", err, owner)
		}
	}
	return filepath.Join(absolute, run.Path()), makeLatest(runs, run.ContainerID)
}

// MakeBesideRemoval makes something in folders of the tree, as make does it. RemoveSandbox may remove these at the same moment, for
// they are empty: it is tried again then. (That a folder is there is said of one that is gone when MkdirAll looks whether it is one.)
func MakeBesideRemoval(make func() error) error {
	err := make()
	for tries := 1; (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)) && tries < makeTries; tries++ {
		err = make()
	}
	return err
}

// makeRun makes the folder of a run and returns the one that it is in.
func makeRun(root *os.Root, run Run) (*os.Root, error) {
	if err := makeSpread(root, run.executors()); err != nil {
		return nil, err
	}
	if err := root.MkdirAll(run.runs(), folderMode); err != nil {
		return nil, err
	}
	runs, err := root.OpenRoot(run.runs())
	if err != nil {
		return nil, err
	}
	if err := runs.Mkdir(run.ContainerID, sandboxMode); err != nil && !errors.Is(err, fs.ErrExist) {
		runs.Close()
		return nil, err
	}
	return runs, nil
}

// makeSpread makes a folder, unless it exists, whose folders the disk may put far apart.
func makeSpread(root *os.Root, path string) error {
	if _, err := root.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.MkdirAll(path, folderMode); err != nil {
		return err
	}
	folder, err := root.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	disk.Spread(folder)
	return nil
}

// makeLatest lets the link in the folder of an executor's runs point to one of them, in one step.
func makeLatest(runs *os.Root, id string) error {
	temporary := ".latest-" + id
	err := runs.Symlink(id, temporary)
	if errors.Is(err, fs.ErrExist) { // of a slave that was killed here
		if err := runs.Remove(temporary); err != nil {
			return err
		}
		err = runs.Symlink(id, temporary)
	}
	if err != nil {
		return err
	}
	return runs.Rename(temporary, Latest)
}

// IsOwn fails unless name is that of this process's user, as a name or number, or empty.
func IsOwn(name string) error {
	if name == "" {
		return nil
	}
	uid, _, err := lookUp(name)
	if err != nil {
		return err
	}
	if own := os.Geteuid(); uid != own {
		return fmt.Errorf("user %q: this slave has no root, and runs tasks as its own user alone, %s", name, nameOf(own))
	}
	return nil
}

// nameOf is what a user is called on this machine: its number, if it has no name.
func nameOf(uid int) string {
	number := strconv.Itoa(uid)
	if u, err := user.LookupId(number); err == nil {
		return strconv.Quote(u.Username)
	}
	return number
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
	if err := removeTree(root, path); err != nil {
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

// removeTree deletes what tasks have filled.
func removeTree(root *os.Root, path string) error {
	folder, err := root.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	return disk.Remove(folder, filepath.Base(path))
}

// isSandbox says whether a path relative to a work_dir is that of a sandbox:
// slaves/S/frameworks/F/executors/E/runs/C.
func isSandbox(path string) bool {
	matched, err := filepath.Match("slaves/*/frameworks/*/executors/*/runs/*", path)
	return err == nil && matched && filepath.IsLocal(path)
}

// removeEmpty removes a folder and those above it as long as they are empty. Another run may be made at this moment, whose
// maker tries again; the slave's own folder is left alone.
func removeEmpty(root *os.Root, path string) {
	for filepath.Base(filepath.Dir(path)) != "slaves" && path != "." {
		if err := root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

// RemoveHostSecrets deletes the secrets of all hosts: those of a slave that is just being born belong to nobody.
func RemoveHostSecrets(workDir string) error {
	if err := os.RemoveAll(filepath.Join(workDir, "meta", "hosts")); err != nil {
		return fmt.Errorf("remove the secrets of hosts that have ended: %w", err)
	}
	return nil
}

// RemoveRemains deletes what a slave or a host leaves in a work_dir that is killed in the middle of making or removing a
// sandbox or a persistent volume: links to runs that are gone, exit records without a sandbox, folders with nothing in them,
// and volumes that were out of the way already. It is for the beginning of a life, before anything is made.
func RemoveRemains(workDir string) error {
	root, err := os.OpenRoot(workDir)
	if err != nil {
		return fmt.Errorf("remove what was left half made: %w", err)
	}
	defer root.Close()
	const executors = "slaves/*/frameworks/*/executors/*"
	runs, err := fs.Glob(root.FS(), executors+"/runs/*")
	if err != nil {
		return fmt.Errorf("remove what was left half made: %w", err)
	}
	hidden, err := fs.Glob(root.FS(), executors+"/runs/.latest-*")
	if err != nil {
		return fmt.Errorf("remove what was left half made: %w", err)
	}
	records, err := fs.Glob(root.FS(), "meta/"+executors+"/runs/*")
	if err != nil {
		return fmt.Errorf("remove what was left half made: %w", err)
	}
	failed := []error{removeTree(root, filepath.Join("meta", "discarded"))}
	for _, path := range append(runs, hidden...) {
		if to, err := root.Readlink(path); err == nil && (filepath.Base(path) != Latest || isMissing(root, filepath.Join(filepath.Dir(path), to))) {
			failed = append(failed, root.Remove(path))
		}
	}
	for _, path := range records {
		if sandbox, _ := filepath.Rel("meta", path); isMissing(root, sandbox) {
			failed = append(failed, root.RemoveAll(path))
		}
	}
	// From the bottom up.
	for _, below := range []string{"/frameworks/*/executors/*/runs", "/frameworks/*/executors/*", "/frameworks/*/executors", "/frameworks/*", "/frameworks", ""} {
		for _, top := range []string{"slaves/*", "meta/slaves/*"} {
			folders, err := fs.Glob(root.FS(), top+below)
			failed = append(failed, err)
			for _, path := range folders {
				_ = root.Remove(path) // one that is not empty stays
			}
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("remove what was left half made: %w", err)
	}
	return nil
}

func isMissing(root *os.Root, path string) bool {
	_, err := root.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// FindSandboxes lists all sandboxes of a work_dir, by absolute path, each with the time when it was last known to be in use:
// that of its exit record, or else of the folder's last change. What is in the tree and is no sandbox is left out.
func FindSandboxes(workDir string) ([]core.Garbage, error) {
	absolute, err := filepath.Abs(workDir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	defer root.Close()
	paths, err := fs.Glob(root.FS(), "slaves/*/frameworks/*/executors/*/runs/*")
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	var found []core.Garbage
	for _, path := range paths {
		info, err := root.Lstat(path)
		if err != nil || !info.IsDir() {
			continue // the link to the last run, or it was removed meanwhile
		}
		since := info.ModTime()
		if exit, err := root.Lstat(filepath.Join("meta", path, "exit")); err == nil {
			since = exit.ModTime()
		}
		found = append(found, core.Garbage{Directory: filepath.Join(absolute, path), Since: since})
	}
	return found, nil
}
