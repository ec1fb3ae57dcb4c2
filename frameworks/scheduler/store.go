package scheduler

import (
	"bufio"
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
	// Replace makes a log of these records alone, durably: whatever ends meanwhile, process or machine, the log has all that
	// it had or these.
	Replace(name string, records [][]byte) error
	// Prepare is Replace for much: it writes the records beside the log, which may be appended to meanwhile. The log is replaced
	// when replace is called, by these records and more: what was appended meanwhile and is not among these has to be. A log is
	// prepared once at a time.
	Prepare(name string, records [][]byte) (replace func(more [][]byte) error, err error)
	// Remove forgets a log. One that is not there is no error.
	Remove(name string) error
	// Close ends the use of the store.
	Close() error
}

// MaxRecordBytes bounds a record of a FileStore.
const MaxRecordBytes = 64 << 20

const (
	// logSuffix ends the name of a log's file.
	logSuffix = ".log"
	// unfinishedPrefix and unfinishedSuffix are around the log's name while a file is written that is to replace the log's.
	unfinishedPrefix, unfinishedSuffix = ".", ".new"
)

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

// OpenFileStore opens the store in a folder, which is made if it is missing. What a process that died has left unfinished is
// removed. The error names the folder, and says so if another process uses it.
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
	s := &FileStore{dir: dir, lock: lock, logs: map[string]*os.File{}}
	if err := s.removeUnfinished(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return s, nil
}

// removeUnfinished removes what was to replace logs and did not.
func (s *FileStore) removeUnfinished() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), unfinishedPrefix) && strings.HasSuffix(entry.Name(), unfinishedSuffix) {
			err = errors.Join(err, os.Remove(filepath.Join(s.dir, entry.Name())))
		}
	}
	return err
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
	if err := checkRecord(record); err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	file, err := s.open(name)
	if err != nil {
		return err
	}
	before, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Write(framed(record))
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

func checkRecord(record []byte) error {
	if len(record) > MaxRecordBytes {
		return fmt.Errorf("a record of %d bytes is too long to be kept: allowed are %d", len(record), MaxRecordBytes)
	}
	return nil
}

// framed is a record behind its header.
func framed(record []byte) []byte {
	b := make([]byte, recordHeader, recordHeader+len(record))
	binary.LittleEndian.PutUint32(b, uint32(len(record)))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(record, castagnoli))
	return append(b, record...)
}

// Replace implements Store.
func (s *FileStore) Replace(name string, records [][]byte) error {
	replace, err := s.Prepare(name, records)
	if err != nil {
		return err
	}
	return replace(nil)
}

// Prepare implements Store: the records are written to a file beside the log's, which then takes its name.
func (s *FileStore) Prepare(name string, records [][]byte) (replace func(more [][]byte) error, err error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		if err := checkRecord(record); err != nil {
			return nil, err
		}
	}
	unfinished := filepath.Join(s.dir, unfinishedPrefix+name+unfinishedSuffix)
	file, err := writeLog(unfinished, records)
	if err != nil {
		_ = os.Remove(unfinished) // the next process would
		return nil, fmt.Errorf("replace a log: %w", err)
	}
	return func(more [][]byte) error {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		err := addRecords(file, more)
		if err == nil {
			err = os.Rename(unfinished, path)
		}
		if err != nil {
			file.Close()
			_ = os.Remove(unfinished) // the next process would
			return fmt.Errorf("replace a log: %w", err)
		}
		if before := s.logs[name]; before != nil {
			before.Close()
		}
		s.logs[name] = file
		if err := syncFolder(s.dir); err != nil {
			return fmt.Errorf("replace a log: %w", err)
		}
		return nil
	}, nil
}

// addRecords writes records at the end of a file so that they outlive the machine's end.
func addRecords(file *os.File, records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	w := bufio.NewWriterSize(file, writeBuffer)
	for _, record := range records {
		if err := checkRecord(record); err != nil {
			return err
		}
		_, _ = w.Write(framed(record)) // Flush tells of the first error
	}
	return errors.Join(w.Flush(), file.Sync())
}

// writeLog makes a file of records that outlives the machine's end, but for its name. The file is open.
func writeLog(path string, records [][]byte) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(file, writeBuffer)
	for _, record := range records {
		_, _ = w.Write(framed(record)) // Flush tells of the first error
	}
	if err := errors.Join(w.Flush(), file.Sync()); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// writeBuffer is how much of a log is written at once when it is replaced.
const writeBuffer = 256 << 10

// syncFolder makes the names in a folder outlive the machine's end.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
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
	_, before := os.Lstat(path)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil && before != nil { // it is new
		if err = syncFolder(s.dir); err != nil {
			file.Close()
		}
	}
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
