//go:build !linux

package fetcher

import (
	"errors"
	"os"
	"path/filepath"
)

// openAs opens a file with the slave's own rights: only Linux lets one thread have others.
func openAs(as identity, path string) (*os.File, error) {
	if as.other {
		return nil, errors.New("files can be fetched only as the slave's own user here")
	}
	return os.Open(path)
}

func realPath(file *os.File) (string, error) { return filepath.EvalSymlinks(file.Name()) }
