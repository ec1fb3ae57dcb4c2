package task

import (
	"fmt"
	"io"
	"os"

	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
)

// inputFile is a file of this machine or of HDFS.
type inputFile interface {
	io.ReadSeekCloser
	Name() string
}

// OpenInput opens an input file, for this process's user.
func OpenInput(path string) (io.ReadSeekCloser, error) { return openInput(path, os.Environ()) }

// openInput opens an input file. Of HDFS it reads as the user that the environment names.
func openInput(path string, environ []string) (inputFile, error) {
	if !hdfs.Is(path) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("input file: %w", err)
		}
		return f, nil
	}
	location, err := hdfs.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("input file: %w", err)
	}
	system := &hdfs.System{User: variable(environ, hdfs.UserVariable)}
	f, err := system.Open(location)
	if err != nil {
		system.Close()
		return nil, fmt.Errorf("input file: %w", err)
	}
	return hdfsFile{f, system}, nil
}

// hdfsFile has a connection of its own.
type hdfsFile struct {
	*hdfs.File
	system *hdfs.System
}

func (f hdfsFile) Name() string { return f.File.Name() }

func (f hdfsFile) Close() error {
	err := f.File.Close()
	f.system.Close()
	return err
}
