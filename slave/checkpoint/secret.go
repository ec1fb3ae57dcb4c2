package checkpoint

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SlaveSecretBytes is the length of the secret by which a master knows a slave again.
const SlaveSecretBytes = 32

// SlaveSecret reads the secret of the slave whose work_dir this is, or makes it if there is none yet. It is as old as the
// work_dir, for its owner's eyes alone, and on the disk before it is returned. Only one process may do so at a time.
func SlaveSecret(workDir string) ([]byte, error) {
	path := filepath.Join(workDir, "meta", "secret")
	secret, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeSlaveSecret(path)
	case err != nil:
		return nil, fmt.Errorf("read the slave's secret: %w", err)
	case len(secret) != SlaveSecretBytes:
		return nil, fmt.Errorf("the slave's secret %s has %d bytes, want %d: delete it, and start the slave when its master has given it up or is not running",
			path, len(secret), SlaveSecretBytes)
	}
	return secret, nil
}

// makeSlaveSecret writes a new secret beside its place and moves it there, so that it is whole or not there.
func makeSlaveSecret(path string) ([]byte, error) {
	secret := make([]byte, SlaveSecretBytes)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the slave's secret: %w", err)
	}
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("make the slave's secret: %w", err)
	}
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secretMode)
	if err != nil {
		return nil, fmt.Errorf("make the slave's secret: %w", err)
	}
	_, err = file.Write(secret)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return nil, fmt.Errorf("make the slave's secret: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return nil, fmt.Errorf("make the slave's secret: %w", err)
	}
	return secret, nil
}
