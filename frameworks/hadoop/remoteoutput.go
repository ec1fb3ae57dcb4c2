package hadoop

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
)

// remoteOutput is a job's output folder in HDFS.
type remoteOutput struct {
	system *hdfs.System
	dir    hdfs.Location
}

// planRemoteOutput looks whether the folder can be made: it must not exist.
func planRemoteOutput(text string) (*output, error) {
	o, err := outputAt(text)
	if err != nil {
		return nil, fmt.Errorf("output directory %w", err)
	}
	switch _, err = o.remote.system.Stat(o.remote.dir); {
	case errors.Is(err, fs.ErrNotExist):
		return o, nil
	case err == nil:
		err = fmt.Errorf("output directory %s already exists: remove it or choose another", text)
	default:
		err = fmt.Errorf("output directory %w", err)
	}
	o.close()
	return nil, err
}

// outputAt is an output folder that has been planned before.
func outputAt(text string) (*output, error) {
	if !hdfs.Is(text) {
		return &output{dir: text}, nil
	}
	dir, err := hdfs.Parse(text)
	if err != nil {
		return nil, err
	}
	return &output{dir: dir.String(), remote: &remoteOutput{system: &hdfs.System{}, dir: dir}}, nil
}

// create makes the folder.
func (r *remoteOutput) create() error {
	if err := r.system.MkdirAll(r.at(temporaryDir)); err != nil {
		return fmt.Errorf("make output directory %w", err)
	}
	return nil
}

// at is a path below the folder.
func (r *remoteOutput) at(names ...string) hdfs.Location {
	return hdfs.Location{NameNode: r.dir.NameNode, Path: path.Join(append([]string{r.dir.Path}, names...)...)}
}

// createPart makes an attempt's file, in the place of an unfinished one.
func (r *remoteOutput) createPart(taskID string) (io.WriteCloser, error) {
	l := r.at(temporaryDir, taskID)
	if err := r.system.Remove(l); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return r.system.Create(l)
}

// commit does not do again what was done of it before the process died.
func (r *remoteOutput) commit(attempts []string) error {
	for partition, id := range attempts {
		from, to := r.at(temporaryDir, id), r.at(task.PartName(partition))
		if _, err := r.system.Stat(from); errors.Is(err, fs.ErrNotExist) {
			if _, there := r.system.Stat(to); there == nil {
				continue
			}
		}
		if err := r.system.Rename(from, to); err != nil {
			return err
		}
	}
	if err := r.system.Remove(r.at(temporaryDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.system.Remove(r.at(SuccessFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mark, err := r.system.Create(r.at(SuccessFile))
	if err != nil {
		return err
	}
	return mark.Close()
}
