package hadoop

import (
	"path/filepath"
	"slices"
	"strings"

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
	root string // the input that it was found by: the file itself or a folder above; what is mounted
	path string
	size int64
}

// split is what one map reads.
type split struct {
	chunks []*taskpb.Chunk
	roots  []string // sorted, each once
	bytes  int64
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

// cut makes splits of about size bytes, in the files' order.
func cut(files []inputFile, size int64) []split {
	var splits []split
	var now split
	end := func() {
		if len(now.chunks) > 0 {
			slices.Sort(now.roots)
			now.roots = slices.Compact(now.roots)
			splits = append(splits, now)
			now = split{}
		}
	}
	for _, f := range files {
		for offset := int64(0); ; {
			length := f.size - offset
			if float64(length) > splitSlop*float64(size) {
				length = size
			}
			if now.bytes > 0 && float64(now.bytes+length) > splitSlop*float64(size) {
				end()
			}
			now.chunks = append(now.chunks, &taskpb.Chunk{Path: []byte(f.path), Offset: offset, Length: length, FileSize: f.size})
			now.bytes += length
			if len(now.roots) == 0 || now.roots[len(now.roots)-1] != f.root {
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
