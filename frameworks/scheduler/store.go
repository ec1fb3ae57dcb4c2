package scheduler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Store keeps what a framework must not forget, as logs of records: what was appended before a process died is there for
// the next. Its methods may be called by many goroutines.
type Store interface {
	// Names lists the logs, sorted.
	Names() ([]string, error)
	// Load gives a log's records in the order in which they were appended; none if there is no such log.
	Load(name string) ([][]byte, error)
	// Append adds a record. It survives the end of the process; if it is durable, that of the machine too.
	Append(name string, record []byte, durable bool) error
	// Remove forgets a log. One that is not there is no error.
	Remove(name string) error
	// Close ends the use of the store.
	Close() error
}

// MaxRecordBytes bounds a record of a FileStore.
const MaxRecordBytes = 64 << 20

// logSuffix ends the name of a log's file.
const logSuffix = ".log"

// recordHeader is the length of a record and its checksum (CRC-32C), which come before it, 4 bytes each, little-endian.
const recordHeader = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FileStore is a Store of a file for each log, in a folder that one process uses at a time.
type FileStore struct {
	dir  string
	lock *os.File

	mutex sync.Mutex
	logs  map[string]*os.File // that have been appended to
}

// OpenFileStore opens the store in a folder, which is made if it is missing. The error names the folder, and says so if
// another process uses it.
func OpenFileStore(dir string) (*FileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("the store in %s is used by another process; end that, or use another folder", dir)
	}
	return &FileStore{dir: dir, lock: lock, logs: map[string]*os.File{}}, nil
}

func (s *FileStore) path(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("log %q: a name must not be empty, begin with a dot, or contain a slash or NUL", name)
	}
	return filepath.Join(s.dir, name+logSuffix), nil
}

// Names implements Store.
func (s *FileStore) Names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list the store: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), logSuffix); ok && entry.Type().IsRegular() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Load implements Store. A record at the end that was not written as a whole is dropped, and its bytes cut off: whoever
// wrote it was never told that it was kept. Damage before it is an error that names the file.
func (s *FileStore) Load(name string) ([][]byte, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	var records [][]byte
	at := 0
	for at < len(content) {
		record, damaged := nextRecord(content[at:])
		if damaged {
			return nil, fmt.Errorf("%s is damaged at byte %d; remove the file to go on without what it keeps", path, at)
		}
		if record == nil {
			if err := os.Truncate(path, int64(at)); err != nil {
				return nil, fmt.Errorf("cut off an unfinished record: %w", err)
			}
			break
		}
		records = append(records, record)
		at += recordHeader + len(record)
	}
	return records, nil
}

// nextRecord gives the first record; nil if it is the last and not whole.
func nextRecord(content []byte) (record []byte, damaged bool) {
	if len(content) < recordHeader {
		return nil, false
	}
	size := int64(binary.LittleEndian.Uint32(content))
	if size > MaxRecordBytes {
		return nil, true
	}
	rest := content[recordHeader:]
	if size > int64(len(rest)) {
		return nil, false
	}
	record = rest[:size:size]
	if crc32.Checksum(record, castagnoli) == binary.LittleEndian.Uint32(content[4:]) {
		return record, false
	}
	return nil, size < int64(len(rest))
}

// Append implements Store.
func (s *FileStore) Append(name string, record []byte, durable bool) error {
	if len(record) > MaxRecordBytes {
		return fmt.Errorf("a record of %d bytes is too long to be kept: allowed are %d", len(record), MaxRecordBytes)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	file, err := s.open(name)
	if err != nil {
		return err
	}
	framed := make([]byte, recordHeader, recordHeader+len(record))
	binary.LittleEndian.PutUint32(framed, uint32(len(record)))
	binary.LittleEndian.PutUint32(framed[4:], crc32.Checksum(record, castagnoli))
	framed = append(framed, record...)
	before, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Write(framed)
	}
	if err == nil && durable {
		err = file.Sync()
	}
	if err != nil {
		// What is half written would hide what is appended after it.
		return fmt.Errorf("keep a record: %w", errors.Join(err, file.Truncate(before)))
	}
	return nil
}

// open gives the file of a log to append to.
func (s *FileStore) open(name string) (*os.File, error) {
	if file := s.logs[name]; file != nil {
		return file, nil
	}
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep a record: %w", err)
	}
	s.logs[name] = file
	return file, nil
}

// Remove implements Store.
func (s *FileStore) Remove(name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if file := s.logs[name]; file != nil {
		file.Close()
		delete(s.logs, name)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget a log: %w", err)
	}
	return nil
}

// Close implements Store.
func (s *FileStore) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var err error
	for _, file := range s.logs {
		err = errors.Join(err, file.Close())
	}
	s.logs = nil
	return errors.Join(err, s.lock.Close())
}
