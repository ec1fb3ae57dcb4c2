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
// Who has no room for a download waits for it no longer than until that is known, and it ends with the last who does.
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
	key      string
	path     string
	users    int
	waiting  map[*waiter]bool // those of the users who have not left
	expected oversize         // how large it is, as far as is known
	keep     bool
	size     int64
	cancel   context.CancelFunc // of a download that nobody wants any more
	done     chan struct{}      // closed when it is complete or has failed
	err      error
}

// waiter is somebody who wants a download of at most so many bytes.
type waiter struct {
	room int64
	over chan oversize // has room for one: the download has more
}

// oversize says that there is no room for something of so many bytes, or at least so many.
type oversize struct {
	bytes int64
	exact bool
}

func (o oversize) Error() string {
	if o.exact {
		return fmt.Sprintf("it has %d bytes", o.bytes)
	}
	return fmt.Sprintf("it has at least %d bytes", o.bytes)
}

// download writes what is behind a key.
type download func(ctx context.Context, to *content) error

// content is a file that a download is written into, and tells how large it gets.
type content struct {
	file    *os.File
	written int64 // one after the other
	expect  func(oversize)
}

func (c *content) Write(p []byte) (int, error) {
	n, err := c.file.Write(p)
	c.written += int64(n)
	c.expect(oversize{bytes: c.written})
	return n, err
}

// get opens what is behind a key, which is downloaded unless it is there. The caller calls done when it needs the file no
// more. The error is an oversize if it has more than room bytes.
func (s *store) get(ctx context.Context, key string, keep bool, sum string, room int64, from download) (file *os.File, done func(), err error) {
	w := &waiter{room: room, over: make(chan oversize, 1)}
	e, err := s.join(w, key, keep, from)
	if err != nil {
		return nil, nil, err
	}
	leave := func() { s.leave(w, e) }
	select {
	case <-e.done:
		if err = e.err; err == nil && e.size > room {
			err = oversize{e.size, true}
		}
	case over := <-w.over:
		err = over
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
func (s *store) join(w *waiter, key string, keep bool, from download) (*entry, error) {
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
		e = &entry{key: key, path: filepath.Join(s.directory, strconv.FormatUint(s.counter, 10)), cancel: cancel, done: make(chan struct{}), waiting: map[*waiter]bool{}}
		s.entries[key] = e
		go s.run(ctx, e, from)
	}
	e.users++
	e.waiting[w] = true
	e.tell()
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
	if err == nil {
		e.expected = oversize{size, true}
	} else {
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
	if err := from(ctx, &content{file: file, expect: func(size oversize) { s.expect(e, size) }}); err != nil {
		return 0, err
	}
	return file.Seek(0, io.SeekEnd)
}

// expect notes how large a download is, or at least.
func (s *store) expect(e *entry, size oversize) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size.bytes > e.expected.bytes {
		e.expected = size
		e.tell()
	}
}

// tell lets those who have no room for what is expected know.
func (e *entry) tell() {
	for w := range e.waiting {
		if e.expected.bytes > w.room {
			w.over <- e.expected
			delete(e.waiting, w)
		}
	}
}

// leave ends a use. Without users a download is given up, and what is complete goes or waits for the next.
func (s *store) leave(w *waiter, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.users--
	delete(e.waiting, w)
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
