package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/core"
)

// volumeMode is that of a persistent volume's directory when it is made.
const volumeMode = 0o755

// VolumePath is where a persistent volume is, relative to the work_dir: as in Mesos, with the slashes of its role made blanks,
// which no role has, so that no volume lies in another. The role and id must be valid.
func VolumePath(role, id string) string {
	return filepath.Join("volumes", "roles", strings.ReplaceAll(role, "/", " "), id)
}

func validateVolume(v core.Volume) error {
	return errors.Join(mesos.ValidateRole(v.Role), mesos.ValidateID("id of a persistent volume", v.ID))
}

// MakeVolume makes the directory of a persistent volume if it does not exist, and gives it to the user of that name. Empty
// leaves it to whom it belongs; so does a shared one that has been given to somebody already.
func MakeVolume(workDir string, v core.Volume, owner string) error {
	if err := makeVolume(workDir, v, owner); err != nil {
		return fmt.Errorf("make persistent volume %q of role %q: %w", v.ID, v.Role, err)
	}
	return nil
}

func makeVolume(workDir string, v core.Volume, owner string) error {
	if err := validateVolume(v); err != nil {
		return err
	}
	root, err := os.OpenRoot(workDir)
	if err != nil {
		return err
	}
	defer root.Close()
	path := VolumePath(v.Role, v.ID)
	if err := root.MkdirAll(path, volumeMode); err != nil {
		return err
	}
	if owner == "" {
		return nil
	}
	uid, gid, err := lookUp(owner)
	if err != nil {
		return err
	}
	info, err := root.Stat(path)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && (int(stat.Uid) == uid || v.Shared && stat.Uid != 0) {
		return nil
	}
	return root.Chown(path, uid, gid)
}

// DiscardVolume takes a persistent volume out of the way at once, so that another may be made in its place. What it returns
// deletes its content, which may take long. That it is gone already is no error.
func DiscardVolume(workDir string, v core.Volume, number uint64) (remove func() error, err error) {
	fail := func(err error) error {
		return fmt.Errorf("remove persistent volume %q of role %q: %w", v.ID, v.Role, err)
	}
	if err := validateVolume(v); err != nil {
		return nil, fail(err)
	}
	root, err := os.OpenRoot(workDir)
	if err != nil {
		return nil, fail(err)
	}
	defer root.Close()
	path, discarded := VolumePath(v.Role, v.ID), filepath.Join("meta", "discarded")
	if err := root.MkdirAll(discarded, 0o700); err != nil {
		return nil, fail(err)
	}
	// One that an earlier life could not delete to the end may be there.
	discarded = filepath.Join(discarded, strconv.FormatUint(number, 10))
	if err := removeTree(root, discarded); err != nil {
		return nil, fail(err)
	}
	switch err := root.Rename(path, discarded); {
	case errors.Is(err, fs.ErrNotExist):
		return func() error { return nil }, nil
	case err != nil:
		return nil, fail(err)
	}
	_ = root.Remove(filepath.Dir(path)) // the role's folder, when it is empty
	return func() error { return removeDiscarded(workDir, discarded) }, nil
}

func removeDiscarded(workDir, path string) error {
	root, err := os.OpenRoot(workDir)
	if err != nil {
		return err
	}
	defer root.Close()
	return removeTree(root, path)
}
