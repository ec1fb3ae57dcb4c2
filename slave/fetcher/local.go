package fetcher

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// identity is a user of this machine; the zero identity is the slave's own.
type identity struct {
	other    bool // than the slave's own
	uid, gid int
	groups   []int
}

// identify finds a user by name or number.
func identify(name string) (identity, error) {
	if name == "" {
		return identity{}, nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		if found, err = user.LookupId(name); err != nil {
			return identity{}, fmt.Errorf("there is no user %q on this machine", name)
		}
	}
	texts, err := found.GroupIds()
	if err != nil {
		return identity{}, fmt.Errorf("groups of user %q: %w", name, err)
	}
	var numbers []int
	for _, text := range append([]string{found.Uid, found.Gid}, texts...) {
		number, err := strconv.Atoi(text)
		if err != nil {
			return identity{}, fmt.Errorf("user %q: id %q is not a number", name, text)
		}
		numbers = append(numbers, number)
	}
	return identity{other: numbers[0] != os.Geteuid(), uid: numbers[0], gid: numbers[1], groups: numbers[2:]}, nil
}

// openLocal opens a file of the machine as its user would: the slave is root, and must not read for others what they
// may not read themselves.
func (f *Fetcher) openLocal(as identity, path string) (*os.File, error) {
	file, err := openAs(as, filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = f.allowed(file, info)
	}
	if err == nil && info.Size() > f.options.MaxBytes {
		err = tooLarge(f.options.MaxBytes)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// kindOf says what something is that is no file.
func kindOf(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a folder: pack it"
	}
	return "a device, a pipe or a socket"
}

// allowed looks at what was really opened, whatever links led to it.
func (f *Fetcher) allowed(file *os.File, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("it must be a file, and is %s", kindOf(info.Mode()))
	}
	real, err := realPath(file)
	if err != nil {
		return err
	}
	for _, forbidden := range f.options.Forbidden {
		if resolved, err := filepath.EvalSymlinks(forbidden); err == nil {
			forbidden = resolved
		}
		if real == forbidden || strings.HasPrefix(real, strings.TrimSuffix(forbidden, "/")+"/") {
			return &fs.PathError{Op: "open", Path: file.Name(), Err: syscall.EACCES}
		}
	}
	return nil
}
