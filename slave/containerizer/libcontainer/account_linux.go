//go:build cgo

package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// account reads what one cgroup has used. On v1 each controller has a directory
// of its own, on v2 all are one.
type account struct {
	cpu, memory, pids string
	unified           bool
}

// accountOf takes the directories by controller, as libcontainer gives them: on
// v2 there is one, named "".
func accountOf(paths map[string]string, unified bool) account {
	if unified {
		return account{cpu: paths[""], memory: paths[""], pids: paths[""], unified: true}
	}
	return account{cpu: paths["cpuacct"], memory: paths["memory"], pids: paths["pids"]}
}

// stats reads everything; a controller that the machine lacks counts as 0.
func (a account) stats() (containerizer.Stats, error) {
	var stats containerizer.Stats
	var failed []error
	number := func(to *int64, directory, file string) {
		n, err := readNumber(directory, file)
		*to = n
		failed = append(failed, err)
	}
	if a.unified {
		microseconds, err := readKey(a.cpu, "cpu.stat", "usage_usec")
		stats.CPUSeconds = (time.Duration(microseconds) * time.Microsecond).Seconds()
		failed = append(failed, err)
		number(&stats.MemoryBytes, a.memory, "memory.current")
		number(&stats.MemoryPeakBytes, a.memory, "memory.peak")
		number(&stats.MemoryLimitBytes, a.memory, "memory.max")
	} else {
		var nanoseconds int64
		number(&nanoseconds, a.cpu, "cpuacct.usage")
		stats.CPUSeconds = time.Duration(nanoseconds).Seconds()
		number(&stats.MemoryBytes, a.memory, "memory.usage_in_bytes")
		number(&stats.MemoryPeakBytes, a.memory, "memory.max_usage_in_bytes")
		number(&stats.MemoryLimitBytes, a.memory, "memory.limit_in_bytes")
	}
	number(&stats.Processes, a.pids, "pids.current")
	stats.Processes = max(0, stats.Processes-1) // the reaper is none of the command's, as in commandPIDs
	return stats, errors.Join(failed...)
}

// oomKills is how many processes the kernel has killed for want of memory.
func (a account) oomKills() (int64, error) {
	if a.unified {
		return readKey(a.memory, "memory.events", "oom_kill")
	}
	return readKey(a.memory, "memory.oom_control", "oom_kill")
}

// refusedPIDs is how often the kernel has refused a process or thread because of
// the limit: the file is the same in both versions.
func (a account) refusedPIDs() (int64, error) { return readKey(a.pids, "pids.events", "max") }

// unlimited is from where on a v1 limit means none: the kernel rounds the
// largest number down to whole pages.
const unlimited = math.MaxInt64 - 1<<20

func readNumber(directory, file string) (int64, error) {
	if directory == "" {
		return 0, nil
	}
	data, err := os.ReadFile(filepath.Join(directory, file))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // an older kernel
	}
	text := strings.TrimSpace(string(data))
	if err != nil || text == "max" {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s/%s: %w", directory, file, err)
	}
	if n >= unlimited {
		return 0, nil
	}
	return n, nil
}

func readKey(directory, file, key string) (int64, error) {
	if directory == "" {
		return 0, nil
	}
	data, err := os.ReadFile(filepath.Join(directory, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == key {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, nil // an older kernel
}
