package hadoop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
)

// SuccessFile marks a finished output: it is made last.
const SuccessFile = "_SUCCESS"

// temporaryDir is where parts wait, below the output, until the job commits.
const temporaryDir = "_temporary"

// output is a job's output folder. Either all parts and SuccessFile come to be in it, or nothing is left of it.
type output struct {
	dir  string
	made []string // folders that the job made: dir last
}

// createOutput makes the folder, and those above it that are missing. It must not exist.
func createOutput(path string) (*output, error) {
	if path == "" {
		return nil, errors.New("no output: give a folder that does not exist by -output")
	}
	dir, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("output directory %s: %w", path, err)
	}
	if _, err := os.Lstat(dir); err == nil {
		return nil, fmt.Errorf("output directory %s already exists: remove it or choose another", path)
	}
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("output directory %s: %w", path, err)
		}
		missing = append(missing, d)
	}
	o := &output{dir: dir}
	for _, d := range slices.Backward(missing) {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make output directory %s: %w", path, err), o.discard())
		}
		o.made = append(o.made, d)
	}
	if err := os.Mkdir(filepath.Join(dir, temporaryDir), 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("make output directory %s: %w", path, err), o.discard())
	}
	return o, nil
}

// temporary is where an attempt's output waits.
func (o *output) temporary(taskID string) string {
	return filepath.Join(o.dir, temporaryDir, taskID)
}

// commit gives each partition's attempt its place and marks the output as finished.
func (o *output) commit(attempts []string) error {
	for partition, id := range attempts {
		if err := os.Rename(o.temporary(id), filepath.Join(o.dir, task.PartName(partition))); err != nil {
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
