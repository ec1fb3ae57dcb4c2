package task

import (
	"fmt"
	"unsafe"
)

// arena is memory of a bounded size that is given out piece by piece and given back as a whole. Its zero value has none.
type arena struct {
	left    []byte
	release func()
}

func newArena(size int64) (*arena, error) {
	b, release, err := mapMemory(int(size))
	if err != nil {
		return nil, fmt.Errorf("get %d bytes for records: %w", size, err)
	}
	return &arena{b, release}, nil
}

// take gives so many bytes; false if there are not so many any more.
func (a *arena) take(n int64) ([]byte, bool) {
	if n > int64(len(a.left)) {
		return nil, false
	}
	b := a.left[:n:n]
	a.left = a.left[n:]
	return b, true
}

func (a *arena) close() { a.release() }

// entriesIn makes room for entries of memory: they hold no pointers, and mapped memory begins where anything may.
func entriesIn(b []byte) []entry {
	n := len(b) / entryBytes
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*entry)(unsafe.Pointer(&b[0])), n)[:0]
}
