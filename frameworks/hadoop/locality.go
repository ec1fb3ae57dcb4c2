package hadoop

import (
	"cmp"
	"maps"
	"slices"

	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
)

// maxSplitHosts is how many machines a split names: the replicas of a block, by name and by address.
const maxSplitHosts = 6

// hostBytes is how much of a split machines have.
type hostBytes map[string]int64

// add takes a piece of a file with blocks.
func (h hostBytes) add(blocks []hdfs.Block, offset, length int64) {
	for _, b := range blocks {
		if n := min(offset+length, b.Offset+b.Length) - max(offset, b.Offset); n > 0 {
			for _, host := range b.Hosts {
				h[host] += n
			}
		}
	}
}

// most are the machines that have the most, of those that have at least half as much as the first.
func (h hostBytes) most() []string {
	hosts := slices.SortedFunc(maps.Keys(h), func(a, b string) int { return cmp.Or(cmp.Compare(h[b], h[a]), cmp.Compare(a, b)) })
	n := 0
	for n < min(len(hosts), maxSplitHosts) && 2*h[hosts[n]] >= h[hosts[0]] {
		n++
	}
	return hosts[:n:n]
}

// roots is what must be mounted to read a file.
func (f inputFile) roots() []string {
	if f.root == "" {
		return nil
	}
	return []string{f.root}
}
