package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Modes of what is fetched, before the umask of nobody: they are set as they are.
const (
	fileMode       = 0o644
	executableMode = 0o755
	folderMode     = 0o755
)

// blockBytes is the unit of st_blocks, whatever the file system's own blocks are.
const blockBytes = 512

// target is a sandbox that is being filled.
type target struct {
	root    *os.Root
	owner   identity
	options *Options
	disk    *disk
}

// disk is how much of it a sandbox may take, in bytes, and does: as the host counts when the task runs, in blocks.
type disk struct{ limit, used int64 }

func (d *disk) room() int64 { return max(0, d.limit-d.used) }

// take counts something that is in the sandbox.
func (d *disk) take(info fs.FileInfo) error {
	before := d.room()
	bytes := info.Size()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		bytes = stat.Blocks * blockBytes
	}
	if d.used += bytes; d.used > d.limit {
		return fmt.Errorf("it takes %d bytes: the task's disk of %d bytes has room for %d", bytes, d.limit, before)
	}
	return nil
}

// refuse says that there is no room for something.
func (d *disk) refuse(size oversize) error {
	return fmt.Errorf("%w: the task's disk of %d bytes has room for %d", size, d.limit, d.room())
}

// place copies a file under its name.
func (t target) place(ctx context.Context, source io.Reader, w wanted) error {
	if err := t.folders(filepath.Dir(w.output)); err != nil {
		return err
	}
	mode := fs.FileMode(fileMode)
	if w.executable {
		mode = executableMode
	}
	_, err := t.write(ctx, w.output, mode, source, t.options.MaxBytes)
	return err
}

// write writes one new file, replacing whatever has its name, and returns its size.
func (t target) write(ctx context.Context, name string, mode fs.FileMode, source io.Reader, most int64) (int64, error) {
	if err := t.clear(name); err != nil {
		return 0, err
	}
	file, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	room := t.disk.room()
	n, err := io.Copy(file, io.LimitReader(&endingReader{ctx, source}, min(most, room)+1))
	switch {
	case err != nil:
		return n, err
	case n > most:
		return n, tooLarge(t.options.MaxBytes)
	case n > room:
		return n, t.disk.refuse(oversize{bytes: n})
	}
	info, err := file.Stat()
	if err == nil {
		err = t.disk.take(info)
	}
	if err != nil {
		return n, err
	}
	if t.owner.other {
		if err := file.Chown(t.owner.uid, t.owner.gid); err != nil {
			return n, err
		}
	}
	if err := file.Chmod(mode & fs.ModePerm); err != nil {
		return n, err
	}
	return n, file.Close()
}

// clear removes a file or link of that name. A folder stays, and is in the way.
func (t target) clear(name string) error {
	info, err := t.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	return t.root.Remove(name)
}

// folders makes a folder and those above it that are missing. It goes down one by one: a path would be walked from the top for each.
func (t target) folders(name string) error {
	if name == "." {
		return nil
	}
	at := t
	defer func() {
		if at.root != t.root {
			at.root.Close()
		}
	}()
	for part := range strings.SplitSeq(name, string(filepath.Separator)) {
		if err := at.makeFolder(part); err != nil {
			return err
		}
		below, err := at.root.OpenRoot(part)
		if err != nil {
			return err
		}
		if at.root != t.root {
			at.root.Close()
		}
		at.root = below
	}
	return nil
}

// makeFolder makes one folder if it is missing. A link to one is none.
func (t target) makeFolder(name string) error {
	if info, err := t.root.Lstat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := t.root.Mkdir(name, folderMode); err != nil {
		return err
	}
	if err := t.root.Chmod(name, folderMode); err != nil {
		return err
	}
	return t.own(name)
}

// own counts a folder or link, and gives it to the task's user.
func (t target) own(name string) error {
	info, err := t.root.Lstat(name)
	if err == nil {
		err = t.disk.take(info)
	}
	if err != nil {
		return err
	}
	if !t.owner.other {
		return nil
	}
	return t.root.Lchown(name, t.owner.uid, t.owner.gid)
}

// endingReader ends with its context.
type endingReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *endingReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
