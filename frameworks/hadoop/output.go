package hadoop

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
)

// SuccessFile marks a finished output: it is made last.
const SuccessFile = "_SUCCESS"

// temporaryDir is where parts wait, below the output, until the job commits.
const temporaryDir = "_temporary"

// output is a job's output folder. Either all parts and SuccessFile come to be in it, or nothing is left of it.
type output struct {
	dir    string
	made   []string      // folders that the job made: dir last
	remote *remoteOutput // nil: it is a folder of this machine
}

// createOutput makes the folder, and those above it that are missing. It must not exist.
func createOutput(path string) (*output, error) {
	o, err := planOutput(path)
	if err != nil {
		return nil, err
	}
	return o, o.create(false)
}

// planOutput says which folders are to be made. The last must not exist.
func planOutput(path string) (*output, error) {
	if path == "" {
		return nil, errors.New("no output: give a folder that does not exist by -output")
	}
	if hdfs.Is(path) {
		return planRemoteOutput(path)
	}
	dir, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("output directory %s: %w", path, err)
	}
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("output directory %s already exists: remove it or choose another", path)
	}
	o := &output{dir: dir}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("output directory %s: %w", path, err)
		}
		o.made = append(o.made, d)
	}
	slices.Reverse(o.made)
	return o, nil
}

// create makes the folders that are not there yet; again, if the output itself may be there. If it can not, nothing of them
// is left.
func (o *output) create(again bool) error {
	if o.remote != nil {
		return o.remote.create()
	}
	for i, d := range o.made {
		err := os.Mkdir(d, 0o755)
		if errors.Is(err, fs.ErrExist) && (again || d != o.dir) {
			continue
		}
		if err != nil {
			made := &output{dir: o.dir, made: o.made[:i]}
			return errors.Join(fmt.Errorf("make output directory %s: %w", o.dir, err), made.discard())
		}
	}
	if err := os.Mkdir(filepath.Join(o.dir, temporaryDir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return errors.Join(fmt.Errorf("make output directory %s: %w", o.dir, err), o.discard())
	}
	return nil
}

// temporary is where an attempt's output waits.
func (o *output) temporary(taskID string) string {
	return filepath.Join(o.dir, temporaryDir, taskID)
}

// createPart makes the file in which an attempt's output waits, in the place of an unfinished one.
func (o *output) createPart(taskID string) (io.WriteCloser, error) {
	if o.remote != nil {
		return o.remote.createPart(taskID)
	}
	return os.Create(o.temporary(taskID))
}

// close ends what the output has open.
func (o *output) close() {
	if o.remote != nil {
		o.remote.system.Close()
	}
}

// commit gives each partition's attempt its place and marks the output as finished. What was done of it before the process
// died is not done again.
func (o *output) commit(attempts []string) error {
	if o.remote != nil {
		if err := o.remote.commit(attempts); err != nil {
			return fmt.Errorf("commit the output: %w", err)
		}
		return nil
	}
	for partition, id := range attempts {
		place := filepath.Join(o.dir, task.PartName(partition))
		err := os.Rename(o.temporary(id), place)
		if errors.Is(err, fs.ErrNotExist) {
			if _, there := os.Stat(place); there == nil {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("commit the output: %w", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(o.dir, temporaryDir)); err != nil {
		return fmt.Errorf("commit the output: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.dir, SuccessFile), nil, 0o644); err != nil {
		return fmt.Errorf("commit the output: %w", err)
	}
	return nil
}

// discard removes what the job made: the output with all that it holds, and the folders above that are still empty.
func (o *output) discard() error {
	if o.remote != nil {
		if err := o.remote.system.Remove(o.remote.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the unfinished output: %w", err)
		}
		return nil
	}
	for i, dir := range slices.Backward(o.made) {
		if i == len(o.made)-1 && dir == o.dir {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove the unfinished output: %w", err)
			}
			continue
		}
		if os.Remove(dir) != nil {
			break // somebody else has put something there
		}
	}
	return nil
}
