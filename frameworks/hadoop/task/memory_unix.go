//go:build unix

package task

import "syscall"

// mapMemory gives memory that the collector neither counts nor clears, and that is the machine's again when release is called.
// What is never touched costs nothing.
func mapMemory(size int) (b []byte, release func(), err error) {
	if size == 0 {
		return nil, func() {}, nil
	}
	b, err = syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, err
	}
	preferLargePages(b)
	return b, func() { _ = syscall.Munmap(b) }, nil // it was mapped
}
