package fetcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// store holds downloads as files. What is behind a key is downloaded once for all who want it at the same time; afterwards it is
// kept if one of them asked for that, for those who ask for it too, until others need its room. What is in use is never removed.
type store struct {
	directory string
	capacity  int64 // of what is kept, in bytes

	mu      sync.Mutex
	ready   bool // directory is there, and empty
	counter uint64
	entries map[string]*entry // by key
	kept    []*entry          // that are complete and to be kept; the least recently used first
}

// entry is one download.
type entry struct {
	key    string
	path   string
	users  int
	keep   bool
	size   int64
	cancel context.CancelFunc // of a download that nobody wants any more
	done   chan struct{}      // closed when it is complete or has failed
	err    error
}

// download writes what is behind a key into a file.
type download func(ctx context.Context, to *os.File) error

// get opens what is behind a key, which is downloaded unless it is there. The caller calls done when it needs the file no
// more.
func (s *store) get(ctx context.Context, key string, keep bool, sum string, from download) (file *os.File, done func(), err error) {
	e, err := s.join(key, keep, from)
	if err != nil {
		return nil, nil, err
	}
	leave := func() { s.leave(e) }
	select {
	case <-e.done:
		err = e.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		file, err = os.Open(e.path)
	}
	if err == nil && sum != "" {
		if err = verify(file, sum); err != nil {
			file.Close()
			s.spoil(e) // the server may have had a moment of weakness: the next one asks anew
		}
	}
	if err != nil {
		leave()
		return nil, nil, err
	}
	return file, leave, nil
}

// join makes the caller a user of a key's download, and begins it if he is the first.
func (s *store) join(key string, keep bool, from download) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	e := s.entries[key]
	if e != nil && e.users == 0 && !keep {
		// It waits for those who want what was kept. Who does not has what there is now, and they have it from then on.
		s.forget(e)
		e, keep = nil, true
	}
	if e == nil {
		s.counter++
		ctx, cancel := context.WithCancel(context.Background())
		e = &entry{key: key, path: filepath.Join(s.directory, strconv.FormatUint(s.counter, 10)), cancel: cancel, done: make(chan struct{})}
		s.entries[key] = e
		go s.run(ctx, e, from)
	}
	e.users++
	e.keep = e.keep || keep && s.capacity > 0
	s.kept = slices.DeleteFunc(s.kept, func(other *entry) bool { return other == e })
	return e, nil
}

// prepare makes the directory. What is in it is of an earlier life.
func (s *store) prepare() error {
	if s.ready {
		return nil
	}
	if err := os.RemoveAll(s.directory); err != nil {
		return fmt.Errorf("empty the store of downloads: %w", err)
	}
	if err := os.MkdirAll(s.directory, 0o700); err != nil {
		return fmt.Errorf("make the store of downloads: %w", err)
	}
	s.ready, s.entries = true, map[string]*entry{}
	return nil
}

func (s *store) run(ctx context.Context, e *entry, from download) {
	size, err := s.fill(ctx, e, from)
	s.mu.Lock()
	e.size, e.err = size, err
	if err != nil {
		s.forget(e)
	}
	s.mu.Unlock()
	close(e.done)
	e.cancel()
}

func (s *store) fill(ctx context.Context, e *entry, from download) (int64, error) {
	file, err := os.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if err := from(ctx, file); err != nil {
		return 0, err
	}
	return file.Seek(0, io.SeekEnd)
}

// leave ends a use. Without users a download is given up, and what is complete goes or waits for the next.
func (s *store) leave(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.users--
	if e.users > 0 {
		return
	}
	complete := false
	select {
	case <-e.done:
		complete = e.err == nil
	default:
	}
	if !complete || !e.keep || e.size > s.capacity || s.entries[e.key] != e {
		e.cancel()
		s.forget(e)
		return
	}
	s.kept = append(s.kept, e)
	var total int64
	for _, one := range s.kept {
		total += one.size
	}
	for total > s.capacity {
		total -= s.kept[0].size
		s.forget(s.kept[0])
	}
}

// drop removes all that is kept.
func (s *store) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.kept) > 0 {
		s.forget(s.kept[0])
	}
}

// spoil lets nobody else use an entry.
func (s *store) spoil(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.key] == e {
		delete(s.entries, e.key)
	}
}

// forget removes an entry and its file; who has it open may read on.
func (s *store) forget(e *entry) {
	if s.entries[e.key] == e {
		delete(s.entries, e.key)
	}
	s.kept = slices.DeleteFunc(s.kept, func(other *entry) bool { return other == e })
	_ = os.Remove(e.path) // whatever stays goes with the next life
}

// verify compares a file with its checksum and rewinds it.
func verify(file *os.File, want string) error {
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("its sha256 is %s, and must be %s", got, want)
	}
	_, err := file.Seek(0, io.SeekStart)
	return err
}
