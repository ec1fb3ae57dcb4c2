package hadoop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// How inputs are cut into splits, one per map. A split holds about
//
//	the input's size / wantedMaps, but at least minSplit and at most maxSplit
//
// bytes: 128 MB become some 32 maps, 1 GB 32, 10 GB 160. A larger file is cut into several, small files share one.
const (
	wantedMaps      = 32
	DefaultMinSplit = 4 << 20  // bytes: a container is worth its start
	DefaultMaxSplit = 64 << 20 // bytes: Hadoop's first block size, so that a lost map costs little
)

// maxSplitFiles bounds the files of a split, and with them the length of a map's order.
const maxSplitFiles = 4096

// splitSlop is how much larger than a split the last piece of a file may be, so that it has no tiny rest. Hadoop's
// SPLIT_SLOP.
const splitSlop = 1.1

// maxMounts is how many files are mounted one by one; of more, their folders are.
const maxMounts = 32

// inputFile is a file as it was when it was listed.
type inputFile struct {
	root string // the input that it was found by: the file itself or a folder above; what is mounted. "": it is in HDFS
	path string
	size int64

	codec taskpb.Codec
	whole bool // it is not cut

	blocks []hdfs.Block // of a file of HDFS: no split reads from two, unless they are small
}

// chunk is a piece of the file.
func (f inputFile) chunk(offset, length int64) *taskpb.Chunk {
	return &taskpb.Chunk{Path: []byte(f.path), Offset: offset, Length: length, FileSize: f.size, Codec: f.codec}
}

// piece is how many bytes from an offset on the next piece has: about size, and no more than the rest of a block.
func (f inputFile) piece(offset, size int64) int64 {
	rest := f.size - offset
	if f.whole {
		return rest
	}
	if at := slices.IndexFunc(f.blocks, func(b hdfs.Block) bool { return offset < b.Offset+b.Length }); at >= 0 {
		rest = min(rest, f.blocks[at].Offset+f.blocks[at].Length-offset)
	}
	if float64(rest) > splitSlop*float64(size) {
		return size
	}
	return rest
}

// split is what one map reads.
type split struct {
	chunks []*taskpb.Chunk
	roots  []string // sorted, each once
	bytes  int64
	hosts  []string // names or addresses of the machines that have it; none: all are as near
}

// splitSize says how many bytes a split of an input has; 0 means the default for a limit.
func splitSize(total, minSplit, maxSplit int64) int64 {
	if maxSplit <= 0 {
		maxSplit = DefaultMaxSplit
	}
	if minSplit <= 0 {
		minSplit = min(DefaultMinSplit, maxSplit)
	}
	return max(min(total/wantedMaps, maxSplit), minSplit, 1)
}

// cut makes splits of about size bytes, in the files' order. A file that is not to be cut may make its split larger.
func cut(files []inputFile, size int64) []split {
	var splits []split
	var now split
	near := hostBytes{}
	end := func() {
		if len(now.chunks) > 0 {
			slices.Sort(now.roots)
			now.roots = slices.Compact(now.roots)
			now.hosts = near.most()
			splits = append(splits, now)
			now, near = split{}, hostBytes{}
		}
	}
	for _, f := range files {
		for offset := int64(0); ; {
			length := f.piece(offset, size)
			if now.bytes > 0 && float64(now.bytes+length) > splitSlop*float64(size) {
				end()
			}
			now.chunks = append(now.chunks, f.chunk(offset, length))
			now.bytes += length
			near.add(f.blocks, offset, length)
			if f.root != "" && (len(now.roots) == 0 || now.roots[len(now.roots)-1] != f.root) {
				now.roots = append(now.roots, f.root)
			}
			if now.bytes >= size || len(now.chunks) == maxSplitFiles {
				end()
			}
			if offset += length; offset >= f.size {
				break
			}
		}
	}
	end()
	return splits
}

// cutLines makes splits of n lines each; a file's last has what is left. It reads all files.
func cutLines(ctx context.Context, files []inputFile, n int) ([]split, error) {
	var splits []split
	for _, f := range files {
		if f.codec != taskpb.Codec_CODEC_NONE {
			return nil, fmt.Errorf("input file %s is compressed: its lines can not be counted out to maps", f.path)
		}
		ends, err := lineEnds(ctx, f, n, MaxMaps-len(splits))
		if err != nil {
			return nil, err
		}
		start := int64(0)
		for _, end := range ends {
			splits = append(splits, split{chunks: []*taskpb.Chunk{f.chunk(start, end-start)}, roots: f.roots(), bytes: end - start})
			start = end
		}
	}
	return splits, nil
}

// lineEnds is where each nth line of a file ends, and the file itself; an error if there are more than most.
func lineEnds(ctx context.Context, f inputFile, n, most int) ([]int64, error) {
	file, err := task.OpenInput(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var ends []int64
	buf := make([]byte, countBytes)
	at, lines := int64(0), 0
	for at < f.size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		read, err := file.Read(buf[:min(int64(len(buf)), f.size-at)])
		if read == 0 {
			return nil, fmt.Errorf("input file %s: %w", f.path, errors.Join(io.ErrUnexpectedEOF, err))
		}
		for i, c := range buf[:read] {
			if c != '\n' {
				continue
			}
			if lines++; lines == n {
				ends, lines = append(ends, at+int64(i)+1), 0
			}
		}
		if len(ends) >= most {
			return nil, fmt.Errorf("%d lines a map make more than the %d maps that are allowed: give a map more by mapreduce.input.lineinputformat.linespermap", n, MaxMaps)
		}
		at += int64(read)
	}
	if f.size > 0 && (len(ends) == 0 || ends[len(ends)-1] < f.size) {
		ends = append(ends, f.size)
	}
	return ends, nil
}

// countBytes is how much is read at once to count lines.
const countBytes = 256 << 10

// mounts are the paths that a map's container must see: no path lies below another.
func (s split) mounts() []string {
	paths := slices.Clone(s.roots)
	if len(paths) > maxMounts {
		for i, path := range paths {
			if dir := filepath.Dir(path); dir != "/" {
				paths[i] = dir
			}
		}
	}
	slices.Sort(paths)
	var kept []string
	for _, path := range paths {
		if !slices.ContainsFunc(kept, func(above string) bool { return path == above || strings.HasPrefix(path, above+"/") }) {
			kept = append(kept, path)
		}
	}
	return kept
}
