package tasktracker

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// preferInShortage has the kernel end a command rather than the executor when the container's memory is used up.
func preferInShortage(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0) // it may have ended
}

// residentByGroup is how much memory the processes of each group use, in bytes, as /proc/PID/stat tells it.
func residentByGroup() map[int]int64 {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	used := map[int]int64{}
	page := int64(os.Getpagesize())
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// After the name, which may hold anything, are state, parent and process group; the 22nd of these fields is the
		// resident set in pages.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 22 {
			continue
		}
		group, err1 := strconv.Atoi(string(fields[2]))
		pages, err2 := strconv.ParseInt(string(fields[21]), 10, 64)
		if err1 == nil && err2 == nil {
			used[group] += pages * page
		}
	}
	return used
}
