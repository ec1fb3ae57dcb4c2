//go:build faults

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// What a program that is built with the tag faults is told by its environment, which a host has from its slave.
const (
	faultTrace   = "STOA_FAULT_TRACE"   // a file to which each point is added as a line: "slave hears RunTask 1"
	faultPoint   = "STOA_FAULT_POINT"   // one such line: where to strike
	faultVictims = "STOA_FAULT_VICTIMS" // who is killed there: "slave", "host" or "slave host"
	faultStruck  = "STOA_FAULT_STRUCK"  // a file that is made before the blow, which falls once
)

// passed strikes when the daemon of a name comes to the point in question. Points are counted, each by its own name.
func passed(daemon string) func(string) {
	var mu sync.Mutex
	count := map[string]int{}
	return func(point string) {
		mu.Lock()
		defer mu.Unlock()
		count[point]++
		line := fmt.Sprintf("%s %s %d", daemon, point, count[point])
		if trace := os.Getenv(faultTrace); trace != "" {
			must(appendLine(trace, line))
		}
		if line == os.Getenv(faultPoint) {
			struck, err := os.OpenFile(os.Getenv(faultStruck), os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return // by an earlier life
			}
			struck.Close()
			strike(daemon, os.Getenv(faultVictims))
		}
	}
}

func appendLine(path, line string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(line + "\n")
	return err
}

// strike kills the victims, this process last.
func strike(daemon, victims string) {
	self := false
	for _, victim := range strings.Fields(victims) {
		switch {
		case victim == daemon:
			self = true
		case victim == "slave":
			must(syscall.Kill(slaveOfHost(), syscall.SIGKILL))
		default:
			for _, pid := range hostsOf(os.Getpid()) {
				must(syscall.Kill(pid, syscall.SIGKILL))
			}
		}
	}
	if self {
		must(syscall.Kill(os.Getpid(), syscall.SIGKILL))
		select {} // the signal may reach another thread first
	}
}

// slaveOfHost is this host's slave.
func slaveOfHost() int {
	pid := os.Getppid()
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	must(err)
	if words := strings.Split(string(line), "\x00"); len(words) < 2 || words[1] != "slave" {
		panic(fmt.Sprintf("the parent of this host is no slave but %q", words))
	}
	return pid
}

// hostsOf lists the hosts that a slave has started.
func hostsOf(slave int) (pids []int) {
	lines, err := filepath.Glob("/proc/[0-9]*/stat")
	must(err)
	for _, path := range lines {
		stat, _ := os.ReadFile(path) // gone in the meantime: none of them
		_, after, _ := bytes.Cut(stat, []byte(") "))
		if fields := bytes.Fields(after); len(fields) > 1 && string(fields[1]) == strconv.Itoa(slave) && string(fields[0]) != "Z" {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			must(err)
			pids = append(pids, pid)
		}
	}
	return pids
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
