package hadoop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
)

// How the input is sampled for keys that are spread by their order: at so many places of it, spread evenly, so many bytes
// are read.
const (
	samplePlaces = 32
	sampleBytes  = 128 << 10
)

// maxCutBytes bounds what travels of a key with each map: the beginning of a key divides the keys as well.
const maxCutBytes = 256

// sampleCuts gives the keys that divide the input's keys into as many parts of about equal size as there are reduces:
// ascending, one less than parts. Fewer if the sample has fewer distinct keys.
func sampleCuts(ctx context.Context, files []inputFile, parts int, keysOf func(io.Reader) ([][]byte, error)) ([][]byte, error) {
	var keys [][]byte
	for _, place := range samplesOf(files) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var lines bytes.Buffer
		err := task.ReadLines(place.file.chunk(place.offset, place.length), &limitedBuffer{&lines})
		if err != nil && !errors.Is(err, errSampled) {
			return nil, fmt.Errorf("sample the input: %w", err)
		}
		some, err := keysOf(wholeLines(&lines, err != nil))
		if err != nil {
			return nil, fmt.Errorf("sample the input: %w", err)
		}
		keys = append(keys, some...)
	}
	slices.SortFunc(keys, bytes.Compare)
	cuts := [][]byte{} // not nil: one reduce may get all
	for part := 1; part < parts && len(keys) > 0; part++ {
		cut := keys[part*len(keys)/parts]
		cut = bytes.Clone(cut[:min(len(cut), maxCutBytes)])
		if len(cuts) == 0 || bytes.Compare(cuts[len(cuts)-1], cut) < 0 {
			cuts = append(cuts, cut)
		}
	}
	return cuts, nil
}

// samplePlace is a piece of a file.
type samplePlace struct {
	file           inputFile
	offset, length int64
}

// samplesOf spreads places evenly over the bytes of all files. A file that is not cut is sampled at its beginning.
func samplesOf(files []inputFile) []samplePlace {
	total := int64(0)
	for _, f := range files {
		total += f.size
	}
	var places []samplePlace
	step := max((total+samplePlaces-1)/samplePlaces, 1)
	next, before := int64(0), int64(0) // where the next place is, and where the file begins
	for _, f := range files {
		for ; next < before+f.size; next += step {
			if f.whole {
				places = append(places, samplePlace{f, 0, f.size})
				next = before + f.size
				break
			}
			offset := next - before
			places = append(places, samplePlace{f, offset, min(sampleBytes, step, f.size-offset)})
		}
		before += f.size
	}
	return places
}

// errSampled says that enough has been read.
var errSampled = errors.New("the sample is complete")

// limitedBuffer takes little more than sampleBytes.
type limitedBuffer struct{ lines *bytes.Buffer }

func (l *limitedBuffer) Write(b []byte) (int, error) {
	if l.lines.Len() >= sampleBytes {
		return 0, errSampled
	}
	return l.lines.Write(b)
}

// wholeLines leaves out a last line that may be torn.
func wholeLines(lines *bytes.Buffer, torn bool) io.Reader {
	if torn {
		lines.Truncate(bytes.LastIndexByte(lines.Bytes(), '\n') + 1)
	}
	return lines
}
