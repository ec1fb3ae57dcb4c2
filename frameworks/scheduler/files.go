package scheduler

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// MaxFileBytes is the largest file that can be offered to tasks, 4 GiB: all of it goes through a master, for each slave.
const MaxFileBytes = 4 << 30

// Files are files of this machine that a framework offers to its tasks. They reach the slaves over the connections that
// exist already, scheduler to master to slave, in parts, when a task that wants them is about to start: nothing is
// uploaded before, and nobody dials this machine. A slave fetches each content once, and keeps it for other tasks as far as its
// cache goes.
//
// The zero value is empty. Give it to Options.Files. Its methods may be called by many goroutines, before and while the
// scheduler runs. The files must stay as they are until the last task that wants them has started: a task whose file
// changes or goes away meanwhile fails and says so.
type Files struct {
	mu    sync.Mutex
	known map[string][]offeredFile // by checksum; each is as good, the last is read
}

// offeredFile is a file and how it was when it was offered.
type offeredFile struct {
	path string
	info fs.FileInfo
}

// Add offers a file, and returns what puts it into a task's sandbox under its own name, executable if it is that here: an
// element for CommandInfo.uris of a task or an executor. The caller may change it: OutputFile for another name or folder
// in the sandbox, Extract to have an archive unpacked.
//
// Add reads the whole file for its checksum. It fails if there is no such file, if it is a folder or a device, if it
// is larger than MaxFileBytes, or if it changes at that moment. The same content may be added many times, under several names.
func (f *Files) Add(path string) (*mesos.CommandInfo_URI, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", path, err)
	}
	info, sum, err := fingerprint(path)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = map[string][]offeredFile{}
	}
	f.known[sum] = append(without(f.known[sum], path), offeredFile{path, info})
	address := url.URL{Scheme: mesos.FrameworkFileScheme, Path: "/" + filepath.Base(path), Fragment: "sha256=" + sum}
	const executable = 0o111
	return &mesos.CommandInfo_URI{
		Value: proto.String(address.String()), Executable: proto.Bool(info.Mode()&executable != 0), Extract: proto.Bool(false),
	}, nil
}

// Remove ends the offer of a file. The same content that was added from elsewhere is read from there.
func (f *Files) Remove(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("file %s: %w", path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for sum, offered := range f.known {
		if f.known[sum] = without(offered, path); len(f.known[sum]) == 0 {
			delete(f.known, sum)
		}
	}
	return nil
}

// without leaves a path out.
func without(offered []offeredFile, path string) []offeredFile {
	return slices.DeleteFunc(offered, func(o offeredFile) bool { return o.path == path })
}

// fingerprint says how a file is, and the checksum of its content.
func fingerprint(path string) (fs.FileInfo, string, error) {
	before, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, "", cause(err)
	case before.IsDir():
		return nil, "", errors.New("it is a folder: only files can be sent; pack it into an archive")
	case !before.Mode().IsRegular():
		return nil, "", errors.New("it is a device, a pipe or a socket: only files can be sent")
	case before.Size() > MaxFileBytes:
		return nil, "", fmt.Errorf("it has %d bytes: allowed are %d; put it where --uri can fetch it", before.Size(), int64(MaxFileBytes))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, "", cause(err)
	}
	defer file.Close()
	hash := sha256.New()
	read, err := io.Copy(hash, io.LimitReader(file, MaxFileBytes+1))
	if err != nil {
		return nil, "", cause(err)
	}
	after, err := file.Stat()
	if err != nil {
		return nil, "", cause(err)
	}
	if !same(before, after) {
		return nil, "", errors.New("it is being changed")
	}
	if read != after.Size() { // as in /proc
		return nil, "", fmt.Errorf("it says that it has %d bytes, and has %d: copy it, and send the copy", after.Size(), read)
	}
	return after, hex.EncodeToString(hash.Sum(nil)), nil
}

// same tells whether a file seems to be what it was. What it overlooks the checksum finds.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// cause is an error without the path, which is told anyway.
func cause(err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// read answers a slave's question.
func (f *Files) read(question *wire.ReadFile) *wire.FileChunk {
	answer := &wire.FileChunk{Id: question.GetId()}
	data, size, err := f.part(question)
	if err != nil {
		answer.Failure = err.Error()
		return answer
	}
	answer.Data, answer.Size = data, size
	return answer
}

func (f *Files) part(question *wire.ReadFile) ([]byte, int64, error) {
	offered, known := f.find(question.GetSha256())
	if !known {
		return nil, 0, errors.New("the framework's scheduler offers no such file")
	}
	if question.GetOffset() < 0 || question.GetLength() < 0 || question.GetLength() > wire.MaxFileChunk {
		return nil, 0, fmt.Errorf("%d bytes at %d: at most %d can be read at a time", question.GetLength(), question.GetOffset(), wire.MaxFileChunk)
	}
	file, err := os.Open(offered.path)
	if err != nil {
		return nil, 0, fmt.Errorf("%s on the scheduler's machine: %w", offered.path, cause(err))
	}
	defer file.Close()
	data := make([]byte, max(0, min(int64(question.GetLength()), offered.info.Size()-question.GetOffset())))
	_, err = file.ReadAt(data, question.GetOffset())
	now, statErr := file.Stat()
	switch {
	case statErr == nil && !same(offered.info, now):
		return nil, 0, fmt.Errorf("%s on the scheduler's machine has changed since it was offered", offered.path)
	case err != nil:
		return nil, 0, fmt.Errorf("%s on the scheduler's machine: %w", offered.path, cause(err))
	}
	return data, offered.info.Size(), nil
}

func (f *Files) find(sum string) (offeredFile, bool) {
	if f == nil {
		return offeredFile{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	offered := f.known[sum]
	if len(offered) == 0 {
		return offeredFile{}, false
	}
	return offered[len(offered)-1], true
}

// fileRead is the part of a file that a slave has asked for.
type fileRead struct {
	to     actor.PID
	answer *wire.FileChunk
}
