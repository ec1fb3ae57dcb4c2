package scheduler

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stoa-project/stoa/proto/mesos"
)

// readID reads the framework id that an earlier life of the scheduler kept; "" if there is none.
func readID(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the framework id: %w", err)
	}
	id := strings.TrimSpace(string(content))
	if err := mesos.ValidateID("framework id", id); err != nil {
		return "", fmt.Errorf("framework id file %s: %w; remove the file to start as a new framework", file, err)
	}
	return id, nil
}

// writeID keeps an id so that either the old or the new content is found, whatever happens meanwhile.
func writeID(file, id string) error {
	if err := replaceFile(file, []byte(id+"\n")); err != nil {
		return fmt.Errorf("keep the framework id: %w", err)
	}
	return nil
}

func replaceFile(file string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name()) // the error at hand is the one to tell
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	return err
}

func removeID(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the framework id: %w", err)
	}
	return nil
}
