package main

import (
	"fmt"
	"io"
	"iter"

	"github.com/stoa-project/stoa/frameworks/hadoop/mr"
)

// sortLines sorts lines by their bytes: the first part of the output has the lowest.
func sortLines() mr.Job[[]byte, struct{}] {
	return mr.Job[[]byte, struct{}]{
		Name: "sort", Key: mr.Bytes{}, Value: mr.None{}, TotalOrder: true,
		Map: func(line []byte, emit func([]byte, struct{})) error {
			emit(line, struct{}{})
			return nil
		},
		Reduce: func(line []byte, times iter.Seq[struct{}], out io.Writer) error {
			line = append(line, '\n')
			for range times {
				if _, err := out.Write(line); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// Records of the sort benchmark (sortbenchmark.org), in the ASCII form of its gensort: 10 bytes of key, two spaces, the
// record's number as 32 hexadecimal digits, two spaces, 52 bytes of filler and \r\n, 100 bytes in all.
const (
	teraKeyBytes    = 10
	teraNumberBytes = 32
	teraFillBytes   = 52
)

// appendTeraRecord adds the record of a number, without its \n. Its key is random in each byte from blank to tilde, and
// always the same for a number.
func appendTeraRecord(b []byte, number uint64) []byte {
	high, low := mixed(2*number), mixed(2*number+1)
	for i := range teraKeyBytes {
		if i == teraKeyBytes/2 {
			high = low
		}
		b = append(b, ' '+byte(high%95))
		high /= 95
	}
	b = fmt.Appendf(b, "  %0*X  ", teraNumberBytes, number)
	for i := range teraFillBytes {
		b = append(b, "0123456789ABCDEF"[number>>(i/4%16*4)&15])
	}
	return append(b, '\r')
}

// mixed is SplitMix64 (Steele, Lea, Flood 2014).
func mixed(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// teraGen makes records: each line of the input is the number of the first one and how many there are.
func teraGen() mr.Job[[]byte, struct{}] {
	return mr.Job[[]byte, struct{}]{
		Name: "teragen", Key: mr.Bytes{}, Value: mr.None{}, Flags: []string{"-inputformat", "nline"},
		Map: func(line []byte, emit func([]byte, struct{})) error {
			var first, count uint64
			if _, err := fmt.Sscanf(string(line), "%d %d\n", &first, &count); err != nil {
				return fmt.Errorf("%q: wanted are the number of a first record and how many there are", line)
			}
			record := make([]byte, 0, 100)
			for number := first; number < first+count; number++ {
				emit(appendTeraRecord(record[:0], number), struct{}{})
			}
			return nil
		},
	}
}

// teraSort sorts such records by their keys: the parts of the output follow each other.
func teraSort() mr.Job[[]byte, []byte] {
	var w teraWriter
	write := w.write
	return mr.Job[[]byte, []byte]{
		Name: "terasort", Key: mr.Bytes{}, Value: mr.Bytes{}, TotalOrder: true,
		Map: func(line []byte, emit func(key, rest []byte)) error {
			n := min(teraKeyBytes, len(line))
			emit(line[:n], line[n:])
			return nil
		},
		Reduce: func(key []byte, rests iter.Seq[[]byte], out io.Writer) error {
			w.key, w.out = key, out
			rests(write) // a loop's body would be made anew for each of the millions of keys
			return w.err
		},
	}
}

// teraWriter writes the records of a key.
type teraWriter struct {
	key, record []byte
	out         io.Writer
	err         error
}

func (w *teraWriter) write(rest []byte) bool {
	w.record = append(append(append(w.record[:0], w.key...), rest...), '\n')
	_, w.err = w.out.Write(w.record)
	return w.err == nil
}
