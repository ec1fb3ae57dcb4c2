package task

import "golang.org/x/sys/unix"

// preferLargePages has memory come in pages of 2 MB rather than of 4 KB: records are read in the order of their keys, each
// from another place, which is mostly the looking up of small pages. A system that does not do so costs speed only.
func preferLargePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
