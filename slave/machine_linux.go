package slave

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/proto/wire"
)

// clockTicks is USER_HZ, the unit of the times in /proc/stat: 100 on every architecture that Go knows.
const clockTicks = 100

// Fields of the first line of /proc/stat that are times of idling: idle and iowait (proc(5)).
const firstIdle, lastIdle = 3, 4

// busyness says how busy this machine is. What can't be found out stays 0.
func busyness(workDir string, now time.Time) *wire.Machine {
	m := &wire.Machine{Cpus: float64(runtime.NumCPU()), Timestamp: float64(now.UnixNano()) / float64(time.Second)}
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		line, _, _ := bytes.Cut(stat, []byte("\n"))
		m.CpuSeconds = busySeconds(string(line))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		if fields := strings.Fields(string(load)); len(fields) > 0 {
			m.Load_1Min, _ = strconv.ParseFloat(fields[0], 64)
		}
	}
	if memory, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.MemoryBytes, m.MemoryAvailableBytes = memoryOf(memory, "MemTotal:"), memoryOf(memory, "MemAvailable:")
	}
	m.DiskBytes, m.DiskAvailableBytes = diskOf(workDir)
	return m
}

// busySeconds adds the processor times of a line of /proc/stat but for those of idling. The last two fields, time of guests, are in
// the first two already.
func busySeconds(line string) float64 {
	const times = 8
	var ticks uint64
	fields := strings.Fields(line)
	for i := 1; i < len(fields) && i <= times; i++ {
		if at := i - 1; at == firstIdle || at == lastIdle {
			continue
		}
		n, _ := strconv.ParseUint(fields[i], 10, 64) // the kernel's own digits
		ticks += n
	}
	return float64(ticks) / clockTicks
}

// memoryOf is an entry of /proc/meminfo in bytes.
func memoryOf(meminfo []byte, name string) uint64 {
	for lines := bufio.NewScanner(bytes.NewReader(meminfo)); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == name {
			n, _ := strconv.ParseUint(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// diskOf is the size of the file system of a folder, and what of it is free for everybody.
func diskOf(path string) (size, available uint64) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0, 0
	}
	return stat.Blocks * uint64(stat.Frsize), stat.Bavail * uint64(stat.Frsize)
}
