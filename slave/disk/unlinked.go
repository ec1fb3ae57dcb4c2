package disk

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Unlinked adds up the files of a folder that have no name any more, and take their room as long as somebody has them open
// or mapped: each once, whoever has it.
type Unlinked struct {
	Usage   Usage
	folder  *os.File
	path    string // of folder, as the kernel writes it
	device  uint64
	counted map[inode]bool
}

// NewUnlinked is for the unlinked files of an open folder, which stays the caller's. None is counted yet.
func NewUnlinked(folder *os.File) (*Unlinked, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &stat); err != nil {
		return nil, fmt.Errorf("unlinked files of %s: %w", folder.Name(), err)
	}
	return &Unlinked{folder: folder, path: pathOf(folder), device: inodeOf(&stat).device, counted: make(map[inode]bool)}, nil
}

// File counts a file that the caller has open and knows to be the folder's, if it has no name any more.
func (u *Unlinked) File(file *os.File) {
	var stat unix.Stat_t
	if unix.Fstat(int(file.Fd()), &stat) == nil {
		u.count(&stat)
	}
}

// Measure says what the folder takes, with the unlinked files that were counted before: in this order, so that a file which is
// removed meanwhile is missed rather than counted twice. A file that got a name since counts once. The errors are those of
// the function Measure.
func (u *Unlinked) Measure(ctx context.Context) (Usage, error) {
	return measureFolder(ctx, u.folder, u)
}

// count adds a file if it is one without a name on the folder's file system.
func (u *Unlinked) count(stat *unix.Stat_t) {
	id := inodeOf(stat)
	if id.device != u.device || stat.Nlink > 0 || stat.Mode&unix.S_IFMT != unix.S_IFREG || u.counted[id] {
		return
	}
	u.counted[id] = true
	u.Usage.Bytes += blocks(stat)
	u.Usage.Files++
}

// View is where processes see a folder.
type View struct {
	// Own are paths at which they see parts of the folder, beside its own path.
	Own []string
	// Others are paths below those, or its own, at which they see something else, as a volume.
	Others []string
}

// owns reports whether what a process sees at a path is the folder's: what is mounted deeper counts.
func (v View) owns(path, folder string) bool {
	own := max(deepest(path, v.Own), deepest(path, []string{folder}))
	return own > 0 && own > deepest(path, v.Others)
}

// deepest is the length of the longest of folders that a path is in, 0 if it is in none.
func deepest(path string, folders []string) int {
	longest := 0
	for _, folder := range folders {
		if rest, ok := strings.CutPrefix(path, folder); ok && (rest == "" || rest[0] == '/') {
			longest = max(longest, len(folder))
		}
	}
	return longest
}
