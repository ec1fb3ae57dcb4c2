package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc/PID/stat: 100 on every
// architecture that Go knows.
const ticksPerSecond = 100

// Fields of /proc/PID/stat, counted from the one after the command's name (proc(5)).
const (
	fieldUser, fieldSystem, fieldChildUser, fieldChildSystem = 11, 12, 13, 14
	fieldThreads, fieldResident                              = 17, 21
)

// stats reads what the command itself, and the children that it waited for, have used.
func stats(pid int) (containerizer.Stats, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return containerizer.Stats{}, os.ErrProcessDone
	}
	if err != nil {
		return containerizer.Stats{}, err
	}
	// The name is in parentheses and may contain anything, parentheses too.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) <= fieldResident {
		return containerizer.Stats{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(string(fields[field]), 10, 64) // the kernel's own digits
		return n
	}
	ticks := number(fieldUser) + number(fieldSystem) + number(fieldChildUser) + number(fieldChildSystem)
	return containerizer.Stats{
		CPUSeconds:  float64(ticks) / ticksPerSecond,
		MemoryBytes: number(fieldResident) * int64(os.Getpagesize()),
		Processes:   number(fieldThreads),
	}, nil
}
