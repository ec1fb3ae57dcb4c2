package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/disk"
)

// metaFolder is the part of a work_dir that mirrors the paths of the sandboxes, and that no task can reach.
const metaFolder = "meta"

// ExitPath is where the host records how the container with the given sandbox ended: the sandbox's own path below
// work_dir, moved below work_dir/meta, and in it the file "exit". It is an error if the sandbox is not below work_dir.
func ExitPath(workDir, sandbox string) (string, error) {
	below, err := filepath.Rel(workDir, sandbox)
	if err != nil || !filepath.IsLocal(below) || below == "." {
		return "", fmt.Errorf("sandbox %q: it must lie below the work_dir %q", sandbox, workDir)
	}
	return filepath.Join(workDir, metaFolder, below, "exit"), nil
}

// makeRecordFolder makes the folder of an exit record, executors/E/runs/C below meta. The disk may put those of different
// executors far apart.
func makeRecordFolder(path string) error {
	executors := filepath.Dir(filepath.Dir(filepath.Dir(path)))
	if _, err := os.Lstat(executors); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(executors, 0o700); err != nil {
			return err
		}
		folder, err := os.Open(executors)
		if err != nil {
			return err
		}
		disk.Spread(folder)
		folder.Close()
	}
	return os.MkdirAll(path, 0o700)
}

// ReadExit reads the exit record of the container with the given sandbox. It is fs.ErrNotExist if there is none: the
// container runs, or its host ended before it.
func ReadExit(workDir, sandbox string) (*wire.ContainerExit, error) {
	path, err := ExitPath(workDir, sandbox)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read exit record: %w", err)
	}
	exit := &wire.ContainerExit{}
	if err := proto.Unmarshal(data, exit); err != nil {
		return nil, fmt.Errorf("read exit record %s: %w", path, err)
	}
	return exit, nil
}

// writeExit writes an exit record: all of it or nothing. It outlives every process, not a power failure: no container
// does either.
func writeExit(path string, exit *wire.ContainerExit) error {
	data, err := proto.Marshal(exit)
	if err != nil {
		return fmt.Errorf("encode exit record: %w", err)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return fmt.Errorf("write exit record: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write exit record: %w", err)
	}
	return nil
}
