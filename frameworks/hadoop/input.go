package hadoop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
)

// listInputs finds all files of the inputs: each input in the order given, what a pattern matches as glob has it, the files of a folder in lexical order, all
// of them, also those whose names begin with . or _ (Hadoop leaves these out; here a file counts because it is there).
// Symbolic links within a folder are not followed, one that is itself an input is. What is neither file nor folder
// (sockets, pipes, devices) is passed over within a folder. Errors name the input and what is wrong with it.
func listInputs(ctx context.Context, paths []string, remote remoteFiles) ([]inputFile, error) {
	if len(paths) == 0 {
		return nil, errors.New("no input: give at least one file or folder by -input")
	}
	var all []string
	for _, path := range paths {
		find := glob
		if hdfs.Is(path) {
			find = remote.glob
		}
		found, err := find(path)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	var files []inputFile
	for _, path := range all {
		if hdfs.Is(path) {
			found, err := remote.list(ctx, path)
			if err != nil {
				return nil, fmt.Errorf("input %w", err)
			}
			files = append(files, found...)
			continue
		}
		root, err := inputRoot(path)
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			files = append(files, inputFile{root: root, path: p, size: info.Size()})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list input %s: %w", path, err)
		}
	}
	return files, nil
}

// inputRoot is the absolute path of an input, without symbolic links.
func inputRoot(path string) (string, error) {
	if path == "" {
		return "", errors.New(`input "" is empty: wanted is a file or a folder`)
	}
	root, err := filepath.Abs(path)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("input %s does not exist", path)
	}
	if err != nil {
		return "", fmt.Errorf("input %s: %w", path, err)
	}
	info, err := os.Stat(root)
	switch {
	case err != nil:
		return "", fmt.Errorf("input %s: %w", path, err)
	case !info.Mode().IsRegular() && !info.IsDir():
		return "", fmt.Errorf("input %s is neither a file nor a folder", path)
	case root == "/":
		return "", fmt.Errorf("input %s is the whole machine: wanted is a file or a folder below /", path)
	}
	return root, nil
}
