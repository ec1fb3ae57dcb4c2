package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"path/filepath"

	"github.com/stoa-project/stoa/frameworks/hadoop/mr"
)

// stretch is what teravalidate finds in some records of a file that follow each other.
type stretch struct {
	File        string
	First, Last []byte // keys
	Records     int64
	Unordered   int64  // records whose key is below that of the one before
	Checksum    uint64 // the sum of the records' CRC-32, which their order does not change
}

// follow adds the stretch that comes next.
func (s *stretch) follow(next stretch) {
	if s.Records > 0 && bytes.Compare(s.Last, next.First) > 0 {
		s.Unordered++
	}
	s.File, s.Last = next.File, next.Last
	s.Records += next.Records
	s.Unordered += next.Unordered
	s.Checksum += next.Checksum
}

// teraValidate tells how many records there are, how many of them come after a higher one, within a part or from one part to
// the next, and a checksum of them all. Equal keys keep their order, so that its reduce sees the parts as they follow.
func teraValidate() mr.Job[struct{}, stretch] {
	file := ""
	return mr.Job[struct{}, stretch]{
		Name: "teravalidate", Key: mr.None{}, Value: mr.JSON[stretch]{}, Flags: []string{"-inputformat", "wholefile"},
		Begin: func(split mr.Split) error {
			file = filepath.Base(split.File)
			return nil
		},
		Map: func(line []byte, emit func(struct{}, stretch)) error {
			key := bytes.Clone(line[:min(teraKeyBytes, len(line))])
			emit(struct{}{}, stretch{File: file, First: key, Last: key, Records: 1, Checksum: uint64(crc32.ChecksumIEEE(line))})
			return nil
		},
		Combine: func(_ struct{}, some iter.Seq[stretch], emit func(stretch)) error {
			var all stretch
			for next := range some {
				if all.Records > 0 && all.File != next.File {
					emit(all)
					all = stretch{}
				}
				if all.Records == 0 {
					all.First = next.First
				}
				all.follow(next)
			}
			emit(all)
			return nil
		},
		Reduce: func(_ struct{}, parts iter.Seq[stretch], out io.Writer) error {
			var all stretch
			for part := range parts {
				before := all.Unordered
				all.follow(part)
				if n := all.Unordered - before; n > 0 {
					fmt.Fprintf(out, "%s: %d records come after a higher one\n", part.File, n)
				}
			}
			_, err := fmt.Fprintf(out, "records\t%d\nunordered\t%d\nchecksum\t%x\n", all.Records, all.Unordered, all.Checksum)
			return err
		},
	}
}
