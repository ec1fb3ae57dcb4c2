package task

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The kernel keeps in memory what is written to files and read from them, and a container's limit counts that too. When it is
// reached, whoever writes the next page waits until another one has been found to give up, and has to be on the disk for that. So
// records that are too many for the cache go to the disk as soon as they are written, and leave the cache once they have been
// read: with two tasks of 512 MB a sort of 1 GB takes a sixth less time.

// cachedBytes is how much of a file is left to the kernel.
const cachedBytes = 4 << 20

// writeOut has the disk begin to write a file, without waiting for it. That it can't costs speed only.
func writeOut(file *os.File, size int64) {
	if size > cachedBytes {
		_ = unix.SyncFileRange(int(file.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// readOnce reads n bytes of a file that nobody is expected to read soon again.
func readOnce(file *os.File, from, n int64) io.Reader {
	return &passing{SectionReader: io.NewSectionReader(file, from, n), file: file, from: from, at: from, told: from}
}

type passing struct {
	*io.SectionReader
	file     *os.File
	from, at int64
	told     int64 // so far the kernel knows
}

func (p *passing) Read(b []byte) (int, error) {
	n, err := p.SectionReader.Read(b)
	p.at += int64(n)
	if p.at-p.told >= cachedBytes {
		p.told = p.at
		// From the beginning: some of it was still on its way to the disk the last time.
		_ = unix.Fadvise(int(p.file.Fd()), p.from, p.at-p.from, unix.FADV_DONTNEED)
	}
	return n, err
}
