package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// readAll brings a file into the page cache.
func readAll(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{file}, make([]byte, 1<<20))
	return err
}

// inOrder is the digest of files one after the other.
func inOrder(files []string) (string, error) {
	sum := sha256.New()
	err := eachFile(files, func(r io.Reader) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{sum}, r, make([]byte, 1<<20))
		return err
	})
	return text(sum), err
}

func text(sum hash.Hash) string { return fmt.Sprintf("%x", sum.Sum(nil)) }

// seed is that of a run's digests.
var seed = maphash.MakeSeed()

// anyOrder is the digest of the lines of files, whatever their order.
func anyOrder(files []string) (string, error) {
	lines, sum := 0, uint64(0)
	err := eachLine(files, func(line []byte) {
		lines++
		sum += maphash.Bytes(seed, line)
	})
	return fmt.Sprintf("%d lines, %x", lines, sum), err
}

// counts is the digest of lines of words and how often they are there; countsFirst of those that have this first.
func counts(files []string) (string, error)      { return sorted(files, 1, 0) }
func countsFirst(files []string) (string, error) { return sorted(files, 0, 1) }

func sorted(files []string, number, word int) (string, error) {
	var lines []string
	err := eachLine(files, func(line []byte) {
		if fields := bytes.Fields(line); len(fields) == 2 {
			lines = append(lines, fmt.Sprintf("%s %s", fields[word], fields[number]))
		} else {
			lines = append(lines, "not two fields: "+string(line))
		}
	})
	slices.Sort(lines)
	sum := sha256.New()
	fmt.Fprint(sum, strings.Join(lines, "\n"))
	return text(sum), err
}

func eachFile(files []string, do func(io.Reader) error) error {
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		err = errors.Join(do(struct{ io.Reader }{file}), file.Close())
		if err != nil {
			return err
		}
	}
	return nil
}

func eachLine(files []string, do func([]byte)) error {
	return eachFile(files, func(r io.Reader) error {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			do(lines.Bytes())
		}
		return lines.Err()
	})
}

const (
	// taskName is that of a job's own program where it runs: the executor's name for it.
	taskName = "job-program"
	// lookEvery is how often processes are looked at. The kernel keeps the most that a process has had, so that only one
	// that lives for less is missed.
	lookEvery = 50 * time.Millisecond
)

// watchTasks looks at the processes of tasks until the function it gives is called, which tells the most memory, in bytes, that
// one of them has had.
func watchTasks() (peak func() int64) {
	most, end := int64(0), make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				most = max(most, peakOfTasks())
			}
		}
	})
	return func() int64 {
		close(end)
		watching.Wait()
		return most
	}
}

func peakOfTasks() (most int64) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range names {
		if name, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(name)) != taskName {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(status)) {
			if kilobytes, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kilobytes), "kB")), 10, 64)
				most = max(most, n<<10)
			}
		}
	}
	return most
}
