package task

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// The words of a text, as the demo counts them: a word is a longest run of ASCII letters, lower-cased; all other bytes
// separate words.

// Bounds of the word table: when either is reached, the counts so far are printed and the table starts anew, so the
// mapper's memory does not grow with its input.
const (
	maxTableWords = 1 << 18
	maxTableBytes = 16 << 20
)

// maxWordBytes is the longest word that is counted; a longer one is an error. A word must be held in memory.
const maxWordBytes = 64 << 20

// lower maps each letter to its lower case and everything else to 0.
var lower = func() (t [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = c, c
	}
	return t
}()

// WordCountMap is a mapper: it reads text and prints "word\tcount" lines, adding up in memory what it can. The error
// is that of reading, of writing, or of a word longer than 64 MB.
func WordCountMap(in io.Reader, out io.Writer) error {
	table := newWordTable(out)
	buf := make([]byte, blockBytes)
	fill, start := 0, 0 // buf[start:fill] is a word that has not ended, already lower-cased
	hash := wordHashBasis
	for {
		n, err := in.Read(buf[fill:])
		at := fill
		fill += n
		for ; at < fill; at++ {
			c := lower[buf[at]]
			if c != 0 {
				buf[at] = c
				hash = (hash ^ uint32(c)) * wordHashPrime
				continue
			}
			if at > start {
				if err := table.add(buf[start:at], hash, 1); err != nil {
					return err
				}
				hash = wordHashBasis
			}
			start = at + 1
		}
		if errors.Is(err, io.EOF) {
			return table.end(buf[start:fill], hash)
		}
		if err != nil {
			return fmt.Errorf("wordcount-mapper: read standard input: %w", err)
		}
		if buf, fill, err = keepWord(buf, start, fill); err != nil {
			return err
		}
		start = 0
	}
}

// keepWord moves the word that has not ended to the front and sees to it that there is room behind it.
func keepWord(buf []byte, start, fill int) ([]byte, int, error) {
	fill = copy(buf, buf[start:fill])
	if fill < len(buf) {
		return buf, fill, nil
	}
	if len(buf) >= maxWordBytes {
		return nil, 0, fmt.Errorf("wordcount-mapper: a word is longer than %d bytes", maxWordBytes)
	}
	grown := make([]byte, 2*len(buf))
	copy(grown, buf)
	return grown, fill, nil
}

// wordTable adds up counts by word. Collisions go to the next free slot.
type wordTable struct {
	out   *bufio.Writer
	slots []wordSlot // a power of two of them, at most half used
	words []byte     // their bytes, one after the other
	used  int
	line  []byte
}

type wordSlot struct {
	hash, offset, length uint32
	count                uint64 // 0: free
}

// FNV-1a with 32 bits, by word, so that the hash grows with the bytes as they are read.
const (
	wordHashBasis uint32 = 2166136261
	wordHashPrime uint32 = 16777619
)

func newWordTable(out io.Writer) *wordTable {
	return &wordTable{out: bufio.NewWriterSize(out, 64<<10), slots: make([]wordSlot, 1<<14)}
}

func (t *wordTable) add(word []byte, hash uint32, count uint64) error {
	mask := uint32(len(t.slots) - 1)
	for i := spread(hash) & mask; ; i = (i + 1) & mask {
		slot := &t.slots[i]
		if slot.count == 0 {
			*slot = wordSlot{hash: hash, offset: uint32(len(t.words)), length: uint32(len(word)), count: count}
			t.words = append(t.words, word...)
			t.used++
			return t.bound()
		}
		if slot.hash == hash && string(t.words[slot.offset:slot.offset+slot.length]) == string(word) {
			slot.count += count
			return nil
		}
	}
}

// spread brings the upper bits of a hash down to where the mask looks.
func spread(hash uint32) uint32 { return hash ^ hash>>15 }

// bound grows the table or, at its limit, prints and empties it.
func (t *wordTable) bound() error {
	if t.used >= maxTableWords || len(t.words) >= maxTableBytes {
		return t.flush()
	}
	if 2*t.used < len(t.slots) {
		return nil
	}
	old := t.slots
	t.slots = make([]wordSlot, 2*len(old))
	mask := uint32(len(t.slots) - 1)
	for _, slot := range old {
		if slot.count == 0 {
			continue
		}
		i := spread(slot.hash) & mask
		for t.slots[i].count != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = slot
	}
	return nil
}

func (t *wordTable) flush() error {
	for _, slot := range t.slots {
		if slot.count == 0 {
			continue
		}
		if err := t.print(t.words[slot.offset:slot.offset+slot.length], slot.count); err != nil {
			return err
		}
	}
	clear(t.slots)
	t.words, t.used = t.words[:0], 0
	return nil
}

func (t *wordTable) print(word []byte, count uint64) error {
	t.line = append(append(t.line[:0], word...), '\t')
	t.line = append(strconv.AppendUint(t.line, count, 10), '\n')
	_, err := t.out.Write(t.line)
	return err
}

// end takes the last word and prints everything.
func (t *wordTable) end(word []byte, hash uint32) error {
	if len(word) > 0 {
		if err := t.add(word, hash, 1); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.out.Flush()
}

// maxCountLineBytes bounds a line that WordCountReduce reads: the longest word, a tab and a number.
const maxCountLineBytes = maxWordBytes + 32

// WordCountReduce is a reducer (and may serve as a combiner): it reads "word\tcount" lines in which equal words stand
// next to each other and prints each word once with the sum. The error is that of reading or writing, or it shows the
// line that is no word and count, or the word whose sum does not fit into 64 bits.
func WordCountReduce(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, blockBytes), maxCountLineBytes)
	table := wordTable{out: bufio.NewWriterSize(out, blockBytes)}
	var word []byte
	var sum uint64
	for lines.Scan() {
		next, count, err := wordAndCount(lines.Bytes())
		if err != nil {
			return err
		}
		if sum > 0 && !bytes.Equal(word, next) {
			if err := table.print(word, sum); err != nil {
				return err
			}
			sum = 0
		}
		if sum == 0 {
			word = append(word[:0], next...)
		}
		if sum > math.MaxUint64-count {
			return fmt.Errorf("wordcount-reducer: the count of %q is larger than %d", shortened(word), uint64(math.MaxUint64))
		}
		sum += count
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("wordcount-reducer: read standard input: %w", err)
	}
	if sum > 0 {
		if err := table.print(word, sum); err != nil {
			return err
		}
	}
	return table.out.Flush()
}

func wordAndCount(line []byte) ([]byte, uint64, error) {
	if tab := bytes.LastIndexByte(line, '\t'); tab > 0 {
		if count, err := strconv.ParseUint(string(line[tab+1:]), 10, 64); err == nil && count > 0 {
			return line[:tab], count, nil
		}
	}
	return nil, 0, fmt.Errorf("wordcount-reducer: %q is no line of the form WORD<tab>COUNT with a COUNT of 1 or more", shortened(line))
}

// shortened is what an error shows of bytes.
func shortened(b []byte) []byte { return b[:min(len(b), 80)] }
