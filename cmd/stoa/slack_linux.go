package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stoa-project/stoa/slave/containerizer/reaper"
)

// slacken lets timers wake the threads of this process later than they are set for, by as much as timerSlack, and so those of
// the processes that it starts. Without the right to change priorities (CAP_SYS_NICE) nothing changes; nor where no reaper would
// give commands back what they are used to.
func slacken() {
	if !reaper.Available {
		return
	}
	slack := []byte(strconv.FormatInt(timerSlack.Nanoseconds(), 10))
	slackened := map[string]bool{}
	for more := true; more; { // a new thread has the slack of the one that made it
		more = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, thread := range threads {
			if slackened[thread.Name()] {
				continue
			}
			err := os.WriteFile(filepath.Join("/proc", thread.Name(), "timerslack_ns"), slack, 0)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return
			}
			slackened[thread.Name()], more = true, true
		}
	}
}
