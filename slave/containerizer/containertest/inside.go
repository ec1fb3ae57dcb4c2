package containertest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Inside lists the processes that see a container's root below a state directory: those of containers, and those that
// make one, which have neither marker nor cgroup.
func Inside(stateDir string) []int {
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	// As the kernel writes it; and from the root of a file system, which may be mounted above it.
	_, name, _ := strings.Cut(strings.ReplaceAll(stateDir, " ", `\040`), os.TempDir())
	var found []int
	for _, table := range tables {
		data, _ := os.ReadFile(table) // of a process that may have ended
		for line := range strings.Lines(string(data)) {
			if _, below, ok := strings.Cut(line, name+"/"); ok && strings.Contains(below, "/roots/") {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(table)))
				found = append(found, pid)
				break
			}
		}
	}
	return found
}
